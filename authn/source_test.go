package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meti-go/meti/internal/safehttp"
)

func TestColdStartMakesOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			grants(3600)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				if token, err := s.Token(); err != nil || token.AccessToken != numbered(1) {
					t.Error(token, err)
				}
			})
		}
		wg.Wait()
		a.expect(t, 1)
	})
}

func TestRequestIsThePagesJSON(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   map[string]string
	}{
		{"defaults", func(*Config) {}, map[string]string{
			"client_id": testClientID, "client_secret": testSecret, "audience": DefaultAudience,
			"grant_type": "client_credentials", "scope": "read:sources write:sources delete:sources",
		}},
		{"own audience and scope", func(c *Config) { c.Audience, c.Scopes = "urn:other", []string{"read:sources"} }, map[string]string{
			"client_id": testClientID, "client_secret": testSecret, "audience": "urn:other",
			"grant_type": "client_credentials", "scope": "read:sources",
		}},
		{"no scope by name", func(c *Config) { c.Scopes = []string{} }, map[string]string{
			"client_id": testClientID, "client_secret": testSecret, "audience": DefaultAudience,
			"grant_type": "client_credentials",
		}},
		{"white space pasted", func(c *Config) { c.ClientID, c.ClientSecret = " "+testClientID+"\n", testSecret+"\r\n" }, map[string]string{
			"client_id": testClientID, "client_secret": testSecret, "audience": DefaultAudience,
			"grant_type": "client_credentials", "scope": "read:sources write:sources delete:sources",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got map[string]string
				a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
					if r.Method != "POST" || r.URL.Path != "/oauth/token" || r.Header.Get("Content-Type") != "application/json" {
						t.Errorf("%s %s %s", r.Method, r.URL, r.Header)
					}
					if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
						t.Error(err)
					}
					grants(3600)(n, w, r)
				})
				defer a.close()
				if _, err := a.source(t, tt.change).Token(); err != nil {
					t.Fatal(err)
				}
				for key, value := range tt.want {
					if got[key] != value {
						t.Errorf("%s = %q, want %q", key, got[key], value)
					}
				}
				if len(got) != len(tt.want) {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}

// Many calls are refused with the same token at once: one more token, however
// the refusals and the new fetches interleave. A refusal that comes late, of an
// older token, changes nothing.
func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Millisecond)
			grants(3600)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		for round := 1; round <= 20; round++ {
			g, err := s.Grant(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range 500 {
				wg.Go(func() {
					time.Sleep(time.Duration(i%50) * time.Millisecond)
					s.Invalidate(g.AccessToken())
					next, err := s.Grant(t.Context())
					if err != nil || next.AccessToken() != numbered(round+1) {
						t.Error(next, err)
					}
				})
			}
			wg.Wait()
			a.expect(t, round+1)
		}
		s.Invalidate("never seen")
		s.Invalidate(numbered(1))
		if g, err := s.Grant(t.Context()); err != nil || g.AccessToken() != numbered(21) {
			t.Error(g, err)
		}
		a.expect(t, 21)
	})
}

// A renewal that failed for a while is no reason to fail once the old token was
// refused: the next call asks again.
func TestRefusedAfterAFailedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 2 {
				reply(w, 503, nil)
				return
			}
			grants(3600)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		g := mustGrant(t, s)
		time.Sleep(time.Until(g.end) - 20*time.Second)
		mustGrant(t, s) // the renewal fails in the background
		synctest.Wait()
		s.Invalidate(g.AccessToken())
		if g := mustGrant(t, s); g.AccessToken() != numbered(3) {
			t.Error(g)
		}
		a.expect(t, 3)
	})
}

func TestEditOfABareRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		request := &http.Request{URL: &url.URL{Scheme: "https", Host: "api.example"}}
		if err := a.source(t).Edit(t.Context(), request); err != nil || request.Header.Get("Authorization") != "Bearer "+numbered(1) {
			t.Error(err, request.Header)
		}
	})
}

