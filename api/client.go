package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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
	Production  = authn.DefaultBaseURL                    // [A][S]
	Alternative = "https://api.millpont.com"              // [E][L]
	Sandbox     = "https://api.meti.millpont.com/sandbox" // [S]; always answers "no conflict"
)

// Client calls the METI API. It is made by [New] and safe for concurrent use.
// There is nothing to close.
type Client struct {
	Sources *SourcesService // the operations on sources

	base      *url.URL
	http      *http.Client // follows no redirect
	transport http.RoundTripper
	userAgent string
	tokens    tokens
	retries   *retries
	hooks     []func(context.Context, Attempt)
}

// SourcesService are the operations on sources.
type SourcesService struct{ client *Client }

// An Option changes what [New] makes. One that is given twice counts as given last,
// but hooks are all called, and tokens come from one place.
type Option func(*Client) error

// New makes a client, and no request. It needs one option that says where tokens
// come from: [WithAuth], [WithTokenSource] or [FromEnv].
func New(options ...Option) (*Client, error) {
	c := &Client{http: new(http.Client), transport: safehttp.Transport(), userAgent: "meti-go/" + Version, retries: newRetries(RetryPolicy{})}
	c.Sources = &SourcesService{c}
	for _, option := range options {
		if err := option(c); err != nil {
			return nil, err
		}
	}
	if c.tokens.get == nil {
		return nil, errors.New("api: no credentials; use WithAuth, WithTokenSource or FromEnv")
	}
	if c.base == nil {
		c.base, _ = safehttp.Base(c.tokens.server) // it has been checked
	}
	c.http.Transport = transport{c}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// transport is the client's, without a Location that cannot be read: an http.Client
// fails on that before it asks CheckRedirect, and the status is lost.
type transport struct{ client *Client }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.client.transport.RoundTrip(r)
	if err == nil && response != nil && response.Header != nil {
		if _, err := r.URL.Parse(response.Header.Get("Location")); err != nil {
			response.Header.Del("Location")
		}
	}
	return response, err
}

// WithBaseURL calls another server than [Production]; a path is kept, as in
// [Sandbox]. Plain http is refused except to a loopback address.
func WithBaseURL(base string) Option {
	return func(c *Client) (err error) {
		if c.base, err = safehttp.Base(base); err != nil {
			return fmt.Errorf("api: the base URL %w", err)
		}
		return nil
	}
}

// WithAuth authenticates by an Auth0 source, as [WithTokenSource] does.
func WithAuth(source *authn.Source) Option { return WithTokenSource(source) }

// WithTokenSource authenticates by a source of tokens. Unless [WithBaseURL] is
// given, the client calls the server that an [authn.Source] is for. Another source
// cannot be told that a token was refused, so a 401 surfaces at once, and scopes are
// not checked before a call. It is asked before each attempt: wrap it in
// oauth2.ReuseTokenSource if it does not keep its token.
func WithTokenSource(source oauth2.TokenSource) Option {
	return func(c *Client) error {
		auth0, isAuth0 := source.(*authn.Source)
		switch {
		case source == nil, isAuth0 && auth0 == nil:
			return errors.New("api: the source of tokens is nil")
		case c.tokens.get != nil:
			return errors.New("api: credentials given twice; use one of WithAuth, WithTokenSource and FromEnv")
		case isAuth0:
			c.tokens = auth0Tokens(auth0)
		default:
			c.tokens = ownTokens(source)
		}
		return nil
	}
}

// FromEnv takes the credentials and the base URL from the environment, as
// [authn.FromEnv] reads them. [WithBaseURL] goes before METI_BASE_URL.
func FromEnv() Option {
	return func(c *Client) error {
		config, err := authn.FromEnv()
		if err != nil {
			return err
		}
		config.Transport = transport{c}
		source, err := authn.New(config)
		if err != nil {
			return err
		}
		return WithTokenSource(source)(c)
	}
}

// WithHTTPClient sends through a copy of the caller's client: its transport, cookie
// jar and timeout, which bounds each attempt with the reading of its answer. With
// [FromEnv] token requests go through its transport too; a given source has its own.
func WithHTTPClient(own *http.Client) Option {
	return func(c *Client) error {
		if own == nil {
			return errors.New("api: WithHTTPClient(nil)")
		}
		mine := *own
		c.http, c.transport = &mine, cmp.Or(own.Transport, http.DefaultTransport)
		return nil
	}
}

// WithUserAgent puts the calling program before the SDK in the User-Agent:
// "harvest/2.1 meti-go/0.1.0".
func WithUserAgent(product string) Option {
	return func(c *Client) error {
		if strings.TrimSpace(product) == "" || strings.ContainsFunc(product, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("api: user agent %q must be a product name, as in harvest/2.1", product)
		}
		c.userAgent = product + " meti-go/" + Version
		return nil
	}
}

// WithRetryPolicy replaces the bounds of repeats; the one after a 401 has none.
func WithRetryPolicy(policy RetryPolicy) Option {
	return func(c *Client) error {
		if policy.Attempts < 0 || policy.Within < 0 {
			return fmt.Errorf("api: retry policy %+v: nothing may be negative", policy)
		}
		c.retries = newRetries(policy)
		return nil
	}
}

