package emulator

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/meti-go/meti/emulator/internal/httpapi"
	"github.com/meti-go/meti/ledger"
)

// DefaultAudience is the audience of METI's tokens [A].
const DefaultAudience = "https://api.meti.millpont.com"

// Options are what an emulator may be told. The zero value is useful: one
// demo account, in memory, no faults.
type Options struct {
	// Listen is where [Start] listens; 127.0.0.1:0, a free port, if empty.
	Listen string
	// URL is where the server is reached. [Start] finds it out by itself; with
	// [New] it becomes the issuer of the tokens, http://127.0.0.1 if empty.
	URL string
	// Data is the SQLite file that keeps the sources. If it is empty they are
	// in memory, beyond 16 MB in a temporary file without a name if there is a
	// place for one, and gone when the emulator ends. Those of the sandbox
	// always are.
	Data string
	// Accounts are who may ask for tokens; [DemoAccount] alone if empty.
	Accounts []Account
	// Audience is what tokens are for; [DefaultAudience] if empty.
	Audience string
	// TokenLifetime is how long a token is valid, in whole seconds; an hour if
	// zero.
	TokenLifetime time.Duration
	// TokensPerHour is the quota of tokens of each client, told in the header
	// Auth0-Client-Quota-Limit and answered with 429 when used up; none if zero.
	TokensPerHour int
	// Countries is the table that countries are looked up in, by the centroid;
	// the world's, of package ledger/countries, if nil. Where no country is, the
	// answer's is null, and nothing conflicts.
	Countries *ledger.Countries
	// MaxBody is the largest request body that is taken, in bytes; larger ones
	// are answered with 413. 64 MiB if zero.
	MaxBody int64
	// SandboxConflicts lets the sandbox find conflicts, which METI's never does.
	SandboxConflicts bool
	// Faults are in force from the start; see [Fault].
	Faults []Fault
	// Seed makes the ids and the choice of faults repeatable; random if zero.
	Seed uint64
	// Now is the clock; time.Now if nil. Waits of faults are not taken from it.
	Now func() time.Time
	// Admin serves /_emulator/, where anybody who reaches the port can set
	// faults and delete everything.
	Admin bool
	// Log receives one record for each request, without tokens, secrets or
	// query values; none if nil.
	Log *slog.Logger
	// Middleware is laid around the whole server: to record requests, or to
	// misbehave in ways that no Fault does.
	Middleware func(http.Handler) http.Handler
}

// Server is a running emulator. Its methods may be used by many goroutines.
type Server struct {
	// URL is where it is reached, without a slash at the end: METI's base URL
	// and Auth0's domain alike. Add /sandbox for METI's sandbox.
	URL string

	options    Options
	accounts   []Account
	handler    http.Handler
	production *store
	sandbox    *store
	faults     faultSet
	quotas     quotas

	countsMutex sync.Mutex
	counts      map[string]int

	// ctx ends when Close is called: waits of faults end with it.
	ctx      context.Context
	cancel   context.CancelFunc
	work     underWay
	http     *http.Server
	idle     newConns
	served   chan struct{} // closed when http.Serve has returned
	closing  sync.Once
	closeErr error
}

// Start makes a server that listens on [Options.Listen]. Close it after use.
func Start(o Options) (*Server, error) {
	listen := o.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	if o.URL == "" {
		o.URL = "http://" + reachable(listener.Addr().(*net.TCPAddr))
	}
	s, err := New(o)
	if err != nil {
		listener.Close()
		return nil, err
	}
	s.idle.conns = make(map[net.Conn]struct{})
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnState:         s.idle.track,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	if o.Log != nil {
		s.http.ErrorLog = slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn)
	}
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // ends with ErrServerClosed
	}()
	return s, nil
}

