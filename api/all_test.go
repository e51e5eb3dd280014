package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

// lister is a server of an account, well behaved unless answer says otherwise.
type lister struct {
	total  int
	answer func(offset, limit int) []int // the numbers of the sources; limit is -1 where none was sent
	also   func(w http.ResponseWriter, offset, limit int) (done bool)

	mu       sync.Mutex
	requests []string
	now, top atomic.Int32
}

// page is what a well-behaved server answers.
func (l *lister) page(offset, limit int) []int {
	if limit < 0 {
		limit = l.total
	}
	var numbers []int
	for n := offset; n < min(l.total, offset+limit); n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}

func (l *lister) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := l.now.Add(1)
	defer l.now.Add(-1)
	for top := l.top.Load(); now > top && !l.top.CompareAndSwap(top, now); top = l.top.Load() {
	}
	query := r.URL.Query()
	offset, _ := strconv.Atoi(query.Get("offset"))
	limit := -1
	if query.Has("limit") {
		limit, _ = strconv.Atoi(query.Get("limit"))
	}
	l.mu.Lock()
	l.requests = append(l.requests, r.URL.RequestURI())
	l.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if l.also != nil && l.also(w, offset, limit) {
		return
	}
	answer := l.answer
	if answer == nil {
		answer = l.page
	}
	_, _ = io.WriteString(w, listOf(answer(offset, limit)))
}

func (l *lister) spent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.requests)
}

func listOf(numbers []int) string {
	var texts []string
	for _, n := range numbers {
		texts = append(texts, fmt.Sprintf(`{"id":"src_%05d","alt_id":"%d","start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"}`, n, n))
	}
	return "[" + strings.Join(texts, ",") + "]"
}

func (l *lister) client(t testing.TB) *Client { return clientOf(t, l) }

// clientOf gives a client of a server.
func clientOf(t testing.TB, handler http.Handler) *Client {
	t.Helper()
	server := httptest.NewServer(http.StripPrefix("/prefix", handler))
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	c, err := New(
		WithBaseURL(server.URL+"/prefix"),
		WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})),
		WithHTTPClient(&http.Client{Transport: transport}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// collect lists everything, and gives the numbers of the sources.
func collect(ctx context.Context, c *Client, params AllParams) (numbers []int, err error) {
	for source, e := range c.Sources.All(ctx, params) {
		if err != nil {
			return numbers, errors.New("went on after an error")
		}
		if err = e; err != nil {
			if source != nil {
				return numbers, errors.New("a source beside an error")
			}
			continue
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(source.ID, "src_"))
		numbers = append(numbers, n)
	}
	return numbers, err
}

func TestAllListsEverySourceInOrder(t *testing.T) {
	for _, total := range []int{0, 1, 9, 10, 11, 20, 95, 100, 101, 1234} {
		for _, inFlight := range []int{0, 1, 2, 8, 40} {
			t.Run(fmt.Sprint(total, " ", inFlight), func(t *testing.T) { // whose connections are closed
				server := &lister{total: total}
				var drifts []Drift
				got, err := collect(t.Context(), server.client(t), AllParams{PageSize: 10, InFlight: inFlight, OnDrift: func(d Drift) { drifts = append(drifts, d) }})
				if err != nil || !slices.Equal(got, upTo(total)) || drifts != nil {
					t.Errorf("%d sources, %d in flight: %d listed, %v, drift %v", total, inFlight, len(got), err, drifts)
				}
				if most := int32(max(inFlight, 1)); inFlight > 0 && server.top.Load() > most+1 {
					// A page whose last byte has been read may still be counted by the server.
					t.Errorf("%d requests at once, %d in flight", server.top.Load(), inFlight)
				}
				if most := total/9 + 2 + max(inFlight, 4); server.spent() > most { // pages overlap
					t.Errorf("%d sources, %d in flight: %d requests", total, inFlight, server.spent())
				}
			})
		}
	}
}

func TestAllSendsFilterAndPages(t *testing.T) {
	server := &lister{total: 3}
	params := AllParams{Filter: Filter{Methodology: "Biochar Production", StewardID: "a&b"}}
	if _, err := collect(t.Context(), server.client(t), params); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/sources?limit=1000&methodology=Biochar+Production&steward_id=a%26b",
		"/sources?limit=1000&methodology=Biochar+Production&offset=2&steward_id=a%26b",
	}
	if !slices.Equal(server.requests, want) {
		t.Errorf("%q\nwant %q", server.requests, want)
	}
}

