package api

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// changing is an account that changes between the requests.
type changing struct {
	random *rand.Rand
	order  string // "appended", "newest first", "anywhere" (by a random id), "none" (another one each time)
	change func(s *changing, offset, limit int)

	mu        sync.Mutex
	numbers   []int
	next      int
	gone      map[int]bool
	requests  int
	unlimited int // requests for everything at once
}

func newChanging(random *rand.Rand, order string, total int) *changing {
	return &changing{random: random, order: order, numbers: upTo(total), next: total, gone: map[int]bool{}}
}

func (s *changing) insert() {
	at := map[string]int{"appended": len(s.numbers), "newest first": 0}[s.order]
	if s.order == "anywhere" {
		at = s.random.IntN(len(s.numbers) + 1)
	}
	s.numbers = slices.Insert(s.numbers, at, s.next)
	s.next++
}

func (s *changing) remove(at int) {
	if at >= 0 && at < len(s.numbers) {
		s.gone[s.numbers[at]] = true
		s.numbers = slices.Delete(s.numbers, at, at+1)
	}
}

// move takes a source to another place, as an update may.
func (s *changing) move(from, to int) {
	number := s.numbers[from]
	s.numbers = slices.Insert(slices.Delete(s.numbers, from, from+1), to, number)
}

func (s *changing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return recorded(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Method == http.MethodDelete {
			n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], "src_"))
			s.remove(slices.Index(s.numbers, n))
			return
		}
		s.requests++
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			limit = 1 << 30
			s.unlimited++
		}
		if s.change != nil && s.requests > 1 {
			s.change(s, offset, limit)
		}
		if s.order == "none" {
			s.random.Shuffle(len(s.numbers), func(i, j int) { s.numbers[i], s.numbers[j] = s.numbers[j], s.numbers[i] })
		}
		from := min(offset, len(s.numbers))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, listOf(s.numbers[from:min(from+limit, len(s.numbers))]))
	}, r), nil
}

func (s *changing) client(t testing.TB, options ...Option) *Client {
	return made(t, append(options, WithHTTPClient(&http.Client{Transport: s}))...)
}

// missing counts what was there from the beginning to the end and was not
// listed, and what was listed twice.
func (s *changing) missing(total int, listed []int) (missing, twice int) {
	times := map[int]int{}
	for _, n := range listed {
		if times[n]++; times[n] == 2 {
			twice++
		}
	}
	for n := range total {
		if !s.gone[n] && times[n] == 0 {
			missing++
		}
	}
	return missing, twice
}

// changes are ways in which an account changes before a request is answered.
var changes = map[string]func(s *changing, offset, limit int){
	"now and then one": func(s *changing, _, _ int) {
		switch s.random.IntN(8) {
		case 0:
			s.remove(s.random.IntN(len(s.numbers) + 1))
		case 1:
			s.insert()
		}
	},
	"one more each time": func(s *changing, _, _ int) { s.insert() },
	"one less each time": func(s *changing, _, _ int) { s.remove(s.random.IntN(len(s.numbers) + 1)) },
	"both each time":     func(s *changing, _, _ int) { s.remove(s.random.IntN(len(s.numbers) + 1)); s.insert() },
	"a page more each time": func(s *changing, _, limit int) { // for a while: each is listed
		for range min(limit, 30) * max(0, 40-s.requests) / 20 {
			s.insert()
		}
	},
	"several at once": func(s *changing, _, limit int) {
		if s.random.IntN(6) == 0 {
			for range s.random.IntN(3 * min(limit, 20)) {
				if s.random.IntN(2) == 0 {
					s.insert()
				} else {
					s.remove(s.random.IntN(len(s.numbers) + 1))
				}
			}
		}
	},
	"at the border": func(s *changing, offset, _ int) {
		if s.random.IntN(4) == 0 {
			s.remove(offset - 2 + s.random.IntN(4))
		}
	},
	"a run of deletions": func(s *changing, offset, limit int) {
		if s.random.IntN(8) == 0 {
			from := s.random.IntN(offset + 1)
			for range s.random.IntN(2 * min(limit, 20)) {
				s.remove(from)
			}
		}
	},
	"one moves to the end": func(s *changing, _, _ int) {
		if n := len(s.numbers); n > 0 && s.random.IntN(8) == 0 {
			s.move(s.random.IntN(n), n-1)
		}
	},
	"one moves to the front": func(s *changing, _, _ int) {
		if n := len(s.numbers); n > 0 && s.random.IntN(8) == 0 {
			s.move(s.random.IntN(n), 0)
		}
	},
}

