package ledger

import (
	"cmp"
	"math"
	"slices"

	"github.com/meti-go/meti/ledger/internal/proj"
)

// flats are the shape's polygons in the plane.
func (s *Shape) flats() []flat {
	all, _ := s.plane.get(func() (all []flat, err error) {
		for _, poly := range s.polys {
			p := flat{box: noBox}
			for i, xy := range poly {
				on := make([]float64, len(xy))
				for k := 0; k < len(xy); k += 2 {
					on[k], on[k+1] = proj.EqualArea(xy[k], xy[k+1])
				}
				for k := 2; k < len(on); k += 2 {
					x0, y0, x1, y1 := on[k-2], on[k-1], on[k], on[k+1]
					if y0 > y1 {
						x0, y0, x1, y1 = x1, y1, x0, y0
					}
					if y0 < y1 {
						p.edges = append(p.edges, flatEdge{y0, y1, x0, (x1 - x0) / (y1 - y0)})
					}
				}
				p.box = p.box.union(boxOf(on))
				if area := math.Abs(signedArea(on)); i == 0 {
					p.area += area
				} else {
					p.area -= area
				}
			}
			all = append(all, p)
		}
		return all, nil
	})
	return all
}

// from gives the edges as seen from the corner of a box, of those at its height:
// small numbers have more digits.
func (p flat) from(box Box) []flatEdge {
	edges := make([]flatEdge, 0, len(p.edges))
	for _, e := range p.edges {
		if e.south < box.North && e.north > box.South {
			edges = append(edges, flatEdge{e.south - box.South, e.north - box.South, e.x - box.West, e.slope})
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
		window, same := noBox, false
		shapes := [][]flatEdge{p.from(p.box)}
		for _, other := range others {
			if !self.box.Intersects(other.box) {
				continue
			}
			for _, o := range other.flats() {
				same = same || o.box == p.box && slices.Equal(o.edges, p.edges)
				if o.box.Intersects(p.box) {
					window = window.union(o.box)
					shapes = append(shapes, o.from(p.box))
				}
			}
		}
		if same { // it was registered again
			covered += p.area
		} else if len(shapes) > 1 {
			window = window.intersection(p.box)
			x, y := p.box.West, p.box.South
			covered += coveredIn(Box{window.West - x, window.South - y, window.East - x, window.North - y}, shapes, 0, 0)
		}
	}
	if size == 0 {
		return 0, false
	}
	return min(max(covered/size, 0), 1), true
}

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
	width, height := window.East-window.West, window.North-window.South
	if !(width > 0 && height > 0) {
		return 0
	}
	var kept [][]flatEdge
	edges := 0
	for i, all := range shapes {
		part := cut(all, window)
		if len(part) == 0 && i == 0 {
			return 0
		}
		if i > 0 && len(part) == 1 && part[0] == (flatEdge{window.South, window.North, window.West, 0}) {
			return sweep(window, [][]flatEdge{kept[0], part}) // it covers the window
		}
		if len(part) > 0 {
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
		return sweep(window, kept)
	}
	one, two := window, window
	if width > height {
		one.East = window.West + width/2
		two.West = one.East
	} else {
		one.North = window.South + height/2
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
			in = append(in, flatEdge{low, high, x0, e.slope})
		}
	}
	slices.Sort(ends) // where two edges lie beside each other, the shape ends again
	for i := 0; i < len(ends); i += 2 {
		for i+2 < len(ends) && ends[i+1] == ends[i+2] {
			ends = slices.Delete(ends, i+1, i+3)
		}
		if ends[i] < ends[i+1] {
			in = append(in, flatEdge{ends[i], ends[i+1], window.West, 0})
		}
	}
	return in
}

// sweepEdge is an edge in a sweep.
type sweepEdge struct {
	flatEdge
	of int
	x  float64 // just above the beginning of the strip at hand
}

// sweep is coveredIn without halving the window. It goes up from strip to strip:
// within one, edges neither begin nor end nor cross, so that it falls into
// trapezoids, each of them wholly inside or outside each shape.
func sweep(window Box, shapes [][]flatEdge) (area float64) {
	// The window is one more shape.
	shapes = append(shapes[:len(shapes):len(shapes)], []flatEdge{
		{window.South, window.North, window.West, 0}, {window.South, window.North, window.East, 0},
	})
	last := len(shapes) - 1
	var edges []sweepEdge
	for i, shape := range shapes {
		for _, e := range shape {
			edges = append(edges, sweepEdge{flatEdge: e, of: i})
		}
	}
	slices.SortFunc(edges, func(a, b sweepEdge) int { return cmp.Compare(a.south, b.south) })
	in := make([]bool, len(shapes))
	var active []int // of edges, from west to east
	next := 0
	for low := edges[0].south; ; {
		kept := active[:0]
		for _, k := range active {
			if edges[k].north > low {
				kept = append(kept, k)
			}
		}
		active = kept
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
			e := &edges[k]
			e.x = e.at(above)
			high = min(high, e.north)
			for ; i > 0 && edges[active[i-1]].x > e.x; i-- {
				active[i] = active[i-1]
			}
			active[i] = k
		}
		// Those that cross first lie beside each other.
		for i := 1; i < len(active); i++ {
			a, b := &edges[active[i-1]], &edges[active[i]]
			if y := above + (b.x-a.x)/(a.slope-b.slope); y > above && y < high {
				high = y
			}
		}
		middle := low + (high-low)/2
		clear(in)
		covers, width, before := 0, 0.0, 0.0
		for _, k := range active {
			e := &edges[k]
			x := e.at(middle)
			if in[0] && in[last] && covers > 0 {
				width += x - before
			}
			before = x
			if in[e.of] = !in[e.of]; e.of == 0 || e.of == last {
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
