package ledger

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/meti-go/meti/ledger/internal/proj"
	"github.com/meti-go/meti/ledger/internal/robust"
)

// judgeRings judges whether rings are sound, as METI's database wants them to be:
// each by itself, and then how they lie to each other, exactly. It is the rule of
// GEOS's IsValidOp: a ring does not meet itself, two rings meet in points only and
// do not cross there, holes lie in their shell and not in each other, parts keep
// apart, and the points in which the rings of a polygon touch do not cut its
// interior into pieces.
func (ps *Problems) judgeRings(rings []ring) {
	l := layout{Problems: ps, met: map[[2]int]int{}}
	for i := range rings {
		if clean, ok := ps.judgeAlone(&rings[i]); ok {
			l.rings, l.boxes = append(l.rings, clean), append(l.boxes, boxOf(clean.xy))
		}
	}
	l.meet()
	l.nest()
	if !ps.Refused() { // of what crosses, this would say nothing new
		l.cut()
	}
}

// judgeAlone judges a ring or a line by itself, but for where its edges meet. It
// gives a ring without repeated positions; ok is false where there is none to go on
// with.
func (ps *Problems) judgeAlone(r *ring) (clean ring, ok bool) {
	if strings.HasSuffix(r.kind, "Point") {
		return clean, false
	}
	clean, ok = r.withoutRepeats(), r.polygonal()
	fewest, last := 2, r.len()-1
	if ok {
		fewest = 4
		if r.at(0) != r.at(last) {
			ps.addAt(r.at(last), RuleRingOpen, r.pointer(last), "the ring is not closed: its last position is not its first")
			ok = false
		}
	}
	if clean.len() < fewest {
		ps.addAt(r.at(0), RuleTooFewPoints, r.path, "it has fewer than %d distinct positions", min(fewest, 3))
		return clean, false
	}
	for i := 1; i <= last; i++ {
		if opposite(r.at(i-1), r.at(i)) {
			ps.addAt(r.at(i), RuleAntipodalEdge, r.pointer(i), "an edge joins two positions that are opposite on the globe")
			return clean, false
		}
	}
	return clean, ok
}

// opposite reports whether two positions are opposite on the globe: no geodesic is
// the shortest there, and the database gives up.
func opposite(p, q Point) bool {
	if math.Abs(q[0]-p[0]) < 100 && math.Abs(q[1]-p[1]) < 100 {
		return false // they lie beside each other, and not beyond the range
	}
	lon1, lat1 := proj.OnGlobe(p[0], p[1])
	lon2, lat2 := proj.OnGlobe(q[0], q[1])
	const same = 5e-12 // degrees
	return math.Abs(lat1+lat2) <= same && (math.Abs(math.Abs(lon1-lon2)-180) <= same || math.Abs(lat1) >= 90-same)
}

// layout is how rings lie to each other.
type layout struct {
	*Problems
	rings   []ring         // sound by themselves, part after part, shells first, without repeated positions
	boxes   []Box          // around them
	met     map[[2]int]int // how often two rings, the earlier first, cross or share a line, or a ring itself
	touches []touch
}

// touch is a point in which two rings meet without crossing.
type touch struct {
	a, b int
	at   Point
}

// edge is an edge of a ring or a line with the box around it.
type edge struct {
	Box
	p, q  Point
	of, i int // whose it is, and where there
}

// newEdge gives the edge from p to q.
func newEdge(p, q Point, of, i int) edge {
	return edge{Box{min(p[0], q[0]), min(p[1], q[1]), max(p[0], q[0]), max(p[1], q[1])}, p, q, of, i}
}

// eachPair visits all pairs of edges whose boxes meet, until visit returns
// false. It sorts the edges.
func eachPair(edges []edge, visit func(x, y *edge) bool) {
	slices.SortFunc(edges, func(x, y edge) int { return cmp.Compare(x.West, y.West) })
	for k := range edges {
		x := &edges[k]
		for m := k + 1; m < len(edges) && edges[m].West <= x.East; m++ {
			if y := &edges[m]; y.South <= x.North && x.South <= y.North && !visit(x, y) {
				return
			}
		}
	}
}

// The most crossings that are reported of one ring, and problems of all together.
const (
	maxCrossings = 5
	maxProblems  = 100
)

// meet finds where edges meet and judges what that means.
func (l *layout) meet() {
	var edges []edge
	for k := range l.rings {
		r := &l.rings[k]
		edges = slices.Grow(edges, r.len())
		for i := range r.len() - 1 {
			edges = append(edges, newEdge(r.at(i), r.at(i+1), k, i))
		}
	}
	known := make(map[touch]bool)
	eachPair(edges, func(x, y *edge) bool {
		if x.of > y.of || x.of == y.of && x.i > y.i {
			x, y = y, x
		}
		a, b := &l.rings[x.of], &l.rings[y.of]
		if a.of != b.of {
			return true // two geometries of a collection
		}
		at, how := robust.Meet(x.p, x.q, y.p, y.q)
		t := touch{x.of, y.of, at}
		switch {
		case how == robust.Apart || how == robust.Touch && known[t]:
		case x.of == y.of:
			if how != robust.Touch || y.i != x.i+1 && (x.i > 0 || y.i != a.len()-2) { // or they follow each other
				l.cross(t, x.i, y.i)
			}
		case how != robust.Touch || crossAt(at, a, x.i, b, y.i):
			l.cross(t, 0, 0)
		default:
			known[t] = true
			l.touches = append(l.touches, t)
		}
		return len(*l.Problems) < maxProblems
	})
}

