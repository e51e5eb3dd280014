package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// pipes is a server's listener whose connections are in memory: in a
// testing/synctest bubble, time passes while everybody waits on them.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	refused := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: p.Addr(), Err: err}
	}
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return refused(errors.New("connection refused"))
	case <-ctx.Done():
		return refused(ctx.Err())
	}
}

// defaultOver is the default transport over other connections.
func defaultOver(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	transport := safehttp.Transport().Clone()
	transport.DialContext = dial
	transport.Proxy = nil
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// inMemory serves handler in memory and returns a client of it, with a token
// that is never refused unless the options say otherwise.
func inMemory(t *testing.T, handler http.Handler, options ...Option) *Client {
	t.Helper()
	listener := newPipes()
	server := &http.Server{Handler: handler, ErrorLog: nil}
	go func() { _ = server.Serve(listener) }()
	client := defaultOver(t, listener.DialContext)
	t.Cleanup(func() { _ = server.Close() })
	return made(t, append([]Option{WithHTTPClient(client)}, options...)...)
}

// raw lets serve play a server on each connection, byte by byte.
func raw(t *testing.T, serve func(conn net.Conn), options ...Option) *Client {
	t.Helper()
	listener := newPipes()
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	client := defaultOver(t, listener.DialContext)
	t.Cleanup(func() {
		_ = listener.Close()
		client.CloseIdleConnections()
		group.Wait()
	})
	return made(t, append([]Option{WithHTTPClient(client)}, options...)...)
}

const staticToken = "sentinel-token-0123456789"

func made(t testing.TB, options ...Option) *Client {
	t.Helper()
	s := Client{retries: newRetries(RetryPolicy{})}
	for _, option := range options {
		if err := option(&s); err != nil {
			t.Fatal(err)
		}
	}
	if s.tokens.get == nil {
		options = append(options, WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: staticToken})))
	}
	if s.base == nil {
		// The path is there to be lost.
		options = append(options, WithBaseURL("http://127.0.0.1/some/where"))
	}
	c, err := New(options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// seen is one request as a server saw it.
type seen struct {
	method, path, query, token, body string
	header                           http.Header
}

// script answers the nth request with the nth answer, and further ones with
// the last.
type script struct {
	mu      sync.Mutex
	answers []http.HandlerFunc
	seen    []seen
}

func answers(list ...http.HandlerFunc) *script { return &script{answers: list} }

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	n := len(s.seen)
	s.seen = append(s.seen, seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), string(body), r.Header.Clone()})
	answer := s.answers[min(n, len(s.answers)-1)]
	s.mu.Unlock()
	answer(w, r)
}

func (s *script) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seen(nil), s.seen...)
}

const (
	oneSource = `{"id":"src_9fKQ2mZr7TbVw","alt_id":"field-1","start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"}`
	theID     = "src_9fKQ2mZr7TbVw"
)

func says(status int, kind, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func status(code int, headers ...string) http.HandlerFunc {
	return says(code, "application/json", `{"detail":"the words of status"}`, headers...)
}

var (
	listed = says(200, "application/json", "["+oneSource+"]")
	found  = says(200, "application/json", oneSource)
	gone   = status(404)
	done   = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	// dropped closes the connection after the request has been read.
	dropped = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	// cut sends a part of a body.
	cut = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "["+oneSource)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
)

var oneFeature = SourceCreateFeatures{FeatureCollection: FeatureCollection{Features: []Feature{{
	ID: "field-1", Properties: period(), Geometry: json.RawMessage(golden),
}}}}

// operations are the calls of the public API, by operationId.
var operations = []struct {
	name string
	good http.HandlerFunc
	call func(context.Context, *Client) error
}{
	{"listSources", listed, func(ctx context.Context, c *Client) error {
		_, err := c.Sources.List(ctx, ListParams{Filter: Filter{AltID: "sentinel-query"}})
		return err
	}},
	{"getSource", found, get},
	{"createSources", listed, create},
	{"deleteSource", done, del},
	{"deleteSourcesByAltID", done, func(ctx context.Context, c *Client) error { return c.Sources.DeleteByAltID(ctx, "sentinel-query") }},
}

func get(ctx context.Context, c *Client) error {
	_, err := c.Sources.Get(ctx, theID)
	return err
}

func create(ctx context.Context, c *Client) error {
	_, err := c.Sources.Create(ctx, oneFeature)
	return err
}

func del(ctx context.Context, c *Client) error { return c.Sources.Delete(ctx, theID) }

// failure is err as an *Error.
func failure(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *Error", err, err)
	}
	return e
}

// auth0 is a token endpoint that gives out token-1, token-2, ..., whose names
// are long enough to be taken for secrets.
type auth0 struct {
	mu     sync.Mutex
	tokens int
	scope  string
}

func tokenName(n int) string { return "sentinel-token-number-" + string(rune('0'+n)) }

func (a *auth0) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens++
	body := `{"access_token":"` + tokenName(a.tokens) + `","token_type":"Bearer","expires_in":3600,"scope":"` + a.scope + `"}`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (a *auth0) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tokens
}

const allScopes = "read:sources write:sources delete:sources"

// source is an Auth0 source whose tokens come from a.
func (a *auth0) source(t testing.TB) *authn.Source {
	t.Helper()
	source, err := authn.New(authn.Config{Domain: "tenant.example.com", ClientID: "id", ClientSecret: "sentinel-secret", Transport: a, Warn: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// clock measures virtual time.
func clock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// recorded is what handler answers to r, without a network.
func recorded(handler http.HandlerFunc, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	handler(w, r)
	response := w.Result()
	response.Request = r
	return response
}
