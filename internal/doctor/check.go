package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// A Setup is what the checks look at.
type Setup struct {
	Getenv    func(string) string
	Config    authn.Config // of the environment
	ConfigErr error        // what is wrong with it
	Tokens    *authn.Source
	Client    *api.Client
	Server    string   // the client's, in words
	Needed    []string // the scopes of all operations
	Now       func() time.Time
}

// mostSkew is how far this machine's clock may be from the servers'.
const mostSkew = time.Minute

// checking is one run of the checks.
type checking struct {
	Setup
	checks []Check
	skews  []string
	worst  time.Duration
}

// ok and fail note a check; fail says what to do.
func (c *checking) ok(name, detail string, args ...any) bool {
	c.checks = append(c.checks, Check{Name: name, OK: true, Detail: printable(fmt.Sprintf(detail, args...))})
	return true
}

func (c *checking) fail(name string, err error) bool {
	c.checks = append(c.checks, Check{Name: name, Detail: printable(err.Error()), Err: err})
	return false
}

// Check checks, in the order in which things are needed. It ends where what
// follows cannot be told. It requests one token at most, and changes nothing.
func (s Setup) Check(ctx context.Context) []Check {
	c := &checking{Setup: s}
	if !c.environment() {
		return c.checks
	}
	c.proxies()
	hosts := c.auth0(ctx) && c.meti(ctx) // a proxy that refuses is asked once
	c.clock()
	if hosts && c.token(ctx) && c.read(ctx) {
		c.target(ctx)
	}
	return c.checks
}

// environment says which variables are set, and no value that is secret.
func (c *checking) environment() bool {
	var set []string
	say := func(variable, value string) {
		if c.Getenv(variable) != "" {
			set = append(set, variable+value)
		}
	}
	for _, variable := range []string{"AUTH0_DOMAIN", "AUTH0_AUDIENCE", "METI_BASE_URL"} {
		say(variable, " "+withoutUser(c.Getenv(variable)))
	}
	for _, variable := range []string{"METI_CLIENT_ID", "CLIENT_ID", "METI_CLIENT_SECRET", "CLIENT_SECRET"} {
		say(variable, "")
	}
	file := c.Getenv("METI_CLIENT_SECRET_FILE")
	say("METI_CLIENT_SECRET_FILE", " "+file)
	if info, err := os.Stat(file); file != "" && err == nil && info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		set = append(set, "which others can read: chmod 600 it")
	}
	if c.ConfigErr != nil {
		if len(set) == 0 {
			set = []string{"nothing"}
		}
		return c.fail("environment", fmt.Errorf("set: %s. %w. Without credentials, \"meti demo\" shows everything on an emulator", strings.Join(set, ", "), c.ConfigErr))
	}
	return c.ok("environment", "%s", strings.Join(set, ", "))
}

// withoutUser takes a user name and a password out of a URL.
func withoutUser(text string) string {
	before, after, found := strings.Cut(text, "@")
	if !found {
		return text
	}
	scheme, _, has := strings.Cut(before, "://")
	if !has {
		return "[redacted]@" + after
	}
	return scheme + "://[redacted]@" + after
}

func (c *checking) proxies() {
	var set []string
	for _, variable := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		for _, variable := range []string{variable, strings.ToLower(variable)} {
			if value := c.Getenv(variable); value != "" {
				set = append(set, variable+" "+withoutUser(value))
			}
		}
	}
	c.ok("proxy", "%s", orNone(set))
}

// auth0 asks the Auth0 domain what it is.
func (c *checking) auth0(ctx context.Context) bool {
	const name = "auth0"
	origin, err := url.Parse(c.Config.Domain)
	if err != nil || origin.Host == "" {
		origin = &url.URL{Scheme: "https", Host: c.Config.Domain}
	}
	status, text, err := c.ask(ctx, name, origin.Scheme+"://"+origin.Host+"/.well-known/openid-configuration")
	var told struct {
		Issuer string `json:"issuer"`
	}
	switch {
	case err != nil:
	case status == http.StatusOK && json.Unmarshal(text, &told) == nil && told.Issuer != "":
		return c.ok(name, "%s answers", origin.Host)
	case safehttp.Redirects(status) || status == http.StatusOK:
		err = fmt.Errorf("%s answers as a web page would: a proxy or a portal that wants a login stands in between, or AUTH0_DOMAIN is not Auth0's", origin.Host)
	default:
		err = fmt.Errorf("%s answers, but not as Auth0 does (%d): check AUTH0_DOMAIN", origin.Host, status)
	}
	return c.fail(name, &authn.FetchError{Domain: origin.Host, Status: status, Err: err})
}

