package authn

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/internal/safehttp"
)

// Grant returns the token to use now. With a cached token this takes no lock and
// allocates nothing.
func (s *Source) Grant(ctx context.Context) (*Grant, error) {
	if h := s.current.Load(); h != nil && before(s.now(), h.renew) {
		return h.grant, nil
	}
	return s.wait(ctx)
}

// Token is [Source.Grant] without a context, as an oauth2.TokenSource has it. The
// token is shared and must not be changed.
func (s *Source) Token() (*oauth2.Token, error) {
	g, err := s.Grant(context.Background())
	if err != nil {
		return nil, err
	}
	return g.token, nil
}

// Edit sets the Authorization header of req, as a generated client's
// RequestEditorFn. It refuses plain http to any host but this one. It cannot see
// the answer, so a 401 is not handled, and an http.Client follows redirects with
// the header: [Source.Transport] sees to both.
func (s *Source) Edit(ctx context.Context, req *http.Request) error {
	if req.URL.Scheme != "https" && !safehttp.Loopback(req.URL.Hostname()) {
		return fmt.Errorf("authn: request for %s refused: a token is for https, or this machine", safehttp.Origin(req.URL))
	}
	g, err := s.Grant(ctx)
	if err != nil {
		return err
	}
	g.authorize(req)
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
	h := s.current.Load()
	if h == nil || h.grant.AccessToken() != token {
		return
	}
	now := s.now()
	s.refusals = max(0, s.refusals-now.Sub(s.counted).Minutes())
	s.counted = now
	if s.refusals <= maxRefusals-1 {
		s.refusals++
		s.refused = h.grant
		s.current.Store(nil)
	}
}

// wait is Grant without a fresh token at hand.
func (s *Source) wait(ctx context.Context) (*Grant, error) {
	if ctx.Err() != nil {
		return nil, s.gaveUp(ctx, nil)
	}
	s.mu.Lock()
	now, h := s.now(), s.current.Load()
	fresh := h != nil && before(now, h.renew)
	valid := h != nil && before(now, h.end)
	var failed *FetchError
	if before(now, s.until) {
		failed = s.failed
	}
	f := s.fetching
	if f == nil && !fresh && failed == nil {
		f = &fetch{old: h, done: make(chan struct{})}
		s.fetching = f
		go s.run(f)
	}
	s.mu.Unlock()

	switch {
	case fresh, valid && (failed != nil || !s.config.Lazy):
		return h.grant, nil
	case failed != nil:
		return nil, failed
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, s.gaveUp(ctx, f.last.Load())
	}
	switch {
	case f.failure == nil:
		return f.grant, nil
	case s.valid(h):
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

// run carries out f.
func (s *Source) run(f *fetch) {
	get := s.fetch
	if s.config.Store != nil {
		get = s.share
	}
	h, failure := get(f)
	f.failure = failure
	if failure == nil {
		f.grant = h.grant
		if _, err := ParseUnverifiedClaims(h.grant.AccessToken()); err != nil {
			s.opaqueWarning.Do(func() { s.config.Warn(fmt.Errorf("authn: %s: %w", s.config.Domain, err)) })
		}
	}

	s.mu.Lock()
	now := s.now()
	s.fetching, s.failed = nil, nil
	if failure == nil && before(now, h.end) {
		s.current.Store(h)
	} else if s.valid(f.old) { // go on with it for a while
		next := *f.old
		left := next.end.Sub(now)
		next.renew = now.Add(min(left, max(time.Second, left/4)))
		s.current.CompareAndSwap(f.old, &next)
	}
	switch {
	case failure == nil:
	case !failure.Temporary():
		s.failed, s.until = failure, now.Add(permanentFor)
	case failure.RetryAfter > 0:
		s.failed, s.until = failure, now.Add(min(failure.RetryAfter, maxWaitKept))
	}
	s.mu.Unlock()
	close(f.done)
}
