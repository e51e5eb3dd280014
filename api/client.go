package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
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
type Client struct {
	// Sources are the operations on sources.
	Sources *SourcesService

	base      *url.URL
	http      *http.Client
	userAgent string
	tokens    tokens
}

// An Option changes what [New] makes. Options that contradict one another are
// refused by New.
type Option func(*Client) error

// New makes a client. It needs one option that says where tokens come from:
// [WithAuth], [WithTokenSource] or [FromEnv].
func New(options ...Option) (*Client, error) {
	c := &Client{
		http:      &http.Client{Transport: defaultTransport()},
		userAgent: "meti-go/" + Version,
	}
	for _, option := range options {
		if err := option(c); err != nil {
			return nil, err
		}
	}
	if c.base == nil {
		if err := WithBaseURL(Production)(c); err != nil {
			return nil, err
		}
	}
	if c.tokens == nil {
		return nil, errors.New("api: no credentials; use WithAuth, WithTokenSource or FromEnv")
	}
	c.Sources = &SourcesService{client: c}
	return c, nil
}

// WithBaseURL calls another server than [Production]; a path is kept, as in
// [Sandbox]. Plain http is refused except to a loopback address.
func WithBaseURL(base string) Option {
	return func(c *Client) error {
		u, err := url.Parse(strings.TrimRight(strings.TrimSpace(base), "/"))
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("api: base URL %q must be scheme, host and at most a path, as in %s", redactURL(base), Production)
		}
		if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return fmt.Errorf("api: base URL %s: only https carries tokens safely; plain http is for loopback addresses", redactURL(base))
		}
		c.base = u
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
// the call repeated once with a new one.
func WithAuth(source *authn.Source) Option {
	return func(c *Client) error {
		if source == nil {
			return errors.New("api: WithAuth(nil)")
		}
		c.tokens = authSource{source}
		return nil
	}
}

// WithTokenSource authenticates by the caller's own source of tokens. It
// cannot be told that a token was refused, so a 401 surfaces at once.
func WithTokenSource(source oauth2.TokenSource) Option {
	return func(c *Client) error {
		if source == nil {
			return errors.New("api: WithTokenSource(nil)")
		}
		c.tokens = ownSource{source}
		return nil
	}
}

// FromEnv takes the credentials from the environment, as
// [authn.FromEnv] reads them, and the base URL from METI_BASE_URL where
// that is set.
func FromEnv() Option {
	return func(c *Client) error {
		if base := os.Getenv("METI_BASE_URL"); base != "" {
			if err := WithBaseURL(base)(c); err != nil {
				return err
			}
		}
		config, err := authn.FromEnv()
		if err != nil {
			return err
		}
		source, err := authn.New(config)
		if err != nil {
			return err
		}
		return WithAuth(source)(c)
	}
}

// WithHTTPClient sends through a copy of the caller's client: its transport,
// cookie jar and timeout are used, its redirect policy is not, for no redirect
// is ever followed.
func WithHTTPClient(client *http.Client) Option {
	return func(c *Client) error {
		if client == nil {
			return errors.New("api: WithHTTPClient(nil)")
		}
		own := *client
		c.http = &own
		return nil
	}
}

// WithUserAgent puts the calling program before the SDK in the User-Agent:
// "harvest/2.1 meti-go/0.1.0".
func WithUserAgent(product string) Option {
	return func(c *Client) error {
		if product == "" || strings.ContainsAny(product, "\r\n") {
			return fmt.Errorf("api: user agent %q must be a product name on one line", product)
		}
		c.userAgent = product + " meti-go/" + Version
		return nil
	}
}

// defaultTransport respects the proxy variables and the system's roots, and
// gives up on a server that does not accept or does not answer.
func defaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// tokens is what the request loop asks of a source of tokens.
type tokens interface {
	// authorize sets the Authorization header and returns the token used.
	authorize(ctx context.Context, request *http.Request) (token string, err error)
	// refused tells of a 401, and reports whether another token can be had.
	refused(token string) bool
}

type authSource struct{ source *authn.Source }

func (s authSource) authorize(ctx context.Context, request *http.Request) (string, error) {
	grant, err := s.source.Grant(ctx)
	if err != nil {
		return "", err
	}
	request.Header["Authorization"] = grant.Header()
	return grant.AccessToken(), nil
}

func (s authSource) refused(token string) bool {
	s.source.Invalidate(token)
	return true
}

type ownSource struct{ source oauth2.TokenSource }

func (s ownSource) authorize(_ context.Context, request *http.Request) (string, error) {
	token, err := s.source.Token()
	if err != nil {
		return "", err
	}
	token.SetAuthHeader(request)
	return token.AccessToken, nil
}

func (ownSource) refused(string) bool { return false }
