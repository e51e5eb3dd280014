package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// call is one operation to carry out, and what is known of it so far.
type call struct {
	operation gen.Operation // with the path of this call
	query     url.Values
	body      []byte // JSON, nil where there is none
	most      int64  // bytes of the answer
	invalid   error  // why it is not to be sent
	unknown   bool   // one of Client.Do
	// read takes the body of a 2xx JSON answer, anew with each attempt; nil where it
	// is not needed. Its error is io.ErrUnexpectedEOF where that was cut short.
	read func(body io.Reader) error

	client  *Client
	secrets safehttp.Secrets
	sent    int    // requests
	unclear bool   // one of them may have been carried out, and its answer was lost
	refused string // the token that the service answered with 401
	last    *Error // the newest failure
}

// fail is an error of this call, without the tokens and the query that others quote.
func (c *call) fail(cause error, classes ...error) *Error {
	for outer, ok := cause.(*url.Error); ok && outer.Err != nil; outer, ok = cause.(*url.Error) { //nolint:errorlint // no deeper
		cause = outer.Err
	}
	text := c.secrets.Redact(cause.Error())
	if query := c.query.Encode(); query != "" { // also one that is too short for a secret
		text = strings.ReplaceAll(text, "?"+query, "")
	}
	if text != cause.Error() {
		cause = errors.New(text)
	}
	return newError(c.operation, safehttp.Line(text, maxMessage), cause, classes...)
}

// authorize gets a token, and refuses what that does not permit.
func (c *call) authorize(ctx context.Context) (token, *Error) {
	if ctx.Err() != nil {
		return token{}, c.fail(safehttp.Ended(ctx))
	}
	t, err := c.client.tokens.get(ctx)
	if err != nil {
		if ctx.Err() != nil { // a caller who gave up is not unauthorized
			return t, c.fail(fmt.Errorf("%w, while waiting for a token: %w", safehttp.Ended(ctx), err))
		}
		if fetch, ok := errors.AsType[*authn.FetchError](err); ok && fetch.Refused() {
			return t, c.fail(err, ErrUnauthorized)
		}
		return t, c.fail(err, ErrNoToken)
	}
	c.secrets.Add(t.text)
	if t.text == c.refused {
		return t, c.fail(errors.New("there is no other token"), ErrUnauthorized)
	}
	if t.grant != nil {
		if err := t.grant.Require(c.operation.ID, c.operation.Scopes...); err != nil {
			e := c.fail(err, ErrForbidden)
			e.Message = strings.TrimPrefix(e.Message, c.operation.ID+" ")
			return t, e
		}
	}
	return t, nil
}

// send sends the request, and waits until the answer begins.
func (c *call) send(ctx context.Context, cancel context.CancelCauseFunc, t token) (*http.Response, *Error) {
	var traced, connected, ended atomic.Bool
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { traced.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), c.operation.Method, c.address(), nil)
	if err != nil {
		return nil, c.fail(err, ErrInvalid)
	}
	request.Header = http.Header{"User-Agent": {c.client.userAgent}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "Authorization": t.header}
	wait := time.AfterFunc(answerTime, func() {
		if !ended.Load() { // else the request is still read, and the answer is there
			cancel(limitError("no answer within " + answerTime.String()))
		}
	})
	defer wait.Stop()
	defer ended.Store(true)
	if c.body != nil {
		request.Header["Content-Type"] = request.Header["Accept"]
		request.ContentLength = int64(len(c.body))
		// For net/http, which sends again only what a connection took nothing of.
		request.GetBody = func() (io.ReadCloser, error) { return requestBody{io.NopCloser(bytes.NewReader(c.body)), wait}, nil }
		request.Body, _ = request.GetBody()
	}
	c.sent++
	response, err := c.client.http.Do(request)
	if err == nil {
		return response, nil
	}
	// The server did nothing if the request never had a connection. Nothing less
	// is proof, for what was written before a connection broke cannot be known.
	op, ok := errors.AsType[*net.OpError](err)
	refused := ok && op.Op == "dial"
	e := c.broken(ctx, err)
	e.unclear = connected.Load() || !traced.Load() && !refused
	if refused && e.repeat {
		e.Hint = "is " + c.client.Server() + " the METI API, and does it run?"
	}
	return nil, e
}

// broken is an attempt that ended before there was a whole answer.
func (c *call) broken(ctx context.Context, err error) *Error {
	if limit, ours := errors.AsType[limitError](context.Cause(ctx)); ours {
		e := c.fail(limit)
		e.repeat = true
		return e
	}
	if ctx.Err() != nil {
		return c.fail(safehttp.Ended(ctx))
	}
	e := c.fail(err)
	advice, final := safehttp.Advice(err, "is "+c.client.Server()+" the METI API?")
	e.Hint, e.repeat = advice, !final
	return e
}

// address is where the call goes.
func (c *call) address() string {
	address := c.client.base.String() + c.operation.Path
	if query := c.query.Encode(); query != "" {
		address += "?" + query
	}
	return address
}