// A service that refuses every token costs 100 tokens, then one a minute.
func TestRefusalsCannotEmptyTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		s := a.source(t)
		call := func() {
			g, err := s.Grant(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Invalidate(g.AccessToken())
		}
		for range 10_000 {
			call()
		}
		call()
		a.expect(t, 101)
		time.Sleep(time.Minute)
		call()
		call()
		a.expect(t, 102)
	})
}

// A job that calls every second for a day never waits after its first call.
func TestRenewalKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			grants(3600)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		mustGrant(t, s)
		for range 24 * 3600 {
			time.Sleep(time.Second)
			before := time.Now()
			g := mustGrant(t, s)
			if waited := time.Since(before); waited != 0 {
				t.Fatalf("waited %s", waited)
			}
			if !time.Now().Before(g.Expiry()) {
				t.Fatal("a token was used after its end")
			}
		}
		// Renewed at most 30 s (and the fetch's 3 s) before each end.
		if n := a.requests.Load(); n < 25 || n > 26 {
			t.Errorf("%d token requests in 24 hours", n)
		}
		synctest.Wait()
	})
}

// An idle process requests nothing, and the call after the idle time waits
// rather than use a token that is over.
func TestIdleSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		s := a.source(t)
		mustGrant(t, s)
		time.Sleep(1000 * time.Hour)
		a.expect(t, 1)
		if g := mustGrant(t, s); g.AccessToken() != numbered(2) {
			t.Error("the old token was used")
		}
		a.expect(t, 2)
	})
}

// A lazy source uses no goroutine of its own after a call returned: it renews
// within the margin, and that call gets the new token.
func TestLazyRenewsOnlyWhenItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		s := a.source(t, func(c *Config) { c.Lazy = true })
		mustGrant(t, s)
		time.Sleep((3600 - 30 - 2) * time.Second)
		if g := mustGrant(t, s); g.AccessToken() != numbered(1) {
			t.Error("renewed too early")
		}
		a.expect(t, 1)
		time.Sleep(30 * time.Second)
		if g := mustGrant(t, s); g.AccessToken() != numbered(2) {
			t.Error("not renewed, 2 seconds before the end")
		}
		a.expect(t, 2)
	})
}

// The first caller's cancellation fails the first caller and nobody else, and
// each waiter keeps to its own deadline.
func TestFetchIsDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Second)
			grants(3600)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		started := time.Now()
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.Grant(first)
			if !errors.Is(err, context.Canceled) || time.Since(started) != time.Second {
				t.Error(err, time.Since(started))
			}
			if _, ok := errors.AsType[*FetchError](err); !ok {
				t.Errorf("%T is no FetchError", err)
			}
		})
		synctest.Wait()
		for i := range 100 {
			wg.Go(func() {
				deadline := time.Duration(i+1) * 100 * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				_, err := s.Grant(ctx)
				switch {
				case deadline < 5*time.Second:
					if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != deadline {
						t.Error(deadline, err, time.Since(started))
					}
				case deadline > 5*time.Second:
					if err != nil || time.Since(started) != 5*time.Second {
						t.Error(deadline, err, time.Since(started))
					}
				}
			})
		}
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
		a.expect(t, 1)
		if _, err := s.Grant(first); err != nil {
			t.Error("a token at hand needs no waiting:", err)
		}
	})
}

// A context that is over costs no token.
func TestDeadContextFetchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.source(t).Grant(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		synctest.Wait()
		a.expect(t, 0)
	})
}

// A server that hangs ends the fetch after 30 seconds, in three attempts, and
// leaves no goroutine (the bubble would not end).
func TestFetchHasACapOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client leave
			<-r.Context().Done()
		})
		defer a.close()
		s := a.source(t)
		started := time.Now()
		_, err := s.Token()
		if !isTemporary(err) || time.Since(started) > fetchCap {
			t.Error(err, time.Since(started))
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("the caller's context has no deadline, yet the error says so:", err)
		}
		a.expect(t, 3)
	})
}

