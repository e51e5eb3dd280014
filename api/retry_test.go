package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

func TestBackoffIsFullJitter(t *testing.T) {
	p := newRetries(RetryPolicy{})
	for attempts, most := range map[int]time.Duration{1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 4: 2 * time.Second, 1000: 2 * time.Second} {
		var low, high int
		for range 2000 {
			wait := p.backoff(attempts)
			if wait < 0 || wait > most {
				t.Fatalf("after %d attempts: %s, want at most %s", attempts, wait, most)
			}
			if wait < most/4 {
				low++
			}
			if wait > most-most/4 {
				high++
			}
		}
		// A quarter each, so that 300 of 2000 are ten standard deviations off.
		if low < 300 || high < 300 {
			t.Errorf("after %d attempts: %d of 2000 in the lowest quarter, %d in the highest", attempts, low, high)
		}
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
		for _, c := range []struct {
			after, date string
			want        time.Duration
		}{
			{"", "", 0},
			{"0", "", 0},
			{"7", "", 7 * time.Second},
			{" 120 ", "", 2 * time.Minute},
			{date(30 * time.Second), "", 30 * time.Second},
			{date(-time.Hour), "", 0},
			// The server's clock is an hour ahead: its own Date counts.
			{date(time.Hour + 9*time.Second), date(time.Hour), 9 * time.Second},
			{now.Add(5 * time.Second).Format(time.RFC850), "", 5 * time.Second},
			{"-1", "", 0},
			{"1.5", "", 0},
			{"soon", "", 0},
			{"99999999999999999999", "", safehttp.MaxWait},
			{"9223372036854775807", "", safehttp.MaxWait},
		} {
			header := http.Header{}
			header.Set("Retry-After", c.after)
			if c.date != "" {
				header.Set("Date", c.date)
			}
			if got := safehttp.RetryAfter(header, time.Now()); got != c.want {
				t.Errorf("Retry-After %q, Date %q: %s, want %s", c.after, c.date, got, c.want)
			}
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, code := range []int{429, 503} {
			server := answers(status(code, "Retry-After", "3"), status(code, "Retry-After", time.Now().UTC().Add(8*time.Second).Format(http.TimeFormat)), found)
			took := clock()
			if err := get(t.Context(), inMemory(t, server)); err != nil {
				t.Fatal(err)
			}
			// 3 s, and then until 8 s, each with half a second of jitter.
			if took() < 7*time.Second || took() > 9*time.Second {
				t.Errorf("took %s", took())
			}
		}
		// A POST is repeated after 429 too.
		server := answers(status(429, "Retry-After", "3"), listed)
		took := clock()
		if err := create(t.Context(), inMemory(t, server)); err != nil || took() < 3*time.Second {
			t.Errorf("%v after %s", err, took())
		}
	})
}

func TestRetryAfterPastTheCapOrTheDeadlineFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, c := range []struct {
			ctx         context.Context
			after, text string
			asked       time.Duration
		}{
			{t.Context(), "15", "asks to wait 15s, more than the 15s left for repeats", 15 * time.Second},
			{t.Context(), "3600", "asks to wait 1h0m0s", time.Hour},
			{t.Context(), "99999999999999999999", "asks to wait", safehttp.MaxWait},
			{short, "6", "asks to wait 6s, more than the 5s left before the deadline", 6 * time.Second},
		} {
			server := answers(status(429, "Retry-After", c.after))
			took := clock()
			err := get(c.ctx, inMemory(t, server))
			e := failure(t, err)
			if took() != 0 || len(server.requests()) != 1 || e.RetryAfter != c.asked || e.Status != 429 || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Retry-After %s: %v after %s and %d calls", c.after, err, took(), len(server.requests()))
			}
		}
		// A deadline that the backoff would pass is not waited for either.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		took := clock()
		err := get(ctx, inMemory(t, answers(status(503)), WithRetryPolicy(RetryPolicy{Within: 1e6 * time.Hour})))
		if failure(t, err).Status != 503 || took() != 0 {
			t.Errorf("%v after %s", err, took())
		}
	})
}

func TestThePolicyIsReplaced(t *testing.T) {
	for _, c := range []struct {
		policy RetryPolicy
		calls  int
		within time.Duration
	}{
		{RetryPolicy{}, 4, 3500 * time.Millisecond},
		{RetryPolicy{Attempts: 1}, 1, 0},
		{RetryPolicy{Attempts: 2, Within: 3 * time.Second}, 2, 100 * time.Millisecond},
		{RetryPolicy{Attempts: 7, Within: time.Hour}, 7, 38 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := answers(status(503))
			took := clock()
			err := get(t.Context(), inMemory(t, server, WithRetryPolicy(c.policy)))
			if !errors.Is(err, ErrServer) || len(server.requests()) != c.calls || took() > c.within {
				t.Errorf("%+v: %d calls in %s: %v", c.policy, len(server.requests()), took(), err)
			}
		})
	}
	// The time in all: attempts of 4 seconds, of which the fifth would begin
	// after 16, and whatever the waits are.
	synctest.Test(t, func(t *testing.T) {
		var lastStart time.Duration
		took := clock()
		c := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lastStart = took()
			time.Sleep(4 * time.Second)
			w.WriteHeader(http.StatusServiceUnavailable)
		}), WithRetryPolicy(RetryPolicy{Attempts: 100}))
		if err := get(t.Context(), c); !errors.Is(err, ErrServer) || lastStart >= 15*time.Second {
			t.Errorf("%v: the last attempt began after %s", err, lastStart)
		}
	})
	for _, policy := range []RetryPolicy{{Attempts: -1}, {Within: -1}} {
		if _, err := New(WithRetryPolicy(policy)); err == nil || !strings.Contains(err.Error(), "negative") {
			t.Errorf("%+v: %v", policy, err)
		}
	}
}

