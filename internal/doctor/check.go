package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
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

// checking is one run of the checks.
type checking struct {
	Setup
	grant *authn.Grant
	skews []string
	worst time.Duration
}

// Check checks, in the order in which things are needed. It ends where what
// follows cannot be told. It requests one token at most, and changes nothing.
func (s Setup) Check(ctx context.Context) (checks []Check) {
	c := &checking{Setup: s}
	for _, step := range []struct {
		name   string
		look   func(context.Context) (detail string, err error)
		needed bool // for what follows
	}{
		{"environment", c.environment, true}, {"proxy", c.proxies, true}, {"auth0", c.auth0, true}, {"meti", c.meti, true},
		{"clock", c.clock, false}, {"token", c.token, true}, {"scopes", c.scopes, false}, {"read", c.read, true}, {"target", c.target, true},
	} {
		detail, err := step.look(ctx)
		if err != nil {
			detail = err.Error()
		}
		checks = append(checks, Check{Name: step.name, OK: err == nil, Detail: safehttp.Line(detail, 2000), Err: err})
		if err != nil && step.needed {
			break
		}
	}
	return checks
}

// environment says which variables are set, and no value that is secret.
func (c *checking) environment(context.Context) (string, error) {
	set := c.set(true, "AUTH0_DOMAIN", "AUTH0_AUDIENCE", "METI_BASE_URL", "METI_CLIENT_SECRET_FILE")
	set = append(set, c.set(false, "METI_CLIENT_ID", "CLIENT_ID", "METI_CLIENT_SECRET", "CLIENT_SECRET")...)
	if info, err := os.Stat(c.Getenv("METI_CLIENT_SECRET_FILE")); err == nil && info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		set = append(set, "others can read METI_CLIENT_SECRET_FILE: chmod 600 it")
	}
	if c.ConfigErr != nil {
		return "", fmt.Errorf("set: %s. %w. Without credentials, \"meti demo\" shows everything on an emulator", cmp.Or(strings.Join(set, ", "), "nothing"), oneLine{c.ConfigErr})
	}
	return strings.Join(set, ", "), nil
}

// oneLine is what is wrong with a configuration, all of it in one line.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.ReplaceAll(e.error.Error(), "\nauthn: ", "; ") }
func (e oneLine) Unwrap() error { return e.error }

func (c *checking) proxies(context.Context) (string, error) {
	return orNone(c.set(true, "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")), nil
}

// set are the variables that are set, with what they say if that may be shown.
func (c *checking) set(shown bool, variables ...string) (list []string) {
	for _, variable := range variables {
		value := c.Getenv(variable)
		if value == "" {
			continue
		}
		if shown {
			variable += " " + user.ReplaceAllString(value, "${1}[redacted]@")
		}
		list = append(list, variable)
	}
	return list
}

// user is that of a URL, and its password.
var user = regexp.MustCompile(`^(\w+://)?.*@`)

// orNone joins names.
func orNone(names []string) string { return cmp.Or(strings.Join(names, ", "), "none") }

// auth0 asks the Auth0 domain what it is.
func (c *checking) auth0(ctx context.Context) (string, error) {
	origin := c.Config.Domain
	if !strings.Contains(origin, "://") {
		origin = "https://" + origin
	}
	_, host, _ := strings.Cut(origin, "://")
	got, err := c.ask(ctx, "auth0", origin+"/.well-known/openid-configuration")
	told, _ := got.value.(map[string]any)
	switch {
	case err != nil:
	case got.status == http.StatusOK && told["issuer"] != nil:
		return host + " answers", nil
	case safehttp.Redirects(got.status) || got.status == http.StatusOK:
		err = fmt.Errorf("%s answers %s, or AUTH0_DOMAIN is not Auth0's", host, likePortal)
	default:
		err = fmt.Errorf("%s answers, but not as Auth0 does (%d): check AUTH0_DOMAIN", host, got.status)
	}
	return "", &authn.FetchError{Domain: host, Status: got.status, Err: err}
}

const likePortal = "as a web page would: a proxy or a portal that wants a login stands in between"

