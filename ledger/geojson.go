package ledger

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/meti-go/meti/internal/scan"
)

// geometry is a geometry as it was read, not yet judged.
type geometry struct {
	kind  string   // as RFC 7946 spells it
	rings []ring   // all that are not empty, those of a collection too
	crs   []byte   // the member of that name
	notes Problems // what only a lenient reader understands
}

// ring is a ring of a polygon, or a line, or a point: longitudes and latitudes
// in turn, and where they stood in the text.
type ring struct {
	xy   []float64
	text []byte // its positions
	path string // JSON pointer from the geometry
	// index maps positions of xy to those of the text, nil when they agree.
	index []int

	kind string // of its geometry
	of   int    // the geometry, among those of a collection
	part int    // its part of a MultiPolygon
	hole int    // its number in the polygon, 0 for the shell
}

func (r *ring) polygonal() bool { return polygonal(r.kind) }

// polygonal reports whether the rules for areas apply.
func polygonal(kind string) bool { return strings.HasSuffix(kind, "Polygon") }

func (r *ring) len() int       { return len(r.xy) / 2 }
func (r *ring) at(i int) Point { return Point(r.xy[2*i : 2*i+2]) }

// place gives the index of position i in the text.
func (r *ring) place(i int) int {
	if r.index != nil {
		i = r.index[i]
	}
	return i
}

// pointer gives the JSON pointer to position i.
func (r *ring) pointer(i int) string { return r.path + "/" + strconv.Itoa(r.place(i)) }

// withoutRepeats leaves out positions that repeat the one before.
func (r *ring) withoutRepeats() ring {
	out := *r
	out.xy, out.index = make([]float64, 0, len(r.xy)), make([]int, 0, r.len())
	for i := range r.len() {
		if i == 0 || r.at(i-1) != r.at(i) {
			out.xy, out.index = append(out.xy, r.xy[2*i], r.xy[2*i+1]), append(out.index, r.place(i))
		}
	}
	return out
}

// decodeGeometry reads a geometry, which must be JSON, as RFC 7946 writes it. As
// METI's database does, it takes the type in any case, leaves out positions and
// rings that are empty, and takes the first two numbers of a position.
func decodeGeometry(text []byte) (*geometry, *Problem) {
	var r reader
	fault := r.geometry(bytes.TrimSpace(text), "", 0)
	return &r.read, fault
}

// reader reads a geometry. Its methods return the fault that ends the reading.
type reader struct {
	read      geometry
	count     int // of geometries
	positions []Point
}

// note adds a problem once, where it is first found.
func (r *reader) note(rule Rule, pointer, message string) {
	if !slices.ContainsFunc(r.read.notes, func(p Problem) bool { return p.Rule == rule && p.Message == message }) {
		r.read.notes.add(rule, pointer, "%s", message)
	}
}

func fault(rule Rule, pointer, format string, args ...any) *Problem {
	p := NewProblem(rule, pointer, format, args...)
	return &p
}

// kinds of geometries, and how many arrays lie around the lines and rings of each, or
// around its points.
var kinds = map[string]int{
	"Point": 0, "MultiPoint": 1, "LineString": 0, "MultiLineString": 1, "Polygon": 1, "MultiPolygon": 2, "GeometryCollection": 0,
}

// maxNesting is how deep collections may lie in each other: METI's database
// reads no more than 32 levels of JSON.
const maxNesting = 15

func (r *reader) geometry(value []byte, path string, depth int) *Problem {
	if len(value) == 0 || value[0] != '{' {
		return fault(RuleGeometrySyntax, path, "the geometry is not an object")
	}
	if depth > maxNesting {
		return fault(RuleGeometrySyntax, path, "collections of geometries nest deeper than %d levels", maxNesting)
	}
	found := members(value, "type", "coordinates", "geometries", "crs")
	name, _ := asText(found[0])
	kind := ""
	for k := range kinds {
		if strings.EqualFold(name, k) {
			kind = k
		}
	}
	if depth == 0 {
		r.read.kind, r.read.crs = kind, found[3]
	}
	what, list := "coordinates", found[1]
	if kind == "GeometryCollection" {
		what, list = "geometries", found[2]
	}
	switch {
	case isNull(found[0]):
		return fault(RuleGeometrySyntax, path, "the geometry has no type")
	case kind == "":
		return fault(RuleGeometrySyntax, path+"/type", "the geometry's type is %s", clip(found[0]))
	case isNull(list):
		return fault(RuleGeometrySyntax, path, "the %s has no %s", kind, what)
	case list[0] != '[':
		return fault(RuleGeometrySyntax, path+"/"+what, "the %s are not an array", what)
	case kind != name:
		r.note(RuleGeometryText, path+"/type", "the type is not spelled as RFC 7946 spells it, "+kind)
	}
	if path += "/" + what; kind == "GeometryCollection" {
		return each(list, path, func(_ int, item []byte, at string) *Problem { return r.geometry(item, at, depth+1) })
	}
	r.count++
	return r.nested(list, path, kinds[kind], ring{kind: kind, of: r.count})
}

