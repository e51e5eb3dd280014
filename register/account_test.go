package register_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/register"
)

// clientOf makes a client of an emulator's first account.
func clientOf(t testing.TB, server *emulator.Server) *api.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var o register.Options
	connect(&o, server.Ready(), api.WithHTTPClient(&http.Client{Transport: transport}))
	return o.Client
}

// remove deletes the source of a row.
func remove(t testing.TB, server *emulator.Server, id string) {
	t.Helper()
	if err := clientOf(t, server).Sources.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// posts counts the POSTs that were made so far.
func posts(server *emulator.Server) int { return server.Requests()["createSources"] }

// What METI has no more is told, and registered again only where that is asked
// for; then that alone.
func TestGone(t *testing.T) {
	server := start(t, emulator.Options{})
	path := file(t, collection(square("a", 1), square("b", 2), square("c", 3)))
	o := register.Options{Input: path, Settle: time.Millisecond}
	first := run(t, server, o)
	remove(t, server, first.results[1].ID)
	before := posts(server)
	for range 2 {
		got := run(t, server, o)
		if got.err != nil || got.outcomes() != "a registered, b gone, c registered" || got.Done != 2 || got.Sent != 0 {
			t.Fatal(got.outcomes(), got.err)
		}
		if r := got.results[1]; r.ID != first.results[1].ID || !strings.HasPrefix(r.Reason, "gone from METI (registered 20") {
			t.Errorf("%+v", r)
		}
	}
	o.Gone = register.Accept
	if got := run(t, server, o); got.err != nil || got.Done != 3 || got.Sent != 0 || posts(server) != before {
		t.Fatal(got.outcomes(), got.err)
	}
	o.Gone = register.Renew
	got := run(t, server, o)
	if got.err != nil || got.outcomes() != "a registered, b registered, c registered" || got.Sent != 1 || got.results[1].ID == first.results[1].ID {
		t.Fatal(got.outcomes(), got.err)
	}
	if got := run(t, server, o); got.err != nil || got.Sent != 0 || got.Registered != 3 || len(stored(t, server)) != 3 {
		t.Fatal(got.outcomes(), got.err)
	}
}

// Without a journal what is gone looks as if it were new.
func TestGoneWithoutJournal(t *testing.T) {
	server := start(t, emulator.Options{})
	o := register.Options{Input: file(t, collection(square("a", 1), square("b", 2))), NoJournal: true}
	first := run(t, server, o)
	if first.err != nil || first.Registered != 2 || !slices.ContainsFunc(first.notices, func(s string) bool { return strings.HasPrefix(s, "no journal is kept: waiting") }) {
		t.Fatal(first.outcomes(), first.err, first.notices)
	}
	remove(t, server, first.results[1].ID)
	if got := run(t, server, o); got.err != nil || got.Sent != 1 || got.Registered != 2 {
		t.Fatal(got.outcomes(), got.err)
	}
	if got := run(t, server, o); got.err != nil || got.Sent != 0 || got.Registered != 2 || len(got.notices) > 0 {
		t.Fatal("nothing is new, and it waits:", got.outcomes(), got.err, got.notices)
	}
}

// Interrupted while it waits for what an earlier run may have left, a run without a
// journal has sent nothing, and says so.
func TestInterruptedWithoutJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metisOf(t)
		ctx, stop := context.WithTimeoutCause(t.Context(), 30*time.Second, errors.New("enough"))
		defer stop()
		got := m.run(ctx, t, register.Options{Input: file(t, collection(square("a", 1))), NoJournal: true})
		if got.err == nil || got.outcomes() != "a pending" || !got.Interrupted || len(m.posts) != 0 {
			t.Error(got.outcomes(), got.err, len(m.posts))
		}
	})
}

