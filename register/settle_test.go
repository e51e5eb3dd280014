package register_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/register"
)

// metis is a METI of sorts: an in-process server whose answers to POST and GET
// /sources can be changed. It is for what no fault of the emulator does.
type metis struct {
	emulator *emulator.Server
	token    string
	url      string // by which it is called
	// around carries a request out by next, or otherwise.
	around func(r *http.Request, next func() *http.Response) (*http.Response, error)

	mu    sync.Mutex
	posts []time.Time // when each POST /sources arrived
	looks []time.Time // when each GET /sources arrived
}

func (m *metis) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	switch {
	case r.Method == http.MethodPost:
		m.posts = append(m.posts, time.Now())
	case r.Method == http.MethodGet:
		m.looks = append(m.looks, time.Now())
	}
	m.mu.Unlock()
	next := func() *http.Response { return m.send(r) }
	if m.around != nil {
		return m.around(r, next)
	}
	return next(), nil
}

// arrived counts the POSTs so far, while others may be on their way.
func (m *metis) arrived() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.posts)
}

// send carries a request out.
func (m *metis) send(r *http.Request) *http.Response {
	recorder := httptest.NewRecorder()
	body := io.Reader(http.NoBody)
	if r.Body != nil {
		body = r.Body
	}
	inner := httptest.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, r.URL.String(), body)
	inner.Header = r.Header
	m.emulator.Handler().ServeHTTP(recorder, inner)
	return recorder.Result()
}

func mustURL(t *testing.T, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// metisOf makes one inside a synctest bubble, where time is virtual.
func metisOf(t *testing.T) *metis {
	server, err := emulator.New(emulator.Options{TokenLifetime: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	m := &metis{emulator: server, url: "https://meti.example"}
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest("POST", "/oauth/token", strings.NewReader(
		`{"grant_type":"client_credentials","audience":"https://api.meti.millpont.com","client_id":"demo-client","client_secret":"demo-secret"}`))
	request.Header.Set("Content-Type", "application/json")
	server.Handler().ServeHTTP(recorder, request)
	found := regexp.MustCompile(`"access_token":"([^"]+)"`).FindStringSubmatch(recorder.Body.String())
	if found == nil {
		t.Fatal(recorder.Body.String())
	}
	m.token = found[1]
	return m
}

func (m *metis) run(ctx context.Context, t *testing.T, o register.Options) attempt {
	t.Helper()
	var err error
	o.Client, err = api.New(
		api.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: m.token})),
		api.WithBaseURL(m.url), api.WithHTTPClient(&http.Client{Transport: m}))
	if err != nil {
		t.Fatal(err)
	}
	if o.Settle == 0 {
		o.Settle = time.Minute
	}
	return runContext(ctx, t, m.emulator, o)
}

var errBroken = errors.New("connection reset by peer")

// lostAfter carries the request out and loses the answer.
func lostAfter(_ *http.Request, next func() *http.Response) (*http.Response, error) {
	next().Body.Close()
	return nil, errBroken
}

func isPost(r *http.Request) bool { return r.Method == http.MethodPost }

func TestLostAnswerIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) {
				return lostAfter(r, next)
			}
			return next(), nil
		}
		begin := time.Now()
		got := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(10, numbered)...)), BatchFeatures: 5})
		if got.err != nil || got.Registered != 10 || len(m.posts) != 2 || got.results[3].ID == "" {
			t.Fatal(got.outcomes(), got.err, m.posts)
		}
		if waited := time.Since(begin); waited > 10*time.Second {
			t.Errorf("found after %s", waited)
		}
	})
}

