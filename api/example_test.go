package api_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
)

// start starts an emulator and returns it with the options that call it: in a
// program of yours, api.FromEnv() alone.
func start(options emulator.Options) (*emulator.Server, []api.Option) {
	options.Seed = 1
	server, err := emulator.Start(options)
	if err != nil {
		log.Fatal(err)
	}
	ready := server.Ready()
	source, err := authn.New(authn.Config{
		Domain:       ready.Domain,
		ClientID:     ready.ClientID,
		ClientSecret: authn.Secret(ready.ClientSecret),
	})
	if err != nil {
		log.Fatal(err)
	}
	return server, []api.Option{api.WithAuth(source), api.WithBaseURL(ready.URL)}
}

// square is a field of some 25 hectares.
func square(id string) api.Feature {
	return api.Feature{
		ID: id,
		Properties: api.FeatureProperties{
			StartAt: api.Date(2026, time.January, 1),
			EndAt:   api.Date(2026, time.December, 31),
		},
		Geometry: []byte(`{"type":"Polygon","coordinates":[[[-93.6012,42.0301],[-93.5951,42.0301],[-93.5951,42.0346],[-93.6012,42.0346],[-93.6012,42.0301]]]}`),
	}
}

// Register a field, find it by the caller's own id, get and delete it.
func Example() {
	server, options := start(emulator.Options{})
	defer server.Close()
	client, err := api.New(options...)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	created, err := client.Sources.Create(ctx, api.SourceCreateFeatures{
		FeatureCollection: api.FeatureCollection{Features: []api.Feature{square("field-0042")}},
	})
	if err != nil {
		log.Fatal(err)
	}
	id := created[0].ID

	for source, err := range client.Sources.All(ctx, api.AllParams{Filter: api.Filter{AltID: "field-0042"}}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(source.AltID, "in conflict:", source.InConflict())
	}

	if err := client.Sources.Delete(ctx, id); err != nil {
		log.Fatal(err)
	}
	_, err = client.Sources.Get(ctx, id)
	fmt.Println("gone:", errors.Is(err, api.ErrNotFound))
	// Output:
	// field-0042 in conflict: false
	// gone: true
}

// GeoJSON as people have it: numbers for ids, and properties of their own.
func ExampleParseFeatures() {
	fields, err := api.ParseFeatures([]byte(`{"type":"FeatureCollection","features":[{
		"type": "Feature", "id": 42,
		"properties": {"start_at": "2026-01-01", "end_at": "2026-12-31", "crop": "maize"},
		"geometry": {"type":"Polygon","coordinates":[[[-93.60,42.03],[-93.59,42.03],[-93.59,42.04],[-93.60,42.03]]]}
	}]}`))
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range fields.Features {
		fmt.Println(f.ID, f.Properties.StartAt, f.Properties.EndAt)
	}
	_, err = api.ParseFeatures([]byte(`{"type":"Feature","id":"x","properties":{"start_at":"01/02/2026"},"geometry":null}`))
	fmt.Println(err)
	// Output:
	// 42 2026-01-01T00:00:00Z 2026-12-31T00:00:00Z
	// api: features[0]: properties.start_at: wire: "01/02/2026" is not a date; write it as 2026-01-31T00:00:00Z
}

// An operation that this version does not know.
func ExampleClient_Do() {
	server, options := start(emulator.Options{})
	defer server.Close()
	client, err := api.New(options...)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Do(context.Background(), "PATCH", "/sources/"+url.PathEscape("src_0000000000000"), nil, map[string]any{"tags": []string{"north"}})
	fmt.Println(err) // the emulator does not know it either
	// Output:
	// PATCH /sources/src_0000000000000: 405 Method Not Allowed: Method Not Allowed
}

