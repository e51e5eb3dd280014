package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/meti-go/meti/ledger/internal/robust"
	"github.com/peterstace/simplefeatures/geom"
)

// crowd draws sources that overlap each other, of two countries and periods.
func crowd(t *testing.T, rng *rand.Rand, n int) []Source {
	t.Helper()
	out := make([]Source, n)
	for i := range out {
		s, err := ParseGeometry([]byte(benchField(rng, 2+0.02*rng.Float64(), 47+0.02*rng.Float64(), 200, 5+rng.IntN(10))))
		if err != nil {
			t.Fatal(err)
		}
		start := Time(rng.IntN(3)) * 300 * day
		out[i] = Source{Shape: s, Country: []string{"A", "B", ""}[min(rng.IntN(10)/4, 2)], Period: Period{start, start + 365*day}}
	}
	return out
}

// Check must say what inserting one source after the other would.
func TestCheckAgreesWithInserting(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	stored, candidates := crowd(t, rng, 60), crowd(t, rng, 120)
	l := &shadow{countries: NewCountries(), with: map[string][]string{}, share: map[string]*float64{}}
	insert := func(id string, s Source) {
		for _, i := range those(l.sources, func(o Source) bool { return Conflict(s, o) }) {
			l.with[id] = append(l.with[id], l.ids[i])
			l.with[l.ids[i]] = append(l.with[l.ids[i]], id)
		}
		l.ids, l.sources = append(l.ids, id), append(l.sources, s)
	}
	for i, s := range stored {
		l.ids, l.sources = append(l.ids, strconv.Itoa(i)), append(l.sources, s)
	}
	for i, s := range candidates {
		insert(strconv.Itoa(len(stored)+i), s)
	}
	verdicts, err := Check(t.Context(), candidates, stored)
	if err != nil {
		t.Fatal(err)
	}
	conflicts := 0
	for i, v := range verdicts {
		id := strconv.Itoa(len(stored) + i)
		var got []string
		for _, r := range v.With {
			got = append(got, strconv.Itoa(r))
		}
		want := slices.Clone(l.with[id])
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s conflicts with %v, want %v", id, got, want)
		}
		l.measure(id, l.shapes(l.with[id]))
		share := l.share[id]
		if (share == nil) != (v.PercentOverlap == nil) || share != nil && math.Abs(*share-*v.PercentOverlap) > 1e-12 {
			t.Errorf("%s: percent_overlap %v, want %v", id, show(v.PercentOverlap), show(share))
		}
		if v.Conflict() {
			conflicts++
		}
	}
	if conflicts < 20 {
		t.Errorf("only %d conflicts", conflicts)
	}
}

func TestJudgeReportsWhatLoadFailedWith(t *testing.T) {
	rng := newRand()
	var b Batch
	for _, s := range crowd(t, rng, 50) {
		b.Entries = append(b.Entries, EntryOf(s))
	}
	broken := errors.New("disk on fire")
	b.Load = func(int) (*Shape, error) { return nil, broken }
	if _, err := b.Judge(t.Context()); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Judge(ctx); err == nil {
		t.Error("a cancelled context was not seen")
	}
}

func TestCountriesInParts(t *testing.T) {
	rng := newRand()
	s, err := ParseGeometry([]byte(benchField(rng, 10, 50, 500_000, 3000)))
	if err != nil {
		t.Fatal(err)
	}
	c := NewCountries()
	c.Add("Star", s)
	c.Add("Everywhere", rectangle(t, [4]float64{-180, -90, 180, 90}))
	in := 0
	for range 20000 {
		p := Point{3 + 14*rng.Float64(), 45 + 10*rng.Float64()}
		want := "Everywhere"
		if robust.Locate(p, s.polys[0][0]) == robust.Inside {
			want = "Star"
			in++
		}
		if got := c.At(p); got != want {
			t.Fatalf("%v lies in %q, want %q", p, got, want)
		}
	}
	if in < 1000 {
		t.Errorf("only %d of the points lay in the star", in)
	}
	// On the boundary is not inside.
	corner := Point(s.polys[0][0][:2])
	if got := c.At(corner); got != "Everywhere" {
		t.Errorf("a corner of the star lies in %q", got)
	}
}

