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
// A [Source] can be used in four ways:
//
//   - [Source.Token] makes it an oauth2.TokenSource;
//   - [Source.Edit] sets the header of one request, as a generated client's
//     RequestEditorFn;
//   - [Source.Transport] is an http.RoundTripper that also handles a 401;
//   - [Source.Grant] and [Source.Invalidate] are for a request loop of your own.
//
// # When a token is requested
//
// Only when a call asks for one: no timer runs. Calls wait for the same answer,
// each under its own context. No caller's cancellation stops the fetch, which
// ends after 30 seconds at the latest (45 where another process that shares the
// [Store] is fetching).
//
// A token is renewed early by the smaller of 30 seconds and a quarter of its
// lifetime, less a random part so that many processes do not ask in step. A
// call that comes then starts the renewal in the background and goes on with
// the old token; with [Config.Lazy] it waits for the new one. A token lives as
// long as the answer says, or else its own exp, or else for an hour.
//
// # When it fails
//
// Every failure is a [FetchError]. Temporary ones (network, 429, 5xx, a
// proxy's page) are repeated with growing delays inside the fetch, a 429 never
// before the reset that the server named. Permanent ones are remembered for 10
// seconds, and a wait that the server asked for until it is over: calls
// meanwhile fail with the same error and ask nobody. While the old token is
// valid, a failed renewal is no error, and is tried again later.
package authn

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

const (
	// maxMargin is how early a token is renewed, at most [A].
	maxMargin = 30 * time.Second
	// permanentFor is how long a permanent failure is remembered.
	permanentFor = 10 * time.Second
	// maxWaitKept bounds the same for a wait that the server asked for: Auth0's
	// longest bucket is a day.
	maxWaitKept = 24 * time.Hour
	// maxRefusals is how many tokens [Source.Invalidate] drops at once.
	maxRefusals = 100
)

// before reports whether now comes before t on the monotonic clock and on the
// wall clock: one stands still while a machine sleeps, and the other can be set
// back.
func before(now, t time.Time) bool { return now.Before(t) && now.Round(0).Before(t) }

// held is a grant while it is kept.
type held struct {
	grant *Grant
	renew time.Time // from here on calls renew it
	end   time.Time // from here on no call uses it
}

// fetch is one fetch under way, whoever waits for it.
type fetch struct {
	old     *held // to be replaced, or nil
	done    chan struct{}
	last    atomic.Pointer[FetchError] // of the newest attempt that failed
	grant   *Grant                     // once done
	failure *FetchError                // once done
}

// Source gets and keeps the tokens of one [Config]. It is safe for concurrent
// use, has nothing to close, and prints without secrets.
type Source struct {
	config  Config           // without the secret
	secret  func() string    // a func, so that nothing prints it
	key     string           // in the store
	now     func() time.Time // time.Now
	current atomic.Pointer[held]
	quota   atomic.Pointer[[]Quota]

	opaqueWarning, storeWarning sync.Once

	mu       sync.Mutex // guards what follows; never held over I/O
	fetching *fetch
	failed   *FetchError // the last fetch, remembered until
	until    time.Time
	refused  *Grant    // the last one that was invalidated
	refusals float64   // in a row, less one a minute
	counted  time.Time // when refusals were counted last
}

var _ oauth2.TokenSource = (*Source)(nil)

// New returns a Source for c. It makes no request. What is wrong with c is
// said by [ConfigError].
func New(c Config) (*Source, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	key, secret := storeKey(c), string(c.ClientSecret)
	c.ClientSecret = ""
	return &Source{config: c, secret: func() string { return secret }, key: key, now: time.Now}, nil
}

// Quota returns what Auth0's latest answer, refusals included, said of how
// many tokens are left; nil where it said nothing.
func (s *Source) Quota() []Quota {
	if q := s.quota.Load(); q != nil {
		return *q
	}
	return nil
}

// BaseURL returns the API that the tokens are for, see [Config].
func (s *Source) BaseURL() string { return s.config.BaseURL }

// String describes the source without secrets.
func (s *Source) String() string {
	return fmt.Sprintf("tokens from %s for %s", s.config.Domain, s.config.Audience)
}

// hold decides how long g is used, which has left to live from a moment on.
func (s *Source) hold(g *Grant, from time.Time, left time.Duration) *held {
	end := from.Add(left - slack(g.life))
	return &held{grant: g, end: end, renew: end.Add(-margin(g.life))}
}

// valid reports whether h may still be used.
func (s *Source) valid(h *held) bool { return h != nil && before(s.now(), h.end) }

// slack is how long before its stated end a token is no longer used. A JWT's
// times are whole seconds: the service may end it a second before expires_in
// says.
func slack(life time.Duration) time.Duration { return min(time.Second, life/4) }

// margin is how early a token of that lifetime is renewed.
func margin(life time.Duration) time.Duration {
	most := min(maxMargin, life/4)
	return most - rand.N(most/3+1)
}
