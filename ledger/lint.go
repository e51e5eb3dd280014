package ledger

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
)

// advise judges a geometry beyond what the database does.
func (v *judge) advise(g *geometry, s *Shape) {
	if !s.polygonal {
		v.add(RuleGeometryType, "/type", nil, "the geometry is a "+g.kind, "register a Polygon or MultiPolygon")
	}
	if s.Empty() {
		v.add(RuleGeometryEmpty, "", nil, "the geometry has no positions", "draw the boundary")
		return
	}
	box := s.box
	swapped := (box.South < -90 || box.North > 90) && box.swapped().onEarth()
	if swapped {
		at := Point{box.West, box.South}
		v.add(RuleSwapped, "/coordinates", &at, "longitude and latitude are swapped: a latitude is beyond 90 degrees, and the other way round it is not",
			"write longitude first, then latitude; nothing was changed")
	}
	for r := range g.rings() {
		v.adviseRing(r, swapped)
		area := signedArea(r.xy)
		if r.hole < 0 || acrossAntimeridian(r.xy) || area == 0 || area > 0 == (r.hole == 0) {
			continue // across it, a ring runs the way that it does only once it is cut
		}
		what := "the shell runs clockwise"
		if r.hole > 0 {
			what = "a hole runs counter-clockwise"
		}
		at := r.at(0)
		v.add(RuleWinding, r.path, &at, what, "reverse the order of its positions; Repair does it")
	}
	if s.polygonal && !v.problems.Refused() && s.Hectares() < 1e-4 {
		v.add(RuleNoArea, "", nil, "the area is below one square metre", "check the boundary, and whether the units are degrees")
	}
}

func (v *judge) adviseRing(r ring, swapped bool) {
	beyond, repeated := -1, -1
	for i := range r.len() {
		if p := r.at(i); beyond < 0 && (math.Abs(p[0]) > 180 || math.Abs(p[1]) > 90) {
			beyond = i
		} else if repeated < 0 && i > 0 && p == r.at(i-1) {
			repeated = i
		}
	}
	if beyond >= 0 && !swapped {
		p := r.at(beyond)
		advice := "write WGS84 degrees, longitude first; cut shapes at the antimeridian (RFC 7946, 3.1.9)"
		if max(math.Abs(p[0]), math.Abs(p[1])) > 1000 {
			advice = "they look like metres: convert them to WGS84 degrees, such as with ogr2ogr -s_srs EPSG:… -t_srs EPSG:4326"
		}
		v.add(RuleRange, r.pointer(beyond), &p, fmt.Sprintf("%v, %v is beyond 180 degrees of longitude or 90 of latitude", p[0], p[1]), advice)
	}
	if repeated >= 0 {
		p := r.at(repeated)
		v.add(RuleRepeatedPoint, r.pointer(repeated), &p, "the same position stands twice in a row", "take one out; Repair does it")
	}
	if acrossAntimeridian(r.xy) {
		p := r.at(0)
		v.add(RuleAntimeridian, r.path, &p, "the ring runs across the antimeridian, and the ledger reads it as a band round the Earth",
			"cut it at 180 degrees into parts of a MultiPolygon (RFC 7946, 3.1.9)")
	}
}

// acrossAntimeridian reports whether a ring has an edge that is longer than half
// the way round the Earth, and so is meant to go the other way. One from -180 to
// 180 is not: its ends are on one meridian.
func acrossAntimeridian(xy []float64) bool {
	for i := 2; i < len(xy); i += 2 {
		if width := math.Abs(xy[i] - xy[i-2]); width > 180 && width < 360 {
			return true
		}
	}
	return false
}

func (b Box) swapped() Box { return Box{b.South, b.West, b.North, b.East} }

func (b Box) onEarth() bool {
	return b.West >= -180 && b.East <= 180 && b.South >= -90 && b.North <= 90
}

// suspectSwap reports a shape that lies in no country and would lie in one with
// longitude and latitude exchanged.
func (v *judge) suspectSwap(s *Shape, countries *Countries) {
	if s.Empty() || countries == nil || !s.box.onEarth() || !s.box.swapped().onEarth() {
		return
	}
	c, _ := s.Centroid()
	if countries.At(c) != "" {
		return
	}
	if name := countries.At(Point{c[1], c[0]}); name != "" {
		v.add(RuleMaybeSwapped, "/coordinates", &Point{s.box.West, s.box.South},
			"longitude and latitude may be swapped: the shape lies in no country; the other way round it would lie in "+name,
			"write longitude first, then latitude; nothing was changed")
	}
}

// CheckText judges whether METI can hold a value, which has to be JSON.
func CheckText(value []byte) Problems {
	if fault := textFault(value); fault != "" {
		return Problems{NewProblem(RuleText, "", fault, "write it in UTF-8")}
	}
	return nil
}

// sameAsWGS84 are the spellings of WGS84 longitude and latitude: names, URNs,
// URLs and codes of EPSG:4326, OGC:CRS84 and their forms with a height.
var sameAsWGS84 = regexp.MustCompile(`(?i)^\s*(?:` +
	`(?:epsg[:_ ]*|(?:urn:|https?://).*epsg.*[:/#])?(?:4326|4979)(?:/(?:proj4|ogcwkt|json|gml|esriwkt)?/?)?|` +
	`(?:ogc:|(?:urn:|https?://).*[:/#])?crs:?84h?|` +
	`(?:gcs[_ ])?wgs[_ ]?(?:19)?84(?: ?\(?crs84\)?)?` +
	`)\s*$`)

// CheckCRS judges the crs member of GeoJSON 2008, which RFC 7946 took out again:
// of a collection, a Feature or a geometry. It is nil where it says what holds
// anyway.
func CheckCRS(value []byte) Problems {
	if isNull(value) {
		return nil
	}
	name := value // a text or a number, or an object that holds one
	if value[0] == '{' {
		properties := field(value, "properties")
		for _, in := range []struct {
			object []byte
			member string
		}{{value, "name"}, {properties, "name"}, {properties, "code"}, {properties, "href"}} {
			if item := field(in.object, in.member); item != nil && string(item) != `""` {
				name = item
			}
		}
	}
	name = bytes.Trim(name, `"`)
	if sameAsWGS84.Match(bytes.ReplaceAll(name, []byte(`\/`), []byte("/"))) {
		return nil
	}
	return Problems{NewProblem(RuleCRS, "/crs", "the coordinates are in "+clip(name)+", by its member crs; METI reads WGS84 longitude and latitude",
		"convert them to WGS84, such as with ogr2ogr -t_srs EPSG:4326, and leave crs out")}
}
