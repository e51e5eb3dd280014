package ledger

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meti-go/meti/ledger/internal/proj"
	"github.com/meti-go/meti/ledger/internal/robust"
)

// geometry judges whether a geometry is sound, as METI's database wants it to be.
func (v *judge) geometry(g *geometry) {
	for _, part := range g.parts {
		if polygonal(part.kind) {
			v.polygons(part.polys)
		} else if !strings.HasSuffix(part.kind, "Point") {
			for _, line := range part.polys {
				v.line(line[0])
			}
		}
	}
}

// line judges a line: it needs two distinct positions.
func (v *judge) line(r ring) {
	if r.withoutRepeats().len() < 2 {
		p := r.at(0)
		v.add(RuleTooFewPoints, r.path, &p, "a line has fewer than two distinct positions", "add positions")
	}
	v.antipodes(r)
}

// ring judges a ring by itself, but for where its edges meet, and gives it
// without repeated positions.
func (v *judge) ring(r ring) (clean ring, ok bool) {
	n := r.len()
	first, last := r.at(0), r.at(n-1)
	ok = first == last
	if !ok {
		v.add(RuleRingOpen, r.pointer(n-1), &last, "the ring is not closed: its last position is not its first",
			"repeat the first position at the end")
	}
	if clean = r.withoutRepeats(); clean.len() < 4 {
		v.add(RuleTooFewPoints, r.path, &first, "the ring has fewer than three distinct positions",
			"a ring needs three distinct positions and the first again at the end")
		return clean, false
	}
	return clean, v.antipodes(r) && ok
}

// antipodes refuses an edge whose ends are opposite on the globe: no geodesic
// is the shortest there, and the database gives up.
func (v *judge) antipodes(r ring) bool {
	for i := 1; i < r.len(); i++ {
		p, q := r.at(i-1), r.at(i)
		if math.Abs(q[0]-p[0]) < 100 && math.Abs(q[1]-p[1]) < 100 {
			continue // beside each other, and not beyond the range
		}
		lon1, lat1 := proj.OnGlobe(p[0], p[1])
		lon2, lat2 := proj.OnGlobe(q[0], q[1])
		const same = 5e-12 // degrees
		if math.Abs(lat1+lat2) <= same && (math.Abs(math.Abs(lon1-lon2)-180) <= same || math.Abs(lat1) >= 90-same) {
			v.add(RuleAntipodalEdge, r.pointer(i), &q, "an edge joins two positions that are opposite on the globe",
				"put a position between them")
			return false
		}
	}
	return true
}

// polygons judges each ring by itself, and then how the rings lie to each
// other, exactly. It is the rule of GEOS's IsValidOp: a ring does not meet
// itself, two rings meet in points only and do not cross there, holes lie in
// their shell and not in each other, parts keep apart, and the points in which
// the rings of a polygon touch do not cut its interior into pieces.
func (v *judge) polygons(polys []polygon) {
	l := layout{judge: v, flawed: make([]bool, len(polys)), crossed: map[[2]int]bool{}, overlapping: map[[2]int]bool{}}
	for i, poly := range polys {
		for _, r := range poly {
			if clean, ok := v.ring(r); ok {
				l.rings = append(l.rings, laidRing{ring: clean, part: i, box: boxOf(clean.xy)})
			} else {
				l.flawed[i] = true
			}
		}
	}
	l.meet()
	l.nest()
	l.overlap()
	l.cut()
}

// layout is how the rings of some polygons lie to each other.
type layout struct {
	*judge
	rings       []laidRing // sound by themselves, part after part, shells first
	flawed      []bool     // parts that are known to be unsound
	touches     []touch
	crossed     map[[2]int]bool // pairs of rings of a part, the earlier first
	overlapping map[[2]int]bool // pairs of parts, the earlier first
}

// laidRing is a ring without repeated positions.
type laidRing struct {
	ring
	part      int
	box       Box
	crossings int // with itself
}

// touch is a point in which two rings meet.
type touch struct {
	a, b int
	at   Point
}

