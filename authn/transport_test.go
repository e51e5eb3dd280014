package authn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// service is an API in memory that takes only the token that it was last told.
type service struct {
	*auth0
	accepts atomic.Pointer[string]
}

func startService(answer http.HandlerFunc) *service {
	v := &service{}
	v.auth0 = startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
		if token := v.accepts.Load(); token != nil && r.Header.Get("Authorization") != "Bearer "+*token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer(w, r)
	})
	return v
}

func (v *service) accept(token string) { v.accepts.Store(&token) }

func (v *service) client(t *testing.T, s *Source) *http.Client {
	t.Helper()
	return &http.Client{Transport: s.Transport(v.transport)}
}

// After a 401 the body is sent again, byte for byte, under a new token, and the
// second answer is the one returned.
func TestTransportRepeatsA401Once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		body := make([]byte, 1<<20)
		seed := uint64(time.Now().UnixNano())
		t.Log("seed", seed)
		for i, r := 0, rand.New(rand.NewPCG(seed, 0)); i < len(body); i++ {
			body[i] = byte(r.Uint32())
		}
		v := startService(func(w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%v, %d bytes that differ", err, len(got))
			}
			w.WriteHeader(http.StatusCreated)
		})
		defer v.close()
		v.accept(numbered(2))
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1/sources", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Own", "kept")
		resp, err := v.client(t, a.source(t)).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Error(resp.Status)
		}
		if req.Header.Get("Authorization") != "" {
			t.Error("the caller's request was changed")
		}
		a.expect(t, 2)
		v.expect(t, 2)
	})
}

func TestTransportSurfacesTheSecond401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		v := startService(func(w http.ResponseWriter, r *http.Request) {})
		defer v.close()
		v.accept("none")
		resp, err := v.client(t, a.source(t)).Get("http://127.0.0.1/sources")
		if err != nil || resp.StatusCode != 401 {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
		a.expect(t, 2)
		v.expect(t, 2)
	})
}

// A body that cannot be read twice is not sent twice, but the refused token is
// dropped.
func TestTransportLeavesAStreamedBodyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		v := startService(func(w http.ResponseWriter, r *http.Request) {})
		defer v.close()
		v.accept(numbered(2))
		client := v.client(t, a.source(t))
		for _, want := range []int{401, 200} {
			resp, err := client.Post("http://127.0.0.1/sources", "text/plain", struct{ io.Reader }{strings.NewReader("once")})
			if err != nil || resp.StatusCode != want {
				t.Fatal(resp, err)
			}
			_ = resp.Body.Close()
		}
		v.expect(t, 2)
	})
}

// 500 requests refused at the same moment: one more token.
func TestTransport500Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		var meet sync.WaitGroup
		meet.Add(500)
		v := startService(nil)
		v.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			if n <= 500 { // every first attempt waits for the others, then all are refused
				meet.Done()
				meet.Wait()
			}
			if r.Header.Get("Authorization") != "Bearer "+numbered(2) {
				w.WriteHeader(401)
			}
		}
		defer v.close()
		client := v.client(t, a.source(t))
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				resp, err := client.Get("http://127.0.0.1/sources")
				if err != nil || resp.StatusCode != 200 {
					t.Error(resp, err)
					return
				}
				_ = resp.Body.Close()
			})
		}
		wg.Wait()
		a.expect(t, 2)
		v.expect(t, 1000)
	})
}

// No token, no request; another server, no request.
func TestTransportSendsNothingWithoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			reply(w, 401, map[string]string{"error": "invalid_client"})
		})
		defer a.close()
		v := startService(func(w http.ResponseWriter, r *http.Request) {})
		defer v.close()
		client := v.client(t, a.source(t))
		if _, err := client.Post("http://127.0.0.1/sources", "text/plain", strings.NewReader("x")); !isRefused(err) {
			t.Error(err)
		}
		for _, other := range []string{"http://127.0.0.1:81/", "https://127.0.0.1/", "http://localhost/", "http://127.0.0.2/", "http://example.com/"} {
			if _, err := client.Get(other); err == nil || !strings.Contains(err.Error(), "the token is for http://127.0.0.1 only") {
				t.Errorf("%s: %v", other, err)
			}
		}
		v.expect(t, 0)

		// The same server in another spelling is the same server.
		a.answer = grants(3600)
		time.Sleep(permanentFor)
		for _, same := range []string{"http://127.0.0.1/", "http://127.0.0.1:80/sources", "HTTP://127.0.0.1/"} {
			resp, err := client.Get(same)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		v.expect(t, 3)
	})
}

