package ledger

import (
	"fmt"
	"math"
)

// advise adds the warnings about a geometry: what the database takes but the
// API or the readers of GeoJSON may not.
func (v *judge) advise(d *decoded, s *Shape) {
	if !d.polygonal() {
		v.add(RuleGeometryType, Warning, "/type", nil, "the geometry is a "+d.kind, "register a Polygon or MultiPolygon")
	}
	if s.Empty() {
		v.add(RuleGeometryEmpty, Warning, "", nil, "the geometry has no positions", "draw the boundary")
		return
	}
	d.rings(v.adviseRing)
	for _, p := range d.polys {
		for i, r := range p {
			if area := signedArea(r.xy); area < 0 && i == 0 || area > 0 && i > 0 {
				what := "the shell runs clockwise"
				if i > 0 {
					what = "a hole runs counter-clockwise"
				}
				at := r.at(0)
				v.add(RuleWinding, Warning, r.path, &at, what, "reverse the order of its positions; Repair does it")
			}
		}
	}
	if d.polygonal() && !v.problems.Refused() && s.Hectares() < 1e-4 {
		v.add(RuleNoArea, Warning, "", nil, "the area is below one square metre", "check the boundary, and whether the units are degrees")
	}
}

func (v *judge) adviseRing(r ring) {
	beyond, repeated := -1, -1
	for i := range r.len() {
		p := r.at(i)
		if beyond < 0 && (math.Abs(p[0]) > 180 || math.Abs(p[1]) > 90) {
			beyond = i
		}
		if repeated < 0 && i > 0 && p == r.at(i-1) {
			repeated = i
		}
	}
	if beyond >= 0 {
		p := r.at(beyond)
		v.add(RuleRange, Warning, r.pointer(beyond), &p, fmt.Sprintf("%v, %v is beyond 180 degrees of longitude or 90 of latitude", p[0], p[1]),
			"write WGS84 degrees, longitude first; cut shapes at the antimeridian (RFC 7946, 3.1.9)")
	}
	if repeated >= 0 {
		p := r.at(repeated)
		v.add(RuleRepeatedPoint, Warning, r.pointer(repeated), &p, "the same position stands twice in a row", "take one out; Repair does it")
	}
}

// suspectSwap reports a shape whose longitudes and latitudes look swapped: it
// is out of range but would be in range the other way round, or it lies in no
// country but would.
func suspectSwap(s *Shape, countries *Countries) Problems {
	b, ok := s.Box()
	if !ok {
		return nil
	}
	inRange := func(b Box) bool { return b.West >= -180 && b.East <= 180 && b.South >= -90 && b.North <= 90 }
	swapped := inRange(Box{b.South, b.West, b.North, b.East})
	why := ""
	switch c, _ := s.Centroid(); {
	case !swapped:
	case !inRange(b):
		why = "a latitude is beyond 90 degrees"
	case countries != nil && countries.At(c) == "":
		if name := countries.At(Point{c[1], c[0]}); name != "" {
			why = "the shape lies in no country; the other way round it would lie in " + name
		}
	}
	if why == "" {
		return nil
	}
	at := Point{b.West, b.South}
	return Problems{{
		Rule: RuleSwapped, Severity: Warning, Pointer: "/coordinates", Coordinate: &at,
		Message: "longitude and latitude look swapped: " + why,
		Advice:  "write longitude first, then latitude; nothing was changed",
	}}
}
