package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
)

// An operation that this version does not know goes out as the others do.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := answers(says(200, "application/json", `{"id":"x","new":1}`), done, says(422, "application/json", `{"detail":"too long"}`), says(200, "text/html", "<title>Log in</title>"))
		var seen []Attempt
		c := inMemory(t, server, WithHook(func(_ context.Context, a Attempt) { seen = append(seen, a) }))
		answer, err := c.Do(t.Context(), "PATCH", "/sources/"+url.PathEscape("a/b"), url.Values{"dry_run": {"1"}}, map[string]any{"tags": []string{"north"}})
		if err != nil || string(answer) != `{"id":"x","new":1}` {
			t.Errorf("%s, %v", answer, err)
		}
		got := server.requests()[0]
		if got.method != "PATCH" || got.path != "/some/where/sources/a%2Fb" || got.query != "dry_run=1" || got.body != `{"tags":["north"]}` || got.token != staticToken || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%+v", got)
		}
		if answer, err := c.Do(t.Context(), "PUT", "/x", nil, []byte(`[ 1.0 ]`)); answer != nil || err != nil || server.requests()[1].body != `[ 1.0 ]` {
			t.Errorf("%s, %v: %+v", answer, err, server.requests()[1])
		}
		_, err = c.Do(t.Context(), "PATCH", "/x", nil, nil)
		if e := failure(t, err); !errors.Is(err, ErrInvalid) || err.Error() != "PATCH /x: 422 Unprocessable Entity: too long" || e.Path != "/x" || e.Method != "PATCH" {
			t.Error(err)
		}
		if _, err = c.Do(t.Context(), "PATCH", "/x", nil, nil); !errors.Is(err, ErrBadAnswer) || !errors.Is(err, ErrOutcomeUnknown) {
			t.Error(err)
		}
		if len(seen) != 4 || seen[0].Operation != "PATCH /sources/a%2Fb" {
			t.Errorf("%+v", seen)
		}
	})
}

type vault struct{ error }

func (v vault) Token() (*oauth2.Token, error) { return nil, v.error }

// What a source of tokens says is found in the error, whatever it wraps.
func TestErrorsOfTokenSourcesAreFound(t *testing.T) {
	sealed := errors.New("the vault is sealed")
	c, err := New(WithTokenSource(vault{fmt.Errorf("%w: %w", sealed, &url.Error{Op: "Get", URL: "https://vault.example", Err: io.ErrUnexpectedEOF})}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sources.Get(t.Context(), "src_1"); !errors.Is(err, sealed) || !errors.Is(err, ErrNoToken) {
		t.Error(err)
	}
}

// An answer without a body is a success whatever type it is said to have.
func TestDoWithoutABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t, answers(says(204, "text/html", ""), says(204, "text/html", "")))
		if answer, err := c.Do(t.Context(), "PATCH", "/x", nil, nil); answer != nil || err != nil {
			t.Errorf("%s, %v", answer, err)
		}
		if err := c.Sources.Delete(t.Context(), "src_1"); err != nil {
			t.Error(err)
		}
	})
}

// It is not repeated, whatever failed, unless the caller says that it may be;
// and where it may have been carried out, the error says so.
func TestDoIsNotRepeatedUnlessItMayBe(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{"429": status(429), "503": status(503), "dropped": dropped} {
		for _, method := range []string{"GET", "PATCH", "DELETE", "POST"} {
			synctest.Test(t, func(t *testing.T) {
				server := answers(answer)
				_, err := inMemory(t, server).Do(t.Context(), method, "/x", nil, nil)
				if unknown := method != "GET" && name != "429"; len(server.requests()) != 1 || errors.Is(err, ErrOutcomeUnknown) != unknown || failure(t, err).Attempts != 1 {
					t.Errorf("%s %s: %d requests, %v", name, method, len(server.requests()), err)
				}
				server = answers(answer)
				_, err = inMemory(t, server).Do(t.Context(), method, "/x", nil, nil, Repeatable())
				if len(server.requests()) != 4 || errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("%s %s, repeatable: %d requests, %v", name, method, len(server.requests()), err)
				}
			})
		}
	}
	// A token that was refused is replaced: the server did nothing.
	synctest.Test(t, func(t *testing.T) {
		tokens := &auth0{scope: "read:sources"} // whether that is enough is for the caller to know
		server := answers(status(401), done)
		if _, err := inMemory(t, server, WithAuth(tokens.source(t))).Do(t.Context(), "PATCH", "/x", nil, nil); err != nil || tokens.count() != 2 {
			t.Error(err, tokens.count())
		}
	})
}