// WithHook calls hook after each attempt, also one for which there was no token or no
// scope, in the goroutine and with the context of the call, so maybe concurrently.
func WithHook(hook func(ctx context.Context, attempt Attempt)) Option {
	return func(c *Client) error {
		if hook == nil {
			return errors.New("api: WithHook(nil)")
		}
		c.hooks = append(c.hooks, hook)
		return nil
	}
}

// Attempt is what a hook is told of one attempt: no token, no query, no source.
type Attempt struct {
	Operation string        // operationId of openapi.yaml
	Number    int           // 1 for the first attempt of a call
	Status    int           // 0 where no answer came
	Duration  time.Duration // token, request and answer; without the time that the consumer of a listing took
	Sent      int64         // bytes of the request's body
	Received  int64         // bytes of the answer's body, as they came over the wire
	Repeat    bool          // another attempt follows
	Wait      time.Duration // before that one
	Err       error         // what went wrong, nil if nothing did
}

// LogAttempts makes a hook that logs: attempts that went well at Debug, those
// that are repeated at Info, and those that ended a call in failure at Warn.
//
//	api.New(api.FromEnv(), api.WithHook(api.LogAttempts(slog.Default())))
func LogAttempts(logger *slog.Logger) func(context.Context, Attempt) {
	return func(ctx context.Context, attempt Attempt) {
		level := slog.LevelDebug
		attributes := []slog.Attr{
			slog.String("operation", attempt.Operation), slog.Int("attempt", attempt.Number), slog.Int("status", attempt.Status),
			slog.Duration("duration", attempt.Duration), slog.Int64("sent", attempt.Sent), slog.Int64("received", attempt.Received),
		}
		if attempt.Err != nil {
			level = slog.LevelWarn
			attributes = append(attributes, slog.String("error", attempt.Err.Error()))
		}
		if attempt.Repeat {
			level = slog.LevelInfo
			attributes = append(attributes, slog.Duration("wait", attempt.Wait))
		}
		logger.LogAttrs(ctx, level, "METI request", attributes...)
	}
}

// Server returns the base URL that the client calls, without a slash at the end.
func (c *Client) Server() string { return c.base.String() }

// Account returns the account of the client's token: the claim account_id [A], or
// else the token's subject. Neither is verified: it is for showing and telling apart.
// The error wraps [authn.ErrOpaqueToken] where the token cannot be read.
func (c *Client) Account(ctx context.Context) (string, error) {
	claims, err := c.Claims(ctx)
	return cmp.Or(claims.AccountID, claims.Subject), err
}

// Claims returns what the client's token says of itself, unverified. The error wraps
// [authn.ErrOpaqueToken] where the token cannot be read.
func (c *Client) Claims(ctx context.Context) (claims authn.UnverifiedClaims, err error) {
	t, err := c.tokens.get(ctx)
	if err == nil {
		claims, err = authn.ParseUnverifiedClaims(t.text)
	}
	if err != nil {
		return claims, fmt.Errorf("api: whose account is it? %w", err)
	}
	return claims, nil
}

// Require fails with an *[authn.ScopeError] where the token is known not to have one
// of the scopes, and names what for.
func (c *Client) Require(ctx context.Context, what string, scopes ...string) error {
	t, err := c.tokens.get(ctx)
	if err != nil || t.grant == nil {
		return err
	}
	return t.grant.Require(what, scopes...)
}

// tokens are where tokens come from, by functions: what they hold is never printed.
type tokens struct {
	get    func(context.Context) (token, error)
	drop   func(string) // a token that was refused; nil where there is no other one
	name   string
	server string // the base URL of the API that they are for
}

// token is the token of one attempt.
type token struct {
	text   string
	header []string     // the value of Authorization
	grant  *authn.Grant // nil where nothing is known but the token
}

func auth0Tokens(source *authn.Source) tokens {
	get := func(ctx context.Context) (token, error) {
		grant, err := source.Grant(ctx)
		if err != nil {
			return token{}, err
		}
		return token{grant.AccessToken(), grant.Header(), grant}, nil
	}
	return tokens{get: get, drop: source.Invalidate, name: source.String(), server: source.BaseURL()}
}

// ownTokens are those of a source without contexts; no call waits beyond its own.
func ownTokens(source oauth2.TokenSource) tokens {
	get := func(ctx context.Context) (token, error) {
		var t *oauth2.Token
		answered := make(chan error, 1)
		go func() {
			var err error
			t, err = source.Token()
			answered <- err
		}()
		var err error
		select {
		case err = <-answered:
		case <-ctx.Done():
			err = fmt.Errorf("%w, while waiting for a token", safehttp.Ended(ctx))
		}
		if err != nil {
			return token{}, err
		}
		if t == nil || t.AccessToken == "" { // it must not become an anonymous call
			return token{}, errors.New("the token source returned no token")
		}
		return token{t.AccessToken, []string{t.Type() + " " + t.AccessToken}, nil}, nil
	}
	return tokens{get: get, name: "tokens from WithTokenSource", server: Production}
}