// Nothing is sent again before the settling time has passed since the
// connection ended, and what commits late within it is found.
func TestSettlingTime(t *testing.T) {
	for name, late := range map[string]time.Duration{"never": -1, "at once": 0, "late": 40 * time.Second, "in the last moment": 59 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := metisOf(t)
				var ended time.Time
				m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
					if !isPost(r) || m.arrived() > 1 {
						return next(), nil
					}
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(strings.NewReader(string(body)))
					time.Sleep(20 * time.Second) // the connection ends well after the intent
					ended = time.Now()
					if late >= 0 {
						go func() {
							time.Sleep(late)
							next().Body.Close()
						}()
					}
					return nil, errBroken
				}
				got := m.run(t.Context(), t, register.Options{Input: file(t, collection(square("a", 1)))})
				if got.err != nil || got.outcomes() != "a registered" {
					t.Fatal(got.outcomes(), got.err)
				}
				want := 1
				if late < 0 {
					want = 2
					if wait := m.posts[1].Sub(ended); wait < time.Minute || wait > 75*time.Second {
						t.Errorf("sent again after %s", wait)
					}
				}
				if len(m.posts) != want || m.emulator.Requests()["createSources"] != 1 {
					t.Errorf("%d POSTs", len(m.posts))
				}
				looks := 0
				for _, at := range m.looks {
					if at.After(ended) {
						looks++
					}
				}
				if looks < 2 && late != 0 {
					t.Errorf("looked up %d times", looks)
				}
			})
		})
	}
}

// A source that is visible only a second before the settling time is over is
// found, whether its answer was lost or not.
func TestVisibleLate(t *testing.T) {
	for _, lost := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m := metisOf(t)
			if err := m.emulator.SetFaults([]emulator.Fault{{Operation: "*", Kind: emulator.FaultStaleRead, Delay: 59 * time.Second}}); err != nil {
				t.Fatal(err)
			}
			m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
				if isPost(r) && lost {
					return lostAfter(r, next)
				}
				return next(), nil
			}
			path := file(t, collection(square("a", 1), square("b", 2)))
			for range 2 {
				got := m.run(t.Context(), t, register.Options{Input: path})
				if got.err != nil || got.outcomes() != "a registered, b registered" || len(m.posts) != 1 || got.results[0].Hectares == nil {
					t.Fatal(got.outcomes(), got.err, m.posts)
				}
			}
		})
	}
}

// A process that was killed left an intent behind. The next one does not send
// again before the settling time has passed, counted from the intent at least.
func TestSettlingTimeAcrossRestarts(t *testing.T) {
	for name, c := range map[string]struct {
		off         time.Duration // how long after the intent it is started again
		least, most time.Duration // until it is sent again
	}{
		"at once":      {0, 60 * time.Second, 75 * time.Second},
		"soon":         {30 * time.Second, 60 * time.Second, 75 * time.Second},
		"much later":   {time.Hour, 0, 15 * time.Second},
		"clock behind": {-time.Hour, 60 * time.Second, 75 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := metisOf(t)
				path := file(t, collection(square("a", 1)))
				ctx, kill := context.WithCancel(t.Context())
				killed := ""
				m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
					if isPost(r) && killed == "" {
						// What is on the disk at this moment is what a kill leaves.
						data, err := os.ReadFile(path + ".meti-journal")
						if err != nil {
							t.Error(err)
						}
						killed = string(data)
						kill()
						return nil, errBroken
					}
					return next(), nil
				}
				m.run(ctx, t, register.Options{Input: path})
				if c.off < 0 {
					// The intent lies in the future of a clock that was set back.
					killed = shiftJournal(t, killed, -c.off)
				} else {
					time.Sleep(c.off)
				}
				write(t, path+".meti-journal", killed)
				again := time.Now()
				got := m.run(t.Context(), t, register.Options{Input: path})
				if got.err != nil || got.outcomes() != "a registered" || len(m.posts) != 2 {
					t.Fatal(got.outcomes(), got.err, m.posts)
				}
				if wait := m.posts[1].Sub(again); wait < c.least || wait > c.most {
					t.Errorf("sent again after %s", wait)
				}
			})
		})
	}
}

// Two features of one id, period and area: what a killed request made of the
// first is not taken for a source that was there before the second.
func TestTwinsAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		path := file(t, collection(square("a", 1), square("a", 2)))
		ctx, kill := context.WithCancel(t.Context())
		var killed []byte
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if !isPost(r) || killed != nil {
				return next(), nil
			}
			var err error
			if killed, err = os.ReadFile(path + ".meti-journal"); err != nil {
				t.Error(err)
			}
			kill()
			return lostAfter(r, next)
		}
		m.run(ctx, t, register.Options{Input: path, BatchFeatures: 1, InFlight: 1})
		write(t, path+".meti-journal", string(killed))
		got := m.run(t.Context(), t, register.Options{Input: path, BatchFeatures: 1, InFlight: 1})
		if got.err != nil || got.outcomes() != "a registered, a registered" || got.results[0].ID == got.results[1].ID || len(m.posts) != 2 {
			t.Fatal(got.outcomes(), got.err, m.posts)
		}
	})
}

