package ledger

import (
	"fmt"
	"math"
	"slices"

	"github.com/peterstace/simplefeatures/geom"
)

// CheckGeometry judges a GeoJSON geometry and returns all its problems, with
// pointers from the geometry. The shape is nil when the text cannot be read as
// a geometry, and otherwise as sound as the problems say.
//
// The verdict is ST_IsValid's (OGC 06-103r4, 6.1.11) after ST_GeomFromGeoJSON
// [D], with one rule of ours, [MaxVertices].
func CheckGeometry(geojson []byte) (*Shape, Problems) {
	if !jsonValid(geojson) {
		return nil, Problems{NewProblem(RuleGeometrySyntax, "", "the geometry is no JSON", "write valid JSON (RFC 8259)")}
	}
	return checkGeometry(geojson)
}

func checkGeometry(geojson []byte) (*Shape, Problems) {
	d, fail := decodeGeometry(geojson)
	if fail != nil {
		return nil, Problems{NewProblem(RuleGeometrySyntax, fail.pointer, fail.message, fail.advice)}
	}
	s := newShape(d)
	v := &judge{problems: d.notes}
	if n := s.count; n > MaxVertices {
		v.add(RuleTooManyVertices, "", nil,
			fmt.Sprintf("the geometry has %d positions, more than %d", n, MaxVertices),
			"simplify it, or register its parts as sources of their own")
		return s, v.problems
	}
	v.geometry(d)
	v.advise(d, s)
	return s, v.problems
}

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

// polygons judges each ring, the rings of each polygon, and the polygons among
// themselves. What is built of unsound pieces is not judged: it would only
// repeat what was said of the pieces.
func (v *judge) polygons(d *decoded) {
	before := len(v.problems)
	rings := 0
	sound := make([]bool, len(d.polys))
	for i, p := range d.polys {
		sound[i] = true
		for _, r := range p {
			rings++
			sound[i] = v.ring(r) && sound[i]
		}
	}
	if rings < 2 || !slices.Contains(sound, false) && wellLaid(d) {
		return
	}
	for i, p := range d.polys {
		sound[i] = sound[i] && v.holes(p)
	}
	if slices.Contains(sound, false) {
		return
	}
	if v.parts(d); len(v.problems) == before {
		// The library has the last word, even where the place is not found.
		v.add(RuleRingsCross, "", nil, "the rings do not lie as they should: "+fmt.Sprint(d.geom().Validate()), "redraw the boundary")
	}
}

// wellLaid reports whether sound rings lie to each other as they should. The
// library knows, but for holes in holes that touch.
func wellLaid(d *decoded) bool {
	if d.geom().Validate() != nil {
		return false
	}
	for _, p := range d.polys {
		for i, hole := range p[1:] {
			for _, other := range p[1 : 1+i] {
				if _, nested := nestedAt(hole, other); nested {
					return false
				}
			}
		}
	}
	return true
}

// nestedAt finds a position of one ring inside the other. The rings must not
// cross.
func nestedAt(a, b ring) (Point, bool) {
	if !boxOf(a.xy).Intersects(boxOf(b.xy)) {
		return Point{}, false
	}
	if at, in := strays(a, b, inside); in {
		return at, true
	}
	return strays(b, a, inside)
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
	if !ok {
		return false
	}
	return !v.crossings(r)
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
		a, b := onSphere(p[0], p[1]), onSphere(q[0], q[1])
		const same = 5e-14
		if math.Abs(a[0]+b[0]) <= same && math.Abs(a[1]+b[1]) <= same && math.Abs(a[2]+b[2]) <= same {
			v.add(RuleAntipodalEdge, r.pointer(i), &q, "an edge joins two positions that are opposite on the globe",
				"put a position between them")
			return false
		}
	}
	return true
}

// maxCrossings bounds how many places of one ring are reported.
const maxCrossings = 5

