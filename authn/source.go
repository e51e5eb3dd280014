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
//   - [Source.Edit] fills in the header of one request, and is assignable to
//     the RequestEditorFn of a generated client;
//   - [Source.Transport] is an http.RoundTripper that also handles a 401;
//   - [Source.Grant] and [Source.Invalidate] are for a request loop of your own.
//
// # When a token is requested
//
// Only when a call asks for one: no timer runs, and an idle program spends
// nothing. The first call fetches; calls that come meanwhile wait for the same
// answer, each under its own context. The fetch itself belongs to no caller:
// no caller's cancellation stops it, and it ends after 30 seconds at the
// latest (45 where another process that shares the [Store] is fetching).
//
// A token is renewed early by the smaller of 30 seconds and a quarter of its
// lifetime, less a random part so that many processes do not ask in step, and
// not used in its last second, in which the service may take it for over. A
// call within that margin starts the renewal in the background and goes on
// with the token that is still valid; with [Config.Lazy] it waits for the new
// one. A token is over when the monotonic clock or the wall clock says so,
// whichever is first: one stands still while a machine sleeps, and the other
// can be set back.
//
// An answer that does not say how long its token lives is read for the token's
// own exp; where there is none, the token is used for an hour. One whose
// lifetime is over on arrival serves the calls that waited for it and no other.
//
// # When it fails
//
// Every failure is a [FetchError]. Temporary ones (network, 429, 5xx, a
// proxy's page) are repeated with growing delays inside the fetch, a 429 never
// before the reset that the server named. Permanent ones are remembered for 10
// seconds, and a wait that the server asked for until it is over: calls
// meanwhile fail with the same error and ask nobody. While the old token is
// valid, a failed renewal is no error.
package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/internal/safehttp"
)

const (
	// fetchCap is the longest that one fetch takes, repeats and waits included.
	fetchCap = 30 * time.Second
	// maxMargin is how early a token is renewed, at most [A].
	maxMargin = 30 * time.Second
	// permanentFor is how long a permanent failure is remembered.
	permanentFor = 10 * time.Second
	// maxWaitKept is how long a wait that the server asked for is remembered,
	// at most: Auth0's longest bucket is a day.
	maxWaitKept = 24 * time.Hour
	// maxRefusals is how many tokens in a row [Source.Invalidate] drops before
	// it drops one a minute.
	maxRefusals = 100
)

// moment is a time on both clocks.
type moment struct {
	monotonic time.Duration // since the source was made
	wall      int64         // nanoseconds since 1970
}

func (m moment) add(d time.Duration) moment { return moment{m.monotonic + d, m.wall + int64(d)} }

// before reports whether m comes before other on both clocks.
func (m moment) before(other moment) bool {
	return m.monotonic < other.monotonic && m.wall < other.wall
}

// held is a grant while it is kept.
type held struct {
	grant *Grant
	renew moment // from here on calls renew it
	end   moment // from here on no call uses it
}

// fetch is one fetch under way, whoever waits for it.
type fetch struct {
	done    chan struct{}
	last    atomic.Pointer[FetchError] // of the newest attempt that failed
	grant   *Grant                     // once done
	failure *FetchError                // once done
}

// Source gets and keeps the tokens of one [Config]. It is safe for concurrent
// use, has nothing to close, and prints without secrets.
type Source struct {
	config  Config        // without the secret
	secret  func() string // a func, so that nothing prints it
	key     string        // in the store
	clock   func() moment
	current atomic.Pointer[held]
	quota   atomic.Pointer[[]Quota]

	opaqueWarning, storeWarning sync.Once

	mu       sync.Mutex // guards what follows; never held over I/O
	fetching *fetch
	failed   *FetchError // the last fetch, remembered until
	until    moment
	refused  *Grant  // the last one that was invalidated
	refusals float64 // in a row, less one a minute
	counted  moment  // when refusals were counted last
}

