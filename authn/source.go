// Package authn gets Auth0 machine-to-machine tokens (the client credentials
// grant) and keeps them: one request however many goroutines ask, renewed
// before the end, never wasted, never shown.
//
//	config, err := authn.FromEnv()
//	...
//	tokens, err := authn.New(config)
//	...
//	client, err := gen.NewClientWithResponses(config.BaseURL, gen.WithRequestEditorFn(tokens.Edit))
//
// A [Source] can be used in three ways:
//
//   - [Source.Edit] sets the header of one request, as a generated client's
//     RequestEditorFn;
//   - [Source.Token] makes it an oauth2.TokenSource;
//   - [Source.Grant] and [Source.Invalidate] are for a request loop of your own.
//
// # When a token is requested
//
// Only when a call asks for one: no timer runs. Calls wait for the same answer,
// each under its own context. No caller's cancellation stops the request, which
// is given up after 30 seconds at the latest (45 where another process that
// shares the [Store] is requesting one).
//
// A token is renewed early by the smaller of 30 seconds and a quarter of its
// lifetime, less a random part so that many processes do not ask in step. A
// call that comes then starts the renewal in the background and goes on with
// the old token. A token lives as long as the answer says, or else its own exp,
// or else for an hour.
//
// # When it fails
//
// Every failure is a [FetchError]. Temporary ones (network, 429, 5xx, a
// proxy's page) are repeated with growing delays, a 429 never before the reset
// that the server named. Permanent ones are remembered for 10 seconds, and a
// wait that the server asked for until it is over: calls meanwhile fail with the
// same error. While the old token is valid, a failed renewal is no error, and is
// tried again later.
package authn

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/meti-go/meti/internal/safehttp"
)

// Source gets and keeps the tokens of one [Config]. It is safe for concurrent
// use, has nothing to close, and prints without secrets.
type Source struct {
	config  Config           // without the secret
	secret  func() string    // a func, so that nothing prints it
	key     string           // in the store
	now     func() time.Time // time.Now
	current atomic.Pointer[Grant]
	refused atomic.Pointer[Grant] // the last one that was invalidated

	renewals *singleflight.Group
	failed   *FetchError                // of the last renewal, remembered until
	until    time.Time                  // then
	later    time.Time                  // when it is tried again while the old token is valid; all are the renewals' own
	attempt  atomic.Pointer[FetchError] // the newest that failed, while it is repeated

	opaqueWarning, storeWarning sync.Once

	mu       sync.Mutex // guards what follows; never held over I/O
	refusals float64    // in a row, less one a minute
	counted  time.Time  // when refusals were counted last
}

// New returns a Source for c. It makes no request. What is wrong with c is
// said by [ConfigError].
func New(c Config) (*Source, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	secret := string(c.ClientSecret)
	c.ClientSecret = ""
	// JSON, so that no two configurations make the same bytes.
	text, _ := json.Marshal([]string{c.Domain, c.ClientID, secret, c.Audience, strings.Join(c.Scopes, " ")})
	key := fmt.Sprintf("%x", sha256.Sum256(text))
	return &Source{config: c, secret: func() string { return secret }, key: key, now: time.Now, renewals: &singleflight.Group{}}, nil
}

// BaseURL returns the API that the tokens are for, see [Config].
func (s *Source) BaseURL() string { return s.config.BaseURL }

// String describes the source without secrets.
func (s *Source) String() string {
	return fmt.Sprintf("tokens from %s for %s", s.config.Domain, s.config.Audience)
}

// Quota returns how many tokens are left, by the answer that brought the cached
// one; nil where it said nothing.
func (s *Source) Quota() []Quota {
	if g := s.current.Load(); g != nil {
		return g.entry.Quota
	}
	return nil
}

// Invalidate drops the cached token if it is still this one: call it with the
// token that the service refused with 401. A late refusal of an older token
// changes nothing, so any number of refusals costs one new token. A service that
// refuses every token cannot use up a month's quota: after 100 dropped tokens,
// one a minute is dropped.
func (s *Source) Invalidate(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	refusals := max(0, s.refusals-now.Sub(s.counted).Minutes())
	g := s.current.Load()
	if g == nil || g.AccessToken() != token || refusals > 99 {
		return
	}
	if s.current.CompareAndSwap(g, nil) { // unless it has just been replaced
		s.refused.Store(g)
		s.refusals, s.counted = refusals+1, now
	}
}

// before reports whether now comes before t on the monotonic clock and on the
// wall clock: one stands still while a machine sleeps, and the other can be set
// back.
func (s *Source) before(t time.Time) bool {
	now := s.now()
	return now.Before(t) && now.Round(0).Before(t)
}

// fresh reports whether g may be used, and need not be renewed.
func (s *Source) fresh(g *Grant) bool { return g != nil && s.before(g.renew) }

// valid reports whether g may still be used.
func (s *Source) valid(g *Grant) bool { return g != nil && s.before(g.end) }

// secrets are the texts that no error may show.
func (s *Source) secrets(more ...string) safehttp.Secrets {
	secrets := safehttp.Secrets{s.secret()}
	secrets.Add(append(more, s.current.Load().AccessToken(), s.refused.Load().AccessToken())...)
	return secrets
}
