package ledger

import (
	"bytes"
	"math"
	"regexp"
)

// lint judges a geometry beyond what the database does.
func (ps *Problems) lint(g *geometry, s *Shape) {
	if !s.polygonal {
		ps.add(RuleGeometryType, "/type", "the geometry is a %s", g.kind)
	}
	if s.Empty() {
		ps.add(RuleGeometryEmpty, "", "the geometry has no positions")
		return
	}
	swapped := (s.box.South < -90 || s.box.North > 90) && s.box.swapped().onEarth()
	if swapped {
		ps.addAt(s.box.corner(), RuleSwapped, "/coordinates", "longitude and latitude are swapped: a latitude is beyond 90 degrees, and the other way round it is not")
	}
	for i := range g.rings {
		r := &g.rings[i]
		ps.lintPositions(r, swapped)
		switch {
		case acrossAntimeridian(r.xy):
			// Such a ring runs the way that it does only once it is cut.
			ps.addAt(r.at(0), RuleAntimeridian, r.path, "the ring runs across the antimeridian, and the ledger reads it as a band round the Earth")
		case !r.woundWrong():
		case r.hole == 0:
			ps.addAt(r.at(0), RuleWinding, r.path, "the shell runs clockwise")
		default:
			ps.addAt(r.at(0), RuleWinding, r.path, "a hole runs counter-clockwise")
		}
	}
	if s.polygonal && !ps.Refused() && s.Hectares() < 1e-4 {
		ps.add(RuleNoArea, "", "the area is below one square metre")
	}
}

// lintPositions reports the first position of each kind.
func (ps *Problems) lintPositions(r *ring, swapped bool) {
	beyond, repeated := swapped, false
	for i := range r.len() {
		p := r.at(i)
		if !beyond && (math.Abs(p[0]) > 180 || math.Abs(p[1]) > 90) {
			beyond = true
			problem := ps.addAt(p, RuleRange, r.pointer(i), "%v, %v is beyond 180 degrees of longitude or 90 of latitude", p[0], p[1])
			if max(math.Abs(p[0]), math.Abs(p[1])) > 1000 {
				problem.Advice = "they look like metres: convert them to WGS84 degrees, such as with ogr2ogr -s_srs EPSG:… -t_srs EPSG:4326"
			}
		}
		if !repeated && i > 0 && p == r.at(i-1) {
			repeated = true
			ps.addAt(p, RuleRepeatedPoint, r.pointer(i), "the same position stands twice in a row")
		}
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

// woundWrong reports a clockwise shell and a counter-clockwise hole.
func (r *ring) woundWrong() bool {
	area := signedArea(r.xy)
	return r.polygonal() && area != 0 && (area > 0) != (r.hole == 0)
}

// suspectSwap reports a shape that lies in no country and would lie in one with
// longitude and latitude exchanged.
func (ps *Problems) suspectSwap(s *Shape, countries *Countries) {
	if s.Empty() || countries == nil || !s.box.onEarth() || !s.box.swapped().onEarth() {
		return
	}
	c, _ := s.Centroid()
	if countries.At(c) != "" {
		return
	}
	if name := countries.At(Point{c[1], c[0]}); name != "" {
		ps.addAt(s.box.corner(), RuleMaybeSwapped, "/coordinates",
			"longitude and latitude may be swapped: the shape lies in no country; the other way round it would lie in %s", name)
	}
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
func CheckCRS(value []byte) (problems Problems) {
	if isNull(value) {
		return nil
	}
	name := value // a text or a number, or an object that holds one
	if value[0] == '{' {
		found := members(value, "name", "properties")
		for _, item := range append(found[:1], members(found[1], "name", "code", "href")...) {
			if item != nil && string(item) != `""` {
				name = item
			}
		}
	}
	name = bytes.Trim(name, `"`)
	if !sameAsWGS84.Match(bytes.ReplaceAll(name, []byte(`\/`), []byte("/"))) {
		problems.add(RuleCRS, "/crs", "the coordinates are in %s, by its member crs; METI reads WGS84 longitude and latitude", clip(name))
	}
	return problems
}
