package register_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/register"
)

// killing runs until a request of a method begins or has been carried out, for
// the nth time, and leaves what a kill at that moment leaves: METI as it is, and
// the journal as it stood on the disk.
func (m *metis) killing(t *testing.T, o register.Options, method string, n int, after bool) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	path, journal := o.Input+".meti-journal", ""
	var killed atomic.Bool
	var requests atomic.Int64 // of the method, of which several may be under way
	m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
		if killed.Load() {
			return nil, errBroken // of a dead process nothing leaves
		}
		if r.Method != method {
			return next(), nil
		}
		switch i := int(requests.Add(1)); {
		case i < n:
			return next(), nil
		case i > n:
			return nil, errBroken
		}
		killed.Store(true)
		var answer *http.Response
		if after {
			answer = next()
		}
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		journal = string(data)
		kill()
		if answer != nil {
			answer.Body.Close()
		}
		return nil, errBroken
	}
	m.run(ctx, t, o)
	m.around = nil
	if !killed.Load() {
		t.Fatalf("no %s to be killed at", method)
	}
	if journal == "" {
		_ = os.Remove(path)
	} else {
		write(t, path, journal)
	}
}

// deletes counts the DELETEs.
func (m *metis) deletes() int { return m.emulator.Requests()["deleteSource"] }

// Killed at each point of replacing a source, the next run ends with the new
// source alone; never with none, and never with two.
func TestReplaceKilled(t *testing.T) {
	for _, what := range []string{"boundary", "attributes"} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, after: %v", what, method, after), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := metisOf(t)
						path := file(t, collection(square("a", 1), square("b", 2)))
						o := register.Options{Input: path}
						lastYear := 2025
						o.Attributes.OutcomeReportingYear = &lastYear
						if got := m.run(t.Context(), t, o); got.err != nil {
							t.Fatal(got.err)
						}
						time.Sleep(time.Hour)
						o.Changed = register.Renew
						if what == "boundary" {
							write(t, path, collection(square("a", 1), square("b", 20)))
						} else {
							year := 2026
							o.Attributes = api.SourceCreateFeatures{OutcomeReportingYear: &year}
						}
						m.killing(t, o, method, 1, after)
						// Without --replace nothing is deleted, and what is pending is said.
						plain := o
						plain.Changed = register.Report
						before := m.deletes()
						if got := m.run(t.Context(), t, plain); got.err != nil || m.deletes() != before || len(m.emulatorSources(t)) < 2 {
							t.Fatal(got.outcomes(), got.err)
						}
						for range 2 {
							got := m.run(t.Context(), t, o)
							if got.err != nil || got.outcomes() != "a registered, b registered" {
								t.Fatal(got.outcomes(), got.err, got.results)
							}
							time.Sleep(time.Hour)
						}
						if all := m.emulatorSources(t); len(all) != 2 {
							t.Errorf("%d sources", len(all))
						}
						before = m.deletes()
						posts := len(m.posts)
						if got := m.run(t.Context(), t, o); got.err != nil || m.deletes() != before || len(m.posts) != posts {
							t.Error("it is not done:", got.outcomes(), got.err)
						}
					})
				})
			}
		}
	}
}

// A boundary is corrected twice, and the first correction was killed before the
// old source was deleted: in the end there is the last one alone.
func TestReplacedTwice(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			synctest.Test(t, func(t *testing.T) {
				m := metisOf(t)
				path := file(t, collection(square("a", 1), square("b", 2)))
				o := register.Options{Input: path, Changed: register.Renew}
				if got := m.run(t.Context(), t, o); got.err != nil {
					t.Fatal(got.err)
				}
				time.Sleep(time.Hour)
				write(t, path, collection(square("a", 10), square("b", 2)))
				m.killing(t, o, method, 1, after)
				write(t, path, collection(square("a", 20), square("b", 2)))
				for range 2 {
					if got := m.run(t.Context(), t, o); got.err != nil || got.outcomes() != "a registered, b registered" {
						t.Fatal(got.outcomes(), got.err)
					}
					time.Sleep(time.Hour)
				}
				posts := len(m.posts)
				if got := m.run(t.Context(), t, o); got.err != nil || len(m.posts) != posts || len(m.emulatorSources(t)) != 2 {
					t.Errorf("%s, after: %v: %s %v, %d sources", method, after, got.outcomes(), got.err, len(m.emulatorSources(t)))
				}
			})
		}
	}
}