// Attributes that were asked for are compared, and no others; one that METI
// does not tell is no difference, and lists are sets.
func TestAttributes(t *testing.T) {
	agriculture, reforestation := api.Methodology("Agriculture"), api.Methodology("Reforestation")
	year := 2026
	server := start(t, emulator.Options{})
	path := file(t, collection(square("a", 1), square("b", 2)))
	o := register.Options{Input: path, Attributes: api.SourceCreateFeatures{Methodology: &agriculture, Tags: []string{"x", "y"}}}
	first := run(t, server, o)
	if first.err != nil || first.Registered != 2 {
		t.Fatal(first.outcomes(), first.err)
	}
	before := posts(server)
	for name, c := range map[string]struct {
		attributes api.SourceCreateFeatures
		want       string
		reason     string
		notice     string
	}{
		"the same":     {o.Attributes, "registered", "", ""},
		"as a set":     {api.SourceCreateFeatures{Methodology: &agriculture, Tags: []string{"y", "x"}}, "registered", "", ""},
		"none":         {api.SourceCreateFeatures{}, "registered", "", "2 registered with methodology Agriculture, and this run has none; tags x, y, and this run has none"},
		"another":      {api.SourceCreateFeatures{Methodology: &reforestation}, "differs", "methodology is Agriculture there and Reforestation here", "2 registered with methodology Agriculture, and this run has Reforestation; tags x, y, and this run has none"},
		"one not told": {api.SourceCreateFeatures{Methodology: &agriculture, OutcomeReportingYear: &year}, "registered", "", "2 registered with no outcome_reporting_year, and this run has 2026; tags x, y, and this run has none"},
		"other tags":   {api.SourceCreateFeatures{Tags: []string{"x"}}, "differs", "tags is x, y there and x here", ""},
	} {
		o.Attributes = c.attributes
		for _, o := range []register.Options{o, {Input: path, Attributes: o.Attributes, NoJournal: true}} {
			got := run(t, server, o)
			if got.err != nil || got.outcomes() != "a "+c.want+", b "+c.want || got.results[0].Reason != c.reason || got.results[0].ID != first.results[0].ID {
				t.Errorf("%s: %s %v %q", name, got.outcomes(), got.err, got.results[0].Reason)
			}
			if c.notice != "" && !o.NoJournal && !slices.Contains(got.notices, c.notice) {
				t.Errorf("%s: %q", name, got.notices)
			}
		}
	}
	o.Attributes, o.Changed = api.SourceCreateFeatures{Methodology: &reforestation}, register.Accept
	if got := run(t, server, o); got.err != nil || got.Done != 2 || got.Sent != 0 {
		t.Error(got.outcomes(), got.err)
	}
	if posts(server) != before {
		t.Fatal("something was sent")
	}
	o.Changed = register.Renew
	got := run(t, server, o)
	if got.err != nil || got.outcomes() != "a registered, b registered" || got.Deleted != 2 || got.Sent != 2 {
		t.Fatal(got.outcomes(), got.err)
	}
	if all := stored(t, server); len(all) != 2 || all[0].Methodology != reforestation || all[0].InConflict() {
		t.Error(all)
	}
	if got := run(t, server, o); got.err != nil || got.Sent+got.Deleted != 0 {
		t.Error(got.outcomes(), got.err)
	}
}

// What METI does not tell cannot be compared, and the plan says so.
func TestAttributeThatIsNotTold(t *testing.T) {
	server := start(t, emulator.Options{})
	o := register.Options{Input: file(t, collection(square("a", 1), square("b", 2)))}
	if got := run(t, server, o); got.err != nil {
		t.Fatal(got.err)
	}
	year := 2026
	o.Attributes.OutcomeReportingYear = &year
	if got := plan(t, server, o); got.outcomes() != "a registered, b registered" || !slices.Contains(got.notices, "2 registered: METI tells no outcome_reporting_year of them") {
		t.Error(got.outcomes(), got.notices)
	}
}

// A period that was corrected by less than a day differs, with a journal and
// without; one that another time zone shifts does not.
func TestEditedPeriod(t *testing.T) {
	for name, c := range map[string]struct{ season, want, reason string }{
		"half a day":        {`"start_at":"2026-01-01","end_at":"2026-12-31T12:00:00Z"`, "a differs", "end_at is 2026-12-31T00:00:00Z there and 2026-12-31T12:00:00Z here"},
		"a day":             {`"start_at":"2026-01-02","end_at":"2026-12-31"`, "a differs", "start_at is 2026-01-01T00:00:00Z there and 2026-01-02T00:00:00Z here"},
		"another time zone": {`"start_at":"2026-01-01T05:00:00Z","end_at":"2026-12-31T04:00:00Z"`, "a registered", ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, emulator.Options{})
			o := register.Options{Input: file(t, collection(square("a", 1))), Settle: time.Millisecond}
			if got := run(t, server, o); got.err != nil {
				t.Fatal(got.err)
			}
			write(t, o.Input, collection(square("a", 1, c.season)))
			for _, journal := range []string{"", o.Input + ".new", o.Input + ".new", "none"} {
				o.Journal, o.NoJournal = journal, journal == "none"
				if o.NoJournal {
					o.Journal = ""
				}
				if got := run(t, server, o); got.err != nil || got.outcomes() != c.want || got.results[0].Reason != c.reason {
					t.Errorf("journal %q: %s %v %q", journal, got.outcomes(), got.err, got.results[0].Reason)
				}
			}
			o.NoJournal, o.Changed = false, register.Renew
			want := 1
			if c.reason == "" {
				want = 0
			}
			for range 2 {
				if got := run(t, server, o); got.err != nil || got.outcomes() != "a registered" || got.Sent != want || got.Deleted != want || len(stored(t, server)) != 1 {
					t.Error(got.outcomes(), got.err, got.Sent, got.Deleted)
				}
				want = 0
			}
		})
	}
}