// crossings reports where a ring crosses or touches itself, if it does. The
// library answers only whether, in ten times the time, and not always right
// when coordinates are huge.
func (v *judge) crossings(r ring) bool {
	clean, index := withoutRepeats(r)
	n := len(clean)/2 - 1 // edges
	// Along the axis on which the edges are shorter, the fewer of them lie
	// beside each other.
	axis := 0
	box := boxOf(clean)
	var run [2]float64
	for i := 2; i < len(clean); i++ {
		run[i&1] += math.Abs(clean[i] - clean[i-2])
	}
	if run[1]*(box.East-box.West) < run[0]*(box.North-box.South) {
		axis = 1
	}
	type span struct {
		low, high, low2, high2 float64 // along the axis, and across it
		edge                   int
	}
	spans := make([]span, n)
	for i := range spans {
		p, q := clean[2*i:2*i+2], clean[2*i+2:2*i+4]
		spans[i] = span{
			min(p[axis], q[axis]), max(p[axis], q[axis]), min(p[1-axis], q[1-axis]), max(p[1-axis], q[1-axis]), i,
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return order(a.low, b.low) })
	found := 0
	for k, a := range spans {
		for m := k + 1; m < n && spans[m].low <= a.high; m++ {
			b := &spans[m]
			if b.low2 > a.high2 || a.low2 > b.high2 {
				continue
			}
			i, j := min(a.edge, b.edge), max(a.edge, b.edge)
			at, hit := edgesMeet(clean, i, j, n)
			if !hit {
				continue
			}
			p := at // on the heap, which at need not be
			v.add(RuleSelfIntersection, r.pointer(index[j]), &p,
				fmt.Sprintf("the ring crosses or touches itself: its edges after positions %d and %d meet", index[i], index[j]),
				"redraw the boundary so that it does not cross or touch itself")
			if found++; found == maxCrossings {
				return true
			}
		}
	}
	return found > 0
}

// withoutRepeats drops repeated positions and tells where the others stood.
func withoutRepeats(r ring) (xy []float64, index []int) {
	xy, index = make([]float64, 0, len(r.xy)), make([]int, 0, r.len())
	for i := range r.len() {
		p := r.at(i)
		if n := len(xy); n > 0 && xy[n-2] == p[0] && xy[n-1] == p[1] {
			continue
		}
		xy = append(xy, p[0], p[1])
		index = append(index, i)
	}
	return xy, index
}

// edgesMeet gives a point that edges i and j of a ring share, other than the
// position between two that follow each other.
func edgesMeet(xy []float64, i, j, n int) (Point, bool) {
	a, b := Point{xy[2*i], xy[2*i+1]}, Point{xy[2*i+2], xy[2*i+3]}
	c, d := Point{xy[2*j], xy[2*j+1]}, Point{xy[2*j+2], xy[2*j+3]}
	switch {
	case j == i+1:
		// Neighbours share b; more than that only when d turns back over a-b.
		if orient(a[0], a[1], b[0], b[1], d[0], d[1]) == 0 && (within(a, b, d) || within(b, d, a)) {
			return b, true
		}
		return Point{}, false
	case i == 0 && j == n-1:
		if orient(c[0], c[1], d[0], d[1], b[0], b[1]) == 0 && (within(c, d, b) || within(a, b, c)) {
			return d, true
		}
		return Point{}, false
	}
	return segmentsMeet(a, b, c, d)
}

// within reports whether p lies in the box of the segment a-b, for points on
// its line.
func within(a, b, p Point) bool {
	return min(a[0], b[0]) <= p[0] && p[0] <= max(a[0], b[0]) && min(a[1], b[1]) <= p[1] && p[1] <= max(a[1], b[1])
}

// segmentsMeet gives a point that two segments share.
func segmentsMeet(a, b, c, d Point) (Point, bool) {
	if max(a[0], b[0]) < min(c[0], d[0]) || max(c[0], d[0]) < min(a[0], b[0]) ||
		max(a[1], b[1]) < min(c[1], d[1]) || max(c[1], d[1]) < min(a[1], b[1]) {
		return Point{}, false
	}
	o1 := orient(a[0], a[1], b[0], b[1], c[0], c[1])
	o2 := orient(a[0], a[1], b[0], b[1], d[0], d[1])
	o3 := orient(c[0], c[1], d[0], d[1], a[0], a[1])
	o4 := orient(c[0], c[1], d[0], d[1], b[0], b[1])
	switch {
	case o1 == 0 && within(a, b, c):
		return c, true
	case o2 == 0 && within(a, b, d):
		return d, true
	case o3 == 0 && within(c, d, a):
		return a, true
	case o4 == 0 && within(c, d, b):
		return b, true
	case o1*o2 < 0 && o3*o4 < 0:
		// The parameter along a-b, from the signed distances to c-d.
		num := (a[0]-c[0])*(d[1]-c[1]) - (a[1]-c[1])*(d[0]-c[0])
		den := (b[1]-a[1])*(d[0]-c[0]) - (b[0]-a[0])*(d[1]-c[1])
		t := num / den
		return Point{a[0] + t*(b[0]-a[0]), a[1] + t*(b[1]-a[1])}, true
	}
	return Point{}, false
}