func TestDoRefusesWhatIsNoRequest(t *testing.T) {
	c := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("sent")
		return nil, errors.New("no")
	})}))
	for _, call := range []struct {
		method, path string
		body         any
	}{{"", "/x", nil}, {"get", "/x", nil}, {"GET /", "/x", nil}, {"GET", "x", nil}, {"GET", "https://elsewhere.example/", nil}, {"GET", "/x?token=1", nil}, {"PATCH", "/x", func() {}}} {
		if _, err := c.Do(t.Context(), call.method, call.path, nil, call.body); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q %q: %v", call.method, call.path, err)
		}
	}
}

// Limits that are no limits are not sent.
func TestNegativeLimitIsNotSent(t *testing.T) {
	server := answers(listed)
	for _, params := range []ListParams{{Limit: -1}, {Offset: -1}} {
		if _, err := made(t).Sources.List(t.Context(), params); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "-1") {
			t.Errorf("%+v: %v", params, err)
		}
	}
	if len(server.requests()) != 0 {
		t.Error("sent")
	}
}

// Only a refusal makes a caller unauthorized: not his own deadline, and not an
// outage of Auth0.
func TestWhoIsUnauthorized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := tokenFunc(func() (*oauth2.Token, error) {
			time.Sleep(200 * time.Millisecond)
			return &oauth2.Token{AccessToken: staticToken}, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := get(ctx, made(t, WithTokenSource(slow)))
		if errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrNoToken) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		for _, c := range []struct {
			answer http.HandlerFunc
			class  error
		}{
			{says(503, "", ""), ErrNoToken},
			{says(429, "application/json", `{"error":"too_many_requests"}`, "Retry-After", "3600"), ErrNoToken},
			{says(404, "text/html", "<p>nothing here"), ErrNoToken},
			{says(401, "application/json", `{"error":"access_denied"}`), ErrUnauthorized},
			{says(403, "application/json", `{"error":"unauthorized_client"}`), ErrUnauthorized},
		} {
			source, err := authn.New(authn.Config{Domain: "tenant.example.com", ClientID: "id", ClientSecret: "sentinel-secret", Warn: func(error) {},
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					_, _ = io.Copy(io.Discard, r.Body)
					return recorded(c.answer, r), nil
				})})
			if err != nil {
				t.Fatal(err)
			}
			err = get(t.Context(), made(t, WithAuth(source)))
			for _, class := range []error{ErrUnauthorized, ErrNoToken} {
				if errors.Is(err, class) != (class == c.class) {
					t.Errorf("want %v: %v", c.class, err)
				}
			}
		}
		time.Sleep(time.Minute)
	})
}

// A service that answers is alive, also where it answers 404: what its failures
// took of the budget is given back.
func TestA404GivesTheBudgetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n++; n%2 == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusNotFound)
		}))
		for range 200 {
			if err := get(t.Context(), c); !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
		}
	})
}

// With FromEnv the token requests go through the caller's client as well, and a
// source has its own base URL.
func TestWhoCarriesTokenRequests(t *testing.T) {
	t.Setenv("AUTH0_DOMAIN", "tenant.example.com")
	t.Setenv("METI_CLIENT_ID", "id")
	t.Setenv("METI_CLIENT_SECRET", "sentinel-secret")
	t.Setenv("METI_BASE_URL", "https://meti.example.com/sandbox")
	tokens := &auth0{scope: allScopes}
	var hosts []string
	through := WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host+r.URL.Path)
		if r.URL.Host == "tenant.example.com" {
			return tokens.RoundTrip(r)
		}
		return recorded(found, r), nil
	})})
	for _, options := range [][]Option{{FromEnv(), through}, {through, FromEnv()}} {
		c, err := New(options...)
		if err != nil {
			t.Fatal(err)
		}
		hosts = nil
		if err := get(t.Context(), c); err != nil || len(hosts) != 2 || hosts[0] != "tenant.example.com/oauth/token" || hosts[1] != "meti.example.com/sandbox/sources/"+theID {
			t.Error(err, hosts)
		}
	}
	config, err := authn.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	source, err := authn.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := New(WithAuth(source)); err != nil || c.Server() != "https://meti.example.com/sandbox" {
		t.Error(c, err)
	}
}

// Hints name what the caller used.
func TestHintsNameWhatWasUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := get(t.Context(), inMemory(t, answers(status(401))))
		if strings.Contains(err.Error(), "AUTH0") || !strings.Contains(err.Error(), "METI refused tokens from WithTokenSource") {
			t.Error(err)
		}
		tokens := &auth0{scope: allScopes}
		err = get(t.Context(), inMemory(t, answers(status(401)), WithAuth(tokens.source(t))))
		if !strings.Contains(err.Error(), "METI refused tokens from https://tenant.example.com for https://api.meti.millpont.com") {
			t.Error(err)
		}
		err = get(t.Context(), inMemory(t, answers(says(200, "text/html", "<h1>Log in</h1>"))))
		if strings.Contains(err.Error(), "METI_BASE_URL") || !strings.Contains(err.Error(), "is http://127.0.0.1/some/where the METI API?") {
			t.Error(err)
		}
	})
}
