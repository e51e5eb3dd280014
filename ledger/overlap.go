package ledger

import (
	"math"
	"slices"
	"sync"

	"github.com/meti-go/meti/ledger/internal/proj"
)

// area is the shell's less the holes', in square metres.
func (p plate) area() float64 {
	area := 0.0
	for i, xy := range p.rings {
		if size := math.Abs(signedArea(xy)); i == 0 {
			area += size
		} else {
			area -= size
		}
	}
	return area
}

// plates are the shape's polygons.
func (s *Shape) plates() []plate {
	s.planeOnce.Do(func() {
		for _, poly := range s.polys {
			p := plate{box: noBox}
			for _, xy := range poly {
				flat := make([]float64, len(xy))
				for k := 0; k < len(xy); k += 2 {
					flat[k], flat[k+1] = proj.EqualArea(xy[k], xy[k+1])
				}
				p.rings = append(p.rings, flat)
				p.box = p.box.union(boxOf(flat))
			}
			s.plane = append(s.plane, p)
		}
	})
	return s.plane
}

// Overlap is percent_overlap of a source: the share, 0 to 1, of its area that
// the others cover together, in EPSG:6933 [D]. ok is false, for null, when it
// has no area.
//
// After an insert the others are the sources that self conflicts with, after a
// deletion its [Neighbours]. A source without a conflict has null at all times;
// that is the caller's to see. Where the share is 1 already, one more source
// cannot change it, and an insert can save the computation.
func Overlap(self *Shape, others []*Shape) (share float64, ok bool) {
	var all []plate
	at := make(map[Box][]int) // of those, by their boxes
	for _, o := range others {
		if !self.box.Intersects(o.box) {
			continue
		}
		for _, p := range o.plates() {
			known := func(i int) bool { return all[i].equal(p) } // registered again
			if !slices.ContainsFunc(at[p.box], known) {
				at[p.box] = append(at[p.box], len(all))
				all = append(all, p)
			}
		}
	}
	size, covered := 0.0, 0.0
	for _, p := range self.plates() {
		area := p.area()
		size += area
		if slices.ContainsFunc(at[p.box], func(i int) bool { return all[i].equal(p) }) {
			covered += area
			continue
		}
		window := noBox
		var near []plate
		for _, o := range all {
			if o.box.Intersects(p.box) {
				near = append(near, o)
				window = window.union(o.box)
			}
		}
		if len(near) > 0 {
			covered += coveredIn(window.intersection(p.box), p, near, 0, 0)
		}
	}
	if size == 0 {
		return 0, false
	}
	return min(max(covered/size, 0), 1), true
}

// equal reports whether the polygons are the same, written the same.
func (p plate) equal(o plate) bool {
	return slices.EqualFunc(p.rings, o.rings, func(a, b []float64) bool { return slices.Equal(a, b) })
}

const (
	// fewEdges are swept at once: cutting the window costs as much.
	fewEdges = 100
	// A window may be cut and keep most of its edges. After someVain times up to
	// someEdges are swept where they hardly cross, and so lie along each other;
	// after maxVain times all are, for they run through one place.
	someVain, someEdges, maxVain = 2, 1000, 8
)

// coveredIn is the area of a polygon that others cover together in a window. The
// window is halved until one of them covers it wholly, or few edges are left.
// So it takes about as long as it takes to look at the boundary of what they
// cover together, and what lies in layers below counts little.
func coveredIn(window Box, self plate, others []plate, before, vain int) float64 {
	width, height := window.East-window.West, window.North-window.South
	if !(width > 0 && height > 0) {
		return 0
	}
	self = self.cut(window)
	own := self.area()
	if !(own > 0) {
		return 0
	}
	const all = 1 - 1e-13
	edges, run := self.edges()
	kept := make([]plate, 0, len(others))
	for _, o := range others {
		o = o.cut(window)
		if area := o.area(); area >= width*height*all {
			return own
		} else if area > 0 {
			kept = append(kept, o)
			n, far := o.edges()
			edges, run[0], run[1] = edges+n, run[0]+far[0], run[1]+far[1]
		}
	}
	if vain++; 4*edges < 3*before {
		vain = 0
	}
	if len(kept) == 0 {
		return 0
	}
	most := 2 * edges // crossings
	if edges <= fewEdges || vain > maxVain {
		most = math.MaxInt
	}
	if edges <= someEdges && vain > someVain || edges <= fewEdges || vain > maxVain {
		if area, ok := sweep(window, self, kept, most); ok {
			return area
		}
	}
	one, two := window, window
	if run[0]*height < run[1]*width { // few edges reach from one half into the other
		one.East = window.West + width/2
		two.West = one.East
	} else {
		one.North = window.South + height/2
		two.South = one.North
	}
	return coveredIn(one, self, kept, edges, vain) + coveredIn(two, self, kept, edges, vain)
}

