// Package authn gets Auth0 machine-to-machine tokens (the client credentials
// grant) and keeps them: one request however many goroutines ask, renewed
// before the end, never wasted, never shown.
//
// A [Source] has four faces:
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
// answer, each under its own context. The fetch itself belongs to no caller: it
// ends after 30 seconds at the latest and no caller's cancellation stops it.
//
// A token is renewed early by the smaller of 30 seconds and a quarter of its
// lifetime, less a random part so that many processes do not ask in step, and
// not used in its last second, in which the service may take it for over. A
// call within that margin starts the renewal in the background and goes on
// with the token that is still valid; with [Config.Lazy] it waits for the new
// one. Time is the monotonic clock's: setting the wall clock changes nothing.
//
// A token whose lifetime is absent, 0 or over on arrival serves the calls that
// waited for it and no other.
//
// # When it fails
//
// Every failure is a [FetchError]. Temporary ones (network, 429, 5xx, a
// proxy's page) are repeated with growing delays inside the fetch, a 429 never
// before the reset that the server named. Permanent ones are remembered for 10
// seconds, and a wait that the server asked for until it is over: calls
// meanwhile fail with the same error and ask nobody. While the old token is valid, a failed renewal is no error.
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
	"golang.org/x/time/rate"
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
)

// Source gets and keeps the tokens of one [Config]. It is safe for concurrent
// use, has nothing to close, and prints without secrets.
type Source struct {
	config  Config // without the secret
	asker   *asker
	cache   *cache    // nil: none
	start   time.Time // the monotonic clock's zero
	current atomic.Pointer[holding]
	quota   atomic.Pointer[Quota]
	opaque  sync.Once

	// refusals bounds what [Source.Invalidate] may cost: a service that
	// refuses every token must not empty the month's quota.
	refusals *rate.Limiter

	mu      sync.Mutex // never held over I/O
	flight  *flight    // the fetch under way
	failed  *FetchError
	until   time.Duration // how long failed is remembered
	refused *Grant        // the last one that was invalidated
}

var _ oauth2.TokenSource = (*Source)(nil)

// holding is a grant while it is kept. Times count from Source.start.
type holding struct {
	grant *Grant
	renew time.Duration // from here on calls renew it
	end   time.Duration // from here on no call uses it
}

// flight is one fetch, whoever waits for it.
type flight struct {
	done   chan struct{}
	paused chan struct{}              // closed when the server names a wait
	last   atomic.Pointer[FetchError] // of the attempt before this one
	grant  *Grant
	err    *FetchError
}

// New returns a Source for c. It makes no request. What is wrong with c is
// said by [ConfigError].
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &Source{
		asker:    newAsker(c),
		start:    time.Now(),
		refusals: rate.NewLimiter(rate.Every(time.Minute), 100),
	}
	if c.Cache {
		s.cache = newCache(c)
	}
	c.ClientSecret = ""
	s.config = c
	return s, nil
}

// Grant returns the token to use now, with all that is known of it. With a
// cached token this takes no lock and allocates nothing.
func (s *Source) Grant(ctx context.Context) (*Grant, error) {
	if h := s.current.Load(); h != nil && time.Since(s.start) < h.renew {
		return h.grant, nil
	}
	return s.wait(ctx)
}

// Token is [Source.Grant] as an oauth2.TokenSource. It waits 30 seconds at most.
// The token is shared and must not be changed.
func (s *Source) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

