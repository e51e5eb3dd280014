package ledger

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFineRingArea holds the area of rings of short edges against the
// library's: stars of all sizes and latitudes, many of them thin.
func TestFineRingArea(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	fine := 0
	for range 3000 {
		n := 3 + random.IntN(60)
		lon, lat := 400*random.Float64()-200, 172*random.Float64()-86
		size := 0.06 * math.Pow(10, -2.5*random.Float64()) // degrees of latitude
		thin := math.Pow(10, -3*random.Float64()*float64(random.IntN(2)))
		turnSin, turnCos := math.Sincos(2 * math.Pi * random.Float64())
		var xy []float64
		for i := range n {
			sin, cos := math.Sincos(2 * math.Pi * (float64(i) + 0.9*random.Float64()) / float64(n))
			r := size * (0.2 + 0.8*random.Float64())
			x, y := r*cos, r*sin*thin
			xy = append(xy, lon+(x*turnCos-y*turnSin)/math.Cos(lat*rad), lat+x*turnSin+y*turnCos)
		}
		xy = append(xy, xy[0], xy[1])
		area, ok := fineRingArea(xy)
		if !ok {
			continue
		}
		fine++
		if want := libraryRingArea(xy); !near(area, want, 5e-7) {
			t.Errorf("seed %d: %d corners of %.3g degrees, %.3g thin, at %.4g: %v m², the library says %v: off by %.2g",
				seed, n, size, thin, lat, area, want, math.Abs(area-want)/want)
		}
	}
	if fine < 500 {
		t.Errorf("only %d of 3000 rings were fine", fine)
	}
}
