package ledger

import (
	"cmp"
	"math"
	"slices"

	"github.com/meti-go/meti/ledger/internal/proj"
)

// flats are the shape's polygons in the plane.
func (s *Shape) flats() []flat {
	return s.plane.get(func() (all []flat) {
		for _, poly := range s.polys {
			p := flat{box: noBox}
			p.area = withoutHoles(poly, func(xy []float64) float64 {
				on := proj.EqualArea(xy)
				for i := 2; i < len(on); i += 2 {
					low, high := Point(on[i-2:i]), Point(on[i:i+2])
					if low[1] > high[1] {
						low, high = high, low
					}
					if low[1] < high[1] {
						p.edges = append(p.edges, flatEdge{south: low[1], north: high[1], x: low[0], slope: (high[0] - low[0]) / (high[1] - low[1])})
					}
				}
				p.box = p.box.union(boxOf(on))
				return signedArea(on)
			})
			all = append(all, p)
		}
		return all
	})
}

// from gives the edges as seen from the corner of a box, of those at its height:
// small numbers have more digits.
func (p *flat) from(box Box, of int) []flatEdge {
	edges := make([]flatEdge, 0, len(p.edges))
	for _, e := range p.edges {
		if e.south < box.North && e.north > box.South {
			edges = append(edges, flatEdge{south: e.south - box.South, north: e.north - box.South, x: e.x - box.West, slope: e.slope, of: of})
		}
	}
	return edges
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
	size, covered := 0.0, 0.0
	for _, p := range self.flats() {
		size += p.area
		same := false
		shapes := [][]flatEdge{p.from(p.box, itself)}
		for _, other := range others {
			if !self.box.Intersects(other.box) {
				continue
			}
			for _, o := range other.flats() {
				same = same || o.box == p.box && slices.Equal(o.edges, p.edges)
				if o.box.Intersects(p.box) {
					shapes = append(shapes, o.from(p.box, itself+len(shapes)))
				}
			}
		}
		if same { // it was registered again
			covered += p.area
		} else if len(shapes) > 1 {
			covered += coveredIn(Box{0, 0, p.box.East - p.box.West, p.box.North - p.box.South}, shapes, 0, 0)
		}
	}
	if size == 0 {
		return 0, false
	}
	return min(max(covered/size, 0), 1), true
}

// Whose an edge is: the window is one more shape, and the others come behind the
// one that is covered.
const theWindow, itself = 0, 1

const (
	// fewEdges are swept at once: halving the window costs as much.
	fewEdges = 100
	// After so many halvings that left most of the edges in one half, these run
	// along each other or through one place, and are swept.
	maxVain = 4
)

// coveredIn is the area of the first shape that the others cover together in a
// window. The window is halved until one of them covers it wholly, or few edges
// are left: so it takes about as long as it takes to look at the boundary of what
// they cover together, and what lies in layers below counts little.
func coveredIn(window Box, shapes [][]flatEdge, before, vain int) float64 {
	if !(window.East > window.West && window.North > window.South) {
		return 0
	}
	var kept [][]flatEdge
	edges := 0
	for i, all := range shapes {
		part := cut(all, window)
		switch {
		case i == 0 && len(part) == 0:
			return 0
		case i > 0 && len(part) == 1 && part[0].slope == 0 && part[0].x == window.West && part[0].south == window.South && part[0].north == window.North:
			return sweep(window, append(kept[0], part[0])) // it covers the window
		case len(part) > 0:
			kept = append(kept, part)
			edges += len(part)
		}
	}
	if vain++; 4*edges < 3*before {
		vain = 0
	}
	switch {
	case len(kept) == 1:
		return 0
	case edges <= fewEdges || vain > maxVain:
		return sweep(window, slices.Concat(kept...))
	}
	one, two := window, window
	if window.East-window.West > window.North-window.South {
		one.East = (window.West + window.East) / 2
		two.West = one.East
	} else {
		one.North = (window.South + window.North) / 2
		two.South = one.North
	}
	return coveredIn(one, kept, edges, vain) + coveredIn(two, kept, edges, vain)
}

// cut gives the edges of a shape that matter in a window, cut to its height. What
// lies east of it bounds no area in it, and of what lies west of it only the
// heights count between which the shape comes in from there.
func cut(edges []flatEdge, window Box) (in []flatEdge) {
	var ends []float64
	for _, e := range edges {
		low, high := max(e.south, window.South), min(e.north, window.North)
		if !(low < high) {
			continue
		}
		x0, x1 := e.at(low), e.at(high)
		if max(x0, x1) < window.West {
			ends = append(ends, low, high)
		} else if min(x0, x1) <= window.East {
			in = append(in, flatEdge{south: low, north: high, x: x0, slope: e.slope, of: e.of})
		}
	}
	slices.Sort(ends) // where two edges lie beside each other, the shape ends again
	for i := 0; i < len(ends); i += 2 {
		for i+2 < len(ends) && ends[i+1] == ends[i+2] {
			ends = slices.Delete(ends, i+1, i+3)
		}
		if ends[i] < ends[i+1] {
			in = append(in, flatEdge{south: ends[i], north: ends[i+1], x: window.West, of: edges[0].of})
		}
	}
	return in
}

// sweep is coveredIn without halving the window, for the edges of all shapes. It
// goes up from strip to strip: within one, edges neither begin nor end nor cross,
// so that it falls into trapezoids, each of them wholly inside or outside each
// shape.
func sweep(window Box, edges []flatEdge) (area float64) {
	edges = append(edges,
		flatEdge{south: window.South, north: window.North, x: window.West, of: theWindow},
		flatEdge{south: window.South, north: window.North, x: window.East, of: theWindow})
	slices.SortFunc(edges, func(a, b flatEdge) int { return cmp.Compare(a.south, b.south) })
	in := make([]bool, 1+slices.MaxFunc(edges, func(a, b flatEdge) int { return cmp.Compare(a.of, b.of) }).of)
	now := make([]float64, len(edges)) // where each is, just above the beginning of the strip
	var active []int                   // of edges, from west to east
	next := 0
	for low := edges[0].south; ; {
		active = slices.DeleteFunc(active, func(k int) bool { return edges[k].north <= low })
		for ; next < len(edges) && edges[next].south <= low; next++ {
			active = append(active, next)
		}
		high := math.Inf(1)
		if next < len(edges) {
			high = edges[next].south
		} else if len(active) == 0 {
			return area
		}
		// Edges that meet in one place are told apart above it, beyond rounding.
		above := low + 1e-7
		for i, k := range active { // nearly sorted from the strip before
			now[k] = edges[k].at(above)
			high = min(high, edges[k].north)
			for ; i > 0 && now[active[i-1]] > now[k]; i-- {
				active[i] = active[i-1]
			}
			active[i] = k
		}
		for i := 1; i < len(active); i++ { // those that cross first lie beside each other
			a, b := active[i-1], active[i]
			if y := above + (now[b]-now[a])/(edges[a].slope-edges[b].slope); y > above && y < high {
				high = y
			}
		}
		middle := low + (high-low)/2
		clear(in)
		covers, width, before := 0, 0.0, 0.0
		for _, k := range active {
			e := &edges[k]
			x := e.at(middle)
			if in[itself] && in[theWindow] && covers > 0 {
				width += x - before
			}
			before = x
			if in[e.of] = !in[e.of]; e.of <= itself {
				continue
			} else if in[e.of] {
				covers++
			} else {
				covers--
			}
		}
		area += width * (high - low)
		low = high
	}
}
