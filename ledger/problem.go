package ledger

import (
	"fmt"
	"slices"
)

// MaxVertices is how many positions a geometry may have here, and MaxRings how
// many rings and lines. The database knows no such bounds, but the cost of
// shrinking a shape by 9 metres grows faster than its size, and most of all
// where many rings lie within 9 metres of each other: one feature must not stop
// the others. A feature past them is refused with [RuleTooManyVertices].
const (
	MaxVertices = 10000
	MaxRings    = 1000
)

// maxAltID is the length in characters (code points) that an id must stay
// below [D].
const maxAltID = 50

// Point is a position: longitude, then latitude, in degrees.
type Point [2]float64

// Lon is the longitude in degrees.
func (p Point) Lon() float64 { return p[0] }

// Lat is the latitude in degrees.
func (p Point) Lat() float64 { return p[1] }

// Severity tells whether a [Problem] makes a feature invalid.
type Severity string

const (
	// Error marks what METI refuses, and what nobody can mean: the feature is
	// invalid, and is not sent.
	Error Severity = "error"
	// Warning marks what may be meant, and is worth a look.
	Warning Severity = "warning"
)

// Rule names what a [Problem] is about. The names are stable.
type Rule string

const (
	asString = "write it as a string"
	inUTF8   = "write valid JSON (RFC 8259) in UTF-8"
	giveID   = "give it the id you know it by"
	inOrder  = "write longitude first, then latitude; nothing was changed"
	isoTime  = "write a date such as 2024-01-31, or a time such as 2024-01-31T00:00:00Z"
)

