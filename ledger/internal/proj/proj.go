// Package proj holds the map projections that METI's ledger measures in, on the
// WGS84 ellipsoid: degrees to metres and back.
package proj

import (
	"fmt"
	"math"

	"github.com/peterstace/simplefeatures/carto"
	"github.com/peterstace/simplefeatures/geom"
)

// The WGS84 ellipsoid.
const (
	semiMajor  = 6378137.0
	flattening = 1 / 298.257223563
	ecc2       = flattening * (2 - flattening)
)

var ecc = math.Sqrt(ecc2)

// Radians in a degree, and degrees in a radian.
const (
	Rad = math.Pi / 180
	Deg = 180 / math.Pi
)

// Plane is a map projection: X is longitude or metres to the east, Y latitude or
// metres to the north.
type Plane interface {
	Forward(lonlat geom.XY) geom.XY
	Reverse(xy geom.XY) geom.XY
}

// utm is a UTM zone, without the library's bounds at 180 degrees of longitude.
type utm struct {
	zone     *carto.UTM
	meridian float64
}

// UTM gives the plane of a UTM zone, 1 to 60, on one side of the equator. It is
// true to a millimetre within the zone, and to some centimetres in the next one.
func UTM(zone int, north bool) Plane {
	side := 'S'
	if north {
		side = 'N'
	}
	plane, err := carto.NewUTMFromCode(fmt.Sprintf("%02d%c", zone, side))
	if err != nil {
		panic(err)
	}
	return utm{plane, float64(6*zone - 183)}
}

func (p utm) Forward(lonlat geom.XY) geom.XY {
	lonlat.X = p.meridian + normalLon(lonlat.X-p.meridian)
	return p.zone.Forward(lonlat)
}

func (p utm) Reverse(xy geom.XY) geom.XY {
	lonlat := p.zone.Reverse(xy)
	lonlat.X = normalLon(lonlat.X)
	return lonlat
}

// EqualArea projects to EPSG:6933, the cylindrical equal-area projection with a
// true parallel at 30 degrees (Snyder 1987, chapter 10).
func EqualArea(lon, lat float64) (x, y float64) {
	return semiMajor * scaleAt30 * normalLon(lon) * Rad, semiMajor / (2 * scaleAt30) * authalic(math.Sin(lat*Rad))
}

var scaleAt30 = math.Cos(30*Rad) / math.Sqrt(1-ecc2/4)

// authalic is q of Snyder 1987 (USGS Professional Paper 1395), equation 3-12.
func authalic(sin float64) float64 {
	es := ecc * sin
	return (1 - ecc2) * (sin/(1-es*es) + math.Atanh(es)/ecc)
}

var authalicPole = authalic(1)

// fromAuthalic gives the latitude in degrees whose q is given, by equation 3-18
// of Snyder 1987.
func fromAuthalic(q float64) float64 {
	const e2, e4, e6 = ecc2, ecc2 * ecc2, ecc2 * ecc2 * ecc2
	beta := math.Asin(min(max(q/authalicPole, -1), 1))
	return Deg * (beta + (e2/3+31*e4/180+517*e6/5040)*math.Sin(2*beta) +
		(23*e4/360+251*e6/3780)*math.Sin(4*beta) + 761*e6/45360*math.Sin(6*beta))
}

// laea is Lambert's azimuthal equal-area projection (Snyder 1987, chapter 24).
type laea struct {
	lon0               float64
	sin1, cos1         float64 // of the authalic latitude of the centre
	radius, distortion float64
}

// LAEA gives Lambert's azimuthal equal-area projection around a centre.
func LAEA(lon, lat float64) Plane {
	p := laea{lon0: lon, radius: semiMajor * math.Sqrt(authalicPole/2)}
	sin, cos := math.Sincos(lat * Rad)
	if math.Abs(lat) == 90 {
		p.sin1, p.cos1, p.distortion = math.Copysign(1, lat), 0, 1
		return p
	}
	p.sin1 = authalic(sin) / authalicPole
	p.cos1 = math.Sqrt(1 - p.sin1*p.sin1)
	p.distortion = semiMajor * cos / math.Sqrt(1-ecc2*sin*sin) / (p.radius * p.cos1)
	return p
}

func (p laea) Forward(lonlat geom.XY) geom.XY {
	sinLam, cosLam := math.Sincos((lonlat.X - p.lon0) * Rad)
	q := authalic(math.Sin(lonlat.Y * Rad))
	if p.cos1 == 0 {
		rho := semiMajor * math.Sqrt(max(0, authalicPole-p.sin1*q))
		return geom.XY{X: rho * sinLam, Y: -p.sin1 * rho * cosLam}
	}
	sin := q / authalicPole
	cos := math.Sqrt(max(0, 1-sin*sin))
	b := p.radius * math.Sqrt(2/(1+p.sin1*sin+p.cos1*cos*cosLam))
	return geom.XY{X: b * p.distortion * cos * sinLam, Y: b / p.distortion * (p.cos1*sin - p.sin1*cos*cosLam)}
}

func (p laea) Reverse(xy geom.XY) geom.XY {
	if p.cos1 == 0 {
		rho2 := (xy.X*xy.X + xy.Y*xy.Y) / (semiMajor * semiMajor)
		return geom.XY{X: normalLon(p.lon0 + math.Atan2(xy.X, -p.sin1*xy.Y)*Deg), Y: fromAuthalic(p.sin1 * (authalicPole - rho2))}
	}
	x, y := xy.X/p.distortion, xy.Y*p.distortion
	rho := math.Hypot(x, y)
	if rho == 0 {
		return geom.XY{X: normalLon(p.lon0), Y: fromAuthalic(authalicPole * p.sin1)}
	}
	sin, cos := math.Sincos(2 * math.Asin(min(1, rho/(2*p.radius))))
	q := authalicPole * (cos*p.sin1 + y*sin*p.cos1/rho)
	return geom.XY{X: normalLon(p.lon0 + math.Atan2(x*sin, rho*p.cos1*cos-y*p.sin1*sin)*Deg), Y: fromAuthalic(q)}
}

// Mercator is the ellipsoidal Mercator projection (Snyder 1987, chapter 7).
type Mercator struct{}

// Forward projects degrees to metres.
func (Mercator) Forward(lonlat geom.XY) geom.XY {
	sin := math.Sin(lonlat.Y * Rad)
	return geom.XY{X: semiMajor * lonlat.X * Rad, Y: semiMajor * (math.Atanh(sin) - ecc*math.Atanh(ecc*sin))}
}

// Reverse projects metres to degrees.
func (Mercator) Reverse(xy geom.XY) geom.XY {
	sin := math.Tanh(xy.Y / semiMajor)
	for range 8 { // each step leaves less than a hundredth of the error
		sin = math.Tanh(xy.Y/semiMajor + ecc*math.Atanh(ecc*sin))
	}
	return geom.XY{X: normalLon(xy.X / semiMajor * Deg), Y: math.Asin(sin) * Deg}
}

// OnGlobe brings longitude and latitude into range as PostGIS does for a
// geography.
func OnGlobe(lon, lat float64) (float64, float64) { return normalLon(lon), normalLat(lat) }

func normalLon(lon float64) float64 {
	if lon < -180 || lon > 180 {
		lon = math.Remainder(lon, 360)
	}
	return lon
}

func normalLat(lat float64) float64 {
	lat = normalLon(lat)
	if lat > 90 {
		return 180 - lat
	}
	if lat < -90 {
		return -180 - lat
	}
	return lat
}