var _ oauth2.TokenSource = (*Source)(nil)

// New returns a Source for c. It makes no request. What is wrong with c is
// said by [ConfigError].
func New(c Config) (*Source, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	start, secret := time.Now(), string(c.ClientSecret)
	s := &Source{
		key:    storeKey(c),
		secret: func() string { return secret },
		clock: func() moment {
			now := time.Now()
			return moment{now.Sub(start), now.UnixNano()}
		},
	}
	c.ClientSecret = ""
	s.config = c
	return s, nil
}

// Grant returns the token to use now, with all that is known of it. With a
// cached token this takes no lock and allocates nothing.
func (s *Source) Grant(ctx context.Context) (*Grant, error) {
	if h := s.current.Load(); h != nil && s.clock().before(h.renew) {
		return h.grant, nil
	}
	return s.wait(ctx)
}

// Token is [Source.Grant] as an oauth2.TokenSource, without a context. The
// token is shared and must not be changed.
func (s *Source) Token() (*oauth2.Token, error) {
	g, err := s.Grant(context.Background())
	if err != nil {
		return nil, err
	}
	return g.token, nil
}

// Edit sets the Authorization header of req. It is assignable to a generated
// client's RequestEditorFn. It refuses plain http to any host but this one.
//
// It cannot see the answer: a 401 is not handled, and an http.Client follows
// redirects with the header. Use [Source.Transport] below the client for both.
func (s *Source) Edit(ctx context.Context, req *http.Request) error {
	if req.URL.Scheme != "https" && !safehttp.Loopback(req.URL.Hostname()) {
		return fmt.Errorf("authn: request for %s refused: a token is for https, or this machine", safehttp.Origin(req.URL))
	}
	g, err := s.Grant(ctx)
	if err != nil {
		return err
	}
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	req.Header["Authorization"] = g.Header()
	return nil
}