// edges counts the edges, and how far they run along each axis.
func (p plate) edges() (n int, run [2]float64) {
	for _, xy := range p.rings {
		n += len(xy)/2 - 1
		for i := 2; i < len(xy); i++ {
			run[i&1] += math.Abs(xy[i] - xy[i-2])
		}
	}
	return n, run
}

// cut gives what of the polygon lies in a window, by Sutherland and Hodgman
// (doi:10.1145/360767.360802): where it falls into pieces, lines along the
// window join them, which add no area.
func (p plate) cut(window Box) plate {
	if window.contains(p.box) {
		return p
	}
	out := plate{box: p.box.intersection(window)}
	for i, xy := range p.rings {
		if p.box.West < window.West {
			xy = cutAt(xy, 0, window.West, 1)
		}
		if p.box.East > window.East {
			xy = cutAt(xy, 0, window.East, -1)
		}
		if p.box.South < window.South {
			xy = cutAt(xy, 1, window.South, 1)
		}
		if p.box.North > window.North {
			xy = cutAt(xy, 1, window.North, -1)
		}
		if len(xy) >= 8 {
			out.rings = append(out.rings, xy)
		} else if i == 0 {
			return plate{} // without a shell
		}
	}
	return out
}

// cutAt cuts off what of a closed ring lies below a bound on an axis, or above it
// when the sign is negative.
func cutAt(xy []float64, axis int, bound, sign float64) []float64 {
	var out []float64
	add := func(p Point) {
		// Of three in a row on the bound the one between says nothing.
		if n := len(out); p[axis] == bound && n >= 4 && out[n-2+axis] == bound && out[n-4+axis] == bound {
			out = out[:n-2]
		}
		out = append(out, p[0], p[1])
	}
	for i := 0; i+3 < len(xy); i += 2 {
		p, q := Point(xy[i:i+2]), Point(xy[i+2:i+4])
		in, next := (p[axis]-bound)*sign >= 0, (q[axis]-bound)*sign >= 0
		if in {
			if out == nil {
				out = make([]float64, 0, len(xy)+4)
			}
			add(p)
		}
		if in != next {
			at := Point{bound, bound}
			at[1-axis] = p[1-axis] + (q[1-axis]-p[1-axis])*(bound-p[axis])/(q[axis]-p[axis])
			add(at)
		}
	}
	if len(out) > 0 {
		add(Point(out[:2]))
	}
	return out
}

// sweepEdge is an edge of a shape on its way from y0 up to y1.
type sweepEdge struct {
	y0, y1 float64
	x0     float64 // at y0
	slope  float64 // x for each y
	group  int32   // 0 for self, and one for each of the others
	x      float64 // in the middle of the strip at hand
}

func (e *sweepEdge) at(y float64) float64 { return e.x0 + e.slope*(y-e.y0) }

