package api

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// RetryPolicy bounds the repeats of a call; what is zero means the default. The
// calls of one client together make 50 repeats at most until the service answers
// again: 1,000 clients with 50 calls each send a dead server twice 50,000 requests
// rather than four times. A call that gets an answer, a 404 too, gives back what
// its own repeats took.
type RetryPolicy struct {
	// Attempts is the most that one call makes, the first included: 4. One
	// means that nothing is repeated.
	Attempts int
	// Within is how long after its beginning a call may still start another
	// attempt: 15 seconds. It counts attempts and waits, and not what the
	// consumer of a listing does with the sources meanwhile. The waits are
	// random, up to a thirtieth of it before the first repeat, twice that before
	// the second, and four times before the others.
	Within time.Duration
}

const fullBudget = 50 // repeats

// retries decides on the repeats of a client's calls.
type retries struct {
	RetryPolicy
	tenths int // of repeats that are left; only fewer while nothing gets an answer
	mu     sync.Mutex
}

func newRetries(policy RetryPolicy) *retries {
	policy.Attempts = cmp.Or(policy.Attempts, 4)
	policy.Within = cmp.Or(policy.Within, 15*time.Second)
	return &retries{RetryPolicy: policy, tenths: 10 * fullBudget}
}

// backoff is the wait after that many attempts: full jitter, so that clients
// that failed together do not come back together.
func (r *retries) backoff(attempts int) time.Duration {
	return rand.N(r.Within/30<<min(attempts-1, 2) + 1)
}

// next decides whether an attempt that failed is followed by another, and after
// which wait. Otherwise it says why not, where that is worth saying.
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
	case e.RetryAfter > 0 && wait >= left:
		e.hint(fmt.Sprintf("the server asks to wait %s, more than the %s %s", e.RetryAfter, max(0, left).Round(time.Millisecond), bound))
	case wait >= left:
	case !r.pay(10):
		e.hint("not repeated: too many calls of this client failed")
	default:
		return wait, true
	}
	return 0, false
}

// pay takes from the budget, if there is enough.
func (r *retries) pay(tenths int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if tenths > r.tenths {
		return false
	}
	r.tenths = min(10*fullBudget, r.tenths-tenths)
	return true
}

// answered returns what a call's repeats took, and a tenth of one more: the
// service is alive.
func (r *retries) answered(repeats int) { r.pay(-10*repeats - 1) }

// sleep waits, until ctx ends at the latest.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