// meti asks METI without a token, which it has to refuse.
func (c *checking) meti(ctx context.Context) (string, error) {
	base := c.Client.Server()
	got, err := c.ask(ctx, "meti", base+"/sources?limit=1")
	switch {
	case err != nil:
		return "", err
	case safehttp.Redirects(got.status) || got.status == http.StatusOK || got.value == nil:
		return "", fmt.Errorf("%s answers %d %s, or METI_BASE_URL is not METI's", base, got.status, likePortal)
	case got.status != http.StatusUnauthorized && got.status != http.StatusForbidden:
		return "", fmt.Errorf("%s answers %d to a request without a token, and should answer 401: check METI_BASE_URL", base, got.status)
	}
	return base + " answers", nil
}

// ask sends a request without credentials, and looks at the name of the host,
// the connection and the clock.
func (c *checking) ask(ctx context.Context, name, address string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, err
	}
	before := c.Now()
	got, err := roundTrip(request)
	if err != nil {
		if advice, _ := safehttp.Advice(err, "there is no host "+request.URL.Hostname()+": check its name, and DNS"); advice != "" {
			err = fmt.Errorf("%w: %s", err, advice)
		}
		return got, fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	if got.status == http.StatusProxyAuthRequired {
		return got, fmt.Errorf("the proxy refuses: %s", safehttp.ProxyAdvice)
	}
	if date, err := http.ParseTime(got.header.Get("Date")); err == nil {
		skew := before.Add(c.Now().Sub(before) / 2).Sub(date).Truncate(time.Second)
		c.skews = append(c.skews, fmt.Sprintf("%s by %s's", skew, name))
		c.worst = max(c.worst, skew.Abs())
	}
	return got, nil
}

func (c *checking) clock(context.Context) (string, error) {
	if c.worst > time.Minute {
		return "", fmt.Errorf("this machine's clock is off: %s. Tokens are taken for expired, or for not valid yet: set the clock, best by NTP", strings.Join(c.skews, ", "))
	}
	return fmt.Sprintf("right within %s", max(c.worst, time.Second)), nil
}

// token requests a token, and looks at whom it is for.
func (c *checking) token(ctx context.Context) (detail string, err error) {
	if c.grant, err = c.Tokens.Grant(ctx); err != nil {
		return "", err
	}
	claims, err := authn.ParseUnverifiedClaims(c.grant.AccessToken())
	if err != nil {
		return "", err
	}
	if audience := c.Config.Audience; audience != "" && len(claims.Audience) > 0 && !slices.Contains(claims.Audience, audience) {
		return "", &authn.FetchError{Domain: c.Config.Domain, Err: fmt.Errorf("the token is for %s, not for %s: check AUTH0_AUDIENCE", strings.Join(claims.Audience, " "), audience)}
	}
	detail = fmt.Sprintf("good for %s, account %s", c.grant.Expiry().Sub(c.Now()).Round(time.Second), cmp.Or(claims.AccountID, "none"))
	for _, more := range [][2]string{{", role ", claims.Role}, {", client ", claims.ClientName}} {
		if more[1] != "" {
			detail += more[0] + more[1]
		}
	}
	for _, quota := range c.Tokens.Quota() {
		detail += fmt.Sprintf(", %s: %d of %d left", quota.Name, quota.Remaining, quota.Limit)
	}
	return detail, nil
}

func (c *checking) scopes(context.Context) (string, error) {
	granted, _ := c.grant.Scopes()
	return strings.Join(granted, " "), c.grant.Require("everything", c.Needed...)
}

// read reads one source.
func (c *checking) read(ctx context.Context) (string, error) {
	sources, err := c.Client.Sources.List(ctx, api.ListParams{Limit: 1})
	if err != nil || len(sources) == 0 {
		return "the account has no sources", err
	}
	return "the account has sources, such as " + sources[0].ID, nil
}

// target says where a write would go.
func (c *checking) target(ctx context.Context) (string, error) {
	account, err := c.Client.Account(ctx)
	return fmt.Sprintf("a write would go to %s, account %s", c.Server, account), err
}
