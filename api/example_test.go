package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/peterstace/simplefeatures/geom"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/oauth2"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/internal/emulated"
)

// fields are two fields in Iowa, of which the second lies half over the first,
// and one in Germany.
const fields = `{"type": "FeatureCollection", "features": [
	{"type": "Feature", "id": "north-40",
		"properties": {"start_at": "2026-01-01", "end_at": "2027-01-01", "crop": "maize"},
		"geometry": {"type": "Polygon", "coordinates": [[[-93.62,42.05],[-93.61,42.05],[-93.61,42.06],[-93.62,42.06],[-93.62,42.05]]]}},
	{"type": "Feature", "id": "north-41",
		"properties": {"start_at": "2026-01-01", "end_at": "2027-01-01", "crop": "maize"},
		"geometry": {"type": "Polygon", "coordinates": [[[-93.615,42.05],[-93.605,42.05],[-93.605,42.06],[-93.615,42.06],[-93.615,42.05]]]}},
	{"type": "Feature", "id": "boerde-1",
		"properties": {"start_at": "2026-01-01", "end_at": "2027-01-01", "crop": "wheat"},
		"geometry": {"type": "Polygon", "coordinates": [[[11.50,52.05],[11.51,52.05],[11.51,52.06],[11.50,52.06],[11.50,52.05]]]}}
]}`

// emulate points the environment at an emulator that holds the three fields. A
// program of yours leaves that line out: its environment says where METI is.
func emulate(faults ...emulator.Fault) *emulated.Server {
	return emulated.Start(emulator.Options{Sources: []io.Reader{strings.NewReader(fields)}, Faults: faults})
}

// List the sources of the account that are in conflict.
func Example() {
	defer emulate().Close()

	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}
	for source, err := range client.Sources.All(context.Background(), api.AllParams{}) {
		if err != nil {
			log.Fatal(err)
		}
		if source.InConflict() {
			fmt.Println(source.AltID, "in", source.Country)
		}
	}
	// Output:
	// north-40 in United States of America
	// north-41 in United States of America
}

// An account of any size, source by source. What METI did not tell is empty, or
// nil where false and 0 are answers.
func ExampleSourcesService_All() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	hectares := map[string]float64{}
	for source, err := range client.Sources.All(context.Background(), api.AllParams{}) {
		if err != nil {
			log.Fatal(err)
		}
		if source.Hectares != nil {
			hectares[source.Country] += float64(*source.Hectares)
		}
	}
	for country, sum := range hectares {
		fmt.Printf("%s: %.2f ha\n", country, sum)
	}
	// Unordered output:
	// United States of America: 183.89 ha
	// Germany: 76.32 ha
}

// Only what the filter lets through; its fields are those of openapi.yaml.
func ExampleSourcesService_All_filter() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	filter := api.Filter{AltID: "boerde-1"}
	for source, err := range client.Sources.All(context.Background(), api.AllParams{Filter: filter}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(source.ID, source.AltID, source.Country)
	}
	// Output:
	// src_HVDdtNYATuNtO boerde-1 Germany
}

// One page, for a program that shows pages.
func ExampleSourcesService_List() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	page, err := client.Sources.List(context.Background(), api.ListParams{Limit: 2, Offset: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, source := range page {
		fmt.Println(source.AltID)
	}
	// Output:
	// north-41
	// boerde-1
}

func ExampleSourcesService_Get() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	source, err := client.Sources.Get(context.Background(), "src_0000000000000")
	if errors.Is(err, api.ErrNotFound) {
		fmt.Println("the account has no such source")
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source)
	// Output:
	// the account has no such source
}

