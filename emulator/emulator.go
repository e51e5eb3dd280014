package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/meti-go/meti/ledger"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/semaphore"
)

// DefaultAudience is the audience of METI's tokens [A].
const DefaultAudience = "https://api.meti.millpont.com"

// Options are what an emulator may be told. The zero value is useful: one
// demo account, in memory, no faults.
type Options struct {
	// Listen is where [Start] listens; 127.0.0.1:0, a free port, if empty.
	Listen string
	// URL is the address that others reach the server at, the issuer of tokens;
	// where [Start] listens, or http://127.0.0.1 for [New], if empty.
	URL string
	// Data is the SQLite file that keeps the sources, and the key that tokens are
	// signed with. If it is empty they are in memory, the sources beyond 16 MB in
	// a temporary file where there can be one. The sandbox's always are.
	Data     string
	Accounts []Account // who may ask for tokens; [DemoAccount] alone if empty
	// Sources are registered at the start, unless Data ever held one: GeoJSON, or
	// what "meti sources list -o ndjson" prints. An account_id says whose each
	// is; the first account's if not.
	Sources       []io.Reader
	Audience      string        // of tokens; DefaultAudience if empty
	TokenLifetime time.Duration // in whole seconds; an hour if zero
	// TokensPerHour is the quota of tokens of each client, told in the header
	// Auth0-Client-Quota-Limit and answered with 429 when used up; none if zero.
	TokensPerHour int
	// Countries is the table that countries are looked up in, by the centroid;
	// that of package ledger/countries if nil. Where no country is, the answer's
	// is null, and nothing conflicts.
	Countries        *ledger.Countries
	MaxBody          int64   // bytes of a request; more is answered with 413; 64 MiB if zero
	SandboxConflicts bool    // lets the sandbox find conflicts, which METI's never does
	Faults           []Fault // in force from the start
	// Seed makes ids, tokens and the choice of faults repeatable; random if zero.
	// A seeded emulator signs with a key that anybody can know.
	Seed  uint64
	Clock time.Time // when the server's clock starts, to run on from there; the present if zero
	CORS  []string  // origins whose pages may read the answers, such as http://localhost:5173, or *
	// Admin serves /_emulator/, where any program that reaches the port can set
	// faults, make tokens and delete everything.
	Admin bool
	Log   *slog.Logger // gets a record of each request, without tokens, secrets or query values; none if nil
	// Middleware is laid around the whole server: to record requests, or to
	// misbehave in ways that no Fault does.
	Middleware func(http.Handler) http.Handler
}

