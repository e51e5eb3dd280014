package ledger

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/meti-go/meti/internal/scan"
)

// ring is one ring of a polygon: longitudes and latitudes in turn, and where
// it stood in the text.
type ring struct {
	xy   []float64
	text []byte // of a ring or a line
	path string // JSON pointer from the geometry
	// index maps positions of xy to those of the text, nil when they agree.
	index []int
}

func (r ring) len() int       { return len(r.xy) / 2 }
func (r ring) at(i int) Point { return Point{r.xy[2*i], r.xy[2*i+1]} }

// pointer gives the JSON pointer to position i.
func (r ring) pointer(i int) string {
	if r.index != nil {
		i = r.index[i]
	}
	return r.path + "/" + strconv.Itoa(i)
}

// withoutRepeats drops positions that repeat the one before, and tells where the
// others stood.
func withoutRepeats(xy []float64) (kept []float64, index []int) {
	kept, index = make([]float64, 0, len(xy)), make([]int, 0, len(xy)/2)
	for i := 0; i < len(xy); i += 2 {
		if n := len(kept); n == 0 || kept[n-2] != xy[i] || kept[n-1] != xy[i+1] {
			kept = append(kept, xy[i], xy[i+1])
			index = append(index, i/2)
		}
	}
	return kept, index
}

// polygon is a shell and its holes.
type polygon []ring

// decoded is a geometry as it was read, not yet judged.
type decoded struct {
	kind  string    // the type, as RFC 7946 spells it
	polys []polygon // of a Polygon or MultiPolygon
	parts []decoded // of a GeometryCollection
	lines []ring    // of the other types: one ring for each line or point
	crs   []byte    // the member of that name
	notes []Problem // what only a lenient reader understands
}

// polygonal reports whether the rules for areas apply.
func (d *decoded) polygonal() bool { return d.kind == "Polygon" || d.kind == "MultiPolygon" }

// polygons visits all polygons, those of nested collections too.
func (d *decoded) polygons(visit func(polygon)) {
	for _, p := range d.polys {
		visit(p)
	}
	for i := range d.parts {
		d.parts[i].polygons(visit)
	}
}

// strings visits all lines and points, those of nested collections too.
func (d *decoded) strings(visit func(ring)) {
	for _, r := range d.lines {
		visit(r)
	}
	for i := range d.parts {
		d.parts[i].strings(visit)
	}
}

// rings visits all rings, lines and points.
func (d *decoded) rings(visit func(ring)) {
	d.polygons(func(p polygon) {
		for _, r := range p {
			visit(r)
		}
	})
	d.strings(visit)
}

// syntaxError says why a text is no geometry, and where.
type syntaxError struct {
	rule    Rule
	pointer string
	message string
	advice  string
}

func (e *syntaxError) Error() string { return e.message + " at " + e.pointer }

func badShape(path, format string, args ...any) *syntaxError {
	return &syntaxError{
		RuleGeometrySyntax, path, fmt.Sprintf(format, args...), "write a GeoJSON Polygon or MultiPolygon (RFC 7946, 3.1)",
	}
}

// decodeGeometry reads a geometry, which must be JSON, as RFC 7946 writes it. As
// METI's database does, it takes the type in any case, leaves out positions and
// rings that are empty, and takes the first two numbers of a position.
func decodeGeometry(text []byte) (*decoded, *syntaxError) {
	var r reader
	d, err := r.geometry(text[scan.SkipSpace(text, 0):], "", 0)
	if err != nil {
		return nil, err
	}
	d.notes = r.notes
	return d, nil
}

// reader walks over a geometry.
type reader struct {
	notes     []Problem
	positions []Point // room for those of a ring
}

// note records a leniency once for each rule.
func (r *reader) note(rule Rule, pointer, message, advice string) {
	for _, n := range r.notes {
		if n.Rule == rule && n.Message == message {
			return
		}
	}
	r.notes = append(r.notes, NewProblem(rule, pointer, message, advice))
}

var kinds = []string{
	"Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection",
}

// maxNesting is how deep collections may lie in each other: METI's database
// reads no more than 32 levels of JSON.
const maxNesting = 15

func (r *reader) geometry(value []byte, path string, depth int) (*decoded, *syntaxError) {
	if len(value) == 0 || value[0] != '{' {
		return nil, badShape(path, "the geometry is not an object")
	}
	if depth > maxNesting {
		return nil, badShape(path, "collections of geometries nest deeper than %d levels", maxNesting)
	}
	var typ, coordinates, geometries, crs []byte
	scan.Members(value, func(name, item []byte) bool {
		switch string(name) {
		case "type":
			typ = item
		case "coordinates":
			coordinates = item
		case "geometries":
			geometries = item
		case "crs":
			crs = item
		}
		return true
	})
	name, _ := asText(typ)
	d := &decoded{crs: crs}
	for _, kind := range kinds {
		if strings.EqualFold(name, kind) {
			d.kind = kind
		}
	}
	switch {
	case isNull(typ):
		return nil, badShape(path, "the geometry has no type")
	case d.kind == "":
		return nil, badShape(path+"/type", "the geometry's type is %s", clip(typ))
	case d.kind != name:
		r.note(RuleGeometryText, path+"/type", "the type is not spelled as RFC 7946 spells it", "write "+d.kind)
	}
	list, what := coordinates, "coordinates"
	if d.kind == "GeometryCollection" {
		list, what = geometries, "geometries"
	}
	switch {
	case isNull(list):
		return nil, badShape(path, "the %s has no %s", d.kind, what)
	case list[0] != '[':
		return nil, badShape(path+"/"+what, "the %s are not an array", what)
	case d.kind == "GeometryCollection":
		return d, each(list, path+"/geometries", func(item []byte, at string) *syntaxError {
			part, err := r.geometry(item, at, depth+1)
			if err == nil {
				d.parts = append(d.parts, *part)
			}
			return err
		})
	}
	return d, r.coordinates(d, list, path+"/coordinates")
}

