package authn

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// DefaultAudience is METI's audience [A], on each of its hosts.
const DefaultAudience = "https://api.meti.millpont.com"

// DefaultScopes returns METI's three scopes [A].
func DefaultScopes() []string {
	return []string{"read:sources", "write:sources", "delete:sources"}
}

// Config says which tokens a [Source] gets, and from where. Domain, ClientID
// and ClientSecret are required; white space around them is taken off.
type Config struct {
	// Domain is the Auth0 domain that MillPont gave you: a host such as
	// tenant.eu.auth0.com, or a URL. Plain http is for this machine only, as
	// http://127.0.0.1:PORT.
	Domain       string
	ClientID     string
	ClientSecret Secret

	// Audience is DefaultAudience when empty.
	Audience string
	// Scopes to ask for. Nil means DefaultScopes; an empty list that is not
	// nil asks for none by name, and Auth0 then grants what it has.
	Scopes []string

	// Lazy is for short-lived programs: a token is renewed only when a call
	// cannot do without, and that call waits. Otherwise calls near its end
	// renew it in the background.
	Lazy bool
	// Cache shares tokens between processes, through files in the user's
	// cache folder that only this user can read. See [CacheDir].
	Cache bool
	// MaxWait bounds how long one fetch waits between attempts, in all. A
	// server that asks for a longer wait fails the fetch at once. 0 means 30
	// seconds, which is also the most.
	MaxWait time.Duration

	// Transport sends the token requests; nil means http.DefaultTransport.
	Transport http.RoundTripper `json:"-"`
	// Warn is told of what does not stop the work, such as a cache that
	// cannot be used. Nil means slog.Warn. It must be safe for concurrent use.
	Warn func(error) `json:"-"`
}

// check trims and completes c, and says what is wrong with it.
func (c *Config) check() error {
	var errs []error
	wrong := func(field, variable, problem string) {
		errs = append(errs, &ConfigError{Field: field, Variable: variable, Problem: problem})
	}

	domain, err := parseDomain(c.Domain)
	if err != nil {
		wrong("Domain", "AUTH0_DOMAIN", err.Error())
	}
	c.Domain = domain

	c.ClientID = strings.TrimSpace(c.ClientID)
	if problem := credential(c.ClientID); problem != "" {
		wrong("ClientID", "METI_CLIENT_ID", problem)
	}
	c.ClientSecret = Secret(strings.TrimSpace(string(c.ClientSecret)))
	if problem := credential(string(c.ClientSecret)); problem != "" {
		wrong("ClientSecret", "METI_CLIENT_SECRET", problem)
	}

	// Trailing slashes are kept: to Auth0 that is another audience.
	c.Audience = strings.TrimSpace(c.Audience)
	if c.Audience == "" {
		c.Audience = DefaultAudience
	}
	if c.Scopes == nil {
		c.Scopes = DefaultScopes()
	}
	c.Scopes = slices.Clone(c.Scopes)
	for _, scope := range c.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
			wrong("Scopes", "scope", fmt.Sprintf("has an impossible scope %q: one scope an element, without spaces", scope))
		}
	}
	if c.MaxWait <= 0 || c.MaxWait > fetchCap {
		c.MaxWait = fetchCap
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.Warn == nil {
		c.Warn = func(err error) { slog.Warn(err.Error()) }
	}
	return errors.Join(errs...)
}

func credential(text string) string {
	switch {
	case text == "":
		return "is missing"
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "has a control character inside, such as a line break: was more pasted than one line?"
	}
	return ""
}
