package ledger_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/meti-go/meti/ledger"
)

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

func ExampleCheck() {
	season := ledger.Period{Start: 0, End: ledger.TimeOf(time.Now())}
	field := func(west float64) ledger.Source {
		shape, err := ledger.ParseGeometry(fmt.Appendf(nil,
			`{"type":"Polygon","coordinates":[[[%v,47],[%v,47],[%v,47.003],[%v,47.003],[%v,47]]]}`,
			west, west+0.004, west+0.004, west, west))
		if err != nil {
			log.Fatal(err)
		}
		return ledger.Source{Shape: shape, Period: season, Country: "France"}
	}
	// The second lies half over the first, the third beside the second.
	verdicts, err := ledger.Check(context.Background(), []ledger.Source{field(2), field(2.002), field(2.006)}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for i, v := range verdicts {
		fmt.Print(i, " conflict: ", v.Conflict())
		if v.PercentOverlap != nil {
			fmt.Printf(", %.2f of it with %v", *v.PercentOverlap, v.With)
		}
		fmt.Println()
	}
	// Output:
	// 0 conflict: true, 0.50 of it with [{1 false}]
	// 1 conflict: true, 0.50 of it with [{0 false}]
	// 2 conflict: false
}