// TokenContext is [Source.Token] under a context: when ctx ends, this call
// fails, and only this one.
func (s *Source) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	g, err := s.Grant(ctx)
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
	if req.URL.Scheme != "https" && !loopback(req.URL.Hostname()) {
		return &OriginError{Want: "https or this machine", Got: req.URL.Scheme + "://" + req.URL.Host}
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
// changes nothing, so any number of refusals costs one new token.
//
// A service that refuses every token is not worth a month's quota: after 100
// dropped tokens, one a minute is dropped and the others are kept.
func (s *Source) Invalidate(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.current.Load(); h != nil && h.grant.AccessToken() == token && s.refusals.Allow() {
		s.refused = h.grant
		s.current.Store(nil)
	}
}

// Quota returns what Auth0's latest answer, refusals included, said of how
// many tokens are left.
func (s *Source) Quota() Quota {
	if q := s.quota.Load(); q != nil {
		return *q
	}
	return Quota{}
}

// wait is Grant without a fresh token at hand.
func (s *Source) wait(ctx context.Context) (*Grant, error) {
	if err := ctx.Err(); err != nil {
		return nil, &FetchError{Domain: s.config.Domain, Err: err}
	}
	s.mu.Lock()
	now := time.Since(s.start)
	h := s.current.Load()
	if h != nil && now < h.renew {
		s.mu.Unlock()
		return h.grant, nil
	}
	valid := h != nil && now < h.end
	if s.failed != nil && now < s.until {
		err := s.failed
		s.mu.Unlock()
		if valid {
			return h.grant, nil
		}
		return nil, err
	}
	f := s.flight
	if f == nil {
		f = &flight{done: make(chan struct{}), paused: make(chan struct{})}
		s.flight = f
		go s.fly(f, h)
	}
	s.mu.Unlock()

	if valid && !s.config.Lazy {
		return h.grant, nil
	}
	if err := f.wait(ctx); err != nil {
		err.Domain = s.config.Domain
		return nil, err
	}
	if f.err != nil {
		if valid && time.Since(s.start) < h.end {
			return h.grant, nil
		}
		return nil, f.err
	}
	return f.grant, nil
}

// wait returns when f is done, or an error when ctx ends first, or is sure to:
// when its deadline lies before the moment that the server asks to wait for.
func (f *flight) wait(ctx context.Context) *FetchError {
	paused := f.paused
	for {
		select {
		case <-f.done:
			return nil
		case <-paused:
			paused = nil
			deadline, ok := ctx.Deadline()
			if last := *f.last.Load(); ok && last.RetryAt.After(deadline) {
				last.Hint = "longer than this call's deadline allows"
				return &last
			}
		case <-ctx.Done():
			err := ctx.Err()
			if last := f.last.Load(); last != nil {
				err = fmt.Errorf("%w, while repeating after: %w", err, last)
			}
			return &FetchError{Err: err}
		}
	}
}

// fly carries out f. old is the holding that it is to replace, or nil.
func (s *Source) fly(f *flight, old *holding) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchCap)
	defer cancel()
	f.grant, f.err = s.obtain(ctx, f, old)
	if f.err == nil {
		if _, err := f.grant.UnverifiedClaims(); errors.Is(err, ErrOpaqueToken) {
			s.opaque.Do(func() { s.config.Warn(fmt.Errorf("authn: %s: %w", s.config.Domain, err)) })
		}
	}

	s.mu.Lock()
	now := time.Since(s.start)
	s.flight, s.failed = nil, nil
	switch {
	case f.err == nil:
		if h := s.hold(f.grant); now < h.end {
			s.current.Store(h)
		} else {
			s.postpone(old, now)
		}
	case f.err.kind == permanent:
		s.failed, s.until = f.err, now+permanentFor
		s.postpone(old, now)
	case f.err.Wait > 0:
		s.failed, s.until = f.err, now+min(time.Until(f.err.RetryAt), maxWaitKept)
		s.postpone(old, now)
	default:
		s.postpone(old, now)
	}
	s.mu.Unlock()
	close(f.done)
}

// postpone lets the calls of the next while use old, whose renewal failed.
func (s *Source) postpone(old *holding, now time.Duration) {
	if old != nil && now < old.end {
		next := *old
		next.renew = min(old.end, now+max(time.Second, (old.end-now)/4))
		s.current.CompareAndSwap(old, &next)
	}
}

// hold decides how long g is used.
func (s *Source) hold(g *Grant) *holding {
	end := g.Expiry().Sub(s.start) - slack(g.life)
	return &holding{grant: g, end: end, renew: end - margin(g.life)}
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

// obtain gets a token from the shared cache or from Auth0.
func (s *Source) obtain(ctx context.Context, f *flight, old *holding) (*Grant, *FetchError) {
	if s.cache == nil {
		return s.fetch(ctx, f)
	}
	release, ok := s.cache.lock(ctx)
	if !ok {
		return s.fetch(ctx, f)
	}
	defer release()
	if g := s.cache.read(); g != nil && s.newer(g, old) {
		q := g.Quota()
		s.quota.Store(&q)
		return g, nil
	}
	g, err := s.fetch(ctx, f)
	if err == nil && g.life > 0 {
		s.cache.write(g)
	}
	return g, err
}

// newer reports whether g, from the shared cache, is worth taking: not the
// token that is to be replaced or was refused, and not yet due for renewal.
func (s *Source) newer(g *Grant, old *holding) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (old == nil || g.AccessToken() != old.grant.AccessToken()) &&
		(s.refused == nil || g.AccessToken() != s.refused.AccessToken()) &&
		time.Since(s.start) < s.hold(g).renew
}

// String describes the source without secrets.
func (s *Source) String() string {
	return fmt.Sprintf("tokens from %s for %s", s.config.Domain, s.config.Audience)
}

// LogValue logs what [Source.String] returns.
func (s *Source) LogValue() slog.Value { return slog.StringValue(s.String()) }