// The rules, those that METI's database refuses first: their names, what is wrong, and
// what to do where a Problem does not say better. The same rule has the same severity
// wherever it is found, unless [Rules] says otherwise.
var (
	RuleJSON             = rule("json", Error, true, "not JSON, or JSON that METI's database cannot hold", inUTF8)
	RuleText             = rule("text", Error, true, "text that is not UTF-8, or half a surrogate pair", "write it in UTF-8")
	RuleCollection       = rule("collection", Error, true, "not a FeatureCollection, or no array of features", "write a GeoJSON FeatureCollection (RFC 7946, 3.3) of Features")
	RuleGeometryMissing  = rule("geometry-missing", Error, true, "no geometry, or null", "give it a Polygon or MultiPolygon")
	RuleGeometrySyntax   = rule("geometry-syntax", Error, true, "not a GeoJSON geometry", "write a GeoJSON Polygon or MultiPolygon (RFC 7946, 3.1)")
	RuleCoordinate       = rule("coordinate", Error, true, "a coordinate that is not a finite number", "write a number of degrees")
	RuleTooFewPoints     = rule("too-few-points", Error, true, "fewer than three distinct positions in a ring, two in a line", "a ring needs three distinct positions and the first again at the end")
	RuleTooManyVertices  = rule("too-many-vertices", Error, true, fmt.Sprintf("more than %d positions or %d rings in one geometry", MaxVertices, MaxRings), "simplify it, or register its parts as sources of their own")
	RuleRingOpen         = rule("ring-open", Error, true, "a ring whose first and last position differ", "repeat the first position at the end")
	RuleSelfIntersection = rule("self-intersection", Error, true, "a ring that crosses or touches itself", "redraw the boundary so that it does not cross or touch itself")
	RuleRingsCross       = rule("rings-cross", Error, true, "two rings of a polygon that cross or share a line", "keep holes inside the shell, and merge those that meet")
	RuleHoleOutside      = rule("hole-outside", Error, true, "a hole that is not within its shell", "make it a part of its own, or take it out")
	RuleHolesNested      = rule("holes-nested", Error, true, "a hole in another hole", "take the inner one out")
	RuleInteriorCut      = rule("interior-cut", Error, true, "holes that cut the interior in two", "make each piece a part of a MultiPolygon")
	RulePartsOverlap     = rule("parts-overlap", Error, true, "two parts of a MultiPolygon that overlap or share a line", "merge the two parts, or draw them apart")
	RuleAntipodalEdge    = rule("antipodal-edge", Error, true, "an edge between two positions that are opposite on the globe", "put a position between them")
	RuleTimeMissing      = rule("time-missing", Error, true, "no start_at, or no end_at", isoTime)
	RuleTimeSyntax       = rule("time-syntax", Error, true, "a time that is not ISO 8601, or no possible one", isoTime)
	RulePeriod           = rule("period", Error, true, "an end_at that is not later than start_at by more than one day; end_at is the first instant that is no part of the period", "let the period last more than 24 hours")
	RuleAltIDMissing     = rule("alt-id-missing", Error, true, "no id", giveID)
	RuleAltIDType        = rule("alt-id-type", Error, true, "an id that is neither a string nor a number that can be one", asString)
	RuleAltIDLong        = rule("alt-id-long", Error, true, fmt.Sprintf("an id of %d characters or more", maxAltID), fmt.Sprintf("use fewer than %d", maxAltID))

	RuleAltIDBlank      = rule("alt-id-blank", Error, false, "an id of nothing but space", giveID)
	RuleGeometryType    = rule("geometry-type", Error, false, "a geometry other than Polygon or MultiPolygon", "register a Polygon or MultiPolygon")
	RuleGeometryEmpty   = rule("geometry-empty", Error, false, "a geometry without positions", "draw the boundary")
	RuleRange           = rule("range", Error, false, "a longitude beyond 180 or a latitude beyond 90 degrees", "write WGS84 degrees, longitude first; cut shapes at the antimeridian (RFC 7946, 3.1.9)")
	RuleSwapped         = rule("swapped", Error, false, "a latitude beyond 90 degrees where the other order is in range", inOrder)
	RuleCRS             = rule("crs", Error, false, "coordinates in another system than WGS84 longitude and latitude", "convert them to WGS84, such as with ogr2ogr -t_srs EPSG:4326, and leave crs out")
	RuleLibrary         = rule("library", Error, false, "a geometry that the geometry library fails on; its conflicts are told without the 9 metres", "simplify the boundary, and report this as a fault of meti")
	RuleRepeatedFeature = rule("repeated-feature", Error, false, "the same id, period and boundary as another feature of the file", "take one out")
	RuleMeasurement     = rule("measurement", Error, false, "a DEVICE without measurement_point_id", "give the measuring point's id")
	RuleConstituents    = rule("constituents", Error, false, "a PROGRAM or JURISDICTIONAL source without constituent_ssids", "list the SSIDs it is made of")
	RuleGeometrySource  = rule("geometry-source", Error, false, "a JURISDICTIONAL source without geometry_source AUTHORITATIVE_GIS", "take the boundary from an authority and say AUTHORITATIVE_GIS")
	RuleAttribute       = rule("attribute", Error, false, "an attribute that METI is not known to take, or of another type", "correct it, or take it out")

	RuleRepeatedAltID  = rule("repeated-alt-id", Warning, false, "the same id and period as another feature of the file, with another boundary", "give each field an id of its own: METI deletes by it, and would delete both")
	RuleAltIDForm      = rule("alt-id-form", Warning, false, "a number as id that is not written as a plain whole number", asString)
	RuleTimeZone       = rule("time-zone", Warning, false, "a time without a zone, read as UTC", "write the zone, such as Z at the end")
	RuleTimeForm       = rule("time-form", Warning, false, "a time that is ISO 8601 but not RFC 3339", isoTime)
	RuleWinding        = rule("winding", Warning, false, "a shell that runs clockwise or a hole that does not (RFC 7946, 3.1.6)", "reverse the order of its positions; Repair does it")
	RuleAntimeridian   = rule("antimeridian", Warning, false, "a ring that runs across 180 degrees of longitude (RFC 7946, 3.1.9)", "cut it at 180 degrees into parts of a MultiPolygon (RFC 7946, 3.1.9)")
	RuleMaybeSwapped   = rule("maybe-swapped", Warning, false, "a shape in no country that would lie in one with longitude and latitude exchanged; a guess, also with --strict", inOrder)
	RuleRepeatedPoint  = rule("repeated-point", Warning, false, "the same position twice in a row", "take one out; Repair does it")
	RuleDimensions     = rule("dimensions", Warning, false, "more than two numbers in a position; only two are kept", "leave the others out")
	RuleNoArea         = rule("no-area", Warning, false, "a polygon below a square metre", "check the boundary, and whether the units are degrees")
	RuleGeometryText   = rule("geometry-text", Warning, false, "members or coordinates that only a lenient reader understands", "write it as RFC 7946 does")
	RuleFeatureType    = rule("feature-type", Warning, false, `a type that is not "Feature"`, `write "Feature"`)
	RuleRepeatedMember = rule("repeated-member", Warning, false, "two members of one name, of which the last counts", "take one out")
	RuleSourceType     = rule("source-type", Warning, false, "a source_type that is not known", "use FIELD, FACILITY, DEVICE, PROGRAM or JURISDICTIONAL")
)