// What somebody else registered otherwise is not replaced, however often it is tried.
func TestFoundOtherwise(t *testing.T) {
	server := start(t, emulator.Options{})
	besides(t, server, square("a", 1, `"start_at":"2026-01-01T12:00:00Z","end_at":"2026-12-31T00:00:00Z"`))
	o := register.Options{Input: file(t, collection(square("a", 1), square("b", 2))), Settle: time.Millisecond, Changed: register.Renew}
	for range 2 { // the first one begins a journal, for b
		got := run(t, server, o)
		if got.err != nil || got.outcomes() != "a differs, b registered" || got.Deleted != 0 || !strings.Contains(got.results[0].Reason, "the journal does not have") {
			t.Error(got.outcomes(), got.err, got.Deleted, got.results[0].Reason)
		}
	}
}

// What METI refuses to replace stays refused in the rows, also where what was
// registered in its place since conflicts with the old one.
func TestRefusedStaysRefused(t *testing.T) {
	server := start(t, emulator.Options{})
	forestry, agriculture := api.Methodology("Forestry"), api.Methodology("Agriculture")
	o := register.Options{Input: file(t, collection(square("a", 1))), Settle: time.Millisecond, Attributes: api.SourceCreateFeatures{Methodology: &forestry}}
	if got := run(t, server, o); got.err != nil || got.Registered != 1 {
		t.Fatal(got.outcomes(), got.err)
	}
	if err := server.SetFaults([]emulator.Fault{{Operation: "createSources", Kind: emulator.FaultStatus, Status: 422, AltID: "a"}}); err != nil {
		t.Fatal(err)
	}
	write(t, o.Input, collection(square("a", 1), square("b", 1)))
	o.Attributes.Methodology, o.Changed = &agriculture, register.Renew
	if got := run(t, server, o); got.err != nil || got.outcomes() != "a refused, b registered" {
		t.Error(got.outcomes(), got.err)
	}
}

// Of two features whose periods are less than a day apart one was taken out of the
// file: the other one is what it was, and nothing is registered anew.
func TestNearPeriods(t *testing.T) {
	for _, first := range []bool{true, false} {
		server := start(t, emulator.Options{})
		list := []string{square("a", 1), square("a", 1, `"start_at":"2026-01-01T12:00:00Z","end_at":"2026-12-31T00:00:00Z"`)}
		o := register.Options{Input: file(t, collection(list...)), Settle: time.Millisecond, Changed: register.Renew}
		if got := run(t, server, o); got.err != nil || got.Registered != 2 {
			t.Fatal(got.outcomes(), got.err)
		}
		if !first {
			slices.Reverse(list)
		}
		write(t, o.Input, collection(list[0]))
		for range 2 {
			if got := run(t, server, o); got.err != nil || got.outcomes() != "a registered" || got.Sent+got.Deleted != 0 || len(stored(t, server)) != 2 {
				t.Errorf("%v: %s %v, %d sent, %d deleted", first, got.outcomes(), got.err, got.Sent, got.Deleted)
			}
		}
	}
}