// Half a batch is stored: what is there is taken, and the rest sent again.
func TestHalfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		path := file(t, collection(square("a", 1), square("b", 2)))
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) && m.arrived() == 1 {
				var all struct {
					Type     string            `json:"type"`
					Features []json.RawMessage `json:"features"`
				}
				if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
					t.Error(err)
				}
				all.Features = all.Features[:1]
				half, _ := json.Marshal(all)
				r.Body = io.NopCloser(bytes.NewReader(half))
				if response := next(); response.StatusCode >= 300 {
					t.Error(response.StatusCode)
				}
				return nil, errBroken
			}
			return next(), nil
		}
		got := m.run(t.Context(), t, register.Options{Input: path})
		if got.err != nil || got.outcomes() != "a registered, b registered" || len(m.posts) != 2 || len(m.emulatorSources(t)) != 2 {
			t.Fatal(got.outcomes(), got.err, m.posts)
		}
	})
}

// METI, or somebody else, writes the start as another time zone's midnight.
func TestShiftedPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(strings.ReplaceAll(string(body), "2026-01-01T00", "2026-01-01T05")))
				next()
				return nil, errBroken
			}
			return next(), nil
		}
		got := m.run(t.Context(), t, register.Options{Input: file(t, collection(square("a", 1)))})
		if got.err != nil || got.outcomes() != "a registered" || len(m.posts) != 1 {
			t.Fatal(got.outcomes(), got.err)
		}
	})
}

// A success that does not fit the request is looked up, and never sent again by
// the same run: METI said that it took it. The next run finds it, or sends it.
func TestAnswerThatDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		body        string
		store       bool
		first, then string
	}{
		"another's, stored":  {`[{"id":"src_0000000000000","alt_id":"x","start_at":"2025-01-01","end_at":"2025-12-31"}]`, true, "a registered", "a registered"},
		"another's":          {`[{"id":"src_0000000000000","alt_id":"x","start_at":"2025-01-01","end_at":"2025-12-31"}]`, false, "a unknown", "a registered"},
		"other period":       {`[{"id":"src_0000000000000","alt_id":"a","start_at":"2025-01-01","end_at":"2026-12-31"}]`, false, "a unknown", "a registered"},
		"none":               {`[]`, true, "a registered", "a registered"},
		"two":                {`[{"id":"src_0000000000000","alt_id":"a","start_at":"2026-01-01","end_at":"2026-12-31"},{"id":"src_0000000000001","alt_id":"a","start_at":"2026-01-01","end_at":"2026-12-31"}]`, false, "a unknown", "a registered"},
		"no id":              {`[{"id":"","alt_id":"a","start_at":"2026-01-01","end_at":"2026-12-31"}]`, false, "a unknown", "a registered"},
		"broken, stored":     {`[{"id":`, true, "a registered", "a registered"},
		"broken, not stored": {`[{"id":`, false, "a unknown", "a registered"},
		"HTML":               {`<html>thank you</html>`, false, "a unknown", "a registered"},
		"queue rows":         {`[{"id":17,"created_at":"2026-01-01","processed":false}]`, true, "a registered", "a registered"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := metisOf(t)
				m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
					if !isPost(r) || m.arrived() > 1 {
						return next(), nil
					}
					if c.store {
						next()
					}
					return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}},
						Body: io.NopCloser(strings.NewReader(c.body)), Request: r}, nil
				}
				path := file(t, collection(square("a", 1)))
				got := m.run(t.Context(), t, register.Options{Input: path})
				if got.outcomes() != c.first || len(m.posts) != 1 || (got.err == nil) != c.store {
					t.Fatal(got.outcomes(), got.err, len(m.posts))
				}
				got = m.run(t.Context(), t, register.Options{Input: path})
				if got.err != nil || got.outcomes() != c.then || len(m.emulatorSources(t)) != 1 {
					t.Fatal(got.outcomes(), got.err, len(m.posts))
				}
			})
		})
	}
}

