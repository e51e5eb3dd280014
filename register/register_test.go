package register_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/register"
)

func TestRegistersOnce(t *testing.T) {
	server := start(t, emulator.Options{})
	path := file(t, collection(square("a", 1), square("b", 2), bowtie("c"), square("d", 4)))
	first := run(t, server, register.Options{Input: path, BatchFeatures: 2, InFlight: 1})
	if first.err != nil || first.outcomes() != "a registered, b registered, c invalid, d registered" {
		t.Fatal(first.outcomes(), first.err, first.notices)
	}
	if want := (register.Counts{Features: 4, Registered: 3, Invalid: 1, Done: 3}); first.Counts != want || first.Sent != 3 || first.Journal != path+".meti-journal" {
		t.Errorf("%+v", first.Summary)
	}
	if !strings.Contains(first.results[2].Reason, "self-intersection") {
		t.Error(first.results[2].Reason)
	}
	for i, s := range stored(t, server) {
		r := first.results[[]int{0, 1, 3}[i]]
		if r.ID != s.ID || *r.Hectares != float64(*s.Hectares) || *r.Conflict {
			t.Errorf("%+v is not %s", r, s.ID)
		}
	}
	before := server.Requests()
	second := run(t, server, register.Options{Input: path})
	if second.err != nil || second.outcomes() != first.outcomes() || second.results[1].ID != first.results[1].ID || second.Sent != 0 {
		t.Fatal(second.outcomes(), second.err)
	}
	if after := server.Requests(); after["createSources"] != before["createSources"] {
		t.Fatal("requests were made again", before, after)
	}
}

func TestInputForms(t *testing.T) {
	a, b := square("a", 1), square("b", 2)
	for name, text := range map[string]string{
		"collection":      collection(a, b),
		"byte order mark": "\ufeff" + collection(a, b),
		"features first":  `{"features":[` + a + "," + b + `],"name":"x","type":"FeatureCollection"}`,
		"lines":           a + "\n" + b + "\n",
		"lines, CRLF":     a + "\r\n\r\n" + b,
		"indented":        strings.ReplaceAll(collection(a, b), ",", ",\n  "),
		"WGS84":           `{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:OGC:1.3:CRS84"}},"features":[` + a + "," + b + "]}",
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, emulator.Options{})
			if got := run(t, server, register.Options{Input: file(t, text)}); got.err != nil || got.outcomes() != "a registered, b registered" {
				t.Error(got.outcomes(), got.err)
			}
			// What was registered by that journal is not known to this one.
			got := run(t, server, register.Options{Stdin: iotest.OneByteReader(strings.NewReader(text))})
			if got.err != nil || got.outcomes() != "a registered, b registered" || got.Journal != "" || got.Sent != 0 {
				t.Error("from a pipe:", got.outcomes(), got.err)
			}
		})
	}
}

