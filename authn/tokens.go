package authn

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/internal/safehttp"
)

const (
	// permanentFor is how long a permanent failure is remembered.
	permanentFor = 10 * time.Second
	// maxWaitKept bounds the same for a wait that the server asked for: Auth0's
	// longest bucket is a day.
	maxWaitKept = 24 * time.Hour
)

// Grant returns the token to use now. With a cached token this takes no lock and
// allocates nothing.
func (s *Source) Grant(ctx context.Context) (*Grant, error) {
	if g := s.current.Load(); g != nil && s.before(g.renew) {
		return g, nil
	}
	if ctx.Err() != nil {
		return nil, s.gaveUp(ctx, nil)
	}
	s.mu.Lock()
	g := s.current.Load()
	fresh, valid := g != nil && s.before(g.renew), s.valid(g)
	failed := s.failed
	if !s.before(s.until) {
		failed = nil
	}
	f := s.fetching
	if f == nil && !fresh && failed == nil {
		f = &fetch{old: g, done: make(chan struct{})}
		s.fetching = f
		go s.run(f)
	}
	s.mu.Unlock()

	switch {
	case fresh, valid && (failed != nil || !s.config.Lazy):
		return g, nil
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
	case s.valid(g):
		return g, nil
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
	f.grant, f.failure = get(f)
	if f.failure == nil {
		if _, err := ParseUnverifiedClaims(f.grant.AccessToken()); err != nil {
			s.opaqueWarning.Do(func() { s.config.Warn(fmt.Errorf("authn: %s: %w", s.config.Domain, err)) })
		}
	}

	s.mu.Lock()
	now := s.now()
	s.fetching, s.failed = nil, nil
	if s.valid(f.grant) {
		s.current.Store(f.grant)
	} else if s.valid(f.old) { // go on with it for a while
		next := *f.old
		left := next.end.Sub(now)
		next.renew = now.Add(min(left, max(time.Second, left/4)))
		s.current.CompareAndSwap(f.old, &next)
	}
	switch {
	case f.failure == nil:
	case !f.failure.Temporary():
		s.failed, s.until = f.failure, now.Add(permanentFor)
	case f.failure.RetryAfter > 0:
		s.failed, s.until = f.failure, now.Add(min(f.failure.RetryAfter, maxWaitKept))
	}
	s.mu.Unlock()
	close(f.done)
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