// meti asks METI without a token, which it has to refuse.
func (c *checking) meti(ctx context.Context) bool {
	const name = "meti"
	base := c.Client.Server()
	status, text, err := c.ask(ctx, name, base+"/sources?limit=1")
	switch {
	case err != nil:
		return c.fail(name, err)
	case (status == http.StatusUnauthorized || status == http.StatusForbidden) && json.Valid(text):
		return c.ok(name, "%s answers", base)
	case safehttp.Redirects(status) || status == http.StatusOK || !json.Valid(text):
		return c.fail(name, fmt.Errorf("%s answers %d as a web page would: a proxy or a portal that wants a login stands in between, or METI_BASE_URL is not METI's", base, status))
	}
	return c.fail(name, fmt.Errorf("%s answers %d to a request without a token, and should answer 401: check METI_BASE_URL", base, status))
}

// ask sends a request without credentials, and looks at the name of the host,
// the connection and the clock.
func (c *checking) ask(ctx context.Context, name, address string) (status int, text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	transport := safehttp.Transport()
	if through, err := transport.Proxy(request); err == nil && through == nil {
		if _, err := net.DefaultResolver.LookupHost(ctx, request.URL.Hostname()); err != nil {
			return 0, nil, fmt.Errorf("there is no host %s: check its name, and DNS", request.URL.Hostname())
		}
	}
	before := c.Now()
	response, err := transport.RoundTrip(request)
	if err != nil {
		if advice, _ := safehttp.Advice(err); advice != "" {
			err = fmt.Errorf("%w: %s", err, advice)
		}
		return 0, nil, fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusProxyAuthRequired {
		return response.StatusCode, nil, fmt.Errorf("the proxy refuses: %s", safehttp.ProxyAdvice)
	}
	if text, err = io.ReadAll(io.LimitReader(response.Body, 1<<20)); err != nil {
		return response.StatusCode, nil, fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		here := before.Add(c.Now().Sub(before) / 2)
		skew := here.Sub(date).Truncate(time.Second)
		c.skews = append(c.skews, fmt.Sprintf("%s by %s's", skew, name))
		if skew.Abs() > c.worst.Abs() {
			c.worst = skew
		}
	}
	return response.StatusCode, text, nil
}

func (c *checking) clock() {
	switch {
	case len(c.skews) == 0:
	case c.worst.Abs() > mostSkew:
		c.fail("clock", fmt.Errorf("this machine's clock is off: %s. Tokens are taken for expired, or for not valid yet: set the clock, best by NTP", strings.Join(c.skews, ", ")))
	default:
		c.ok("clock", "right within %s", max(c.worst.Abs(), time.Second))
	}
}

// token requests a token, and looks at what it is good for.
func (c *checking) token(ctx context.Context) bool {
	grant, err := c.Tokens.Grant(ctx)
	if err != nil {
		return c.fail("token", err)
	}
	claims, err := authn.ParseUnverifiedClaims(grant.AccessToken())
	if err != nil {
		return c.fail("token", err)
	}
	if audience := c.Config.Audience; audience != "" && len(claims.Audience) > 0 && !slices.Contains(claims.Audience, audience) {
		return c.fail("token", &authn.FetchError{Domain: c.Config.Domain, Err: fmt.Errorf("the token is for %s, not for %s: check AUTH0_AUDIENCE", strings.Join(claims.Audience, " "), audience)})
	}
	detail := fmt.Sprintf("good for %s, account %s", grant.Expiry().Sub(c.Now()).Round(time.Second), orNone(nonEmpty(claims.AccountID)))
	for _, more := range []struct{ name, value string }{{"role", claims.Role}, {"client", claims.ClientName}} {
		if more.value != "" {
			detail += ", " + more.name + " " + more.value
		}
	}
	for _, quota := range c.Tokens.Quota() {
		detail += fmt.Sprintf(", %s: %d of %d left", quota.Name, quota.Remaining, quota.Limit)
	}
	c.ok("token", "%s", detail)
	if err := grant.Require("everything", c.Needed...); err != nil {
		return c.fail("scopes", err) || slices.Contains(granted(grant), "read:sources")
	}
	return c.ok("scopes", "%s", strings.Join(granted(grant), " "))
}

func granted(grant *authn.Grant) []string {
	scopes, _ := grant.Scopes()
	return scopes
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// read reads one source.
func (c *checking) read(ctx context.Context) bool {
	sources, err := c.Client.Sources.List(ctx, api.ListParams{Limit: 1})
	if err != nil {
		return c.fail("read", err)
	}
	if len(sources) == 0 {
		return c.ok("read", "the account has no sources")
	}
	return c.ok("read", "the account has sources, such as %s", sources[0].ID)
}

// target says where a write would go.
func (c *checking) target(ctx context.Context) {
	account, err := c.Client.Account(ctx)
	if err != nil {
		c.fail("target", err)
		return
	}
	c.ok("target", "a write would go to %s, account %s", c.Server, account)
}
