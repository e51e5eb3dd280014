package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// Version is this module's version, as the User-Agent names it.
const Version = "0.1.0"

// The servers that openapi.yaml names.
const (
	Production  = "https://api.meti.millpont.com"         // [A][S]
	Alternative = "https://api.millpont.com"              // [E][L]
	Sandbox     = "https://api.meti.millpont.com/sandbox" // [S]; always answers "no conflict"
)

// Client calls the METI API. It is made by [New] and safe for concurrent use.
// There is nothing to close.
type Client struct {
	// Sources are the operations on sources.
	Sources *SourcesService

	base        *url.URL
	transport   http.RoundTripper
	jar         http.CookieJar
	timeout     time.Duration // of one attempt; 0 is none
	userAgent   []string      // a header's value, shared by every request
	tokens      tokens
	checkScopes bool
	retry       RetryPolicy
	budget      *budget
	hooks       []func(context.Context, Attempt)
	limits      limits
}

// settings are what the options say, before New makes a client of it.
type settings struct{ Client }

// An Option changes what [New] makes. An option that is given twice counts as
// given last, except for hooks, which are all called, and for the three that
// say where tokens come from: a second one of those is an error.
type Option func(*settings) error

// New makes a client. It makes no request. It needs one option that says where
// tokens come from: [WithAuth], [WithTokenSource] or [FromEnv].
func New(options ...Option) (*Client, error) {
	s := settings{Client: Client{
		userAgent:   []string{"meti-go/" + Version},
		checkScopes: true,
		limits:      defaultLimits,
	}}
	for _, option := range options {
		if err := option(&s); err != nil {
			return nil, err
		}
	}
	if s.base == nil {
		base := Production
		if by, ok := s.tokens.(authSource); ok {
			base = by.source.BaseURL()
		}
		if err := WithBaseURL(base)(&s); err != nil {
			return nil, err
		}
	}
	if s.tokens == nil {
		return nil, errors.New("api: no credentials; use WithAuth, WithTokenSource or FromEnv")
	}
	c := s.Client
	if c.transport == nil {
		c.transport = safehttp.Transport()
	}
	c.retry = c.retry.withDefaults()
	c.budget = newBudget(c.retry.Budget)
	c.Sources = &SourcesService{client: &c}
	return &c, nil
}

// WithBaseURL calls another server than [Production]; a path is kept, as in
// [Sandbox]. Plain http is refused except to a loopback address.
func WithBaseURL(base string) Option {
	return func(s *settings) error {
		u, err := url.Parse(strings.TrimRight(strings.TrimSpace(base), "/"))
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("api: base URL %s must be scheme, host and at most a path, as in %s", redactURL(base), Production)
		}
		if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return fmt.Errorf("api: base URL %s: only https carries tokens safely; plain http is for loopback addresses", redactURL(base))
		}
		s.base = u
		return nil
	}
}

// redactURL leaves out what a pasted URL may hold besides its place.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// WithAuth authenticates by an Auth0 source. On a 401 its token is dropped and
// the call repeated once with a new one; a call whose scope was not granted
// fails before it is sent, see [WithoutScopeCheck].
func WithAuth(source *authn.Source) Option {
	return func(s *settings) error {
		if source == nil {
			return errors.New("api: WithAuth(nil)")
		}
		return s.authenticate(authSource{source})
	}
}

// WithTokenSource authenticates by the caller's own source of tokens. It
// cannot be told that a token was refused, so a 401 surfaces at once, and what
// was granted is not known, so scopes are not checked before a call.
//
// The source is asked before each attempt: wrap it in oauth2.ReuseTokenSource
// if it does not keep its token. Its Token method knows no context; a call
// whose context ends stops waiting for it.
func WithTokenSource(source oauth2.TokenSource) Option {
	return func(s *settings) error {
		if source == nil {
			return errors.New("api: WithTokenSource(nil)")
		}
		if own, ok := source.(*authn.Source); ok {
			return WithAuth(own)(s)
		}
		return s.authenticate(ownSource{source})
	}
}

// FromEnv takes the credentials from the environment, as [authn.FromEnv] reads
// them, and the base URL from METI_BASE_URL where that is set and
// [WithBaseURL] is not given.
func FromEnv() Option {
	return func(s *settings) error {
		config, err := authn.FromEnv()
		if err != nil {
			return err
		}
		source, err := authn.New(config)
		if err != nil {
			return err
		}
		return s.authenticate(authSource{source})
	}
}

func (s *settings) authenticate(by tokens) error {
	if s.tokens != nil {
		return errors.New("api: credentials given twice; use one of WithAuth, WithTokenSource and FromEnv")
	}
	s.tokens = by
	return nil
}

// WithoutScopeCheck sends calls whose scope the token was not granted, as far
// as Auth0's answer says. It is for a server that grants more than it says.
func WithoutScopeCheck() Option {
	return func(s *settings) error {
		s.checkScopes = false
		return nil
	}
}