// The most crossings that are reported of one ring, and problems of all together.
const (
	maxCrossings = 5
	maxProblems  = 100
)

// flaw reports what is wrong with the part that a ring belongs to.
func (l *layout) flaw(r *laidRing, rule Rule, pointer string, at Point, message, advice string) {
	l.flawed[r.part] = true
	l.add(rule, pointer, &at, message, advice)
}

// meet finds where edges meet and judges what that means.
func (l *layout) meet() {
	var edges []edge
	for k := range l.rings {
		r := &l.rings[k]
		for i := range r.len() - 1 {
			edges = append(edges, newEdge(r.at(i), r.at(i+1), k, i))
		}
	}
	met := make(map[touch]bool)
	eachPair(edges, func(x, y *edge) bool {
		if x.of > y.of || x.of == y.of && x.i > y.i {
			x, y = y, x
		}
		a, b := &l.rings[x.of], &l.rings[y.of]
		at, how := robust.Meet(a.at(x.i), a.at(x.i+1), b.at(y.i), b.at(y.i+1))
		t := touch{x.of, y.of, at}
		switch {
		case how == robust.Apart:
		case x.of == y.of:
			if how != robust.Touch || y.i != x.i+1 && (x.i > 0 || y.i != a.len()-2) { // or they follow each other
				l.self(a, x.i, y.i, at)
			}
		case how != robust.Touch:
			l.cross(t)
		case met[t]: // by the edges before
		case crossAt(at, a, x.i, b, y.i):
			met[t] = true
			l.cross(t)
		default:
			met[t] = true
			l.touches = append(l.touches, t)
		}
		return len(l.problems) < maxProblems
	})
}

// self reports edges i and j of a ring that meet.
func (l *layout) self(r *laidRing, i, j int, at Point) {
	if r.crossings++; r.crossings <= maxCrossings {
		l.flaw(r, RuleSelfIntersection, r.pointer(j), at,
			fmt.Sprintf("the ring crosses or touches itself: its edges after positions %d and %d meet", r.index[i], r.index[j]),
			"redraw the boundary so that it does not cross or touch itself")
	}
}

// cross reports two rings that cross or share a line, once for each pair of
// rings of a polygon or of parts.
func (l *layout) cross(t touch) {
	a, b := &l.rings[t.a], &l.rings[t.b]
	pair, known := [2]int{t.a, t.b}, l.crossed
	if a.part != b.part {
		pair, known = [2]int{a.part, b.part}, l.overlapping
	}
	if known[pair] {
		return
	}
	known[pair] = true
	l.flawed[a.part] = true
	switch {
	case a.part != b.part:
		l.flaw(b, RulePartsOverlap, b.partPointer(), t.at, fmt.Sprintf("parts %d and %d overlap or share a line", a.part, b.part), "merge the two parts, or draw them apart")
	case a.hole > 0:
		l.flaw(b, RuleRingsCross, b.path, t.at, fmt.Sprintf("holes %d and %d cross or share a line", a.hole-1, b.hole-1), "merge the two holes")
	default:
		l.flaw(b, RuleRingsCross, b.path, t.at, "a hole crosses its shell or shares a line with it", "keep holes inside the shell")
	}
}

// partPointer gives the JSON pointer to the part of a MultiPolygon.
func (r *laidRing) partPointer() string { return r.path[:strings.LastIndexByte(r.path, '/')] }

