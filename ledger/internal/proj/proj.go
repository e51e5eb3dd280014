// Package proj holds the map projections that METI's ledger measures in, on the
// WGS84 ellipsoid: degrees to metres and back.
package proj

import (
	"math"

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

// UTM gives the plane of a UTM zone, 1 to 60, without its false origin: only
// shapes and distances matter here.
func UTM(zone int) Plane { return utm{float64(6*zone - 183)} }

// utm is the transverse Mercator projection of a UTM zone by Krüger's series to
// n^4 (Karney 2011, doi:10.1007/s00190-011-0445-3, equations 7 to 25 and 35, 36),
// which is true to a micrometre.
type utm struct{ meridian float64 }

const (
	n, n2, n3, n4 = flattening / (2 - flattening), n * n, n2 * n, n2 * n2
	utmScale      = 0.9996 * semiMajor / (1 + n) * (1 + n2/4 + n4/64)
)

var (
	forwards  = [...]float64{n/2 - 2*n2/3 + 5*n3/16 + 41*n4/180, 13*n2/48 - 3*n3/5 + 557*n4/1440, 61*n3/240 - 103*n4/140, 49561 * n4 / 161280}
	backwards = [...]float64{n/2 - 2*n2/3 + 37*n3/96 - n4/360, n2/48 + n3/15 - 437*n4/1440, 17*n3/480 - 37*n4/840, 4397 * n4 / 161280}
)

// series sums c[j]·sin(2(j+1)ζ) by Clenshaw's rule.
func series(c [4]float64, zeta complex128) complex128 {
	sin, cos := math.Sincos(2 * real(zeta))
	sinh, cosh := math.Sinh(2*imag(zeta)), math.Cosh(2*imag(zeta))
	twice := complex(2*cos*cosh, -2*sin*sinh) // 2·cos(2ζ)
	var b1, b2 complex128
	for j := 3; j >= 0; j-- {
		b1, b2 = twice*b1-b2+complex(c[j], 0), b1
	}
	return b1 * complex(sin*cosh, cos*sinh)
}

func (p utm) Forward(lonlat geom.XY) geom.XY {
	tan := math.Sinh(isometric(lonlat.Y)) // of the conformal latitude
	sinLam, cosLam := math.Sincos(normalLon(lonlat.X-p.meridian) * Rad)
	zeta := complex(math.Atan2(tan, cosLam), math.Asinh(sinLam/math.Hypot(tan, cosLam)))
	zeta += series(forwards, zeta)
	return geom.XY{X: utmScale * imag(zeta), Y: utmScale * real(zeta)}
}

func (p utm) Reverse(xy geom.XY) geom.XY {
	zeta := complex(xy.Y/utmScale, xy.X/utmScale)
	zeta -= series(backwards, zeta)
	sin, cos := math.Sincos(real(zeta))
	sinh := math.Sinh(imag(zeta))
	return geom.XY{X: normalLon(p.meridian + math.Atan2(sinh, cos)*Deg), Y: fromIsometric(math.Asinh(sin / math.Hypot(sinh, cos)))}
}

// isometric gives the isometric latitude (Snyder 1987, USGS Professional Paper
// 1395, equation 3-7) of one in degrees.
func isometric(lat float64) float64 {
	sin := math.Sin(lat * Rad)
	return math.Atanh(sin) - ecc*math.Atanh(ecc*sin)
}

func fromIsometric(psi float64) float64 {
	sin := math.Tanh(psi)
	for range 8 { // each step leaves less than a hundredth of the error
		before := sin
		if sin = math.Tanh(psi + ecc*math.Atanh(ecc*sin)); math.Abs(sin-before) < 1e-16 {
			break
		}
	}
	return math.Asin(sin) * Deg
}

// Mercator is the ellipsoidal Mercator projection (Snyder 1987, chapter 7).
type Mercator struct{}

// Forward projects degrees to metres.
func (Mercator) Forward(lonlat geom.XY) geom.XY {
	return geom.XY{X: semiMajor * lonlat.X * Rad, Y: semiMajor * isometric(lonlat.Y)}
}

// Reverse projects metres to degrees.
func (Mercator) Reverse(xy geom.XY) geom.XY {
	return geom.XY{X: normalLon(xy.X / semiMajor * Deg), Y: fromIsometric(xy.Y / semiMajor)}
}

// EqualArea projects longitudes and latitudes in turn to EPSG:6933, the cylindrical
// equal-area projection with a true parallel at 30 degrees (Snyder 1987, chapter
// 10), in metres.
func EqualArea(degrees []float64) []float64 {
	xy := make([]float64, len(degrees))
	for i := 0; i < len(xy); i += 2 {
		xy[i] = semiMajor * scaleAt30 * normalLon(degrees[i]) * Rad
		xy[i+1] = semiMajor / (2 * scaleAt30) * authalic(math.Sin(degrees[i+1]*Rad))
	}
	return xy
}

var scaleAt30 = math.Cos(30*Rad) / math.Sqrt(1-ecc2/4)

// Bulge is the area in square metres between a geodesic of some kilometres and the
// chord that EqualArea makes of it; positive where the geodesic lies to the left of
// the way from its first end to its second. It is the first term of the
// Euler-Maclaurin formula for the integral below the geodesic, whose second
// derivative its equation gives.
func Bulge(lon1, lat1, lon2, lat2 float64) float64 {
	sin, cos := math.Sincos((lat1 + lat2) / 2 * Rad)
	w := 1 - ecc2*sin*sin
	east := (lon2 - lon1) * Rad
	x := semiMajor / math.Sqrt(w) * cos * east
	y := semiMajor * (1 - ecc2) / (w * math.Sqrt(w)) * (lat2 - lat1) * Rad
	return east * sin * (x*x + 3*y*y) / 12
}

// authalic is q of Snyder 1987, equation 3-12.
func authalic(sin float64) float64 {
	es := ecc * sin
	return (1 - ecc2) * (sin/(1-es*es) + math.Atanh(es)/ecc)
}

var authalicPole = authalic(1)

// fromAuthalic gives the latitude in degrees whose q is given, by equation 3-16
// of Snyder 1987.
func fromAuthalic(q float64) float64 {
	ratio := q / authalicPole
	if ratio >= 1 || ratio <= -1 {
		return math.Copysign(90, q)
	}
	phi := math.Asin(ratio) // near enough to start from
	for range 6 {
		sin, cos := math.Sincos(phi)
		w := 1 - ecc2*sin*sin
		phi += w * w / (2 * cos) * (q/(1-ecc2) - sin/w - math.Atanh(ecc*sin)/ecc)
	}
	return phi * Deg
}

// laea is Lambert's azimuthal equal-area projection (Snyder 1987, chapter 24).
type laea struct {
	lon0               float64
	sin1, cos1         float64 // of the authalic latitude of the centre
	radius, distortion float64
}

// LAEA gives Lambert's azimuthal equal-area projection around a centre.
func LAEA(lon, lat float64) Plane {
	p := laea{lon0: lon, radius: semiMajor * math.Sqrt(authalicPole/2), distortion: 1}
	sin, cos := math.Sincos(lat * Rad)
	p.sin1 = authalic(sin) / authalicPole
	if math.Abs(lat) < 90 {
		p.cos1 = math.Sqrt(1 - p.sin1*p.sin1)
		p.distortion = semiMajor * cos / math.Sqrt(1-ecc2*sin*sin) / (p.radius * p.cos1)
	}
	return p
}

func (p laea) Forward(lonlat geom.XY) geom.XY {
	sinLam, cosLam := math.Sincos((lonlat.X - p.lon0) * Rad)
	sin := authalic(math.Sin(lonlat.Y*Rad)) / authalicPole
	cos := math.Sqrt(max(0, 1-sin*sin))
	b := p.radius * math.Sqrt(2/(1+p.sin1*sin+p.cos1*cos*cosLam))
	return geom.XY{X: b * p.distortion * cos * sinLam, Y: b / p.distortion * (p.cos1*sin - p.sin1*cos*cosLam)}
}

func (p laea) Reverse(xy geom.XY) geom.XY {
	x, y := xy.X/p.distortion, xy.Y*p.distortion
	rho := math.Hypot(x, y)
	if rho == 0 {
		return geom.XY{X: normalLon(p.lon0), Y: fromAuthalic(authalicPole * p.sin1)}
	}
	sin, cos := math.Sincos(2 * math.Asin(min(1, rho/(2*p.radius))))
	q := authalicPole * (cos*p.sin1 + y*sin*p.cos1/rho)
	return geom.XY{X: normalLon(p.lon0 + math.Atan2(x*sin, rho*p.cos1*cos-y*p.sin1*sin)*Deg), Y: fromAuthalic(q)}
}

// OnGlobe brings longitude and latitude into range as PostGIS does for a
// geography.
func OnGlobe(lon, lat float64) (float64, float64) {
	lon, lat = normalLon(lon), normalLon(lat)
	if lat > 90 {
		lat = 180 - lat
	} else if lat < -90 {
		lat = -180 - lat
	}
	return lon, lat
}

func normalLon(lon float64) float64 {
	if lon < -180 || lon > 180 {
		lon = math.Remainder(lon, 360)
	}
	return lon
}