func TestMargin(t *testing.T) {
	for _, tt := range []struct{ life, least, most time.Duration }{
		{time.Second, time.Second / 6, time.Second / 4},
		{30 * time.Second, 5 * time.Second, 7500 * time.Millisecond},
		{time.Minute, 10 * time.Second, 15 * time.Second},
		{time.Hour, 20 * time.Second, 30 * time.Second},
		{safehttp.MaxWait, 20 * time.Second, 30 * time.Second},
		{0, 0, 0},
	} {
		seen := map[time.Duration]bool{}
		for range 1000 {
			m := margin(tt.life)
			if m < tt.least || m > tt.most {
				t.Fatalf("margin(%s) = %s, want %s to %s", tt.life, m, tt.least, tt.most)
			}
			seen[m] = true
		}
		if tt.life > 0 && len(seen) < 100 {
			t.Errorf("margin(%s) is not jittered", tt.life)
		}
	}
}

// Whatever expires_in is: a call costs one fetch at most, and a token is never
// used after its end but by the call that fetched it.
func TestExpiresIn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		value    any // nil: absent
		reusable time.Duration
	}{
		{"absent", nil, unknownLife},
		{"null", json.RawMessage("null"), unknownLife},
		{"0", 0, 0},
		{"negative", -5, 0},
		{"a word", "soon", unknownLife},
		{"an object", map[string]any{}, unknownLife},
		{"true", true, unknownLife},
		{"not a number", "NaN", unknownLife},
		{"1", 1, time.Second},
		{"30", 30, 30 * time.Second},
		{"60", 60, time.Minute},
		{"a string", "3600", time.Hour},
		{"a fraction", 90.9, 90 * time.Second},
		{"an exponent", json.RawMessage("3.6e3"), time.Hour},
		{"huge", int64(9_000_000_000_000_000_000), safehttp.MaxWait},
		{"beyond float64", json.RawMessage("1" + strings.Repeat("0", 400)), safehttp.MaxWait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
					answer := map[string]any{"access_token": numbered(n), "token_type": "Bearer"}
					if tt.value != nil {
						answer["expires_in"] = tt.value
					}
					reply(w, 200, answer)
				})
				defer a.close()
				s := a.source(t)
				start := time.Now()
				if g := mustGrant(t, s); !g.Expiry().Equal(start.Add(tt.reusable)) {
					t.Errorf("ends %s after it was asked for, want %s", g.Expiry().Sub(start), tt.reusable)
				}
				calls := 1000
				for range calls - 1 {
					mustGrant(t, s)
				}
				switch {
				case tt.reusable == 0:
					a.expect(t, calls)
				default:
					time.Sleep(tt.reusable * 2 / 5)
					mustGrant(t, s)
					a.expect(t, 1)
					time.Sleep(tt.reusable*3/5 - min(time.Second, tt.reusable/4))
					if g := mustGrant(t, s); g.AccessToken() != numbered(2) {
						t.Error("used after its end")
					}
					a.expect(t, 2)
				}
			})
		})
	}
}

// Where the answer does not say how long its token lives, the token does.
func TestLifeOfTheTokenItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ahead := range []time.Duration{0, 3 * time.Hour} { // the server's clock, and its Date
			a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
				now := time.Now().Add(ahead)
				w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
				reply(w, 200, map[string]any{"access_token": jwt(map[string]any{"jti": n, "exp": now.Add(20 * time.Minute).Unix()}), "token_type": "Bearer"})
			})
			s := a.source(t)
			for range 19 {
				mustGrant(t, s)
				time.Sleep(time.Minute)
			}
			a.expect(t, 1)
			time.Sleep(time.Minute)
			mustGrant(t, s)
			a.expect(t, 2)
			a.close()
		}
	})
}

