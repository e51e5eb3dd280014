package authn

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/internal/safehttp"
)

// Quota is one allowance of tokens, or of token requests, that Auth0 told of.
type Quota struct {
	// Name is that of a bucket of the header Auth0-Client-Quota-Limit, such as
	// per_hour or per_day, which is sent where the tenant's owner has set a
	// token quota for this client; or "requests", for the x-ratelimit headers.
	Name      string    `json:"name"`
	Limit     int       `json:"limit"`
	Remaining int       `json:"remaining"`
	Reset     time.Time `json:"reset,omitzero"` // when there are more
}

// entry is what is known of a token, as a [Store] holds it.
type entry struct {
	oauth2.Token
	Scopes []string `json:"scopes"`
	Named  bool     `json:"named"` // the scopes, by Auth0
	Quota  []Quota  `json:"quota,omitempty"`
}

// life is how long the token lives in all.
func (e *entry) life() time.Duration { return safehttp.Seconds(e.ExpiresIn) }

// Grant is one access token with all that Auth0 said of it. It never changes,
// and prints without its token.
type Grant struct {
	entry  *entry     // behind a pointer, as the header is, so that fmt does not print it
	header *[1]string // "Bearer …"
	renew  time.Time  // from here on calls renew it
	end    time.Time  // from here on no call uses it
}

// newGrant makes a grant of what is known now.
func newGrant(e entry, now time.Time) *Grant {
	life := e.life()
	// A JWT's times are whole seconds: the service may end it a second before
	// expires_in says.
	end := now.Add(max(0, min(e.Expiry.Sub(now), life)) - min(time.Second, life/4))
	e.Expiry = e.Expiry.Round(0) // the wall clock's alone: it goes on while a machine sleeps
	e.Token = *e.WithExtra(map[string]any{"scope": strings.Join(e.Scopes, " ")})
	return &Grant{entry: &e, header: &[1]string{"Bearer " + e.AccessToken}, renew: end.Add(-margin(life)), end: end}
}

// margin is how early a token of that lifetime is renewed: 30 seconds at most [A].
func margin(life time.Duration) time.Duration {
	most := min(30*time.Second, life/4)
	return most - rand.N(most/3+1)
}

// AccessToken returns the token itself, and "" where g is nil.
func (g *Grant) AccessToken() string {
	if g == nil {
		return ""
	}
	return g.entry.AccessToken
}

// Header returns the value of the Authorization header, for
// req.Header["Authorization"]. All requests share it: it must not be changed.
func (g *Grant) Header() []string { return g.header[:] }

// Expiry returns when the token ends, counted from when it was asked for.
func (g *Grant) Expiry() time.Time { return g.entry.Expiry }

// Scopes returns the granted scopes, and whether Auth0 named them. Where it did
// not, they are those that were asked for (RFC 6749, section 5.1), though Auth0
// is known to name none also when it granted none.
func (g *Grant) Scopes() (scopes []string, named bool) {
	return slices.Clone(g.entry.Scopes), g.entry.Named
}

// Require returns a [ScopeError] if one of the scopes that operation needs was
// not granted. Where nothing is known of the granted scopes it returns nil.
func (g *Grant) Require(operation string, need ...string) error {
	have := g.entry.Scopes
	if !g.entry.Named && len(have) == 0 {
		return nil
	}
	for _, scope := range need {
		if !slices.Contains(have, scope) {
			return &ScopeError{Operation: operation, Need: slices.Clone(need), Have: slices.Clone(have)}
		}
	}
	return nil
}
