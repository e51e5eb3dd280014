package ledger

import (
	"fmt"
	"math"
	"sync"

	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/ledger/internal/proj"
	"github.com/peterstace/simplefeatures/geom"
	"github.com/tidwall/geodesic"
)

// Box is a rectangle in degrees.
type Box struct {
	West, South, East, North float64
}

// Intersects reports whether the boxes share a point; touching counts.
func (b Box) Intersects(o Box) bool {
	return b.West <= o.East && o.West <= b.East && b.South <= o.North && o.South <= b.North
}

// corner is the south-western one.
func (b Box) corner() Point { return Point{b.West, b.South} }

// swapped exchanges longitude and latitude.
func (b Box) swapped() Box { return Box{b.South, b.West, b.North, b.East} }

func (b Box) onEarth() bool {
	return b.West >= -180 && b.East <= 180 && b.South >= -90 && b.North <= 90
}

// contains reports whether o lies in the box.
func (b Box) contains(o Box) bool {
	return b.West <= o.West && o.East <= b.East && b.South <= o.South && o.North <= b.North
}

// union gives the smallest box around both.
func (b Box) union(o Box) Box {
	return Box{min(b.West, o.West), min(b.South, o.South), max(b.East, o.East), max(b.North, o.North)}
}

// intersection gives what is in both, which may be inside out.
func (b Box) intersection(o Box) Box {
	return Box{max(b.West, o.West), max(b.South, o.South), min(b.East, o.East), min(b.North, o.North)}
}

// noBox is the identity of union.
var noBox = Box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}

func boxOf(xy []float64) Box {
	b := noBox
	for i := 0; i < len(xy); i += 2 {
		b.West, b.East = min(b.West, xy[i]), max(b.East, xy[i])
		b.South, b.North = min(b.South, xy[i+1]), max(b.North, xy[i+1])
	}
	return b
}

// Shape is a geometry, ready to be judged. It is immutable and safe for many
// goroutines; what costs time is computed when it is first asked for, and kept.
//
// A Shape from [ParseGeometry] has not been validated: that is [JudgeGeometry]'s
// and [ParseFeature]'s part. Judging an invalid shape gives no sensible answer, but
// no panic either.
type Shape struct {
	polygonal bool          // a Polygon or a MultiPolygon
	polys     [][][]float64 // polygons, rings, positions; those of collections too
	lines     [][]float64   // lines, and points as lines of one position
	box       Box
	count     int

	area         lazy[float64] // square metres
	plane        lazy[[]flat]
	less9, less8 lazy[shrunk]
}

// shrunk is what is left of a shape without so many metres. Where the geometry
// library fails that is the whole shape, with an error.
type shrunk struct {
	*Shape
	err error
}

// lazy is computed when it is first asked for, and kept.
type lazy[T any] struct {
	once  sync.Once
	value T
}

func (l *lazy[T]) get(compute func() T) T {
	l.once.Do(func() { l.value = compute() })
	return l.value
}

// flat is a polygon in the equal-area plane.
type flat struct {
	box   Box
	area  float64 // square metres
	edges []flatEdge
}

// flatEdge is an edge from its southern end to its northern one. Edges that run
// due east or west are left out: they bound no area.
type flatEdge struct {
	south, north float64
	x            float64 // in the south
	slope        float64 // x for each y
	of           int     // the shape, among those that are compared
}

func (e *flatEdge) at(y float64) float64 { return e.x + e.slope*(y-e.south) }

// ParseGeometry reads a GeoJSON geometry without validating it: it is for
// those that the ledger has already taken. It costs a few microseconds for a
// common field.
func ParseGeometry(geojson []byte) (*Shape, error) {
	if err := scan.Check(geojson); err != nil {
		return nil, err
	}
	g, fault := decodeGeometry(geojson)
	if fault != nil {
		return nil, &InvalidError{Problems{*fault}}
	}
	return newShape(g), nil
}

func newShape(g *geometry) *Shape {
	s := &Shape{polygonal: polygonal(g.kind)}
	for i := range g.rings {
		switch r := &g.rings[i]; {
		case !r.polygonal():
			s.lines = append(s.lines, r.xy)
		case r.hole == 0:
			s.polys = append(s.polys, [][]float64{r.xy})
		default:
			last := len(s.polys) - 1
			s.polys[last] = append(s.polys[last], r.xy)
		}
	}
	return s.bounded()
}

// bounded counts the positions and finds the box.
func (s *Shape) bounded() *Shape {
	s.box, s.count = noBox, 0
	s.each(func(xy []float64) {
		s.count += len(xy) / 2
		s.box = s.box.union(boxOf(xy))
	})
	return s
}

