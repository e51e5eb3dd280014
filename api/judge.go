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

// What the statuses mean that are no success, by themselves or by their hundreds.
var (
	classes = map[int]error{
		400: ErrInvalid, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound,
		413: ErrTooLarge, 422: ErrInvalid, 429: ErrRateLimited,
	}
	classesOfHundreds = map[int]error{1: ErrBadAnswer, 3: ErrRedirect, 5: ErrServer}
	repeated          = map[int]bool{429: true, 500: true, 502: true, 503: true, 504: true}
	hints             = map[int]string{407: safehttp.ProxyAdvice, 413: "send fewer sources at once"}
)

// jsonKinds are the types that JSON is sent under. No type counts as one of them.
var jsonKinds = regexp.MustCompile(`^$|^(application|text)/json$|\+json$`)

// judge says what an answer means: nil where the call has succeeded.
func (c *call) judge(ctx context.Context, a *answer, t token) *Error {
	var err error
	isJSON := jsonKinds.MatchString(a.kind)
	switch {
	case a.StatusCode < 200 || a.StatusCode > 299:
		return c.refusal(a, t)
	case a.StatusCode == http.StatusNoContent && (c.unknown || c.read == nil):
	case c.read != nil && isJSON:
		err = c.read(a)
	case c.read != nil || a.kind == "text/html": // a page with status 200 is a proxy's or a portal's
		err = errors.New("it is " + a.kind + ", not JSON")
	}
	if err == nil { // also where a DELETE answers something, for that is not known [E]
		return nil
	}
	content := a.wire.err == nil || a.wire.err == io.EOF // is wrong, and nothing on the way
	if !content {
		err = a.wire.err
	}
	e := c.broken(ctx, err)
	e.unclear = true
	if content && ctx.Err() == nil {
		e.repeat = errors.Is(err, io.ErrUnexpectedEOF)
	}
	if e.repeat || ctx.Err() == nil { // it was not the caller who ended it
		e.classes = append(e.classes, ErrBadAnswer)
		e.Message = "unreadable answer: " + e.Message
	}
	if !isJSON {
		c.keepBody(e, a)
		e.hint("is " + c.client.Server() + " the METI API?")
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
