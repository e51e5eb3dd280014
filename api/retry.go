package api

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// RetryPolicy bounds the repeats of a call; what is zero means the default. The
// calls of one client together make 50 repeats at most until the service answers
// again, with a 404 too: 50,000 calls of 1,000 clients become 100,000 requests to a dead
// server, not 200,000.
type RetryPolicy struct {
	// Attempts is the most that one call makes, the first included: 4.
	Attempts int
	// Within is how long a call may still start another attempt: 15 seconds, without
	// the time of a listing's consumer. The waits are random, up to a thirtieth of it
	// before the first repeat, twice and then four times that before the others.
	Within time.Duration
}

const budget = 50 // repeats

// retries decides on the repeats of a client's calls.
type retries struct {
	RetryPolicy
	repeats atomic.Int64 // asked for since the service answered last
}

func newRetries(policy RetryPolicy) *retries {
	return &retries{RetryPolicy: RetryPolicy{cmp.Or(policy.Attempts, 4), cmp.Or(policy.Within, 15*time.Second)}}
}

// backoff is the wait after that many attempts: full jitter keeps clients apart.
func (r *retries) backoff(attempts int) time.Duration {
	return rand.N(r.Within/30<<min(attempts-1, 2) + 1)
}

// next decides whether another attempt follows one that failed, and after which wait.
func (r *retries) next(ctx context.Context, attempts int, spent time.Duration, e *Error) (wait time.Duration, again bool) {
	if attempts >= r.Attempts {
		return 0, false
	}
	left, bound := r.Within-spent, "left for repeats"
	if deadline, has := ctx.Deadline(); has && time.Until(deadline) < left {
		left, bound = time.Until(deadline), "left before the deadline"
	}
	wait = r.backoff(attempts)
	if e.RetryAfter > 0 {
		// The jitter keeps those apart who were told the same second.
		wait = max(e.RetryAfter, min(e.RetryAfter+r.backoff(1), left-1))
	}
	switch {
	case wait < left && r.repeats.Add(1) <= budget:
		return wait, true
	case wait < left:
		e.hint("not repeated: too many calls of this client failed")
	case e.RetryAfter > 0:
		e.hint(fmt.Sprintf("the server asks to wait %s, more than the %s %s", e.RetryAfter, max(0, left).Round(time.Millisecond), bound))
	}
	return 0, false
}