// Invalidate drops the cached token if it is still this one: call it with the
// token that the service refused with 401. A late refusal of an older token
// changes nothing, so any number of refusals costs one new token. In a [Store]
// the new one replaces this one and no other.
//
// A service that refuses every token is not worth a month's quota: after 100
// dropped tokens, one a minute is dropped and the others are kept.
func (s *Source) Invalidate(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current.Load()
	if h == nil || h.grant.AccessToken() != token {
		return
	}
	now := s.clock()
	s.refusals = max(0, s.refusals-(now.monotonic-s.counted.monotonic).Minutes())
	s.counted = now
	if s.refusals <= maxRefusals-1 {
		s.refusals++
		s.refused = h.grant
		s.current.Store(nil)
	}
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

// wait is Grant without a fresh token at hand.
func (s *Source) wait(ctx context.Context) (*Grant, error) {
	if ctx.Err() != nil {
		return nil, s.gaveUp(ctx, nil)
	}
	s.mu.Lock()
	now := s.clock()
	h := s.current.Load()
	if h != nil && now.before(h.renew) {
		s.mu.Unlock()
		return h.grant, nil
	}
	valid := h != nil && now.before(h.end)
	if failed := s.failed; failed != nil && now.before(s.until) {
		s.mu.Unlock()
		if valid {
			return h.grant, nil
		}
		return nil, failed
	}
	f := s.fetching
	if f == nil {
		f = &fetch{done: make(chan struct{})}
		s.fetching = f
		go s.run(f, h)
	}
	s.mu.Unlock()

	if valid && !s.config.Lazy {
		return h.grant, nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, s.gaveUp(ctx, f.last.Load())
	}
	switch {
	case f.failure == nil:
		return f.grant, nil
	case valid && s.clock().before(h.end):
		return h.grant, nil
	}
	return nil, f.failure
}

// gaveUp is the error of a caller whose context ended, during repeats after
// last.
func (s *Source) gaveUp(ctx context.Context, last *FetchError) *FetchError {
	err := safehttp.Ended(ctx)
	if last != nil {
		err = fmt.Errorf("%w, while repeating after: %w", err, last)
	}
	return &FetchError{Domain: s.config.Domain, Err: err}
}

// run carries out f. old is what it is to replace, or nil.
func (s *Source) run(f *fetch, old *held) {
	get := s.fetch
	if s.config.Store != nil {
		get = func(f *fetch) (*held, *FetchError) { return s.share(f, old) }
	}
	h, failure := get(f)
	if failure == nil {
		f.grant = h.grant
		if _, err := h.grant.UnverifiedClaims(); errors.Is(err, ErrOpaqueToken) {
			s.opaqueWarning.Do(func() { s.config.Warn(fmt.Errorf("authn: %s: %w", s.config.Domain, err)) })
		}
	}
	f.failure = failure

	s.mu.Lock()
	now := s.clock()
	s.fetching, s.failed = nil, nil
	if failure == nil && now.before(h.end) {
		s.current.Store(h)
	} else if old != nil && now.before(old.end) { // go on with it for a while
		next := *old
		left := old.end.monotonic - now.monotonic
		next.renew = now.add(min(left, max(time.Second, left/4)))
		s.current.CompareAndSwap(old, &next)
	}
	switch {
	case failure == nil:
	case !failure.Temporary():
		s.failed, s.until = failure, now.add(permanentFor)
	case failure.RetryAfter > 0:
		s.failed, s.until = failure, now.add(min(failure.RetryAfter, maxWaitKept))
	}
	s.mu.Unlock()
	close(f.done)
}

// fetch asks Auth0, and again after temporary failures.
func (s *Source) fetch(f *fetch) (*held, *FetchError) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchCap)
	defer cancel()
	for attempt, left := 1, s.config.MaxWait; ; attempt++ {
		h, failure := s.request(ctx)
		if failure == nil {
			return h, nil
		}
		failure.Attempts = attempt
		if !failure.Temporary() {
			return nil, failure
		}
		wait := failure.RetryAfter
		switch {
		case wait > 0:
		case failure.Status == http.StatusTooManyRequests: // and no reset named: be slow
			wait = 5 * time.Second << (attempt - 1)
		default:
			wait = backoff(attempt)
		}
		deadline, _ := ctx.Deadline()
		if wait > left || wait >= time.Until(deadline) {
			if failure.RetryAfter > 0 {
				failure.Hint = fmt.Sprintf("longer than the %s that are left for waiting", left.Round(time.Second))
			}
			return nil, failure
		}
		left -= wait
		f.last.Store(failure)
		time.Sleep(wait) // which ends before ctx does
	}
}

// backoff is the delay after that many attempts: half a second, doubled each
// time up to eight, less a random part of up to a half.
func backoff(attempt int) time.Duration {
	d := min(8*time.Second, 500*time.Millisecond<<min(attempt-1, 10))
	return d - rand.N(d/2)
}

// hold decides how long g is used, which has left to live from a moment on.
func (s *Source) hold(g *Grant, from moment, left time.Duration) *held {
	end := from.add(left - slack(g.life))
	return &held{grant: g, end: end, renew: end.add(-margin(g.life))}
}

// slack is how long before its stated end a token is no longer used. A JWT's
// times are whole seconds: the moment of issue is rounded down, and the
// service ends the token up to a second before expires_in says.
func slack(life time.Duration) time.Duration { return min(time.Second, life/4) }

// margin is how early a token of that lifetime is renewed.
func margin(life time.Duration) time.Duration {
	most := min(maxMargin, life/4)
	return most - rand.N(most/3+1)
}

// String describes the source without secrets.
func (s *Source) String() string {
	return fmt.Sprintf("tokens from %s for %s", s.config.Domain, s.config.Audience)
}

// LogValue logs what [Source.String] returns.
func (s *Source) LogValue() slog.Value { return slog.StringValue(s.String()) }
