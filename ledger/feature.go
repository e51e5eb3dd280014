package ledger

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/meti-go/meti/internal/jsonwalk"
)

// Rules says how a feature is judged. The zero value judges as the ledger's
// database does and reports the rest as warnings.
type Rules struct {
	// Strict turns every warning into an error.
	Strict bool
	// Now is the moment that words such as "today" refer to; zero means the
	// current time.
	Now time.Time
	// Countries, when given, helps to suspect swapped coordinates: a field in
	// the ocean that would lie in a country the other way round.
	Countries *Countries
}

func (r Rules) now() time.Time {
	if r.Now.IsZero() {
		return time.Now()
	}
	return r.Now
}

func (r Rules) apply(ps Problems) Problems {
	if r.Strict {
		return ps.strict()
	}
	return ps
}

// Feature is a GeoJSON Feature as the ledger reads it.
type Feature struct {
	// AltID is the feature's id, the caller's own name for the source. A
	// number or an object becomes its text, as in PostgreSQL.
	AltID string
	// Period is properties.start_at and properties.end_at.
	Period Period
	// Shape is the geometry, nil when it cannot be read.
	Shape *Shape
	// Geometry is the geometry's text as it stood.
	Geometry json.RawMessage
}

// maxAltID is the length in characters (code points) that an id must stay
// below [D].
const maxAltID = 50

// ParseFeature reads and judges one GeoJSON Feature and returns all its
// problems, with pointers from the feature. The feature is as complete as the
// problems allow; use it only when they are not [Problems.Refused].
//
// Beside the rules of the database it checks the attributes that stand in the
// properties, see [CheckAttributes].
func ParseFeature(text []byte, rules Rules) (Feature, Problems) {
	if !json.Valid(text) {
		return Feature{}, jsonProblem("the feature is no JSON: " + jsonError(text))
	}
	if fault := jsonbFault(text); fault != "" {
		return Feature{}, jsonProblem(fault)
	}
	f, problems := parseFeature(bytes.TrimSpace(text), rules)
	return f, rules.apply(problems)
}

func jsonProblem(message string) Problems {
	return Problems{{Rule: RuleJSON, Severity: Error, Message: message, Advice: "write valid JSON (RFC 8259) in UTF-8"}}
}

// jsonError says what is wrong with a text that is not JSON.
func jsonError(text []byte) string {
	var v json.RawMessage
	if err := json.Unmarshal(text, &v); err != nil {
		return err.Error()
	}
	return "unknown"
}

// parseFeature is ParseFeature for text that is known to be JSON.
func parseFeature(text []byte, rules Rules) (Feature, Problems) {
	var f Feature
	v := &judge{}
	if text[0] != '{' {
		v.add(RuleGeometryMissing, Error, "", nil, "the feature is not an object", "write a GeoJSON Feature (RFC 7946, 3.2)")
		return f, v.problems
	}
	var typ, id, properties, geometry []byte
	jsonwalk.Members(text, func(name, item []byte) bool {
		switch string(name) {
		case "type":
			typ = item
		case "id":
			id = item
		case "properties":
			properties = item
		case "geometry":
			geometry = item
		}
		return true
	})
	if string(typ) != `"Feature"` {
		v.add(RuleFeatureType, Warning, "/type", nil, `the type is not "Feature"`, `write "Feature"`)
	}
	f.AltID = v.altID(id)
	f.Period = v.period(properties, rules.now())
	if properties != nil && properties[0] == '{' {
		v.problems = append(v.problems, attributesIn(properties).under("/properties")...)
	}
	if geometry == nil || isNull(geometry) {
		v.add(RuleGeometryMissing, Error, "/geometry", nil, "the feature has no geometry", "write a Polygon or MultiPolygon")
		return f, v.problems
	}
	f.Geometry = geometry
	shape, problems := checkGeometry(geometry)
	f.Shape = shape
	if shape != nil && !problems.Refused() {
		problems = append(problems, suspectSwap(shape, rules.Countries)...)
	}
	return f, append(v.problems, problems.under("/geometry")...)
}

func (v *judge) altID(id []byte) string {
	if id == nil || isNull(id) {
		v.add(RuleAltIDMissing, Error, "/id", nil, "the feature has no id", "give it the id you know it by")
		return ""
	}
	text, _ := asText(id)
	if n := utf8.RuneCountInString(text); n >= maxAltID {
		v.add(RuleAltIDLong, Error, "/id", nil, fmt.Sprintf("the id has %d characters", n),
			fmt.Sprintf("use fewer than %d", maxAltID))
	}
	if id[0] != '"' {
		v.add(RuleAltIDForm, Warning, "/id", nil, "the id is not a string", "write it as a string")
	} else if strings.TrimSpace(text) == "" {
		v.add(RuleAltIDForm, Warning, "/id", nil, "the id is blank", "give it the id you know it by")
	}
	return text
}

func (v *judge) period(properties []byte, now time.Time) (p Period) {
	read := func(name string) (t Time, ok bool) {
		pointer := "/properties/" + name
		value, found := field(properties, name)
		if !found || isNull(value) {
			v.add(RuleTimeMissing, Error, pointer, nil, name+" is missing", "write a time such as 2024-01-01T00:00:00Z")
			return 0, false
		}
		text, _ := asText(value)
		t, zone, err := parseTime(text, now)
		if err != nil {
			v.add(RuleTimeSyntax, Error, pointer, nil, err.Error(), "write a time such as 2024-01-01T00:00:00Z")
			return 0, false
		}
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			if !zone {
				v.add(RuleTimeZone, Warning, pointer, nil, name+" has no zone; it was read as UTC: "+t.String(),
					"write the zone, such as Z at the end")
			} else {
				v.add(RuleTimeForm, Warning, pointer, nil, name+" is not RFC 3339; it was read as "+t.String(),
					"write a time such as 2024-01-01T00:00:00Z")
			}
		}
		return t, true
	}
	start, ok1 := read("start_at")
	end, ok2 := read("end_at")
	if ok1 && ok2 && !longEnough(start, end) {
		v.add(RulePeriod, Error, "/properties/end_at", nil, "end_at is not later than start_at by more than one day",
			"let the period last more than 24 hours")
	}
	return Period{start, end}
}

