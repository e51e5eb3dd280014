package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// answer is an answer to judge.
type answer struct {
	*http.Response
	body *answerBody
	kind string // media type
}

// authorize puts a token into the header, and refuses what it does not permit.
func (r *run) authorize(ctx context.Context, header http.Header) (credential, *Error) {
	if ctx.Err() != nil {
		return credential{}, r.fail(0, safehttp.Ended(ctx))
	}
	who, err := r.tokens.authorize(ctx, header)
	if err != nil {
		var fetch *authn.FetchError
		var e *Error
		switch {
		case ctx.Err() != nil: // a caller who gave up is not unauthorized
			e = r.fail(0, fmt.Errorf("%w, while waiting for a token: %w", safehttp.Ended(ctx), err))
		case errors.As(err, &fetch) && fetch.Refused():
			e = r.fail(0, err, ErrUnauthorized)
		default:
			e = r.fail(0, err, ErrNoToken)
		}
		if r.last != nil { // keep the answer that made another attempt necessary
			e.Status, e.Body, e.RequestID = r.last.Status, r.last.Body, r.last.RequestID
			e.Message = join(r.last.Message, "and then: "+e.Message)
		}
		return credential{}, e
	}
	r.secrets.Add(who.token)
	if r.refused != "" && who.token == r.refused {
		return credential{}, r.last // there is no other token
	}
	if who.grant != nil {
		if err := who.grant.Require(r.operation.ID, r.operation.Scopes...); err != nil {
			e := r.fail(0, err, ErrForbidden)
			e.Message = strings.TrimPrefix(e.Message, r.operation.ID+" ")
			return credential{}, e
		}
	}
	return who, nil
}

// judge decides what an answer means.
func (r *run) judge(ctx, inner context.Context, o *outcome, a answer, who credential) {
	if o.Status < 200 || o.Status > 299 {
		r.judgeRefusal(o, a, who)
		return
	}
	switch {
	case r.read == nil && a.kind != "text/html", r.unknown && o.Status == http.StatusNoContent:
		a.body.drain() // what the body of a DELETE's answer holds is not known [E]
		return
	case r.read == nil || !isJSON(a.kind):
		// A page with status 200 is a proxy's or a portal's.
		r.judgeContent(o, a, errors.New("it is "+a.kind+", not JSON"))
		r.keepBody(o.err, a)
		o.err.hint("is " + r.base.String() + " the METI API?")
		return
	}
	err := r.read(a.body)
	broken := a.body.broken()
	switch {
	case err == nil:
		a.body.drain()
	case ctx.Err() != nil:
		r.judgeBroken(ctx, inner, o, err)
	case broken != nil:
		r.judgeBroken(ctx, inner, o, broken)
	default:
		r.judgeContent(o, a, err)
		if errors.Is(err, io.ErrUnexpectedEOF) && r.repeatable() {
			o.next = repeat
		}
	}
}

// judgeRefusal is for an answer that is no success.
func (r *run) judgeRefusal(o *outcome, a answer, who credential) {
	e := r.fail(o.Status, nil, classesOf(o.Status)...)
	o.err = e
	r.keepBody(e, a)
	e.RequestID = requestID(a.Header, r.secrets)
	e.RetryAfter = safehttp.RetryAfter(a.Header, time.Now())
	switch status := o.Status; {
	case status < 200:
		o.unclear = true
	case status < 400:
		// By its origin alone: what follows the host can hold anything.
		redirect := &authn.RedirectError{Method: e.Method, Status: status, From: safehttp.Origin(r.base), To: safehttp.RedirectTarget(r.base, a.Header.Get("Location"), r.secrets)}
		e.Message, e.cause = redirect.Error(), redirect
	case status == http.StatusUnauthorized:
		if r.refused == "" && r.tokens.refused(who.token) {
			r.refused, o.next = who.token, renew
		} else {
			e.hint("METI refused " + r.tokens.String())
		}
	case status == http.StatusForbidden:
		// What the token is known to lack was not sent.
		if need := strings.Join(r.operation.Scopes, " "); who.grant != nil && need != "" {
			e.hint("the token was granted " + need + ": is the source another account's?")
		} else if need != "" {
			e.hint("ask your Auth0 administrator for " + need)
		}
	case status == http.StatusProxyAuthRequired:
		e.hint(safehttp.ProxyAdvice)
	case status == http.StatusRequestTimeout || status >= 500:
		o.unclear = true // also 503: an overloaded server may say so after it began
		if status == 500 || status >= 502 && status <= 504 {
			o.next = repeat
		}
	case status == http.StatusTooManyRequests:
		o.next = repeat
	case status == http.StatusRequestEntityTooLarge:
		e.hint("send fewer sources at once")
	}
	r.judgeOutcome(o)
}

