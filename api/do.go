package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// errAbandoned is why a context ends whose answer is not wanted any more: no failure.
var errAbandoned = errors.New("abandoned")

// do carries out a call: the one place where requests are repeated or given up. Its
// error is an *Error.
func (c *Client) do(ctx context.Context, call call) error {
	if call.invalid != nil {
		return newError(call.operation, safehttp.Line(call.invalid.Error(), maxMessage), call.invalid, ErrInvalid)
	}
	call.client = c
	var spent time.Duration
	for number := 1; ; number++ {
		a := Attempt{Operation: call.operation.ID, Number: number}
		e := call.attempt(ctx, &a)
		spent += a.Duration
		switch {
		case e == nil, a.Status >= 200 && a.Status < 500 && !e.repeat: // the service is alive
			c.retries.repeats.Store(0)
		case e.repeat:
			a.Wait, a.Repeat = c.retries.next(ctx, number, spent, e)
		}
		if e != nil {
			a.Repeat = a.Repeat || e.renew
			if context.Cause(ctx) != errAbandoned {
				a.Err = e
			}
		}
		for _, hook := range c.hooks {
			hook(ctx, a)
		}
		switch {
		case e == nil:
			return nil
		case !a.Repeat:
			return e
		}
		select {
		case <-time.After(a.Wait):
		case <-ctx.Done():
		}
		spent += a.Wait
	}
}

// attempt makes one attempt, and leaves nothing open.
func (c *call) attempt(ctx context.Context, a *Attempt) *Error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	t, e := c.authorize(ctx)
	if e != nil {
		a.Duration = time.Since(start)
		return c.unsent(e)
	}
	a.Sent = int64(len(c.body))
	response, e := c.send(ctx, cancel, t)
	a.Duration = time.Since(start)
	if e == nil {
		defer response.Body.Close()
		answer := newAnswer(response, c.most, cancel)
		if e = c.judge(ctx, answer, t); e == nil {
			answer.drain()
		} else {
			e.Status, e.RequestID = response.StatusCode, requestID(response.Header, c.secrets)
		}
		a.Status, a.Received = response.StatusCode, answer.wire.n
		a.Duration += answer.wire.waited
	}
	if e == nil {
		return nil
	}
	e.Attempts, c.last = c.sent, e
	c.unclear = c.unclear || e.unclear
	if c.operation.Repeatable {
		return e
	}
	// What may have been carried out, and is not to be carried out twice, is not
	// repeated; of what this version does not know, nothing is.
	outcomeUnknown := e.unclear && c.operation.Method != http.MethodGet
	e.repeat = e.repeat && !outcomeUnknown && !c.unknown
	if outcomeUnknown {
		e.classes = append(e.classes, ErrOutcomeUnknown)
		e.hint("it may have been carried out")
		if !c.unknown {
			e.Hint += ": look up the alt_ids of the request before sending it again"
		}
	}
	return e
}

// unsent is an attempt that was not made: the newest failure, and what followed it.
func (c *call) unsent(e *Error) *Error {
	if c.last == nil {
		return e
	}
	both := *c.last
	both.Message, both.cause = join("; ", both.Message, "and then: "+e.Message), e.cause
	if len(e.classes) > 0 || both.renew {
		both.classes = e.classes
	}
	both.repeat, both.renew = false, false
	return &both
}

// answerOf carries out a call, and reads its answer.
func answerOf[T any](ctx context.Context, c *Client, call call, read func(io.Reader) (T, error)) (answer T, err error) {
	call.read = func(body io.Reader) (err error) {
		answer, err = read(body)
		return err
	}
	if err = c.do(ctx, call); err != nil {
		answer = *new(T)
	}
	return answer, err
}

// A DoOption changes one call of [Client.Do].
type DoOption func(*call)

// Repeatable says that an operation may be carried out twice, and so repeated.
func Repeatable() DoOption { return func(c *call) { c.operation.Repeatable = true } }

// Do carries out an operation that this version does not know, as the others are. It
// returns the answer's body, which has to be JSON, or nil where there is none. The
// path is below the base URL and escaped. The body is sent as JSON: []byte as it is,
// whatever else as encoding/json writes it, nil not at all.
//
//	answer, err := client.Do(ctx, "PATCH", "/sources/"+url.PathEscape(id), nil, map[string]any{"tags": tags})
//
// Unless it is [Repeatable], it is repeated only after a 401, with a new token, and
// the error of anything but a GET is [ErrOutcomeUnknown] where it may have been
// carried out. Whether the token has the scope is for the caller to know.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body any, options ...DoOption) (json.RawMessage, error) {
	call := call{operation: gen.Operation{ID: strings.TrimSpace(method + " " + path), Method: method, Path: path}, query: query, most: maxSourceBytes, unknown: true}
	if text, ok := body.([]byte); ok {
		call.body = text
	} else if body != nil {
		call.body, call.invalid = json.Marshal(body)
	}
	if _, err := url.Parse(path); err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		call.invalid = errors.New("the method has to be one of HTTP's in capitals, and the path to begin with a slash, be escaped and be without a query")
	}
	for _, option := range options {
		option(&call)
	}
	return answerOf(ctx, c, call, func(r io.Reader) (json.RawMessage, error) {
		answer, err := io.ReadAll(r)
		switch {
		case len(answer) == 0:
			return nil, err
		case err == nil && !json.Valid(answer):
			err = errors.New("it is not JSON")
		}
		return answer, err
	})
}
