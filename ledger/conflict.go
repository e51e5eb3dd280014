package ledger

import (
	"math"

	"github.com/meti-go/meti/ledger/internal/proj"
	"github.com/meti-go/meti/ledger/internal/robust"
)

// Source is what the rules about conflicts see of a source. Account,
// methodology and attributes play no part [D].
type Source struct {
	Shape  *Shape
	Period Period
	// Country is the name of the country of the shape's centroid. A source of
	// unknown country, the empty string, conflicts with nothing.
	Country string
}

// Meets reports whether two sources are of the same known country at the same
// time, the cheap part of each rule about them.
func (s Source) Meets(o Source) bool {
	return s.Country != "" && s.Country == o.Country && s.Period.Overlaps(o.Period)
}

// Conflict judges a newcomer against a stored source: same known country,
// overlapping time, and the stored shape intersects the newcomer's less 9
// metres [D]. Both then have a conflict.
//
// Only the newcomer is shrunk, so the order of registration matters. A stored
// source whose box does not intersect [Shape.SearchBox] needs no judging.
func Conflict(newcomer, stored Source) bool {
	return newcomer.Meets(stored) && newcomer.Shape.shrinkIntersects(stored.Shape)
}

// NearConflict reports whether [Conflict] holds, or would if the newcomer lost
// 8 metres instead of 9: for who must not miss a conflict that METI's own
// arithmetic may still find.
func NearConflict(newcomer, stored Source) bool {
	s, o := newcomer.Shape, stored.Shape
	return newcomer.Meets(stored) && s.box.Intersects(o.box) && s.shrinkNearly().Intersects(o)
}

// Neighbours reports whether sources intersect, in the same known country at the
// same time, without the 9 metres. It is the rule after a deletion [D]: when X is
// deleted, percent_overlap is computed anew for each of X's neighbours that still
// has a conflict, over all of that one's neighbours, and is null for those that
// have none left.
func Neighbours(a, b Source) bool { return a.Meets(b) && a.Shape.Intersects(b.Shape) }

// Intersects reports whether the shapes share a point, in the plane of
// degrees; touching counts. The answer is exact.
func (s *Shape) Intersects(o *Shape) bool {
	if s.Empty() || o.Empty() || !s.box.Intersects(o.box) {
		return false
	}
	window := s.box.intersection(o.box) // where both can be
	var edges []edge
	for of, shape := range []*Shape{s, o} {
		shape.each(func(xy []float64) {
			for i := 0; i+1 < len(xy); i += 2 {
				before := max(i-2, 0) // of a point, itself
				e := newEdge(Point(xy[before:before+2]), Point(xy[i:i+2]), of, i)
				if (i > 0 || len(xy) == 2) && e.Intersects(window) {
					edges = append(edges, e)
				}
			}
		})
	}
	met := false
	eachPair(edges, func(x, y *edge) bool {
		if x.of != y.of {
			_, how := robust.Meet(x.p, x.q, y.p, y.q)
			met = how != robust.Apart
		}
		return !met
	})
	return met || s.holdsPartOf(o) || o.holdsPartOf(s)
}

// holdsPartOf reports whether a polygon or a line of o lies in a polygon of s, whose
// boundary it does not meet.
func (s *Shape) holdsPartOf(o *Shape) (holds bool) {
	o.each(func(xy []float64) {
		for _, poly := range s.polys {
			inside := false
			for _, ring := range poly {
				inside = inside != (len(xy) > 0 && robust.Locate(Point(xy[:2]), ring) == robust.Inside)
			}
			holds = holds || inside
		}
	})
	return holds
}

// shrinkIntersects reports whether o intersects s less 9 metres.
func (s *Shape) shrinkIntersects(o *Shape) bool {
	box, ok := s.SearchBox()
	return ok && box.Intersects(o.box) && s.shrink().Intersects(o)
}

// SearchBox is where the candidates of a newcomer are: a stored source whose
// [Shape.Box] does not intersect it cannot conflict with the shape. Of a shape
// below 2 km it is smaller than the box, by 8 metres on each side, so that
// neighbours along a straight boundary are not even found. ok is false when
// nothing can conflict.
func (s *Shape) SearchBox() (box Box, ok bool) {
	if len(s.polys) == 0 {
		return Box{}, false
	}
	// 8 metres, not 9: at 70 degrees 9 metres of the plane are 8.86 true ones,
	// and an edge of 2 km bends by up to 0.2 m. No degree of latitude or longitude
	// is longer than 111.7 km.
	const small, lat = 2.0 / 111.7, 0.008 / 111.7 // degrees
	b := s.box
	poleward := max(-b.South, b.North)
	if !s.polygonal || b.West < -180 || b.East > 180 || poleward > 85 ||
		b.North-b.South > small || (b.East-b.West)*math.Cos(poleward*proj.Rad) > small {
		return b, true
	}
	lon := lat / math.Cos(max(b.South, -b.North, 0)*proj.Rad)
	box = Box{b.West + lon, b.South + lat, b.East - lon, b.North - lat}
	return box, box.West <= box.East && box.South <= box.North
}