// A changed boundary is told, and registered anew only where that is asked for:
// then the old source is deleted, after its successor is there.
func TestBoundary(t *testing.T) {
	server := start(t, emulator.Options{})
	path := file(t, collection(square("a", 1), square("b", 2), square("c", 3)))
	o := register.Options{Input: path, Settle: time.Millisecond}
	first := run(t, server, o)
	write(t, path, collection(square("a", 1), strings.Replace(square("b", 2), "0.0210", "0.0211", 2), square("c", 3), square("d", 4)))
	got := run(t, server, o)
	if got.err != nil || got.outcomes() != "a registered, b boundary, c registered, d registered" || got.results[1].ID != first.results[1].ID || got.Done != 3 {
		t.Fatal(got.outcomes(), got.err)
	}
	o.Changed, o.MaxReplace = register.Renew, 1
	got = run(t, server, o)
	if got.err != nil || got.outcomes() != "a registered, b registered, c registered, d registered" || got.Sent != 1 || got.Deleted != 1 {
		t.Fatal(got.outcomes(), got.err)
	}
	if r := got.results[1]; r.ID == first.results[1].ID || *r.Conflict {
		t.Errorf("%+v", r)
	}
	if all := stored(t, server); len(all) != 4 {
		t.Error(len(all))
	}
	if got := run(t, server, o); got.err != nil || got.Sent+got.Deleted != 0 {
		t.Error(got.outcomes(), got.err)
	}
	// The old boundary again: it is gone, and the other one stands. None is sent beside it.
	write(t, path, collection(square("a", 1), square("b", 2), square("c", 3), square("d", 4)))
	o.Changed, o.Gone = register.Report, register.Renew
	if got := run(t, server, o); got.err != nil || got.outcomes() != "a registered, b boundary, c registered, d registered" || got.Sent != 0 {
		t.Error(got.outcomes(), got.err)
	}
	o.Changed, o.Gone = register.Renew, register.Report
	if got := run(t, server, o); got.err != nil || got.Sent != 1 || got.Deleted != 1 || got.Registered != 4 || len(stored(t, server)) != 4 {
		t.Error(got.outcomes(), got.err)
	}
	// No more than was allowed.
	text := collection(strings.ReplaceAll(square("a", 1), "0.0110", "0.0111"), strings.ReplaceAll(square("b", 2), "0.0210", "0.0212"), square("c", 3))
	write(t, path, text)
	before := posts(server)
	if got := run(t, server, o); !errors.Is(got.err, register.ErrTooMany) || posts(server) != before || got.outcomes() != "a boundary, b boundary, c registered" {
		t.Error(got.outcomes(), got.err)
	}
	// What the journal does not have is never deleted.
	o.MaxReplace, o.NoJournal = 0, true
	if got := run(t, server, o); got.err != nil || got.outcomes() != "a boundary, b boundary, c registered" || !strings.Contains(got.results[0].Reason, "the journal does not have") || posts(server) != before {
		t.Error(got.outcomes(), got.err, got.results[0].Reason)
	}
}

// The scopes are looked at before anything is sent.
func TestReplaceNeedsItsScope(t *testing.T) {
	account := emulator.DemoAccount()
	account.Scopes = []string{"read:sources", "write:sources"}
	server := start(t, emulator.Options{Accounts: []emulator.Account{account}})
	path := file(t, collection(square("a", 1), square("b", 2)))
	if got := run(t, server, register.Options{Input: path}); got.err != nil {
		t.Fatal(got.err)
	}
	write(t, path, collection(square("a", 10), square("b", 2), square("c", 3)))
	before := posts(server)
	if got := run(t, server, register.Options{Input: path, Changed: register.Renew}); got.err == nil || !strings.Contains(got.err.Error(), "delete:sources") || posts(server) != before {
		t.Error(got.outcomes(), got.err)
	}
}

// A server that rounds changes nothing, night after night, whatever is asked
// for.
func TestRoundingServer(t *testing.T) {
	for _, noJournal := range []bool{false, true} {
		server := start(t, emulator.Options{Faults: []emulator.Fault{{Operation: "*", Kind: emulator.FaultRound, Digits: 6}}})
		var list []string
		for i := range 5 {
			list = append(list, strings.NewReplacer("0,", "0123456789,", "0]", "0123456789]").Replace(square(numbered(i), i)))
		}
		o := register.Options{Input: file(t, collection(list...)), NoJournal: noJournal, Changed: register.Renew, Gone: register.Renew}
		first := run(t, server, o)
		if first.err != nil || first.Registered != 5 {
			t.Fatal(first.outcomes(), first.err)
		}
		before := server.Requests()
		for range 3 {
			if got := run(t, server, o); got.err != nil || got.Registered != 5 || got.Sent+got.Deleted != 0 {
				t.Fatal(got.outcomes(), got.err)
			}
		}
		if after := server.Requests(); after["createSources"] != before["createSources"] || after["deleteSource"] != before["deleteSource"] {
			t.Error(before, after)
		}
		// With another journal it is found as well.
		if got := run(t, server, register.Options{Input: o.Input, Journal: o.Input + ".new"}); got.err != nil || got.Registered != 5 || got.Sent != 0 {
			t.Error(got.outcomes(), got.err)
		}
	}
}

// What is in the account already is registered, and a second one of it is named.
func TestThereAlready(t *testing.T) {
	server := start(t, emulator.Options{})
	text := collection(square("a", 1), square("b", 2))
	first := run(t, server, register.Options{Input: file(t, text)})
	client := clientOf(t, server)
	var features api.FeatureCollection
	if err := json.Unmarshal([]byte(collection(square("a", 1))), &features); err != nil {
		t.Fatal(err)
	}
	again, err := client.Sources.Create(t.Context(), api.SourceCreateFeatures{FeatureCollection: features})
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, server, register.Options{Input: file(t, text)})
	if got.err != nil || got.outcomes() != "a registered, b registered" || got.Sent != 0 {
		t.Fatal(got.outcomes(), got.err)
	}
	both := got.results[0].ID + got.results[0].Reason
	if !strings.Contains(both, first.results[0].ID) || !strings.Contains(both, again[0].ID) || got.results[1].Reason != "" {
		t.Errorf("%+v", got.results)
	}
	if !*got.results[0].Conflict || got.results[0].ConflictWith[0].AltID != "a" {
		t.Errorf("%+v", got.results[0])
	}
}