// TestAllAgainstOddServers expects the whole account, or ErrIncomplete with
// what there was, and few requests where nothing new comes.
func TestAllAgainstOddServers(t *testing.T) {
	type server struct {
		name       string
		answer     func(l *lister) func(offset, limit int) []int
		total      int
		pageSize   int
		want       []int
		incomplete bool
		drift      string // its kind
		most       int    // requests, with one at a time
	}
	obeyLimit := func(numbers []int, limit int) []int {
		if limit >= 0 {
			numbers = numbers[:min(len(numbers), limit)]
		}
		return numbers
	}
	always := func(n int) func(*lister) func(int, int) []int {
		return func(*lister) func(int, int) []int { return func(int, int) []int { return upTo(n) } }
	}
	for _, s := range []server{
		{name: "always the same 50", answer: always(50), want: upTo(50), drift: "reordered", most: 12},
		{name: "always the same 50, of pages of 50", answer: always(50), pageSize: 50, want: upTo(50), drift: "reordered", most: 12},
		{name: "always the same 50, of pages of 10", answer: always(50), pageSize: 10, want: upTo(50), most: 2},
		{name: "always the same 50, of pages of 49", answer: always(50), pageSize: 49, want: upTo(50), most: 2},
		{name: "always nothing", answer: always(0), most: 1},
		{name: "offset is ignored, limit obeyed", answer: func(l *lister) func(int, int) []int {
			return func(_, limit int) []int { return obeyLimit(upTo(l.total), limit) }
		}, total: 95, pageSize: 10, want: upTo(95), drift: "reordered", most: 12},
		{name: "offset is ignored, limit obeyed, total as many as a page", answer: func(l *lister) func(int, int) []int {
			return func(_, limit int) []int { return obeyLimit(upTo(l.total), limit) }
		}, total: 10, pageSize: 10, want: upTo(10), incomplete: true, drift: "reordered", most: 12},
		{name: "offset is ignored, 10 at most", answer: func(l *lister) func(int, int) []int {
			return func(_, limit int) []int { return obeyLimit(upTo(10), limit) }
		}, total: 95, pageSize: 10, want: upTo(10), incomplete: true, drift: "reordered", most: 12},
		{name: "always the same one", answer: always(1), pageSize: 1, want: upTo(1), drift: "shrunk", most: 14},
		{name: "one at a time", answer: func(l *lister) func(offset, limit int) []int {
			return func(offset, _ int) []int { return l.page(offset, 1) }
		}, total: 95, pageSize: 10, want: upTo(1), incomplete: true, drift: "shrunk", most: 14},
		{name: "offset is ignored, without limit other sources", answer: func(l *lister) func(int, int) []int {
			return func(_, limit int) []int {
				if limit < 0 {
					return []int{90, 91, 92}
				}
				return obeyLimit(upTo(l.total), limit)
			}
		}, total: 95, pageSize: 10, want: append(upTo(10), 90, 91, 92), incomplete: true, drift: "reordered", most: 12},
		{name: "offset is ignored, without limit fewer", answer: func(l *lister) func(offset, limit int) []int {
			return func(_, limit int) []int { return upTo(max(limit, 5)) }
		}, total: 95, pageSize: 10, want: upTo(10), incomplete: true, drift: "reordered", most: 16},
		{name: "limit is ignored, offset obeyed", answer: func(l *lister) func(int, int) []int {
			return func(offset, _ int) []int { return l.page(offset, l.total) }
		}, total: 95, pageSize: 10, want: upTo(95), most: 2},
		{name: "at most 7 at a time", answer: func(l *lister) func(int, int) []int {
			return func(offset, limit int) []int { return l.page(offset, min(limit, 7)) }
		}, total: 95, pageSize: 10, want: upTo(95), most: 25},
		{name: "at most 7 at a time, total a multiple", answer: func(l *lister) func(int, int) []int {
			return func(offset, limit int) []int { return l.page(offset, min(limit, 7)) }
		}, total: 70, pageSize: 10, want: upTo(70), most: 25},
		{name: "pages of all sizes", answer: func(l *lister) func(int, int) []int {
			return func(offset, limit int) []int { return l.page(offset, min(limit, 1+offset*offset%7)) }
		}, total: 95, pageSize: 10, want: upTo(95), drift: "shrunk", most: 200},
		{name: "shorter and shorter pages, one of one", answer: func(l *lister) func(offset, limit int) []int {
			return func(offset, limit int) []int {
				return l.page(offset, min(limit, cmp.Or(map[int]int{7: 5, 11: 4, 14: 1}[offset], 8)))
			}
		}, total: 95, pageSize: 10, want: upTo(95), drift: "shrunk", most: 30},
		{name: "beyond the end the last page again", answer: func(l *lister) func(int, int) []int {
			return func(offset, limit int) []int {
				if offset >= l.total {
					offset = (l.total - 1) / limit * limit
				}
				return l.page(offset, limit)
			}
		}, total: 95, pageSize: 10, want: upTo(95), most: 25},
		{name: "without limit 20 at most", answer: func(l *lister) func(offset, limit int) []int {
			return func(offset, limit int) []int {
				if limit < 0 {
					return l.page(offset, 20)
				}
				return obeyLimit(upTo(l.total), limit)
			}
		}, total: 95, pageSize: 10, want: upTo(20), incomplete: false, drift: "reordered", most: 12},
		{name: "the second page is the first again", answer: func(l *lister) func(int, int) []int {
			return func(offset, limit int) []int {
				if offset == 9 {
					offset = 0
				}
				return l.page(offset, limit)
			}
		}, total: 95, pageSize: 10, want: upTo(95), drift: "reordered", most: 12},
		{name: "offset is taken for less", answer: func(l *lister) func(int, int) []int {
			return func(offset, limit int) []int { return l.page(max(0, offset-offset/10), limit) }
		}, total: 95, pageSize: 10, want: upTo(95), incomplete: true, drift: "reordered", most: 18},
		{name: "an empty page in the middle", answer: func(l *lister) func(int, int) []int {
			return func(offset, limit int) []int {
				if offset == 27 {
					return nil
				}
				return l.page(offset, limit)
			}
		}, total: 95, pageSize: 10, want: upTo(95), drift: "shrunk", most: 15},
		{name: "an empty page in the middle, once", answer: func(l *lister) func(int, int) []int {
			var once sync.Once
			return func(offset, limit int) (numbers []int) {
				numbers = l.page(offset, limit)
				if offset == 27 {
					once.Do(func() { numbers = nil })
				}
				return numbers
			}
		}, total: 95, pageSize: 10, want: upTo(95), drift: "shrunk", most: 15},
		{name: "a source twice on a page", answer: func(l *lister) func(int, int) []int {
			return func(offset, limit int) []int {
				numbers := l.page(offset, limit)
				if offset == 9 {
					numbers[3] = numbers[2]
				}
				return numbers
			}
		}, total: 40, pageSize: 10, want: slices.DeleteFunc(upTo(40), func(n int) bool { return n == 12 }), drift: "repeated", most: 20},
	} {
		for _, inFlight := range []int{1, 4, 40} {
			t.Run(fmt.Sprint(s.name, " ", inFlight), func(t *testing.T) { // as above
				l := &lister{total: s.total}
				l.answer = s.answer(l)
				kinds := map[string]bool{}
				got, err := collect(t.Context(), l.client(t), AllParams{PageSize: s.pageSize, InFlight: inFlight, OnDrift: func(d Drift) { kinds[d.Kind] = true }})
				if !slices.Equal(got, s.want) {
					t.Errorf("%s, %d in flight: listed %v", s.name, inFlight, got)
				}
				if s.incomplete != errors.Is(err, ErrIncomplete) || !s.incomplete && err != nil {
					t.Errorf("%s, %d in flight: %v", s.name, inFlight, err)
				}
				if s.drift == "" && len(kinds) > 0 || s.drift != "" && !kinds[s.drift] {
					t.Errorf("%s, %d in flight: drift %v, want %q", s.name, inFlight, kinds, s.drift)
				}
				if most := s.most + 3*(inFlight-1); l.spent() > most {
					t.Errorf("%s, %d in flight: %d requests", s.name, inFlight, l.spent())
				}
			})
		}
	}
}