// cross reports two rings that cross or share a line, once, or two edges of one
// ring that do.
func (l *layout) cross(t touch, edge1, edge2 int) {
	a, b := &l.rings[t.a], &l.rings[t.b]
	pair := [2]int{t.a, t.b}
	switch l.met[pair]++; {
	case l.met[pair] > maxCrossings, l.met[pair] > 1 && t.a != t.b:
	case t.a == t.b:
		l.addAt(t.at, RuleSelfIntersection, a.pointer(edge2), "the ring crosses or touches itself: its edges after positions %d and %d meet", a.place(edge1), a.place(edge2))
	case a.part != b.part:
		l.addAt(t.at, RulePartsOverlap, b.partPointer(), "parts %d and %d overlap or share a line", a.part, b.part)
	case a.hole > 0:
		l.addAt(t.at, RuleRingsCross, b.path, "holes %d and %d cross or share a line", a.hole-1, b.hole-1)
	default:
		l.addAt(t.at, RuleRingsCross, b.path, "a hole crosses its shell or shares a line with it")
	}
}

// partPointer gives the JSON pointer to the part of a MultiPolygon.
func (r *ring) partPointer() string { return r.path[:strings.LastIndexByte(r.path, '/')] }

// arms are the positions before and after a point on edge i.
func (r *ring) arms(p Point, i int) (before, after Point) {
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
func crossAt(p Point, a *ring, i int, b *ring, k int) bool {
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
func (r *ring) in(o *ring) (at Point, in bool) {
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
func (r *ring) counterClockwise() bool {
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

// nest judges how rings lie in each other that do not cross.
func (l *layout) nest() {
	for j := range l.rings {
		r := &l.rings[j]
		for i := range j {
			o := &l.rings[i]
			ofOnePart := o.part == r.part
			inShell := ofOnePart && o.hole == 0
			switch {
			case o.of != r.of || !ofOnePart && o.hole+r.hole > 0: // they have nothing to do with each other
			case !inShell && !l.boxes[i].Intersects(l.boxes[j]): // they lie apart
			case l.met[[2]int{i, i}]+l.met[[2]int{j, j}]+l.met[[2]int{i, j}] > 0: // that is told already
			case inShell:
				if at, in := r.in(o); !in {
					l.addAt(at, RuleHoleOutside, r.path, "a hole lies outside its shell")
				}
			case ofOnePart:
				if at, in := either(i, j, func(i, j int) (Point, bool) { return l.rings[i].in(&l.rings[j]) }); in {
					l.addAt(at, RuleHolesNested, r.path, "one of holes %d and %d lies in the other", o.hole-1, r.hole-1)
				}
			default:
				if at, in := either(i, j, l.inPart); in {
					l.addAt(at, RulePartsOverlap, r.partPointer(), "one of parts %d and %d lies in the other", o.part, r.part)
				}
			}
		}
	}
}

// either asks both ways.
func either(i, j int, in func(i, j int) (Point, bool)) (Point, bool) {
	if at, in := in(i, j); in {
		return at, in
	}
	return in(j, i)
}

// inPart reports whether a shell lies inside of another and in none of its holes.
func (l *layout) inPart(inner, outer int) (at Point, in bool) {
	r, o := &l.rings[inner], &l.rings[outer]
	if !l.boxes[outer].contains(l.boxes[inner]) {
		return at, false
	}
	at, in = r.in(o)
	for k := outer + 1; in && k < len(l.rings) && l.rings[k].part == o.part && l.rings[k].of == o.of; k++ {
		_, free := r.in(&l.rings[k])
		in = !free
	}
	return at, in
}

// cut reports a polygon whose rings form a circle by the points in which they
// touch, which cuts its interior into pieces.
func (l *layout) cut() {
	// The rings and the points are nodes of a graph; a touch joins two rings and a
	// point. Nodes that are joined have the same root.
	type node struct {
		ring  int // of a point the shell
		point bool
		at    Point
	}
	parent := make(map[node]node)
	root := func(n node) node {
		for {
			up, ok := parent[n]
			if !ok {
				return n
			}
			if over, ok := parent[up]; ok {
				parent[n] = over // half as long a way, the next time
			}
			n = up
		}
	}
	joined := make(map[[2]node]bool)
	for _, t := range l.touches {
		r := &l.rings[t.a]
		if l.rings[t.b].part != r.part {
			continue
		}
		shell := t.a - r.hole
		point := node{shell, true, t.at}
		for _, k := range [...]int{t.a, t.b} {
			ring := node{ring: k}
			if joined[[2]node{ring, point}] {
				continue
			}
			joined[[2]node{ring, point}] = true
			from, to := root(ring), root(point)
			if from == to {
				l.addAt(t.at, RuleInteriorCut, l.rings[shell].path, "the holes cut the interior into pieces")
				return
			}
			parent[from] = to
		}
	}
}
