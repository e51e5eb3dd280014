package register_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/register"
)

// TestKilledAtRandom is the proof: a process that registers is killed at
// random moments, on an emulator with faults, and started again until it is
// done. Then nothing is lost, nothing is registered twice and nothing is wrong
// in the result.
//
// METI_SOAK_TRIALS says how many trials, METI_SOAK_SEED which is the first seed;
// METI_SOAK_PARALLEL how many at once.
func TestKilledAtRandom(t *testing.T) {
	number := func(name string, otherwise uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	trials, seed := number("METI_SOAK_TRIALS", 12), number("METI_SOAK_SEED", uint64(time.Now().UnixNano()))
	t.Logf("%d trials from seed %d on", trials, seed)
	var (
		mu    sync.Mutex
		total tally
		turns = make(chan struct{}, number("METI_SOAK_PARALLEL", 12))
		wg    sync.WaitGroup
	)
	for n := range trials {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			one := trial(t, seed+n)
			mu.Lock()
			defer mu.Unlock()
			total.add(one)
			if total.trials%100 == 0 {
				t.Logf("so far %s", total)
			}
		})
	}
	wg.Wait()
	t.Logf("%s", total)
	if total.lost+total.twice+total.wrong > 0 {
		t.Errorf("lost %d, twice %d, wrong %d", total.lost, total.twice, total.wrong)
	}
}

// tally is what trials came to. Lost is a feature that was to be registered and
// is not, twice one that METI has more than once, and wrong all else that was
// said and is not so.
type tally struct {
	trials, features, runs, kills, terminated, posts, faults int
	lost, twice, wrong                                       int
}

func (t *tally) add(o tally) {
	t.trials += o.trials
	t.features += o.features
	t.runs += o.runs
	t.kills += o.kills
	t.terminated += o.terminated
	t.posts += o.posts
	t.faults += o.faults
	t.lost += o.lost
	t.twice += o.twice
	t.wrong += o.wrong
}

func (t tally) String() string {
	return fmt.Sprintf("%d trials, %d features, %d processes, %d killed, %d terminated, %d POSTs: %d lost, %d twice, %d wrong",
		t.trials, t.features, t.runs, t.kills, t.terminated, t.posts, t.lost, t.twice, t.wrong)
}

// kind is what a trial's METI is like, and what happens to it.
type kind struct {
	unfiltered, shapeless bool // it ignores the filter by alt_id; it tells no boundary
	digits                int  // its answers have, 0 for all
	lag                   time.Duration
	noJournal             bool
	throwAway             bool // the journal, once, after the settling time
	spellings             bool // of the host
	edits, deletes, twins bool // after it was done: a boundary or a period, a source, somebody else registers one again
	gone                  register.Policy
}

func randomKind(random *rand.Rand) (k kind) {
	one := func(n int) bool { return random.IntN(n) == 0 }
	k = kind{unfiltered: one(5), shapeless: one(5), noJournal: one(5), spellings: one(3), edits: one(3), deletes: one(3), twins: one(4)}
	if !k.shapeless && one(3) {
		k.digits = 6 + random.IntN(4)
	}
	if one(3) {
		k.lag = time.Duration(1+random.IntN(400)) * time.Millisecond
	}
	k.throwAway = !k.noJournal && one(5)
	if one(2) {
		k.gone = register.Renew
	}
	return k
}

// is are the faults that make a METI what it is.
func (k kind) is() (faults []emulator.Fault) {
	if k.digits > 0 {
		faults = append(faults, emulator.Fault{Operation: "*", Kind: emulator.FaultRound, Digits: k.digits})
	}
	if k.lag > 0 {
		faults = append(faults, emulator.Fault{Operation: "*", Kind: emulator.FaultStaleRead, Delay: k.lag, Probability: 0.7})
	}
	return faults
}

// settle is the settling time of the trials. What commits late, and is visible
// later, is so within it: see promise.
const settle = 1500 * time.Millisecond

