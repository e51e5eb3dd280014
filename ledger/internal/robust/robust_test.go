package robust

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactly is Orient by fractions, written down as the definition has it.
func exactly(a, b, c Point) int {
	f := func(v float64) *big.Rat { return new(big.Rat).SetFloat64(v) }
	sub := func(x, y float64) *big.Rat { return f(x).Sub(f(x), f(y)) }
	left, right := sub(a[0], c[0]), sub(a[1], c[1])
	return left.Mul(left, sub(b[1], c[1])).Cmp(right.Mul(right, sub(b[0], c[0])))
}

// TestOrient draws points on a line and next to it, by one unit in the last
// place, at all sizes.
func TestOrient(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	on, beside := 0, 0
	for range 200_000 {
		scale := math.Ldexp(1, random.IntN(20)-10)
		switch random.IntN(20) {
		case 0:
			scale = math.Ldexp(1, 900-random.IntN(1800))
		case 1:
			scale = math.Ldexp(1, 400-random.IntN(800))
		}
		number := func() float64 {
			if random.IntN(2) == 0 {
				return float64(random.IntN(64)-32) * scale
			}
			return (random.Float64() - 0.5) * 360 * scale
		}
		a, b := Point{number(), number()}, Point{number(), number()}
		share := []float64{0.5, 2, -1, 0, 1, random.Float64()}[random.IntN(6)]
		c := Point{a[0] + share*(b[0]-a[0]), a[1] + share*(b[1]-a[1])}
		for i := range c {
			switch random.IntN(3) {
			case 0:
				c[i] = math.Nextafter(c[i], math.Inf(1))
			case 1:
				c[i] = math.Nextafter(c[i], math.Inf(-1))
			}
		}
		want := exactly(a, b, c)
		if want == 0 {
			on++
		} else {
			beside++
		}
		if got := Orient(a, b, c); got != want {
			t.Fatalf("seed %d: %v from %v to %v is %d, want %d", seed, c, a, b, got, want)
		}
	}
	if on < 10_000 || beside < 10_000 {
		t.Errorf("%d points on the line and %d beside it prove little", on, beside)
	}
}

func TestMeet(t *testing.T) {
	p := func(x, y float64) Point { return Point{x, y} }
	for _, c := range []struct {
		a, b, c, d, at Point
		how            Contact
	}{
		{p(0, 0), p(4, 4), p(0, 4), p(4, 0), p(2, 2), Cross},
		{p(0, 0), p(4, 4), p(4, 4), p(8, 0), p(4, 4), Touch},
		{p(0, 0), p(4, 4), p(2, 2), p(8, 0), p(2, 2), Touch},
		{p(0, 0), p(4, 4), p(4, 4), p(8, 8), p(4, 4), Touch},
		{p(0, 0), p(4, 4), p(3, 3), p(8, 8), p(3, 3), Overlap},
		{p(0, 0), p(4, 4), p(4, 4), p(0, 0), p(4, 4), Overlap},
		{p(0, 0), p(4, 4), p(1, 1), p(2, 2), p(1, 1), Overlap},
		{p(0, 0), p(4, 4), p(5, 5), p(8, 8), p(0, 0), Apart},
		{p(0, 0), p(4, 4), p(1, 0), p(5, 4), p(0, 0), Apart},
		{p(0, 0), p(4, 0), p(0, 0), p(4, 0), p(0, 0), Overlap},
		{p(1, 1), p(1, 1), p(0, 0), p(4, 4), p(1, 1), Touch},
		{p(1, 1), p(1, 1), p(1, 1), p(1, 1), p(1, 1), Touch},
		{p(1, 1), p(1, 1), p(0, 1), p(0, 3), p(0, 0), Apart},
	} {
		for range 2 {
			for range 2 {
				at, how := Meet(c.a, c.b, c.c, c.d)
				if how != c.how || how != Apart && how != Overlap && at != c.at {
					t.Errorf("%v-%v and %v-%v: %v at %v, want %v at %v", c.a, c.b, c.c, c.d, how, at, c.how, c.at)
				}
				c.c, c.d = c.d, c.c
			}
			c.a, c.b, c.c, c.d = c.c, c.d, c.a, c.b
		}
	}
}

func TestLocate(t *testing.T) {
	ring := []float64{0, 0, 4, 0, 4, 4, 2, 2, 0, 4, 0, 0}
	for at, want := range map[Point]Side{
		{1, 1}: Inside, {2, 1}: Inside, {2, 2}: OnEdge, {2, 3}: Outside, {1, 3}: OnEdge, {0.5, 3}: Inside,
		{0, 0}: OnEdge, {2, 0}: OnEdge, {5, 0}: Outside, {-1, 0}: Outside, {-1, 4}: Outside, {2, 4}: Outside,
		{1, math.Nextafter(3, 4)}: Outside, {1, math.Nextafter(3, 2)}: Inside,
	} {
		if got := Locate(at, ring); got != want {
			t.Errorf("%v: %v, want %v", at, got, want)
		}
		odd, on := false, false
		for i := 0; i+2 < len(ring); i += 4 { // in parts of two edges
			part := Locate(at, ring[i:min(i+6, len(ring))])
			odd, on = odd != (part == Inside), on || part == OnEdge
		}
		if got := map[bool]Side{true: Inside, false: Outside}[odd]; on != (want == OnEdge) || !on && got != want {
			t.Errorf("%v in parts: %v, on an edge %v, want %v", at, got, on, want)
		}
	}
}

func TestBetween(t *testing.T) {
	east, north, west, south := Point{1, 0}, Point{0, 1}, Point{-1, 0}, Point{0, -1}
	for _, c := range []struct {
		from, to, b Point
		want        bool
	}{
		{east, north, Point{1, 1}, true}, {east, north, Point{-1, 1}, false}, {east, north, south, false},
		{north, east, Point{1, 1}, false}, {north, east, west, true}, {north, east, Point{1, -1}, true},
		{east, west, north, true}, {east, west, south, false}, {west, east, south, true},
	} {
		if got := Between(Point{}, c.from, c.to, c.b); got != c.want {
			t.Errorf("%v between %v and %v: %v", c.b, c.from, c.to, got)
		}
	}
	if !SameWay(Point{}, east, Point{3, 0}) || SameWay(Point{}, east, west) || SameWay(Point{}, east, north) {
		t.Error("the same way is not told")
	}
}

func BenchmarkOrient(b *testing.B) {
	for name, c := range map[string]Point{"beside": {2, 5}, "at-once": {0.3, 0.3}, "on": {0.1 + 0.2, 0.3 * 3}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Orient(Point{0.1, 0.3}, Point{0.2, 0.6}, c)
			}
		})
	}
}
