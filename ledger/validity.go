package ledger

import (
	"fmt"
	"math"
	"strings"

	"github.com/meti-go/meti/ledger/internal/proj"
	"github.com/meti-go/meti/ledger/internal/robust"
)

// judge gathers problems.
type judge struct {
	problems Problems
}

func (v *judge) add(rule Rule, pointer string, at *Point, message, advice string) {
	p := NewProblem(rule, pointer, message, advice)
	p.Coordinate = at
	v.problems = append(v.problems, p)
}

func (v *judge) geometry(d *decoded) {
	switch {
	case d.kind == "GeometryCollection":
		for i := range d.parts {
			v.geometry(&d.parts[i])
		}
	case d.polygonal():
		v.polygons(d)
	default:
		v.lines(d)
	}
}

func (v *judge) finite(r ring) bool {
	for i := range r.len() {
		if p := r.at(i); !isFinite(p) {
			v.add(RuleCoordinate, r.pointer(i), nil, "a coordinate is not a finite number", "write a number of degrees")
			return false
		}
	}
	return true
}

func isFinite(p Point) bool {
	return !math.IsNaN(p[0]+p[1]) && !math.IsInf(p[0], 0) && !math.IsInf(p[1], 0)
}

// lines judges points and lines: a line needs two distinct positions.
func (v *judge) lines(d *decoded) {
	for _, r := range d.lines {
		if !v.finite(r) || r.len() == 0 || d.kind == "Point" || d.kind == "MultiPoint" {
			continue
		}
		if distinct(r.xy) < 2 {
			p := r.at(0)
			v.add(RuleTooFewPoints, r.path, &p, "a line has fewer than two distinct positions", "add positions")
		}
		v.antipodes(r)
	}
}

// distinct counts positions that differ from the one before, up to 4.
func distinct(xy []float64) int {
	n := 0
	for i := 0; i+1 < len(xy) && n < 4; i += 2 {
		if i == 0 || xy[i] != xy[i-2] || xy[i+1] != xy[i-1] {
			n++
		}
	}
	return n
}

// polygons judges each ring by itself, and then how the rings lie to each
// other, exactly. It is the rule of GEOS's IsValidOp: a ring does not meet
// itself, two rings meet in points only and do not cross there, holes lie in
// their shell and not in each other, parts keep apart, and the points in which
// the rings of a polygon touch do not cut its interior into pieces.
func (v *judge) polygons(d *decoded) {
	l := layout{judge: v, flawed: make([]bool, len(d.polys))}
	for i, p := range d.polys {
		for k, r := range p {
			if !v.ring(r) {
				l.flawed[i] = true
				continue
			}
			xy, index := withoutRepeats(r.xy)
			l.rings = append(l.rings, laidRing{ring: r, xy: xy, index: index, part: i, hole: k, box: boxOf(xy)})
		}
	}
	l.meet()
	l.nest()
	l.cut()
}

// layout is how the rings of some polygons lie to each other.
type layout struct {
	*judge
	rings   []laidRing // sound by themselves, part after part, shells first
	flawed  []bool     // parts that are known to be unsound
	touches []touch
	crossed map[[2]int]bool // pairs of rings, the earlier first
	overlap map[[2]int]bool // pairs of parts, the earlier first
}

type laidRing struct {
	ring
	xy         []float64 // without repeated positions
	index      []int     // where they stand in the ring
	part, hole int       // the shell is hole 0
	box        Box
	crossings  int // with itself
}

// touch is a point in which two rings meet and do not cross.
type touch struct {
	a, b int
	at   Point
}

// The most crossings that are reported of one ring, and of all together.
const (
	maxCrossings    = 5
	maxAllCrossings = 100
)

