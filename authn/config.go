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
	"strings"
	"time"

	"github.com/meti-go/meti/internal/safehttp"
)

// METI's own server and audience, and where Auth0 answers token requests [A].
const (
	DefaultBaseURL  = "https://api.meti.millpont.com"
	DefaultAudience = "https://api.meti.millpont.com"
	tokenPath       = "/oauth/token"
)

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
	// BaseURL is the API that the tokens are for, DefaultBaseURL when empty.
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

// Secret is a client secret that does not print: fmt with any verb, slog and
// encoding/json all show "[redacted]". Convert it with string(s) to read it.
//
// fmt cannot call methods on an unexported field of somebody else's struct:
// keep a Secret in an exported field, or behind a pointer, when the struct
// around it is ever printed.
type Secret string

// String returns "[redacted]", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return safehttp.Redacted
}

// Format writes what [Secret.String] returns, whatever the verb: %x and %q
// would otherwise show the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText writes what [Secret.String] returns, for encoding/json and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

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
	var err error
	switch {
	case file == "":
	case c.variables["ClientSecret"] == "METI_CLIENT_SECRET":
		err = errors.New("is set beside METI_CLIENT_SECRET_FILE: unset one of them")
	default:
		if c.ClientSecret, err = readSecret(file); err != nil {
			err = fmt.Errorf("cannot be used: %w", err)
		}
	}
	if err = cmp.Or(c.wrong("ClientSecret", err), c.complete()); err != nil {
		return Config{}, err
	}
	return c, nil
}

// readSecret reads a file that holds a secret and nothing else.
func readSecret(name string) (Secret, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return Secret(raw), err
}

// ConfigError says what is wrong with a [Config], or with the environment that
// it is read from. It never repeats the value.
type ConfigError struct {
	Name    string // of the environment variable, or of the field, as in Config.Domain
	Problem string // what is wrong
}

// Error names what is wrong, and the problem.
func (e *ConfigError) Error() string { return "authn: " + e.Name + " " + e.Problem }

// name is what the user calls a field: the variable that he set it by, or that
// would set it, where the environment was read.
func (c *Config) name(field string) string { return cmp.Or(c.variables[field], "Config."+field) }

// wrong is a [ConfigError], nil where there is no problem.
func (c *Config) wrong(field string, problem error) error {
	if problem == nil {
		return nil
	}
	return &ConfigError{c.name(field), problem.Error()}
}

// complete trims and fills in c, and says all that is wrong with it.
func (c *Config) complete() error {
	var domain, id, secret error
	c.Domain, domain = parseDomain(c.Domain)
	c.ClientID, id = parseLine(c.ClientID)
	c.ClientSecret, secret = parseLine(c.ClientSecret)
	// Trailing slashes are kept: to Auth0 that is another audience.
	c.Audience = cmp.Or(strings.TrimSpace(c.Audience), DefaultAudience)
	if c.Scopes == nil { // METI's three [A]
		c.Scopes = []string{"read:sources", "write:sources", "delete:sources"}
	}
	c.Scopes = strings.Fields(strings.Join(c.Scopes, " "))
	u, base := safehttp.Base(cmp.Or(strings.TrimSpace(c.BaseURL), DefaultBaseURL))
	if base == nil {
		c.BaseURL = u.String()
	}
	if c.Transport == nil {
		c.Transport = safehttp.Transport()
	}
	if c.Warn == nil {
		c.Warn = func(err error) { slog.Warn(err.Error()) }
	}
	return errors.Join(c.wrong("Domain", domain), c.wrong("ClientID", id), c.wrong("ClientSecret", secret), c.wrong("BaseURL", base))
}

// parseLine reads a client ID or a secret as people paste it.
func parseLine[T ~string](text T) (T, error) {
	line := trim(string(text))
	switch {
	case line == "":
		return "", errors.New("is missing or empty")
	case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", errors.New("has a control character inside: it should be one line, and a file in UTF-8")
	}
	return T(line), nil
}

// parseDomain reads an Auth0 domain as people paste it (a host, or a URL with
// or without the path of the token endpoint) and returns its origin.
func parseDomain(text string) (string, error) {
	text = trim(strings.Trim(trim(text), `"'<>`))
	if text == "" {
		return "", errors.New("is missing or empty")
	}
	if !strings.Contains(text, "://") {
		text = "https://" + strings.TrimPrefix(text, "//")
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

// trim takes off white space, and the byte order mark that editors on Windows
// write.
func trim(text string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
}