// longEnough is end_at > start_at + 1 day, which must itself be a time.
func longEnough(start, end Time) bool {
	switch {
	case start.IsFinite() && start+day >= afterTime:
		return false
	case start == Forever || end == Always:
		return false
	case start == Always || end == Forever:
		return true
	}
	return end > start+day
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
// AUTHORITATIVE_GIS. The database knows none of it: these are warnings.
// Pointers are from the object that holds the fields.
func CheckAttributes(a Attributes) Problems {
	v := &judge{}
	switch a.SourceType {
	case "", "FIELD", "FACILITY":
	case "DEVICE":
		if a.MeasurementPointID == "" {
			v.add(RuleMeasurement, Warning, "/measurement_point_id", nil, "a DEVICE has no measurement_point_id", "give the measuring point's id")
		}
	case "PROGRAM", "JURISDICTIONAL":
		if len(a.ConstituentSSIDs) == 0 {
			v.add(RuleConstituents, Warning, "/constituent_ssids", nil, "a "+a.SourceType+" has no constituent_ssids", "list the SSIDs it is made of")
		}
		if a.SourceType == "JURISDICTIONAL" && a.GeometrySource != "AUTHORITATIVE_GIS" {
			v.add(RuleGeometrySource, Warning, "/geometry_source", nil, "a JURISDICTIONAL source has another geometry_source than AUTHORITATIVE_GIS",
				"take the boundary from an authority and say AUTHORITATIVE_GIS")
		}
	default:
		v.add(RuleSourceType, Warning, "/source_type", nil, "source_type "+clip([]byte(a.SourceType))+" is not known",
			"use FIELD, FACILITY, DEVICE, PROGRAM or JURISDICTIONAL")
	}
	return v.problems
}

// attributesIn judges the attributes among a feature's properties, if there
// are any.
func attributesIn(properties []byte) Problems {
	value, ok := field(properties, "source_type")
	if !ok || isNull(value) {
		return nil
	}
	text := func(name string) string {
		if value, ok := field(properties, name); ok {
			s, _ := asText(value)
			return s
		}
		return ""
	}
	a := Attributes{
		SourceType:         text("source_type"),
		GeometrySource:     text("geometry_source"),
		MeasurementPointID: text("measurement_point_id"),
	}
	if list, ok := field(properties, "constituent_ssids"); ok && list[0] == '[' {
		jsonwalk.Elements(list, func(_ int, item []byte) bool {
			s, _ := asText(item)
			a.ConstituentSSIDs = append(a.ConstituentSSIDs, s)
			return true
		})
	}
	return CheckAttributes(a)
}

// SplitCollection judges the frame of a GeoJSON FeatureCollection as the
// database does, and returns its features' texts, each to be judged by
// [ParseFeature], on as many cores as there are. When the problems are
// [Problems.Refused] there are none.
//
// What is no JSON within a feature is for ParseFeature to find.
func SplitCollection(text []byte) ([]json.RawMessage, Problems) {
	list, frame := jsonwalk.Cut(text[jsonwalk.SkipSpace(text, 0):], "features")
	items, inner := jsonwalk.CutElements(list)
	if !json.Valid(frame) || list != nil && !json.Valid(inner) {
		return nil, jsonProblem("the collection is no JSON: " + jsonError(text))
	}
	if fault := cmp.Or(jsonbFault(frame), jsonbFault(inner)); fault != "" {
		return nil, jsonProblem(fault)
	}
	refuse := func(pointer, message, advice string) Problems {
		return Problems{{Rule: RuleCollection, Severity: Error, Pointer: pointer, Message: message, Advice: advice}}
	}
	var problems Problems
	typ, ok := field(frame, "type")
	switch {
	case ok && isNull(typ):
		// To SQL a null is neither equal nor unequal: the database takes it.
		problems = append(problems, Problem{
			Rule: RuleFeatureType, Severity: Warning, Pointer: "/type", Message: "the type is null", Advice: `write "FeatureCollection"`,
		})
	case ok:
		name, _ := asText(typ)
		ok = typ[0] == '"' && name == "FeatureCollection"
	}
	if !ok {
		return nil, refuse("/type", `the type is not "FeatureCollection"`, "write a GeoJSON FeatureCollection (RFC 7946, 3.3)")
	}
	if list == nil || list[0] != '[' {
		return nil, refuse("/features", "features is not an array", "write the features as an array")
	}
	features := make([]json.RawMessage, len(items))
	for i, item := range items {
		features[i] = item
	}
	return features, problems
}

// ParseCollection reads and judges a whole FeatureCollection, one feature
// after the other, with pointers from the collection. The ledger takes it as a
// whole, and only when the problems are not [Problems.Refused].
func ParseCollection(text []byte, rules Rules) ([]Feature, Problems) {
	texts, problems := SplitCollection(text)
	features := make([]Feature, len(texts))
	for i, one := range texts {
		f, ps := ParseFeature(one, rules)
		features[i] = f
		problems = append(problems, ps.under(fmt.Sprintf("/features/%d", i))...)
	}
	return features, rules.apply(problems)
}
