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
		o.Operation, o.Number, o.Repeat = r.operation.ID, number, o.next == renew
		spent += o.Duration
		if r.alreadyDeleted(&o) {
			o.err = nil
		}
		if o.err == nil || o.refused() {
			c.retries.answered(repeats)
		}
		if o.err != nil {
			if o.err.Attempts = number; !o.tried {
				o.err.Attempts--
			}
			r.unclear = r.unclear || o.unclear
			r.last = o.err
			if o.next == repeat && (!r.unknown || r.twice) {
				var why string
				o.Wait, why, o.Repeat = c.retries.next(ctx, number, spent, o.err.RetryAfter)
				if o.err.hint(why); o.Repeat {
					repeats++
				}
			}
		}
		r.report(ctx, &o)
		switch {
		case o.err == nil:
			return nil
		case !o.Repeat:
			return o.err
		case o.Wait > 0:
			spent += o.Wait
			if err := sleep(ctx, o.Wait); err != nil {
				return r.interrupted(err)
			}
		}
	}
}

// refused reports whether the service is alive, and answered for good.
func (o *outcome) refused() bool {
	return o.Status >= 200 && o.Status < 500 && o.next == stop && o.Status != http.StatusRequestTimeout
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
	return r.unclear && o.Status == http.StatusNotFound && r.operation.Method == http.MethodDelete
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
func (r *run) report(ctx context.Context, o *outcome) {
	if o.err != nil && context.Cause(ctx) != errAbandoned {
		o.Err = o.err
	}
	for _, hook := range r.hooks {
		hook(ctx, o.Attempt)
	}
}
