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

// Prepare shrinks the shape by 9 metres, as judging it as a newcomer may need,
// so that it need not be done later, under a lock. It fails where the geometry
// library does; such a shape is then judged as if it lost nothing.
func (s *Shape) Prepare() error {
	s.less9.once.Do(func() { s.less9.shape, s.less9.err = s.computeShrunk(shrinkBy) })
	return s.less9.err
}

// shrink gives the shape less 9 metres. It may be empty.
func (s *Shape) shrink() *Shape {
	_ = s.Prepare()
	return s.less9.shape
}

// shrinkNearly gives the shape less one metre less.
func (s *Shape) shrinkNearly() *Shape {
	s.less8.once.Do(func() { s.less8.shape, s.less8.err = s.computeShrunk(shrinkBy - 1) })
	return s.less8.shape
}

// buffer is the geometry library's.
var buffer = geom.Buffer

// computeShrunk shrinks the shape as ST_Buffer(geography, -metres) computes it
// [D]: in the plane that suits the shape best, with 8 segments to a quarter
// circle, and back to degrees vertex by vertex.
func (s *Shape) computeShrunk(metres float64) (*Shape, error) {
	empty := (&Shape{polygonal: true}).bounded()
	if len(s.polys) == 0 {
		return empty, nil // a point or a line has nothing within metres of its edge
	}
	best := s.bestPlane()
	small, err := library(func() (geom.Geometry, error) {
		plane := (&Shape{polys: s.polys}).geom(func(lon, lat float64) (x, y float64) { return best.Forward(proj.OnGlobe(lon, lat)) })
		// Without simplification, which the library does by default: it moves
		// the edge by up to 0.2 m, GEOS's by a millimetre or so.
		return buffer(plane, -metres, geom.BufferQuadSegments(8), geom.BufferSimplifyFactor(0))
	})
	if err != nil {
		return s, fmt.Errorf("shrinking a shape by %v metres: %w", metres, err)
	}
	out := empty
	for _, part := range small.Dump() {
		poly, ok := part.AsPolygon()
		if !ok {
			continue
		}
		var rings [][]float64
		for _, seq := range poly.Coordinates() {
			xy := make([]float64, 0, 2*seq.Length())
			for i := range seq.Length() {
				at := seq.GetXY(i)
				lon, lat := best.Inverse(at.X, at.Y)
				xy = append(xy, lon, lat)
			}
			rings = append(rings, xy)
		}
		out.polys = append(out.polys, rings)
	}
	return out.bounded(), nil
}

// bestPlane chooses the projection as PostGIS's _ST_BestSRID does: polar
// azimuthal above 70 degrees, the UTM zone of the middle (without the
// exceptions of Norway and Svalbard) below 6 degrees of width, an azimuthal
// one for larger shapes, Mercator for the largest.
func (s *Shape) bestPlane() proj.Plane {
	box := s.globeBox()
	middle := box.middle()
	width, height := box.width(), box.height()
	switch {
	case middle.Lat() > 70 && height < 45:
		return proj.LAEA(-40, 90)
	case middle.Lat() < -70 && height < 45:
		return proj.LAEA(0, -90)
	case width < 6:
		return proj.UTM(1 + int(min(59, math.Floor((middle.Lon()+180)/6))))
	case height < 25:
		band := 3 + math.Floor(middle.Lat()/30)
		wide := map[float64]float64{0: 90, 1: 45, 2: 30, 3: 30, 4: 45, 5: 90}[band]
		if wide > 0 && width < wide {
			return proj.LAEA((math.Floor(middle.Lon()/wide)+0.5)*wide, (band-3+0.5)*30)
		}
	}
	return proj.Mercator()
}

// globeBox is a box around a shape on the unit sphere, x to the point at
// longitude 0, z to the north pole: {min, max} for each axis.
type globeBox [3][2]float64

func (s *Shape) globeBox() globeBox {
	box := globeBox{{2, -2}, {2, -2}, {2, -2}}
	add := func(p [3]float64) {
		for i, v := range p {
			box[i][0], box[i][1] = min(box[i][0], v), max(box[i][1], v)
		}
	}
	s.each(func(xy []float64) {
		var last [3]float64
		for i := 0; i < len(xy); i += 2 {
			p := proj.OnSphere(xy[i], xy[i+1])
			add(p)
			if i > 0 {
				bulge(last, p, add)
			}
			last = p
		}
	})
	return box
}

// bulge adds the extremes that the great circle from a to b reaches between
// them. Edges below some 10 km bulge by a metre or so and are left as they are.
func bulge(a, b [3]float64, add func([3]float64)) {
	cos := a[0]*b[0] + a[1]*b[1] + a[2]*b[2]
	if cos > 1-1e-6 {
		return
	}
	normal := [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
	length := math.Sqrt(normal[0]*normal[0] + normal[1]*normal[1] + normal[2]*normal[2])
	if length == 0 {
		return
	}
	for axis := range 3 {
		// The axis, less its part along the normal, points at the extreme.
		var top [3]float64
		along := normal[axis] / length
		size := 0.0
		for i := range 3 {
			top[i] = -along * normal[i] / length
			if i == axis {
				top[i]++
			}
			size += top[i] * top[i]
		}
		if size == 0 {
			continue
		}
		for _, sign := range [2]float64{1, -1} {
			p := top
			for i := range p {
				p[i] *= sign / math.Sqrt(size)
			}
			// Between a and b: no farther from either than they are apart.
			if p[0]*a[0]+p[1]*a[1]+p[2]*a[2] >= cos && p[0]*b[0]+p[1]*b[1]+p[2]*b[2] >= cos {
				add(p)
			}
		}
	}
}

// corners visits the box's eight corners, pushed onto the sphere.
func (b globeBox) corners(visit func([3]float64)) {
	for i := range 8 {
		p := [3]float64{b[0][i>>2], b[1][i>>1&1], b[2][i&1]}
		size := math.Sqrt(p[0]*p[0] + p[1]*p[1] + p[2]*p[2])
		if size == 0 {
			continue
		}
		visit([3]float64{p[0] / size, p[1] / size, p[2] / size})
	}
}

func (b globeBox) middle() Point {
	var sum [3]float64
	b.corners(func(p [3]float64) {
		for i := range sum {
			sum[i] += p[i]
		}
	})
	return Point{math.Atan2(sum[1], sum[0]) * proj.Deg, math.Atan2(sum[2], math.Hypot(sum[0], sum[1])) * proj.Deg}
}

// height is the box's extent in degrees of latitude.
func (b globeBox) height() float64 {
	low, high := 2.0, -2.0
	b.corners(func(p [3]float64) { low, high = min(low, p[2]), max(high, p[2]) })
	return (math.Asin(high) - math.Asin(low)) * proj.Deg
}

// width is the box's extent in degrees of longitude, measured as PostGIS does:
// from one corner to the farthest, and from there to the farthest.
func (b globeBox) width() float64 {
	unit := func(x, y float64) [2]float64 {
		size := math.Hypot(x, y)
		return [2]float64{x / size, y / size}
	}
	from := unit(b[0][0], b[1][0])
	widest := -1.0
	for range 2 {
		widest = -1
		var farthest [2]float64
		for i := range 4 {
			p := unit(b[0][i>>1], b[1][i&1])
			if angle := math.Acos(min(1, p[0]*from[0]+p[1]*from[1])); angle > widest {
				widest, farthest = angle, p
			}
		}
		from = farthest
	}
	return widest * proj.Deg
}
