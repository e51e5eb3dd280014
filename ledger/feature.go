package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/meti-go/meti/internal/scan"
)

// Rules says how a feature is judged. The zero value gives each rule its own
// severity.
type Rules struct {
	// Strict makes warnings errors, but for [RuleMaybeSwapped].
	Strict bool
	// Allow makes an error of these rules a warning, also with Strict, unless
	// METI's database refuses it.
	Allow []Rule
	// Countries, when given, help to suspect exchanged coordinates: a field in
	// the ocean that would lie in a country the other way round.
	Countries *Countries
}

// Apply sets the severity of problems that have their rules' own.
func (r Rules) Apply(ps Problems) Problems {
	for i := range ps {
		switch p := &ps[i]; {
		case slices.Contains(r.Allow, p.Rule) && !p.Refused():
			p.Severity = Warning
		case r.Strict && p.Rule != RuleMaybeSwapped:
			p.Severity = Error
		}
	}
	return ps
}

// Feature is a GeoJSON Feature as the ledger reads it.
type Feature struct {
	// AltID is the feature's id, the caller's own name for the source. A number
	// becomes its text, with all its digits.
	AltID string
	// Period is properties.start_at and properties.end_at.
	Period Period
	// Shape is the geometry, nil when it cannot be read.
	Shape *Shape
	// Geometry is the geometry's text as it stood.
	Geometry json.RawMessage
}

// ParseFeature reads and judges one GeoJSON Feature and returns all its
// problems, with pointers from the feature. The feature is as complete as the
// problems allow; use it only when they are not [Problems.Refused].
func ParseFeature(text []byte, rules Rules) (Feature, Problems) {
	var problems Problems
	if fault := jsonFault(text, "feature"); fault != "" {
		problems.add(RuleJSON, "", "%s", fault)
		return Feature{}, problems
	}
	own := members(text, "type", "id", "properties", "geometry")
	period := members(own[2], "start_at", "end_at")
	if string(own[0]) != `"Feature"` {
		problems.add(RuleFeatureType, "/type", `the type is not "Feature"`)
	}
	f, more := JudgeValues(Values{ID: own[1], Start: period[0], End: period[1], Geometry: own[3]}, rules)
	return f, append(rules.Apply(problems), more...)
}

// Values are what METI keeps of a feature, as they stand in its text; nil for
// what is not there.
type Values struct {
	ID, Start, End, Geometry []byte
}

// JudgeValues judges a feature by its values, wherever they come from: each has
// to be JSON. Pointers are those of a GeoJSON Feature, such as
// "/properties/start_at". It is the part of [ParseFeature] behind the reading.
func JudgeValues(values Values, rules Rules) (f Feature, problems Problems) {
	// there gives a value that can be read, and reports what cannot, or is missing.
	there := func(pointer string, value []byte, rule Rule, missing string) []byte {
		if fault := textFault(value); fault != "" {
			problems.add(RuleText, pointer, "%s", fault)
		} else if isNull(value) {
			problems.add(rule, pointer, "%s", missing)
		} else {
			return value
		}
		return nil
	}
	if id := there("/id", values.ID, RuleAltIDMissing, "the feature has no id"); id != nil {
		f.AltID = problems.judgeID(id)
	}
	start := problems.judgeTime("start_at", there("/properties/start_at", values.Start, RuleTimeMissing, "start_at is missing"))
	end := problems.judgeTime("end_at", there("/properties/end_at", values.End, RuleTimeMissing, "end_at is missing"))
	if start != nil && end != nil {
		if f.Period = (Period{*start, *end}); f.Period.End <= f.Period.Start+day {
			problems.add(RulePeriod, "/properties/end_at", "end_at is not later than start_at by more than one day")
		}
	}
	if f.Geometry = there("/geometry", values.Geometry, RuleGeometryMissing, "the feature has no geometry"); f.Geometry != nil {
		var more Problems
		f.Shape, more = judgeGeometry(f.Geometry, rules.Countries)
		problems = append(problems, more.under("/geometry")...)
	}
	return f, rules.Apply(problems)
}

func (ps *Problems) judgeID(id []byte) string {
	text, ok := asText(id)
	switch {
	case !ok:
		ps.add(RuleAltIDType, "/id", "the id is neither a string nor a number that can be one")
	case id[0] != '"' && bytes.ContainsAny(id, ".eE"):
		ps.add(RuleAltIDForm, "/id", "the id is the number %s, read as %q", clip(id), text)
	case strings.TrimSpace(text) == "":
		ps.add(RuleAltIDBlank, "/id", "the id is blank")
	}
	if n := utf8.RuneCountInString(text); n >= maxAltID {
		ps.add(RuleAltIDLong, "/id", "the id has %d characters", n)
	}
	return text
}