// sweep is coveredIn without cutting the window. It is cut into strips at every
// position and every crossing of edges; within a strip no edges cross, so that
// it falls into trapezoids, each of them wholly inside or outside each shape.
func sweep(window Box, self plate, others []plate, most int) (area float64, ok bool) {
	room := edgeRoom.Get().(*[]sweepEdge)
	defer edgeRoom.Put(room)
	edges := windowEdges((*room)[:0], window, self, 0)
	for i, o := range others {
		edges = windowEdges(edges, window, o, int32(i+1))
	}
	*room = edges
	slices.SortFunc(edges, func(a, b sweepEdge) int { return order(a.y0, b.y0) })
	cuts, ok := crossings(edges, most)
	if !ok {
		return 0, false
	}
	var (
		active []*sweepEdge
		next   int
		in     = make([]bool, len(others)+1)
	)
	for low := 0.0; ; {
		kept := active[:0]
		for _, e := range active {
			if e.y1 > low {
				kept = append(kept, e)
			}
		}
		active = kept
		for ; next < len(edges) && edges[next].y0 <= low; next++ {
			active = append(active, &edges[next])
		}
		// The strip ends where the next edge begins or ends, or two cross.
		high := math.Inf(1)
		if next < len(edges) {
			high = edges[next].y0
		} else if len(active) == 0 {
			return area, true
		}
		for _, e := range active {
			high = min(high, e.y1)
		}
		for len(cuts) > 0 && cuts[0] <= low {
			cuts = cuts[1:]
		}
		if len(cuts) > 0 {
			high = min(high, cuts[0])
		}
		middle := low + (high-low)/2
		// Nearly sorted from the strip before.
		for i, e := range active {
			e.x = e.at(middle)
			for ; i > 0 && active[i-1].x > e.x; i-- {
				active[i] = active[i-1]
			}
			active[i] = e
		}
		clear(in)
		covers := 0
		width := 0.0
		for i, e := range active {
			if i > 0 && in[0] && covers > 0 {
				width += e.x - active[i-1].x
			}
			in[e.group] = !in[e.group]
			if e.group > 0 {
				if in[e.group] {
					covers++
				} else {
					covers--
				}
			}
		}
		area += width * (high - low)
		low = high
	}
}

// edgeRoom is used again and again.
var edgeRoom = sync.Pool{New: func() any { return new([]sweepEdge) }}

// windowEdges appends the edges of a shape that matter in a window, cut to its
// height, relative to its corner. What lies right of it closes no trapezoid in
// it, and of what lies left of it only the heights between which it runs count.
func windowEdges(edges []sweepEdge, window Box, p plate, group int32) []sweepEdge {
	width, height := window.East-window.West, window.North-window.South
	add := func(x0, y0, x1, y1 float64) {
		if y0 > y1 {
			x0, y0, x1, y1 = x1, y1, x0, y0
		}
		if !(y0 < y1 && y1 > 0 && y0 < height) { // or it is not a number
			return
		}
		e := sweepEdge{y0: y0, y1: min(y1, height), x0: x0, slope: (x1 - x0) / (y1 - y0), group: group}
		if y0 < 0 {
			e.x0, e.y0 = e.at(0), 0
		}
		edges = append(edges, e)
	}
	for _, xy := range p.rings {
		if len(xy) < 2 {
			continue
		}
		x0, y0 := xy[0]-window.West, xy[1]-window.South
		left := y0 // where the run of edges to the left began
		for i := 2; i < len(xy); i += 2 {
			x1, y1 := xy[i]-window.West, xy[i+1]-window.South
			if max(x0, x1) >= 0 {
				add(-1, left, -1, y0)
				if min(x0, x1) <= width {
					add(x0, y0, x1, y1)
				}
				left = y1
			}
			x0, y0 = x1, y1
		}
		add(-1, left, -1, y0)
	}
	return edges
}

// crossings gives the heights at which edges of different shapes cross, in
// order; the edges are sorted by y0. ok is false where there are more than most.
func crossings(edges []sweepEdge, most int) (cuts []float64, ok bool) {
	var active []*sweepEdge
	for i := range edges {
		e := &edges[i]
		kept := active[:0]
		for _, a := range active {
			if a.y1 <= e.y0 {
				continue
			}
			kept = append(kept, a)
			if a.group == e.group {
				continue
			}
			low, high := e.y0, min(a.y1, e.y1)
			before, after := a.at(low)-e.at(low), a.at(high)-e.at(high)
			if before*after < 0 {
				cuts = append(cuts, low+(high-low)*before/(before-after))
			}
		}
		if active = append(kept, e); len(cuts) > most {
			return nil, false
		}
	}
	slices.Sort(cuts)
	return cuts, true
}