// Tokens that live for seconds neither loop nor make calls wait, when calls
// come often enough.
func TestShortLivesDoNotLoop(t *testing.T) {
	for _, life := range []int{1, 2, 5, 30, 60} {
		t.Run(strconv.Itoa(life), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := startAuth0(grants(life))
				defer a.close()
				s := a.source(t)
				const lives = 100
				step := time.Duration(life) * time.Second / 100
				for range lives * 100 {
					mustGrant(t, s)
					time.Sleep(step)
				}
				if n := a.requests.Load(); n < lives || n > lives*2 {
					t.Errorf("%d requests in %d lives of %d s", n, lives, life)
				}
			})
		})
	}
}

// An answer that took longer than the token lives serves its waiters only.
func TestTokenOverOnArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			grants(2)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		for i := range 5 {
			if g := mustGrant(t, s); g.AccessToken() != numbered(i+1) {
				t.Error("an old token was used")
			}
		}
		a.expect(t, 5)
	})
}

// A failing renewal disturbs nobody while the old token lives, and asks no
// more often than the delays say.
func TestFailedRenewalKeepsTheOldToken(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		for _, status := range []int{503, 429, 401} {
			t.Run(fmt.Sprint(status, " lazy=", lazy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var broken atomic.Bool
					a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
						if broken.Load() {
							reply(w, status, map[string]string{"error": "access_denied"})
							return
						}
						grants(3600)(n, w, r)
					})
					defer a.close()
					s := a.source(t, func(c *Config) { c.Lazy = lazy })
					start := time.Now()
					mustGrant(t, s)
					broken.Store(true)
					for time.Since(start) < 3595*time.Second {
						if g := mustGrant(t, s); g.AccessToken() != numbered(1) {
							t.Fatal("another token")
						}
						time.Sleep(100 * time.Millisecond)
					}
					if n := a.requests.Load(); n > 40 {
						t.Errorf("%d requests for one renewal", n)
					}
					time.Sleep(5*time.Second + permanentFor)
					if _, err := s.Grant(t.Context()); err == nil {
						t.Error("a token after its end")
					}
					broken.Store(false)
					time.Sleep(permanentFor)
					mustGrant(t, s)
				})
			})
		}
	}
}

// A permanent failure is remembered: 1,000 goroutines cold and 1,000 late ones
// ask once; ten seconds later, once more.
func TestPermanentFailureIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			reply(w, 401, map[string]string{"error": "access_denied", "error_description": "Unauthorized"})
		})
		defer a.close()
		s := a.source(t)
		fail := func() {
			_, err := s.Token()
			e, ok := errors.AsType[*FetchError](err)
			if !ok || e.Temporary() || !e.Refused() || e.Status != 401 || e.Code != "access_denied" {
				t.Errorf("%v", err)
			}
		}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(fail)
		}
		wg.Wait()
		for range 1000 {
			fail()
		}
		a.expect(t, 1)
		time.Sleep(permanentFor)
		fail()
		a.expect(t, 2)
	})
}

// Temporary failures are repeated inside one fetch, with growing delays.
func TestTemporaryFailureIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			at = append(at, time.Now())
			switch n {
			case 1:
				w.WriteHeader(503)
			case 2:
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprint(w, "<html>please log in")
			case 3:
				panic(http.ErrAbortHandler)
			case 4:
				w.Header().Set("Content-Length", "1000")
				fmt.Fprint(w, `{"access_token":"cut`)
			default:
				grants(3600)(n, w, r)
			}
		})
		defer a.close()
		if g := mustGrant(t, a.source(t)); g.AccessToken() != numbered(5) {
			t.Error(g)
		}
		for i, most := range []time.Duration{500, 1000, 2000, 4000} {
			most *= time.Millisecond
			if d := at[i+1].Sub(at[i]); d < most/2 || d > most {
				t.Errorf("delay %d was %s, want %s to %s", i+1, d, most/2, most)
			}
		}
	})
}

