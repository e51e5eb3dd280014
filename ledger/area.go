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
	p := geodesic.WGS84.PolygonInit(false)
	// The last position repeats the first.
	for i := 0; i < len(xy)-2; i += 2 {
		p.AddPoint(onGlobe(xy[i], xy[i+1]))
	}
	var area float64
	p.Compute(false, true, &area, nil)
	return math.Abs(area)
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