// reachable is the address to connect to for a listener: the loopback one
// where it listens everywhere.
func reachable(addr *net.TCPAddr) string {
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

// New makes a server without a network, for those who serve [Server.Handler]
// themselves: over net.Pipe inside a testing/synctest bubble, for example,
// where New must be called too. Close it after use.
func New(o Options) (*Server, error) {
	if len(o.Accounts) == 0 {
		o.Accounts = []Account{DemoAccount()}
	}
	if err := checkAccounts(o.Accounts); err != nil {
		return nil, err
	}
	if o.URL == "" {
		o.URL = "http://127.0.0.1"
	}
	if o.Audience == "" {
		o.Audience = DefaultAudience
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = time.Hour
	}
	if o.TokenLifetime < time.Second {
		return nil, errors.New("emulator: a token lives for a second at least")
	}
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for o.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		o.Seed = binary.LittleEndian.Uint64(b[:])
	}
	s := &Server{
		URL:      strings.TrimRight(o.URL, "/"),
		options:  o,
		accounts: o.Accounts,
		counts:   make(map[string]int),
	}
	s.faults.seed = o.Seed
	if err := s.SetFaults(o.Faults); err != nil {
		return nil, err
	}
	var err error
	if s.production, err = openStore(o.Data, production, o); err != nil {
		return nil, err
	}
	if s.sandbox, err = openStore("", sandbox, o); err != nil {
		return nil, errors.Join(err, s.production.close())
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.handler = s.routes()
	if o.Middleware != nil {
		s.handler = o.Middleware(s.handler)
	}
	return s, nil
}

// Handler is the whole server.
func (s *Server) Handler() http.Handler { return s.handler }

// Accounts are those that may ask for tokens, secrets included.
func (s *Server) Accounts() []Account { return append([]Account(nil), s.accounts...) }

// Seed is what ids and faults are drawn from: the one given, or the random one
// that was taken instead.
func (s *Server) Seed() uint64 { return s.options.Seed }

// Requests counts the requests received so far, by the operationId of
// openapi.yaml: Requests()["requestToken"] is how many tokens were asked for.
// Sandbox requests count for the same operations; refused requests and those
// that a fault took count too.
func (s *Server) Requests() map[string]int {
	s.countsMutex.Lock()
	defer s.countsMutex.Unlock()
	counts := make(map[string]int, len(s.counts))
	for operation, n := range s.counts {
		counts[operation] = n
	}
	return counts
}

func (s *Server) count(operation string) {
	s.countsMutex.Lock()
	defer s.countsMutex.Unlock()
	s.counts[operation]++
}

// Reset deletes all sources of all accounts, those of the sandbox too, and
// sets the counts of [Server.Requests] to zero. Faults stay.
func (s *Server) Reset(ctx context.Context) error {
	if err := errors.Join(s.production.reset(ctx), s.sandbox.reset(ctx)); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	s.countsMutex.Lock()
	defer s.countsMutex.Unlock()
	clear(s.counts)
	return nil
}

// grace is how long Close waits for requests under way.
const grace = 5 * time.Second

// Close stops listening, ends the waits of faults (what was to commit later
// does not), lets requests under way finish for up to five seconds, and closes
// the database. No goroutine is left behind. It may be called more than once.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.cancel()
		if s.http != nil {
			s.idle.close()
			ctx, cancel := context.WithTimeout(context.Background(), grace)
			defer cancel()
			if s.http.Shutdown(ctx) != nil {
				_ = s.http.Close()
			}
			<-s.served
		}
		s.work.wait()
		s.closeErr = errors.Join(s.production.close(), s.sandbox.close())
	})
	return s.closeErr
}

// underWay counts the requests and late commits under way. Unlike a WaitGroup
// it may be added to while it is waited for.
type underWay struct {
	mutex  sync.Mutex
	n      int
	closed bool
	empty  chan struct{} // closed when closed and n is 0
}

// begin is false once the server is closing.
func (u *underWay) begin() bool {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	if u.closed {
		return false
	}
	u.n++
	return true
}

func (u *underWay) end() {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.n--
	if u.closed && u.n == 0 {
		close(u.empty)
	}
}

func (u *underWay) wait() {
	u.mutex.Lock()
	u.closed = true
	u.empty = make(chan struct{})
	if u.n == 0 {
		close(u.empty)
	}
	u.mutex.Unlock()
	<-u.empty
}

// newConns knows the connections that have not brought a request yet: a
// client's pool opens more than it uses, and Shutdown would wait for those.
type newConns struct {
	mutex  sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func (n *newConns) track(conn net.Conn, state http.ConnState) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if state != http.StateNew {
		delete(n.conns, conn)
		return
	}
	if n.closed {
		conn.Close()
		return
	}
	n.conns[conn] = struct{}{}
}

func (n *newConns) close() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.closed = true
	for conn := range n.conns {
		conn.Close()
	}
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
	return Ready{
		URL:          s.URL,
		Domain:       s.URL,
		ClientID:     s.accounts[0].ClientID,
		ClientSecret: s.accounts[0].ClientSecret,
		Audience:     s.options.Audience,
	}
}

var _ httpapi.ServerInterface = (*service)(nil)
