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
	Advice  string // what to do, where a Problem does not say better
}

// AllRules lists the rules, those that METI's database refuses first. The same
// rule has the same severity wherever it is found, unless [Rules] says
// otherwise.
func AllRules() []RuleInfo { return slices.Clone(allRules) }

const (
	asString = "write it as a string"
	inUTF8   = "write valid JSON (RFC 8259) in UTF-8"
	giveID   = "give it the id you know it by"
	inOrder  = "write longitude first, then latitude; nothing was changed"
	isoTime  = "write a date such as 2024-01-31, or a time such as 2024-01-31T00:00:00Z"
)

var allRules = []RuleInfo{
	{RuleJSON, Error, true, "not JSON, or JSON that METI's database cannot hold", inUTF8},
	{RuleText, Error, true, "text that is not UTF-8, or half a surrogate pair", "write it in UTF-8"},
	{RuleCollection, Error, true, "not a FeatureCollection, or no array of features", "write a GeoJSON FeatureCollection (RFC 7946, 3.3) of Features"},
	{RuleGeometryMissing, Error, true, "no geometry, or null", "give it a Polygon or MultiPolygon"},
	{RuleGeometrySyntax, Error, true, "not a GeoJSON geometry", "write a GeoJSON Polygon or MultiPolygon (RFC 7946, 3.1)"},
	{RuleCoordinate, Error, true, "a coordinate that is not a finite number", "write a number of degrees"},
	{RuleTooFewPoints, Error, true, "fewer than three distinct positions in a ring, two in a line", "a ring needs three distinct positions and the first again at the end"},
	{RuleTooManyVertices, Error, true, fmt.Sprintf("more than %d positions or %d rings in one geometry", MaxVertices, MaxRings), "simplify it, or register its parts as sources of their own"},
	{RuleRingOpen, Error, true, "a ring whose first and last position differ", "repeat the first position at the end"},
	{RuleSelfIntersection, Error, true, "a ring that crosses or touches itself", "redraw the boundary so that it does not cross or touch itself"},
	{RuleRingsCross, Error, true, "two rings of a polygon that cross or share a line", "keep holes inside the shell, and merge those that meet"},
	{RuleHoleOutside, Error, true, "a hole that is not within its shell", "make it a part of its own, or take it out"},
	{RuleHolesNested, Error, true, "a hole in another hole", "take the inner one out"},
	{RuleInteriorCut, Error, true, "holes that cut the interior in two", "make each piece a part of a MultiPolygon"},
	{RulePartsOverlap, Error, true, "two parts of a MultiPolygon that overlap or share a line", "merge the two parts, or draw them apart"},
	{RuleAntipodalEdge, Error, true, "an edge between two positions that are opposite on the globe", "put a position between them"},
	{RuleTimeMissing, Error, true, "no start_at, or no end_at", isoTime},
	{RuleTimeSyntax, Error, true, "a time that is not ISO 8601, or no possible one", isoTime},
	{RulePeriod, Error, true, "an end_at that is not later than start_at by more than one day", "let the period last more than 24 hours"},
	{RuleAltIDMissing, Error, true, "no id", giveID},
	{RuleAltIDType, Error, true, "an id that is neither a string nor a number that can be one", asString},
	{RuleAltIDLong, Error, true, fmt.Sprintf("an id of %d characters or more", maxAltID), fmt.Sprintf("use fewer than %d", maxAltID)},

	{RuleAltIDBlank, Error, false, "an id of nothing but space", giveID},
	{RuleGeometryType, Error, false, "a geometry other than Polygon or MultiPolygon", "register a Polygon or MultiPolygon"},
	{RuleGeometryEmpty, Error, false, "a geometry without positions", "draw the boundary"},
	{RuleRange, Error, false, "a longitude beyond 180 or a latitude beyond 90 degrees", "write WGS84 degrees, longitude first; cut shapes at the antimeridian (RFC 7946, 3.1.9)"},
	{RuleSwapped, Error, false, "a latitude beyond 90 degrees where the other order is in range", inOrder},
	{RuleCRS, Error, false, "coordinates in another system than WGS84 longitude and latitude", "convert them to WGS84, such as with ogr2ogr -t_srs EPSG:4326, and leave crs out"},
	{RuleLibrary, Error, false, "a geometry that the geometry library fails on; its conflicts are told without the 9 metres", "simplify the boundary, and report this as a fault of meti"},
	{RuleRepeatedFeature, Error, false, "the same id, period and boundary as another feature of the file", "take one out"},
	{RuleMeasurement, Error, false, "a DEVICE without measurement_point_id", "give the measuring point's id"},
	{RuleConstituents, Error, false, "a PROGRAM or JURISDICTIONAL source without constituent_ssids", "list the SSIDs it is made of"},
	{RuleGeometrySource, Error, false, "a JURISDICTIONAL source without geometry_source AUTHORITATIVE_GIS", "take the boundary from an authority and say AUTHORITATIVE_GIS"},
	{RuleAttribute, Error, false, "an attribute that METI is not known to take, or of another type", "correct it, or take it out"},

	{RuleRepeatedAltID, Warning, false, "the same id and period as another feature of the file, with another boundary", "give each field an id of its own: METI deletes by it, and would delete both"},
	{RuleAltIDForm, Warning, false, "a number as id that is not written as a plain whole number", asString},
	{RuleTimeZone, Warning, false, "a time without a zone, read as UTC", "write the zone, such as Z at the end"},
	{RuleTimeForm, Warning, false, "a time that is ISO 8601 but not RFC 3339", isoTime},
	{RuleWinding, Warning, false, "a shell that runs clockwise or a hole that does not (RFC 7946, 3.1.6)", "reverse the order of its positions; Repair does it"},
	{RuleAntimeridian, Warning, false, "a ring that runs across 180 degrees of longitude (RFC 7946, 3.1.9)", "cut it at 180 degrees into parts of a MultiPolygon (RFC 7946, 3.1.9)"},
	{RuleMaybeSwapped, Warning, false, "a shape in no country that would lie in one with longitude and latitude exchanged; a guess, also with --strict", inOrder},
	{RuleRepeatedPoint, Warning, false, "the same position twice in a row", "take one out; Repair does it"},
	{RuleDimensions, Warning, false, "more than two numbers in a position; only two are kept", "leave the others out"},
	{RuleNoArea, Warning, false, "a polygon below a square metre", "check the boundary, and whether the units are degrees"},
	{RuleGeometryText, Warning, false, "members or coordinates that only a lenient reader understands", "write it as RFC 7946 does"},
	{RuleFeatureType, Warning, false, `a type that is not "Feature"`, `write "Feature"`},
	{RuleRepeatedMember, Warning, false, "two members of one name, of which the last counts", "take one out"},
	{RuleSourceType, Warning, false, "a source_type that is not known", "use FIELD, FACILITY, DEVICE, PROGRAM or JURISDICTIONAL"},
}

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