func TestAllTwice(t *testing.T) {
	server := &lister{total: 25}
	all := server.client(t).Sources.All(t.Context(), AllParams{PageSize: 10})
	for range 2 {
		n := 0
		for source, err := range all {
			if err != nil || source.ID != fmt.Sprintf("src_%05d", n) {
				t.Fatalf("source %d is %v, %v", n, source, err)
			}
			n++
		}
		if n != 25 {
			t.Errorf("%d sources", n)
		}
	}
}

// TestAllLeftEarly leaves the loop at every source of the first pages; goleak
// looks for what goes on.
func TestAllLeftEarly(t *testing.T) {
	server := &lister{total: 1000}
	client := server.client(t)
	for stop := range 25 {
		n := 0
		for _, err := range client.Sources.All(t.Context(), AllParams{PageSize: 10}) {
			if err != nil {
				t.Fatal(err)
			}
			if n == stop {
				break
			}
			n++
		}
		stacks := make([]byte, 1<<20)
		if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("(*pages).fetch")) {
			t.Fatalf("requests go on after the loop was left:\n%s", stacks)
		}
	}
	if spent := server.spent(); spent > 25*8 {
		t.Errorf("%d requests for 25 times at most 25 sources", spent)
	}
}

// TestAllLeftWhileTheServerHangs leaves the loop while the next page does not
// come; that page must not be waited for.
func TestAllLeftWhileTheServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &lister{total: 1000}
		release := make(chan struct{})
		server.also = func(_ http.ResponseWriter, offset, _ int) bool {
			if offset > 10 {
				<-release
			}
			return false
		}
		begin := time.Now()
		n := 0
		for _, err := range inMemory(t, server).Sources.All(t.Context(), AllParams{PageSize: 10}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 15 {
				synctest.Wait() // until the next pages are asked for
				break
			}
		}
		if waited := time.Since(begin); waited > 0 {
			t.Errorf("left after %s", waited)
		}
		close(release)
	})
}

