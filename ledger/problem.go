package ledger

import (
	"fmt"
	"slices"
	"strings"
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

// The rules. [AllRules] says what each one means.
const (
	RuleJSON             Rule = "json"
	RuleText             Rule = "text"
	RuleCollection       Rule = "collection"
	RuleFeatureType      Rule = "feature-type"
	RuleRepeatedMember   Rule = "repeated-member"
	RuleGeometryMissing  Rule = "geometry-missing"
	RuleGeometrySyntax   Rule = "geometry-syntax"
	RuleGeometryText     Rule = "geometry-text"
	RuleGeometryType     Rule = "geometry-type"
	RuleGeometryEmpty    Rule = "geometry-empty"
	RuleCoordinate       Rule = "coordinate"
	RuleRange            Rule = "range"
	RuleSwapped          Rule = "swapped"
	RuleMaybeSwapped     Rule = "maybe-swapped"
	RuleCRS              Rule = "crs"
	RuleDimensions       Rule = "dimensions"
	RuleTooFewPoints     Rule = "too-few-points"
	RuleTooManyVertices  Rule = "too-many-vertices"
	RuleRingOpen         Rule = "ring-open"
	RuleSelfIntersection Rule = "self-intersection"
	RuleRingsCross       Rule = "rings-cross"
	RuleHoleOutside      Rule = "hole-outside"
	RuleHolesNested      Rule = "holes-nested"
	RuleInteriorCut      Rule = "interior-cut"
	RulePartsOverlap     Rule = "parts-overlap"
	RuleAntipodalEdge    Rule = "antipodal-edge"
	RuleLibrary          Rule = "library"
	RuleAntimeridian     Rule = "antimeridian"
	RuleWinding          Rule = "winding"
	RuleRepeatedPoint    Rule = "repeated-point"
	RuleNoArea           Rule = "no-area"
	RuleTimeMissing      Rule = "time-missing"
	RuleTimeSyntax       Rule = "time-syntax"
	RuleTimeZone         Rule = "time-zone"
	RuleTimeForm         Rule = "time-form"
	RulePeriod           Rule = "period"
	RuleAltIDMissing     Rule = "alt-id-missing"
	RuleAltIDLong        Rule = "alt-id-long"
	RuleAltIDType        Rule = "alt-id-type"
	RuleAltIDBlank       Rule = "alt-id-blank"
	RuleAltIDForm        Rule = "alt-id-form"
	RuleRepeatedFeature  Rule = "repeated-feature"
	RuleRepeatedAltID    Rule = "repeated-alt-id"
	RuleSourceType       Rule = "source-type"
	RuleMeasurement      Rule = "measurement"
	RuleConstituents     Rule = "constituents"
	RuleGeometrySource   Rule = "geometry-source"
	RuleAttribute        Rule = "attribute"
)

// RuleInfo is what there is to know of a rule.
type RuleInfo struct {
	Rule     Rule
	Severity Severity
	// Refused says that METI's database refuses it [D], so that nothing lets
	// it through.
	Refused bool
	About   string
}

// AllRules lists the rules, those that METI's database refuses first. The same
// rule has the same severity wherever it is found, unless [Rules] says
// otherwise.
func AllRules() []RuleInfo { return slices.Clone(allRules) }

var allRules = []RuleInfo{
	{RuleJSON, Error, true, "not JSON, or JSON that METI's database cannot hold"},
	{RuleText, Error, true, "text that is not UTF-8, or half a surrogate pair"},
	{RuleCollection, Error, true, "not a FeatureCollection, or no array of features"},
	{RuleGeometryMissing, Error, true, "no geometry, or null"},
	{RuleGeometrySyntax, Error, true, "not a GeoJSON geometry"},
	{RuleCoordinate, Error, true, "a coordinate that is not a finite number"},
	{RuleTooFewPoints, Error, true, "fewer than three distinct positions in a ring, two in a line"},
	{RuleTooManyVertices, Error, true, fmt.Sprintf("more than %d positions or %d rings in one geometry", MaxVertices, MaxRings)},
	{RuleRingOpen, Error, true, "a ring whose first and last position differ"},
	{RuleSelfIntersection, Error, true, "a ring that crosses or touches itself"},
	{RuleRingsCross, Error, true, "two rings of a polygon that cross or share a line"},
	{RuleHoleOutside, Error, true, "a hole that is not within its shell"},
	{RuleHolesNested, Error, true, "a hole in another hole"},
	{RuleInteriorCut, Error, true, "holes that cut the interior in two"},
	{RulePartsOverlap, Error, true, "two parts of a MultiPolygon that overlap or share a line"},
	{RuleAntipodalEdge, Error, true, "an edge between two positions that are opposite on the globe"},
	{RuleTimeMissing, Error, true, "no start_at, or no end_at"},
	{RuleTimeSyntax, Error, true, "a time that is not ISO 8601, or no possible one"},
	{RulePeriod, Error, true, "an end_at that is not later than start_at by more than one day"},
	{RuleAltIDMissing, Error, true, "no id"},
	{RuleAltIDType, Error, true, "an id that is neither a string nor a number"},
	{RuleAltIDLong, Error, true, fmt.Sprintf("an id of %d characters or more", maxAltID)},

	{RuleAltIDBlank, Error, false, "an id of nothing but space"},
	{RuleGeometryType, Error, false, "a geometry other than Polygon or MultiPolygon"},
	{RuleGeometryEmpty, Error, false, "a geometry without positions"},
	{RuleRange, Error, false, "a longitude beyond 180 or a latitude beyond 90 degrees"},
	{RuleSwapped, Error, false, "a latitude beyond 90 degrees where the other order is in range"},
	{RuleCRS, Error, false, "coordinates in another system than WGS84 longitude and latitude"},
	{RuleLibrary, Error, false, "a geometry that the geometry library fails on; its conflicts are told without the 9 metres"},
	{RuleRepeatedFeature, Error, false, "the same id, period and boundary as another feature of the file"},
	{RuleMeasurement, Error, false, "a DEVICE without measurement_point_id"},
	{RuleConstituents, Error, false, "a PROGRAM or JURISDICTIONAL source without constituent_ssids"},
	{RuleGeometrySource, Error, false, "a JURISDICTIONAL source without geometry_source AUTHORITATIVE_GIS"},
	{RuleAttribute, Error, false, "an attribute that METI is not known to take, or of another type"},

	{RuleRepeatedAltID, Warning, false, "the same id and period as another feature of the file, with another boundary"},
	{RuleAltIDForm, Warning, false, "a number as id that is not written as a plain whole number"},
	{RuleTimeZone, Warning, false, "a time without a zone, read as UTC"},
	{RuleTimeForm, Warning, false, "a time that is ISO 8601 but not RFC 3339"},
	{RuleWinding, Warning, false, "a shell that runs clockwise or a hole that does not (RFC 7946, 3.1.6)"},
	{RuleAntimeridian, Warning, false, "a ring that runs across 180 degrees of longitude (RFC 7946, 3.1.9)"},
	{RuleMaybeSwapped, Warning, false, "a shape in no country that would lie in one with longitude and latitude exchanged; a guess, also with --strict"},
	{RuleRepeatedPoint, Warning, false, "the same position twice in a row"},
	{RuleDimensions, Warning, false, "more than two numbers in a position; only two are kept"},
	{RuleNoArea, Warning, false, "a polygon below a square metre"},
	{RuleGeometryText, Warning, false, "members or coordinates that only a lenient reader understands"},
	{RuleFeatureType, Warning, false, `a type that is not "Feature"`},
	{RuleRepeatedMember, Warning, false, "two members of one name, of which the last counts"},
	{RuleSourceType, Warning, false, "a source_type that is not known"},
}

var infoOfRule = func() map[Rule]RuleInfo {
	m := make(map[Rule]RuleInfo, len(allRules))
	for _, info := range allRules {
		m[info.Rule] = info
	}
	return m
}()

// Info says what there is to know of the rule; ok is false for an unknown one.
func (r Rule) Info() (info RuleInfo, ok bool) {
	info, ok = infoOfRule[r]
	return info, ok
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

// NewProblem returns a Problem with its rule's severity.
func NewProblem(rule Rule, pointer, message, advice string) Problem {
	return Problem{Rule: rule, Severity: infoOfRule[rule].Severity, Pointer: pointer, Message: message, Advice: advice}
}

func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.Severity, p.Message)
	if p.Pointer != "" {
		fmt.Fprintf(&b, " at %s", p.Pointer)
	}
	if p.Coordinate != nil {
		fmt.Fprintf(&b, " near %v %v", p.Coordinate[0], p.Coordinate[1])
	}
	fmt.Fprintf(&b, " [%s]", p.Rule)
	return b.String()
}

// Problems are all that is wrong with a feature or a collection.
type Problems []Problem

// Invalid reports whether there is an error among the problems.
func (ps Problems) Invalid() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity == Error })
}

// Refused reports whether METI's database would refuse a feature with these
// problems, and with it the whole collection. It is laxer than [Problems.Invalid].
func (ps Problems) Refused() bool { return slices.ContainsFunc(ps, Problem.Refused) }

// Refused reports whether METI's database refuses this.
func (p Problem) Refused() bool { return infoOfRule[p.Rule].Refused }

// Err gives the errors among the problems as one error, nil when there are
// none. It is an [*InvalidError].
func (ps Problems) Err() error {
	var list Problems
	for _, p := range ps {
		if p.Severity == Error {
			list = append(list, p)
		}
	}
	if list == nil {
		return nil
	}
	return &InvalidError{Problems: list}
}

// judge gathers problems.
type judge struct {
	problems Problems
}

func (v *judge) add(rule Rule, pointer string, at *Point, message, advice string) {
	p := NewProblem(rule, pointer, message, advice)
	p.Coordinate = at
	v.problems = append(v.problems, p)
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