// complete fills in what was left out.
func (o *Options) complete() error {
	if len(o.Accounts) == 0 {
		o.Accounts = []Account{DemoAccount()}
	}
	if err := checkAccounts(o.Accounts); err != nil {
		return err
	}
	o.URL = strings.TrimRight(cmp.Or(o.URL, "http://127.0.0.1"), "/")
	if u, err := url.Parse(o.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery+u.Fragment != "" {
		return fmt.Errorf("emulator: %q is not the http or https URL of a server", o.URL)
	}
	o.Audience = cmp.Or(o.Audience, DefaultAudience)
	o.MaxBody = cmp.Or(o.MaxBody, 64<<20)
	if o.TokenLifetime = cmp.Or(o.TokenLifetime, time.Hour); o.TokenLifetime < time.Second {
		return errors.New("emulator: a token lives for a second at least")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Server is a running emulator. Its methods may be used by many goroutines.
type Server struct {
	// URL is where it is reached, without a slash at the end: METI's base URL
	// and Auth0's domain alike. Add /sandbox for METI's sandbox.
	URL string

	options    Options
	listening  string // the host that was listened on
	handler    http.Handler
	production *store
	sandbox    *store
	key        jose.JSONWebKey     // private: tokens are signed with it
	bodies     *semaphore.Weighted // bytes of bodies in memory

	mutex  sync.Mutex
	closed bool
	state

	ctx      context.Context // ends when Close is called, and with it the waits of faults
	cancel   context.CancelFunc
	work     sync.WaitGroup // requests and late commits under way
	http     *http.Server
	unused   sync.Map      // connections that have not brought a request yet
	served   chan struct{} // closed when http.Serve has returned
	closing  sync.Once
	closeErr error
}

// state is what a reset sets anew, apart from the stores.
type state struct {
	accounts []Account
	faults   []activeFault
	counts   map[string]int // requests by operation
	last     []*Request
	quotas   map[string]int // tokens given, by client and hour
	tokens   int            // made so far
	clockAt  time.Time      // what the clock was set to
	clockSet time.Time      // when that was
	frozen   bool
}

// Start makes a server that listens on [Options.Listen]. Close it after use.
func Start(o Options) (*Server, error) {
	listen := cmp.Or(o.Listen, "127.0.0.1:0")
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	if o.URL == "" {
		at := listener.Addr().(*net.TCPAddr)
		if at.IP.IsUnspecified() { // everywhere: loopback is a part of that
			at.IP = net.IPv4(127, 0, 0, 1)
		}
		o.URL = "http://" + at.String()
	}
	s, err := New(o)
	if err != nil {
		listener.Close()
		return nil, err
	}
	s.listening, _, _ = net.SplitHostPort(listen)
	s.http = &http.Server{
		Handler: s.handler, ConnState: s.noteUnused, MaxHeaderBytes: 64 << 10,
		// Once it has read a body, an operation may take longer; for slow readers.
		ReadHeaderTimeout: 30 * time.Second, ReadTimeout: bodyTimeout, IdleTimeout: bodyTimeout, WriteTimeout: time.Hour,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ErrorLog:    slog.NewLogLogger(s.options.Log.Handler(), slog.LevelWarn),
	}
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.http.Serve(netutil.LimitListener(listener, 1000)) // ends with ErrServerClosed; more connections wait
	}()
	return s, nil
}

// New makes a server without a network, for those who serve [Server.Handler]
// themselves: over net.Pipe inside a testing/synctest bubble, for example,
// where New must be called too. Close it after use.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Server{URL: o.URL, options: o, bodies: semaphore.NewWeighted(bodiesAtOnce * o.MaxBody)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.handler = s.routes()
	if o.Middleware != nil {
		s.handler = o.Middleware(s.handler)
	}
	return s, nil
}

// open opens the stores, and makes the state that a reset goes back to.
func (s *Server) open() (err error) {
	key := func() []byte { return seededKey }
	if s.options.Seed == 0 {
		key, s.options.Seed = processKey, rand.Uint64()|1 // not 0
	}
	if s.production, err = openStore(s.options.Data, production, s.options.Seed); err != nil {
		return err
	}
	if s.sandbox, err = openStore("", sandbox, s.options.Seed); err != nil {
		return err
	}
	if s.key, err = s.production.tokenKey(key); err != nil {
		return err
	}
	for _, prepare := range []func() error{s.start, s.seed, s.production.remember, s.sandbox.remember} {
		if err := prepare(); err != nil {
			return err
		}
	}
	return nil
}

// start sets what is not in a store.
func (s *Server) start() error {
	at := s.options.Clock
	if at.IsZero() {
		at = time.Now()
	}
	s.mutex.Lock()
	s.state = state{accounts: slices.Clone(s.options.Accounts), counts: make(map[string]int), quotas: make(map[string]int)}
	s.mutex.Unlock()
	s.SetClock(at, false)
	return s.SetFaults(s.options.Faults)
}

// Reset makes everything as it was at the start: the sources of all accounts
// and of the sandbox, the id that comes next, accounts, faults, counts, quotas
// and the clock. Tokens stay valid while they last.
func (s *Server) Reset(context.Context) error {
	return errors.Join(s.production.reset(), s.sandbox.reset(), s.start())
}

// Handler is the whole server.
func (s *Server) Handler() http.Handler { return s.handler }

// Seed is what ids and faults are drawn from: the one given, or the random one
// that was taken instead.
func (s *Server) Seed() uint64 { return s.options.Seed }

// Close stops listening, ends the waits of faults (what was to commit later
// does not), lets requests under way finish for up to five seconds, and closes
// the database. No goroutine is left behind. It may be called more than once.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.cancel()
		if s.http != nil {
			s.unused.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if s.http.Shutdown(ctx) != nil {
				_ = s.http.Close()
			}
			<-s.served
		}
		s.mutex.Lock()
		s.closed = true
		s.mutex.Unlock()
		s.work.Wait()
		s.closeErr = errors.Join(s.production.close(), s.sandbox.close())
	})
	return s.closeErr
}

// noteUnused knows the connections that have not brought a request yet: a client's
// pool opens more than it uses, and Shutdown would wait for those.
func (s *Server) noteUnused(conn net.Conn, state http.ConnState) {
	if s.unused.Delete(conn); state == http.StateNew {
		s.unused.Store(conn, nil)
	}
}

// lock takes the mutex, and gives what lets go of it.
func (s *Server) lock() func() {
	s.mutex.Lock()
	return s.mutex.Unlock
}

// begin adds to the work under way; false once the server is closing.
func (s *Server) begin() bool {
	defer s.lock()()
	if !s.closed {
		s.work.Add(1)
	}
	return !s.closed
}

// Now is what the server's clock says, which created_at and the expiry of
// tokens follow.
func (s *Server) Now() time.Time {
	now, _ := s.clock()
	return now
}

func (s *Server) clock() (now time.Time, frozen bool) {
	defer s.lock()()
	if now = s.clockAt; !s.frozen {
		now = now.Add(time.Since(s.clockSet))
	}
	return now, s.frozen
}

// SetClock sets the server's clock. If it is frozen it stays there, or else it
// runs on.
func (s *Server) SetClock(at time.Time, frozen bool) {
	defer s.lock()()
	s.clockAt, s.clockSet, s.frozen = at, time.Now(), frozen
}

// Ready is what the command prints when it is ready: one JSON line, from which
// a client can be configured.
type Ready struct {
	URL          string `json:"url"`           // METI's base URL
	Domain       string `json:"domain"`        // Auth0's domain
	ClientID     string `json:"client_id"`     // the first account's
	ClientSecret string `json:"client_secret"` // the first account's
	Audience     string `json:"audience"`      // what to ask tokens for
}

// Ready tells how to use the server with its first account.
func (s *Server) Ready() Ready {
	first := s.Accounts()[0]
	return Ready{s.URL, s.URL, first.ClientID, first.ClientSecret, s.options.Audience}
}

// Environ is [Server.Ready] as the variables that authn.FromEnv, api.FromEnv
// and the command read, to be added to those of a process.
func (s *Server) Environ() []string {
	ready := s.Ready()
	return []string{
		"METI_BASE_URL=" + ready.URL, "AUTH0_DOMAIN=" + ready.Domain, "AUTH0_AUDIENCE=" + ready.Audience,
		"METI_CLIENT_ID=" + ready.ClientID, "METI_CLIENT_SECRET=" + ready.ClientSecret, "METI_CLIENT_SECRET_FILE=",
	}
}
