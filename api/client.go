package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/gen"
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
	// Sources are the operations on sources.
	Sources *SourcesService

	client *client
}

// settings are what the options say, before New makes a client of it.
type settings struct {
	client
	policy  RetryPolicy
	fromEnv bool
}

// An Option changes what [New] makes. An option that is given twice counts as
// given last, except for hooks, which are all called, and for the three that
// say where tokens come from: a second one of those is an error.
type Option func(*settings) error

// New makes a client. It makes no request. It needs one option that says where
// tokens come from: [WithAuth], [WithTokenSource] or [FromEnv].
func New(options ...Option) (*Client, error) {
	s := settings{client: client{
		http:      &http.Client{Transport: safehttp.Transport()},
		userAgent: []string{"meti-go/" + Version},
		limits:    defaultLimits,
	}}
	for _, option := range options {
		if err := option(&s); err != nil {
			return nil, err
		}
	}
	if s.fromEnv {
		config, err := authn.FromEnv()
		if err != nil {
			return nil, err
		}
		config.Transport = s.http.Transport
		source, err := authn.New(config)
		if err != nil {
			return nil, err
		}
		s.tokens = authSource{source}
	}
	if s.tokens == nil {
		return nil, errors.New("api: no credentials; use WithAuth, WithTokenSource or FromEnv")
	}
	if s.base == nil {
		base := Production
		if by, ok := s.tokens.(authSource); ok {
			base = by.BaseURL()
		}
		if err := WithBaseURL(base)(&s); err != nil {
			return nil, err
		}
	}
	s.http.Transport = readableRedirects{s.http.Transport}
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.retries = newRetries(s.policy)
	return &Client{Sources: &SourcesService{client: &s.client}, client: &s.client}, nil
}

// readableRedirects takes away a Location that cannot be read: an http.Client
// fails on it before it asks CheckRedirect, and the status is lost.
type readableRedirects struct{ http.RoundTripper }

func (t readableRedirects) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
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
	return func(s *settings) (err error) {
		if s.base, err = safehttp.Base(base); err != nil {
			return fmt.Errorf("api: the base URL %w", err)
		}
		return nil
	}
}

// WithAuth authenticates by an Auth0 source. On a 401 its token is dropped and
// the call repeated once with a new one; a call whose scope was not granted
// fails before it is sent. Unless [WithBaseURL] is given, the client calls the
// source's own [authn.Source.BaseURL].
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
// was granted is not known, so scopes are not checked before a call. It is asked
// before each attempt: wrap it in oauth2.ReuseTokenSource if it does not keep its
// token.
func WithTokenSource(source oauth2.TokenSource) Option {
	return func(s *settings) error {
		if source == nil {
			return errors.New("api: WithTokenSource(nil)")
		}
		if own, ok := source.(*authn.Source); ok {
			return WithAuth(own)(s)
		}
		return s.authenticate(ownSource(source.Token))
	}
}

// FromEnv takes the credentials and the base URL from the environment, as
// [authn.FromEnv] reads them. [WithBaseURL] goes before METI_BASE_URL.
func FromEnv() Option {
	return func(s *settings) error {
		s.fromEnv = true
		return s.authenticate(nil)
	}
}

func (s *settings) authenticate(by tokens) error {
	if s.tokens != nil || s.fromEnv && by != nil {
		return errors.New("api: credentials given twice; use one of WithAuth, WithTokenSource and FromEnv")
	}
	s.tokens = by
	return nil
}

