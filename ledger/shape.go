package ledger

import (
	"encoding/binary"
	"errors"
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
// A Shape from [ParseGeometry] or [ShapeFromBinary] has not been validated:
// that is [CheckGeometry]'s and [ParseFeature]'s part. Judging an invalid
// shape gives no sensible answer, but no panic either.
type Shape struct {
	polygonal bool          // a Polygon or a MultiPolygon
	polys     [][][]float64 // polygons, rings, positions; those of collections too
	lines     [][]float64   // lines, and points as lines of one position
	box       Box
	count     int

	areaOnce  sync.Once
	hectares  float64
	less9     shrunken
	less8     shrunken
	planeOnce sync.Once
	plane     []plate
}

// shrunken is a shape that has lost some metres, once it was asked for.
type shrunken struct {
	once  sync.Once
	shape *Shape
	err   error
}

// plate is a polygon in the equal-area plane: rings of positions, and the box
// around them.
type plate struct {
	rings [][]float64
	box   Box
}

// ParseGeometry reads a GeoJSON geometry without validating it: it is for
// those that the ledger has already taken. It costs a few microseconds for a
// common field.
func ParseGeometry(geojson []byte) (*Shape, error) {
	if err := scan.Check(geojson); err != nil {
		return nil, err
	}
	d, fail := decodeGeometry(geojson)
	if fail != nil {
		return nil, fail
	}
	return newShape(d), nil
}

func newShape(d *decoded) *Shape {
	s := &Shape{polygonal: d.polygonal()}
	d.polygons(func(p polygon) {
		rings := make([][]float64, len(p))
		for i, r := range p {
			rings[i] = r.xy
		}
		s.polys = append(s.polys, rings)
	})
	d.strings(func(r ring) {
		if r.len() > 0 {
			s.lines = append(s.lines, r.xy)
		}
	})
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
		xy, ok := s.geom(keep).Centroid().XY()
		if !ok {
			return xy, errors.New("no centroid")
		}
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

func keep(lon, lat float64) (x, y float64) { return lon, lat }

// geom gives the shape to the geometry library, in a plane.
func (s *Shape) geom(to func(lon, lat float64) (x, y float64)) geom.Geometry {
	line := func(xy []float64) geom.LineString {
		flat := make([]float64, len(xy))
		for i := 0; i < len(xy); i += 2 {
			flat[i], flat[i+1] = to(xy[i], xy[i+1])
		}
		return geom.NewLineString(geom.NewSequence(flat, geom.DimXY))
	}
	polys := make([]geom.Polygon, len(s.polys))
	for i, poly := range s.polys {
		rings := make([]geom.LineString, len(poly))
		for k, xy := range poly {
			rings[k] = line(xy)
		}
		polys[i] = geom.NewPolygon(rings)
	}
	all := geom.NewMultiPolygon(polys).AsGeometry()
	if len(s.lines) == 0 {
		return all
	}
	parts := []geom.Geometry{all}
	for _, xy := range s.lines {
		if len(xy) == 2 {
			x, y := to(xy[0], xy[1])
			parts = append(parts, geom.XY{X: x, Y: y}.AsPoint().AsGeometry())
		} else {
			parts = append(parts, line(xy).AsGeometry())
		}
	}
	return geom.NewGeometryCollection(parts).AsGeometry()
}

// Hectares is the shape's geodesic area on the WGS84 ellipsoid, its edges
// taken as geodesics, as ST_Area(geography, true) computes it [D] with
// GeographicLib (Karney 2013). It is 0 for lines and points. Below a square
// metre or so the rounding of both shows.
func (s *Shape) Hectares() float64 {
	s.areaOnce.Do(func() {
		const squareMetres = 10000
		for _, poly := range s.polys {
			for i, xy := range poly {
				if area := ringArea(xy); i == 0 {
					s.hectares += area / squareMetres
				} else {
					s.hectares -= area / squareMetres
				}
			}
		}
	})
	return s.hectares
}

// ringArea gives square metres.
func ringArea(xy []float64) float64 {
	if len(xy) < 6 {
		return 0
	}
	p := geodesic.WGS84.PolygonInit(false)
	for i := 0; i < len(xy)-2; i += 2 { // the last position repeats the first
		lon, lat := proj.OnGlobe(xy[i], xy[i+1])
		p.AddPoint(lat, lon)
	}
	var area float64
	p.Compute(false, true, &area, nil)
	return math.Abs(area)
}

// signedArea is positive for a counter-clockwise ring, in square degrees.
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

// The types of well-known binary (OGC 06-103r4, 8.2.3) that shapes are stored
// as.
const (
	wkbPoint = 1 + iota
	wkbLine
	wkbPolygon
	_
	_
	wkbMultiPolygon
	wkbCollection
)

// AppendBinary appends the shape in a compact form that [ShapeFromBinary]
// reads several times faster than [ParseGeometry] reads the text, for those who
// store shapes. The form is well-known binary (OGC 06-103r4), little-endian and
// in two dimensions; what is neither Polygon nor MultiPolygon becomes a
// GeometryCollection.
func (s *Shape) AppendBinary(b []byte) ([]byte, error) {
	head := func(kind, count int) {
		b = binary.LittleEndian.AppendUint32(append(b, 1), uint32(kind))
		if kind != wkbPoint {
			b = binary.LittleEndian.AppendUint32(b, uint32(count))
		}
	}
	positions := func(xy []float64) {
		for _, v := range xy {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	switch {
	case !s.polygonal:
		head(wkbCollection, len(s.polys)+len(s.lines))
	case len(s.polys) != 1:
		head(wkbMultiPolygon, len(s.polys))
	}
	for _, poly := range s.polys {
		head(wkbPolygon, len(poly))
		for _, xy := range poly {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(xy)/2))
			positions(xy)
		}
	}
	for _, xy := range s.lines {
		if len(xy) == 2 {
			head(wkbPoint, 1)
		} else {
			head(wkbLine, len(xy)/2)
		}
		positions(xy)
	}
	return b, nil
}

// MarshalBinary is [Shape.AppendBinary] into a new slice.
func (s *Shape) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// ShapeFromBinary reads what [Shape.AppendBinary] wrote.
func ShapeFromBinary(wkb []byte) (*Shape, error) {
	r := binaryReader{rest: wkb, all: make([]float64, 0, len(wkb)/8)}
	s := &Shape{}
	kind := r.geometry(s, 0)
	s.polygonal = kind == wkbPolygon || kind == wkbMultiPolygon
	if r.short || len(r.rest) > 0 {
		return nil, errors.New("the stored shape is damaged")
	}
	return s.bounded(), nil
}

type binaryReader struct {
	rest  []byte
	all   []float64 // room for all positions
	short bool      // the text ended too early, or makes no sense
}

func (r *binaryReader) take(n uint64) []byte {
	if uint64(len(r.rest)) < n {
		r.short, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *binaryReader) number() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *binaryReader) positions(n uint32) []float64 {
	start := len(r.all)
	b := r.take(16 * uint64(n))
	for i := 0; i < len(b); i += 8 {
		r.all = append(r.all, math.Float64frombits(binary.LittleEndian.Uint64(b[i:])))
	}
	return r.all[start:len(r.all):len(r.all)]
}

func (r *binaryReader) geometry(to *Shape, depth int) (kind uint32) {
	if order := r.take(1); order == nil || order[0] != 1 || depth > 1 {
		r.short = true
		return 0
	}
	switch kind = r.number(); kind {
	case wkbPoint:
		to.lines = append(to.lines, r.positions(1))
	case wkbLine:
		to.lines = append(to.lines, r.positions(r.number()))
	case wkbPolygon:
		var poly [][]float64
		for n := r.number(); n > 0 && !r.short; n-- {
			poly = append(poly, r.positions(r.number()))
		}
		to.polys = append(to.polys, poly)
	case wkbMultiPolygon, wkbCollection:
		for n := r.number(); n > 0 && !r.short; n-- {
			r.geometry(to, depth+1)
		}
	default:
		r.short = true
	}
	return kind
}