// A 429 is not repeated before the reset that the server named, in any of the
// ways in which it can name one, and a reset past the cap fails at once.
func TestRateLimit(t *testing.T) {
	epoch := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	for _, tt := range []struct {
		name   string
		header func(h http.Header)
		wait   time.Duration
	}{
		{"x-ratelimit-reset", func(h http.Header) { h.Set("x-ratelimit-reset", epoch(9*time.Second)) }, 9 * time.Second},
		{"x-ratelimit-reset on a server whose clock is wrong", func(h http.Header) {
			h.Set("Date", time.Now().Add(-40*time.Minute).UTC().Format(http.TimeFormat))
			h.Set("x-ratelimit-reset", epoch(9*time.Second-40*time.Minute))
		}, 9 * time.Second},
		{"x-ratelimit-reset in seconds left", func(h http.Header) { h.Set("x-ratelimit-reset", "9") }, 9 * time.Second},
		{"Retry-After in seconds", func(h http.Header) { h.Set("Retry-After", "9") }, 9 * time.Second},
		{"Retry-After as a date", func(h http.Header) {
			h.Set("Retry-After", time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat))
		}, 9 * time.Second},
		{"the longer of two", func(h http.Header) { h.Set("Retry-After", "2"); h.Set("x-ratelimit-reset", epoch(9*time.Second)) }, 9 * time.Second},
		{"an empty quota bucket", func(h http.Header) {
			h.Set("x-ratelimit-reset", epoch(time.Second))
			h.Set("Auth0-Client-Quota-Limit", "b=per_hour;q=10;r=0;t=9,b=per_day;q=50;r=4;t=4000")
		}, 9 * time.Second},
		{"past the cap", func(h http.Header) { h.Set("x-ratelimit-reset", epoch(time.Hour)) }, time.Hour},
		{"absurdly far", func(h http.Header) { h.Set("Retry-After", "99999999999999999") }, safehttp.MaxWait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var second time.Time
				a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
					if n > 1 {
						second = time.Now()
						grants(3600)(n, w, r)
						return
					}
					tt.header(w.Header())
					reply(w, 429, map[string]string{"error": "too_many_requests"})
				})
				defer a.close()
				s := a.source(t)
				start := time.Now()
				_, err := s.Grant(t.Context())
				if tt.wait <= fetchCap {
					if err != nil || second.Sub(start) < tt.wait || second.Sub(start) > tt.wait+time.Second {
						t.Errorf("%v, second request after %s", err, second.Sub(start))
					}
					return
				}
				// Failed at once, stating the wait; and remembered.
				if time.Since(start) != 0 || !isTemporary(err) {
					t.Errorf("after %s: %v", time.Since(start), err)
				}
				if !strings.Contains(err.Error(), "asked to wait "+tt.wait.String()) {
					t.Errorf("the wait is not stated: %v", err)
				}
				remembered := min(tt.wait, maxWaitKept)
				time.Sleep(remembered - time.Millisecond)
				if _, err := s.Grant(t.Context()); err == nil {
					t.Error("asked before the reset")
				}
				a.expect(t, 1)
				time.Sleep(time.Millisecond)
				mustGrant(t, s)
				a.expect(t, 2)
			})
		})
	}
}

// A 429 that names no reset is repeated slowly: after up to 5, 10 and 20 seconds.
func TestRateLimitWithoutReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) { w.WriteHeader(429) })
		defer a.close()
		start := time.Now()
		if _, err := a.source(t).Token(); !isTemporary(err) || time.Since(start) > fetchCap {
			t.Error(err, time.Since(start))
		}
		if n := a.requests.Load(); n < 3 || n > 4 {
			t.Errorf("%d token requests", n)
		}
	})
}

