package ledger

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/meti-go/meti/internal/scan"
	"github.com/peterstace/simplefeatures/geom"
)

// MaxVertices is how many positions a geometry may have here. The database
// knows no such bound, but the cost of shrinking a shape by 9 metres grows
// faster than its size: tens of thousands of positions take many seconds, and
// one feature must not stop the others. A feature past it is refused with [RuleTooManyVertices].
const MaxVertices = 10000

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
	g     geom.Geometry
	polys [][][]float64 // polygons, rings, positions; nil when not polygonal
	box   Box
	count int

	areaOnce   sync.Once
	hectares   float64
	shrinkOnce sync.Once
	shrunk     *Shape // never nil after shrinkOnce
	nearOnce   sync.Once
	nearly     *Shape // less one metre less; never nil after nearOnce
	localOnce  sync.Once
	local      *local
	planeOnce  sync.Once
	plane      *planar
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
	s := &Shape{g: d.geom(), count: d.vertices()}
	if d.polygonal() {
		s.polys = make([][][]float64, 0, len(d.polys))
		for _, p := range d.polys {
			rings := make([][]float64, len(p))
			for i, r := range p {
				rings[i] = r.xy
			}
			s.polys = append(s.polys, rings)
		}
	}
	s.box = noBox
	d.rings(func(r ring) { s.box = s.box.union(boxOf(r.xy)) })
	return s
}

// shapeOf wraps a geometry.
func shapeOf(g geom.Geometry) *Shape {
	s := &Shape{g: g, box: noBox}
	add := func(p geom.Polygon) {
		if p.IsEmpty() {
			return
		}
		var rings [][]float64
		for _, seq := range p.Coordinates() {
			xy := make([]float64, 0, 2*seq.Length())
			for i := range seq.Length() {
				at := seq.GetXY(i)
				xy = append(xy, at.X, at.Y)
			}
			s.count += seq.Length()
			s.box = s.box.union(boxOf(xy))
			rings = append(rings, xy)
		}
		s.polys = append(s.polys, rings)
	}
	switch g.Type() {
	case geom.TypePolygon:
		s.polys = [][][]float64{}
		add(g.MustAsPolygon())
	case geom.TypeMultiPolygon:
		s.polys = [][][]float64{}
		m := g.MustAsMultiPolygon()
		for i := range m.NumPolygons() {
			add(m.PolygonN(i))
		}
	default:
		seq := g.DumpCoordinates()
		s.count = seq.Length()
		xy := make([]float64, 0, 2*seq.Length())
		for i := range seq.Length() {
			at := seq.GetXY(i)
			xy = append(xy, at.X, at.Y)
		}
		s.box = boxOf(xy)
	}
	return s
}

// Box is the shape's bounding box in degrees; ok is false for an empty shape.
func (s *Shape) Box() (box Box, ok bool) { return s.box, !s.Empty() }

// Empty reports whether the shape has no position at all. The ledger takes
// such a shape; it has no area, no country and no conflict.
func (s *Shape) Empty() bool { return s.count == 0 }

// Vertices is how many positions the shape has.
func (s *Shape) Vertices() int { return s.count }

// Polygons are the rings of each polygon, longitudes and latitudes in turn, nil
// for other types. They are not to be changed.
func (s *Shape) Polygons() [][][]float64 { return s.polys }

// Prepare computes what judging the shape as a newcomer may need, so that it
// need not be done later, under a lock: call it on all cores before a
// transaction. It does nothing that the other methods would not do when asked.
func (s *Shape) Prepare() {
	s.Hectares()
	s.SearchBox()
	if s.count > 200 {
		s.shrink()
	}
}

// Centroid is the centre of mass in the plane of degrees, as ST_Centroid gives
// it [D]; ok is false for an empty shape.
func (s *Shape) Centroid() (at Point, ok bool) {
	xy, ok := s.g.Centroid().XY()
	return Point{xy.X, xy.Y}, ok
}

// AppendBinary appends the shape in a compact form that [ShapeFromBinary]
// reads several times faster than [ParseGeometry] reads the text, for those who
// store shapes. The form is well-known binary (OGC 06-103r4), two dimensions.
func (s *Shape) AppendBinary(b []byte) ([]byte, error) { return s.g.AppendWKB(b), nil }

// MarshalBinary is [Shape.AppendBinary] into a new slice.
func (s *Shape) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// ShapeFromBinary reads what [Shape.AppendBinary] wrote.
func ShapeFromBinary(wkb []byte) (*Shape, error) {
	if s := polygonsFromWKB(wkb); s != nil {
		return s, nil
	}
	g, err := geom.UnmarshalWKB(wkb, geom.NoValidate{})
	if err != nil {
		return nil, fmt.Errorf("reading a stored shape: %w", err)
	}
	return shapeOf(g.Force2D()), nil
}

// polygonsFromWKB is the short way for what nearly all shapes are, little
// endian polygons: it reads the positions once, into one slice. It gives nil
// for whatever else.
func polygonsFromWKB(wkb []byte) *Shape {
	const polygonType, multiPolygonType = 3, 6
	header := func() (typ, n uint32, ok bool) {
		if len(wkb) < 9 || wkb[0] != 1 {
			return 0, 0, false
		}
		typ, n = binary.LittleEndian.Uint32(wkb[1:]), binary.LittleEndian.Uint32(wkb[5:])
		wkb = wkb[9:]
		return typ, n, true
	}
	all := make([]float64, 0, len(wkb)/8)
	rings := func(n uint32) (out [][]float64) {
		for range n {
			if len(wkb) < 4 {
				return nil
			}
			size := uint64(binary.LittleEndian.Uint32(wkb)) * 16
			wkb = wkb[4:]
			if uint64(len(wkb)) < size {
				return nil
			}
			start := len(all)
			for i := uint64(0); i < size; i += 8 {
				all = append(all, math.Float64frombits(binary.LittleEndian.Uint64(wkb[i:])))
			}
			wkb = wkb[size:]
			out = append(out, slices.Clip(all[start:]))
		}
		return out
	}
	polygonOf := func(rings [][]float64) geom.Polygon {
		lines := make([]geom.LineString, len(rings))
		for i, xy := range rings {
			lines[i] = geom.NewLineString(geom.NewSequence(xy, geom.DimXY))
		}
		return geom.NewPolygon(lines)
	}
	typ, n, ok := header()
	if !ok || n == 0 {
		return nil
	}
	s := &Shape{}
	switch typ {
	case polygonType:
		poly := rings(n)
		if poly == nil {
			return nil
		}
		s.polys = [][][]float64{poly}
		s.g = polygonOf(poly).AsGeometry()
	case multiPolygonType:
		var parts []geom.Polygon
		for range n {
			typ, n, ok := header()
			if !ok || typ != polygonType || n == 0 {
				return nil
			}
			poly := rings(n)
			if poly == nil {
				return nil
			}
			s.polys = append(s.polys, poly)
			parts = append(parts, polygonOf(poly))
		}
		s.g = geom.NewMultiPolygon(parts).AsGeometry()
	default:
		return nil
	}
	s.count = len(all) / 2
	s.box = boxOf(all)
	return s
}
