package ledger

import (
	"math"

	"github.com/peterstace/simplefeatures/geom"
	"github.com/tidwall/geodesic"
)

// Hectares is the shape's geodesic area on the WGS84 ellipsoid, its edges
// taken as geodesics, as ST_Area(geography, true) computes it [D] with
// GeographicLib (Karney 2013). It is 0 for lines and points.
func (s *Shape) Hectares() float64 {
	s.areaOnce.Do(func() {
		const squareMetres = 10000
		s.hectares = s.squareMetres() / squareMetres
	})
	return s.hectares
}

func (s *Shape) squareMetres() float64 {
	if s.polys == nil {
		return geodesicArea(s.g)
	}
	area := 0.0
	for _, poly := range s.polys {
		area += polygonArea(poly)
	}
	return area
}

// geodesicArea is for the geometries that are neither Polygon nor MultiPolygon:
// only a GeometryCollection can hold an area.
func geodesicArea(g geom.Geometry) float64 {
	c, ok := g.AsGeometryCollection()
	if !ok {
		return 0
	}
	area := 0.0
	for i := range c.NumGeometries() {
		part := shapeOf(c.GeometryN(i))
		if part.polys == nil {
			area += geodesicArea(part.g)
			continue
		}
		for _, poly := range part.polys {
			area += polygonArea(poly)
		}
	}
	return area
}

// polygonArea gives square metres: the shell's less the holes'.
func polygonArea(rings [][]float64) float64 {
	area := 0.0
	for i, xy := range rings {
		if i == 0 {
			area = ringArea(xy)
		} else {
			area -= ringArea(xy)
		}
	}
	return area
}

func ringArea(xy []float64) float64 {
	if len(xy) < 6 {
		return 0
	}
	if area, ok := fineRingArea(xy); ok {
		return area
	}
	return libraryRingArea(xy)
}

func libraryRingArea(xy []float64) float64 {
	p := geodesic.WGS84.PolygonInit(false)
	// The last position repeats the first.
	for i := 0; i < len(xy)-2; i += 2 {
		p.AddPoint(onGlobe(xy[i], xy[i+1]))
	}
	var area float64
	p.Compute(false, true, &area, nil)
	return math.Abs(area)
}

// fineRingArea is ringArea for rings of short edges away from the poles, which
// are nearly all, in a tenth of the library's time; ok is false for others.
//
// In the equal-area plane a geodesic bends away from the straight line between
// its ends. The plane's area is exact, and so the geodesic one differs by the
// area between each edge and its line. To the leading order that is
// -L³·(r'×r”)/12 for a curve r of length L; on a geodesic, by Clairaut's
// relation, r'×r” is -sin φ sin α (1+2cos²α)/p (latitude φ, azimuth α, radius
// of the parallel p). The rest is smaller by (L tan φ/R)².
func fineRingArea(xy []float64) (squareMetres float64, ok bool) {
	const longest, highest = 0.02, 85 // degrees
	var lon0, y0 float64              // the ring's first position
	var x1, y1 float64                // the edge's first end, from there
	var sum, length float64
	for i := 0; i < len(xy); i += 2 {
		lon, lat := xy[i], xy[i+1]
		if !(math.Abs(lat) <= highest && math.Abs(lon) <= 360) {
			return 0, false
		}
		sin, cos := math.Sincos(lat * rad)
		if i == 0 {
			lon0, y0 = lon, authalic(sin)/2
			continue
		}
		dLon, dLat := (lon-xy[i-2])*rad, (lat-xy[i-1])*rad
		if !(max(math.Abs(dLon), math.Abs(dLat)) <= longest*rad) {
			return 0, false
		}
		x, y := (lon-lon0)*rad, authalic(sin)/2-y0
		w := 1 / math.Sqrt(1-ecc2*sin*sin)
		east, north := w*cos*dLon, (1-ecc2)*w*w*w*dLat
		sum += (x1*y-x*y1)/2 - sin*dLon*(east*east+3*north*north)/12
		length += math.Sqrt(east*east + north*north)
		x1, y1 = x, y
	}
	squareMetres, length = math.Abs(sum)*semiMajor*semiMajor, length*semiMajor
	// The library rounds by up to 1e-5 m² for each metre of boundary. Where that
	// shows, in tiny or thin rings, its digits are the ledger's.
	return squareMetres, squareMetres > 20*length+1000
}

// onGlobe gives latitude and longitude as PostGIS coerces them into range for
// a geography.
func onGlobe(lon, lat float64) (float64, float64) {
	return normalLat(lat), normalLon(lon)
}

func normalLon(lon float64) float64 {
	if lon > 360 || lon < -360 {
		lon = math.Remainder(lon, 360)
	}
	if lon > 180 {
		lon -= 360
	}
	if lon < -180 {
		lon += 360
	}
	return lon
}

func normalLat(lat float64) float64 {
	if lat > 360 || lat < -360 {
		lat = math.Remainder(lat, 360)
	}
	if lat > 180 {
		lat = 180 - lat
	}
	if lat < -180 {
		lat = -180 - lat
	}
	if lat > 90 {
		lat = 180 - lat
	}
	if lat < -90 {
		lat = -180 - lat
	}
	return lat
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
