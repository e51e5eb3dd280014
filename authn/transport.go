package authn

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/meti-go/meti/internal/safehttp"
)

// transport is what [Source.Transport] returns.
type transport struct {
	source *Source
	origin string
	base   http.RoundTripper
}

// Transport returns an http.RoundTripper that sends through base (nil means
// http.DefaultTransport), for those who use a generated client, or net/http,
// bare.
//
// It adds the token to requests for the server of [Config].BaseURL and refuses
// all others, refuses redirects ([RedirectError]), and answers a 401 with one
// new token and one repeat, if the request's body can be sent again (GetBody,
// which http.NewRequest sets for the common readers). A second 401 is the
// caller's.
func (s *Source) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	server, _ := safehttp.Base(s.config.BaseURL) // complete has checked it
	return &transport{source: s, origin: safehttp.Origin(server), base: base}
}

// RoundTrip sends req with a token. It does not change req.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	g, err := t.admit(req)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.send(req.Clone(req.Context()), g)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	t.source.Invalidate(g.AccessToken())
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return resp, nil
	}
	next, err := t.source.Grant(req.Context())
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	if next.AccessToken() == g.AccessToken() {
		return resp, nil
	}
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil
		}
	}
	_ = resp.Body.Close()
	return t.send(again, next)
}

// admit returns the token for req, if req may have one.
func (t *transport) admit(req *http.Request) (*Grant, error) {
	if own, err := safehttp.Base(req.URL.Scheme + "://" + req.URL.Host); err != nil || own.String() != t.origin {
		return nil, fmt.Errorf("authn: request for %s refused: the token is for %s only", safehttp.Origin(req.URL), t.origin)
	}
	// A request that was born of a redirect: some server chose its address.
	if from := req.Response; from != nil {
		return nil, redirectError(cmp.Or(from.Request, req), from, nil)
	}
	return t.source.Grant(req.Context())
}

// send makes one attempt.
func (t *transport) send(req *http.Request, g *Grant) (*http.Response, error) {
	g.authorize(req)
	resp, err := t.base.RoundTrip(req)
	if err == nil && safehttp.Redirects(resp.StatusCode) {
		_ = resp.Body.Close()
		return nil, redirectError(req, resp, safehttp.Secrets{g.AccessToken()})
	}
	return resp, err
}