// A listing that lacks what METI has stops a run that would send.
func TestIncompleteListing(t *testing.T) {
	broken := false
	server := start(t, emulator.Options{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !broken || r.Method != http.MethodGet || r.URL.Path != "/sources" {
				next.ServeHTTP(w, r)
				return
			}
			kept := &keeping{header: http.Header{}}
			next.ServeHTTP(kept, r)
			var all []json.RawMessage
			_ = json.Unmarshal(kept.body, &all)
			all = slices.DeleteFunc(all, func(s json.RawMessage) bool { return strings.Contains(string(s), `"alt_id":"f003"`) })
			text, _ := json.Marshal(all)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(text)
		})
	}})
	o := register.Options{Input: file(t, collection(squares(15, numbered)...)), Settle: 20 * time.Millisecond}
	if got := run(t, server, o); got.err != nil {
		t.Fatal(got.err)
	}
	broken = true
	write(t, o.Input, collection(squares(16, numbered)...))
	before := posts(server)
	got := run(t, server, o)
	if !errors.Is(got.err, register.ErrIncomplete) || posts(server) != before || got.results[3].State != register.Registered || got.results[15].State != register.Pending {
		t.Fatal(got.outcomes(), got.err)
	}
	if want := "the listing lacks 1 sources that METI has, such as src_"; !strings.Contains(got.err.Error(), want) {
		t.Error(got.err)
	}
}

// A filter that is ignored, matched by prefix or without case finds the same.
func TestFilters(t *testing.T) {
	for name, change := range map[string]func(q string) string{
		"ignored": func(string) string { return "" },
		"prefix":  func(q string) string { return q },
		"case":    func(q string) string { return q },
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, emulator.Options{Middleware: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked := r.URL.Query().Get("alt_id")
					if r.Method != http.MethodGet || asked == "" {
						next.ServeHTTP(w, r)
						return
					}
					q := r.URL.Query()
					q.Del("alt_id")
					q.Del("limit")
					q.Del("offset")
					r.URL.RawQuery = q.Encode()
					if change(asked) == "" {
						q.Set("limit", r.URL.Query().Get("limit"))
						next.ServeHTTP(w, r)
						return
					}
					kept := &keeping{header: http.Header{}}
					next.ServeHTTP(kept, r)
					var all, some []map[string]json.RawMessage
					_ = json.Unmarshal(kept.body, &all)
					for _, s := range all {
						id := strings.Trim(string(s["alt_id"]), `"`)
						if name == "prefix" && strings.HasPrefix(id, asked) || name == "case" && strings.EqualFold(id, asked) {
							some = append(some, s)
						}
					}
					offset, _ := strconv.Atoi(r.FormValue("offset"))
					if offset > 0 {
						some = nil
					}
					text, _ := json.Marshal(some)
					if some == nil {
						text = []byte("[]")
					}
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write(text)
				})
			}})
			path := file(t, collection(square("a", 1), square("ab", 2), square("A", 3), square("a b", 4)))
			for range 2 {
				if got := run(t, server, register.Options{Input: path}); got.err != nil || got.Registered != 4 || len(stored(t, server)) != 4 {
					t.Fatal(got.outcomes(), got.err)
				}
			}
			if got := run(t, server, register.Options{Input: path, NoJournal: true}); got.err != nil || got.Registered != 4 || got.Sent != 0 {
				t.Fatal(got.outcomes(), got.err)
			}
		})
	}
}

type keeping struct {
	header http.Header
	body   []byte
}

func (k *keeping) Header() http.Header         { return k.header }
func (k *keeping) WriteHeader(int)             {}
func (k *keeping) Write(p []byte) (int, error) { k.body = append(k.body, p...); return len(p), nil }

