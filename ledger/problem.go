package ledger

import (
	"fmt"
	"strings"
)

// Point is a position: longitude, then latitude, in degrees.
type Point [2]float64

// Lon is the longitude in degrees.
func (p Point) Lon() float64 { return p[0] }

// Lat is the latitude in degrees.
func (p Point) Lat() float64 { return p[1] }

// Severity tells whether the ledger refuses a feature over a [Problem].
type Severity string

const (
	// Error marks what the ledger's database refuses, and with it the whole
	// collection.
	Error Severity = "error"
	// Warning marks what the database takes but the API or its documentation
	// may not. Under [Rules].Strict there are no warnings, only errors.
	Warning Severity = "warning"
)

// Rule names what a [Problem] is about. The names are stable.
type Rule string

// The rules whose breach the database refuses [D].
const (
	RuleJSON             Rule = "json"              // not JSON, or JSON that PostgreSQL's jsonb cannot hold
	RuleCollection       Rule = "collection"        // not a FeatureCollection, or no array of features
	RuleGeometryMissing  Rule = "geometry-missing"  // no geometry, or null
	RuleGeometrySyntax   Rule = "geometry-syntax"   // not a GeoJSON geometry
	RuleCoordinate       Rule = "coordinate"        // a coordinate that is not a finite number
	RuleTooFewPoints     Rule = "too-few-points"    // fewer than three distinct positions in a ring, two in a line
	RuleRingOpen         Rule = "ring-open"         // first and last position differ
	RuleSelfIntersection Rule = "self-intersection" // a ring crosses or touches itself
	RuleRingsCross       Rule = "rings-cross"       // two rings of a polygon cross or share a line
	RuleHoleOutside      Rule = "hole-outside"      // a hole is not within its shell
	RuleHolesNested      Rule = "holes-nested"      // a hole lies in another hole
	RuleInteriorCut      Rule = "interior-cut"      // holes cut the interior in two
	RulePartsOverlap     Rule = "parts-overlap"     // two parts of a MultiPolygon overlap or share a line
	RuleAntipodalEdge    Rule = "antipodal-edge"    // an edge joins a position to the one opposite on the globe
	RuleTooManyVertices  Rule = "too-many-vertices" // more than MaxVertices, see there
	RuleTimeMissing      Rule = "time-missing"      // start_at or end_at is absent or null
	RuleTimeSyntax       Rule = "time-syntax"       // start_at or end_at cannot be read as a time
	RulePeriod           Rule = "period"            // end_at is not later than start_at by more than one day
	RuleAltIDMissing     Rule = "alt-id-missing"    // no id
	RuleAltIDLong        Rule = "alt-id-long"       // an id of 50 characters or more
)

// The rules that the API may enforce beyond the database: warnings, unless
// strict.
const (
	RuleFeatureType    Rule = "feature-type"    // type is not "Feature"
	RuleGeometryType   Rule = "geometry-type"   // not a Polygon or MultiPolygon
	RuleGeometryEmpty  Rule = "geometry-empty"  // a geometry without positions
	RuleGeometryText   Rule = "geometry-text"   // members or coordinates that only a lenient reader understands
	RuleRange          Rule = "range"           // longitude beyond 180 or latitude beyond 90 degrees
	RuleWinding        Rule = "winding"         // shell clockwise or hole counter-clockwise (RFC 7946, 3.1.6)
	RuleRepeatedPoint  Rule = "repeated-point"  // the same position twice in a row
	RuleDimensions     Rule = "dimensions"      // more than two numbers in a position
	RuleSwapped        Rule = "swapped"         // longitude and latitude look swapped
	RuleCRS            Rule = "crs"             // a crs member other than WGS84
	RuleNoArea         Rule = "no-area"         // a polygon below a square metre
	RuleTimeZone       Rule = "time-zone"       // a time without a zone, read as UTC
	RuleTimeForm       Rule = "time-form"       // a time that is not RFC 3339
	RuleAltIDForm      Rule = "alt-id-form"     // an id that is not a string, or blank
	RuleSourceType     Rule = "source-type"     // a source_type that is not known
	RuleMeasurement    Rule = "measurement"     // DEVICE without measurement_point_id
	RuleConstituents   Rule = "constituents"    // PROGRAM or JURISDICTIONAL without constituent_ssids
	RuleGeometrySource Rule = "geometry-source" // JURISDICTIONAL without geometry_source AUTHORITATIVE_GIS
)

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

// Refused reports whether there is an error among the problems.
func (ps Problems) Refused() bool {
	for _, p := range ps {
		if p.Severity == Error {
			return true
		}
	}
	return false
}

// Err gives the errors among the problems as one error, nil when there are
// none. It is an [*InvalidError].
func (ps Problems) Err() error {
	var refused Problems
	for _, p := range ps {
		if p.Severity == Error {
			refused = append(refused, p)
		}
	}
	if refused == nil {
		return nil
	}
	return &InvalidError{Problems: refused}
}

// strict turns the warnings into errors.
func (ps Problems) strict() Problems {
	for i := range ps {
		ps[i].Severity = Error
	}
	return ps
}

// under puts prefix before each pointer.
func (ps Problems) under(prefix string) Problems {
	for i := range ps {
		ps[i].Pointer = prefix + ps[i].Pointer
	}
	return ps
}

// InvalidError says why the ledger would refuse a feature or a collection.
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
