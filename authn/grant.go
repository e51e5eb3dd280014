package authn

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Grant is one access token with all that Auth0 said of it. It never changes,
// and prints without its token.
type Grant struct {
	token  *oauth2.Token
	header *[1]string // "Bearer …", behind a pointer so that fmt does not print it
	scopes []string
	named  bool // the scopes, by Auth0
	life   time.Duration
}

// newGrant makes the grant of a token that ends at expiry, at the end of a
// lifetime that began when it was asked for.
func newGrant(token string, expiry time.Time, life time.Duration, scopes []string, named bool) *Grant {
	t := &oauth2.Token{
		AccessToken: token,
		TokenType:   "Bearer",
		Expiry:      expiry.Round(0), // the wall clock's alone: it goes on while a machine sleeps
		ExpiresIn:   int64(life / time.Second),
	}
	return &Grant{
		token:  t.WithExtra(map[string]any{"scope": strings.Join(scopes, " ")}),
		header: &[1]string{"Bearer " + token},
		scopes: scopes,
		named:  named,
		life:   life,
	}
}

// AccessToken returns the token itself.
func (g *Grant) AccessToken() string { return g.token.AccessToken }

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
func (g *Grant) Scopes() (scopes []string, named bool) { return slices.Clone(g.scopes), g.named }

// Require returns a [ScopeError] if one of the scopes that operation needs was
// not granted. Where nothing is known of the granted scopes it returns nil.
func (g *Grant) Require(operation string, need ...string) error {
	if !g.named && len(g.scopes) == 0 {
		return nil
	}
	for _, scope := range need {
		if !slices.Contains(g.scopes, scope) {
			return &ScopeError{Operation: operation, Need: slices.Clone(need), Have: slices.Clone(g.scopes)}
		}
	}
	return nil
}

// String describes the grant without its token.
func (g *Grant) String() string {
	return fmt.Sprintf("token with scopes %q until %s", strings.Join(g.scopes, " "), g.token.Expiry.UTC().Format(time.RFC3339))
}