// TestAllMissesNothing lists accounts that change in random ways, and do not
// stop: what was there throughout is listed once, or the listing fails, within
// the number of requests that the documentation states.
func TestAllMissesNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const trials = 60
	for _, order := range []string{"appended", "newest first", "anywhere"} {
		for name, change := range changes {
			failed, requests, pages := 0, 0, 0
			for range trials {
				total, limit, inFlight := random.IntN(200), 5+random.IntN(20), 1+random.IntN(8)
				s := newChanging(random, order, total)
				s.change = change
				listed, err := collect(t.Context(), s.client(t), AllParams{PageSize: limit, InFlight: inFlight})
				missing, twice := s.missing(total, listed)
				switch {
				case twice > 0:
					t.Errorf("%s, %s: %d listed twice", order, name, twice)
				case errors.Is(err, ErrIncomplete):
					failed++
				case err != nil:
					t.Errorf("%s, %s: %v", order, name, err)
				case missing > 0:
					t.Errorf("%s, %s: %d of %d are missing, pages of %d, %d in flight", order, name, missing, total, limit, inFlight)
				}
				if most := 16*(len(listed)/(min(limit, max(2, total))-1)+1) + 50 + 5*inFlight; s.requests > most {
					t.Errorf("%s, %s: %d requests for %d sources, pages of %d, %d in flight", order, name, s.requests, len(listed), limit, inFlight)
				}
				requests += s.requests
				pages += len(listed)/(limit-1) + 1
			}
			t.Logf("%-12s %-22s %d of %d failed, %.1f requests to a page", order, name, failed, trials, float64(requests)/float64(pages))
		}
	}
}

