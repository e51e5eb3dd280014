package authn

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti/internal/safehttp"
)

// METI's own server and audience [A].
const (
	DefaultBaseURL  = "https://api.meti.millpont.com"
	DefaultAudience = "https://api.meti.millpont.com"
)

const (
	// tokenPath is where Auth0 answers token requests [A].
	tokenPath = "/oauth/token"
	// fetchCap is the longest that one fetch takes, repeats and waits included.
	fetchCap = 30 * time.Second
)

// defaultScopes are METI's three [A].
var defaultScopes = []string{"read:sources", "write:sources", "delete:sources"}

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
	// Scopes to ask for. Nil means METI's three: read:sources, write:sources
	// and delete:sources. Empty but not nil asks for what Auth0 grants unasked.
	Scopes []string
	// BaseURL is the API that the tokens are for, DefaultBaseURL when empty:
	// [Source.Transport] sends them there alone.
	BaseURL string

	// Lazy is for short-lived programs: the call that renews a token waits for
	// the new one, rather than leave the renewal to the background.
	Lazy bool
	// Store shares tokens with other processes or machines; nil shares none.
	Store Store `json:"-"`

	// Transport sends the token requests; nil means one that respects the
	// proxy variables and the system's roots.
	Transport http.RoundTripper `json:"-"`
	// Warn is told of what does not stop the work, such as a store that fails.
	// Nil means slog.Warn. It must be safe for concurrent use.
	Warn func(error) `json:"-"`

	variables map[string]string // that fill the fields, nil where none were read
}

// FromEnv reads a Config from the environment:
//
//   - AUTH0_DOMAIN: the Auth0 domain that MillPont gave you;
//   - AUTH0_AUDIENCE: [DefaultAudience] when it is not set;
//   - METI_CLIENT_ID, or else CLIENT_ID;
//   - METI_CLIENT_SECRET, or else the text of the file METI_CLIENT_SECRET_FILE,
//     or else CLIENT_SECRET;
//   - METI_BASE_URL: [DefaultBaseURL] when it is not set.
//
// An empty variable counts as not set. What is missing is named by
// [ConfigError], all of it at once.
func FromEnv() (Config, error) {
	c := Config{variables: map[string]string{}}
	read := func(field string, names ...string) string {
		c.variables[field] = names[0]
		for _, name := range names {
			if text := strings.TrimSpace(os.Getenv(name)); text != "" {
				c.variables[field] = name
				return text
			}
		}
		return ""
	}
	c.Domain = read("Domain", "AUTH0_DOMAIN")
	c.Audience = read("Audience", "AUTH0_AUDIENCE")
	c.BaseURL = read("BaseURL", "METI_BASE_URL")
	c.ClientID = read("ClientID", "METI_CLIENT_ID", "CLIENT_ID")
	c.ClientSecret = Secret(read("ClientSecret", "METI_CLIENT_SECRET", "METI_CLIENT_SECRET_FILE", "CLIENT_SECRET"))
	switch file := strings.TrimSpace(os.Getenv("METI_CLIENT_SECRET_FILE")); {
	case file == "":
	case c.variables["ClientSecret"] == "METI_CLIENT_SECRET":
		return Config{}, c.wrong("ClientSecret", "is set beside METI_CLIENT_SECRET_FILE: unset one of them")
	default:
		var err error
		if c.ClientSecret, err = readSecret(file); err != nil {
			return Config{}, c.wrong("ClientSecret", "cannot be used: "+err.Error())
		}
	}
	if err := c.complete(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// readSecret reads a file that holds a secret and nothing else.
func readSecret(name string) (Secret, error) {
	const most = 64 << 10
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	text := trim(string(raw))
	switch {
	case err != nil:
		return "", err
	case len(raw) > most:
		return "", fmt.Errorf("%s is larger than %d bytes", name, most)
	case text == "":
		return "", errors.New(name + " is empty")
	case strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff"):
		return "", errors.New(name + " is written in UTF-16: save it as UTF-8")
	}
	return Secret(text), nil
}

// trim takes off white space, and the byte order mark that editors on Windows
// write.
func trim(text string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
}

// complete trims and fills in c, and says all that is wrong with it.
func (c *Config) complete() error {
	var errs []error
	wrong := func(field, problem string) {
		if problem != "" {
			errs = append(errs, c.wrong(field, problem))
		}
	}
	var err error
	if c.Domain, err = parseDomain(c.Domain); err != nil {
		wrong("Domain", err.Error())
	}
	c.ClientID, c.ClientSecret = trim(c.ClientID), Secret(trim(string(c.ClientSecret)))
	wrong("ClientID", credentialProblem(c.ClientID))
	wrong("ClientSecret", credentialProblem(string(c.ClientSecret)))

	// Trailing slashes are kept: to Auth0 that is another audience.
	c.Audience = cmp.Or(strings.TrimSpace(c.Audience), DefaultAudience)
	if c.Scopes == nil {
		c.Scopes = defaultScopes
	}
	c.Scopes = slices.Clone(c.Scopes)
	for _, scope := range c.Scopes {
		if !headerSafe(scope) || strings.ContainsAny(scope, `"\`) {
			wrong("Scopes", fmt.Sprintf("has an impossible scope %q: one scope an element, without spaces", scope))
		}
	}
	if base, err := safehttp.Base(cmp.Or(strings.TrimSpace(c.BaseURL), DefaultBaseURL)); err != nil {
		wrong("BaseURL", err.Error())
	} else {
		c.BaseURL = base.String()
	}
	if c.Transport == nil {
		c.Transport = safehttp.Transport()
	}
	if c.Warn == nil {
		c.Warn = func(err error) { slog.Warn(err.Error()) }
	}
	return errors.Join(errs...)
}

// credentialProblem says what is wrong with a client ID or secret.
func credentialProblem(text string) string {
	switch {
	case text == "":
		return "is missing"
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "has a control character inside, such as a line break: was more pasted than one line?"
	}
	return ""
}

// parseDomain reads an Auth0 domain as people paste it (a host, or a URL with
// or without the path of the token endpoint) and returns its origin.
func parseDomain(text string) (string, error) {
	text = trim(strings.Trim(trim(text), `"'<>`))
	switch {
	case text == "":
		return "", errors.New("is missing")
	case strings.HasPrefix(text, "//"):
		text = "https:" + text
	case !strings.Contains(text, "://"):
		text = "https://" + text
	}
	u, err := safehttp.Base(text)
	if err != nil {
		return "", err
	}
	if u.Path != "" && !strings.EqualFold(u.Path, tokenPath) {
		return "", errors.New("has a path: give the host alone, such as tenant.eu.auth0.com")
	}
	return safehttp.Origin(u), nil
}

// name is what the user calls a field: the variable that he set it by, or that
// would set it, where the environment was read.
func (c *Config) name(field string) string { return cmp.Or(c.variables[field], "Config."+field) }

func (c *Config) wrong(field, problem string) *ConfigError {
	return &ConfigError{Field: field, Variable: c.variables[field], Problem: problem}
}

// ConfigError says what is wrong with a [Config], or with the environment that
// it is read from. It never repeats the value.
type ConfigError struct {
	Field    string // of Config, such as ClientID
	Variable string // the environment variable that fills it, "" where the environment was not read
	Problem  string // what is wrong
}

// Error names the field, its variable and the problem.
func (e *ConfigError) Error() string {
	return "authn: " + cmp.Or(e.Variable, "Config."+e.Field) + " " + e.Problem
}