// each visits the elements of an array, until one is at fault.
func each(list []byte, path string, visit func(i int, item []byte, at string) *Problem) (fault *Problem) {
	scan.Elements(list, func(i int, item []byte) bool {
		fault = visit(i, item, path+"/"+strconv.Itoa(i))
		return fault == nil
	})
	return fault
}

// nested reads arrays of so many levels, and the rings, lines or points that lie in
// them. It gives each of them what is known of to.
func (r *reader) nested(value []byte, path string, levels int, to ring) *Problem {
	to.text, to.path = value, path
	switch {
	case value[0] != '[':
		return fault(RuleGeometrySyntax, path, "%s is not an array; the coordinates are not nested deep enough", clip(value))
	case levels > 0:
		return each(value, path, func(i int, item []byte, at string) *Problem {
			if levels == 2 {
				to.part = i
			}
			return r.nested(item, at, levels-1, to)
		})
	}
	var wrong *Problem
	if strings.HasSuffix(to.kind, "Point") {
		wrong = r.position(&to, value, path)
	} else {
		wrong = r.line(&to)
	}
	if wrong != nil {
		return wrong
	}
	if to.len() == 0 {
		r.note(RuleGeometryText, path, "an empty ring, line or point")
		return nil
	}
	if n := len(r.read.rings); n > 0 && to.polygonal() {
		if before := r.read.rings[n-1]; before.of == to.of && before.part == to.part {
			to.hole = before.hole + 1
		}
	}
	r.read.rings = append(r.read.rings, to)
	return nil
}

// line reads an array of positions.
func (r *reader) line(to *ring) *Problem {
	var wrong string
	if r.positions, _, wrong = scan.Positions(to.text, 0, r.positions[:0]); wrong == "" {
		to.xy = make([]float64, 0, 2*len(r.positions))
		for _, p := range r.positions {
			to.xy = append(to.xy, degrees(p[0]), degrees(p[1]))
		}
		if n := len(r.positions); n > 0 && bytes.Count(to.text, []byte{','}) != 2*n-1 {
			r.third(to.path)
		}
		return nil
	}
	return each(to.text, to.path, func(i int, item []byte, at string) *Problem { // one of them is empty, or at fault
		before := len(to.xy)
		fault := r.position(to, item, at)
		if len(to.xy) > before {
			to.index = append(to.index, i)
		}
		return fault
	})
}

// position reads one position and appends its longitude and latitude.
func (r *reader) position(to *ring, value []byte, path string) *Problem {
	list := slices.Concat([]byte{'['}, value, []byte{']'})
	switch found, _, wrong := scan.Positions(list, 0, r.positions[:0]); {
	case value[0] != '[':
		return fault(RuleGeometrySyntax, path, "a position is not an array; the coordinates are not nested deep enough")
	case value[0] == '[' && value[scan.SkipSpace(value, 1)] == ']':
		r.note(RuleGeometryText, path, "an empty position")
	case wrong == "a number":
		return fault(RuleCoordinate, path, "%s is no position, for it needs a number of degrees", clip(value))
	case wrong != "":
		return fault(RuleGeometrySyntax, path, "%s is no position, for it needs %s", clip(value), wrong)
	default:
		to.xy = append(to.xy, degrees(found[0][0]), degrees(found[0][1]))
		if bytes.Count(value, []byte{','}) > 1 {
			r.third(path)
		}
	}
	return nil
}

func (r *reader) third(path string) {
	r.note(RuleDimensions, path, "positions have more than two numbers; only longitude and latitude count")
}

// degrees takes the sign off a zero, and makes of larger numbers the largest that
// METI's database reads.
func degrees(v float64) float64 { return min(max(v+0, -1<<63), 1<<64-1) }