// randomFaults are those of one trial.
func randomFaults(random *rand.Rand) []emulator.Fault {
	chance := func(most float64) float64 { return max(0.001, random.Float64()*most) }
	const post, list, one, remove = "createSources", "listSources", "getSource", "deleteSource"
	faults := []emulator.Fault{
		{Operation: "*", Kind: emulator.FaultLatency, Delay: time.Duration(1+random.IntN(20)) * time.Millisecond, Probability: chance(1)},
		{Operation: post, Kind: emulator.FaultBlind, Delay: time.Duration(random.IntN(30)) * time.Millisecond, Probability: chance(1)},
		{Operation: post, Kind: emulator.FaultDropAfter, Probability: chance(0.3)},
		{Operation: post, Kind: emulator.FaultStatus, Status: 429, Probability: chance(0.2)},
		{Operation: post, Kind: emulator.FaultStatus, Status: 500, Probability: chance(0.1)},
		{Operation: post, Kind: emulator.FaultStatus, Status: 503, Probability: chance(0.1)},
		{Operation: post, Kind: emulator.FaultHTML, Status: 502, Probability: chance(0.05)},
		{Operation: post, Kind: emulator.FaultHTML, Status: 200, Probability: chance(0.05)},
		{Operation: post, Kind: emulator.FaultDrop, Probability: chance(0.2)},
		{Operation: post, Kind: emulator.FaultHang, Probability: chance(0.1)},
		{Operation: post, Kind: emulator.FaultTruncate, Probability: chance(0.2)},
		{Operation: list, Kind: emulator.FaultStatus, Status: 503, Probability: chance(0.2)},
		{Operation: list, Kind: emulator.FaultStatus, Status: 429, Probability: chance(0.2)},
		{Operation: list, Kind: emulator.FaultDrop, Probability: chance(0.1)},
		{Operation: list, Kind: emulator.FaultHang, Probability: chance(0.03)},
		{Operation: list, Kind: emulator.FaultTruncate, Probability: chance(0.1)},
		{Operation: one, Kind: emulator.FaultStatus, Status: 503, Probability: chance(0.1)},
		{Operation: remove, Kind: emulator.FaultDropAfter, Probability: chance(0.3)},
		{Operation: remove, Kind: emulator.FaultStatus, Status: 503, Probability: chance(0.3)},
		{Operation: "requestToken", Kind: emulator.FaultStatus, Status: 503, Probability: chance(0.1)},
	}
	// Each trial has some of them, and the latency first.
	some := faults[:1]
	for _, f := range faults[1:] {
		if random.IntN(2) == 0 {
			some = append(some, f)
		}
	}
	return slices.Clip(some)
}

// wanted is what has to become of one feature.
type wanted struct {
	altID, text string
	outcomes    []register.State // any of them
	sources     int              // of its identity in the end, where it is registered
	borrowed    bool             // it has another one's alt_id
	old         string           // before it was edited
	touched     bool             // it was edited, deleted or registered again
}

func (w wanted) good() bool { return w.outcomes[0] == register.Registered }

// fine is a feature of some 100 by 100 metres, at a place of its own, with more
// digits than METI may tell.
func fine(altID string, place int, wide float64, season string) string {
	x, y := float64(place%100)*0.01+1.23456789e-5, float64(place/100)*0.01+9.87654321e-6
	return fmt.Sprintf(`{"type":"Feature","id":%q,"properties":{%s},"geometry":{"type":"Polygon","coordinates":[[[%.13f,%.13f],[%.13f,%.13f],[%.13f,%.13f],[%.13f,%.13f],[%.13f,%.13f]]]}}`,
		altID, season, x, y, x+wide, y, x+wide, y+0.001, x, y+0.001, x, y)
}

const (
	thisSeason  = `"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"`
	laterSeason = `"start_at":"2026-01-01T12:00:00Z","end_at":"2026-12-31T00:00:00Z"`
	nextSeason  = `"start_at":"2027-01-01T00:00:00.000001Z","end_at":"2027-12-31T00:00:00Z"`
)