// An alt_id that comes back trimmed, or a period of another day, stops the run
// after one batch; the next one sends nothing either.
func TestAltered(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"trimmed":        func(s string) string { return strings.ReplaceAll(s, `"f000 "`, `"f000"`) },
		"upper case":     func(s string) string { return strings.ReplaceAll(s, `"f000 "`, `"F000 "`) },
		"shifted a week": func(s string) string { return strings.ReplaceAll(s, "2026-01-01T00", "2026-01-08T00") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := metisOf(t)
				m.around = func(r *http.Request, next func() *http.Response) (*http.Response, error) {
					if isPost(r) {
						body, _ := io.ReadAll(r.Body)
						r.Body = io.NopCloser(strings.NewReader(change(string(body))))
					}
					return next(), nil
				}
				list := squares(9, numbered)
				list[0] = square("f000 ", 0)
				path := file(t, collection(list...))
				got := m.run(t.Context(), t, register.Options{Input: path, BatchFeatures: 3})
				if got.err == nil || len(m.posts) != 1 {
					t.Fatal(got.outcomes(), got.err, len(m.posts))
				}
				time.Sleep(time.Hour)
				got = m.run(t.Context(), t, register.Options{Input: path, BatchFeatures: 3})
				if n := len(m.posts); name != "shifted a week" && (got.err == nil || n != 1) || n > 2 {
					t.Error(got.outcomes(), got.err, n)
				}
			})
		})
	}
}

// Any final 4xx stops at once, with METI's words; a refusal of all after some
// twenty.
func TestBreakers(t *testing.T) {
	for status, most := range map[int]int{402: 1, 404: 1, 405: 1, 409: 1, 415: 1, 451: 1, 422: 50, 400: 50} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			server := start(t, emulator.Options{Faults: []emulator.Fault{{Operation: "createSources", Kind: emulator.FaultStatus, Status: status}}})
			path := file(t, collection(squares(300, numbered)...))
			got := run(t, server, register.Options{Input: path, Settle: time.Hour})
			var fault *api.Error
			refused := errors.Is(got.err, register.ErrRefused)
			if !refused && !(errors.As(got.err, &fault) && fault.Status == status) || refused != (most > 1) || got.Unknown != 0 {
				t.Fatal(got.err, got.Counts)
			}
			if n := posts(server); n > most {
				t.Errorf("%d POSTs", n)
			}
			if n := server.Requests()["listSources"]; n > 5 {
				t.Errorf("%d look-ups", n)
			}
			// Today it is accepted: those that were refused come last.
			if err := server.SetFaults(nil); err != nil {
				t.Fatal(err)
			}
			again := run(t, server, register.Options{Input: path})
			if again.err != nil || again.Registered != 300 {
				t.Fatal(again.err, again.Counts)
			}
			late := 0
			for _, r := range again.results {
				if strings.Contains(r.Reason, "lost its place in the order") {
					late++
				}
			}
			if late != got.Refused || refused && late != 20 {
				t.Errorf("%d came last, %d were refused", late, got.Refused)
			}
		})
	}
}

// The spelling of a host is no other ledger: what a killed run may have left under
// way there is waited for. Another port is one.
func TestStores(t *testing.T) {
	for url, wait := range map[string]time.Duration{
		"http://127.0.0.1:8484": time.Minute, "http://LOCALHOST:8484/": time.Minute, "http://[::1]:8484": time.Minute, "http://127.0.0.1:8485": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			m := metisOf(t)
			m.url = "http://127.0.0.1:8484"
			o := register.Options{Input: file(t, collection(square("a", 1)))}
			m.killing(t, o, http.MethodPost, 1, false)
			begin := time.Now()
			m.url = url
			got := m.run(t.Context(), t, o)
			if got.err != nil || got.outcomes() != "a registered" || len(m.posts) != 2 || len(m.emulatorSources(t)) != 1 {
				t.Fatal(url, got.outcomes(), got.err, len(m.posts))
			}
			if waited := m.posts[1].Sub(begin); waited < wait || wait == 0 && waited > 0 {
				t.Errorf("%s: sent after %s", url, waited)
			}
		})
	}
}