// TestAllSeesMoves has sources move to where all is listed already: one while
// All goes back for another reason, one while the last of a page is deleted, and
// one in exchange for another.
func TestAllSeesMoves(t *testing.T) {
	for name, change := range map[string]func(numbers []int, request int) []int{
		"one, behind a gap": func(numbers []int, request int) []int {
			if request > 1 {
				numbers = numbers[1:] // deleted
			}
			if request > 2 {
				numbers = append([]int{25, 0}, slices.Delete(numbers, 24, 25)...)
			}
			return numbers
		},
		"one, for the last": func(numbers []int, request int) []int {
			if request > 1 {
				numbers = slices.Insert(slices.Delete(slices.Delete(numbers, 25, 26), 9, 10), 0, 25)
			}
			return numbers
		},
		"one, for another": func(numbers []int, request int) []int {
			if request > 1 {
				numbers = append([]int{25}, slices.Delete(append(slices.Delete(numbers, 25, 26), 5), 5, 6)...)
			}
			return numbers
		},
	} {
		l := &lister{}
		l.answer = func(offset, limit int) []int {
			numbers := change(upTo(30), l.spent())
			return numbers[min(offset, len(numbers)):min(offset+limit, len(numbers))]
		}
		got, err := collect(t.Context(), l.client(t), AllParams{PageSize: 10, InFlight: 1})
		slices.Sort(got)
		if err != nil || !slices.Equal(got, upTo(30)) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// TestAllGoesFarBack deletes what ten pages told, at once: All finds where it
// was without beginning anew, and without asking for everything.
func TestAllGoesFarBack(t *testing.T) {
	s := newChanging(rand.New(rand.NewPCG(1, 1)), "appended", 1000)
	s.change = func(s *changing, offset, _ int) {
		if offset == 50*9 {
			for len(s.numbers) > 900 {
				s.remove(100)
			}
		}
	}
	var drifts []Drift
	listed, err := collect(t.Context(), s.client(t), AllParams{PageSize: 10, InFlight: 1, OnDrift: func(d Drift) { drifts = append(drifts, d) }})
	if missing, twice := s.missing(1000, listed); err != nil || missing+twice > 0 || s.unlimited > 0 || s.requests > 1000/9+20 {
		t.Errorf("%d missing, %d twice, %v, %d requests, %v", missing, twice, err, s.requests, drifts)
	}
}

// TestAllEndsWithoutOrder lists accounts that come in another order with each
// request. Nothing can be asked of such a listing but that it ends.
func TestAllEndsWithoutOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := newChanging(rand.New(rand.NewPCG(seed, 1)), "none", 2000)
	listed, err := collect(t.Context(), s.client(t), AllParams{PageSize: 100})
	// Everything at once tells all.
	if missing, twice := s.missing(2000, listed); err != nil && !errors.Is(err, ErrIncomplete) || missing+twice > 0 {
		t.Errorf("%d missing, %d twice, %v", missing, twice, err)
	}
	var e *Error
	if errors.As(err, &e) && (!strings.Contains(e.Message, "keeps changing") || e.Hint == "") {
		t.Errorf("%v", e)
	}
	t.Logf("%d requests: %v", s.requests, err)
}

// TestAllEndsWhereTheAccountDoesNot lists one that always has one more.
func TestAllEndsWhereTheAccountDoesNot(t *testing.T) {
	l := &lister{}
	l.answer = func(offset, limit int) []int {
		if offset == 0 {
			return upTo(10)
		}
		if limit < 2 {
			return []int{offset}
		}
		if l.spent() > 5000 {
			return nil
		}
		return []int{offset, offset + 1}
	}
	listed, err := collect(t.Context(), l.client(t), AllParams{PageSize: 10})
	if most := 16*(len(listed)/9+1) + 50 + 5*defaultInFlight; !errors.Is(err, ErrIncomplete) || l.spent() > most {
		t.Errorf("%d requests, at most %d: %v", l.spent(), most, err)
	}
	t.Logf("%d requests", l.spent())
}

// TestAllEndsWhereEachRequestRegisters lists accounts that get a source with
// each request, at the end: one that only grows, in the smallest pages, and
// small ones that lose a source each time too.
func TestAllEndsWhereEachRequestRegisters(t *testing.T) {
	const many = 20000
	random := rand.New(rand.NewPCG(1, 1))
	for trial := range 300 {
		total, limit, inFlight := random.IntN(12), 5+random.IntN(20), 8
		change := changes["both each time"]
		if trial == 0 {
			total, limit, inFlight, change = 8, 2, 1, changes["one more each time"]
		}
		s := newChanging(random, "appended", total)
		s.change = func(s *changing, offset, limit int) {
			if s.requests < many {
				change(s, offset, limit)
			}
		}
		listed, err := collect(t.Context(), s.client(t), AllParams{PageSize: limit, InFlight: inFlight})
		if err != nil && !errors.Is(err, ErrIncomplete) || s.requests >= many {
			t.Fatalf("trial %d: %d sources, pages of %d: %d listed with %d requests, %v", trial, total, limit, len(listed), s.requests, err)
		}
	}
}

// TestAllWhileItsLoopDeletes deletes what is listed, or some of it: all is
// listed, and never asked for at once, for the answer would not wait.
func TestAllWhileItsLoopDeletes(t *testing.T) {
	for _, of10 := range []int{1, 3, 5, 7, 9, 10} {
		for _, inFlight := range []int{1, 4, 8} {
			for _, total := range []int{1, 10, 11, 95, 1000} {
				random := rand.New(rand.NewPCG(1, 1))
				s := newChanging(random, "appended", total)
				c := s.client(t)
				var listed []int
				for source, err := range c.Sources.All(t.Context(), AllParams{PageSize: 20, InFlight: inFlight}) {
					if err != nil {
						t.Fatal(err)
					}
					n, _ := strconv.Atoi(strings.TrimPrefix(source.ID, "src_"))
					listed = append(listed, n)
					if random.IntN(10) < of10 {
						if err := c.Sources.Delete(t.Context(), source.ID); err != nil {
							t.Fatal(err)
						}
					}
				}
				slices.Sort(listed)
				if !slices.Equal(listed, upTo(total)) || s.unlimited > 0 {
					t.Errorf("%d of 10 deleted, %d in flight: %d of %d listed, with %d requests without limit", of10, inFlight, len(listed), total, s.unlimited)
				}
				if most := 6*total/19 + 10; s.requests > most {
					t.Errorf("%d of 10 deleted, %d in flight: %d requests for %d sources", of10, inFlight, s.requests, total)
				}
			}
		}
	}
}

// TestAllTellsOfChanges looks at what OnDrift is told.
func TestAllTellsOfChanges(t *testing.T) {
	for name, c := range map[string]struct {
		second func(numbers []int) []int // from the second request on
		want   []Drift
	}{
		"inserted before": {func(n []int) []int { return append([]int{100}, n...) }, []Drift{{Kind: "reordered", Offset: 9}}},
		"inserted behind": {func(n []int) []int { return append(n, 100) }, nil},
		"deleted before":  {func(n []int) []int { return n[3:] }, []Drift{{Kind: "shrunk", Offset: 9}}},
		"deleted behind":  {func(n []int) []int { return n[:25] }, nil},
		"twice":           {func(n []int) []int { return slices.Insert(n, 15, 14) }, []Drift{{"repeated", "src_00014", 9}}},
	} {
		l := &lister{}
		l.answer = func(offset, limit int) []int {
			numbers := upTo(30)
			if l.spent() > 1 {
				numbers = c.second(numbers)
			}
			return numbers[min(offset, len(numbers)):min(offset+limit, len(numbers))]
		}
		var drifts []Drift
		_, err := collect(t.Context(), l.client(t), AllParams{PageSize: 10, InFlight: 1, OnDrift: func(d Drift) { drifts = append(drifts, d) }})
		if err != nil || !slices.Equal(drifts, c.want) {
			t.Errorf("%s: %v, drift %v", name, err, drifts)
		}
	}
}

// TestAllWaitsForItsConsumer has a consumer stay with each source for longer
// than the http.Client's timeout allows an answer to take.
func TestAllWaitsForItsConsumer(t *testing.T) {
	for _, inFlight := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			server := &lister{total: 60}
			server.also = func(w http.ResponseWriter, offset, limit int) bool {
				text := listOf(server.page(offset, limit))
				_, _ = io.WriteString(w, strings.ReplaceAll(text, `"alt_id"`, `"padding":"`+strings.Repeat("x", 64<<10)+`","alt_id"`))
				return true
			}
			listener := newPipes()
			inMemory := &http.Server{Handler: server}
			go func() { _ = inMemory.Serve(listener) }()
			t.Cleanup(func() { _ = inMemory.Close() })
			client := defaultOver(t, listener.DialContext)
			client.Timeout = 10 * time.Second
			n := 0
			for _, err := range made(t, WithHTTPClient(client)).Sources.All(t.Context(), AllParams{PageSize: 20, InFlight: inFlight}) {
				if err != nil {
					t.Fatalf("after %d sources: %v", n, err)
				}
				n++
				time.Sleep(7 * time.Second)
			}
			if n != 60 {
				t.Errorf("%d sources", n)
			}
		})
	}
}