// Register a file of fields in one request. Thousands of them are the work of
// package register.
func ExampleSourcesService_Create() {
	defer emulated.Start(emulator.Options{}).Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	features, err := api.ParseFeatures([]byte(fields))
	if err != nil {
		log.Fatal(err)
	}
	methodology := api.MethodologyAgriculture
	created, err := client.Sources.Create(context.Background(), api.SourceCreateFeatures{
		FeatureCollection: features,
		Methodology:       &methodology,
	})
	if errors.Is(err, api.ErrOutcomeUnknown) {
		log.Fatal("METI may have registered them: look their alt_ids up before sending them again: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	for _, source := range created {
		fmt.Println(source.AltID, source.InConflict(), len(source.ConflictWith))
	}
	// Output:
	// north-40 true 1
	// north-41 true 1
	// boerde-1 false 0
}

// Register one source, with attributes of its own.
func ExampleSourcesService_CreateOne() {
	defer emulated.Start(emulator.Options{}).Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	start, end := api.Date(2026, time.April, 1), api.Date(2026, time.October, 1)
	year := 2026
	source, err := client.Sources.CreateOne(context.Background(), api.SourceCreate{
		AltID:                "field-0042",
		StartAt:              &start,
		EndAt:                &end,
		OutcomeReportingYear: &year,
		Tags:                 []string{"north"},
		Geometry:             json.RawMessage(`{"type":"Polygon","coordinates":[[[-93.6012,42.0301],[-93.5951,42.0301],[-93.5951,42.0346],[-93.6012,42.0346],[-93.6012,42.0301]]]}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.ID, source.AltID, source.StartAt, source.Tags)
	// Output:
	// src_07xrZltyQzLdC field-0042 2026-04-01T00:00:00Z [north]
}

// Delete one source by its SSID.
func ExampleSourcesService_Delete() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	for source, err := range client.Sources.All(ctx, api.AllParams{Filter: api.Filter{AltID: "north-41"}}) {
		if err != nil {
			log.Fatal(err)
		}
		if err := client.Sources.Delete(ctx, source.ID); err != nil {
			log.Fatal(err)
		}
		fmt.Println("deleted", source.AltID)
	}
	// Output:
	// deleted north-41
}

// Delete by your own id, which several sources may share: three seasons of a
// field, for instance.
func ExampleSourcesService_DeleteByAltID() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	if err := client.Sources.DeleteByAltID(ctx, "north-41"); err != nil {
		log.Fatal(err)
	}
	left, err := client.Sources.List(ctx, api.ListParams{})
	if err != nil {
		log.Fatal(err)
	}
	for _, source := range left {
		fmt.Println(source.AltID, source.InConflict())
	}
	// Output:
	// north-40 false
	// boerde-1 false
}

// GeoJSON as people have it: numbers for ids, and properties of their own.
func ExampleParseFeatures() {
	features, err := api.ParseFeatures([]byte(`{"type": "FeatureCollection", "features": [{
		"type": "Feature", "id": 42,
		"properties": {"start_at": "2026-01-01", "end_at": "2026-12-31", "crop": "maize"},
		"geometry": {"type": "Polygon", "coordinates": [[[-93.60,42.03],[-93.59,42.03],[-93.59,42.04],[-93.60,42.03]]]}
	}]}`))
	if err != nil {
		log.Fatal(err)
	}
	for _, feature := range features.Features {
		fmt.Println(feature.ID, feature.Properties.StartAt, feature.Properties.EndAt)
	}

	_, err = api.ParseFeatures([]byte(`{"type": "Feature", "id": "x", "properties": {"start_at": "01/02/2026"}, "geometry": null}`))
	fmt.Println(err)
	// Output:
	// 42 2026-01-01T00:00:00Z 2026-12-31T00:00:00Z
	// api: features[0]: properties.start_at: "01/02/2026" is not a date such as 2026-01-31
}

// A Time is a time.Time that METI understands.
func ExampleDate() {
	start := api.Date(2026, time.April, 1)
	end := api.Time{Time: start.AddDate(0, 6, 0)}
	fmt.Println(start, end, end.Sub(start.Time).Hours()/24, "days")
	// Output:
	// 2026-04-01T00:00:00Z 2026-10-01T00:00:00Z 183 days
}

// Which sources conflict with which, by the account's own ids. METI names the
// others by their SSIDs; what is not in the account is another custodian's.
func ExampleSource_InConflict() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	var conflicting []*api.Source
	altIDs := map[api.SSID]string{}
	for source, err := range client.Sources.All(context.Background(), api.AllParams{}) {
		if err != nil {
			log.Fatal(err)
		}
		altIDs[source.ID] = source.AltID
		if source.InConflict() {
			conflicting = append(conflicting, source)
		}
	}
	for _, source := range conflicting {
		for _, id := range source.ConflictWith {
			other, ours := altIDs[id]
			if !ours {
				other = "another custodian's " + id
			}
			fmt.Println(source.AltID, "conflicts with", other)
		}
	}
	// Output:
	// north-40 conflicts with north-41
	// north-41 conflicts with north-40
}

// The corners of a boundary, without a library for geometry.
func ExampleSource_Polygons() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	for source, err := range client.Sources.All(context.Background(), api.AllParams{Filter: api.Filter{AltID: "north-40"}}) {
		if err != nil {
			log.Fatal(err)
		}
		polygons, err := source.Polygons()
		if err != nil {
			log.Fatal(err)
		}
		for _, polygon := range polygons {
			for _, ring := range polygon {
				for _, position := range ring {
					fmt.Println("longitude", position[0], "latitude", position[1])
				}
			}
		}
	}
	// Output:
	// longitude -93.62 latitude 42.05
	// longitude -93.61 latitude 42.05
	// longitude -93.61 latitude 42.06
	// longitude -93.62 latitude 42.06
	// longitude -93.62 latitude 42.05
}

// The boundary as it came, for a library that reads GeoJSON: here simplefeatures.
func ExampleSource_Boundary() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	for source, err := range client.Sources.All(context.Background(), api.AllParams{Filter: api.Filter{AltID: "north-40"}}) {
		if err != nil {
			log.Fatal(err)
		}
		boundary, err := geom.UnmarshalGeoJSON(source.Boundary())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(boundary.AsText())
	}
	// Output:
	// POLYGON((-93.62 42.05,-93.61 42.05,-93.61 42.06,-93.62 42.06,-93.62 42.05))
}

// What METI refuses: the error says which values, and what is wrong with them.
func ExampleError() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	features, err := api.ParseFeatures([]byte(strings.Replace(fields, "2027-01-01", "2026-01-01", 1)))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Sources.Create(context.Background(), api.SourceCreateFeatures{FeatureCollection: features})
	var refused *api.Error
	if errors.Is(err, api.ErrInvalid) && errors.As(err, &refused) {
		fmt.Println(refused.Operation, "was refused with", refused.Status)
		for _, field := range refused.Fields {
			fmt.Println(field)
		}
	}
	// Output:
	// createSources was refused with 422
	// body.features[0].properties.end_at: end_at is not later than start_at by more than one day
}

// Classes tell what to do; the error itself holds the rest.
func ExampleError_classes() {
	defer emulate(
		emulator.Fault{Operation: "createSources", Kind: emulator.FaultDropAfter, Count: 1},
		emulator.Fault{Operation: "listSources", Kind: emulator.FaultStatus, Status: 429, RetryAfter: time.Hour},
	).Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	features, err := api.ParseFeatures([]byte(fields))
	if err != nil {
		log.Fatal(err)
	}

	// The answer is lost, and the fields are registered all the same: a repeat
	// would put each of them in conflict with itself.
	_, err = client.Sources.Create(ctx, api.SourceCreateFeatures{FeatureCollection: features})
	if errors.Is(err, api.ErrOutcomeUnknown) {
		fmt.Println("look them up before sending them again")
	}

	_, err = client.Sources.List(ctx, api.ListParams{})
	var failed *api.Error
	if errors.Is(err, api.ErrRateLimited) && errors.As(err, &failed) {
		fmt.Printf("%s: status %d, wait %s, attempts %d\n", failed.Operation, failed.Status, failed.RetryAfter, failed.Attempts)
	}
	// Output:
	// look them up before sending them again
	// listSources: status 429, wait 1h0m0s, attempts 1
}

// An operation that this version does not know: it is authenticated and judged
// as the others are.
func ExampleClient_Do() {
	defer emulate().Close()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	answer, err := client.Do(context.Background(), "GET", "/healthz", nil, nil, api.Repeatable())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer))

	_, err = client.Do(context.Background(), "PATCH", "/sources/src_0000000000000", nil, map[string]any{"tags": []string{"north"}})
	fmt.Println(err) // METI has no such operation yet
	// Output:
	// {"status":"ok"}
	// PATCH /sources/src_0000000000000: 405 Method Not Allowed: Method Not Allowed
}

// Tokens from a source of your own, such as a vault. Where only the place to keep
// them is your own, write an authn.Store.
func ExampleWithTokenSource() {
	server := emulate()
	defer server.Close()
	// A token source is asked before each attempt, so let it keep its token.
	vault := oauth2.ReuseTokenSource(nil, tokenSource(func() (*oauth2.Token, error) {
		text, err := server.Token(emulator.TokenSpec{})
		return &oauth2.Token{AccessToken: text, Expiry: time.Now().Add(time.Hour)}, err
	}))

	client, err := api.New(api.WithTokenSource(vault), api.WithBaseURL(os.Getenv("METI_BASE_URL")))
	if err != nil {
		log.Fatal(err)
	}
	sources, err := client.Sources.List(context.Background(), api.ListParams{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(sources), "sources")
	// Output:
	// 3 sources
}

// tokenSource makes a function an oauth2.TokenSource.
type tokenSource func() (*oauth2.Token, error)

func (f tokenSource) Token() (*oauth2.Token, error) { return f() }

// OpenTelemetry: otelhttp makes a span for each attempt, of the provider that your
// program has set, and gives the trace of the context to METI.
func ExampleWithHTTPClient_openTelemetry() {
	defer emulated.Start(emulator.Options{Middleware: showTrace}).Close()

	traced := &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport,
		otelhttp.WithPropagators(propagation.TraceContext{}))}
	client, err := api.New(api.FromEnv(), api.WithHTTPClient(traced))
	if err != nil {
		log.Fatal(err)
	}
	// The span of whoever calls; a program has it in its context already.
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9}, SpanID: trace.SpanID{0xf0}, TraceFlags: trace.FlagsSampled,
	}))
	if _, err := client.Sources.List(ctx, api.ListParams{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// GET /sources of trace 00-4bf90000000000000000000000000000-f000000000000000-01
}

// showTrace prints the trace that a request for sources is a part of.
func showTrace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sources" {
			fmt.Println(r.Method, r.URL.Path, "of trace", r.Header.Get("Traceparent"))
		}
		next.ServeHTTP(w, r)
	})
}

// A service that stumbles is asked again.
func ExampleWithHook() {
	defer emulate(emulator.Fault{Operation: "listSources", Kind: emulator.FaultStatus, Status: 503, Count: 2}).Close()

	client, err := api.New(api.FromEnv(), api.WithHook(func(_ context.Context, a api.Attempt) {
		fmt.Printf("%s, attempt %d: %d, again: %t\n", a.Operation, a.Number, a.Status, a.Repeat)
	}))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Sources.List(context.Background(), api.ListParams{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// listSources, attempt 1: 503, again: true
	// listSources, attempt 2: 503, again: true
	// listSources, attempt 3: 200, again: false
}

func ExampleLogAttempts() {
	defer emulate(emulator.Fault{Operation: "listSources", Kind: emulator.FaultStatus, Status: 503, Count: 1}).Close()

	// Times are left out, so that each run prints the same.
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "duration", "wait", "error", "received":
				return slog.Attr{}
			}
			return a
		},
	}))
	client, err := api.New(api.FromEnv(), api.WithHook(api.LogAttempts(logger)))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Sources.List(context.Background(), api.ListParams{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// level=INFO msg="METI request" operation=listSources attempt=1 status=503 sent=0
	// level=DEBUG msg="METI request" operation=listSources attempt=2 status=200 sent=0
}

// A program that a person waits for gives up sooner, and a nightly job later.
func ExampleWithRetryPolicy() {
	server := emulate(emulator.Fault{Operation: "getSource", Kind: emulator.FaultStatus, Status: 503})
	defer server.Close()

	client, err := api.New(api.FromEnv(), api.WithRetryPolicy(api.RetryPolicy{
		Attempts: 2,
		Within:   30 * time.Second,
	}))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Sources.Get(context.Background(), "src_0000000000000")
	fmt.Println(errors.Is(err, api.ErrServer), server.Requests()["getSource"])
	// Output:
	// true 2
}
