package authn

import (
	"cmp"
	"fmt"
	"io"
	"maps"
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
// new token and one repeat, if the request's body can be sent again (GetBody).
// A second 401 is the caller's.
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
	resp, err := t.send(req, req.Body, g)
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
	body := req.Body
	if req.GetBody != nil {
		if body, err = req.GetBody(); err != nil {
			return resp, nil
		}
	}
	_ = resp.Body.Close()
	return t.send(req, body, next)
}

// admit returns the token for req, if req may have one.
func (t *transport) admit(req *http.Request) (*Grant, error) {
	if to := safehttp.Origin(req.URL); to != t.origin { // perhaps in spelling only
		if own, err := safehttp.Base(to); err != nil || own.String() != t.origin {
			return nil, fmt.Errorf("authn: request for %s refused: the token is for %s only", to, t.origin)
		}
	}
	// A request that was born of a redirect: some server chose its address.
	if from := req.Response; from != nil {
		return nil, redirectError(cmp.Or(from.Request, req), from, nil)
	}
	return t.source.Grant(req.Context())
}

// send makes one attempt, with a copy of req.
func (t *transport) send(req *http.Request, body io.ReadCloser, g *Grant) (*http.Response, error) {
	r := *req
	r.Body, r.Header = body, maps.Clone(req.Header)
	g.authorize(&r)
	resp, err := t.base.RoundTrip(&r)
	if err == nil && safehttp.Redirects(resp.StatusCode) {
		_ = resp.Body.Close()
		return nil, redirectError(&r, resp, safehttp.Secrets{g.AccessToken()})
	}
	return resp, err
}
