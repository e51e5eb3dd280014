package api

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// RetryPolicy bounds the repeats of a call. A field that is zero means its
// default. Which failures are repeated is not for a policy to say: see the
// package documentation.
type RetryPolicy struct {
	// Attempts is the most that one call makes, the first included: 4. One
	// means that nothing is repeated.
	Attempts int
	// Within is how long after its beginning a call may still start another
	// attempt: 15 seconds. It counts attempts and waits, and not what the
	// consumer of [SourcesService.All] does with the sources meanwhile. A
	// server that asks for a longer wait fails the call at once.
	Within time.Duration
	// Delay and MaxDelay are the backoff: the wait after attempt n is a random
	// part of Delay doubled n-1 times, but of MaxDelay at most. 500
	// milliseconds and 5 seconds.
	Delay, MaxDelay time.Duration
	// Budget is how many repeats the calls of one client make in all before
	// one of them succeeds: 50. A call that succeeds returns what its own
	// repeats took, and a tenth of a repeat beyond that.
	Budget int
}

// WithRetryPolicy replaces the bounds of repeats.
//
// The one repeat after a 401, with a new token, is not under the policy.
func WithRetryPolicy(policy RetryPolicy) Option {
	return func(s *settings) error {
		if policy.Attempts < 0 || policy.Within < 0 || policy.Delay < 0 || policy.MaxDelay < 0 || policy.Budget < 0 {
			return fmt.Errorf("api: retry policy %+v: nothing may be negative", policy)
		}
		s.retry = policy
		return nil
	}
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	set := func(value *time.Duration, otherwise time.Duration) {
		if *value == 0 {
			*value = otherwise
		}
	}
	if p.Attempts == 0 {
		p.Attempts = 4
	}
	set(&p.Within, 15*time.Second)
	set(&p.Delay, 500*time.Millisecond)
	set(&p.MaxDelay, 5*time.Second)
	if p.Budget == 0 {
		p.Budget = 50
	}
	return p
}

// backoff is the wait after that many attempts: full jitter, so that clients
// that failed together do not come back together.
func (p RetryPolicy) backoff(attempts int) time.Duration {
	most := p.Delay
	for range attempts - 1 {
		if most >= p.MaxDelay/2 {
			most = p.MaxDelay
			break
		}
		most *= 2
	}
	return rand.N(min(most, p.MaxDelay) + 1)
}

// repeat decides whether a failed attempt is followed by another, and after
// which wait. Otherwise it says why not, where that is worth saying.
func (c *Client) repeat(ctx context.Context, attempts int, spent, asked time.Duration) (wait time.Duration, why string, ok bool) {
	if attempts >= c.retry.Attempts {
		return 0, "", false
	}
	left, bound := c.retry.Within-spent, "left for repeats"
	if deadline, has := ctx.Deadline(); has && time.Until(deadline) < left {
		left, bound = time.Until(deadline), "left before the deadline"
	}
	if asked > 0 {
		if asked >= left {
			return 0, fmt.Sprintf("the server asks to wait %s, more than the %s %s", asked, max(0, left).Round(time.Millisecond), bound), false
		}
		// The jitter keeps those apart who were told the same second.
		wait = min(asked+rand.N(c.retry.Delay), left)
	} else if wait = c.retry.backoff(attempts); wait >= left {
		return 0, "", false
	}
	if !c.budget.take() {
		return 0, "not repeated: too many calls of this client failed", false
	}
	return wait, "", true
}

// retryAfter reads the Retry-After header (RFC 9110, section 10.2.3), seconds
// or a date. A date is taken relative to the server's own Date, so that a
// clock which is wrong here does no harm. Zero means that nothing was asked.
func retryAfter(header http.Header) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(math.MaxInt64/time.Second) {
			return math.MaxInt64 // as good as never
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, date.Sub(now))
}

// budget is the token bucket of a client's repeats, as the AWS SDKs keep one:
// while nothing succeeds it only empties, so that a dead server is not asked
// many times more often than a live one.
type budget struct {
	tenths atomic.Int64
	full   int64
}

const aRepeat = 10 // in tenths

func newBudget(repeats int) *budget {
	b := &budget{full: int64(min(repeats, math.MaxInt32)) * aRepeat}
	b.tenths.Store(b.full)
	return b
}

// take pays for one repeat, if there is enough.
func (b *budget) take() bool {
	for {
		have := b.tenths.Load()
		if have < aRepeat {
			return false
		}
		if b.tenths.CompareAndSwap(have, have-aRepeat) {
			return true
		}
	}
}

// succeed returns what a call's repeats took, and a tenth of one more.
func (b *budget) succeed(repeats int) {
	for {
		have := b.tenths.Load()
		next := min(b.full, have+int64(repeats)*aRepeat+1)
		if next == have || b.tenths.CompareAndSwap(have, next) {
			return
		}
	}
}

// sleep waits, or returns why ctx ended first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}
