package ledger

import (
	"math"
	"math/rand/v2"
	"testing"
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
			return draw(lon+off()/math.Cos(lat*rad), lat+off(), radius*math.Pow(10, rng.Float64()-0.5))
		}
		each(draw(lon, lat, radius), beside(), beside())
	}
}

func TestSweepAgreesWithTheOverlay(t *testing.T) {
	covered := 0
	scatter(t, 300, func(a, b, c *Shape) {
		for _, others := range [][]*Shape{{b}, {b, c}, {c, b, c, b}, nil} {
			got, ok1 := Overlap(a, others)
			want, ok2 := overlapByLibrary(a, others)
			if ok1 != ok2 || math.Abs(got-want) > 1e-9 {
				t.Errorf("%v of %s by %d shapes, the overlay says %v", got, a.g.AsText(), len(others), want)
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

func TestClearConflictsNeedNoShrinking(t *testing.T) {
	count := map[reach]int{}
	scatter(t, 1500, func(a, b, _ *Shape) {
		if !a.plain() || !a.box.Intersects(b.box) {
			return
		}
		answer := a.reachOf(b, 0)
		count[answer]++
		if want := a.shrink().Intersects(b); answer == deep && !want || answer == shallow && want {
			t.Errorf("%v is taken for %v, the shrunk shape says %v: %s, %s", a.box, answer, want, a.g.AsText(), b.g.AsText())
		}
	})
	if count[deep] < 100 || count[shallow] < 20 {
		t.Errorf("answers %v: too few are clear", count)
	}
}

// What conflicts is near to a conflict too, and so is what comes within a metre
// of it; neighbours who share a boundary are not.
func TestNearConflict(t *testing.T) {
	near, apart := 0, 0
	scatter(t, 300, func(a, b, _ *Shape) {
		x, y := Source{Shape: a, Country: "A"}, Source{Shape: b, Country: "A"}
		x.Period.End, y.Period.End = 1, 1
		got := NearConflict(x, y)
		if want := a.computeShrunk(8).Intersects(b); want && !got {
			t.Errorf("%s and %s", a.g.AsText(), b.g.AsText())
		} else if got != want {
			apart++ // by centimetres
		}
		if got && !Conflict(x, y) {
			near++
		}
	})
	if t.Logf("%d only near, %d judged by less than 8 m", near, apart); apart > 30 {
		t.Fail()
	}
	strip := func(west, east float64) Source {
		return Source{Shape: rectangle(t, [4]float64{west, 50, east, 50.01}), Country: "A", Period: Period{0, 1}}
	}
	if NearConflict(strip(10, 10.01), strip(10.01, 10.02)) || !NearConflict(strip(10, 10.01), strip(10.01-0.00012, 10.02)) {
		t.Error("strips")
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

func TestShapesSurviveTheirBinaryForm(t *testing.T) {
	for _, text := range []string{
		`{"type":"Polygon","coordinates":[[[2,47],[2.1,47],[2.1,47.1],[2,47]],[[2.05,47.01],[2.06,47.02],[2.06,47.01],[2.05,47.01]]]}`,
		`{"type":"MultiPolygon","coordinates":[[[[2,47],[2.1,47],[2.1,47.1],[2,47]]],[],[[[3,47],[3.1,47],[3.1,47.1],[3,47]]]]}`,
		`{"type":"Polygon","coordinates":[]}`,
		`{"type":"Point","coordinates":[2,47]}`,
		`{"type":"LineString","coordinates":[[2,47,5],[3,48]]}`,
		`{"type":"GeometryCollection","geometries":[{"type":"Polygon","coordinates":[[[2,47],[2.1,47],[2.1,47.1],[2,47]]]},{"type":"Point","coordinates":[2,47]}]}`,
	} {
		s, err := ParseGeometry([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		wkb, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ShapeFromBinary(wkb)
		if err != nil {
			t.Fatal(err)
		}
		if back.g.AsText() != s.g.AsText() || back.box != s.box && !s.Empty() || back.Vertices() != s.Vertices() || back.Hectares() != s.Hectares() {
			t.Errorf("%s came back as %s", s.g.AsText(), back.g.AsText())
		}
		for n := range wkb {
			if _, err := ShapeFromBinary(wkb[:n]); err == nil {
				t.Errorf("%d bytes of %d were taken for %s", n, len(wkb), text)
			}
		}
	}
}