// WithHTTPClient sends through a copy of the caller's client: its transport, its
// cookie jar and its timeout, which bounds each attempt with the reading of its
// answer. Its redirect policy plays no part, for no redirect is followed. With
// [FromEnv] the token requests go through its transport too; the source that is
// given to [WithAuth] or [WithTokenSource] has its own.
func WithHTTPClient(own *http.Client) Option {
	return func(s *settings) error {
		if own == nil {
			return errors.New("api: WithHTTPClient(nil)")
		}
		mine := *own
		mine.Transport = cmp.Or(mine.Transport, http.DefaultTransport)
		s.http = &mine
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

// WithRetryPolicy replaces the bounds of repeats; the one after a 401 has none.
func WithRetryPolicy(policy RetryPolicy) Option {
	return func(s *settings) error {
		if policy.Attempts < 0 || policy.Within < 0 {
			return fmt.Errorf("api: retry policy %+v: nothing may be negative", policy)
		}
		s.policy = policy
		return nil
	}
}

// WithHook calls hook after each attempt, before the wait that may follow, in
// the goroutine and with the context of the call; calls may be concurrent. A scope
// that is missing and a token that is not to be had are told as attempts too, with
// nothing sent.
func WithHook(hook func(ctx context.Context, attempt Attempt)) Option {
	return func(s *settings) error {
		if hook == nil {
			return errors.New("api: WithHook(nil)")
		}
		s.hooks = append(s.hooks, hook)
		return nil
	}
}

// A DoOption changes one call of [Client.Do].
type DoOption func(*call)

// Repeatable says that an operation may be carried out twice, so that a call of
// it is repeated as a GET of this package is.
func Repeatable() DoOption { return func(c *call) { c.twice = true } }

// Do carries out an operation that this version does not know, as the others are.
// It returns the answer's body, which has to be JSON, or nil where there is none.
//
// The path is below the base URL and escaped. The body is sent as JSON: []byte and
// json.RawMessage as they are, whatever else as encoding/json writes it, nil not at
// all.
//
//	answer, err := client.Do(ctx, "PATCH", "/sources/"+url.PathEscape(id), nil, map[string]any{"tags": tags})
//
// Unless it is [Repeatable], it is repeated only after a 401, with a new token, and
// the error of anything but a GET is [ErrOutcomeUnknown] where it may have been
// carried out. Whether the token has the scope is for the caller to know.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body any, options ...DoOption) (json.RawMessage, error) {
	operation := gen.Operation{ID: strings.TrimSpace(method + " " + path), Method: method, Path: path}
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return nil, invalid(operation, "the method has to be one of HTTP's in capitals, and the path to begin with a slash and be without a query", nil)
	}
	call := call{operation: operation, path: path, query: query, unknown: true}
	switch body := body.(type) {
	case nil:
	case []byte:
		call.body = body
	case json.RawMessage:
		call.body = body
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return nil, invalid(operation, "the body cannot be written as JSON: "+err.Error(), err)
		}
		call.body = text
	}
	for _, option := range options {
		option(&call)
	}
	return answerOf(ctx, c.client, call, func(r io.Reader) (json.RawMessage, error) {
		answer, err := io.ReadAll(r)
		if len(answer) == 0 {
			return nil, err
		}
		if err == nil && !json.Valid(answer) {
			err = errors.New("it is not JSON")
		}
		return answer, err
	})
}

// Server returns the base URL that the client calls, without a slash at the
// end: [Production] unless [WithBaseURL] or METI_BASE_URL says otherwise.
func (c *Client) Server() string { return c.client.base.String() }

// Account returns the account that the client's token belongs to: the claim
// account_id [A], or the token's subject where the token does not name an
// account. Neither is verified: it is for showing, and for telling accounts
// apart. It requests a token if there is none at hand.
//
// The error wraps [authn.ErrOpaqueToken] where the token cannot be read, and
// what the source of tokens said where there is no token.
func (c *Client) Account(ctx context.Context) (string, error) {
	who, err := c.client.tokens.authorize(ctx, http.Header{})
	var claims authn.UnverifiedClaims
	if err == nil {
		claims, err = authn.ParseUnverifiedClaims(who.token)
	}
	if err != nil {
		return "", fmt.Errorf("api: whose account is it? %w", err)
	}
	return cmp.Or(claims.AccountID, claims.Subject), nil
}

// Require fails, as a call would, where the token was not granted one of the
// scopes; what for is named in the error. It requests a token if there is none
// at hand. Where the source of tokens does not tell what was granted, it says
// nothing.
func (c *Client) Require(ctx context.Context, what string, scopes ...string) error {
	who, err := c.client.tokens.authorize(ctx, http.Header{})
	if err != nil || who.grant == nil {
		return err
	}
	return who.grant.Require(what, scopes...)
}