func TestBaseURL(t *testing.T) {
	for base, want := range map[string]string{
		"":                                      DefaultBaseURL,
		"https://api.meti.millpont.com":         "https://api.meti.millpont.com",
		"https://api.meti.millpont.com/sandbox": "https://api.meti.millpont.com/sandbox",
		" HTTPS://API.meti.millpont.com:443/":   "https://api.meti.millpont.com",
		"http://127.0.0.1:8080":                 "http://127.0.0.1:8080",
		"http://api.meti.millpont.com":          "",
		"https://me:pw@api.meti.millpont.com":   "",
		"api.meti.millpont.com":                 "",
		"ftp://api.meti.millpont.com":           "",
		"https://a b/":                          "",
	} {
		s, err := New(Config{Domain: "a.example", ClientID: "i", ClientSecret: "s", BaseURL: base})
		if (err == nil) != (want != "") || err == nil && s.BaseURL() != want {
			t.Errorf("%q: %v, %v", base, s, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Error(err)
		}
	}
}

// closer notes that a body was closed.
type closer struct {
	io.Reader
	closed atomic.Bool
}

func (c *closer) Close() error { c.closed.Store(true); return nil }

// A RoundTripper closes the request's body whatever happens.
func TestTransportClosesBodies(t *testing.T) {
	s, err := New(Config{Domain: "a.example", ClientID: "i", ClientSecret: "s", BaseURL: "https://api.example", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return nil, errors.New("no network")
	})})
	if err != nil {
		t.Fatal(err)
	}
	tr := s.Transport(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, target := range []string{"https://api.example/sources", "https://other.example/"} {
		body := &closer{Reader: strings.NewReader("x")}
		req, err := http.NewRequestWithContext(ctx, "POST", target, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.RoundTrip(req); err == nil || !body.closed.Load() {
			t.Errorf("%s: %v, closed %t", target, err, body.closed.Load())
		}
	}
}

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

func TestTransportFollowsNoRedirect(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { grants(3600)(1, w, r) }))
	defer tokens.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			redirectMatrix(t, numbered(1), func(t *testing.T, first *httptest.Server) error {
				s, err := New(Config{Domain: tokens.URL, ClientID: testClientID, ClientSecret: testSecret, Transport: base, BaseURL: first.URL})
				if err != nil {
					t.Fatal(err)
				}
				defer first.Client().CloseIdleConnections()
				req, err := http.NewRequestWithContext(t.Context(), method, first.URL+"/sources", strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := (&http.Client{Transport: s.Transport(first.Client().Transport)}).Do(req)
				if err == nil {
					_ = resp.Body.Close()
				}
				return err
			})
		})
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

// A redirect by some other server that points at ours arrives as a request of
// the client's own making: it gets no token.
func TestTransportRefusesToBeRedirectedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		v := startService(func(w http.ResponseWriter, r *http.Request) {})
		defer v.close()
		own := v.client(t, a.source(t)).Transport
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "127.0.0.1" {
				return own.RoundTrip(r)
			}
			return &http.Response{StatusCode: 307, Header: http.Header{"Location": {"http://127.0.0.1/sources"}}, Body: http.NoBody, Request: r}, nil
		})}
		_, err := client.Get("https://elsewhere.example/")
		if e, ok := errors.AsType[*RedirectError](err); !ok || e.From != "https://elsewhere.example" || e.To != "http://127.0.0.1" {
			t.Error(err)
		}
		v.expect(t, 0)
	})
}