// A 503 may name a wait as well.
func TestRetryAfterOn503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(503)
		})
		defer a.close()
		s := a.source(t)
		for range 1000 {
			if _, err := s.Token(); !isTemporary(err) || !strings.Contains(err.Error(), "1h0m0s") {
				t.Fatal(err)
			}
		}
		a.expect(t, 1)
	})
}

// Every answer of Auth0 has rate-limit headers. A failure that has nothing to do
// with them does not stop tokens until their reset.
func TestOrdinaryRateLimitHeadersStopNothing(t *testing.T) {
	for _, remaining := range []string{"99", "0"} {
		synctest.Test(t, func(t *testing.T) {
			a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Ratelimit-Limit", "100")
				w.Header().Set("X-Ratelimit-Remaining", remaining)
				w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10))
				if n == 1 {
					w.WriteHeader(503)
					return
				}
				grants(3600)(n, w, r)
			})
			defer a.close()
			_, err := a.source(t).Token()
			if (err == nil) != (remaining == "99") {
				t.Errorf("%s remaining: %v", remaining, err)
			}
		})
	}
}

// A call whose deadline comes before the end of the wait that the server asks
// for learns of it; the others wait.
func TestDeadlineBeforeTheReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.Header().Set("Retry-After", "20")
				w.WriteHeader(429)
				return
			}
			grants(3600)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { mustGrant(t, s) })
		for range 2 { // one comes before the answer, one during the wait
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				before := time.Now()
				_, err := s.Grant(ctx)
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "429") || !strings.Contains(err.Error(), "20s") || time.Since(before) != 10*time.Second {
					t.Error(time.Since(before), err)
				}
			})
			time.Sleep(time.Second)
		}
		wg.Wait()
		if waited := time.Since(start); waited != 20*time.Second {
			t.Error(waited)
		}
		a.expect(t, 2)
	})
}

// Whoever runs out of time while the fetch is repeated learns why it was.
func TestDeadlineDuringRepeatsSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) { w.WriteHeader(502) })
		defer a.close()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := a.source(t).Grant(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "502") {
			t.Error(err)
		}
		time.Sleep(fetchCap)
	})
}

func TestScopes(t *testing.T) {
	three := "read:sources write:sources delete:sources"
	for _, tt := range []struct {
		name    string
		asked   []string
		answer  any // nil: absent
		want    string
		named   bool
		refuses bool // delete:sources
	}{
		{"as asked", nil, three, three, true, false},
		{"fewer", nil, "read:sources", "read:sources", true, true},
		{"more", []string{"read:sources"}, three, three, true, false},
		{"empty", nil, "", "", true, true},
		{"a list", nil, []string{"read:sources", "write:sources"}, "read:sources write:sources", true, true},
		{"absent: what was asked for", nil, nil, three, false, false},
		{"absent, fewer asked for", []string{"read:sources"}, nil, "read:sources", false, true},
		{"absent, none asked for: nothing known", []string{}, nil, "", false, false},
		{"null", nil, json.RawMessage("null"), three, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
					answer := map[string]any{"access_token": numbered(n), "expires_in": 60}
					if tt.answer != nil {
						answer["scope"] = tt.answer
					}
					reply(w, 200, answer)
				})
				defer a.close()
				s := a.source(t, func(c *Config) { c.Scopes = tt.asked })
				g := mustGrant(t, s)
				if scopes, named := g.Scopes(); strings.Join(scopes, " ") != tt.want || named != tt.named {
					t.Errorf("%q, named %t", scopes, named)
				}
				err := g.Require("DeleteSource", "delete:sources")
				if (err != nil) != tt.refuses {
					t.Errorf("Require: %v", err)
				}
				if _, ok := errors.AsType[*ScopeError](err); tt.refuses && !ok || tt.refuses && !strings.Contains(err.Error(), "ask your Auth0 administrator for delete:sources") {
					t.Error(err)
				}
				if token, err := s.Token(); err != nil || token.Extra("scope") != tt.want {
					t.Error(token.Extra("scope"), err)
				}
			})
		})
	}
}

