package ledger

import "math"

// Shrinking a shape costs more than all else about it together, and most pairs
// do not need it: a stored source that reaches well beyond 9 metres into the
// newcomer conflicts, one that only shares its boundary does not. This file
// answers for those; within half a metre of the 9 the shrunk shape decides.

type reach int

const (
	unsure  reach = iota // only the shrunk shape can tell
	deep                 // more than 9 metres, for certain
	shallow              // less than 9 metres, for certain
)

// Depths that leave no doubt, in metres. The plane that PostGIS shrinks in
// stretches by up to 1.5 %, its edges bend by up to 0.2 m from those in degrees
// for a shape below 2 km (see plain), and its arcs are chords that come 0.05 m
// closer.
const (
	surelyDeep    = 9.55
	surelyShallow = 8.4
)

// local is a shape in metres from the corner of its box, true to scale to a
// thousandth for shapes that are plain.
type local struct {
	origin Point
	kx, ky float64 // metres for each degree
	planar
}

func (s *Shape) newLocal() *local {
	b := s.box
	sin, cos := math.Sincos((b.South + b.North) / 2 * rad)
	w := 1 - ecc2*sin*sin
	l := &local{
		origin: Point{b.West, b.South},
		kx:     semiMajor / math.Sqrt(w) * cos * rad,
		ky:     semiMajor * (1 - ecc2) / (w * math.Sqrt(w)) * rad,
	}
	l.planar = l.project(s)
	return l
}

// project gives another shape in the same metres.
func (l *local) project(s *Shape) planar {
	p := planar{polys: make([][][]float64, len(s.polys))}
	for i, poly := range s.polys {
		rings := make([][]float64, len(poly))
		for k, xy := range poly {
			flat := make([]float64, len(xy))
			for j := 0; j < len(xy); j += 2 {
				flat[j], flat[j+1] = (xy[j]-l.origin[0])*l.kx, (xy[j+1]-l.origin[1])*l.ky
			}
			rings[k] = flat
		}
		p.polys[i] = rings
	}
	p.box = Box{
		(s.box.West - l.origin[0]) * l.kx, (s.box.South - l.origin[1]) * l.ky,
		(s.box.East - l.origin[0]) * l.kx, (s.box.North - l.origin[1]) * l.ky,
	}
	return p
}

// depthAt is how far inside the shape a position is: metres to the nearest
// boundary, negative outside.
func (p *planar) depthAt(x, y float64) float64 {
	nearest := math.Inf(1)
	in := false
	for _, poly := range p.polys {
		for _, xy := range poly {
			for i := 0; i+3 < len(xy); i += 2 {
				x1, y1 := xy[i]-x, xy[i+1]-y
				dx, dy := xy[i+2]-xy[i], xy[i+3]-xy[i+1]
				if (y1 > 0) != (y1+dy > 0) && x1-y1*dx/dy > 0 {
					in = !in
				}
				// The nearest point of the edge, as a share of its length.
				t := min(max(-(x1*dx+y1*dy)/(dx*dx+dy*dy), 0), 1)
				if dx == 0 && dy == 0 {
					t = 0
				}
				ex, ey := x1+t*dx, y1+t*dy
				nearest = min(nearest, ex*ex+ey*ey)
			}
		}
	}
	if nearest = math.Sqrt(nearest); in {
		return nearest
	}
	return -nearest
}

// reachOf tells how far o reaches into s, which must be plain. What is shallow
// is so by spare metres more.
func (s *Shape) reachOf(o *Shape, spare float64) reach {
	s.localOnce.Do(func() { s.local = s.newLocal() })
	own := s.local
	other := own.project(o)
	// Most that overlap by much do so in the middle of their boxes' overlap.
	b := own.box.intersection(other.box)
	x, y := (b.West+b.East)/2, (b.South+b.North)/2
	if own.depthAt(x, y) > surelyDeep && other.depthAt(x, y) > 0.01 {
		return deep
	}
	// The boundary of o may come deep by itself.
	w := walker{in: &own.planar, budget: 200 + 4*o.count, shallow: surelyShallow - spare, found: shallow}
	for _, poly := range other.polys {
		for _, xy := range poly {
			for i := 0; i+3 < len(xy); i += 2 {
				w.edge(xy[i], xy[i+1], xy[i+2], xy[i+3])
				if w.found == deep {
					return deep
				}
			}
		}
	}
	if w.found == unsure {
		return unsure
	}
	// It does not, so that each part of s that is deep lies wholly in o or
	// wholly out of it, and with it half a metre around.
	if coveredArea(&own.planar, []*planar{&other}) < 0.1 {
		return shallow
	}
	if c, ok := s.Centroid(); ok {
		x, y := (c[0]-own.origin[0])*own.kx, (c[1]-own.origin[1])*own.ky
		if own.depthAt(x, y) > surelyDeep && other.depthAt(x, y) > 0.01 {
			return deep
		}
	}
	return unsure
}

// walker looks for the deepest place of some edges.
type walker struct {
	in      *planar
	budget  int
	shallow float64 // metres that are surely shallow
	found   reach   // shallow so far, and what it turned to
}

// edge looks along one edge, as far as it lies in the box.
func (w *walker) edge(x1, y1, x2, y2 float64) {
	b := w.in.box
	from, to := 0.0, 1.0
	for _, side := range [...][2]float64{{x1 - x2, x1 - b.West}, {x2 - x1, b.East - x1}, {y1 - y2, y1 - b.South}, {y2 - y1, b.North - y1}} {
		step, room := side[0], side[1]
		switch {
		case step == 0 && room < 0:
			return
		case step > 0:
			to = min(to, room/step)
		case step < 0:
			from = max(from, room/step)
		}
	}
	if from >= to {
		return
	}
	dx, dy := x2-x1, y2-y1
	w.part(x1+from*dx, y1+from*dy, x1+to*dx, y1+to*dy)
}

// part halves a piece until its depth is certain: along it the depth changes
// by no more than the way.
func (w *walker) part(x1, y1, x2, y2 float64) {
	if w.found == deep {
		return
	}
	if w.budget--; w.budget < 0 {
		w.found = unsure
		return
	}
	x, y := (x1+x2)/2, (y1+y2)/2
	half := math.Hypot(x2-x1, y2-y1) / 2
	switch depth := w.in.depthAt(x, y); {
	case depth > surelyDeep:
		w.found = deep
	case depth+half < w.shallow:
	case half < 0.2:
		w.found = unsure
	default:
		w.part(x1, y1, x, y)
		w.part(x, y, x2, y2)
	}
}
