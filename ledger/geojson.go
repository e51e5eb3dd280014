package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/meti-go/meti/internal/jsonwalk"
	"github.com/peterstace/simplefeatures/geom"
)

// This file reads a GeoJSON geometry as PostGIS 3.3 does after PostgreSQL's
// jsonb has held it: names in any case, positions with more than two numbers,
// empty positions left out, a number written as a string. What it takes and
// what it refuses was compared with that database, case by case and at random.

// maxDepth is how deep the reader of PostGIS (json-c) lets values nest.
const maxDepth = 32

// syntaxError says why a text is no geometry, and where.
type syntaxError struct {
	pointer string
	message string
	advice  string
}

func (e *syntaxError) Error() string { return e.message + " at " + e.pointer }

// in puts a step before the error's pointer, on the way out of a recursion.
// It leaves a nil error nil.
func (e *syntaxError) in(step any) *syntaxError {
	if e != nil {
		e.pointer = fmt.Sprintf("/%v%s", step, e.pointer)
	}
	return e
}

func badShape(format string, args ...any) *syntaxError {
	return &syntaxError{
		message: fmt.Sprintf(format, args...),
		advice:  "write a GeoJSON Polygon or MultiPolygon (RFC 7946, 3.1)",
	}
}

// ring is one ring of a polygon: longitudes and latitudes in turn, and where
// it stood in the text.
type ring struct {
	xy   []float64
	path string // JSON pointer from the geometry
	// index maps positions of xy to those of the text, nil when they agree.
	index []int
}

func (r ring) len() int              { return len(r.xy) / 2 }
func (r ring) at(i int) Point        { return Point{r.xy[2*i], r.xy[2*i+1]} }
func (r ring) line() geom.LineString { return geom.NewLineString(geom.NewSequence(r.xy, geom.DimXY)) }

// pointer gives the JSON pointer to position i.
func (r ring) pointer(i int) string {
	if r.index != nil {
		i = r.index[i]
	}
	return r.path + "/" + strconv.Itoa(i)
}

// polygon is a shell and its holes.
type polygon []ring

func (p polygon) geom() geom.Polygon {
	lines := make([]geom.LineString, len(p))
	for i, r := range p {
		lines[i] = r.line()
	}
	return geom.NewPolygon(lines)
}

// decoded is a geometry as it was read, not yet judged.
type decoded struct {
	kind  string    // the type, as RFC 7946 spells it
	polys []polygon // of a Polygon or MultiPolygon
	parts []decoded // of a GeometryCollection
	lines []ring    // of the other types: one ring for each line or point
	notes []Problem // what only a lenient reader understands
	path  string    // of a member of a GeometryCollection
}

// polygonal reports whether the rules for areas apply.
func (d *decoded) polygonal() bool { return d.kind == "Polygon" || d.kind == "MultiPolygon" }

// vertices counts the positions.
func (d *decoded) vertices() int {
	n := 0
	for _, p := range d.polys {
		for _, r := range p {
			n += r.len()
		}
	}
	for _, r := range d.lines {
		n += r.len()
	}
	for i := range d.parts {
		n += d.parts[i].vertices()
	}
	return n
}

// rings visits all rings and lines, those of nested collections too.
func (d *decoded) rings(visit func(ring)) {
	for _, p := range d.polys {
		for _, r := range p {
			visit(r)
		}
	}
	for _, r := range d.lines {
		visit(r)
	}
	for i := range d.parts {
		d.parts[i].rings(visit)
	}
}

// geom converts without validating.
func (d *decoded) geom() geom.Geometry {
	lines := func() []geom.LineString {
		out := make([]geom.LineString, len(d.lines))
		for i, r := range d.lines {
			out[i] = r.line()
		}
		return out
	}
	points := func() []geom.Point {
		out := make([]geom.Point, 0, len(d.lines))
		for _, r := range d.lines {
			if r.len() == 0 {
				out = append(out, geom.Point{})
				continue
			}
			out = append(out, geom.XY{X: r.xy[0], Y: r.xy[1]}.AsPoint())
		}
		return out
	}
	switch d.kind {
	case "Polygon":
		if len(d.polys) == 0 {
			return geom.Polygon{}.AsGeometry()
		}
		return d.polys[0].geom().AsGeometry()
	case "MultiPolygon":
		polys := make([]geom.Polygon, len(d.polys))
		for i, p := range d.polys {
			polys[i] = p.geom()
		}
		return geom.NewMultiPolygon(polys).AsGeometry()
	case "LineString":
		return lines()[0].AsGeometry()
	case "MultiLineString":
		return geom.NewMultiLineString(lines()).AsGeometry()
	case "Point":
		return points()[0].AsGeometry()
	case "MultiPoint":
		return geom.NewMultiPoint(points()).AsGeometry()
	default:
		parts := make([]geom.Geometry, len(d.parts))
		for i := range d.parts {
			parts[i] = d.parts[i].geom()
		}
		return geom.NewGeometryCollection(parts).AsGeometry()
	}
}

