package countries

import (
	"testing"

	"github.com/meti-go/meti/ledger"
)

func TestWorldKnowsPlaces(t *testing.T) {
	world := World()
	names := map[string]bool{}
	for name := range world.All() {
		names[name] = true
	}
	if len(names) != 255 {
		t.Errorf("%d countries, want 255", len(names))
	}
	for _, c := range []struct {
		want     string
		lon, lat float64
	}{
		{"United States of America", -93.6, 41.6},
		{"United States of America", -155.5, 19.6}, // Hawaii
		{"United States of America", -149.9, 61.2}, // Alaska
		{"Canada", -106.7, 52.1},
		{"France", 2.3, 47.2},
		{"France", -53.1, 4.0}, // Guiana
		{"Switzerland", 6.63, 46.60},
		{"Switzerland", 8.55, 47.37},
		{"Germany", 10.0, 51.0},
		{"Kenya", 37.1, -1.3},
		{"Lesotho", 28.3, -29.5}, // a hole of South Africa
		{"South Africa", 26.2, -29.1},
		{"Bosnia and Herzegovina", 17.8, 44.2},
		{"Democratic Republic of the Congo", 23.6, -2.9},
		{"Brazil", -55.0, -10.0},
		{"Fiji", 178.0, -17.8},
		{"Fiji", -179.97, -16.8},
		{"Russia", -175.0, 67.0}, // beyond the antimeridian
		{"Antarctica", 0, -80},
		{"Italy", 12.5, 41.9},
		{"", -40, 40}, // the Atlantic
		{"", -1.3, 37.1},
		{"", 190, 47},
	} {
		if got := world.At(ledger.Point{c.lon, c.lat}); got != c.want {
			t.Errorf("%v, %v lies in %q, want %q", c.lon, c.lat, got, c.want)
		}
	}
}

func TestDamagedTableIsAnError(t *testing.T) {
	for _, n := range []int{0, 10, len(packed) / 2, len(packed) - 1} {
		if _, err := unpack(packed[:n]); err == nil {
			t.Errorf("the first %d bytes were taken for a table", n)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	for b.Loop() {
		if _, err := unpack(packed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAt(b *testing.B) {
	world := World()
	world.At(ledger.Point{-93.6, 41.6})
	for b.Loop() {
		world.At(ledger.Point{-93.6, 41.6})
	}
}