func TestUnreadableInput(t *testing.T) {
	server := start(t, emulator.Options{})
	for name, text := range map[string]string{
		"empty":       "",
		"no JSON":     "<kml/>",
		"cut short":   collection(square("a", 1), square("b", 2))[:300],
		"no features": `{"type":"FeatureCollection","features":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, server, register.Options{Input: file(t, text)})
			if !errors.Is(got.err, register.ErrInput) || got.results != nil {
				t.Error(got.err, got.outcomes())
			}
		})
	}
	if n := server.Requests()["createSources"]; n != 0 {
		t.Errorf("%d requests", n)
	}
	if got := run(t, server, register.Options{Input: filepath.Join(t.TempDir(), "none")}); !errors.Is(got.err, os.ErrNotExist) {
		t.Error(got.err)
	}
}

func TestMapping(t *testing.T) {
	geometry := square("x", 1)
	geometry = geometry[strings.Index(geometry, `"geometry"`):]
	feature := func(properties string) string {
		return `{"type":"Feature","id":"not this","properties":{` + properties + "}," + geometry
	}
	server := start(t, emulator.Options{})
	for _, c := range []struct {
		properties string
		options    register.Options
		altID      string
		start, end string
	}{
		{`"field":"F 1","sown":"2026-03-01","cut":"2026-09-30T12:00:00+02:00"`,
			register.Options{IDProperty: "field", StartProperty: "sown", EndProperty: "cut"},
			"F 1", "2026-03-01T00:00:00Z", "2026-09-30T10:00:00Z"},
		{`"field":1200000,"start_at":"2026-03-01T00:00:00.1234564Z"`,
			register.Options{IDProperty: "field", EndProperty: "2026-12-31"},
			"1200000", "2026-03-01T00:00:00.123456Z", "2026-12-31T00:00:00Z"},
		{`"start_at":"2001-01-01","end_at":"2001-12-31"`,
			register.Options{StartProperty: "2026-05-01T00:00:00Z", EndProperty: "2026-06-01"},
			"not this", "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"},
	} {
		c.options.Input = file(t, feature(c.properties))
		methodology := api.Methodology("Agriculture")
		year := 2026
		c.options.Attributes = api.SourceCreateFeatures{Methodology: &methodology, Tags: []string{"north"}, OutcomeReportingYear: &year}
		got := run(t, server, c.options)
		if got.err != nil || got.outcomes() != c.altID+" registered" {
			t.Errorf("%s: %s %v %v", c.properties, got.outcomes(), got.err, got.results)
			continue
		}
		all := stored(t, server)
		s := all[len(all)-1]
		if s.AltID != c.altID || s.StartAt.String() != c.start || s.EndAt.String() != c.end {
			t.Errorf("%s: %s %s %s", c.properties, s.AltID, s.StartAt, s.EndAt)
		}
		if s.Methodology != methodology || s.Tags[0] != "north" || s.OutcomeReportingYear != year {
			t.Errorf("%s: attributes %v %v %v", c.properties, s.Methodology, s.Tags, s.OutcomeReportingYear)
		}
	}
}

// What is invalid is not sent, and neither is one of two that nobody could
// tell apart; the rest is.
func TestInvalid(t *testing.T) {
	// The same boundary from another corner on, the other way round.
	turned := `{"type":"Feature","id":"a","properties":{"start_at":"2026-01-01T01:00:00+01:00","end_at":"2026-12-31"},"geometry":{"type":"MultiPolygon","coordinates":[[[[0.011,0.001],[0.011,0],[0.01,0],[0.01,0.001],[0.011,0.001]]]]}}`
	empty := `{"type":"Feature","id":"a","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},"geometry":{"type":"MultiPolygon","coordinates":[]}}`
	other := `{"type":"Feature","id":"a","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[0.01,0],[0.012,0],[0.012,0.001],[0.01,0.001],[0.01,0]]]}}`
	for name, c := range map[string]struct {
		features []string
		options  register.Options
		want     string
	}{
		"missing id":          {[]string{square("a", 1), square("", 2)}, register.Options{}, "a registered,  invalid"},
		"empty id":            {[]string{square("a", 1), strings.Replace(square("b", 2), `"b"`, `""`, 1)}, register.Options{}, "a registered,  invalid"},
		"null id":             {[]string{square("a", 1), strings.Replace(square("b", 2), `"b"`, `null`, 1)}, register.Options{}, "a registered,  invalid"},
		"no property":         {[]string{square("a", 1)}, register.Options{IDProperty: "field"}, " invalid"},
		"same feature":        {[]string{square("a", 1), square("b", 2), square("a", 1)}, register.Options{}, "a invalid, b registered, a invalid"},
		"three the same":      {[]string{square("a", 1), square("a", 1), square("a", 1), square("a", 2)}, register.Options{}, "a invalid, a invalid, a invalid, a registered"},
		"same, turned":        {[]string{square("a", 1), turned}, register.Options{}, "a invalid, a invalid"},
		"another of it":       {[]string{square("a", 1), other}, register.Options{}, "a registered, a registered"},
		"strictly":            {[]string{square("a", 1), other, square("b", 2)}, register.Options{Rules: ledger.Rules{Strict: true}}, "a invalid, a invalid, b registered"},
		"null":                {[]string{"null"}, register.Options{}, " invalid"},
		"clockwise":           {[]string{turned}, register.Options{}, "a registered"},
		"empty, allowed":      {[]string{empty, square("b", 2)}, register.Options{Rules: ledger.Rules{Allow: []ledger.Rule{ledger.RuleGeometryEmpty}}}, "a registered, b registered"},
		"clockwise, strictly": {[]string{turned}, register.Options{Rules: ledger.Rules{Strict: true}}, "a invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, emulator.Options{})
			c.options.Input = file(t, collection(c.features...))
			got := run(t, server, c.options)
			if got.err != nil || got.outcomes() != c.want {
				t.Error(got.outcomes(), got.err, got.notices)
			}
			for _, r := range got.results {
				if r.State == register.Invalid && r.Reason == "" {
					t.Error("no reason", r)
				}
			}
			if n := len(stored(t, server)); n != got.Registered {
				t.Errorf("%d sources", n)
			}
			if _, err := os.Stat(c.options.Input + ".meti-journal"); (err == nil) != (got.Registered > 0) {
				t.Error("the journal:", err)
			}
		})
	}
}

func TestSameIDOtherFeature(t *testing.T) {
	server := start(t, emulator.Options{})
	season := `"start_at":"2027-01-01","end_at":"2027-12-31"`
	path := file(t, collection(square("a", 1), square("a", 1, season), square("a", 2)))
	got := run(t, server, register.Options{Input: path})
	if got.err != nil || got.Registered != 3 {
		t.Fatal(got.outcomes(), got.err)
	}
	// Next season, in the same file and with the same journal.
	write(t, path, collection(square("a", 1, `"start_at":"2028-01-01","end_at":"2028-12-31"`)))
	got = run(t, server, register.Options{Input: path})
	if got.err != nil || got.Registered != 1 || got.Sent != 1 || len(stored(t, server)) != 4 {
		t.Fatal(got.outcomes(), got.err)
	}
	if len(got.notices) == 0 || !strings.Contains(strings.Join(got.notices, "\n"), "the journal has 3 features that the input does not have") {
		t.Error(got.notices)
	}
}

// counting counts the POSTs to /sources and what each held.
type counting struct {
	mu    sync.Mutex
	sizes []int // features
	bytes []int
}

func (c *counting) wrap(limit int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/sources") {
			body, _ := io.ReadAll(r.Body)
			c.mu.Lock()
			c.sizes = append(c.sizes, strings.Count(string(body), `"Feature"`))
			c.bytes = append(c.bytes, len(body))
			c.mu.Unlock()
			if limit > 0 && len(body) > limit {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
				return
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		next.ServeHTTP(w, r)
	})
}

func squares(n int, name func(int) string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = square(name(i), i)
	}
	return list
}

func numbered(i int) string { return fmt.Sprintf("f%03d", i) }

func TestBatches(t *testing.T) {
	var c counting
	server := start(t, emulator.Options{Middleware: func(next http.Handler) http.Handler { return c.wrap(0, next) }})
	path := file(t, collection(squares(50, numbered)...))
	if got := run(t, server, register.Options{Input: path, BatchFeatures: 20}); got.err != nil || got.Registered != 50 {
		t.Fatal(got.outcomes(), got.err)
	}
	slices.Sort(c.sizes)
	if !slices.Equal(c.sizes, []int{10, 20, 20}) {
		t.Error("by count:", c.sizes)
	}
	c.sizes, c.bytes = nil, nil
	path = file(t, collection(squares(50, func(i int) string { return "other" + numbered(i) })...))
	if got := run(t, server, register.Options{Input: path, BatchBytes: 4000}); got.err != nil || got.Registered != 50 {
		t.Fatal(got.outcomes(), got.err)
	}
	if most := slices.Max(c.bytes); most > 4000 || most < 2000 || len(c.sizes) > 6 {
		t.Error("by bytes:", c.sizes, c.bytes)
	}
}

func TestHalvedWhenTooLarge(t *testing.T) {
	var c counting
	server := start(t, emulator.Options{Middleware: func(next http.Handler) http.Handler { return c.wrap(3000, next) }})
	var ring []string
	for k := range 200 {
		a := 2 * math.Pi * float64(k%199) / 199
		ring = append(ring, fmt.Sprintf("[%.6f,%.6f]", 0.705+0.001*math.Cos(a), 0.005+0.001*math.Sin(a)))
	}
	huge := square("huge", 70)
	huge = huge[:strings.Index(huge, "[[[")] + "[[" + strings.Join(ring, ",") + "]]}}"
	got := run(t, server, register.Options{Input: file(t, collection(append(squares(64, numbered), huge)...)), BatchFeatures: 16, InFlight: 1})
	if got.err != nil || got.Registered != 64 || got.Refused != 1 {
		t.Fatal(got.outcomes(), got.err)
	}
	if r := got.results[64]; r.AltID != "huge" || !strings.HasPrefix(r.Reason, "413") {
		t.Error(r)
	}
	tooLarge := 0
	for _, n := range c.bytes {
		if n > 3000 {
			tooLarge++
		}
	}
	if tooLarge > 3 {
		t.Errorf("%d requests were too large: what was learnt is forgotten: %v", tooLarge, c.sizes)
	}
}

// k guilty of n are found in about k·log2(n) requests, and no innocent is
// blamed.
func TestBisect(t *testing.T) {
	for _, test := range []struct {
		n    int
		bad  []int
		most int
	}{
		{128, []int{0}, 10},
		{128, []int{127}, 10},
		{128, []int{77}, 10},
		{100, []int{13, 14}, 18},
		{128, []int{3, 40, 77, 90, 126}, 48},
		{1, []int{0}, 1},
		{2, []int{1}, 4},
	} {
		t.Run(fmt.Sprintf("%d of %d", len(test.bad), test.n), func(t *testing.T) {
			var c counting
			server := start(t, emulator.Options{Middleware: func(next http.Handler) http.Handler { return c.wrap(0, refusing(`"bad`)(next)) }})
			path := file(t, collection(squares(test.n, func(i int) string {
				if slices.Contains(test.bad, i) {
					return "bad" + numbered(i)
				}
				return numbered(i)
			})...))
			got := run(t, server, register.Options{Input: path, BatchFeatures: test.n})
			if got.err != nil || got.Refused != len(test.bad) || got.Registered != test.n-len(test.bad) {
				t.Fatalf("%+v %v", got.Summary, got.err)
			}
			for i, r := range got.results {
				want := register.Registered
				if slices.Contains(test.bad, i) {
					want = register.Refused
				}
				if r.State != want || want == register.Refused && !strings.Contains(r.Reason, "422 Unprocessable Entity: body: no") {
					t.Error(i, r)
				}
			}
			if n := len(stored(t, server)); n != test.n-len(test.bad) {
				t.Errorf("%d sources", n)
			}
			if t.Logf("%d requests", len(c.sizes)); len(c.sizes) > test.most {
				t.Errorf("%d requests, more than %d: %v", len(c.sizes), test.most, c.sizes)
			}
		})
	}
}

func TestInputChangedMeanwhile(t *testing.T) {
	server := start(t, emulator.Options{})
	text := collection(square("a", 1), square("b", 2))
	path := file(t, text)
	got := run(t, server, register.Options{Input: path, Progress: func(p register.Progress) {
		if p.Stage == register.StageAccount {
			write(t, path, strings.Replace(text, "0.0200", "0.0201", 1))
		}
	}})
	if !errors.Is(got.err, register.ErrInputChanged) || got.Sent != 0 || len(stored(t, server)) != 0 {
		t.Fatal(got.outcomes(), got.err)
	}
}

// Each account and each server has results of its own in one journal.
func TestOtherAccount(t *testing.T) {
	second := emulator.DemoAccount()
	second.ClientID, second.AccountID = "second", "0b7c3f0e-2f5d-4b6c-9a63-1d8f1f8f7a10"
	server := start(t, emulator.Options{Accounts: []emulator.Account{emulator.DemoAccount(), second}})
	path := file(t, collection(square("a", 1)))
	first := run(t, server, register.Options{Input: path})
	var o register.Options
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ready := server.Ready()
	ready.ClientID, ready.ClientSecret = second.ClientID, second.ClientSecret
	connect(&o, ready, api.WithHTTPClient(&http.Client{Transport: transport}))
	o.Input = path
	other := run(t, server, o)
	if first.err != nil || other.err != nil || other.Sent != 1 || other.results[0].ID == first.results[0].ID {
		t.Fatal(first.err, other.err, other.results)
	}
	again := run(t, server, register.Options{Input: path})
	if again.err != nil || again.Sent != 0 || again.results[0].ID != first.results[0].ID {
		t.Fatal(again.err, again.results)
	}
	sandbox := server.Ready()
	sandbox.URL += "/sandbox"
	connect(&o, sandbox, api.WithHTTPClient(&http.Client{Transport: transport}))
	tried := run(t, server, o)
	if tried.err != nil || tried.Sent != 1 || !strings.HasPrefix(tried.results[0].ID, "sandbox_") {
		t.Fatal(tried.err, tried.results)
	}
}

func TestTwoInputsOneJournal(t *testing.T) {
	server := start(t, emulator.Options{})
	journal := filepath.Join(t.TempDir(), "journal")
	one, two := file(t, collection(square("a", 1))), file(t, collection(square("b", 2), square("a", 1)))
	if got := run(t, server, register.Options{Input: one, Journal: journal}); got.err != nil || got.Sent != 1 {
		t.Fatal(got.err)
	}
	if got := run(t, server, register.Options{Input: two, Journal: journal}); got.err != nil || got.Sent != 1 || got.outcomes() != "b registered, a registered" {
		t.Fatal(got.err, got.outcomes())
	}
}

func TestNotPermitted(t *testing.T) {
	server := start(t, emulator.Options{})
	path := file(t, collection(squares(6, numbered)...))
	for _, c := range []struct {
		fault string
		class error
		want  int // registered
	}{
		{"createSources:403:skip=1", api.ErrForbidden, 2},
		{"createSources:401", api.ErrUnauthorized, 2},
		{"createSources:404", api.ErrNotFound, 2},
	} {
		fault, err := emulator.ParseFault(c.fault)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.SetFaults([]emulator.Fault{fault}); err != nil {
			t.Fatal(err)
		}
		got := run(t, server, register.Options{Input: path, BatchFeatures: 2, InFlight: 1})
		if !errors.Is(got.err, c.class) || got.Registered != c.want || got.Pending != 6-c.want || got.Unknown != 0 {
			t.Errorf("%s: %+v %v", c.fault, got.Summary, got.err)
		}
	}
	if err := server.SetFaults([]emulator.Fault{{Operation: "listSources", Kind: emulator.FaultStatus, Status: 403}}); err != nil {
		t.Fatal(err)
	}
	if got := run(t, server, register.Options{Input: path}); !errors.Is(got.err, api.ErrForbidden) {
		t.Error(got.err)
	}
}

func TestRowMatchesFeature(t *testing.T) {
	server := start(t, emulator.Options{})
	features := []string{square("a", 1), bowtie("b")}
	var o register.Options
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	connect(&o, server.Ready(), api.WithHTTPClient(&http.Client{Transport: transport}))
	o.Input = file(t, collection(features...))
	full := errors.New("nobody reads")
	_, err := planAndRun(t.Context(), o, func(r register.Row) error {
		raw, err := r.Feature()
		if err != nil || string(raw) != features[0] {
			t.Errorf("%s: %s %v", r.AltID, raw, err)
		}
		text, err := json.Marshal(r)
		if err != nil || !json.Valid(text) {
			t.Error(err)
		}
		if features = features[1:]; len(features) == 0 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) {
		t.Fatal(err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []register.Options{
		{},
		{Client: new(api.Client), Journal: "x", NoJournal: true},
		{Client: new(api.Client), Settle: -1},
		{Client: new(api.Client), Changed: 7},
		{Client: new(api.Client)}, // no input
	} {
		if _, err := register.Plan(t.Context(), o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}

// A pipe that nobody writes to does not keep a run from ending.
func TestInterruptedWhileReading(t *testing.T) {
	server := start(t, emulator.Options{})
	reader, writer := io.Pipe()
	defer writer.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	reason := errors.New("terminated")
	go func() {
		_, _ = writer.Write([]byte(square("a", 1)))
		stop(reason)
	}()
	if got := runContext(ctx, t, server, register.Options{Stdin: reader}); !errors.Is(got.err, reason) || got.results != nil {
		t.Error(got.err, got.results)
	}
}