// meet finds where edges meet and judges what that means.
func (l *layout) meet() {
	l.crossed, l.overlap = make(map[[2]int]bool), make(map[[2]int]bool)
	met := make(map[touch]bool)
	total := 0
	eachPair(l.edges(), func(x, y *edge) bool {
		if x.of == y.of {
			total += l.self(int(x.of), int(min(x.i, y.i)), int(max(x.i, y.i)))
			return total < maxAllCrossings
		}
		if x.of > y.of {
			x, y = y, x
		}
		a, b := &l.rings[x.of], &l.rings[y.of]
		at, how := robust.Meet(a.at(x.i), a.at(x.i+1), b.at(y.i), b.at(y.i+1))
		if how == robust.Apart {
			return true
		}
		t := touch{int(x.of), int(y.of), at}
		if how == robust.Touch {
			if met[t] {
				return true // the edges that go on from here
			}
			met[t] = true
			if !crossAt(at, a, int(x.i), b, int(y.i)) {
				l.touches = append(l.touches, t)
				return true
			}
		}
		total += l.cross(t)
		return total < maxAllCrossings
	})
}

// edges lists the edges of all rings.
func (l *layout) edges() []edge {
	count := 0
	var run [2]float64
	box := noBox
	for k := range l.rings {
		r := &l.rings[k]
		count += len(r.xy)/2 - 1
		box = box.union(r.box)
		for i := 2; i < len(r.xy); i++ {
			run[i&1] += math.Abs(r.xy[i] - r.xy[i-2])
		}
	}
	axis := axisOf(run, box)
	edges := make([]edge, 0, count)
	for k := range l.rings {
		r := &l.rings[k]
		for i := range int32(len(r.xy)/2 - 1) {
			edges = append(edges, newEdge(r.at(i), r.at(i+1), axis, int32(k), i))
		}
	}
	return edges
}

// self reports edges i < j of a ring that share more than the position between
// two that follow each other, and returns how many it reported.
func (l *layout) self(ring, i, j int) int {
	r := &l.rings[ring]
	if r.crossings == maxCrossings {
		return 0
	}
	at, how := robust.Meet(r.at(int32(i)), r.at(int32(i+1)), r.at(int32(j)), r.at(int32(j+1)))
	neighbours := j == i+1 || i == 0 && j == len(r.xy)/2-2
	if how == robust.Apart || neighbours && how == robust.Touch {
		return 0
	}
	r.crossings++
	l.flawed[r.part] = true
	p := Point(at)
	l.add(RuleSelfIntersection, r.pointer(r.index[j]), &p,
		fmt.Sprintf("the ring crosses or touches itself: its edges after positions %d and %d meet", r.index[i], r.index[j]),
		"redraw the boundary so that it does not cross or touch itself")
	return 1
}

// cross reports two rings that cross or share a line, once for each pair of
// rings of a polygon or of parts, and returns how many it reported.
func (l *layout) cross(t touch) int {
	a, b := &l.rings[t.a], &l.rings[t.b]
	l.flawed[a.part], l.flawed[b.part] = true, true
	pair, known := [2]int{t.a, t.b}, l.crossed
	rule, what, advice := RuleRingsCross, "a hole crosses its shell or shares a line with it", "keep holes inside the shell"
	switch {
	case a.part != b.part:
		pair, known = [2]int{a.part, b.part}, l.overlap
		rule = RulePartsOverlap
		what, advice = fmt.Sprintf("parts %d and %d overlap or share a line", a.part, b.part), "merge the two parts, or draw them apart"
	case a.hole > 0:
		what, advice = fmt.Sprintf("holes %d and %d cross or share a line", a.hole-1, b.hole-1), "merge the two holes"
	}
	if known[pair] {
		return 0
	}
	known[pair] = true
	pointer := b.path
	if a.part != b.part {
		pointer = b.partPointer()
	}
	l.add(rule, pointer, &t.at, what, advice)
	return 1
}

// partPointer gives the JSON pointer to the part of a MultiPolygon.
func (r *laidRing) partPointer() string { return r.path[:strings.LastIndexByte(r.path, '/')] }

// at gives position i of those without repeats.
func (r *laidRing) at(i int32) Point { return Point{r.xy[2*i], r.xy[2*i+1]} }

