package ledger

import (
	"bytes"
	"fmt"
	"iter"
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
	hole  int // its number in a polygon: 0 for the shell, -1 for a line or a point
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

// withoutRepeats leaves out positions that repeat the one before.
func (r ring) withoutRepeats() ring {
	out := ring{xy: make([]float64, 0, len(r.xy)), index: make([]int, 0, r.len()), path: r.path, text: r.text, hole: r.hole}
	for i := range r.len() {
		if n := out.len(); n > 0 && out.at(n-1) == r.at(i) {
			continue
		}
		out.xy = append(out.xy, r.xy[2*i], r.xy[2*i+1])
		if r.index != nil {
			i = r.index[i]
		}
		out.index = append(out.index, i)
	}
	return out
}

// polygon is a shell and its holes; of a line or a point, the one ring.
type polygon []ring

// geometry is a geometry as it was read, not yet judged.
type geometry struct {
	kind  string    // as RFC 7946 spells it
	parts []part    // those of a collection, however deep, or the one that it is
	crs   []byte    // the member of that name
	notes []Problem // what only a lenient reader understands
}

// part is a geometry other than a collection.
type part struct {
	kind  string
	polys []polygon
}

// polygonal reports whether the rules for areas apply.
func polygonal(kind string) bool { return kind == "Polygon" || kind == "MultiPolygon" }

// rings yields all rings, lines and points.
func (g *geometry) rings() iter.Seq[ring] {
	return func(yield func(ring) bool) {
		for _, part := range g.parts {
			for _, poly := range part.polys {
				for _, r := range poly {
					if !yield(r) {
						return
					}
				}
			}
		}
	}
}

// decodeGeometry reads a geometry, which must be JSON, as RFC 7946 writes it. As
// METI's database does, it takes the type in any case, leaves out positions and
// rings that are empty, and takes the first two numbers of a position.
func decodeGeometry(text []byte) (*geometry, *Problem) {
	var r reader
	fault := r.geometry(text[scan.SkipSpace(text, 0):], "", 0)
	return &r.read, fault
}

// reader walks over a geometry.
type reader struct {
	read      geometry
	positions []Point // room for those of a ring
}

// note records a leniency once for each rule.
func (r *reader) note(rule Rule, pointer, message, advice string) {
	for _, n := range r.read.notes {
		if n.Rule == rule && n.Message == message {
			return
		}
	}
	r.read.notes = append(r.read.notes, NewProblem(rule, pointer, message, advice))
}

func badShape(path, format string, args ...any) *Problem {
	p := NewProblem(RuleGeometrySyntax, path, fmt.Sprintf(format, args...), "write a GeoJSON Polygon or MultiPolygon (RFC 7946, 3.1)")
	return &p
}

var kinds = []string{
	"Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection",
}

// maxNesting is how deep collections may lie in each other: METI's database
// reads no more than 32 levels of JSON.
const maxNesting = 15

func (r *reader) geometry(value []byte, path string, depth int) *Problem {
	if len(value) == 0 || value[0] != '{' {
		return badShape(path, "the geometry is not an object")
	}
	if depth > maxNesting {
		return badShape(path, "collections of geometries nest deeper than %d levels", maxNesting)
	}
	var typ, coordinates, geometries, crs []byte
	members(value, map[string]*[]byte{"type": &typ, "coordinates": &coordinates, "geometries": &geometries, "crs": &crs})
	name, _ := asText(typ)
	kind := ""
	for _, k := range kinds {
		if strings.EqualFold(name, k) {
			kind = k
		}
	}
	if depth == 0 {
		r.read.kind, r.read.crs = kind, crs
	}
	switch {
	case isNull(typ):
		return badShape(path, "the geometry has no type")
	case kind == "":
		return badShape(path+"/type", "the geometry's type is %s", clip(typ))
	case kind != name:
		r.note(RuleGeometryText, path+"/type", "the type is not spelled as RFC 7946 spells it", "write "+kind)
	}
	list, what := coordinates, "coordinates"
	if kind == "GeometryCollection" {
		list, what = geometries, "geometries"
	}
	switch {
	case isNull(list):
		return badShape(path, "the %s has no %s", kind, what)
	case list[0] != '[':
		return badShape(path+"/"+what, "the %s are not an array", what)
	case kind == "GeometryCollection":
		return each(list, path+"/geometries", func(item []byte, at string) *Problem { return r.geometry(item, at, depth+1) })
	}
	return r.part(kind, list, path+"/coordinates")
}

// each visits the elements of an array, until one is at fault.
func each(list []byte, path string, visit func(item []byte, at string) *Problem) (fault *Problem) {
	scan.Elements(list, func(i int, item []byte) bool {
		fault = visit(item, path+"/"+strconv.Itoa(i))
		return fault == nil
	})
	return fault
}

// part reads the coordinates of a geometry that is no collection.
func (r *reader) part(kind string, coordinates []byte, path string) *Problem {
	p := part{kind: kind}
	one := func(value []byte, at string) (fault *Problem) {
		var poly polygon
		switch kind {
		case "Point", "MultiPoint":
			point := ring{path: at, hole: -1}
			fault = r.position(value, at, &point.xy)
			poly = polygon{point}
		case "LineString", "MultiLineString":
			var line ring
			line, fault = r.line(value, at)
			line.hole = -1
			poly = polygon{line}
		default:
			poly, fault = r.polygon(value, at)
		}
		if len(poly) > 0 && poly[0].len() > 0 {
			p.polys = append(p.polys, poly)
		}
		return fault
	}
	visit := one
	if strings.HasPrefix(kind, "Multi") {
		visit = func(value []byte, at string) *Problem { return each(value, at, one) }
	}
	fault := visit(coordinates, path)
	r.read.parts = append(r.read.parts, p)
	return fault
}

func (r *reader) polygon(value []byte, path string) (poly polygon, fault *Problem) {
	if value[0] != '[' {
		return nil, badShape(path, "a polygon is not an array; the coordinates are not nested deep enough")
	}
	hollow := false // without a shell the holes do not count
	fault = each(value, path, func(item []byte, at string) *Problem {
		rg, fault := r.line(item, at)
		switch {
		case fault != nil:
			return fault
		case rg.len() > 0 && !hollow:
			rg.hole = len(poly)
			poly = append(poly, rg)
		case rg.len() == 0 && item[scan.SkipSpace(item, 1)] != ']' && len(poly) > 0:
			return badShape(at, "a hole has no positions but empty ones")
		case rg.len() == 0:
			hollow = hollow || len(poly) == 0
			r.note(RuleGeometryText, at, "an empty ring", "take it out")
		}
		return nil
	})
	return poly, fault
}

// line reads an array of positions.
func (r *reader) line(value []byte, path string) (ring, *Problem) {
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
	i := 0 // one of them is empty, or at fault
	return out, each(value, path, func(item []byte, at string) *Problem {
		before := len(out.xy)
		fault := r.position(item, at, &out.xy)
		if len(out.xy) > before {
			out.index = append(out.index, i)
		}
		i++
		return fault
	})
}

// degrees takes the sign off a zero, and makes of larger numbers the largest that
// METI's database reads.
func degrees(v float64) float64 { return min(max(v+0, -1<<63), 1<<64-1) }

// position reads one position and appends its longitude and latitude.
func (r *reader) position(value []byte, path string, xy *[]float64) *Problem {
	if value[0] != '[' {
		return badShape(path, "a position is not an array; the coordinates are not nested deep enough")
	}
	n := 0
	fault := each(value, path, func(item []byte, at string) *Problem {
		if n++; n > 2 {
			return nil
		}
		v, end, ok := scan.Number(item, 0)
		if !ok || end != len(item) {
			p := NewProblem(RuleCoordinate, at, "the coordinate "+clip(item)+" is not a number of degrees", "write a number of degrees")
			return &p
		}
		*xy = append(*xy, degrees(v))
		return nil
	})
	switch {
	case fault != nil:
		return fault
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
