package authn

import (
	"cmp"
	"context"
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

// tokenPath is where Auth0 answers token requests [A].
const tokenPath = "/oauth/token"

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

// Store keeps tokens where other processes, or other machines, find them: a
// fleet then spends one token where it would spend one each. Package
// authn/filestore is one for the processes of a machine.
//
// Keys are 64 hexadecimal digits: a hash of domain, client, audience, scopes
// and secret, so that no configuration finds another's token. Values hold an
// access token: keep them as safe as the secret itself.
//
// A store that fails is told of once, by [Config.Warn], and never stops a
// token: the source then gets its own. All methods must be safe for concurrent
// use and return when ctx ends.
type Store interface {
	// Load returns what was saved last under key; nil where nothing is.
	Load(ctx context.Context, key string) ([]byte, error)
	// Save keeps value under key; it is of no use after expires.
	Save(ctx context.Context, key string, value []byte, expires time.Time) error
	// Lock waits until nobody else holds the lock of key. It may end by itself,
	// after 45 seconds or more, so that a holder which died stops nobody: two
	// that hold it spend a token too many, and no more.
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// ConfigError says what is wrong with a [Config], or with the environment that
// it is read from. It never repeats the value.
type ConfigError struct {
	Name    string // of the environment variable, or of the field, as in Config.Domain
	Problem string // what is wrong
}

// Error names what is wrong, and the problem.
func (e *ConfigError) Error() string { return "authn: " + e.Name + " " + e.Problem }

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
	file := read("ClientSecret", "METI_CLIENT_SECRET_FILE")
	c.ClientSecret = Secret(read("ClientSecret", "METI_CLIENT_SECRET", "METI_CLIENT_SECRET_FILE", "CLIENT_SECRET"))
	if file != "" && c.variables["ClientSecret"] == "METI_CLIENT_SECRET" {
		return Config{}, c.wrong("ClientSecret", "is set beside METI_CLIENT_SECRET_FILE: unset one of them")
	}
	if file != "" {
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
	case len(raw) > most:
		err = fmt.Errorf("%s is larger than %d bytes", name, most)
	case text == "":
		err = errors.New(name + " is empty")
	case strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff"):
		err = errors.New(name + " is written in UTF-16: save it as UTF-8")
	}
	return Secret(text), err
}

// trim takes off white space, and the byte order mark that editors on Windows
// write.
func trim(text string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
}

// complete trims and fills in c, and says all that is wrong with it.
func (c *Config) complete() error {
	var errs []error
	wrong := func(field, problem string) { errs = append(errs, c.wrong(field, problem)) }
	domain, err := parseDomain(c.Domain)
	if err != nil {
		wrong("Domain", err.Error())
	}
	c.Domain, c.ClientID, c.ClientSecret = domain, trim(c.ClientID), Secret(trim(string(c.ClientSecret)))
	for _, field := range [][2]string{{"ClientID", c.ClientID}, {"ClientSecret", string(c.ClientSecret)}} {
		if name, text := field[0], field[1]; text == "" {
			wrong(name, "is missing")
		} else if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			wrong(name, "has a control character inside, such as a line break: was more pasted than one line?")
		}
	}
	// Trailing slashes are kept: to Auth0 that is another audience.
	c.Audience = cmp.Or(strings.TrimSpace(c.Audience), DefaultAudience)
	if c.Scopes == nil { // METI's three [A]
		c.Scopes = []string{"read:sources", "write:sources", "delete:sources"}
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
	return &ConfigError{c.name(field), problem}
}