// A correction was killed before the old source was deleted, and is taken back: the
// old source stays, and what was to replace it is deleted.
func TestReplacedAndTakenBack(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			synctest.Test(t, func(t *testing.T) {
				m := metisOf(t)
				path := file(t, collection(square("a", 1), square("b", 2)))
				o := register.Options{Input: path, Changed: register.Renew}
				first := m.run(t.Context(), t, o)
				if first.err != nil {
					t.Fatal(first.err)
				}
				time.Sleep(time.Hour)
				write(t, path, collection(square("a", 10), square("b", 2)))
				m.killing(t, o, method, 1, after)
				gone := method == http.MethodDelete && after
				write(t, path, collection(square("a", 1), square("b", 2)))
				for n := range 3 {
					got := m.run(t.Context(), t, o)
					if got.err != nil || got.outcomes() != "a registered, b registered" {
						t.Fatal(got.outcomes(), got.err)
					}
					all := m.emulatorSources(t)
					if !gone && got.results[0].ID != first.results[0].ID || len(all) != 2 {
						t.Errorf("%s, after: %v, run %d: a is %s, and was %s; %d sources", method, after, n, got.results[0].ID, first.results[0].ID, len(all))
					}
					time.Sleep(time.Hour)
				}
			})
		}
	}
}

// What a job has deleted is not waited for by the next one, however young it was.
func TestReplacedAMomentAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		path := file(t, collection(square("a", 1), square("b", 2)))
		o := register.Options{Input: path, Changed: register.Renew, Settle: time.Minute}
		begin := time.Now()
		for _, place := range []int{1, 10, 10, 20, 20, 1, 1} {
			write(t, path, collection(square("a", place), square("b", 2)))
			if got := m.run(t.Context(), t, o); got.err != nil || got.outcomes() != "a registered, b registered" {
				t.Error(place, got.outcomes(), got.err)
			}
		}
		if took := time.Since(begin); took >= o.Settle || len(m.posts) != 4 || len(m.emulatorSources(t)) != 2 {
			t.Errorf("%s, %d POSTs, %d sources", took, len(m.posts), len(m.emulatorSources(t)))
		}
	})
}

// What an answer that was lost made of a replacement is found, and the old
// source deleted.
func TestReplaceLost(t *testing.T) {
	for _, stored := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m := metisOf(t)
			o := register.Options{Input: file(t, collection(square("a", 1), square("b", 2)))}
			before := 2025
			o.Attributes.OutcomeReportingYear = &before
			if got := m.run(t.Context(), t, o); got.err != nil {
				t.Fatal(got.err)
			}
			time.Sleep(time.Hour)
			lost := false
			m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
				if isPost(r) && !lost {
					if lost = true; stored {
						return lostAfter(r, next)
					}
					return nil, errBroken
				}
				return next(), nil
			}
			year := 2026
			o.Attributes, o.Changed = api.SourceCreateFeatures{OutcomeReportingYear: &year}, register.Renew
			got := m.run(t.Context(), t, o)
			want := 2
			if !stored {
				want = 3
			}
			if got.err != nil || got.Registered != 2 || got.Deleted != 2 || len(m.posts) != want || len(m.emulatorSources(t)) != 2 {
				t.Errorf("stored: %v: %s %v, %d deleted, %d POSTs", stored, got.outcomes(), got.err, got.Deleted, len(m.posts))
			}
		})
	}
}