func TestOpaqueTokenIsSurvivedAndWarnedOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			reply(w, 200, map[string]any{"access_token": "opaque" + strconv.Itoa(n), "token_type": "Bearer", "expires_in": 60})
		})
		defer a.close()
		var warnings []error
		s := a.source(t, func(c *Config) { c.Warn = func(err error) { warnings = append(warnings, err) } })
		for range 3 {
			g := mustGrant(t, s)
			if _, err := ParseUnverifiedClaims(g.AccessToken()); !errors.Is(err, ErrOpaqueToken) {
				t.Error(err)
			}
			s.Invalidate(g.AccessToken())
		}
		if len(warnings) != 1 || !errors.Is(warnings[0], ErrOpaqueToken) || !strings.Contains(warnings[0].Error(), "audience not honoured: got an opaque token") {
			t.Error(warnings)
		}
	})
}

func TestQuotaIsExposed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Auth0-Client-Quota-Limit", "b=per_hour;q=10;r=7;t=3540,b=per_day;q=50;r=47;t=43200")
			w.Header().Set("x-ratelimit-limit", "100")
			w.Header().Set("x-ratelimit-remaining", "98")
			w.Header().Set("x-ratelimit-reset", strconv.FormatInt(time.Now().Unix()+60, 10))
			grants(3600)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		if q := s.Quota(); q != nil {
			t.Error(q)
		}
		now := time.Now()
		mustGrant(t, s)
		want := []Quota{
			{"per_hour", 10, 7, now.Add(3540 * time.Second)},
			{"per_day", 50, 47, now.Add(43200 * time.Second)},
			{"requests", 100, 98, now.Add(time.Minute)},
		}
		if q := s.Quota(); !slices.Equal(q, want) {
			t.Errorf("%+v", q)
		}
	})
}

// The cached path allocates nothing, however the token is asked for.
func TestCachedTokenAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		s := a.source(t)
		ctx := t.Context()
		mustGrant(t, s)
		req, err := http.NewRequestWithContext(ctx, "GET", "https://api.meti.millpont.com/sources", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, f := range map[string]func(){
			"Grant":   func() { _, _ = s.Grant(ctx) },
			"Token":   func() { _, _ = s.Token() },
			"Edit":    func() { _ = s.Edit(ctx, req) },
			"Require": func() { g, _ := s.Grant(ctx); _ = g.Require("ListSources", "read:sources") },
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}

func TestEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		var edit func(context.Context, *http.Request) error = a.source(t).Edit
		for url, ok := range map[string]bool{
			"https://api.meti.millpont.com/sources": true,
			"http://127.0.0.1:8080/sources":         true,
			"http://localhost/sources":              true,
			"http://[::1]:1/sources":                true,
			"http://api.meti.millpont.com/sources":  false,
			"http://127.0.0.1.example.com/sources":  false,
			"http://localhost.example.com/sources":  false,
		} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = edit(t.Context(), req)
			if got := req.Header.Get("Authorization"); ok && (err != nil || got != "Bearer "+numbered(1)) || !ok && (err == nil || got != "") {
				t.Errorf("%s: %v", url, err)
			}
		}
	})
}

// A failed fetch never becomes an anonymous request.
func TestNoTokenNoHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			reply(w, 401, map[string]string{"error": "invalid_client"})
		})
		defer a.close()
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://api.meti.millpont.com/sources", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.source(t).Edit(t.Context(), req); err == nil || len(req.Header) != 0 {
			t.Error(err, req.Header)
		}
	})
}

func isTemporary(err error) bool {
	e, ok := errors.AsType[*FetchError](err)
	return ok && e.Temporary()
}

func mustGrant(t *testing.T, s *Source) *Grant {
	t.Helper()
	g, err := s.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return g
}