// The answer's order is METI's promise; where it is broken, identity decides.
func TestAnswerInAnotherOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			response := next()
			if isPost(r) {
				body, _ := io.ReadAll(response.Body)
				response.Body = io.NopCloser(strings.NewReader(reversed(t, string(body))))
			}
			return response, nil
		}
		got := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(5, numbered)...))})
		if got.err != nil || got.Registered != 5 || len(m.posts) != 1 {
			t.Fatal(got.outcomes(), got.err, len(m.posts))
		}
		m.around = nil
		again := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(5, numbered)...))})
		for i := range got.results {
			if got.results[i].ID != again.results[i].ID {
				t.Error(got.results[i], again.results[i])
			}
		}
	})
}

// reversed turns the elements of an array round.
func reversed(t *testing.T, text string) string {
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Error(err)
	}
	slices.Reverse(list)
	out, err := json.Marshal(list)
	if err != nil {
		t.Error(err)
	}
	return string(out)
}

// Server without a filter by alt_id, and without geometry in its answers.
func TestServerIgnoresTheFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		if got := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(30, func(i int) string { return "old" + numbered(i) })...))}); got.err != nil {
			t.Fatal(got.err)
		}
		old := len(m.posts)
		m.looks = nil
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) {
				return lostAfter(r, next)
			}
			q := r.URL.Query()
			q.Del("alt_id")
			r.URL.RawQuery = q.Encode()
			response := next()
			var list []map[string]json.RawMessage
			if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
				t.Error(err)
			}
			for _, s := range list {
				delete(s, "geometry")
				delete(s, "geojson")
			}
			body, _ := json.Marshal(list)
			response.Body = io.NopCloser(bytes.NewReader(body))
			response.ContentLength = -1
			response.Header.Del("Content-Length")
			return response, nil
		}
		got := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(20, numbered)...)), BatchFeatures: 5})
		if got.err != nil || got.Registered != 20 || len(m.posts) != old+4 {
			t.Fatal(got.outcomes(), got.err)
		}
		for _, r := range got.results {
			if r.ID == "" || r.Hectares == nil {
				t.Error(r)
			}
		}
		if len(m.looks) > 60 {
			t.Errorf("%d requests to look up", len(m.looks))
		}
	})
}

// A server that only fails: the run ends, nothing is unknown.
func TestServerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) {
				return &http.Response{StatusCode: 500, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			}
			return next(), nil
		}
		begin := time.Now()
		got := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(20, numbered)...)), BatchFeatures: 5})
		if !errors.Is(got.err, api.ErrServer) || got.Unknown != 0 || got.Pending != 20 || len(m.posts) > 5 {
			t.Fatal(got.Summary, got.err, len(m.posts))
		}
		if spent := time.Since(begin); spent > 10*time.Minute {
			t.Error(spent)
		}
	})
}

// The look-ups fail too: then all is unknown, until they work again.
func TestLookUpsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) {
				return lostAfter(r, next)
			}
			if m.arrived() > 0 {
				return nil, errBroken
			}
			return next(), nil
		}
		path := file(t, collection(square("a", 1)))
		got := m.run(t.Context(), t, register.Options{Input: path})
		if got.err == nil || got.outcomes() != "a unknown" {
			t.Fatal(got.outcomes(), got.err)
		}
		m.around = nil
		got = m.run(t.Context(), t, register.Options{Input: path})
		if got.err != nil || got.outcomes() != "a registered" || len(m.posts) != 1 {
			t.Fatal(got.outcomes(), got.err)
		}
	})
}

func TestRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) && m.arrived() <= 5 {
				return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"120"}}, Body: http.NoBody, Request: r}, nil
			}
			return next(), nil
		}
		begin := time.Now()
		got := m.run(t.Context(), t, register.Options{Input: file(t, collection(square("a", 1)))})
		if got.err != nil || got.outcomes() != "a registered" || len(m.posts) != 6 || time.Since(begin) < 10*time.Minute {
			t.Fatal(got.outcomes(), got.err, len(m.posts), time.Since(begin))
		}
	})
}

func TestServerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		down := true
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) && down {
				return nil, errBroken
			}
			return next(), nil
		}
		path := file(t, collection(square("a", 1)))
		got := m.run(t.Context(), t, register.Options{Input: path})
		if got.err == nil || got.outcomes() != "a pending" {
			t.Fatal(got.outcomes(), got.err)
		}
		down = false
		if got := m.run(t.Context(), t, register.Options{Input: path}); got.err != nil || got.outcomes() != "a registered" {
			t.Fatal(got.outcomes(), got.err)
		}
	})
}

// Interrupted: no new request, those under way are settled, and the run ends
// within 20 seconds.
func TestInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		post func(r *http.Request, next func() *http.Response) (*http.Response, error)
		want string
	}{
		"slow": {func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			select {
			case <-time.After(10 * time.Second):
				return next(), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}, "registered"},
		"hangs": {func(r *http.Request, _ func() *http.Response) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, "unknown"},
		"hangs after commit": {func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			next()
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, "unknown"},
		"fails": {func(*http.Request, func() *http.Response) (*http.Response, error) {
			return nil, errBroken
		}, "unknown"},
		"refuses": {func(r *http.Request, _ func() *http.Response) (*http.Response, error) {
			time.Sleep(2500 * time.Millisecond) // past the interruption
			return &http.Response{StatusCode: 422, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}, "pending"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := metisOf(t)
				reason := errors.New("terminated")
				ctx, stop := context.WithCancelCause(t.Context())
				m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
					if isPost(r) {
						return c.post(r, next)
					}
					if strings.Contains(r.URL.RawQuery, "f013") {
						time.Sleep(time.Second)
					}
					return next(), nil
				}
				path := file(t, collection(squares(30, numbered)...))
				var asked time.Time
				time.AfterFunc(3*time.Second, func() { asked = time.Now(); stop(reason) })
				got := m.run(ctx, t, register.Options{Input: path, BatchFeatures: 5, InFlight: 2})
				if spent := time.Since(asked); spent > 20*time.Second {
					t.Errorf("ended after %s", spent)
				}
				if !errors.Is(got.err, reason) && name != "fails" || !got.Interrupted || len(m.posts) > 2 && name != "fails" {
					t.Error(got.err, got.Summary, len(m.posts))
				}
				for i, r := range got.results {
					want := c.want
					if i >= 5*len(m.posts) {
						want = "pending" // one batch is sent until its success was read back
					}
					if r.State.String() != want {
						t.Errorf("%d is %s, want %s", i, r.State, want)
					}
				}
				m.around = nil
				again := m.run(t.Context(), t, register.Options{Input: path})
				sources := len(m.emulatorSources(t))
				if again.err != nil || again.Registered != 30 || sources != 30 {
					t.Error(again.Summary, again.err, sources)
				}
			})
		})
	}
}

func (m *metis) emulatorSources(t *testing.T) []string {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest("GET", "/sources", nil)
	request.Header.Set("Authorization", "Bearer "+m.token)
	m.emulator.Handler().ServeHTTP(recorder, request)
	return regexp.MustCompile(`"id":"src_[^"]+"`).FindAllString(recorder.Body.String(), -1)
}

// shiftJournal moves the times of a journal.
func shiftJournal(t *testing.T, journal string, by time.Duration) string {
	t.Helper()
	return register.EditJournal(t, journal, func(at time.Time) time.Time { return at.Add(by) })
}

// The features of a batch in which METI looks for the guilty are sent in the end,
// also when an answer is lost on the way, or METI wants to wait.
func TestBisectInterrupted(t *testing.T) {
	for n := 2; n < 9; n++ {
		for _, status := range []int{0, 429, 503} {
			synctest.Test(t, func(t *testing.T) {
				m := metisOf(t)
				m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
					if !isPost(r) {
						return next(), nil
					}
					if m.arrived() == n {
						if status == 0 {
							return nil, errBroken
						}
						return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"60"}}, Body: http.NoBody, Request: r}, nil
					}
					body, _ := io.ReadAll(r.Body)
					if strings.Contains(string(body), "f005") {
						return &http.Response{StatusCode: 422, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
					return next(), nil
				}
				got := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(16, numbered)...))})
				if got.err != nil || got.Registered != 15 || got.Refused != 1 || len(m.emulatorSources(t)) != 15 {
					t.Errorf("POST %d, %d: %s %v", n, status, got.outcomes(), got.err)
				}
			})
		}
	}
}

