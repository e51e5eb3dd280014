// Package proj holds the map projections that METI's ledger measures in, on the
// WGS84 ellipsoid: degrees to metres and back.
package proj

import "math"

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

// Plane is a map projection.
type Plane interface {
	Forward(lon, lat float64) (x, y float64)
	Inverse(x, y float64) (lon, lat float64)
}

// UTM gives the plane of a UTM zone, 1 to 60, without its false origin.
func UTM(zone int) Plane { return utm{float64(6*zone - 183)} }

// LAEA gives Lambert's azimuthal equal-area projection around a centre.
func LAEA(lon, lat float64) Plane { return newLAEA(lon, lat) }

// Mercator gives the ellipsoidal Mercator projection.
func Mercator() Plane { return mercator{} }

// EqualArea projects to EPSG:6933, the cylindrical equal-area projection with a
// true parallel at 30 degrees (Snyder 1987, chapter 10).
func EqualArea(lon, lat float64) (x, y float64) {
	return equalArea.kx * normalLon(lon), equalArea.ky * authalic(math.Sin(lat*Rad))
}

var equalArea = func() (c struct{ kx, ky float64 }) {
	sin, cos := math.Sincos(30 * Rad)
	k := cos / math.Sqrt(1-ecc2*sin*sin)
	c.kx, c.ky = semiMajor*k*Rad, semiMajor/(2*k)
	return c
}()

// utm is the transverse Mercator projection of a UTM zone by Krüger's series
// to n^6 (Karney 2011, doi:10.1007/s00190-011-0445-3, equations 7 to 25 and
// 35, 36). The false origin is left out: only shapes and distances matter here.
type utm struct{ meridian float64 }

const utmScale = 0.9996

var krueger = func() (k struct {
	radius      float64
	alpha, beta [7]float64
}) {
	n := flattening / (2 - flattening)
	n2 := n * n
	n3, n4, n5, n6 := n2*n, n2*n2, n2*n2*n, n2*n2*n2
	k.radius = semiMajor / (1 + n) * (1 + n2/4 + n4/64 + n6/256)
	k.alpha = [7]float64{
		0,
		n/2 - 2*n2/3 + 5*n3/16 + 41*n4/180 - 127*n5/288 + 7891*n6/37800,
		13*n2/48 - 3*n3/5 + 557*n4/1440 + 281*n5/630 - 1983433*n6/1935360,
		61*n3/240 - 103*n4/140 + 15061*n5/26880 + 167603*n6/181440,
		49561*n4/161280 - 179*n5/168 + 6601661*n6/7257600,
		34729*n5/80640 - 3418889*n6/1995840,
		212378941 * n6 / 319334400,
	}
	k.beta = [7]float64{
		0,
		n/2 - 2*n2/3 + 37*n3/96 - n4/360 - 81*n5/512 + 96199*n6/604800,
		n2/48 + n3/15 - 437*n4/1440 + 46*n5/105 - 1118711*n6/3870720,
		17*n3/480 - 37*n4/840 - 209*n5/4480 + 5569*n6/90720,
		4397*n4/161280 - 11*n5/504 - 830251*n6/7257600,
		4583*n5/161280 - 108847*n6/3991680,
		20648693 * n6 / 638668800,
	}
	return k
}()

func (p utm) Forward(lon, lat float64) (x, y float64) {
	lam := normalLon(lon-p.meridian) * Rad
	sin, cos := math.Sincos(lat * Rad)
	tau := sin / cos
	sigma := math.Sinh(ecc * math.Atanh(ecc*sin))
	conformal := tau*math.Sqrt(1+sigma*sigma) - sigma*math.Sqrt(1+tau*tau)
	sinLam, cosLam := math.Sincos(lam)
	xi := math.Atan2(conformal, cosLam)
	eta := math.Asinh(sinLam / math.Hypot(conformal, cosLam))
	dxi, deta := series(krueger.alpha, xi, eta)
	scale := utmScale * krueger.radius
	return scale * (eta + deta), scale * (xi + dxi)
}

func (p utm) Inverse(x, y float64) (lon, lat float64) {
	scale := utmScale * krueger.radius
	xi, eta := y/scale, x/scale
	dxi, deta := series(krueger.beta, xi, eta)
	xi, eta = xi-dxi, eta-deta
	sinh := math.Sinh(eta)
	sinXi, cosXi := math.Sincos(xi)
	conformal := sinXi / math.Hypot(sinh, cosXi)
	return normalLon(p.meridian + math.Atan2(sinh, cosXi)*Deg), geographic(conformal)
}

// series sums c[j]·sin(2j(ξ+iη)) by Clenshaw's rule on complex numbers.
func series(c [7]float64, xi, eta float64) (re, im float64) {
	sin, cos := math.Sincos(2 * xi)
	sinh, cosh := math.Sinh(2*eta), math.Cosh(2*eta)
	// 2·cos(2(ξ+iη))
	a := complex(2*cos*cosh, -2*sin*sinh)
	var b1, b2 complex128
	for j := 6; j > 0; j-- {
		b1, b2 = a*b1-b2+complex(c[j], 0), b1
	}
	sum := b1 * complex(sin*cosh, cos*sinh)
	return real(sum), imag(sum)
}