// arms are the positions before and after a point on edge i.
func (r *laidRing) arms(p Point, i int) (before, after Point) {
	n := len(r.xy)/2 - 1 // the last repeats the first
	at := func(k int) Point { return r.at(int32((k + n) % n)) }
	switch p {
	case at(i):
		return at(i - 1), at(i + 1)
	case at(i + 1):
		return at(i), at(i + 2)
	}
	return at(i), at(i + 1)
}

// crossAt reports whether two rings that touch in a point, on edge i of the one
// and edge k of the other, cross there.
func crossAt(p Point, a *laidRing, i int, b *laidRing, k int) bool {
	a0, a1 := a.arms(p, i)
	b0, b1 := b.arms(p, k)
	for _, x := range [...]Point{a0, a1} {
		for _, y := range [...]Point{b0, b1} {
			if robust.SameWay(p, x, y) {
				return false // they share a line, which the edges there tell
			}
		}
	}
	return robust.Between(p, a0, a1, b0) != robust.Between(p, a0, a1, b1)
}

// in tells whether ring r lies inside of ring o, which it does not cross, and
// gives the position that tells it.
func (r *laidRing) in(o *laidRing) (at Point, in bool) {
	for i := range int32(len(r.xy) / 2) {
		if where := robust.Locate(r.at(i), o.xy); where != robust.OnEdge {
			return r.at(i), where == robust.Inside
		}
	}
	// All positions are on the edge: the way to the second tells.
	at = r.at(0)
	for k := range len(o.xy)/2 - 1 {
		if _, how := robust.Meet(at, at, o.at(int32(k)), o.at(int32(k+1))); how != robust.Apart {
			before, after := o.arms(at, k)
			if !o.counterClockwise() {
				before, after = after, before
			}
			return at, robust.Between(at, after, before, r.at(1))
		}
	}
	return at, false
}

// counterClockwise is exact, by the turn at the ring's lowest position.
func (r *laidRing) counterClockwise() bool {
	lowest := 0
	for i := range len(r.xy)/2 - 1 {
		p, q := r.at(int32(i)), r.at(int32(lowest))
		if p[1] < q[1] || p[1] == q[1] && p[0] < q[0] {
			lowest = i
		}
	}
	p := r.at(int32(lowest))
	before, after := r.arms(p, lowest)
	return robust.Orient(before, p, after) > 0
}

// nest judges which rings lie in each other, of those that do not cross.
func (l *layout) nest() {
	shell := make([]int, len(l.flawed)) // of each part
	for i := range l.rings {
		if r := &l.rings[i]; r.hole == 0 {
			shell[r.part] = i
			continue
		}
		r := &l.rings[i]
		s := shell[r.part]
		if o := &l.rings[s]; o.part != r.part || o.hole != 0 || o.crossings > 0 || r.crossings > 0 {
			continue // the shell is not sound
		} else if !l.crossed[[2]int{s, i}] {
			if at, in := r.in(o); !in {
				l.flawed[r.part] = true
				l.add(RuleHoleOutside, r.path, &at, "a hole lies outside its shell", "make it a part of its own, or take it out")
				continue
			}
		}
		for k := s + 1; k < i; k++ {
			o := &l.rings[k]
			if !o.box.Intersects(r.box) || o.crossings > 0 || l.crossed[[2]int{k, i}] {
				continue
			}
			at, nested := r.in(o)
			if !nested {
				at, nested = o.in(r)
			}
			if nested {
				l.flawed[r.part] = true
				l.add(RuleHolesNested, r.path, &at,
					fmt.Sprintf("one of holes %d and %d lies in the other", o.hole-1, r.hole-1), "take the inner one out")
			}
		}
	}
	for j, b := range shell {
		for i, a := range shell[:j] {
			if l.flawed[i] || l.flawed[j] || !l.rings[a].box.Intersects(l.rings[b].box) {
				continue
			}
			at, inside := l.covers(a, b)
			if !inside {
				at, inside = l.covers(b, a)
			}
			if inside {
				l.flawed[j] = true
				l.add(RulePartsOverlap, l.rings[b].partPointer(), &at,
					fmt.Sprintf("one of parts %d and %d lies in the other", i, j), "merge the two parts, or draw them apart")
			}
		}
	}
}

