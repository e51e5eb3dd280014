package register_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/register"
)

// TestMain runs the tests, or one registration in a process of its own that
// can be killed.
func TestMain(m *testing.M) {
	if order := os.Getenv("REGISTER_TEST_ORDER"); order != "" {
		os.Exit(process(order))
	}
	cache, err := os.MkdirTemp("", "register-test-*")
	if err != nil {
		panic(err)
	}
	os.Setenv("XDG_CACHE_HOME", cache)
	code := m.Run()
	os.RemoveAll(cache)
	if code == 0 {
		if err := leaks(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// leaks looks for goroutines that do not end. What closes a connection takes a
// while where the machine is busy.
func leaks() (err error) {
	for range 100 { // each waits for half a second or so
		if err = goleak.Find(goleak.IgnoreAnyFunction("os/signal.loop")); err == nil {
			return nil
		}
	}
	return err
}

// order is what a process of its own is told to do.
type order struct {
	Ready         emulator.Ready
	Timeout       time.Duration // of one request
	Input         string
	Journal       string
	NoJournal     bool
	Results       string // a file
	MaxJournal    uint64 // bytes that a file may have: a full disk
	Settle        time.Duration
	BatchFeatures int
	InFlight      int
	Changed, Gone register.Policy
}

func (o order) options() register.Options {
	return register.Options{
		Input: o.Input, Journal: o.Journal, NoJournal: o.NoJournal, Settle: o.Settle,
		BatchFeatures: o.BatchFeatures, InFlight: o.InFlight, Changed: o.Changed, Gone: o.Gone,
	}
}

// process runs an order. Its exit code is 0 when all is done, 8 or 9 when it is
// not, 1 for an error.
func process(text string) int {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if o.MaxJournal > 0 {
		limitFiles(o.MaxJournal)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	options := o.options()
	connect(&options, o.Ready, api.WithHTTPClient(&http.Client{Timeout: o.Timeout, Transport: sending{http.DefaultTransport}}))
	options.Notice = func(text string) { fmt.Fprintln(os.Stderr, text) }
	results, err := os.Create(o.Results)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	summary, err := planAndRun(ctx, options, func(r register.Row) error { return json.NewEncoder(results).Encode(r) })
	fmt.Fprintf(os.Stderr, "%+v %v\n", summary, err)
	switch {
	case err != nil:
		return 1
	case summary.Unknown > 0:
		return 8
	case summary.Pending > 0:
		return 10 // nothing stopped it, and something is left
	case summary.Done < summary.Features-summary.Invalid-summary.Refused:
		return 9
	}
	return 0
}

// planAndRun takes both steps, and tells the rows of the second.
func planAndRun(ctx context.Context, o register.Options, each func(register.Row) error) (summary register.Summary, err error) {
	job, err := register.Plan(ctx, o)
	if err != nil {
		return summary, err
	}
	defer func() { err = errors.Join(err, job.Close()) }()
	summary, err = job.Run(ctx)
	for row, rowErr := range job.Rows() {
		if err := errors.Join(rowErr, each(row)); err != nil {
			return summary, err
		}
	}
	return summary, err
}

// connect fills in the client of an emulator's first account.
func connect(o *register.Options, ready emulator.Ready, more ...api.Option) {
	source, err := authn.New(authn.Config{Domain: ready.Domain, ClientID: ready.ClientID, ClientSecret: authn.Secret(ready.ClientSecret)})
	if err != nil {
		panic(err)
	}
	o.Client, err = api.New(append([]api.Option{
		api.WithAuth(source), api.WithBaseURL(ready.URL),
		api.WithRetryPolicy(api.RetryPolicy{Within: 3 * time.Second}),
	}, more...)...)
	if err != nil {
		panic(err)
	}
}

// start runs an emulator where everything is in one country.
func start(t testing.TB, o emulator.Options) *emulator.Server {
	t.Helper()
	world, err := ledger.ParseGeometry([]byte(`{"type":"Polygon","coordinates":[[[-180,-90],[180,-90],[180,90],[-180,90],[-180,-90]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	o.Countries = ledger.NewCountries()
	o.Countries.Add("Everywhere", world)
	server, err := emulator.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return server
}

// attempt is what came of one run.
type attempt struct {
	register.Summary
	err     error
	results []register.Row
	notices []string
}

// run registers in this process.
func run(t testing.TB, server *emulator.Server, o register.Options) attempt {
	t.Helper()
	return runContext(t.Context(), t, server, o)
}

func runContext(ctx context.Context, t testing.TB, server *emulator.Server, o register.Options) attempt {
	t.Helper()
	var a attempt
	defer ready(&o, server, &a)()
	a.Summary, a.err = planAndRun(ctx, o, func(r register.Row) error {
		a.results = append(a.results, r)
		return nil
	})
	return a
}

// ready completes options for an emulator.
func ready(o *register.Options, server *emulator.Server, a *attempt) (done func()) {
	done = func() {}
	if o.Client == nil {
		transport := &http.Transport{}
		done = transport.CloseIdleConnections
		connect(o, server.Ready(), api.WithHTTPClient(&http.Client{Transport: transport}))
	}
	if o.Settle == 0 {
		o.Settle = 200 * time.Millisecond
	}
	o.Notice = func(text string) { a.notices = append(a.notices, text) }
	return done
}

// plan makes a plan that is not run.
func plan(t testing.TB, server *emulator.Server, o register.Options) attempt {
	t.Helper()
	var a attempt
	defer ready(&o, server, &a)()
	o.LookOnly = true
	job, err := register.Plan(t.Context(), o)
	if a.err = err; err != nil {
		return a
	}
	a.Counts = job.Counts()
	for row, err := range job.Rows() {
		if err != nil {
			t.Error(err)
		}
		a.results = append(a.results, row)
	}
	if err := job.Close(); err != nil {
		t.Error(err)
	}
	return a
}

// outcomes gives the results in short: "a registered, b pending".
func (a attempt) outcomes() string {
	var list []string
	for _, r := range a.results {
		list = append(list, r.AltID+" "+r.State.String())
	}
	return strings.Join(list, ", ")
}

// square is a feature of some 100 by 100 metres, at a place of its own.
func square(altID string, place int, more ...string) string {
	x, y := float64(place%100)*0.01, float64(place/100)*0.01
	season := `"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"`
	if len(more) > 0 {
		season = more[0]
	}
	id := ""
	if altID != "" {
		id = fmt.Sprintf(`"id":%q,`, altID)
	}
	return fmt.Sprintf(`{"type":"Feature",%s"properties":{%s},"geometry":{"type":"Polygon","coordinates":[[[%.4f,%.4f],[%.4f,%.4f],[%.4f,%.4f],[%.4f,%.4f],[%.4f,%.4f]]]}}`,
		id, season, x, y, x+0.001, y, x+0.001, y+0.001, x, y+0.001, x, y)
}

// bowtie is a feature whose boundary crosses itself.
func bowtie(altID string) string {
	return fmt.Sprintf(`{"type":"Feature","id":%q,"properties":{"start_at":"2026-01-01","end_at":"2026-12-31"},"geometry":{"type":"Polygon","coordinates":[[[0,0],[1,1],[1,0],[0,1],[0,0]]]}}`, altID)
}

func collection(features ...string) string {
	return `{"type":"FeatureCollection","features":[` + strings.Join(features, ",\n") + "]}"
}

// file writes an input.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fields.geojson")
	write(t, path, text)
	return path
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// stored lists the emulator's sources.
func stored(t testing.TB, server *emulator.Server) []*api.Source {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var o register.Options
	connect(&o, server.Ready(), api.WithHTTPClient(&http.Client{Transport: transport}), api.WithUserAgent("checker"))
	var list []*api.Source
	for s, err := range o.Client.Sources.All(context.Background(), api.AllParams{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// refusing answers 422 to every POST /sources that holds one of the words,
// before the emulator sees it.
func refusing(words ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/sources") {
				next.ServeHTTP(w, r)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			for _, word := range words {
				if strings.Contains(string(body), word) {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusUnprocessableEntity)
					fmt.Fprintf(w, `{"detail":[{"loc":["body"],"msg":"no %s here","type":"value_error"}]}`, strings.Trim(word, `"`))
					return
				}
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			next.ServeHTTP(w, r)
		})
	}
}