// An admin registers for another account: what others have under the same ids
// is no matter.
func TestAdmin(t *testing.T) {
	admin, north, south := emulator.DemoAccount(), emulator.DemoAccount(), emulator.DemoAccount()
	admin.ClientID, admin.AccountID, admin.Role = "admin", "11111111-2f5d-4b6c-9a63-1d8f1f8f7a10", "admin"
	north.ClientID, north.AccountID = "north", "22222222-2f5d-4b6c-9a63-1d8f1f8f7a10"
	south.ClientID, south.AccountID = "south", "33333333-2f5d-4b6c-9a63-1d8f1f8f7a10"
	server := start(t, emulator.Options{Accounts: []emulator.Account{admin, north, south}})
	path := file(t, collection(square("a", 1), square("b", 2)))
	as := func(account emulator.Account, target string) attempt {
		t.Helper()
		ready := server.Ready()
		ready.ClientID, ready.ClientSecret = account.ClientID, account.ClientSecret
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		var o register.Options
		connect(&o, ready, api.WithHTTPClient(&http.Client{Transport: transport}))
		o.Input = path
		if target != "" {
			o.Attributes.AccountID = &target
		}
		return run(t, server, o)
	}
	for _, c := range []struct {
		account emulator.Account
		target  string
		sent    int
	}{{north, "", 2}, {admin, south.AccountID, 2}, {admin, south.AccountID, 0}, {admin, "", 2}, {south, "", 0}, {admin, north.AccountID, 0},
		// A custodian's token decides.
		{north, south.AccountID, 0}, {south, admin.AccountID, 0}} {
		if got := as(c.account, c.target); got.err != nil || got.Registered != 2 || got.Sent != c.sent {
			t.Errorf("%s for %q: %s, %d sent, %v", c.account.ClientID, c.target, got.outcomes(), got.Sent, got.err)
		}
	}
}

// The sandbox keeps nothing: all is new, and nothing is looked up.
func TestSandbox(t *testing.T) {
	server := start(t, emulator.Options{})
	sandbox := server.Ready()
	sandbox.URL += "/sandbox"
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	o := register.Options{Input: file(t, collection(square("a", 1), bowtie("b"), square("c", 3)))}
	connect(&o, sandbox, api.WithHTTPClient(&http.Client{Transport: transport}))
	for range 2 {
		if got := plan(t, server, o); got.err != nil || got.outcomes() != "a new, b invalid, c new" {
			t.Error(got.outcomes(), got.err)
		}
		got := run(t, server, o)
		if got.err != nil || got.outcomes() != "a registered, b invalid, c registered" || got.Sent != 2 || *got.results[0].Conflict || got.Journal != "" {
			t.Error(got.outcomes(), got.err)
		}
	}
	if n := server.Requests()["listSources"]; n != 0 {
		t.Errorf("%d look-ups", n)
	}
	o.Changed = register.Renew
	if got := run(t, server, o); !errors.Is(got.err, register.ErrSandbox) {
		t.Error(got.err)
	}
	o.Changed = register.Report
	if err := server.SetFaults([]emulator.Fault{{Operation: "createSources", Kind: emulator.FaultDropAfter}}); err != nil {
		t.Fatal(err)
	}
	o.Settle = time.Hour
	if got := run(t, server, o); got.outcomes() != "a unknown, b invalid, c unknown" || got.Unknown != 2 {
		t.Error(got.outcomes(), got.err)
	}
}

// The order of the file decides conflicts, whatever is in flight: a strip 17 m
// wide before the field around it conflicts, after it it does not.
func TestOrder(t *testing.T) {
	const season = `"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"`
	strip := func(id string, x, y, wide, high float64) string {
		return fmt.Sprintf(`{"type":"Feature","id":%q,"properties":{%s},"geometry":{"type":"Polygon","coordinates":[[[%[3]f,%[4]f],[%[5]f,%[4]f],[%[5]f,%[6]f],[%[3]f,%[6]f],[%[3]f,%[4]f]]]}}`,
			id, season, x, y, x+wide, y+high)
	}
	// At the equator 0.001 degrees are 111 m.
	server := start(t, emulator.Options{Faults: []emulator.Fault{
		{Operation: "createSources", Kind: emulator.FaultBlind, Delay: 20 * time.Millisecond},
		{Operation: "createSources", Kind: emulator.FaultLatency, Delay: 10 * time.Millisecond, Probability: 0.5},
	}, Seed: 3})
	var list []string
	for i := range 60 {
		x, y := float64(i)*0.01, 0.0
		narrow, wide := strip(fmt.Sprintf("strip%d", i), x+0.002, y, 0.000153, 0.002), strip(fmt.Sprintf("field%d", i), x, y-0.001, 0.005, 0.005)
		if i%2 == 0 {
			list = append(list, narrow, wide)
		} else {
			list = append(list, wide, narrow)
		}
	}
	got := run(t, server, register.Options{Input: file(t, collection(list...)), BatchFeatures: 1, InFlight: 4})
	if got.err != nil || got.Registered != len(list) {
		t.Fatal(got.err, got.Counts)
	}
	for i, r := range got.results {
		if want := i/2%2 == 0; *r.Conflict != want {
			t.Errorf("%s: conflict %v, want %v", r.AltID, *r.Conflict, want)
		}
	}
}