// Two requests are lost at different times: neither is given up by a reading
// that looked only for the other.
func TestLostOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		begin := time.Now()
		var slow atomic.Bool
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			switch {
			case isPost(r) && m.arrived() == 2:
				return nil, errBroken
			case isPost(r) && m.arrived() == 3:
				time.Sleep(time.Until(begin.Add(59700 * time.Millisecond)))
				return nil, errBroken
			case !isPost(r) && time.Since(begin) > 59*time.Second && slow.CompareAndSwap(false, true):
				// The look that begins just before the first one's deadline.
				time.Sleep(54 * time.Second)
			}
			return next(), nil
		}
		got := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(6, numbered)...)), BatchFeatures: 2, InFlight: 2})
		if got.err != nil || got.Registered != 6 || len(m.emulatorSources(t)) != 6 {
			t.Error(got.outcomes(), got.err)
		}
	})
}

// A request is closed only by a reading that looked for it: what the look-ups of a
// lost one were refused, the reading at the end, of another feature, does not tell.
// So its source is the journal's, and may be replaced.
func TestReadingOfOthersClosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			switch {
			case isPost(r) && m.arrived() == 2:
				return lostAfter(r, next)
			case strings.Contains(r.URL.RawQuery, "f001") && m.arrived() == 2:
				return &http.Response{StatusCode: 503, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			}
			return next(), nil
		}
		list := squares(2, numbered)
		o := register.Options{Input: file(t, collection(list...)), BatchFeatures: 1, InFlight: 1}
		begin := time.Now()
		if got := m.run(t.Context(), t, o); got.err == nil || got.outcomes() != "f000 registered, f001 unknown" || time.Since(begin) < time.Minute {
			t.Fatal(got.outcomes(), got.err, time.Since(begin))
		}
		m.around = nil
		write(t, o.Input, collection(list[0], square("f001", 20)))
		o.Changed = register.Renew
		if got := m.run(t.Context(), t, o); got.err != nil || got.outcomes() != "f000 registered, f001 registered" || got.Deleted != 1 || len(m.emulatorSources(t)) != 2 {
			t.Error(got.outcomes(), got.err, got.Deleted)
		}
	})
}

// What an earlier run sent is not counted as sent by the one that finds it.
func TestFoundIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			switch {
			case isPost(r):
				return lostAfter(r, next)
			case m.arrived() > 0: // nothing can be read again
				return &http.Response{StatusCode: 503, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			}
			return next(), nil
		}
		o := register.Options{Input: file(t, collection(squares(1, numbered)...))}
		if got := m.run(t.Context(), t, o); got.err == nil || got.outcomes() != "f000 unknown" {
			t.Fatal(got.outcomes(), got.err)
		}
		m.around = nil
		if got := m.run(t.Context(), t, o); got.err != nil || got.outcomes() != "f000 registered" || got.Sent != 0 {
			t.Error(got.outcomes(), got.err, got.Sent)
		}
	})
}

// What stands where a feature stood before it was edited waits until it is known
// what became of the request that sent it there: else it would overtake it.
func TestEditedFeatureHoldsItsOldPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) || m.arrived() > 0 {
				return nil, errBroken
			}
			return next(), nil
		}
		o := register.Options{Input: file(t, collection(square("a", 1)))}
		if got := m.run(t.Context(), t, o); got.err == nil || got.outcomes() != "a unknown" {
			t.Fatal(got.outcomes(), got.err)
		}
		write(t, o.Input, collection(square("a", 20), square("b", 1)))
		begin, waited := time.Now(), time.Duration(-1)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) && waited < 0 {
				waited = time.Since(begin)
			}
			return next(), nil
		}
		if got := m.run(t.Context(), t, o); got.err != nil || got.outcomes() != "a registered, b registered" || waited < time.Minute {
			t.Error(got.outcomes(), got.err, waited)
		}
	})
}
