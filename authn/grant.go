package authn

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/internal/safehttp"
)

// maxMargin is how early a token is renewed, at most [A].
const maxMargin = 30 * time.Second

// entry is what is known of a token, as a [Store] holds it.
type entry struct {
	AccessToken string    `json:"access_token"`
	Scopes      []string  `json:"scopes"`
	Named       bool      `json:"named"`    // the scopes, by Auth0
	Obtained    time.Time `json:"obtained"` // when it was asked for
	Life        int64     `json:"life"`     // seconds
	Quota       []Quota   `json:"quota,omitempty"`
}

// Grant is one access token with all that Auth0 said of it. It never changes,
// and prints without its token.
type Grant struct {
	entry  *entry     // behind a pointer, as the header is, so that fmt does not print it
	header *[1]string // "Bearer …"
	token  *oauth2.Token
	renew  time.Time // from here on calls renew it
	end    time.Time // from here on no call uses it
}

// newGrant makes a grant of what is known now.
func newGrant(e entry, now time.Time) *Grant {
	life := safehttp.Seconds(e.Life)
	left := min(e.Obtained.Add(life).Sub(now), life)
	t := &oauth2.Token{
		AccessToken: e.AccessToken,
		TokenType:   "Bearer",
		Expiry:      e.Obtained.Add(life).Round(0), // the wall clock's alone: it goes on while a machine sleeps
		ExpiresIn:   e.Life,
	}
	g := &Grant{entry: &e, header: &[1]string{"Bearer " + e.AccessToken}, token: t.WithExtra(map[string]any{"scope": strings.Join(e.Scopes, " ")})}
	g.end = now.Add(left - slack(life))
	g.renew = g.end.Add(-margin(life))
	return g
}

// slack is how long before its stated end a token is no longer used. A JWT's
// times are whole seconds: the service may end it a second before expires_in
// says.
func slack(life time.Duration) time.Duration { return min(time.Second, life/4) }

// margin is how early a token of that lifetime is renewed.
func margin(life time.Duration) time.Duration {
	most := min(maxMargin, life/4)
	return most - rand.N(most/3+1)
}

// AccessToken returns the token itself.
func (g *Grant) AccessToken() string { return g.entry.AccessToken }

// Header returns the value of the Authorization header, for
// req.Header["Authorization"]. All requests share it: it must not be changed.
func (g *Grant) Header() []string { return g.header[:] }

// authorize sets the Authorization header of req.
func (g *Grant) authorize(req *http.Request) {
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	req.Header["Authorization"] = g.Header()
}

// Expiry returns when the token ends, counted from when it was asked for.
func (g *Grant) Expiry() time.Time { return g.token.Expiry }

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

// String describes the grant without its token.
func (g *Grant) String() string {
	return fmt.Sprintf("token with scopes %q until %s", strings.Join(g.entry.Scopes, " "), g.token.Expiry.UTC().Format(time.RFC3339))
}