// each visits all rings and lines.
func (s *Shape) each(visit func(xy []float64)) {
	for _, poly := range s.polys {
		for _, xy := range poly {
			visit(xy)
		}
	}
	for _, xy := range s.lines {
		visit(xy)
	}
}

// Polygons are the rings of each polygon, longitudes and latitudes in turn, nil
// for types other than Polygon and MultiPolygon. They are not to be changed.
func (s *Shape) Polygons() [][][]float64 {
	if !s.polygonal {
		return nil
	}
	return s.polys
}

// Box is the shape's bounding box in degrees; ok is false for an empty shape.
func (s *Shape) Box() (box Box, ok bool) { return s.box, !s.Empty() }

// Empty reports whether the shape has no position at all. The ledger takes
// such a shape; it has no area, no country and no conflict.
func (s *Shape) Empty() bool { return s.count == 0 }

// Vertices is how many positions the shape has.
func (s *Shape) Vertices() int { return s.count }

// Centroid is the centre of mass in the plane of degrees, as ST_Centroid gives
// it [D]; ok is false for an empty shape.
func (s *Shape) Centroid() (at Point, ok bool) {
	if s.Empty() {
		return Point{}, false
	}
	xy, err := library(func() (geom.XY, error) {
		xy, _ := s.geom().Centroid().XY() // there is one, of a shape that is not empty
		return xy, nil
	})
	return Point{xy.X, xy.Y}, err == nil
}

// library calls the geometry library, whose panics become errors.
func library[T any](call func() (T, error)) (result T, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the geometry library failed: %v", fault)
		}
	}()
	return call()
}

// geom gives the shape to the geometry library.
func (s *Shape) geom() geom.Geometry {
	var parts []geom.Geometry
	for _, poly := range s.polys {
		parts = append(parts, geom.NewPolygonXY(poly...).AsGeometry())
	}
	for _, xy := range s.lines {
		if len(xy) == 2 {
			parts = append(parts, geom.NewPointXY(xy[0], xy[1]).AsGeometry())
		} else {
			parts = append(parts, geom.NewLineStringXY(xy...).AsGeometry())
		}
	}
	return geom.NewGeometryCollection(parts).AsGeometry()
}

// Hectares is the shape's geodesic area on the WGS84 ellipsoid, its edges
// taken as geodesics, as ST_Area(geography, true) computes it [D] with
// GeographicLib (Karney 2013). It is 0 for lines and points. Below a square
// metre or so the rounding of both shows.
func (s *Shape) Hectares() float64 {
	const squareMetres = 10000
	return s.area.get(func() (area float64) {
		for _, poly := range s.polys {
			area += withoutHoles(poly, ringArea)
		}
		return area
	}) / squareMetres
}

// withoutHoles is the area of a polygon, by that of a ring, whichever way it runs.
func withoutHoles(poly [][]float64, ofRing func(xy []float64) float64) (area float64) {
	for i, xy := range poly {
		if one := math.Abs(ofRing(xy)); i == 0 {
			area += one
		} else {
			area -= one
		}
	}
	return area
}

// ringArea gives square metres, negative for a clockwise ring.
func ringArea(xy []float64) float64 {
	if b := boxOf(xy); b.onEarth() && max(b.East-b.West, b.North-b.South) < 0.1 && max(-b.South, b.North) < 80 {
		// The edges are short: the library takes eight times as long, and agrees
		// to a billionth.
		area := signedArea(proj.EqualArea(xy))
		for i := 2; i < len(xy); i += 2 {
			area -= proj.Bulge(xy[i-2], xy[i-1], xy[i], xy[i+1])
		}
		return area
	}
	p := geodesic.WGS84.PolygonInit(false)
	for i := 0; i < len(xy)-2; i += 2 { // the last position repeats the first
		lon, lat := proj.OnGlobe(xy[i], xy[i+1])
		p.AddPoint(lat, lon)
	}
	var area float64
	p.Compute(false, true, &area, nil)
	return area
}

// signedArea is positive for a counter-clockwise ring, in the square of its unit.
func signedArea(xy []float64) float64 {
	if len(xy) < 8 {
		return 0
	}
	// Relative to the first position, so that small rings keep their digits.
	x0, y0 := xy[0], xy[1]
	sum := 0.0
	for i := 2; i+3 < len(xy); i += 2 {
		sum += (xy[i]-x0)*(xy[i+3]-y0) - (xy[i+2]-x0)*(xy[i+1]-y0)
	}
	return sum / 2
}