// TestLibraryFails has the geometry library panic: that is a problem of the
// feature, and the others are judged.
func TestLibraryFails(t *testing.T) {
	good := buffer
	t.Cleanup(func() { buffer = good })
	buffer = func(g geom.Geometry, by float64, options ...geom.BufferOption) (geom.Geometry, error) {
		if low, _, _ := g.Envelope().MinMaxXYs(); low.X > -2e5 { // the eastern of the two
			panic("no such edge")
		}
		return good(g, by, options...)
	}
	field := func(west float64) Source {
		return Source{Shape: rectangle(t, [4]float64{west, 47, west + 0.003, 47.003}), Period: allTime, Country: "x"}
	}
	west, east := field(0.1), field(0.9)
	verdicts, err := Check(t.Context(), []Source{west, east, west}, []Source{west, east})
	if err != nil {
		t.Fatal(err)
	}
	if len(verdicts[0].Problems) > 0 || len(verdicts[0].With) != 2 {
		t.Errorf("the western field: %+v", verdicts[0])
	}
	if ps := verdicts[1].Problems; len(ps) != 1 || ps[0].Rule != RuleLibrary || !strings.Contains(ps[0].Message, "no such edge") || len(verdicts[1].With) != 1 {
		t.Errorf("the eastern field: %+v", verdicts[1])
	}
}

// TestPartsThatTouch has a sound shape on which the geometry library has
// panicked: two parts that touch in a vertex, at full double precision.
func TestPartsThatTouch(t *testing.T) {
	text, err := os.ReadFile("../testdata/ledger/touching-parts.geojson")
	if err != nil {
		t.Fatal(err)
	}
	features, problems := ParseCollection(text, Rules{})
	if problems.Refused() {
		t.Fatal(problems)
	}
	source := Source{Shape: features[0].Shape, Period: features[0].Period, Country: "x"}
	verdicts, err := Check(t.Context(), []Source{source, source}, []Source{source})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		if len(v.With) != 2 || v.PercentOverlap == nil || !near(*v.PercentOverlap, 1, 1e-9) {
			t.Errorf("%d: %v, %v of it covered; two others lie right over it", i, v.With, show(v.PercentOverlap))
		}
	}
}

// EachNear gives the pairs of overlapping boxes and periods, in the candidates'
// order, and no more of one that has had enough.
func TestEachNear(t *testing.T) {
	shape := func(x float64) *Shape {
		s, err := ParseGeometry(fmt.Appendf(nil, `{"type":"Polygon","coordinates":[[[%[1]v,0],[%[2]v,0],[%[2]v,1],[%[1]v,1],[%[1]v,0]]]}`, x, x+1))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var shapes []*Shape
	b := Batch{Stored: 1, Load: func(i int) (*Shape, error) { return shapes[i], nil }}
	for i, x := range []float64{5.5, 0, 0.5, 1.2, 5, 0.7, 0.6} {
		period := Period{Start: 0, End: 10}
		if i == 5 {
			period = Period{Start: 10, End: 20} // another time
		}
		shapes = append(shapes, shape(x))
		b.Entries = append(b.Entries, EntryOf(Source{Shape: shapes[i], Period: period}))
	}
	for enough, want := range map[bool]int{false: 6, true: 4} {
		var mu sync.Mutex
		var got []string
		err := b.EachNear(t.Context(), func(i int, self *Shape, k int, other *Shape) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			if self != shapes[i] || other != shapes[k] {
				t.Error("other shapes than those of", i, k)
			}
			got = append(got, fmt.Sprint(i, " ", k))
			return !enough, nil
		})
		all := []string{"2 1", "3 2", "4 0", "6 1", "6 2", "6 3"}
		if slices.Sort(got); err != nil || len(got) != want || !enough && !slices.Equal(got, all) {
			t.Error(got, err)
		}
	}
}