// judgeTime reads the date or the time of one end of a period. It gives nil where
// there is none that can be read.
func (ps *Problems) judgeTime(name string, value []byte) *Time {
	if value == nil {
		return nil
	}
	pointer := "/properties/" + name
	text, ok := asText(value)
	if !ok {
		ps.add(RuleTimeSyntax, pointer, "%s is not text", name)
		return nil
	}
	t, zone, wrong := parseTime(text)
	if wrong != nil {
		ps.add(RuleTimeSyntax, pointer, "%s %s", name, wrong.about).Advice = wrong.advice
		return nil
	}
	if !zone {
		ps.add(RuleTimeZone, pointer, "%s has no zone; it was read as UTC", name).Advice = "write it as " + t.String()
	} else if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
		ps.add(RuleTimeForm, pointer, "%s is not RFC 3339", name).Advice = "write it as " + t.String()
	}
	return &t
}

// JudgeGeometry judges a GeoJSON geometry alone, which has to be JSON, and
// returns all its problems, with pointers from the geometry. The shape is nil
// when the text cannot be read as a geometry, and otherwise as sound as the
// problems say.
//
// What is [Problems.Refused] is ST_IsValid's verdict (OGC 06-103r4, 6.1.11) after
// ST_GeomFromGeoJSON [D], with one rule of ours, [MaxVertices].
func JudgeGeometry(geojson []byte, rules Rules) (*Shape, Problems) {
	if faults := CheckText(geojson); faults != nil {
		return nil, rules.Apply(faults)
	}
	shape, problems := judgeGeometry(geojson, rules.Countries)
	return shape, rules.Apply(problems)
}

func judgeGeometry(geojson []byte, countries *Countries) (*Shape, Problems) {
	g, fault := decodeGeometry(geojson)
	if fault != nil {
		return nil, Problems{*fault}
	}
	s := newShape(g)
	problems := append(g.notes, CheckCRS(g.crs)...)
	if s.count > MaxVertices || len(g.rings) > MaxRings {
		problems.add(RuleTooManyVertices, "", "the geometry has %d positions in %d rings, and may have %d in %d", s.count, len(g.rings), MaxVertices, MaxRings)
		return s, problems
	}
	problems.judgeRings(g.rings)
	problems.lint(g, s)
	if !problems.Refused() {
		problems.suspectSwap(s, countries)
	}
	return s, problems
}

// Attributes are the fields beside the geometry that rules are known for [L].
type Attributes struct {
	SourceType         string // FIELD when empty
	GeometrySource     string
	MeasurementPointID string
	ConstituentSSIDs   []string
}

// CheckAttributes judges what [L] saw the service's own front end require:
// DEVICE needs measurement_point_id, PROGRAM and JURISDICTIONAL need
// constituent_ssids, and JURISDICTIONAL needs geometry_source
// AUTHORITATIVE_GIS. The database knows none of it.
// Pointers are from the object that holds the fields.
func CheckAttributes(a Attributes) (problems Problems) {
	program := a.SourceType == "PROGRAM" || a.SourceType == "JURISDICTIONAL"
	if !program && !slices.Contains([]string{"", "FIELD", "FACILITY", "DEVICE"}, a.SourceType) {
		problems.add(RuleSourceType, "/source_type", "source_type %s is not known", clip(a.SourceType))
	}
	if a.SourceType == "DEVICE" && a.MeasurementPointID == "" {
		problems.add(RuleMeasurement, "/measurement_point_id", "a DEVICE has no measurement_point_id")
	}
	if program && len(a.ConstituentSSIDs) == 0 {
		problems.add(RuleConstituents, "/constituent_ssids", "a %s has no constituent_ssids", a.SourceType)
	}
	if a.SourceType == "JURISDICTIONAL" && a.GeometrySource != "AUTHORITATIVE_GIS" {
		problems.add(RuleGeometrySource, "/geometry_source", "a JURISDICTIONAL source has another geometry_source than AUTHORITATIVE_GIS")
	}
	return problems
}

// ParseCollection reads and judges a whole FeatureCollection, with pointers from
// the collection. The ledger takes it as a whole, and only when the problems are
// not [Problems.Refused].
func ParseCollection(text []byte, rules Rules) (features []Feature, problems Problems) {
	if err := scan.Check(text); err != nil {
		problems.add(RuleJSON, "", "the collection is no JSON: %v", err)
		return nil, problems
	}
	// Text in a feature that METI cannot hold is for ParseFeature to find.
	list, rest := scan.Cut(text, "features")
	switch fault := textFault(rest); {
	case fault != "":
		problems.add(RuleJSON, "", "%s", fault)
	case string(members(rest, "type")[0]) != `"FeatureCollection"`:
		problems.add(RuleCollection, "/type", `the type is not "FeatureCollection"`)
	case list == nil || list[0] != '[':
		problems.add(RuleCollection, "/features", "features is not an array")
	default:
		scan.Elements(list, func(i int, item []byte) bool {
			f, found := ParseFeature(item, rules)
			features = append(features, f)
			problems = append(problems, found.under(fmt.Sprintf("/features/%d", i))...)
			return true
		})
	}
	return features, rules.Apply(problems)
}
