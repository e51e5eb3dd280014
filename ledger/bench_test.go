package ledger

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/meti-go/meti/ledger/internal/proj"
)

// allTime is a period that overlaps every other.
var allTime = Period{-1 << 62, 1 << 62}

// benchField draws a field of n corners and about the given radius in metres,
// with a seed of its own.
func benchField(rng *rand.Rand, lon, lat, radius float64, n int) string {
	var b strings.Builder
	b.WriteString(`{"type":"Polygon","coordinates":[[`)
	first := ""
	for i := range n {
		angle := 2 * math.Pi * (float64(i) + 0.6*rng.Float64()) / float64(n)
		r := radius * (0.7 + 0.3*rng.Float64()) / 111000
		p := fmt.Sprintf("[%.9f,%.9f]", lon+r*math.Cos(angle)/math.Cos(lat*proj.Rad), lat+r*math.Sin(angle))
		if i == 0 {
			first = p
		}
		b.WriteString(p + ",")
	}
	b.WriteString(first + "]]}")
	return b.String()
}

func benchShape(b *testing.B, text string) *Shape {
	b.Helper()
	s, err := ParseGeometry([]byte(text))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// sizes are the numbers of corners that the benchmarks run with.
var sizes = []int{6, 30, 300}

func bySize(b *testing.B, run func(b *testing.B, n int)) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) { run(b, n) })
	}
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(7, 7)) }

func BenchmarkParseFeature(b *testing.B) {
	bySize(b, func(b *testing.B, n int) {
		text := fmt.Appendf(nil, `{"type":"Feature","id":"a","properties":{"start_at":"2024-01-01T00:00:00Z","end_at":"2025-01-01T00:00:00Z"},"geometry":%s}`,
			benchField(newRand(), 2.3, 47.2, 300, n))
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, problems := ParseFeature(text, Rules{}); problems.Refused() {
				b.Fatal(problems)
			}
		}
	})
}

func BenchmarkParseGeometry(b *testing.B) {
	bySize(b, func(b *testing.B, n int) {
		text := []byte(benchField(newRand(), 2.3, 47.2, 300, n))
		b.ReportAllocs()
		for b.Loop() {
			benchShape(b, string(text))
		}
	})
}

func BenchmarkHectares(b *testing.B) {
	bySize(b, func(b *testing.B, n int) {
		s := benchShape(b, benchField(newRand(), 2.3, 47.2, 300, n))
		for b.Loop() {
			ringArea(s.polys[0][0])
		}
	})
}

func BenchmarkShrink(b *testing.B) {
	bySize(b, func(b *testing.B, n int) {
		s := benchShape(b, benchField(newRand(), 2.3, 47.2, 300, n))
		for b.Loop() {
			_ = s.computeShrunk(shrinkBy)
		}
	})
}

// BenchmarkConflict judges fresh newcomers that lie well over a stored source,
// that only share a boundary with it, and that end within half a metre of the
// 9 metres, where nothing but the shrunk shape decides.
func BenchmarkConflict(b *testing.B) {
	square := func(west, east float64) string {
		const d = 0.003
		return fmt.Sprintf(`{"type":"Polygon","coordinates":[[[%.9f,47],[%.9f,47],[%.9f,%.9f],[%.9f,%.9f],[%.9f,47]]]}`,
			west, east, east, 47+d, west, 47+d, west)
	}
	const metre = 1 / (111320 * 0.682) // in degrees of longitude
	stored := benchShape(b, square(2, 2.003))
	for _, c := range []struct {
		name string
		west float64
	}{{"over", 2.002}, {"beside", 2.003}, {"at-9-metres", 2.003 - 9*metre}} {
		b.Run(c.name, func(b *testing.B) {
			text := square(c.west, c.west+0.003)
			for b.Loop() {
				benchShape(b, text).shrinkIntersects(stored)
			}
		})
	}
}

// BenchmarkOverlap measures a source under four others, all of them prepared.
func BenchmarkOverlap(b *testing.B) {
	bySize(b, func(b *testing.B, n int) {
		rng := newRand()
		self := benchShape(b, benchField(rng, 2.3, 47.2, 300, n))
		var others []*Shape
		for i := range 4 {
			others = append(others, benchShape(b, benchField(rng, 2.3+0.003*float64(i%2*2-1), 47.2+0.003*float64(i/2*2-1), 300, n)))
		}
		b.ReportAllocs()
		for b.Loop() {
			Overlap(self, others)
		}
	})
}
