package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// What the statuses mean that are no success, some by themselves, and the
// others by their hundreds.
var (
	classes = map[int]error{
		400: ErrInvalid, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound,
		413: ErrTooLarge, 422: ErrInvalid, 429: ErrRateLimited,
	}
	classesOfHundreds = map[int]error{1: ErrBadAnswer, 3: ErrRedirect, 5: ErrServer}
	repeated          = map[int]bool{429: true, 500: true, 502: true, 503: true, 504: true}
	hints             = map[int]string{407: safehttp.ProxyAdvice, 413: "send fewer sources at once"}
)

// jsonKinds are the types that JSON is sent under. An answer without one is read as
// JSON: if it is something else, that shows.
var jsonKinds = regexp.MustCompile(`^$|^(application|text)/json$|\+json$`)

// judge says what an answer means: nil where the call has succeeded.
func (c *call) judge(ctx context.Context, a *answer, t token) *Error {
	switch {
	case a.StatusCode < 200 || a.StatusCode > 299:
		return c.refusal(a, t)
	case c.read == nil && a.kind != "text/html", c.unknown && a.StatusCode == http.StatusNoContent:
		return nil // what the body of a DELETE's answer holds is not known [E]
	case c.read == nil || !jsonKinds.MatchString(a.kind):
		// A page with status 200 is a proxy's or a portal's.
		e := c.unreadable(errors.New("it is " + a.kind + ", not JSON"))
		c.keepBody(e, a)
		e.hint("is " + c.client.Server() + " the METI API?")
		return e
	}
	err := c.read(a)
	broken := a.wire.err // on the way, not in the content
	if broken == io.EOF {
		broken = nil
	}
	switch {
	case err == nil:
		return nil
	case broken == nil && ctx.Err() == nil:
		e := c.unreadable(err)
		e.repeat = errors.Is(err, io.ErrUnexpectedEOF)
		return e
	}
	e := c.broken(ctx, cmp.Or(broken, err))
	e.unclear = true
	if ctx.Err() == nil || e.repeat {
		e.classes = append(e.classes, ErrBadAnswer)
		e.Message = "the answer broke off: " + e.Message
	}
	return e
}

// refusal is an answer that is no success. But a DELETE after one that may have
// been carried out has succeeded where there is no such source: that was asked.
func (c *call) refusal(a *answer, t token) *Error {
	status := a.StatusCode
	if c.unclear && status == http.StatusNotFound && c.operation.Method == http.MethodDelete {
		return nil
	}
	e := newError(c.operation, "", nil)
	if class := cmp.Or(classes[status], classesOfHundreds[min(status/100, 5)]); class != nil {
		e.classes = []error{class}
	}
	e.Hint, e.repeat = hints[status], repeated[status]
	// Also after 503: an overloaded server may say so after it began.
	e.unclear = status < 200 || status == http.StatusRequestTimeout || status >= 500
	e.RetryAfter = safehttp.RetryAfter(a.Header, time.Now())
	c.keepBody(e, a)
	need := strings.Join(c.operation.Scopes, " ")
	switch {
	case status/100 == 3:
		// By its origin alone: what follows the host can hold anything.
		redirect := &authn.RedirectError{Method: e.Method, Status: status, From: safehttp.Origin(c.client.base), To: safehttp.RedirectTarget(c.client.base, a.Header.Get("Location"), c.secrets)}
		e.Message, e.cause = redirect.Error(), redirect
	case status == http.StatusUnauthorized && c.refused == "" && c.client.tokens.drop != nil:
		c.client.tokens.drop(t.text)
		c.refused, e.renew = t.text, true
	case status == http.StatusUnauthorized:
		e.hint("METI refused " + c.client.tokens.name)
	case status == http.StatusForbidden && need != "" && t.grant != nil: // else it was not sent
		e.hint("the token was granted " + need + ": is the source another account's?")
	case status == http.StatusForbidden && need != "":
		e.hint("ask your Auth0 administrator for " + need)
	}
	return e
}

// unreadable is a success whose content cannot be read.
func (c *call) unreadable(err error) *Error {
	e := c.fail(err, ErrBadAnswer)
	e.Message, e.unclear = safehttp.Line("unreadable answer: "+e.cause.Error(), maxMessage), true
	return e
}

// keepBody reads an answer's body, or its beginning, into its error.
func (c *call) keepBody(e *Error, a *answer) {
	a.wire.within(tailTime)
	a.most = math.MaxInt64
	body, _ := io.ReadAll(io.LimitReader(a, int64(maxErrorBytes+c.secrets.Longest())))
	message, fields := readError(a.kind, body, c.secrets)
	e.Message, e.Fields = join(": ", e.Message, message), fields
	body = []byte(c.secrets.Redact(string(body)))
	e.Body = body[:min(len(body), maxErrorBytes)]
}
