package ledger

import (
	"fmt"
	"math"

	"github.com/meti-go/meti/ledger/internal/proj"
	"github.com/peterstace/simplefeatures/geom"
)

// shrinkBy is how many metres a newcomer loses on all sides before it is held
// against the stored sources, so that neighbours who share a boundary do not
// conflict [D].
const shrinkBy = 9

// shrink gives the shape less 9 metres, which may be empty; shrinkNearly less 8.
func (s *Shape) shrink() shrunk {
	return s.less9.get(func() shrunk { return s.computeShrunk(shrinkBy) })
}
func (s *Shape) shrinkNearly() shrunk {
	return s.less8.get(func() shrunk { return s.computeShrunk(shrinkBy - 1) })
}

// buffer is the geometry library's.
var buffer = geom.Buffer

// computeShrunk shrinks the shape as ST_Buffer(geography, -metres) computes it
// [D]: in the plane that suits the shape best, with 8 segments to a quarter
// circle, and back to degrees vertex by vertex.
func (s *Shape) computeShrunk(metres float64) shrunk {
	less := &Shape{polygonal: true}
	if len(s.polys) == 0 { // a point or a line has nothing within metres of its edge
		return shrunk{less.bounded(), nil}
	}
	plane := s.bestPlane()
	small, err := library(func() (geom.Geometry, error) {
		projected := (&Shape{polys: s.polys}).geom().TransformXY(func(p geom.XY) geom.XY {
			p.X, p.Y = proj.OnGlobe(p.X, p.Y)
			return plane.Forward(p)
		})
		// Without simplification, which the library does by default: it moves
		// the edge by up to 0.2 m, GEOS's by a millimetre or so.
		return buffer(projected, -metres, geom.BufferQuadSegments(8), geom.BufferSimplifyFactor(0))
	})
	if err != nil {
		return shrunk{s, fmt.Errorf("shrinking a shape by %v metres: %w", metres, err)}
	}
	for _, part := range small.TransformXY(plane.Reverse).Dump() {
		var rings [][]float64
		if poly, ok := part.AsPolygon(); ok {
			for _, seq := range poly.Coordinates() {
				var xy []float64
				for i := range seq.Length() {
					at := seq.GetXY(i)
					xy = append(xy, at.X, at.Y)
				}
				rings = append(rings, xy)
			}
		}
		less.polys = append(less.polys, rings)
	}
	return shrunk{less.bounded(), nil}
}

// bestPlane chooses the projection as PostGIS's _ST_BestSRID does: polar
// azimuthal above 70 degrees, the UTM zone of the middle (without the
// exceptions of Norway and Svalbard) below 6 degrees of width, an azimuthal
// one for larger shapes, Mercator for the largest. PostGIS measures in space what
// is measured in degrees here; that tells a difference only for shapes of some
// degrees of width, at the edge of one of these rules.
func (s *Shape) bestPlane() proj.Plane {
	lon, lat, width, height := s.extent()
	switch {
	case lat > 70 && height < 45:
		return proj.LAEA(-40, 90)
	case lat < -70 && height < 45:
		return proj.LAEA(0, -90)
	case width < 6:
		return proj.UTM(1 + int(min(59, math.Floor((lon+180)/6))))
	case height < 25:
		band := math.Floor(lat / 30) // from the equator on
		wide := map[float64]float64{-3: 90, -2: 45, -1: 30, 0: 30, 1: 45, 2: 90}[band]
		if width < wide {
			return proj.LAEA((math.Floor(lon/wide)+0.5)*wide, (band+0.5)*30)
		}
	}
	return proj.Mercator{}
}

// extent gives the middle of the shape, and how far it reaches, in degrees. A
// shape that is cut at 180 degrees of longitude is measured across it.
func (s *Shape) extent() (lon, lat, width, height float64) {
	box, across := noBox, noBox
	s.each(func(xy []float64) {
		for i := 0; i < len(xy); i += 2 {
			lon, lat := proj.OnGlobe(xy[i], xy[i+1])
			box = box.union(Box{lon, lat, lon, lat})
			if lon < 0 {
				lon += 360
			}
			across = across.union(Box{lon, lat, lon, lat})
		}
	})
	if across.East-across.West < box.East-box.West {
		box = across
	}
	lon, lat = proj.OnGlobe((box.West+box.East)/2, (box.South+box.North)/2)
	return lon, lat, box.East - box.West, box.North - box.South
}
