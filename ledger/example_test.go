package ledger_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
)

// Check a file before it is registered: what METI would refuse, and who would
// conflict with whom.
func Example() {
	features, problems := ledger.ParseCollection([]byte(`{"type": "FeatureCollection", "features": [
		{"type": "Feature", "id": "north",
			"properties": {"start_at": "2026-01-01T00:00:00Z", "end_at": "2027-01-01T00:00:00Z"},
			"geometry": {"type": "Polygon", "coordinates": [[[2,47],[2.004,47],[2.004,47.003],[2,47.003],[2,47]]]}},
		{"type": "Feature", "id": "half-over-it",
			"properties": {"start_at": "2026-01-01T00:00:00Z", "end_at": "2027-01-01T00:00:00Z"},
			"geometry": {"type": "Polygon", "coordinates": [[[2.002,47],[2.006,47],[2.006,47.003],[2.002,47.003],[2.002,47]]]}},
		{"type": "Feature", "id": "beside",
			"properties": {"start_at": "2026-01-01T00:00:00Z", "end_at": "2027-01-01T00:00:00Z"},
			"geometry": {"type": "Polygon", "coordinates": [[[2.006,47],[2.01,47],[2.01,47.003],[2.006,47.003],[2.006,47]]]}}
	]}`), ledger.Rules{})
	for _, p := range problems {
		fmt.Println(p)
	}
	if problems.Invalid() {
		return
	}

	world := countries.World()
	sources := make([]ledger.Source, len(features))
	for i, f := range features {
		sources[i] = ledger.Source{Shape: f.Shape, Period: f.Period, Country: world.Of(f.Shape)}
	}
	verdicts, err := ledger.Check(context.Background(), sources, nil)
	if err != nil {
		log.Fatal(err)
	}
	for i, v := range verdicts {
		fmt.Printf("%s: %.2f ha, %s", features[i].AltID, sources[i].Shape.Hectares(), sources[i].Country)
		if v.PercentOverlap != nil {
			fmt.Printf(", %.0f %% in conflict", *v.PercentOverlap*100)
		}
		for _, other := range v.With {
			fmt.Print(" with ", features[other].AltID)
		}
		fmt.Println()
	}
	// Output:
	// north: 10.15 ha, France, 50 % in conflict with half-over-it
	// half-over-it: 10.15 ha, France, 50 % in conflict with north
	// beside: 10.15 ha, France
}

// One feature, and all that is wrong with it.
func ExampleParseFeature() {
	text := []byte(`{"type":"Feature","id":"field-7",
		"properties":{"start_at":"2024-01-01T00:00:00Z","end_at":"2024-12-31T00:00:00Z"},
		"geometry":{"type":"Polygon","coordinates":[[[2.25,47.25],[2.5,47.5],[2.5,47.25],[2.25,47.5],[2.25,47.25]]]}}`)
	_, problems := ledger.ParseFeature(text, ledger.Rules{})
	for _, p := range problems {
		fmt.Println(p)
	}
	// Output:
	// error: the ring crosses or touches itself: its edges after positions 0 and 2 meet at /geometry/coordinates/0/2 near 2.375 47.375 [self-intersection]
}

// Rings are closed and wound as RFC 7946 wants them; no boundary is moved.
func ExampleRepair() {
	fixed, fixes, err := ledger.Repair([]byte(`{"type":"Polygon","coordinates":[[[2.30,47.20],[2.30,47.21],[2.31,47.20]]]}`))
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range fixes {
		fmt.Println(f.Message)
	}
	fmt.Println(string(fixed))
	// Output:
	// closed the ring with its first position
	// wound the shell counter-clockwise
	// {"type":"Polygon","coordinates":[[[2.30,47.20],[2.31,47.20],[2.30,47.21],[2.30,47.20]]]}
}

// What a text may mean where it is no date of ISO 8601.
func ExampleParseTime() {
	_, err := ledger.ParseTime("01/04/2026")
	fmt.Println(err)
	// Output:
	// "01/04/2026" may be 2026-04-01 or 2026-01-04: write the one that is meant
}