// covers reports whether a shell lies inside of another and in none of its
// holes.
func (l *layout) covers(outer, inner int) (at Point, inside bool) {
	r, o := &l.rings[inner], &l.rings[outer]
	if !o.box.contains(r.box) {
		return at, false
	}
	if at, inside = r.in(o); !inside {
		return at, false
	}
	for k := outer + 1; k < len(l.rings) && l.rings[k].part == o.part; k++ {
		if h := &l.rings[k]; h.box.contains(r.box) {
			if _, free := r.in(h); free {
				return at, false
			}
		}
	}
	return at, true
}

// cut reports a polygon whose rings form a circle by the points in which they
// touch, which cuts its interior into pieces.
func (l *layout) cut() {
	// The rings and the points are nodes of a graph; a touch joins a ring and a
	// point. Nodes that are joined have the same root.
	type node struct {
		ring, part int // ring -1 for a point
		at         Point
	}
	type joint struct {
		ring int
		at   node
	}
	root := make(map[node]node)
	find := func(n node) node {
		for {
			up, ok := root[n]
			if !ok {
				return n
			}
			if higher, ok := root[up]; ok {
				root[n] = higher
			}
			n = up
		}
	}
	joined := make(map[joint]bool)
	for _, t := range l.touches {
		part := l.rings[t.a].part
		if l.rings[t.b].part != part || l.flawed[part] {
			continue
		}
		for _, ring := range [...]int{t.a, t.b} {
			j := joint{ring, node{-1, part, t.at}}
			if joined[j] {
				continue
			}
			joined[j] = true
			x, y := find(node{ring: ring, part: part}), find(j.at)
			if x != y {
				root[x] = y
				continue
			}
			l.flawed[part] = true
			shell := ring
			for l.rings[shell].hole > 0 {
				shell--
			}
			l.add(RuleInteriorCut, l.rings[shell].path, &t.at, "the holes cut the interior into pieces", "make each piece a part of a MultiPolygon")
			break
		}
	}
}

func (v *judge) ring(r ring) bool {
	if !v.finite(r) {
		return false
	}
	n := r.len()
	first, last := r.at(0), r.at(n-1)
	ok := true
	if first != last {
		v.add(RuleRingOpen, r.pointer(n-1), &last, "the ring is not closed: its last position is not its first",
			"repeat the first position at the end")
		ok = false
	}
	if k := distinct(r.xy); k < 4 {
		v.add(RuleTooFewPoints, r.path, &first, "the ring has fewer than three distinct positions",
			"a ring needs three distinct positions and the first again at the end")
		return false
	}
	if !v.antipodes(r) {
		ok = false
	}
	return ok
}

// antipodes refuses an edge whose ends are opposite on the globe: no geodesic
// is the shortest there, and the database gives up.
func (v *judge) antipodes(r ring) bool {
	for i := 1; i < r.len(); i++ {
		// Far apart at first sight, or beyond the range.
		if math.Abs(r.xy[2*i]-r.xy[2*i-2]) < 100 && math.Abs(r.xy[2*i+1]-r.xy[2*i-1]) < 100 {
			continue
		}
		p, q := r.at(i-1), r.at(i)
		lon1, lat1 := proj.OnGlobe(p[0], p[1])
		lon2, lat2 := proj.OnGlobe(q[0], q[1])
		apart := math.Abs(lon1 - lon2)
		const same = 5e-12 // degrees
		if math.Abs(lat1+lat2) <= same && (math.Abs(apart-180) <= same || math.Abs(lat1) >= 90-same) {
			v.add(RuleAntipodalEdge, r.pointer(i), &q, "an edge joins two positions that are opposite on the globe",
				"put a position between them")
			return false
		}
	}
	return true
}
