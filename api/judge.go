package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// meaning is what a status says that is no success.
type meaning struct {
	class   error
	repeat  bool // another attempt may help
	unclear bool // the request may have been carried out all the same
	hint    string
}

var meanings = map[int]meaning{
	400: {class: ErrInvalid},
	401: {class: ErrUnauthorized},
	403: {class: ErrForbidden},
	404: {class: ErrNotFound},
	407: {hint: safehttp.ProxyAdvice},
	408: {unclear: true},
	413: {class: ErrTooLarge, hint: "send fewer sources at once"},
	422: {class: ErrInvalid},
	429: {class: ErrRateLimited, repeat: true},
	500: {class: ErrServer, repeat: true, unclear: true},
	502: {class: ErrServer, repeat: true, unclear: true},
	503: {class: ErrServer, repeat: true, unclear: true}, // an overloaded server may say so after it began
	504: {class: ErrServer, repeat: true, unclear: true},
}

func meaningOf(status int) meaning {
	m, known := meanings[status]
	switch {
	case known:
	case status >= 500:
		return meaning{class: ErrServer, unclear: true}
	case status >= 300 && status < 400:
		return meaning{class: ErrRedirect}
	case status < 200:
		return meaning{class: ErrBadAnswer, unclear: true}
	}
	return m
}

// judge says what an answer means: nil where the call has succeeded.
func (c *call) judge(ctx context.Context, a *answer, t token) *Error {
	switch {
	case a.StatusCode < 200 || a.StatusCode > 299:
		return c.refusal(a, t)
	case c.read == nil && a.kind != "text/html", c.unknown && a.StatusCode == http.StatusNoContent:
		a.drain() // what the body of a DELETE's answer holds is not known [E]
		return nil
	case c.read == nil || !a.isJSON():
		// A page with status 200 is a proxy's or a portal's.
		e := c.unreadable(a, errors.New("it is "+a.kind+", not JSON"))
		c.keepBody(e, a)
		e.hint("is " + c.client.Server() + " the METI API?")
		return e
	}
	err := c.read(a)
	switch broken := a.broken(); {
	case err == nil:
		a.drain()
		return nil
	case ctx.Err() != nil:
		return c.broken(ctx, a, err)
	case broken != nil:
		return c.broken(ctx, a, broken)
	}
	e := c.unreadable(a, err)
	e.repeat = errors.Is(err, io.ErrUnexpectedEOF)
	return e
}

// refusal is an answer that is no success. But a DELETE after one that may have
// been carried out has succeeded where there is no such source: that was asked.
func (c *call) refusal(a *answer, t token) *Error {
	status := a.StatusCode
	if c.unclear && status == http.StatusNotFound && c.operation.Method == http.MethodDelete {
		a.drain()
		return nil
	}
	m := meaningOf(status)
	e := newError(c.operation, "", nil)
	if m.class != nil {
		e.classes = []error{m.class}
	}
	e.Status, e.Hint, e.repeat, e.unclear = status, m.hint, m.repeat, m.unclear
	e.RequestID, e.RetryAfter = requestID(a.Header, c.secrets), safehttp.RetryAfter(a.Header, time.Now())
	c.keepBody(e, a)
	need := strings.Join(c.operation.Scopes, " ")
	switch {
	case m.class == ErrRedirect:
		// By its origin alone: what follows the host can hold anything.
		redirect := &authn.RedirectError{Method: e.Method, Status: status, From: safehttp.Origin(c.client.base), To: safehttp.RedirectTarget(c.client.base, a.Header.Get("Location"), c.secrets)}
		e.Message, e.cause = redirect.Error(), redirect
	case status == http.StatusUnauthorized && c.refused == "" && t.grant != nil:
		c.client.tokens.auth0.Invalidate(t.text)
		c.refused, e.renew = t.text, true
	case status == http.StatusUnauthorized:
		e.hint("METI refused " + c.client.tokens.String())
	case status == http.StatusForbidden && need != "" && t.grant != nil: // else it was not sent
		e.hint("the token was granted " + need + ": is the source another account's?")
	case status == http.StatusForbidden && need != "":
		e.hint("ask your Auth0 administrator for " + need)
	}
	return e
}

// unreadable is a success whose content cannot be read.
func (c *call) unreadable(a *answer, err error) *Error {
	e := c.fail(err, ErrBadAnswer)
	e.Message = safehttp.Line("unreadable answer: "+e.cause.Error(), maxMessage)
	e.Status, e.RequestID, e.unclear = a.StatusCode, requestID(a.Header, c.secrets), true
	return e
}

// broken is an attempt that ended without an answer, which is nil then, or
// within one.
func (c *call) broken(ctx context.Context, a *answer, err error) *Error {
	var e *Error
	var limit limitError
	cause := context.Cause(ctx)
	ours := errors.As(cause, &limit)
	switch {
	case ours:
		e = c.fail(limit)
		e.repeat = true
	case cause != nil: // the caller's own context
		e = c.fail(safehttp.Ended(ctx))
	default:
		e = c.fail(err)
		advice, final := safehttp.Advice(err)
		if safehttp.NoSuchHost(err) {
			advice, final = "is "+c.client.Server()+" the METI API?", true
		}
		e.Hint, e.repeat = advice, !final
	}
	if a != nil {
		e.Status, e.unclear = a.StatusCode, true
		if cause == nil || ours {
			e.classes = append(e.classes, ErrBadAnswer)
			e.Message = "the answer broke off: " + e.Message
		}
	}
	return e
}

// keepBody reads an answer's body into its error.
func (c *call) keepBody(e *Error, a *answer) {
	body := a.head(maxErrorBytes + c.secrets.Longest())
	message, fields := readError(a.kind, body, c.secrets)
	if e.Fields = fields; e.Message != "" && message != "" {
		e.Message += ": "
	}
	e.Message += message
	body = []byte(c.secrets.Redact(string(body)))
	e.Body = body[:min(len(body), maxErrorBytes)]
}