// each visits the elements of an array, until one is at fault.
func each(list []byte, path string, visit func(item []byte, at string) *syntaxError) (fault *syntaxError) {
	scan.Elements(list, func(i int, item []byte) bool {
		fault = visit(item, path+"/"+strconv.Itoa(i))
		return fault == nil
	})
	return fault
}

func (r *reader) coordinates(d *decoded, value []byte, path string) (err *syntaxError) {
	line := func(item []byte, at string) *syntaxError {
		read, err := r.line(item, at)
		d.lines = append(d.lines, read)
		return err
	}
	point := func(item []byte, at string) *syntaxError {
		pos := ring{path: at}
		err := r.position(item, at, &pos.xy)
		d.lines = append(d.lines, pos)
		return err
	}
	poly := func(item []byte, at string) *syntaxError {
		read, err := r.polygon(item, at)
		if len(read) > 0 {
			d.polys = append(d.polys, read)
		}
		return err
	}
	switch d.kind {
	case "Point":
		return point(value, path)
	case "LineString":
		return line(value, path)
	case "Polygon":
		return poly(value, path)
	case "MultiPoint":
		return each(value, path, point)
	case "MultiLineString":
		return each(value, path, line)
	default:
		return each(value, path, poly)
	}
}

func (r *reader) polygon(value []byte, path string) (poly polygon, err *syntaxError) {
	if value[0] != '[' {
		return nil, badShape(path, "a polygon is not an array; the coordinates are not nested deep enough")
	}
	hollow := false // without a shell the holes do not count
	err = each(value, path, func(item []byte, at string) *syntaxError {
		rg, err := r.line(item, at)
		switch {
		case err != nil:
			return err
		case rg.len() > 0 && !hollow:
			poly = append(poly, rg)
		case rg.len() == 0 && item[scan.SkipSpace(item, 1)] != ']' && len(poly) > 0:
			return badShape(at, "a hole has no positions but empty ones")
		case rg.len() == 0:
			hollow = hollow || len(poly) == 0
			r.note(RuleGeometryText, at, "an empty ring", "take it out")
		}
		return nil
	})
	return poly, err
}

// line reads an array of positions.
func (r *reader) line(value []byte, path string) (ring, *syntaxError) {
	out := ring{path: path, text: value}
	if value[0] != '[' {
		return out, badShape(path, "a ring or a line is not an array; the coordinates are not nested deep enough")
	}
	var wrong string
	if r.positions, _, wrong = scan.Positions(value, 0, r.positions[:0]); wrong == "" {
		out.xy = make([]float64, 0, 2*len(r.positions))
		for _, p := range r.positions {
			out.xy = append(out.xy, degrees(p[0]), degrees(p[1]))
		}
		if n := len(r.positions); n > 0 && bytes.Count(value, []byte{','}) != 2*n-1 {
			r.third(path)
		}
		return out, nil
	}
	i := 0
	return out, each(value, path, func(item []byte, _ string) *syntaxError {
		before := len(out.xy)
		if err := r.position(item, path+"/"+strconv.Itoa(i), &out.xy); err != nil {
			return err
		}
		if len(out.xy) > before {
			out.index = append(out.index, i)
		}
		i++
		return nil
	})
}

// degrees takes the sign off a zero, and makes of larger numbers the largest that
// METI's database reads.
func degrees(v float64) float64 { return min(max(v+0, -1<<63), 1<<64-1) }

// position reads one position and appends its longitude and latitude.
func (r *reader) position(value []byte, path string, xy *[]float64) *syntaxError {
	if value[0] != '[' {
		return badShape(path, "a position is not an array; the coordinates are not nested deep enough")
	}
	n := 0
	err := each(value, path, func(item []byte, at string) *syntaxError {
		if n++; n > 2 {
			return nil
		}
		v, end, ok := scan.Number(item, 0)
		if !ok || end != len(item) {
			return &syntaxError{RuleCoordinate, at, "the coordinate " + clip(item) + " is not a number of degrees", "write a number of degrees"}
		}
		*xy = append(*xy, degrees(v))
		return nil
	})
	switch {
	case err != nil:
		return err
	case n == 0:
		r.note(RuleGeometryText, path, "an empty position", "take it out")
	case n == 1:
		return badShape(path, "a position has only one number")
	case n > 2:
		r.third(path)
	}
	return nil
}

func (r *reader) third(path string) {
	r.note(RuleDimensions, path, "positions have more than two numbers; only longitude and latitude count",
		"leave the others out")
}