// decodeGeometry reads the value of a feature's geometry member. text must be
// valid JSON.
func decodeGeometry(text []byte) (*decoded, *syntaxError) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, badShape("the geometry is missing")
	}
	r := reader{text: text}
	if text[0] == '"' {
		// The database takes the text of a string for the geometry itself,
		// and stops reading where the first value in it ends.
		var inner string
		if err := json.Unmarshal(text, &inner); err != nil {
			return nil, badShape("the geometry is no JSON: %v", err)
		}
		var value json.RawMessage
		if err := json.NewDecoder(strings.NewReader(inner)).Decode(&value); err != nil {
			return nil, badShape("the geometry is a string, and not one that holds GeoJSON")
		}
		r = reader{text: value, plain: true}
		r.note(RuleGeometryText, "", "the geometry is a string that holds GeoJSON", "write it as an object")
	}
	if jsonwalk.Depth(r.text) > maxDepth {
		return nil, badShape("the geometry nests deeper than %d levels", maxDepth)
	}
	d, err := r.geometry(r.text, "")
	if err != nil {
		return nil, err
	}
	d.notes = r.notes
	return d, nil
}

// reader walks over valid JSON.
type reader struct {
	text  []byte
	plain bool // numbers have not passed through PostgreSQL's numeric
	notes []Problem
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

func (r *reader) geometry(value []byte, path string) (*decoded, *syntaxError) {
	if isNull(value) {
		return nil, badShape("the geometry is null")
	}
	if value[0] != '{' {
		return nil, badShape("the geometry is not an object")
	}
	if isEmptyObject(value) {
		return nil, badShape("the geometry is an empty object")
	}
	if crs, ok := member(value, "crs"); ok && !isNull(crs) {
		if err := r.crs(crs); err != nil {
			return nil, err.in("crs")
		}
	}
	typ, ok := member(value, "type")
	if !ok || isNull(typ) {
		return nil, badShape("the geometry has no type")
	}
	var name string
	if typ[0] == '"' {
		if err := json.Unmarshal(typ, &name); err != nil {
			return nil, badShape("the geometry's type is no JSON: %v", err).in("type")
		}
	}
	d := &decoded{path: path}
	for _, kind := range kinds {
		if equalFold(name, kind) {
			d.kind = kind
		}
	}
	if d.kind == "" {
		return nil, badShape("the geometry's type is %s", clip(typ)).in("type")
	}
	if d.kind != name {
		r.note(RuleGeometryText, path+"/type", "the type is not spelled as RFC 7946 spells it", "write "+d.kind)
	}
	if d.kind == "GeometryCollection" {
		return d, r.collection(d, value, path)
	}
	coords, ok := member(value, "coordinates")
	if !ok || isNull(coords) {
		return nil, badShape("the geometry has no coordinates")
	}
	if coords[0] != '[' {
		return nil, badShape("the coordinates are not an array").in("coordinates")
	}
	return d, r.coordinates(d, coords, path+"/coordinates").in("coordinates")
}

func (r *reader) collection(d *decoded, value []byte, path string) *syntaxError {
	list, ok := member(value, "geometries")
	if !ok || isNull(list) {
		return badShape("the GeometryCollection has no geometries")
	}
	if list[0] != '[' {
		r.note(RuleGeometryText, path+"/geometries", "the geometries are not an array", "write an array")
		return nil
	}
	var fail *syntaxError
	jsonwalk.Elements(list, func(i int, item []byte) bool {
		part, err := r.geometry(item, fmt.Sprintf("%s/geometries/%d", path, i))
		if err != nil {
			fail = err.in(i).in("geometries")
			return false
		}
		d.parts = append(d.parts, *part)
		return true
	})
	return fail
}

// crs judges the crs member, which RFC 7946 took out of GeoJSON. The database
// reads it and then sets WGS84 all the same.
func (r *reader) crs(value []byte) *syntaxError {
	r.notes = append(r.notes, CheckCRS(value)...)
	if value[0] != '{' {
		return nil
	}
	if isEmptyObject(value) {
		return badShape("the crs is an empty object")
	}
	typ, ok := member(value, "type")
	if !ok || isNull(typ) {
		return nil
	}
	properties, ok := member(value, "properties")
	if !ok || isNull(properties) || properties[0] != '{' {
		return nil
	}
	if isEmptyObject(properties) {
		return badShape("the crs has empty properties").in("properties")
	}
	return nil
}

func (r *reader) coordinates(d *decoded, value []byte, path string) *syntaxError {
	switch d.kind {
	case "Point":
		pos := ring{path: path}
		if err := r.position(value, path, &pos.xy); err != nil {
			return err
		}
		d.lines = []ring{pos}
		return nil
	case "LineString":
		line, err := r.line(value, path)
		d.lines = []ring{line}
		return err
	case "Polygon":
		poly, err := r.polygon(value, path)
		if len(poly) > 0 {
			d.polys = []polygon{poly}
		}
		return err
	}
	var fail *syntaxError
	jsonwalk.Elements(value, func(i int, item []byte) bool {
		at := path + "/" + strconv.Itoa(i)
		switch d.kind {
		case "MultiPoint":
			pos := ring{path: at}
			fail = r.position(item, at, &pos.xy)
			d.lines = append(d.lines, pos)
		case "MultiLineString":
			if item[0] != '[' {
				fail = badShape("a line is not an array")
				break
			}
			var line ring
			line, fail = r.line(item, at)
			d.lines = append(d.lines, line)
		case "MultiPolygon":
			if item[0] != '[' {
				// The database leaves such a part out without a word.
				r.note(RuleGeometryText, at, "a part is not an array and is left out", "take it out")
				break
			}
			var poly polygon
			poly, fail = r.polygon(item, at)
			if len(poly) > 0 {
				d.polys = append(d.polys, poly)
			}
		}
		fail = fail.in(i)
		return fail == nil
	})
	return fail
}

func (r *reader) polygon(value []byte, path string) (polygon, *syntaxError) {
	var poly polygon
	var fail *syntaxError
	jsonwalk.Elements(value, func(i int, item []byte) bool {
		if item[0] != '[' {
			fail = badShape("a ring is not an array").in(i)
			return false
		}
		at := path + "/" + strconv.Itoa(i)
		if isEmptyArray(item) {
			r.note(RuleGeometryText, at, "an empty ring", "take it out")
			// Without a shell the holes do not count.
			return i > 0
		}
		rg, err := r.line(item, at)
		if err != nil {
			fail = err.in(i)
			return false
		}
		if rg.len() == 0 {
			if i > 0 {
				fail = badShape("a hole has no positions but empty ones").in(i)
			}
			return false
		}
		poly = append(poly, rg)
		return true
	})
	return poly, fail
}

// line reads an array of positions.
func (r *reader) line(value []byte, path string) (ring, *syntaxError) {
	out := ring{path: path, xy: make([]float64, 0, 2*bytes.Count(value, bracket))}
	if xy, ok := plainLine(value, out.xy); ok {
		out.xy = xy
		return out, nil
	}
	out.xy = out.xy[:0]
	var fail *syntaxError
	jsonwalk.Elements(value, func(i int, item []byte) bool {
		if item[0] != '[' {
			fail = badShape("a position is not an array; the coordinates are not nested deep enough").in(i)
			return false
		}
		before := len(out.xy)
		if err := r.position(item, path, &out.xy); err != nil {
			fail = err.in(i)
			return false
		}
		if len(out.xy) == before {
			// An empty position was left out: from here on the places differ.
			if out.index == nil {
				out.index = make([]int, i, i+8)
				for j := range out.index {
					out.index[j] = j
				}
			}
			return true
		}
		if out.index != nil {
			out.index = append(out.index, i)
		}
		return true
	})
	return out, fail
}

var bracket = []byte{'['}

// plainLine reads an array of positions that are two plain numbers each, as
// nearly all are. ok is false when there is anything else.
func plainLine(value []byte, xy []float64) (_ []float64, ok bool) {
	i := jsonwalk.SkipSpace(value, 1)
	for {
		if i >= len(value) || value[i] != '[' {
			return xy, false
		}
		i++
		for axis := range 2 {
			i = jsonwalk.SkipSpace(value, i)
			v, end, ok := plainNumber(value, i)
			if !ok {
				return xy, false
			}
			xy = append(xy, v)
			i = jsonwalk.SkipSpace(value, end)
			if axis == 0 {
				if value[i] != ',' {
					return xy, false
				}
				i++
			}
		}
		if value[i] != ']' {
			return xy, false
		}
		switch i = jsonwalk.SkipSpace(value, i+1); value[i] {
		case ',':
			i = jsonwalk.SkipSpace(value, i+1)
		case ']':
			return xy, true
		default:
			return xy, false
		}
	}
}

// powersOfTen are those that a float64 holds exactly.
var powersOfTen = func() (p [23]float64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// plainNumber reads a number without an exponent. Up to 2^53 its digits are
// exact, and so the quotient by a power of ten is rounded once, as it should
// be (Clinger 1990, doi:10.1145/93542.93557).
func plainNumber(text []byte, i int) (v float64, end int, ok bool) {
	start := i
	negative := text[i] == '-'
	if negative {
		i++
	}
	var digits uint64
	point := -1
	n := 0
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && point < 0 {
			point = i
			continue
		}
		if !isDigit(c) {
			break
		}
		digits = digits*10 + uint64(c-'0')
		n++
	}
	if n == 0 || i >= len(text) || text[i] == 'e' || text[i] == 'E' {
		return 0, 0, false
	}
	fraction := 0
	if point >= 0 {
		fraction = i - point - 1
	}
	if n > 19 || digits > 1<<53 || fraction >= len(powersOfTen) {
		if n-fraction > 15 {
			return 0, 0, false // beyond the whole numbers that are taken as they are
		}
		v, err := strconv.ParseFloat(string(text[start:i]), 64)
		return v + 0, i, err == nil
	}
	v = float64(digits) / powersOfTen[fraction]
	if negative && v != 0 {
		v = -v
	}
	return v, i, true
}

// position reads one position and appends its longitude and latitude.
func (r *reader) position(value []byte, path string, xy *[]float64) *syntaxError {
	if value[0] != '[' {
		return badShape("a position is not an array; the coordinates are not nested deep enough")
	}
	n := 0
	var lon, lat float64
	jsonwalk.Elements(value, func(i int, item []byte) bool {
		switch i {
		case 0:
			lon = r.number(item, path)
		case 1:
			lat = r.number(item, path)
		}
		n++
		return true
	})
	switch n {
	case 0:
		r.note(RuleGeometryText, path, "an empty position", "take it out")
		return nil
	case 1:
		return badShape("a position has only one number")
	case 2:
	default:
		r.note(RuleDimensions, path, "positions have more than two numbers; only longitude and latitude count",
			"leave the others out")
	}
	*xy = append(*xy, lon, lat)
	return nil
}

// The largest whole numbers that the database's reader knows; it takes those
// beyond for these.
const (
	maxWhole = 18446744073709551615.0
	minWhole = -9223372036854775808.0
)

func (r *reader) number(value []byte, path string) float64 {
	switch c := value[0]; {
	case c == '-' || c >= '0' && c <= '9':
		v, err := strconv.ParseFloat(string(value), 64)
		if err == nil && v > -1e15 && v < 1e15 {
			return v + 0 // no negative zero
		}
		if whole(value, r.plain) {
			return min(max(v, minWhole), maxWhole)
		}
		return v
	case c == '"':
		var s string
		if json.Unmarshal(value, &s) != nil {
			return 0
		}
		r.note(RuleGeometryText, path, "a coordinate is a string", "write a number")
		return cFloat(s)
	case c == 't':
		r.note(RuleGeometryText, path, "a coordinate is true, read as 1", "write a number")
		return 1
	default:
		r.note(RuleGeometryText, path, "a coordinate is not a number, read as 0", "write a number")
		return 0
	}
}

// whole reports whether the number has no fraction once PostgreSQL has written
// it without an exponent.
func whole(number []byte, plain bool) bool {
	e := bytes.IndexAny(number, "eE")
	if plain {
		return e < 0 && bytes.IndexByte(number, '.') < 0
	}
	exponent := 0
	if e >= 0 {
		exponent, _ = strconv.Atoi(string(number[e+1:]))
		number = number[:e]
	}
	fraction := 0
	if dot := bytes.IndexByte(number, '.'); dot >= 0 {
		fraction = len(number) - dot - 1
	}
	return fraction-exponent <= 0
}

// cFloat reads a string as C's strtod does, 0 for what is no number as a
// whole or overflows.
func cFloat(s string) float64 {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	if strings.Contains(s, "_") {
		return 0
	}
	lower := strings.ToLower(strings.TrimLeft(s, "+-"))
	if strings.HasPrefix(lower, "nan(") && strings.HasSuffix(lower, ")") {
		return math.NaN()
	}
	if strings.HasPrefix(lower, "0x") && !strings.Contains(lower, "p") {
		s += "p0"
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return v
}

// member finds an object's member as the database does: jsonb keeps the last
// of equal names and sorts the rest, and PostGIS takes the first that agrees
// but for case.
func member(object []byte, name string) (value []byte, found bool) {
	var best string
	jsonwalk.Members(object, func(key, item []byte) bool {
		k := string(key)
		if equalFold(k, name) && (!found || k <= best) {
			best, value, found = k, item, true
		}
		return true
	})
	return value, found
}

// equalFold compares but for the case of ASCII letters.
func equalFold(a, b string) bool {
	return len(a) == len(b) && strings.EqualFold(a, b)
}

func isNull(value []byte) bool       { return value[0] == 'n' }
func isEmptyArray(value []byte) bool { return value[jsonwalk.SkipSpace(value, 1)] == ']' }
func isEmptyObject(value []byte) bool {
	return value[0] == '{' && value[jsonwalk.SkipSpace(value, 1)] == '}'
}

// clip shortens a piece of foreign text for a message.
func clip(text []byte) string {
	const longest = 40
	if len(text) <= longest {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:longest]), "") + "…"
}
