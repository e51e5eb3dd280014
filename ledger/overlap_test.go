package ledger

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/meti-go/meti/ledger/internal/proj"
	"github.com/peterstace/simplefeatures/geom"
)

// scatter draws fields, three at a time, on and around each other, all over the globe.
func scatter(t *testing.T, n int, each func(a, b, c *Shape)) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range n {
		lon, lat := rng.Float64()*340-170, rng.Float64()*150-75
		radius := math.Pow(10, 1.3+1.5*rng.Float64())
		off := func() float64 { return (rng.Float64() - 0.5) * 3 * radius / 111000 }
		draw := func(lon, lat, radius float64) *Shape {
			s, err := ParseGeometry([]byte(benchField(rng, lon, lat, radius, 3+rng.IntN(20))))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		beside := func() *Shape {
			return draw(lon+off()/math.Cos(lat*proj.Rad), lat+off(), radius*math.Pow(10, rng.Float64()-0.5))
		}
		each(draw(lon, lat, radius), beside(), beside())
	}
}

func flatten(s *Shape) geom.Geometry {
	return s.geom().TransformXY(func(p geom.XY) geom.XY {
		on := proj.EqualArea([]float64{p.X, p.Y})
		return geom.XY{X: on[0], Y: on[1]}
	})
}

// overlapByLibrary is Overlap by the geometry library's overlay.
func overlapByLibrary(self *Shape, others []*Shape) (share float64, ok bool) {
	own := flatten(self)
	size := own.Area()
	if size == 0 {
		return 0, false
	}
	var pieces []geom.Geometry
	for _, o := range others {
		if piece, err := geom.Intersection(flatten(o), own); err == nil {
			pieces = append(pieces, piece)
		}
	}
	union, err := geom.UnionMany(pieces)
	return union.Area() / size, err == nil
}

func TestSweepAgreesWithTheOverlay(t *testing.T) {
	covered := 0
	scatter(t, 300, func(a, b, c *Shape) {
		for _, others := range [][]*Shape{{b}, {b, c}, {c, b, c, b}, nil} {
			got, ok1 := Overlap(a, others)
			want, ok2 := overlapByLibrary(a, others)
			if ok1 != ok2 || math.Abs(got-want) > 1e-9 {
				t.Errorf("%v of %v by %d shapes, the overlay says %v", got, a.polys, len(others), want)
			}
			if got > 0 {
				covered++
			}
		}
		if got, _ := Overlap(a, []*Shape{b, a}); math.Abs(got-1) > 1e-12 {
			t.Errorf("a shape covers %v of itself", got)
		}
	})
	if covered < 100 {
		t.Errorf("only %d shapes were covered at all", covered)
	}
}

// TestSweepOfMany has others that meet each other in chains, and others that
// lie apart and are swept apart.
func TestSweepOfMany(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	field := func(x, y, radius float64) *Shape {
		s, err := ParseGeometry([]byte(benchField(rng, 2+x/76000, 47+y/111000, radius, 3+rng.IntN(20))))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for range 100 {
		self := field(0, 0, 500)
		var others []*Shape
		for range 2 + rng.IntN(7) {
			others = append(others, field(1200*rng.Float64()-600, 1200*rng.Float64()-600, 30+170*rng.Float64()))
		}
		got, _ := Overlap(self, others)
		if want, _ := overlapByLibrary(self, others); math.Abs(got-want) > 1e-9 {
			t.Errorf("%d others cover %v, the overlay says %v", len(others), got, want)
		}
	}
}

// TestStacks has others that lie on each other in layers, at random, moved by
// next to nothing, and the same again.
func TestStacks(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, spread := range []float64{0, 1e-3, 1, 30, 300} { // metres
		var stack []*Shape
		for range 40 {
			x, y := spread*(2*rng.Float64()-1), spread*(2*rng.Float64()-1)
			shape := rng
			if spread == 1e-3 {
				shape = newRand() // the same one
			}
			s, err := ParseGeometry([]byte(benchField(shape, 2+x/76000, 47+y/111000, 300, 12)))
			if err != nil {
				t.Fatal(err)
			}
			stack = append(stack, s, s)
		}
		for i := 0; i < 10; i += 2 {
			others := stack[i+2 : i+60]
			got, _ := Overlap(stack[i], others)
			if want, _ := overlapByLibrary(stack[i], others); math.Abs(got-want) > 1e-8 { // it snaps what lies so close
				t.Errorf("within %v m: %v, the overlay says %v", spread, got, want)
			}
			if got, _ := Overlap(stack[i], stack); got != 1 {
				t.Errorf("with itself: %v", got)
			}
		}
	}
}

func TestSearchBoxHoldsTheShrunkShape(t *testing.T) {
	scatter(t, 300, func(a, _, _ *Shape) {
		small := a.shrink()
		if small.Empty() {
			return
		}
		box, ok := a.SearchBox()
		if !ok || box.union(small.box) != box {
			t.Errorf("the search box %v does not hold %v", box, small.box)
		}
	})
}