// geographic gives the latitude in degrees whose conformal latitude has the
// tangent t, by Newton's method (Karney 2011, equations 19 to 21).
func geographic(t float64) float64 {
	tau := t / (1 - ecc2)
	for range 5 {
		root := math.Sqrt(1 + tau*tau)
		sigma := math.Sinh(ecc * math.Atanh(ecc*tau/root))
		conformal := tau*math.Sqrt(1+sigma*sigma) - sigma*root
		step := (t - conformal) / math.Sqrt(1+conformal*conformal) *
			(1 + (1-ecc2)*tau*tau) / ((1 - ecc2) * root)
		tau += step
		if math.Abs(step) <= 1e-15*max(1, math.Abs(tau)) {
			break
		}
	}
	return math.Atan(tau) * Deg
}

// authalic is q of Snyder 1987 (USGS Professional Paper 1395), equation 3-12.
func authalic(sin float64) float64 {
	es := ecc * sin
	return (1 - ecc2) * (sin/(1-es*es) + math.Atanh(es)/ecc)
}

var authalicPole = authalic(1)

// fromAuthalic gives the latitude in degrees whose q is given, by equation
// 3-16 of Snyder 1987.
func fromAuthalic(q float64) float64 {
	if ratio := q / authalicPole; ratio >= 1 || ratio <= -1 {
		return math.Copysign(90, q)
	}
	phi := math.Asin(q / authalicPole) // near enough to start from
	for range 20 {
		sin, cos := math.Sincos(phi)
		w := 1 - ecc2*sin*sin
		step := w * w / (2 * cos) * (q/(1-ecc2) - sin/w - math.Atanh(ecc*sin)/ecc)
		phi += step
		if math.Abs(step) < 1e-15 {
			break
		}
	}
	return phi * Deg
}

// laea is Lambert's azimuthal equal-area projection (Snyder 1987, chapter 24).
type laea struct {
	lon0               float64
	sin1, cos1         float64 // of the authalic latitude of the centre
	radius, distortion float64
}

func newLAEA(lon0, lat0 float64) laea {
	p := laea{lon0: lon0, radius: semiMajor * math.Sqrt(authalicPole/2)}
	sin, cos := math.Sincos(lat0 * Rad)
	if math.Abs(lat0) == 90 {
		p.sin1, p.cos1, p.distortion = math.Copysign(1, lat0), 0, 1
		return p
	}
	p.sin1 = authalic(sin) / authalicPole
	p.cos1 = math.Sqrt(1 - p.sin1*p.sin1)
	p.distortion = semiMajor * cos / math.Sqrt(1-ecc2*sin*sin) / (p.radius * p.cos1)
	return p
}

func (p laea) Forward(lon, lat float64) (x, y float64) {
	sinLam, cosLam := math.Sincos((lon - p.lon0) * Rad)
	q := authalic(math.Sin(lat * Rad))
	if p.cos1 == 0 {
		rho := semiMajor * math.Sqrt(max(0, authalicPole-p.sin1*q))
		return rho * sinLam, -p.sin1 * rho * cosLam
	}
	sin := q / authalicPole
	cos := math.Sqrt(max(0, 1-sin*sin))
	b := p.radius * math.Sqrt(2/(1+p.sin1*sin+p.cos1*cos*cosLam))
	return b * p.distortion * cos * sinLam, b / p.distortion * (p.cos1*sin - p.sin1*cos*cosLam)
}

func (p laea) Inverse(x, y float64) (lon, lat float64) {
	if p.cos1 == 0 {
		rho2 := (x*x + y*y) / (semiMajor * semiMajor)
		return normalLon(p.lon0 + math.Atan2(x, -p.sin1*y)*Deg), fromAuthalic(p.sin1 * (authalicPole - rho2))
	}
	x, y = x/p.distortion, y*p.distortion
	rho := math.Hypot(x, y)
	if rho == 0 {
		return normalLon(p.lon0), fromAuthalic(authalicPole * p.sin1)
	}
	sin, cos := math.Sincos(2 * math.Asin(min(1, rho/(2*p.radius))))
	q := authalicPole * (cos*p.sin1 + y*sin*p.cos1/rho)
	return normalLon(p.lon0 + math.Atan2(x*sin, rho*p.cos1*cos-y*p.sin1*sin)*Deg), fromAuthalic(q)
}

// mercator is the ellipsoidal Mercator projection (Snyder 1987, chapter 7).
type mercator struct{}

func (mercator) Forward(lon, lat float64) (x, y float64) {
	sin := math.Sin(lat * Rad)
	return semiMajor * lon * Rad, semiMajor * (math.Atanh(sin) - ecc*math.Atanh(ecc*sin))
}

func (mercator) Inverse(x, y float64) (lon, lat float64) {
	return normalLon(x / semiMajor * Deg), geographic(math.Sinh(y / semiMajor))
}

// OnGlobe brings longitude and latitude into range as PostGIS does for a
// geography.
func OnGlobe(lon, lat float64) (float64, float64) {
	return normalLon(lon), normalLat(lat)
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

// OnSphere gives the point of the unit sphere: x to longitude 0 on the equator, z
// to the north pole.
func OnSphere(lon, lat float64) [3]float64 {
	lon, lat = OnGlobe(lon, lat)
	sinLat, cosLat := math.Sincos(lat * Rad)
	sinLon, cosLon := math.Sincos(lon * Rad)
	return [3]float64{cosLat * cosLon, cosLat * sinLon, sinLat}
}
