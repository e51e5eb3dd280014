package authn

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func isRefused(err error) bool {
	e, ok := errors.AsType[*FetchError](err)
	return ok && e.Refused()
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// recorder is a second server: whatever reaches it is written down.
type recorder struct {
	*httptest.Server
	seen atomic.Pointer[string]
}

func (r *recorder) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	text := req.Method + " " + req.URL.String() + " " + string(body)
	for key, values := range req.Header {
		text += " " + key + ": " + strings.Join(values, ",")
	}
	r.seen.Store(&text)
}

// quietTLS starts a server that does not log the handshakes that tests break.
func quietTLS(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	return server
}

var redirectStatuses = []int{301, 302, 303, 307, 308}

// redirectMatrix calls try with a server that redirects to each kind of other
// place, and fails if anything arrives there, or the error shows the secret.
func redirectMatrix(t *testing.T, secret string, try func(t *testing.T, first *httptest.Server) error) {
	second := &recorder{}
	second.Server = httptest.NewServer(second)
	defer second.Close()
	secondTLS := &recorder{}
	secondTLS.Server = quietTLS(secondTLS)
	defer secondTLS.Close()
	port := second.URL[strings.LastIndex(second.URL, ":"):]
	for name, target := range map[string]string{
		"other port": secondTLS.URL + "/sources",
		"other host": "http://localhost" + port + "/sources",
		"http":       second.URL + "/sources",
		"same host":  "/elsewhere",
		"with query": second.URL + "/?" + url.QueryEscape(secret),
		"nowhere":    "",
		"unreadable": "http://%zz" + secret,
		"host":       "http://" + secret + ".example/",
		"user":       "http://" + secret + ":" + secret + "@localhost/",
	} {
		for _, status := range redirectStatuses {
			t.Run(name+" "+http.StatusText(status), func(t *testing.T) {
				var elsewhere atomic.Int64
				first := quietTLS(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/elsewhere" {
						elsewhere.Add(1)
						return
					}
					if target != "" {
						w.Header().Set("Location", target)
					}
					w.WriteHeader(status)
				}))
				defer first.Close()
				err := try(t, first)
				e, ok := errors.AsType[*RedirectError](err)
				if !ok || e.Status != status || !strings.Contains(err.Error(), "redirect") {
					t.Errorf("%v", err)
				}
				for _, r := range []*recorder{second, secondTLS} {
					if seen := r.seen.Swap(nil); seen != nil {
						t.Errorf("the second server got %s", *seen)
					}
				}
				if elsewhere.Load() != 0 {
					t.Error("the redirect was followed on the same server")
				}
				noSecrets(t, err, secret)
			})
		}
	}
}

func TestTokenEndpointRedirectIsNotFollowed(t *testing.T) {
	const secret = "client-secret-sentinel"
	redirectMatrix(t, secret, func(t *testing.T, first *httptest.Server) error {
		defer first.Client().CloseIdleConnections()
		s, err := New(Config{Domain: first.URL, ClientID: testClientID, ClientSecret: secret, Transport: first.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Token()
		if isTemporary(err) || isRefused(err) {
			t.Error(err)
		}
		return err
	})
}
