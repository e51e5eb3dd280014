package authn

import (
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Transport is the http.RoundTripper face of a [Source], for those who use a
// generated client, or net/http, bare.
//
// It adds the token to requests for its own origin and refuses all others
// ([OriginError]), refuses redirects ([RedirectError]), and answers a 401 with
// one new token and one repeat, if the request's body can be sent again
// (GetBody, which http.NewRequest sets for the common readers). A second 401
// is the caller's.
type Transport struct {
	source *Source
	origin string
	base   http.RoundTripper
}

// Transport returns the RoundTripper that sends tokens to the server of
// baseURL (of which the path plays no part) and nowhere else, through base;
// nil means http.DefaultTransport.
func (s *Source) Transport(baseURL string, base http.RoundTripper) (*Transport, error) {
	wrong := func(problem string) error {
		return &ConfigError{Field: "baseURL", Variable: "METI_BASE_URL", Problem: problem}
	}
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, wrong("is not a URL")
	}
	own, err := origin(u)
	if err != nil {
		return nil, wrong(err.Error())
	}
	if base == nil {
		base = http.DefaultTransport
	}
	return &Transport{source: s, origin: own, base: base}, nil
}

// RoundTrip sends req with a token, see [Transport]. It does not change req.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	refuse := func(err error) (*http.Response, error) {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	if !t.owns(req.URL) {
		return refuse(&OriginError{Want: t.origin, Got: req.URL.Scheme + "://" + req.URL.Host})
	}
	// A request that was born of a redirect: some server chose its address.
	if req.Response != nil {
		from := req
		if req.Response.Request != nil {
			from = req.Response.Request
		}
		return refuse(redirectError(from, req.Response))
	}
	g, err := t.source.Grant(req.Context())
	if err != nil {
		return refuse(err)
	}
	resp, err := t.send(req, req.Body, g)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}

	t.source.Invalidate(g.AccessToken())
	body := req.Body
	if body != nil && body != http.NoBody {
		if req.GetBody == nil {
			return resp, nil
		}
		if body, err = req.GetBody(); err != nil {
			return resp, nil
		}
	}
	next, err := t.source.Grant(req.Context())
	if err != nil || next.AccessToken() == g.AccessToken() {
		if body != nil {
			_ = body.Close()
		}
		if err == nil {
			return resp, nil
		}
		_ = resp.Body.Close()
		return nil, err
	}
	_ = resp.Body.Close()
	return t.send(req, body, next)
}

// owns reports whether u is on the server that the token is for.
func (t *Transport) owns(u *url.URL) bool {
	if scheme, host, _ := strings.Cut(t.origin, "://"); u.Scheme == scheme && u.Host == host {
		return true // as it nearly always is: no need to normalise
	}
	own, err := origin(&url.URL{Scheme: u.Scheme, Host: u.Host})
	return err == nil && own == t.origin
}

// send makes one attempt, with a copy of req.
func (t *Transport) send(req *http.Request, body io.ReadCloser, g *Grant) (*http.Response, error) {
	r := new(http.Request)
	*r = *req
	r.Body = body
	r.Header = make(http.Header, len(req.Header)+1)
	for key, values := range req.Header {
		r.Header[key] = values
	}
	r.Header["Authorization"] = g.Header()
	resp, err := t.base.RoundTrip(r)
	if err == nil && redirects(resp.StatusCode) {
		_ = resp.Body.Close()
		return nil, redirectError(r, resp, g.AccessToken())
	}
	return resp, err
}

// CloseIdleConnections closes those of the transport below.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
