package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errAbandoned is why a context ends whose answer is not wanted any more, which
// is no failure.
var errAbandoned = errors.New("abandoned")

// do carries out one call: the one place where requests are repeated or given
// up. Its error is an *Error.
func (c *client) do(ctx context.Context, call call) error {
	r := run{client: c, call: &call}
	var spent time.Duration
	repeats := 0 // that the budget paid for
	for number := 1; ; number++ {
		o := r.attempt(ctx)
		spent += o.spent
		if r.alreadyDeleted(&o) {
			o.err = nil
		}
		if o.err == nil || o.status >= 200 && o.status < 500 && o.next == stop && o.status != http.StatusRequestTimeout {
			c.retries.answered(repeats)
		}
		var wait time.Duration
		more := o.next == renew
		if o.err != nil {
			if o.err.Attempts = number; !o.tried {
				o.err.Attempts--
			}
			r.unclear = r.unclear || o.unclear
			r.last = o.err
			if o.next == repeat && (!r.unknown || r.twice) {
				var why string
				wait, why, more = c.retries.next(ctx, number, spent, o.err.RetryAfter)
				if o.err.hint(why); more {
					repeats++
				}
			}
		}
		r.report(ctx, number, &o, wait, more)
		switch {
		case o.err == nil:
			return nil
		case !more:
			return o.err
		case wait > 0:
			spent += wait
			if err := sleep(ctx, wait); err != nil {
				return r.interrupted(err)
			}
		}
	}
}

// answerOf carries out one call, and reads its answer.
func answerOf[T any](ctx context.Context, c *client, call call, read func(io.Reader) (T, error)) (answer T, err error) {
	call.read = func(body io.Reader) (err error) {
		answer, err = read(body)
		return err
	}
	if err := c.do(ctx, call); err != nil {
		var none T
		return none, err
	}
	return answer, nil
}

// alreadyDeleted reports whether an answer says of a repeated DELETE that
// there is no such source, after an attempt whose answer was lost: then the
// source is gone, which is what was asked for.
func (r *run) alreadyDeleted(o *outcome) bool {
	return r.unclear && o.status == http.StatusNotFound && r.operation.Method == http.MethodDelete
}

// interrupted is the newest failure, and that the context ended before the
// next attempt.
func (r *run) interrupted(cause error) *Error {
	e := *r.last
	e.Message = join(e.Message, "and then "+cause.Error()+" before a repeat")
	e.cause = cause
	return &e
}

// report tells the hooks of an attempt.
func (r *run) report(ctx context.Context, number int, o *outcome, wait time.Duration, more bool) {
	attempt := Attempt{
		Operation: r.operation.ID,
		Number:    number,
		Status:    o.status,
		Duration:  o.spent,
		Sent:      o.sent,
		Received:  o.received,
		Repeat:    more,
		Wait:      wait,
	}
	if o.err != nil && context.Cause(ctx) != errAbandoned {
		attempt.Err = o.err
	}
	for _, hook := range r.hooks {
		hook(ctx, attempt)
	}
}