// arms are the positions before and after a point on edge i.
func (r *laidRing) arms(p Point, i int) (before, after Point) {
	n := r.len() - 1 // the last repeats the first
	at := func(k int) Point { return r.at((k + n) % n) }
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
	for i := range r.len() {
		if where := robust.Locate(r.at(i), o.xy); where != robust.OnEdge {
			return r.at(i), where == robust.Inside
		}
	}
	// All positions are on the edge: the way to the second tells.
	at = r.at(0)
	for k := range o.len() - 1 {
		if _, how := robust.Meet(at, at, o.at(k), o.at(k+1)); how != robust.Apart {
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
	for i := range r.len() {
		p, q := r.at(i), r.at(lowest)
		if p[1] < q[1] || p[1] == q[1] && p[0] < q[0] {
			lowest = i
		}
	}
	p := r.at(lowest)
	before, after := r.arms(p, lowest)
	return robust.Orient(before, p, after) > 0
}

// nest judges how the rings of a part lie in each other, where they do not cross.
func (l *layout) nest() {
	first := 0 // of the part at hand
	for j := range l.rings {
		r := &l.rings[j]
		if r.part != l.rings[first].part {
			first = j
		}
		for i := first; i < j; i++ {
			o := &l.rings[i]
			if o.crossings > 0 || r.crossings > 0 || l.crossed[[2]int{i, j}] || o.hole > 0 && !o.box.Intersects(r.box) {
				continue
			}
			at, inside := r.in(o)
			if o.hole == 0 {
				if inside {
					continue
				}
				l.flaw(r, RuleHoleOutside, r.path, at, "a hole lies outside its shell", "make it a part of its own, or take it out")
				break
			}
			if !inside {
				at, inside = o.in(r)
			}
			if inside {
				l.flaw(r, RuleHolesNested, r.path, at, fmt.Sprintf("one of holes %d and %d lies in the other", o.hole-1, r.hole-1), "take the inner one out")
			}
		}
	}
}

// overlap judges whether parts that are sound so far lie in each other.
func (l *layout) overlap() {
	var shells []int
	for j := range l.rings {
		r := &l.rings[j]
		if r.hole > 0 || l.flawed[r.part] {
			continue
		}
		for _, i := range shells {
			o := &l.rings[i]
			if l.flawed[o.part] || !o.box.Intersects(r.box) {
				continue
			}
			at, inside := l.covers(i, j)
			if !inside {
				at, inside = l.covers(j, i)
			}
			if inside {
				l.flaw(r, RulePartsOverlap, r.partPointer(), at,
					fmt.Sprintf("one of parts %d and %d lies in the other", o.part, r.part), "merge the two parts, or draw them apart")
				break
			}
		}
		shells = append(shells, j)
	}
}

// covers reports whether a shell lies inside of another and in none of its
// holes.
func (l *layout) covers(outer, inner int) (at Point, inside bool) {
	r, o := &l.rings[inner], &l.rings[outer]
	if !o.box.contains(r.box) {
		return at, false
	}
	at, inside = r.in(o)
	for k := outer + 1; inside && k < len(l.rings) && l.rings[k].part == o.part; k++ {
		_, free := r.in(&l.rings[k])
		inside = !free
	}
	return at, inside
}

// cut reports a polygon whose rings form a circle by the points in which they
// touch, which cuts its interior into pieces.
func (l *layout) cut() {
	// The rings and the points are nodes of a graph; a touch joins a ring and a
	// point. Nodes that are joined have the same root.
	type point struct {
		part int
		at   Point
	}
	nodes := make(map[point]int)
	parent := make([]int, len(l.rings))
	for i := range parent {
		parent[i] = i
	}
	root := func(n int) int {
		for parent[n] != n {
			parent[n] = parent[parent[n]]
			n = parent[n]
		}
		return n
	}
	joined := make(map[[2]int]bool)
	for _, t := range l.touches {
		r := &l.rings[t.a]
		if l.rings[t.b].part != r.part || l.flawed[r.part] {
			continue
		}
		node, known := nodes[point{r.part, t.at}]
		if !known {
			node = len(parent)
			parent = append(parent, node)
			nodes[point{r.part, t.at}] = node
		}
		for _, ring := range [...]int{t.a, t.b} {
			if joined[[2]int{ring, node}] {
				continue
			}
			joined[[2]int{ring, node}] = true
			if root(ring) != root(node) {
				parent[root(ring)] = node
				continue
			}
			shell := slices.IndexFunc(l.rings, func(s laidRing) bool { return s.part == r.part })
			l.flaw(r, RuleInteriorCut, l.rings[shell].path, t.at, "the holes cut the interior into pieces", "make each piece a part of a MultiPolygon")
			break
		}
	}
}
