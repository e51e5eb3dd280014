package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/meti-go/meti/authn"
)

// No redirect is followed, wherever it leads and whatever the caller's client
// would do: a second server sees no request at all, and a POST never becomes
// a GET whose list looks like what was created.
func TestNoRedirectIsFollowed(t *testing.T) {
	var strayed, tokens atomic.Int64
	other := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strayed.Add(1)
		if r.Header.Get("Authorization") != "" {
			tokens.Add(1)
		}
		listed(w, r)
	})
	plain := httptest.NewServer(other)
	defer plain.Close()
	secure := httptest.NewTLSServer(other)
	defer secure.Close()

	var location string
	var code int
	calls := 0
	main := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/elsewhere") {
			other(w, r)
			return
		}
		calls++
		w.Header().Set("Location", location)
		w.WriteHeader(code)
	}))
	defer main.Close()

	port := main.URL[strings.LastIndexByte(main.URL, ':'):]
	for _, where := range []struct{ name, location string }{
		{"other host", "https://localhost" + port + "/elsewhere"},
		{"other port", secure.URL + "/elsewhere"},
		{"http", plain.URL + "/elsewhere"},
		{"same host", main.URL + "/elsewhere"},
		{"a path", "/elsewhere?secret=sentinel-location"},
		{"no scheme", "//localhost" + port + "/elsewhere"},
		{"nowhere", ""},
		{"unreadable", "http://[::1/%zz"},
		{"an echo", "https://localhost/?t=" + staticToken},
		{"an echo as host", "https://" + staticToken + "/"},
	} {
		for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
			for _, operation := range operations {
				location, code, calls = where.location, status, 0
				eager := main.Client()
				eager.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
				c := made(t, WithHTTPClient(eager), WithBaseURL(main.URL))
				err := operation.call(t.Context(), c)
				var redirect *authn.RedirectError
				if !errors.Is(err, ErrRedirect) || !errors.As(err, &redirect) || redirect.Status != status || errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("%s %d %s: %v", where.name, status, operation.name, err)
				}
				if !strings.Contains(err.Error(), "redirect") || failure(t, err).Status != status || calls != 1 {
					t.Errorf("%s %d %s: %v after %d calls", where.name, status, operation.name, err, calls)
				}
				if text := fmt.Sprintf("%v %+v %#v", err, err, redirect); strings.Contains(text, "sentinel") {
					t.Error(text)
				}
			}
		}
	}
	if strayed.Load() != 0 || tokens.Load() != 0 {
		t.Errorf("%d requests, %d of them with the token, went elsewhere", strayed.Load(), tokens.Load())
	}
}

// Create behind a 301 does not return the sources that a GET would list.
func TestCreateBehindARedirectReturnsNothing(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /sources", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/v2/sources", code) })
		mux.HandleFunc("/v2/sources", listed)
		server := httptest.NewServer(mux)
		c := made(t, WithBaseURL(server.URL), WithHTTPClient(server.Client()))
		sources, err := c.Sources.Create(t.Context(), oneFeature)
		if sources != nil || !errors.Is(err, ErrRedirect) {
			t.Errorf("%d: %v, %v", code, sources, err)
		}
		one, err := c.Sources.CreateOne(t.Context(), SourceCreate{AltID: "field-1", Geometry: json.RawMessage(golden)})
		if one != nil || !errors.Is(err, ErrRedirect) {
			t.Errorf("%d: %v, %v", code, one, err)
		}
		server.Close()
	}
}

// A redirect of the token request fails the call before it is sent.
func TestARedirectedTokenRequest(t *testing.T) {
	source, err := authn.New(authn.Config{Domain: "tenant.example.com", ClientID: "id", ClientSecret: "sentinel-secret", Warn: func(error) {},
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			_ = r.Body.Close()
			return recorded(status(307, "Location", "https://elsewhere.example.com/"), r), nil
		})})
	if err != nil {
		t.Fatal(err)
	}
	c := made(t, WithAuth(source), WithHTTPClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return nil, errors.New("no")
	})}))
	err = get(t.Context(), c)
	var fetch *authn.FetchError
	if !errors.Is(err, ErrNoToken) || !errors.As(err, new(*authn.RedirectError)) || !errors.As(err, &fetch) || !strings.Contains(err.Error(), "redirect") {
		t.Error(err)
	}
}