// judgeContent is for a 2xx answer that cannot be read.
func (r *run) judgeContent(o *outcome, a answer, err error) {
	o.err = r.fail(o.Status, err, ErrBadAnswer)
	o.err.Message = safehttp.Line("unreadable answer: "+o.err.cause.Error(), maxMessage)
	o.err.RequestID = requestID(a.Header, r.secrets)
	o.unclear = true
	r.judgeOutcome(o)
}

// judgeBroken is for an attempt that ended without an answer, or within one.
func (r *run) judgeBroken(ctx, inner context.Context, o *outcome, err error) {
	switch {
	case ctx.Err() != nil: // the caller's own context
		o.err = r.fail(o.Status, safehttp.Ended(ctx))
	case inner.Err() != nil: // a limit of ours
		o.err = r.fail(o.Status, context.Cause(inner))
		o.next = repeat
	default:
		o.err = r.fail(o.Status, err)
		o.next = repeat
		advice, final := safehttp.Advice(err)
		if safehttp.NoSuchHost(err) {
			advice, final = "is "+r.base.String()+" the METI API?", true
		}
		if o.err.hint(advice); final {
			o.next = stop
		}
	}
	if o.Status != 0 {
		o.unclear = true
		if ctx.Err() == nil {
			o.err.classes = append(o.err.classes, ErrBadAnswer)
			o.err.Message = "the answer broke off: " + o.err.Message
		}
	}
	r.judgeOutcome(o)
}

// judgeOutcome names a request that may have been carried out, and is not to be
// carried out twice.
func (r *run) judgeOutcome(o *outcome) {
	if !r.repeatable() && r.operation.Method != http.MethodGet && o.unclear {
		o.next = stop
		o.err.classes = append(o.err.classes, ErrOutcomeUnknown)
		hint := "it may have been carried out"
		if !r.unknown {
			hint += ": look its alt_ids up before sending it again"
		}
		o.err.hint(hint)
	}
}

// keepBody reads an answer's body into its error.
func (r *run) keepBody(e *Error, a answer) {
	body := a.body.head(maxErrorBytes + r.secrets.Longest())
	message, fields := readError(a.kind, body, r.secrets)
	if e.Fields = fields; e.Message != "" && message != "" {
		e.Message += ": "
	}
	e.Message += message
	body = []byte(r.secrets.Redact(string(body)))
	e.Body = body[:min(len(body), maxErrorBytes)]
}

// fail makes an error of this call.
func (r *run) fail(status int, cause error, classes ...error) *Error {
	e := &Error{Operation: r.operation.ID, Method: r.operation.Method, Path: r.path, Status: status, classes: classes}
	if cause != nil {
		e.cause = r.cleaned(cause)
		e.Message = safehttp.Line(e.cause.Error(), maxMessage)
	}
	return e
}

// cleaned is err without tokens and query values: net/http quotes what a
// server sent, and an http.Client the URL.
func (r *run) cleaned(err error) error {
	var outer *url.Error
	for errors.As(err, &outer) {
		err = outer.Err
	}
	text := err.Error()
	clean := r.secrets.Redact(text)
	if query := r.query.Encode(); query != "" {
		clean = strings.ReplaceAll(clean, "?"+query, "")
	}
	if clean != text {
		return errors.New(clean)
	}
	return err
}