func TestAllErrorOnSecondPage(t *testing.T) {
	for name, fault := range map[string]struct {
		also func(w http.ResponseWriter) bool
		is   error
		want []int
	}{
		"403": {func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusForbidden); return true }, ErrForbidden, upTo(10)},
		"broken": {func(w http.ResponseWriter) bool {
			_, _ = io.WriteString(w, "["+listOf([]int{9})[1:80]+"}")
			return true
		}, ErrBadAnswer, upTo(10)},
		"no id":     {func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, listOf([]int{9})[:1]+`{}]`); return true }, ErrBadAnswer, upTo(10)},
		"not array": {func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, `{"sources":[]}`); return true }, ErrBadAnswer, upTo(10)},
		"half": {func(w http.ResponseWriter) bool {
			_, _ = io.WriteString(w, strings.TrimSuffix(listOf([]int{9, 10, 11}), "]")+"x")
			return true
		}, ErrBadAnswer, upTo(12)},
	} {
		server := &lister{total: 95}
		server.also = func(w http.ResponseWriter, offset, _ int) bool { return offset == 9 && fault.also(w) }
		got, err := collect(t.Context(), server.client(t), AllParams{PageSize: 10})
		if !slices.Equal(got, fault.want) || !errors.Is(err, fault.is) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// TestAllRepeatsABrokenPage breaks a body off in the middle, and expects its
// sources once, in order, and no drift.
func TestAllRepeatsABrokenPage(t *testing.T) {
	for _, limit := range []int{10, 1000} { // in the middle of many pages, and of the only one
		synctest.Test(t, func(t *testing.T) {
			server := &lister{total: 95}
			var broken atomic.Bool
			server.also = func(w http.ResponseWriter, offset, _ int) bool {
				if offset != 9 && limit == 10 || broken.Swap(true) {
					return false
				}
				text := listOf(server.page(offset, limit))
				w.Header().Set("Content-Length", strconv.Itoa(len(text)))
				_, _ = io.WriteString(w, text[:len(text)*2/3])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			var drifts []Drift
			got, err := collect(t.Context(), inMemory(t, server), AllParams{PageSize: limit, OnDrift: func(d Drift) { drifts = append(drifts, d) }})
			if err != nil || !slices.Equal(got, upTo(95)) || drifts != nil {
				t.Errorf("%v %v, drift %v", got, err, drifts)
			}
		})
	}
}

func TestAllObeysItsContext(t *testing.T) {
	server := &lister{total: 1000}
	for _, after := range []int{0, 5, 10, 25} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("lunch")
		n := 0
		var last error
		for source, err := range server.client(t).Sources.All(ctx, AllParams{PageSize: 10}) {
			if last != nil {
				t.Fatal("went on after an error")
			}
			if last = err; source != nil {
				n++
			}
			if n >= after {
				cancel(cause)
			}
		}
		cancel(nil)
		var e *Error
		if after > 0 && (!errors.Is(last, context.Canceled) || !errors.Is(last, cause) || !errors.As(last, &e)) {
			t.Errorf("ended after %d sources: %v", after, last)
		}
		if n > max(1, after) {
			t.Errorf("ended after %d sources: %d were yielded", after, n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for source, err := range server.client(t).Sources.All(ctx, AllParams{}) {
		if source != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v %v", source, err)
		}
	}
}

func TestAllRefusesNegatives(t *testing.T) {
	for _, params := range []AllParams{{PageSize: -1}, {InFlight: -1}} {
		if _, err := collect(t.Context(), (&lister{}).client(t), params); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", params, err)
		}
	}
}

// TestAllAsksWhileItsLoopRuns has a consumer stay with a source: meanwhile
// InFlight pages are fetched, and no more.
func TestAllAsksWhileItsLoopRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const inFlight = 12
		server := &lister{total: 1000}
		n := 0
		for _, err := range inMemory(t, server).Sources.All(t.Context(), AllParams{PageSize: 10, InFlight: inFlight}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 30 { // on the fourth page
				synctest.Wait()
				if got, want := server.spent(), 4+inFlight; got != want {
					t.Errorf("%d requests, want %d", got, want)
				}
				break
			}
		}
	})
}