// RuleInfo is what there is to know of a rule.
type RuleInfo struct {
	Rule     Rule
	Severity Severity
	// Refused says that METI's database refuses it [D], so that nothing lets
	// it through.
	Refused bool
	About   string
	Advice  string
}

var allRules []RuleInfo

func rule(name Rule, severity Severity, refused bool, about, advice string) Rule {
	allRules = append(allRules, RuleInfo{name, severity, refused, about, advice})
	return name
}

// AllRules lists the rules in their order.
func AllRules() []RuleInfo { return slices.Clone(allRules) }

// Info says what there is to know of the rule; ok is false for an unknown one.
func (r Rule) Info() (info RuleInfo, ok bool) {
	i := slices.IndexFunc(allRules, func(info RuleInfo) bool { return info.Rule == r })
	if i < 0 {
		return info, false
	}
	return allRules[i], true
}

// Problem is one thing that is wrong with a feature.
type Problem struct {
	Rule     Rule     `json:"rule"`
	Severity Severity `json:"severity"`
	// Pointer is the JSON pointer (RFC 6901) to what is wrong, from the text
	// that was judged: "/geometry/coordinates/0/3". It is empty for the whole.
	Pointer string `json:"pointer"`
	// Coordinate is where on Earth it is wrong, when that is known.
	Coordinate *Point `json:"coordinate,omitempty"`
	// Message says what is wrong.
	Message string `json:"message"`
	// Advice says what to do.
	Advice string `json:"advice,omitempty"`
}

// NewProblem returns a Problem with its rule's severity and advice.
func NewProblem(rule Rule, pointer, format string, args ...any) Problem {
	info, _ := rule.Info()
	return Problem{Rule: rule, Severity: info.Severity, Pointer: pointer, Message: fmt.Sprintf(format, args...), Advice: info.Advice}
}

func (p Problem) String() string {
	text := fmt.Sprintf("%s: %s", p.Severity, p.Message)
	if p.Pointer != "" {
		text += " at " + p.Pointer
	}
	if p.Coordinate != nil {
		text += fmt.Sprintf(" near %v %v", p.Coordinate[0], p.Coordinate[1])
	}
	return text + " [" + string(p.Rule) + "]"
}

// Refused reports whether METI's database refuses this.
func (p Problem) Refused() bool {
	info, _ := p.Rule.Info()
	return info.Refused
}

func (p Problem) invalid() bool { return p.Severity == Error }

// Problems are all that is wrong with a feature or a collection.
type Problems []Problem

// Invalid reports whether there is an error among the problems.
func (ps Problems) Invalid() bool { return slices.ContainsFunc(ps, Problem.invalid) }

// Refused reports whether METI's database would refuse a feature with these
// problems, and with it the whole collection. It is laxer than [Problems.Invalid].
func (ps Problems) Refused() bool { return slices.ContainsFunc(ps, Problem.Refused) }

// Err gives the errors among the problems as one error, nil when there are
// none. It is an [*InvalidError].
func (ps Problems) Err() error {
	if !ps.Invalid() {
		return nil
	}
	return &InvalidError{slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return !p.invalid() })}
}

// add adds a problem, see NewProblem, which may be given more.
func (ps *Problems) add(rule Rule, pointer, format string, args ...any) *Problem {
	*ps = append(*ps, NewProblem(rule, pointer, format, args...))
	return &(*ps)[len(*ps)-1]
}

// addAt adds a problem that has a place on Earth.
func (ps *Problems) addAt(at Point, rule Rule, pointer, format string, args ...any) *Problem {
	p := ps.add(rule, pointer, format, args...)
	p.Coordinate = &at
	return p
}

// under puts prefix before each pointer.
func (ps Problems) under(prefix string) Problems {
	for i := range ps {
		ps[i].Pointer = prefix + ps[i].Pointer
	}
	return ps
}

// InvalidError says why a feature or a collection is invalid.
type InvalidError struct {
	Problems Problems // at least one, all errors
}

func (e *InvalidError) Error() string {
	first := e.Problems[0].String()
	if n := len(e.Problems) - 1; n > 0 {
		return fmt.Sprintf("%s (and %d more)", first, n)
	}
	return first
}
