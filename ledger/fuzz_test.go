package ledger

import (
	"encoding/json"
	"testing"

	"github.com/meti-go/meti/internal/scan"
)

// FuzzParseFeature holds that no text makes the package panic, that what it
// takes can be measured and judged, and that mending changes no verdict for
// the worse.
func FuzzParseFeature(f *testing.F) {
	for _, c := range readOracle[[]validityCase](f, "validity.json") {
		scan.Elements(members([]byte(c.Collection), "features")[0], func(_ int, one []byte) bool {
			f.Add(one)
			return true
		})
	}
	everywhere := Source{Shape: rectangle(f, [4]float64{-170, -80, 170, 80}), Country: "x", Period: allTime}
	f.Fuzz(func(t *testing.T, text []byte) {
		feature, problems := ParseFeature(text, Rules{})
		if feature.Shape == nil || problems.Refused() {
			return
		}
		s := Source{Shape: feature.Shape, Country: "x", Period: feature.Period}
		feature.Shape.Hectares()
		feature.Shape.Centroid()
		if box, ok := feature.Shape.SearchBox(); ok && !(box.West <= box.East) {
			t.Errorf("search box %v", box)
		}
		Conflict(s, everywhere)
		Conflict(everywhere, s)
		if share, ok := Overlap(s.Shape, []*Shape{everywhere.Shape, s.Shape}); ok && !(share >= 0 && share <= 1) {
			t.Errorf("share %v", share)
		}
		mended, _, err := Repair(text)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(mended) {
			t.Fatalf("mended into %q", mended)
		}
		if _, problems := ParseFeature(mended, Rules{}); problems.Refused() {
			t.Errorf("mended into %s: %v", mended, problems)
		}
	})
}

// FuzzParseTime holds that no text makes the reader panic, and that what it
// reads is written so that it is read again.
func FuzzParseTime(f *testing.F) {
	type timeCase struct{ Text string }
	for _, c := range readOracle[[]timeCase](f, "times.json") {
		f.Add(c.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTime(text)
		if err != nil || got.Std().Year() < 1 || got.Std().Year() > 9999 { // by their zones
			return
		}
		if again, err := ParseTime(got.String()); err != nil || again != got {
			t.Errorf("%q is %v, and that is %v, %v", text, got, again, err)
		}
	})
}