// Classes tell what to do; the error itself holds the rest.
func ExampleError() {
	server, options := start(emulator.Options{Faults: []emulator.Fault{
		{Operation: "createSources", Kind: emulator.FaultDropAfter, Count: 1},
		{Operation: "listSources", Kind: emulator.FaultStatus, Status: 429, RetryAfter: time.Hour},
	}})
	defer server.Close()
	client, err := api.New(options...)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	features := api.SourceCreateFeatures{FeatureCollection: api.FeatureCollection{Features: []api.Feature{square("field-0042")}}}

	// The answer is lost, and the field is registered all the same: a repeat
	// would put it in conflict with itself.
	if _, err = client.Sources.Create(ctx, features); errors.Is(err, api.ErrOutcomeUnknown) {
		fmt.Println("look up field-0042 before sending it again")
	}

	_, err = client.Sources.List(ctx, api.ListParams{})
	var e *api.Error
	if errors.As(err, &e) && errors.Is(err, api.ErrRateLimited) {
		fmt.Printf("%s: status %d, wait %s, attempts %d\n", e.Operation, e.Status, e.RetryAfter, e.Attempts)
	}

	_, err = client.Sources.Get(ctx, "src_0000000000000")
	fmt.Println(err)
	// Output:
	// look up field-0042 before sending it again
	// listSources: status 429, wait 1h0m0s, attempts 1
	// getSource: 404 Not Found: Source not found
}

// A service that stumbles is asked again.
func ExampleWithHook() {
	server, options := start(emulator.Options{Faults: []emulator.Fault{
		{Operation: "listSources", Kind: emulator.FaultStatus, Status: 503, Count: 2},
	}})
	defer server.Close()
	client, err := api.New(append(options, api.WithHook(func(_ context.Context, a api.Attempt) {
		fmt.Printf("%s, attempt %d: %d, again: %t\n", a.Operation, a.Number, a.Status, a.Repeat)
	}))...)
	if err != nil {
		log.Fatal(err)
	}
	sources, err := client.Sources.List(context.Background(), api.ListParams{})
	fmt.Println(len(sources), err)
	// Output:
	// listSources, attempt 1: 503, again: true
	// listSources, attempt 2: 503, again: true
	// listSources, attempt 3: 200, again: false
	// 0 <nil>
}

func ExampleLogAttempts() {
	server, options := start(emulator.Options{Faults: []emulator.Fault{
		{Operation: "listSources", Kind: emulator.FaultStatus, Status: 503, Count: 1},
	}})
	defer server.Close()
	// Times are left out, so that each run prints the same.
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "duration", "wait", "error":
				return slog.Attr{}
			}
			return a
		},
	}))
	client, err := api.New(append(options, api.WithHook(api.LogAttempts(logger)))...)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Sources.List(context.Background(), api.ListParams{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// level=INFO msg="METI request" operation=listSources attempt=1 status=503 sent=0 received=46
	// level=DEBUG msg="METI request" operation=listSources attempt=2 status=200 sent=0 received=2
}

// OpenTelemetry: a span for each attempt, and the trace's context in each
// request, by the transport of otelhttp.
func ExampleWithHTTPClient_openTelemetry() {
	server, options := start(emulator.Options{})
	defer server.Close()
	traced := &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
	client, err := api.New(append(options, api.WithHTTPClient(traced))...)
	if err != nil {
		log.Fatal(err)
	}
	sources, err := client.Sources.List(context.Background(), api.ListParams{})
	fmt.Println(len(sources), err)
	// Output:
	// 0 <nil>
}

// A program that a person waits for gives up sooner, and a nightly job later.
func ExampleWithRetryPolicy() {
	server, options := start(emulator.Options{Faults: []emulator.Fault{
		{Operation: "getSource", Kind: emulator.FaultStatus, Status: 503},
	}})
	defer server.Close()
	client, err := api.New(append(options, api.WithRetryPolicy(api.RetryPolicy{
		Attempts: 2,
		Within:   2 * time.Second,
	}))...)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Sources.Get(context.Background(), "src_0000000000000")
	fmt.Println(errors.Is(err, api.ErrServer), server.Requests()["getSource"])
	// Output:
	// true 2
}