// TestAllHoldsLittle has the server offer an endless third page: it is read no
// further than what may be held, and then as it is consumed.
func TestAllHoldsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offered atomic.Int64
		n := 0
		server := &lister{total: 20}
		server.also = func(w http.ResponseWriter, offset, _ int) bool {
			if offset != 18 {
				return false
			}
			_, _ = io.WriteString(w, listOf(upTo(20)[18:])[:1])
			padding := strings.Repeat("x", 64<<10)
			for n := 18; ; n++ {
				written, err := fmt.Fprintf(w, `{"id":"src_%05d","padding":"%s"},`, n, padding)
				if offered.Add(int64(written)); err != nil || offered.Load() > 1<<30 {
					return true
				}
			}
		}
		begun := int64(0)
		for _, err := range inMemory(t, server).Sources.All(t.Context(), AllParams{PageSize: 10, InFlight: 2}) {
			if err != nil {
				t.Fatal(err)
			}
			switch n++; n {
			case 15: // the third page is under way
				synctest.Wait()
				if begun = offered.Load(); begun < heldBytes || begun > heldBytes+1<<20 {
					t.Errorf("%d KiB were taken ahead", begun>>10)
				}
			case 100:
				synctest.Wait()
				if got := offered.Load() - begun; got > 81*(64<<10)+1<<20 {
					t.Errorf("%d KiB more were taken for 80 sources of 64 KiB", got>>10)
				}
				return
			}
		}
	})
}
