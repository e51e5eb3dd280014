package authn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	testSecret   = "s3cret/Sentinel+Value"
	testClientID = "the-client-id"
)

// pipeNet is a network in memory: what is dialed is accepted, whatever the
// address. Virtual time can pass over it, unlike over sockets.
type pipeNet struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeNet() *pipeNet { return &pipeNet{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipeNet) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipeNet) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipeNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, fmt.Errorf("dial: connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// auth0 is a token endpoint in memory.
type auth0 struct {
	requests atomic.Int64
	// answer writes the nth answer, n from 1.
	answer func(n int, w http.ResponseWriter, r *http.Request)

	transport *http.Transport
	server    *http.Server
}

// startAuth0 serves answer until the test ends. It is meant for the inside of
// a synctest bubble: stop it there with close.
func startAuth0(answer func(n int, w http.ResponseWriter, r *http.Request)) *auth0 {
	p := newPipeNet()
	a := &auth0{answer: answer}
	a.transport = &http.Transport{DialContext: p.dial}
	a.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.answer(int(a.requests.Add(1)), w, r)
	})}
	go func() { _ = a.server.Serve(p) }()
	return a
}

func (a *auth0) close() {
	a.transport.CloseIdleConnections()
	_ = a.server.Close()
	time.Sleep(time.Second) // a server lingers over a request body that it did not read
}

func (a *auth0) config() Config {
	return Config{
		Domain: "http://127.0.0.1:8080", ClientID: testClientID, ClientSecret: testSecret,
		BaseURL:   "http://127.0.0.1/base/path",
		Transport: a.transport,
		Warn:      func(error) {},
	}
}

func (a *auth0) source(t *testing.T, change ...func(*Config)) *Source {
	t.Helper()
	c := a.config()
	for _, f := range change {
		f(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// expect says how many token requests there have been.
func (a *auth0) expect(t *testing.T, n int) {
	t.Helper()
	if got := a.requests.Load(); got != int64(n) {
		t.Errorf("%d token requests, want %d", got, n)
	}
}

// jwt makes an unsigned JWT with these claims.
func jwt(claims map[string]any) string {
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return part(map[string]string{"alg": "RS256"}) + "." + part(claims) + ".c2ln"
}

// numbered is the nth token.
func numbered(n int) string { return jwt(map[string]any{"jti": n}) }

// grants answers every request with the next numbered token.
func grants(expiresIn any) func(int, http.ResponseWriter, *http.Request) {
	return func(n int, w http.ResponseWriter, r *http.Request) {
		reply(w, 200, map[string]any{
			"access_token": numbered(n), "token_type": "Bearer", "expires_in": expiresIn,
			"scope": "read:sources write:sources delete:sources",
		})
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