// holes judges the rings of one polygon, each of them sound by itself.
func (v *judge) holes(p polygon) bool {
	ok := true
	fail := func(rule Rule, r ring, at *Point, message, advice string) {
		ok = false
		v.add(rule, r.path, at, message, advice)
	}
	shell := p[0]
	for i, hole := range p[1:] {
		if at, bad := ringsCross(shell, hole); bad {
			fail(RuleRingsCross, hole, &at, "a hole crosses its shell or shares a line with it", "keep holes inside the shell")
			continue
		}
		if at, out := strays(hole, shell, outside); out {
			fail(RuleHoleOutside, hole, &at, "a hole lies outside its shell", "make it a part of its own, or take it out")
			continue
		}
		for k, other := range p[1 : 1+i] {
			if !boxOf(hole.xy).Intersects(boxOf(other.xy)) {
				continue
			}
			if at, bad := ringsCross(other, hole); bad {
				fail(RuleRingsCross, hole, &at, fmt.Sprintf("holes %d and %d cross or share a line", k, i), "merge the two holes")
				continue
			}
			if at, in := nestedAt(hole, other); in {
				fail(RuleHolesNested, hole, &at, fmt.Sprintf("one of holes %d and %d lies in the other", k, i), "take the inner one out")
			}
		}
	}
	if ok && len(p) > 1 && p.geom().Validate() != nil {
		fail(RuleInteriorCut, shell, nil, "the holes cut the interior into pieces", "make each piece a part of a MultiPolygon")
	}
	return ok
}

// ringsCross reports whether two rings cross or share a line, which is to say
// that they meet in more than touching points. It asks the library, and finds
// the place by itself.
func ringsCross(a, b ring) (Point, bool) {
	if !boxOf(a.xy).Intersects(boxOf(b.xy)) {
		return Point{}, false
	}
	pa, pb := geom.NewPolygon([]geom.LineString{a.line()}).AsGeometry(), geom.NewPolygon([]geom.LineString{b.line()}).AsGeometry()
	im, err := geom.Relate(pa, pb)
	if err != nil {
		return a.at(0), true
	}
	// Boundaries share a line, or both interiors reach into the other's
	// exterior and each other.
	crosses := im[4] == '1' || im[0] != 'F' && im[2] != 'F' && im[6] != 'F'
	if !crosses {
		return Point{}, false
	}
	for i := 0; i+1 < a.len(); i++ {
		for j := 0; j+1 < b.len(); j++ {
			if p, hit := segmentsMeet(a.at(i), a.at(i+1), b.at(j), b.at(j+1)); hit {
				return p, true
			}
		}
	}
	return a.at(0), true
}

// strays finds a position of r that lies on the given side of another ring.
func strays(r, other ring, side int) (Point, bool) {
	for i := range r.len() {
		switch locate(r.at(i), other.xy) {
		case side:
			return r.at(i), true
		case onEdge:
		default:
			return Point{}, false
		}
	}
	return Point{}, false
}

// parts judges the polygons of a MultiPolygon among themselves, each of them
// sound by itself: their interiors must not meet, nor their boundaries in more
// than points.
func (v *judge) parts(d *decoded) {
	boxes := make([]Box, len(d.polys))
	polys := make([]geom.Geometry, len(d.polys))
	for i, p := range d.polys {
		boxes[i] = boxOf(p[0].xy)
	}
	polyOf := func(i int) geom.Geometry {
		if polys[i].IsGeometryCollection() { // the zero value
			polys[i] = d.polys[i].geom().AsGeometry()
		}
		return polys[i]
	}
	for i := range d.polys {
		for j := range i {
			if !boxes[i].Intersects(boxes[j]) {
				continue
			}
			im, err := geom.Relate(polyOf(j), polyOf(i))
			if err == nil && im[0] == 'F' && im[4] != '1' {
				continue
			}
			var at *Point
			if p, ok := meetingPoint(d.polys[j], d.polys[i]); ok {
				at = &p
			}
			v.add(RulePartsOverlap, d.polys[i][0].path[:len(d.polys[i][0].path)-2], at,
				fmt.Sprintf("parts %d and %d overlap or share a line", j, i), "merge the two parts, or draw them apart")
		}
	}
}

func meetingPoint(p, q polygon) (Point, bool) {
	for _, a := range p {
		for _, b := range q {
			for i := 0; i+1 < a.len(); i++ {
				for j := 0; j+1 < b.len(); j++ {
					if at, hit := segmentsMeet(a.at(i), a.at(i+1), b.at(j), b.at(j+1)); hit {
						return at, true
					}
				}
			}
		}
	}
	return Point{}, false
}