// randomFields: most good, some overlapping their neighbour, some with the same
// id in another season or in another place, some bad in our eyes or in METI's.
func randomFields(random *rand.Rand, k kind) (list []wanted) {
	registered := []register.State{register.Registered}
	for n := 8 + random.IntN(40); len(list) < n; {
		i := len(list)
		name := fmt.Sprintf("field-%d", i)
		w := wanted{altID: name, text: fine(name, i, 0.001, thisSeason), outcomes: registered, sources: 1}
		switch p := random.IntN(20); {
		case p == 0:
			w = wanted{altID: name, text: bowtie(name), outcomes: []register.State{register.Invalid}}
		case p == 1:
			name = fmt.Sprintf("bad-%d", i)
			w = wanted{altID: name, text: fine(name, i, 0.001, thisSeason), outcomes: []register.State{register.Refused}}
		case p == 2 && i > 0 && !list[i-1].borrowed:
			w.altID, w.borrowed = list[i-1].altID, true
			w.text = fine(w.altID, i-1, 0.001, nextSeason)
			if w.outcomes = list[i-1].outcomes; w.outcomes[0] == register.Invalid {
				w.outcomes = registered
			}
			if !w.good() {
				w.sources = 0
			}
		case p == 3 && i > 0 && list[i-1].good() && !k.shapeless:
			w.altID, w.borrowed = list[i-1].altID, true // the same area, elsewhere
			w.text = fine(w.altID, i, 0.001, thisSeason)
		case p == 4 && i > 0:
			w.text = fine(name, i-1, 0.001, thisSeason) // in conflict
		}
		list = append(list, w)
	}
	return list
}