// unreachable counts what a server would get, and answers as a dead one does.
func unreachable(calls *atomic.Int64) *http.Client {
	return &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		calls.Add(1)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	})}
}

// The load on a server that is dead or answers nothing but 503: what the
// package documentation states.
func TestADeadServerIsNotBuried(t *testing.T) {
	const clients, callsEach = 1000, 50
	synctest.Test(t, func(t *testing.T) {
		var got atomic.Int64
		var group sync.WaitGroup
		for range clients {
			c := made(t, WithHTTPClient(unreachable(&got)))
			group.Go(func() {
				for range callsEach {
					_ = get(t.Context(), c)
				}
			})
		}
		group.Wait()
		if n := got.Load(); n != clients*(callsEach+50) {
			t.Errorf("%d clients with %d calls each: %d requests, %.2f times as many; want 2.00", clients, callsEach, n, float64(n)/clients/callsEach)
		}
	})
	// One client with 1,000 goroutines.
	synctest.Test(t, func(t *testing.T) {
		var got atomic.Int64
		var group sync.WaitGroup
		c := made(t, WithHTTPClient(unreachable(&got)))
		for range clients {
			group.Go(func() { _ = create(t.Context(), c) })
		}
		group.Wait()
		if n := got.Load(); n != clients+50 {
			t.Errorf("one client with %d calls: %d requests, want %d", clients, n, clients+50)
		}
		if err := get(t.Context(), c); !strings.Contains(err.Error(), "not repeated: too many calls of this client failed") {
			t.Error(err)
		}
	})
}

// A service that fails now and then does not use up the budget, and one that was
// dead gives it back with its first answer.
func TestTheBudgetIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, dead := 0, false
		c := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if n++; dead || n%3 != 0 {
				return recorded(status(503), r), nil
			}
			return recorded(found, r), nil
		})}))
		for _, dead = range []bool{false, true, false} {
			if dead {
				for range 100 {
					_ = get(t.Context(), c)
				}
				if err := get(t.Context(), c); err == nil || !strings.Contains(err.Error(), "too many calls of this client failed") {
					t.Error(err)
				}
				n = 2 // the next one succeeds
				continue
			}
			for range 1000 {
				if err := get(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// 10,000 failures of all kinds leave no connection and no goroutine behind.
// TestMain looks for goroutines; connections are counted here.
func TestFailuresLeakNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int64
		listener := newPipes()
		server := &http.Server{
			ConnState: func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					open.Add(1)
				case http.StateClosed, http.StateHijacked:
					open.Add(-1)
				}
			},
			Handler: answersByPath(),
		}
		var group sync.WaitGroup
		group.Go(func() { _ = server.Serve(listener) })
		client := defaultOver(t, listener.DialContext)
		c := made(t, WithHTTPClient(client), WithRetryPolicy(RetryPolicy{Attempts: 2, Within: 300 * time.Millisecond}))

		var failed atomic.Int64
		kinds := make(chan string)
		var workers sync.WaitGroup
		for range 32 {
			workers.Go(func() {
				for kind := range kinds {
					ctx, cancel := context.WithCancel(t.Context())
					if kind == "cancelled" {
						time.AfterFunc(time.Millisecond, cancel)
					}
					small := ofSource(gen.OperationGetSource, kind)
					small.most = 1000
					if _, err := answerOf(ctx, c, small, readSource); err == nil {
						t.Errorf("%s: no error", kind)
					}
					failed.Add(1)
					cancel()
				}
			})
		}
		for n := range 10_000 {
			kind := []string{"500", "404", "dropped", "cut", "large", "page", "broken", "redirect", "422"}[n%9]
			switch n % 100 {
			case 50:
				kind = "stalled"
			case 51:
				kind = "cancelled"
			case 52:
				kind = "stalled-error"
			}
			kinds <- kind
		}
		close(kinds)
		workers.Wait()
		if failed.Load() != 10_000 {
			t.Errorf("%d failures", failed.Load())
		}
		client.CloseIdleConnections()
		_ = server.Shutdown(t.Context())
		group.Wait()
		synctest.Wait() // Shutdown does not wait until the server has noticed
		if n := open.Load(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
}

// answersByPath fails as the source id says.
func answersByPath() http.Handler {
	large := strings.Repeat("x", 20<<10)
	stall := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, `{"id":`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}
	kinds := map[string]http.HandlerFunc{
		"500": status(500), "404": status(404), "422": status(422), "dropped": dropped, "cut": cut,
		"large":         says(200, "application/json", `{"id":"`+large+`"}`),
		"page":          says(200, "text/html", large),
		"broken":        says(200, "application/json", `{]`+large),
		"redirect":      status(302, "Location", "/elsewhere"),
		"stalled":       stall(200),
		"stalled-error": stall(500),
		"cancelled":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		answer, known := kinds[kind]
		if !known {
			panic(fmt.Sprintf("no answer for %q", kind))
		}
		answer(w, r)
	})
}
