package ledger

import (
	"math"

	"github.com/peterstace/simplefeatures/geom"
)

// planar is a shape in the equal-area plane.
type planar struct {
	g    geom.Geometry
	area float64
}

func (s *Shape) equalArea() *planar {
	s.planeOnce.Do(func() {
		g := s.g.TransformXY(func(p geom.XY) geom.XY {
			x, y := equalArea.forward(p.X, p.Y)
			return geom.XY{X: x, Y: y}
		})
		s.plane = &planar{g: g, area: g.Area()}
	})
	return s.plane
}

// Overlap is percent_overlap of a source: the share, 0 to 1, of its area that
// the others cover together, in EPSG:6933 [D]. ok is false, for null, when it
// has no area.
//
// After an insert the others are the sources that self conflicts with, after a
// deletion its [Neighbours]. A source without a conflict has null at all times;
// that is the caller's to see.
func Overlap(self *Shape, others []*Shape) (share float64, ok bool) {
	own := self.equalArea()
	if own.area == 0 {
		return 0, false
	}
	var pieces []geom.Geometry
	for _, o := range others {
		if !self.Intersects(o) {
			continue
		}
		piece, err := geom.Intersection(o.equalArea().g, own.g)
		if err != nil {
			continue
		}
		pieces = append(pieces, piece)
	}
	union, err := geom.UnionMany(pieces)
	if err != nil {
		return 0, true
	}
	return math.Max(0, math.Min(1, union.Area()/own.area)), true
}