// Conflicts, hectares and countries are METI's own, as they are after the last
// batch.
func TestFlagsAreMETIsOwn(t *testing.T) {
	server := start(t, emulator.Options{})
	var list []string
	for i := range 30 {
		list = append(list, square(numbered(i), i/2)) // each other one lies on the one before it
	}
	path := file(t, collection(list...))
	planned := plan(t, server, register.Options{Input: path})
	if planned.err != nil || planned.Conflicts != 30 || planned.results[1].ConflictWith[0].AltID != "f000" {
		t.Error(planned.err, planned.Counts)
	}
	got := run(t, server, register.Options{Input: path, BatchFeatures: 10})
	flagsAsStored(t, server, got.results)
	// One of a pair that was there before: its flag changes by what is sent now.
	remove(t, server, got.results[29].ID)
	write(t, path, collection(append(list[:29], square("new", 14))...))
	got = run(t, server, register.Options{Input: path, Settle: time.Millisecond})
	if got.err != nil || got.Sent != 1 || got.results[28].ConflictWith[0].AltID != "new" {
		t.Error(got.err, got.results[28])
	}
	flagsAsStored(t, server, got.results)
}

// flagsAsStored compares rows with the emulator's store.
func flagsAsStored(t *testing.T, server *emulator.Server, rows []register.Row) {
	t.Helper()
	byID := map[string]*api.Source{}
	for _, s := range stored(t, server) {
		byID[s.ID] = s
	}
	for _, r := range rows {
		if text := flagsOf(r, byID); text != "" {
			t.Error(text)
		}
	}
}

func flagsOf(r register.Row, byID map[string]*api.Source) string {
	s := byID[r.ID]
	if s == nil || r.Hectares == nil || *r.Hectares != float64(*s.Hectares) || r.Country != s.Country || r.Conflict == nil || *r.Conflict != s.InConflict() || len(r.ConflictWith) != len(s.ConflictWith) {
		return fmt.Sprintf("%+v is not %+v", r, s)
	}
	for k, p := range r.ConflictWith {
		if other := byID[p.ID]; p.ID != s.ConflictWith[k] || other == nil || p.AltID != "" && p.AltID != other.AltID {
			return fmt.Sprintf("%s: in conflict with %v, METI says %v", r.AltID, p, s.ConflictWith)
		}
	}
	return ""
}

// What a plan says would conflict is what METI finds then.
func TestPlanForetellsConflicts(t *testing.T) {
	server := start(t, emulator.Options{})
	if got := run(t, server, register.Options{Input: file(t, collection(square("old", 1), square("older", 9)))}); got.err != nil {
		t.Fatal(got.err)
	}
	path := file(t, collection(square("a", 1), square("b", 2), square("c", 2), square("d", 3)))
	near := plan(t, server, register.Options{Input: path})
	all := plan(t, server, register.Options{Input: path, AgainstAccount: true})
	conflicts := func(a attempt) (list []string) {
		for _, r := range a.results {
			for _, p := range r.ConflictWith {
				list = append(list, r.AltID+"-"+p.AltID)
			}
		}
		return list
	}
	if got := conflicts(near); !slices.Equal(got, []string{"b-c", "c-b"}) {
		t.Error(got)
	}
	if a, b := near.results[0].Conflict, all.results[3].Conflict; a != nil || b == nil || *b {
		t.Errorf("nobody looked: %v, all were looked at: %v", a, b)
	}
	if got := conflicts(all); !slices.Equal(got, []string{"a-old", "b-c", "c-b"}) {
		t.Error(got)
	}
	if got := conflicts(run(t, server, register.Options{Input: path})); !slices.Equal(got, []string{"a-", "b-c", "c-b"}) && !slices.Equal(got, []string{"a-old", "b-c", "c-b"}) {
		t.Error(got)
	}
}

// A plan waits for nothing, and sends nothing.
func TestPlanOfUnknown(t *testing.T) {
	path := file(t, collection(square("a", 1), square("b", 2)))
	ctx, kill := context.WithCancel(t.Context())
	server := start(t, emulator.Options{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && r.URL.Path == "/sources" {
				defer kill() // once it is counted; its connection is dropped
			}
			next.ServeHTTP(w, r)
		})
	}, Faults: []emulator.Fault{{Operation: "createSources", Kind: emulator.FaultDrop}}})
	if got := runContext(ctx, t, server, register.Options{Input: path, BatchFeatures: 1, Settle: time.Hour}); got.outcomes() != "a unknown, b pending" {
		t.Fatal(got.outcomes(), got.err)
	}
	for range 2 {
		got := plan(t, server, register.Options{Input: path, Settle: time.Hour})
		if got.err != nil || got.outcomes() != "a unknown, b new" || posts(server) != 1 || !strings.Contains(got.results[0].Reason, "an earlier run was stopped") {
			t.Error(got.outcomes(), got.err, got.results)
		}
	}
}