// WithHTTPClient sends through the caller's transport, and honours the
// client's cookie jar and its timeout (for each attempt). The client itself is
// not changed and its redirect policy plays no part, for no redirect is ever
// followed. OpenTelemetry's otelhttp is used in this way, see the example.
//
// The limits of this package hold on any transport, but the connect timeout,
// which belongs to it.
func WithHTTPClient(client *http.Client) Option {
	return func(s *settings) error {
		if client == nil {
			return errors.New("api: WithHTTPClient(nil)")
		}
		if client.Timeout < 0 {
			return errors.New("api: WithHTTPClient: the client's timeout is negative")
		}
		s.transport, s.jar, s.timeout = client.Transport, client.Jar, client.Timeout
		if s.transport == nil {
			s.transport = http.DefaultTransport
		}
		return nil
	}
}

// WithUserAgent puts the calling program before the SDK in the User-Agent:
// "harvest/2.1 meti-go/0.1.0".
func WithUserAgent(product string) Option {
	return func(s *settings) error {
		if strings.TrimSpace(product) == "" || strings.ContainsFunc(product, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("api: user agent %q must be a product name, as in harvest/2.1", product)
		}
		s.userAgent = []string{product + " meti-go/" + Version}
		return nil
	}
}

// WithAnswerTimeout changes how long an attempt waits for an answer to begin,
// once the server has all of the request: [AnswerTimeout] unless set.
func WithAnswerTimeout(d time.Duration) Option {
	return func(s *settings) error {
		if d <= 0 {
			return fmt.Errorf("api: answer timeout %s must be positive", d)
		}
		s.limits.answer = d
		return nil
	}
}

// CloseIdleConnections closes the connections that no call is using. Clients
// without [WithHTTPClient] share them. It is rarely needed: they close by
// themselves after 4 seconds.
func (c *Client) CloseIdleConnections() {
	if closer, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// Server returns the base URL that the client calls, without a slash at the
// end: [Production] unless [WithBaseURL] or METI_BASE_URL says otherwise.
func (c *Client) Server() string { return c.base.String() }

// Account returns the account that the client's token belongs to: the claim
// account_id [A], or the token's subject where the token does not name an
// account. Neither is verified: it is for showing, and for telling accounts
// apart. It requests a token if there is none at hand.
//
// The error wraps [authn.ErrOpaqueToken] where the token cannot be read, and
// what the source of tokens said where there is no token.
func (c *Client) Account(ctx context.Context) (string, error) {
	who, err := c.tokens.authorize(ctx, http.Header{})
	if err != nil {
		return "", fmt.Errorf("api: whose account is it? %w", err)
	}
	claims, err := authn.ParseUnverifiedClaims(who.token)
	if err != nil {
		return "", fmt.Errorf("api: whose account is it? %w", err)
	}
	return cmp.Or(claims.AccountID, claims.Subject), nil
}

// Require fails, as a call would, where the token was not granted one of the
// scopes; what for is named in the error. It requests a token if there is none
// at hand. Where the source of tokens does not tell what was granted, or scopes
// are not to be checked, it says nothing.
func (c *Client) Require(ctx context.Context, what string, scopes ...string) error {
	who, err := c.tokens.authorize(ctx, http.Header{})
	if err != nil || who.grant == nil || !c.checkScopes {
		return err
	}
	return who.grant.Require(what, scopes...)
}

// String names the server that the client calls.
func (c Client) String() string {
	if c.base == nil {
		return "client of the METI API"
	}
	return "client of the METI API at " + c.base.String()
}

// Format writes what [Client.String] returns, whatever the verb: a caller's
// own token source is not printed.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// tokens is what the request loop asks of a source of tokens.
type tokens interface {
	// authorize sets the Authorization header.
	authorize(ctx context.Context, header http.Header) (credential, error)
	// refused tells of a 401, and reports whether another token may be had.
	refused(token string) bool
}

// credential is the token of one attempt.
type credential struct {
	token string
	grant *authn.Grant // nil where nothing is known but the token
}

type authSource struct{ source *authn.Source }

func (s authSource) authorize(ctx context.Context, header http.Header) (credential, error) {
	grant, err := s.source.Grant(ctx)
	if err != nil {
		return credential{}, err
	}
	header["Authorization"] = grant.Header()
	return credential{grant.AccessToken(), grant}, nil
}

func (s authSource) refused(token string) bool {
	s.source.Invalidate(token)
	return true
}

type ownSource struct{ source oauth2.TokenSource }

func (s ownSource) authorize(ctx context.Context, header http.Header) (credential, error) {
	token, err := s.ask(ctx)
	if err != nil {
		return credential{}, err
	}
	// A source that has nothing must not become an anonymous call.
	if token == nil || token.AccessToken == "" {
		return credential{}, errors.New("the token source returned no token")
	}
	header["Authorization"] = []string{token.Type() + " " + token.AccessToken}
	return credential{token: token.AccessToken}, nil
}

// ask waits for the token no longer than ctx lasts.
func (s ownSource) ask(ctx context.Context) (*oauth2.Token, error) {
	if ctx.Done() == nil {
		return s.source.Token()
	}
	type result struct {
		token *oauth2.Token
		err   error
	}
	results := make(chan result, 1)
	go func() {
		token, err := s.source.Token()
		results <- result{token, err}
	}()
	select {
	case r := <-results:
		return r.token, r.err
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}

func (ownSource) refused(string) bool { return false }