// besides registers as somebody else does, who keeps no journal of ours.
func besides(t *testing.T, server *emulator.Server, texts ...string) {
	if len(texts) == 0 {
		return
	}
	var body api.SourceCreateFeatures
	if err := json.Unmarshal([]byte(collection(texts...)), &body.FeatureCollection); err != nil {
		t.Error(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var o register.Options
	connect(&o, server.Ready(), api.WithHTTPClient(&http.Client{Transport: transport}), api.WithUserAgent("checker"))
	if made, err := o.Client.Sources.Create(context.Background(), body); err != nil || len(made) != len(texts) {
		t.Error(len(made), err)
	}
}

// trial makes one trial. What it depends on comes from the seed, except for
// the moment at which the operating system carries out a kill.
func trial(t *testing.T, seed uint64) (result tally) {
	random := rand.New(rand.NewPCG(seed, 8))
	folder, err := os.MkdirTemp(t.TempDir(), "trial-*")
	if err != nil {
		t.Error(err)
		return tally{wrong: 1}
	}
	k := randomKind(random)
	p := &promise{lag: k.lag, random: rand.New(rand.NewPCG(seed, 9)), open: map[chan struct{}]time.Time{}}
	server := start(t, emulator.Options{Seed: seed, Middleware: func(next http.Handler) http.Handler {
		return p.wrap(poorer(k.unfiltered, k.shapeless, refusing(`"bad-`)(next)))
	}})
	defer server.Close()
	defer func() { _ = p.wait(context.Background(), 0) }()
	list := randomFields(random, k)
	result = tally{trials: 1, features: len(list)}
	o := order{
		Ready: server.Ready(), Timeout: 500 * time.Millisecond, Settle: settle, NoJournal: k.noJournal,
		Input: filepath.Join(folder, "fields.geojson"), Results: filepath.Join(folder, "results"),
		BatchFeatures: 1 + random.IntN(8), InFlight: 1 + random.IntN(4),
	}
	var some []string // are registered already
	for _, w := range list {
		if w.good() && random.IntN(8) == 0 {
			some = append(some, w.text)
		}
	}
	besides(t, server, some...)
	time.Sleep(k.lag) // two at the same moment do not see each other
	writeAll(t, o.Input, list)
	posts := server.Requests()["createSources"]
	if !untilDone(t, seed, random, k, &o, server, p, &result) {
		return result
	}
	if change(t, random, k, &o, server, list) {
		posts++             // besides
		k.throwAway = false // half of a replacement would be forgotten with it
		if !untilDone(t, seed, random, k, &o, server, p, &result) {
			return result
		}
	}
	result.posts = server.Requests()["createSources"] - posts

	// Once more: nothing is sent, and the result stands.
	_ = p.wait(t.Context(), 0)
	p.setLate(0)
	_ = server.SetFaults(k.is())
	time.Sleep(k.lag)
	o.Timeout = time.Minute // nothing hangs any more
	before := server.Requests()
	code, log := inProcess(t, o, -1, false)
	after := server.Requests()
	sent := after["createSources"] - before["createSources"]
	for _, w := range list {
		if w.outcomes[0] == register.Refused {
			sent-- // is tried again
		}
	}
	if code != 0 && code != 9 || sent > 0 || after["deleteSource"] != before["deleteSource"] {
		t.Errorf("seed %d: sent again: %d %s", seed, code, log)
		result.wrong++
	}
	_ = server.SetFaults(nil)
	check(t, seed, o, server, list, &result)
	if result.lost+result.twice+result.wrong > 0 {
		journal, _ := os.ReadFile(o.Input + ".meti-journal")
		all, _ := json.Marshal(stored(t, server))
		t.Logf("seed %d, %+v: the journal:\n%s\nthe rows:\n%s\nthe sources:\n%s\nthe input:\n%s", seed, k, journal, mustRead(t, o.Results), all, mustRead(t, o.Input))
	}
	return result
}

func writeAll(t *testing.T, path string, list []wanted) {
	var texts []string
	for _, w := range list {
		texts = append(texts, w.text)
	}
	if err := os.WriteFile(path, []byte(collection(texts...)), 0o600); err != nil {
		t.Error(err)
	}
}

// untilDone starts processes until one of them says that all is done that can
// be, and kills some of them.
func untilDone(t *testing.T, seed uint64, random *rand.Rand, k kind, o *order, server *emulator.Server, p *promise, result *tally) bool {
	if err := server.SetFaults(append(k.is(), randomFaults(random)...)); err != nil {
		t.Error(err)
	}
	p.setLate(max(0, random.Float64()*0.6-0.3))
	kills, thrown := random.IntN(6), false
	for runs := 1; ; runs++ {
		result.runs++
		o.Timeout = max(500*time.Millisecond, time.Duration(runs-10)*time.Second) // a slow machine needs more
		kill, gentle := time.Duration(-1), false
		if kills > 0 {
			kill, gentle = time.Duration(random.IntN(2500))*time.Millisecond, random.IntN(5) == 0
		}
		if k.spellings && random.IntN(2) == 0 {
			o.Ready.URL = strings.NewReplacer("127.0.0.1", "localhost", "localhost", "127.0.0.1").Replace(o.Ready.URL)
		}
		code, log := inProcess(t, *o, kill, gentle)
		switch {
		case code == -1:
			result.kills++
		case strings.Contains(log, "Interrupted:true"):
			result.terminated++
		case code == 10:
			t.Errorf("seed %d: something is left, and nothing stopped it: %s", seed, log)
			result.wrong++
		}
		if (code == 0 || code == 9) && kills <= 0 {
			return true
		}
		kills--
		if k.throwAway && !thrown && code != 0 {
			thrown = true
			time.Sleep(settle) // a journal that is made now is taken for the first
			_ = p.wait(t.Context(), 0)
			_ = os.Remove(o.Input + ".meti-journal")
		}
		if runs > 60 {
			_ = server.SetFaults(nil)
			journal, _ := os.ReadFile(o.Input + ".meti-journal")
			results, _ := os.ReadFile(o.Results)
			t.Errorf("seed %d, %+v: not done after %d runs: %d %s\njournal:\n%s\nresults:\n%s", seed, k, runs, code, log, journal, results)
			result.lost++
			return false
		}
	}
}

// change changes something after all was done: in the file, or in METI.
func change(t *testing.T, random *rand.Rand, k kind, o *order, server *emulator.Server, list []wanted) (changed bool) {
	_ = server.SetFaults(nil)
	time.Sleep(settle) // what is gone is gone, and not young
	good := func(one bool) *wanted {
		for range 100 {
			if !one {
				break
			}
			if w := &list[random.IntN(len(list))]; w.good() && !w.borrowed && !w.touched && w.sources == 1 && strings.Count(mustRead(t, o.Input), fmt.Sprintf(`"id":%q`, w.altID)) == 1 {
				w.touched = true
				return w
			}
		}
		return nil
	}
	known := !k.noJournal && !k.throwAway // otherwise the journal may not have it
	if w := good(k.edits); w != nil {
		edited, otherwise := fine(w.altID, indexOf(list, w), 0.0011, thisSeason), register.Boundary
		if random.IntN(3) == 0 {
			edited, otherwise = strings.Replace(w.text, thisSeason, laterSeason, 1), register.Differs
		}
		w.old, w.text = w.text, edited
		o.Changed = register.Renew
		if !known {
			w.outcomes = []register.State{register.Registered, otherwise}
		}
		changed = true
	}
	if w := good(k.deletes); w != nil {
		for _, s := range stored(t, server) {
			if s.AltID == w.altID {
				remove(t, server, s.ID)
			}
		}
		o.Gone = k.gone
		switch {
		case !known:
			w.outcomes = []register.State{register.Registered, register.Gone}
		case k.gone == register.Report:
			w.outcomes = []register.State{register.Gone}
		}
		changed = true
	}
	if w := good(k.twins && !k.shapeless); w != nil {
		besides(t, server, w.text)
		time.Sleep(k.lag)
		n := 0
		for _, s := range stored(t, server) {
			if is(s, w.altID, w.text) {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%s was registered once more, and METI has %d", w.altID, n)
		}
		w.sources = 2
		changed = true
	}
	writeAll(t, o.Input, list)
	return changed
}

func indexOf(list []wanted, w *wanted) int {
	for i := range list {
		if &list[i] == w {
			return i
		}
	}
	return -1
}

func mustRead(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// check compares the results with the emulator's store.
func check(t *testing.T, seed uint64, o order, server *emulator.Server, list []wanted, result *tally) {
	wrong := func(format string, args ...any) {
		result.wrong++
		t.Errorf("seed %d: %s", seed, fmt.Sprintf(format, args...))
	}
	sources, sum := stored(t, server), 0
	byID := map[string]*api.Source{}
	for _, s := range sources {
		byID[s.ID] = s
	}
	of := func(w wanted, text string) (n int) {
		for _, s := range sources {
			if is(s, w.altID, text) {
				n++
			}
		}
		return n
	}
	claimed := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(mustRead(t, o.Results)))
	i := 0
	for ; lines.Scan(); i++ {
		var r register.Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || i >= len(list) {
			wrong("result %d: %v %s", i, err, lines.Text())
			return
		}
		w := list[i]
		if r.AltID != w.altID || !slices.Contains(w.outcomes, r.State) {
			wrong("result %d: %s %s, want %s %v (%s)", i, r.AltID, r.State, w.altID, w.outcomes, r.Reason)
		}
		want, now, old := 0, of(w, w.text), 0
		if w.old != "" {
			old = of(w, w.old)
		}
		switch r.State {
		case register.Registered:
			want = w.sources
		case register.Boundary, register.Differs:
			if now, old = old, now; w.old != "" {
				want = 1
			}
		}
		sum += want
		switch {
		case now < want:
			result.lost++
			t.Errorf("seed %d: %s: %d sources, want %d", seed, w.altID, now, want)
		case now > want || old > 0:
			result.twice++
			t.Errorf("seed %d: %s: %d sources, want %d, and %d with the other boundary", seed, w.altID, now, want, old)
		}
		if r.State != register.Registered {
			continue
		}
		if s := byID[r.ID]; s == nil || claimed[r.ID] || !is(s, w.altID, w.text) {
			wrong("result %d: %q is another source, or none", i, r.ID)
			continue
		}
		claimed[r.ID] = true
		if text := flagsOf(r, byID); text != "" {
			wrong("result %d: %s", i, text)
		}
	}
	if i != len(list) {
		wrong("%d results for %d features", i, len(list))
	}
	if len(sources) != sum {
		wrong("%d sources, want %d", len(sources), sum)
	}
}

// is reports whether a source is what a feature says.
func is(s *api.Source, altID, text string) bool {
	var feature struct {
		Properties struct {
			StartAt string `json:"start_at"`
		} `json:"properties"`
		Geometry json.RawMessage `json:"geometry"`
	}
	_ = json.Unmarshal([]byte(text), &feature)
	return s.AltID == altID && s.StartAt.String() == feature.Properties.StartAt && sameJSON(s.Geometry, feature.Geometry)
}

// poorer makes an emulator a server that knows less.
func poorer(unfiltered, shapeless bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("User-Agent"), "checker ") || !strings.HasPrefix(r.URL.Path, "/sources") {
			next.ServeHTTP(w, r)
			return
		}
		if unfiltered {
			q := r.URL.Query()
			q.Del("alt_id")
			r.URL.RawQuery = q.Encode()
		}
		if shapeless {
			w = &withoutShape{ResponseWriter: w}
		}
		next.ServeHTTP(w, r)
	})
}

// withoutShape renames the geometry of what is written, so that nobody knows it.
type withoutShape struct{ http.ResponseWriter }

func (w *withoutShape) Write(p []byte) (int, error) {
	_, err := w.ResponseWriter.Write(bytes.ReplaceAll(p, []byte(`"geometry":`), []byte(`"g_ometry":`)))
	return len(p), err
}

func (w *withoutShape) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}