// TestAllLeftIsNoFailure leaves the loop at each source, and expects hooks to be
// told of no error; nor at the end, where pages ahead are given up.
func TestAllLeftIsNoFailure(t *testing.T) {
	for _, total := range []int{25, 1000} {
		for _, inFlight := range []int{1, 4, 8} {
			for stop := 1; stop < 30; stop++ {
				synctest.Test(t, func(t *testing.T) {
					server := newChanging(nil, "appended", total)
					slow := roundTrip(func(r *http.Request) (*http.Response, error) {
						select {
						case <-time.After(time.Duration(1+stop%3) * time.Millisecond):
						case <-r.Context().Done():
							return nil, r.Context().Err()
						}
						return server.RoundTrip(r)
					})
					hook := WithHook(func(_ context.Context, a Attempt) {
						if a.Err != nil {
							t.Errorf("%d sources, %d in flight, left after %d: %v", total, inFlight, stop, a.Err)
						}
					})
					n := 0
					for _, err := range made(t, hook, WithHTTPClient(&http.Client{Transport: slow})).Sources.All(t.Context(), AllParams{PageSize: 10, InFlight: inFlight}) {
						if err != nil {
							t.Fatal(err)
						}
						if n++; n == stop {
							break
						}
					}
				})
			}
		}
	}
}