// A request that a dead process left behind commits in the last second: the
// next process finds it, whatever was done to the file meanwhile.
func TestLateCommitAcrossRestarts(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"as it was": func(s string) string { return s },
		"edited":    func(s string) string { return strings.ReplaceAll(s, "0.0110", "0.0112") },
		"put away":  func(string) string { return collection(square("z", 50)) },
	} {
		for _, keep := range []bool{true, false} {
			if !keep && name == "put away" {
				continue
			}
			t.Run(fmt.Sprintf("%s, journal: %v", name, keep), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := metisOf(t)
					text := collection(square("a", 1), square("b", 2))
					o := register.Options{Input: file(t, text), NoJournal: !keep}
					late := func(r *http.Request, next func() *http.Response) {
						body, _ := io.ReadAll(r.Body)
						r.Body = io.NopCloser(strings.NewReader(string(body)))
						go func() {
							time.Sleep(59 * time.Second)
							next().Body.Close()
						}()
					}
					ctx, kill := context.WithCancel(t.Context())
					var journal []byte
					m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
						if isPost(r) {
							journal, _ = os.ReadFile(o.Input + ".meti-journal")
							late(r, next)
							kill()
							return nil, errBroken
						}
						return next(), nil
					}
					m.run(ctx, t, o)
					m.around = nil
					if keep {
						write(t, o.Input+".meti-journal", string(journal))
					}
					write(t, o.Input, edit(text))
					got := m.run(t.Context(), t, o)
					want := map[string]string{"as it was": "a registered, b registered", "edited": "a boundary, b registered", "put away": "z registered"}[name]
					if got.err != nil || got.outcomes() != want {
						t.Fatal(got.outcomes(), got.err)
					}
					if n := len(m.posts); name != "put away" && n != 1 {
						t.Errorf("%d POSTs", n)
					}
					if name != "edited" {
						time.Sleep(time.Hour)
						return
					}
					// What it was is known, and may be replaced, where there is a journal.
					o.Changed = register.Renew
					time.Sleep(time.Hour)
					got = m.run(t.Context(), t, o)
					if want := map[bool]string{true: "a registered, b registered", false: "a boundary, b registered"}[keep]; got.err != nil || got.outcomes() != want || len(m.emulatorSources(t)) != 2 {
						t.Error(got.outcomes(), got.err)
					}
				})
			})
		}
	}
}

// Without a journal a run that waited for another one counts from the end of that:
// what it left under way is found, and not sent again.
func TestLateCommitOfTheRunBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		path := file(t, collection(square("a", 1)))
		before := make(chan attempt)
		ctx, kill := context.WithCancel(t.Context())
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) && m.arrived() == 1 {
				go func() { before <- m.run(t.Context(), t, register.Options{Input: path, NoJournal: true}) }()
				time.Sleep(90 * time.Second) // it waits for this run
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				go func() {
					time.Sleep(50 * time.Second)
					next().Body.Close()
				}()
				kill()
				return nil, errBroken
			}
			return next(), nil
		}
		m.run(ctx, t, register.Options{Input: path, Journal: path + ".journal"})
		if got := <-before; got.err != nil || got.outcomes() != "a registered" || len(m.posts) != 1 || len(m.emulatorSources(t)) != 1 {
			t.Error(got.outcomes(), got.err, len(m.posts), len(m.emulatorSources(t)))
		}
	})
}

// A source that somebody deletes while the run is under way is told at its end.
func TestDeletedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
			if isPost(r) && m.arrived() == 2 {
				recorder := &http.Request{Method: http.MethodDelete, URL: r.URL.ResolveReference(mustURL(t, "/sources?alt_id=f000")), Header: r.Header}
				if response := m.send(recorder); response.StatusCode != 204 {
					t.Error(response.StatusCode)
				}
			}
			return next(), nil
		}
		got := m.run(t.Context(), t, register.Options{Input: file(t, collection(squares(4, numbered)...)), BatchFeatures: 2, InFlight: 1})
		if got.err != nil || got.outcomes() != "f000 gone, f001 registered, f002 registered, f003 registered" {
			t.Error(got.outcomes(), got.err)
		}
	})
}

// Two features of one id and period, and METI tells no boundary: a lost answer
// is settled all the same, one after the other.
func TestTwinsWithoutBoundaries(t *testing.T) {
	for _, lost := range []int{0, 1, 2} {
		server := start(t, emulator.Options{Middleware: func(next http.Handler) http.Handler { return poorer(false, true, next) }})
		if lost > 0 {
			if err := server.SetFaults([]emulator.Fault{{Operation: "createSources", Kind: emulator.FaultDropAfter, Count: 1, Skip: lost - 1}}); err != nil {
				t.Fatal(err)
			}
		}
		path := file(t, collection(square("a", 1), square("a", 2), square("b", 3)))
		for range 2 {
			got := run(t, server, register.Options{Input: path})
			if got.err != nil || got.Registered != 3 || len(stored(t, server)) != 3 {
				t.Fatal(lost, got.outcomes(), got.err)
			}
		}
		if got := run(t, server, register.Options{Input: filepath.Join(filepath.Dir(path), filepath.Base(path)), NoJournal: true}); got.err != nil || got.Sent != 0 {
			t.Error(got.outcomes(), got.err)
		}
	}
}
