package register_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// tally is what trials came to.
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

// randomFaults are those of one trial. What commits late does so well within
// the settling time, a second.
func randomFaults(random *rand.Rand) []emulator.Fault {
	chance := func(most float64) float64 { return max(0.001, random.Float64()*most) }
	const post, list = "createSources", "listSources"
	faults := []emulator.Fault{
		{Operation: "*", Kind: emulator.FaultLatency, Delay: time.Duration(1+random.IntN(20)) * time.Millisecond, Probability: chance(1)},
		{Operation: post, Kind: emulator.FaultDropAfter, Probability: chance(0.3)},
		{Operation: post, Kind: emulator.FaultLateCommit, Delay: time.Duration(random.IntN(400)) * time.Millisecond, Probability: chance(0.3)},
		{Operation: post, Kind: emulator.FaultLateCommit, Status: 504, Delay: time.Duration(random.IntN(400)) * time.Millisecond, Probability: chance(0.1)},
		{Operation: post, Kind: emulator.FaultStatus, Status: 429, Probability: chance(0.2)},
		{Operation: post, Kind: emulator.FaultStatus, Status: 500, Probability: chance(0.1)},
		{Operation: post, Kind: emulator.FaultStatus, Status: 503, Probability: chance(0.1)},
		{Operation: post, Kind: emulator.FaultHTML, Status: 502, Probability: chance(0.05)},
		{Operation: post, Kind: emulator.FaultDrop, Probability: chance(0.2)},
		{Operation: post, Kind: emulator.FaultHang, Probability: chance(0.1)},
		{Operation: post, Kind: emulator.FaultTruncate, Probability: chance(0.2)},
		{Operation: list, Kind: emulator.FaultStatus, Status: 503, Probability: chance(0.2)},
		{Operation: list, Kind: emulator.FaultStatus, Status: 429, Probability: chance(0.2)},
		{Operation: list, Kind: emulator.FaultDrop, Probability: chance(0.1)},
		{Operation: list, Kind: emulator.FaultHang, Probability: chance(0.03)},
		{Operation: list, Kind: emulator.FaultTruncate, Probability: chance(0.1)},
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
	outcome     register.Outcome
	sources     int  // of its identity in the end
	borrowed    bool // it has another one's alt_id
}

// trial makes one trial. What it depends on comes from the seed, except for
// the moment at which the operating system carries out a kill.
func trial(t *testing.T, seed uint64) tally {
	random := rand.New(rand.NewPCG(seed, 8))
	folder, err := os.MkdirTemp(t.TempDir(), "trial-*")
	if err != nil {
		t.Error(err)
		return tally{wrong: 1}
	}
	// Some servers ignore the filter by alt_id, and some tell no geometry: those
	// cannot tell two features of one id, period and area apart, nor can we.
	unfiltered, shapeless := random.IntN(5) == 0, random.IntN(5) == 0
	server := start(t, emulator.Options{Seed: seed, Middleware: func(next http.Handler) http.Handler {
		return poorer(unfiltered, shapeless, refusing(`"bad-`)(next))
	}})
	defer server.Close()

	// The fields: most good, some overlapping their neighbour, some with the same id
	// in another season or in another place, some bad in our eyes or in METI's.
	var list []wanted
	for n := 8 + random.IntN(40); len(list) < n; {
		i := len(list)
		name := fmt.Sprintf("field-%d", i)
		w := wanted{altID: name, text: square(name, i), outcome: register.Registered, sources: 1}
		switch p := random.IntN(20); {
		case p == 0:
			w = wanted{altID: name, text: bowtie(name), outcome: register.Invalid}
		case p == 1:
			name = fmt.Sprintf("bad-%d", i)
			w = wanted{altID: name, text: square(name, i), outcome: register.Refused}
		case p == 2 && i > 0 && !(shapeless && list[i-1].borrowed):
			w.altID, w.borrowed = list[i-1].altID, true
			w.text = square(w.altID, i-1, `"start_at":"2027-01-01T00:00:00.000001Z","end_at":"2027-12-31T00:00:00Z"`)
			w.outcome, w.sources = list[i-1].outcome, list[i-1].sources
			if w.outcome == register.Invalid {
				w.outcome, w.sources = register.Registered, 1
			}
		case p == 3 && i > 0 && list[i-1].outcome == register.Registered && !shapeless:
			w.altID, w.borrowed = list[i-1].altID, true // the same area, elsewhere
			w.text = square(w.altID, i)
		case p == 4 && i > 0:
			w.text = square(name, i-1) // in conflict
		}
		list = append(list, w)
	}
	o := order{
		Ready: server.Ready(), Timeout: 500 * time.Millisecond, Settle: time.Second,
		Input: filepath.Join(folder, "fields.geojson"), Results: filepath.Join(folder, "results"),
		BatchFeatures: 1 + random.IntN(8), InFlight: 1 + random.IntN(4),
	}
	var texts []string
	for _, w := range list {
		texts = append(texts, w.text)
	}
	// Some were registered before, by somebody else.
	old := map[string]bool{}
	if mode := random.IntN(4); mode < 2 {
		o.SkipExisting, o.AllowExisting = mode == 0, mode == 1
		var some []string
		for i := range list {
			if w := &list[i]; w.outcome == register.Registered && random.IntN(4) == 0 {
				some = append(some, w.text)
				if mode == 0 {
					w.outcome = register.Existed
				} else {
					w.sources = 2
				}
			}
		}
		if len(some) > 0 {
			before := run(t, server, register.Options{Input: file(t, collection(some...))})
			if before.err != nil || before.Registered != len(some) {
				t.Errorf("seed %d: %v", seed, before.err)
			}
			for _, r := range before.results {
				old[r.ID] = true
			}
		}
	}
	if err := os.WriteFile(o.Input, []byte(collection(texts...)), 0o600); err != nil {
		t.Error(err)
	}
	posts := server.Requests()["createSources"]
	if err := server.SetFaults(randomFaults(random)); err != nil {
		t.Error(err)
	}

	result := tally{trials: 1, features: len(list)}
	for kills := random.IntN(6); ; kills-- {
		result.runs++
		kill, gentle := time.Duration(-1), false
		if kills > 0 {
			kill, gentle = time.Duration(random.IntN(1500))*time.Millisecond, random.IntN(5) == 0
		}
		code, log := inProcess(t, o, kill, gentle)
		if code == 0 && kills <= 0 {
			break
		}
		switch {
		case code == -1:
			result.kills++
		case strings.Contains(log, "Interrupted:true"):
			result.terminated++
		}
		if result.runs > 60 {
			_ = server.SetFaults(nil)
			journal, _ := os.ReadFile(o.Input + ".meti-journal")
			results, _ := os.ReadFile(o.Results)
			sources, _ := json.Marshal(stored(t, server))
			t.Errorf("seed %d: not done after %d runs: %d %s\njournal:\n%s\nresults:\n%s\nsources:\n%s", seed, result.runs, code, log, journal, results, sources)
			result.lost++
			return result
		}
	}
	_ = server.SetFaults(nil)
	result.posts = server.Requests()["createSources"] - posts

	// Once more: nothing is sent, and the result stands.
	before := server.Requests()["createSources"]
	if code, log := inProcess(t, o, -1, false); code != 0 || server.Requests()["createSources"] != before {
		t.Errorf("seed %d: sent again: %d %s", seed, code, log)
		result.wrong++
	}
	check(t, seed, o, server, list, old, &result)
	if result.lost+result.twice+result.wrong > 0 {
		journal, _ := os.ReadFile(o.Input + ".meti-journal")
		t.Logf("seed %d: the journal:\n%s", seed, journal)
	}
	return result
}

// check compares the results with the emulator's store.
func check(t *testing.T, seed uint64, o order, server *emulator.Server, list []wanted, old map[string]bool, result *tally) {
	data, err := os.ReadFile(o.Results)
	if err != nil {
		t.Error(err)
	}
	wrong := func(format string, args ...any) {
		result.wrong++
		t.Errorf("seed %d: %s", seed, fmt.Sprintf(format, args...))
	}
	sources, sum := stored(t, server), 0
	byID := map[string]int{}
	for i, s := range sources {
		byID[s.ID] = i
	}
	claimed := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	i := 0
	for ; lines.Scan(); i++ {
		var r register.Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || i >= len(list) {
			wrong("result %d: %v %s", i, err, lines.Text())
			return
		}
		w := list[i]
		var feature struct {
			Properties struct {
				StartAt string `json:"start_at"`
			} `json:"properties"`
			Geometry json.RawMessage `json:"geometry"`
		}
		_ = json.Unmarshal([]byte(w.text), &feature)
		if r.AltID != w.altID || r.Outcome != w.outcome {
			wrong("result %d: %s %s, want %s %s (%s)", i, r.AltID, r.Outcome, w.altID, w.outcome, r.Reason)
		}
		n := 0
		for _, s := range sources {
			if s.AltID == w.altID && s.StartAt.String() == feature.Properties.StartAt && sameJSON(s.Geometry, feature.Geometry) {
				n++
			}
		}
		sum += w.sources
		switch {
		case n < w.sources:
			result.lost++
			t.Errorf("seed %d: %s: %d sources, want %d", seed, w.altID, n, w.sources)
		case n > w.sources:
			result.twice++
			t.Errorf("seed %d: %s: %d sources, want %d", seed, w.altID, n, w.sources)
		}
		if w.outcome != register.Registered && w.outcome != register.Existed {
			continue
		}
		at, found := byID[r.ID]
		if !found || claimed[r.ID] {
			wrong("result %d: %q is no source of its own", i, r.ID)
			continue
		}
		claimed[r.ID] = true
		s := sources[at]
		if s.AltID != w.altID || s.StartAt.String() != feature.Properties.StartAt || !sameJSON(s.Geometry, feature.Geometry) {
			wrong("result %d: %s is another source", i, r.ID)
		}
		if old[r.ID] != (w.outcome == register.Existed) {
			wrong("result %d: %s was there before: %v", i, r.ID, old[r.ID])
		}
		if r.Hectares == nil || *r.Hectares != float64(*s.Hectares) {
			wrong("result %d: hectares %v", i, r.Hectares)
		}
		if r.Conflict == nil || *r.Conflict && !s.InConflict() {
			wrong("result %d: conflict %v", i, r.Conflict)
		}
		for _, with := range r.ConflictWith {
			if !slices.Contains(s.ConflictWith, with) {
				wrong("result %d: no conflict with %s", i, with)
			}
		}
	}
	if i != len(list) {
		wrong("%d results for %d features", i, len(list))
	}
	if len(sources) != sum {
		wrong("%d sources, want %d", len(sources), sum)
	}
}

// poorer makes an emulator a server that knows less.
func poorer(unfiltered, shapeless bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("User-Agent"), "checker ") || r.URL.Path != "/sources" {
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

// command is a process of its own for an order.
func command(t *testing.T, o order) *exec.Cmd {
	text, err := json.Marshal(o)
	if err != nil {
		t.Error(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Error(err)
	}
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), "REGISTER_TEST_ORDER="+string(text))
	return cmd
}

// inProcess runs an order in a process of its own, and ends it after a while
// if kill is not negative.
func inProcess(t *testing.T, o order, kill time.Duration, gentle bool) (code int, log string) {
	cmd := command(t, o)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return -1, ""
	}
	if kill >= 0 {
		timer := time.AfterFunc(kill, func() {
			if gentle {
				_ = cmd.Process.Signal(syscall.SIGTERM)
			} else {
				_ = cmd.Process.Kill()
			}
		})
		defer timer.Stop()
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(stderr.String())
}
