package authn

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/internal/safehttp"
)

// How long a failure is remembered: a permanent one, and a wait that the server
// asked for at most. Auth0's longest bucket is a day.
const permanentFor, maxWaitKept = 10 * time.Second, 24 * time.Hour

// Token is [Source.Grant] without a context, as an oauth2.TokenSource has it. The
// token is shared and must not be changed.
func (s *Source) Token() (*oauth2.Token, error) {
	g, err := s.Grant(context.Background())
	if err != nil {
		return nil, err
	}
	return &g.entry.Token, nil
}

// Edit sets the Authorization header of req, as a generated client's
// RequestEditorFn. It refuses plain http to any host but this one. It does not see
// the answer: after a 401, tell [Source.Invalidate], and give the http.Client a
// CheckRedirect, for it follows redirects with the header.
func (s *Source) Edit(ctx context.Context, req *http.Request) error {
	if req.URL.Scheme != "https" && !safehttp.Loopback(req.URL.Hostname()) {
		return fmt.Errorf("authn: request for %s refused: a token is for https, or this machine", safehttp.Origin(req.URL))
	}
	g, err := s.Grant(ctx)
	if err != nil {
		return err
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header["Authorization"] = g.Header()
	return nil
}

// Grant returns the token to use now. With a cached token this takes no lock and
// allocates nothing.
func (s *Source) Grant(ctx context.Context) (*Grant, error) {
	g := s.current.Load()
	if s.fresh(g) {
		return g, nil
	}
	if ctx.Err() != nil {
		return nil, s.gaveUp(ctx)
	}
	renewed := s.renewals.DoChan("", s.renew)
	if s.valid(g) && !s.config.Lazy {
		return g, nil
	}
	select {
	case r := <-renewed:
		g, _ := r.Val.(*Grant)
		return g, r.Err
	case <-ctx.Done():
		return nil, s.gaveUp(ctx)
	}
}

// gaveUp is the error of a caller whose context ended.
func (s *Source) gaveUp(ctx context.Context) error {
	err := safehttp.Ended(ctx)
	if last := s.attempt.Load(); last != nil {
		err = fmt.Errorf("%w, while repeating after: %w", err, last)
	}
	return &FetchError{Domain: s.config.Domain, Err: err}
}

// renew gets a *[Grant] in place of the current one, one call at a time.
func (s *Source) renew() (any, error) {
	g := s.current.Load()
	if s.fresh(g) || s.valid(g) && s.before(s.later) {
		return g, nil // from a renewal that has just ended, well or not
	}
	if s.failed == nil || !s.before(s.until) {
		if g, s.failed = s.share(); s.failed == nil {
			if s.valid(g) {
				s.current.Store(g)
			}
			if _, err := ParseUnverifiedClaims(g.AccessToken()); err != nil {
				s.opaqueWarning.Do(func() { s.config.Warn(fmt.Errorf("authn: %s: %w", s.config.Domain, err)) })
			}
			return g, nil
		}
		wait := permanentFor
		if s.failed.Temporary() {
			wait = min(s.failed.RetryAfter, maxWaitKept)
		}
		s.until = s.now().Add(wait)
		if g = s.current.Load(); g != nil {
			s.later = s.now().Add(g.end.Sub(s.now()) / 4) // no hurry
		}
	}
	if g = s.current.Load(); s.valid(g) {
		return g, nil // for a while longer
	}
	return nil, s.failed
}
