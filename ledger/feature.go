package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

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

// ParseFeature reads and judges one GeoJSON Feature and returns all its
// problems, with pointers from the feature. The feature is as complete as the
// problems allow; use it only when they are not [Problems.Refused].
func ParseFeature(text []byte, rules Rules) (Feature, Problems) {
	if ps := jsonProblems(text, "feature"); ps != nil {
		return Feature{}, ps
	}
	v := &judge{}
	var typ, properties []byte
	var values Values
	text = bytes.TrimSpace(text)
	if text[0] != '{' {
		v.add(RuleGeometryMissing, "", nil, "the feature is not an object", "write a GeoJSON Feature (RFC 7946, 3.2)")
		return Feature{}, rules.Apply(v.problems)
	}
	members(text, map[string]*[]byte{"type": &typ, "id": &values.ID, "properties": &properties, "geometry": &values.Geometry})
	if string(typ) != `"Feature"` {
		v.add(RuleFeatureType, "/type", nil, `the type is not "Feature"`, `write "Feature"`)
	}
	members(properties, map[string]*[]byte{"start_at": &values.Start, "end_at": &values.End})
	f, problems := JudgeValues(values, rules)
	return f, append(rules.Apply(v.problems), problems...)
}

// Values are what METI keeps of a feature, as they stand in its text; nil for
// what is not there.
type Values struct {
	ID, Start, End, Geometry []byte
}

// JudgeValues judges a feature by its values, wherever they come from: each has
// to be JSON. Pointers are those of a GeoJSON Feature, such as
// "/properties/start_at". It is the part of [ParseFeature] behind the reading.
func JudgeValues(values Values, rules Rules) (Feature, Problems) {
	v := &judge{}
	for _, one := range []struct {
		pointer string
		value   *[]byte
	}{
		{"/id", &values.ID},
		{"/properties/start_at", &values.Start},
		{"/properties/end_at", &values.End},
		{"/geometry", &values.Geometry},
	} {
		if fault := textFault(*one.value); fault != "" {
			v.add(RuleText, one.pointer, nil, fault, "write it in UTF-8")
			*one.value = nil
		} else if isNull(*one.value) {
			*one.value = nil
		}
	}
	missing := len(v.problems) == 0 // what cannot be read is there all the same
	f := Feature{AltID: v.altID(values.ID, missing), Period: v.period(values, missing), Geometry: values.Geometry}
	if values.Geometry == nil && missing {
		v.add(RuleGeometryMissing, "/geometry", nil, "the feature has no geometry", "write a Polygon or MultiPolygon")
	}
	if values.Geometry != nil {
		shape, problems := judgeGeometry(values.Geometry, rules.Countries)
		f.Shape = shape
		v.problems = append(v.problems, problems.under("/geometry")...)
	}
	return f, rules.Apply(v.problems)
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
	v := &judge{problems: append(g.notes, CheckCRS(g.crs)...)}
	rings := 0
	for range g.rings() {
		rings++
	}
	if s.count > MaxVertices || rings > MaxRings {
		v.add(RuleTooManyVertices, "", nil,
			fmt.Sprintf("the geometry has %d positions in %d rings, and may have %d in %d", s.count, rings, MaxVertices, MaxRings),
			"simplify it, or register its parts as sources of their own")
		return s, v.problems
	}
	v.geometry(g)
	v.advise(g, s)
	if !v.problems.Refused() {
		v.suspectSwap(s, countries)
	}
	return s, v.problems
}

func (v *judge) altID(id []byte, missing bool) string {
	if id == nil {
		if missing {
			v.add(RuleAltIDMissing, "/id", nil, "the feature has no id", "give it the id you know it by")
		}
		return ""
	}
	text, ok := asText(id)
	switch c := id[0]; {
	case !ok:
		v.add(RuleAltIDType, "/id", nil, "the id is neither a string nor a number that can be one", "write it as a string")
	case c != '"' && bytes.ContainsAny(id, ".eE"):
		v.add(RuleAltIDForm, "/id", nil, "the id is the number "+clip(id)+", read as "+strconv.Quote(text), "write it as a string")
	case strings.TrimSpace(text) == "":
		v.add(RuleAltIDBlank, "/id", nil, "the id is blank", "give it the id you know it by")
	}
	if n := utf8.RuneCountInString(text); n >= maxAltID {
		v.add(RuleAltIDLong, "/id", nil, fmt.Sprintf("the id has %d characters", n),
			fmt.Sprintf("use fewer than %d", maxAltID))
	}
	return text
}

func (v *judge) period(values Values, missing bool) (p Period) {
	read := func(name string, value []byte) (t Time, ok bool) {
		pointer := "/properties/" + name
		if value == nil {
			if missing {
				v.add(RuleTimeMissing, pointer, nil, name+" is missing", timeForExample)
			}
			return 0, false
		}
		text, ok := asText(value)
		if !ok {
			v.add(RuleTimeSyntax, pointer, nil, name+" is not text", timeForExample)
			return 0, false
		}
		t, zone, err := parseTime(text)
		if fault := new(TimeError); errors.As(err, &fault) {
			v.add(RuleTimeSyntax, pointer, nil, name+" "+fault.about(), fault.Advice)
			return 0, false
		}
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			if !zone {
				v.add(RuleTimeZone, pointer, nil, name+" has no zone; it was read as UTC: "+t.String(),
					"write the zone, such as Z at the end")
			} else {
				v.add(RuleTimeForm, pointer, nil, name+" is not RFC 3339; it was read as "+t.String(),
					timeForExample)
			}
		}
		return t, true
	}
	start, ok1 := read("start_at", values.Start)
	end, ok2 := read("end_at", values.End)
	if ok1 && ok2 && end <= start+day {
		v.add(RulePeriod, "/properties/end_at", nil, "end_at is not later than start_at by more than one day",
			"let the period last more than 24 hours")
	}
	return Period{start, end}
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
func CheckAttributes(a Attributes) Problems {
	v := &judge{}
	switch a.SourceType {
	case "", "FIELD", "FACILITY":
	case "DEVICE":
		if a.MeasurementPointID == "" {
			v.add(RuleMeasurement, "/measurement_point_id", nil, "a DEVICE has no measurement_point_id", "give the measuring point's id")
		}
	case "PROGRAM", "JURISDICTIONAL":
		if len(a.ConstituentSSIDs) == 0 {
			v.add(RuleConstituents, "/constituent_ssids", nil, "a "+a.SourceType+" has no constituent_ssids", "list the SSIDs it is made of")
		}
		if a.SourceType == "JURISDICTIONAL" && a.GeometrySource != "AUTHORITATIVE_GIS" {
			v.add(RuleGeometrySource, "/geometry_source", nil, "a JURISDICTIONAL source has another geometry_source than AUTHORITATIVE_GIS",
				"take the boundary from an authority and say AUTHORITATIVE_GIS")
		}
	default:
		v.add(RuleSourceType, "/source_type", nil, "source_type "+clip([]byte(a.SourceType))+" is not known",
			"use FIELD, FACILITY, DEVICE, PROGRAM or JURISDICTIONAL")
	}
	return v.problems
}

// ParseCollection reads and judges a whole FeatureCollection on all cores, with
// pointers from the collection. The ledger takes it as a whole, and only when the
// problems are not [Problems.Refused].
func ParseCollection(text []byte, rules Rules) (features []Feature, problems Problems) {
	list, problems := frame(text)
	var items [][]byte
	scan.Elements(list, func(_ int, item []byte) bool {
		items = append(items, item)
		return true
	})
	features = make([]Feature, len(items))
	found := make([]Problems, len(items))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, item := range items {
		group.Go(func() (err error) {
			defer func() {
				if fault := recover(); fault != nil {
					err = fmt.Errorf("judging feature %d: %v", i, fault)
				}
			}()
			features[i], found[i] = ParseFeature(item, rules)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		panic(err) // where the caller can recover, as it could without goroutines
	}
	for i, ps := range found {
		problems = append(problems, ps.under(fmt.Sprintf("/features/%d", i))...)
	}
	return features, rules.Apply(problems)
}

// frame judges what stands around the features of a collection, and gives their
// array, nil where the problems are [Problems.Refused]. Text in a feature that
// METI cannot hold is for ParseFeature to find.
func frame(text []byte) (features []byte, problems Problems) {
	if err := scan.Check(text); err != nil {
		return nil, jsonProblem("the collection is no JSON: " + err.Error())
	}
	features, rest := scan.Cut(text, "features")
	if fault := textFault(rest); fault != "" {
		return nil, jsonProblem(fault)
	}
	if string(field(rest, "type")) != `"FeatureCollection"` {
		return nil, Problems{NewProblem(RuleCollection, "/type", `the type is not "FeatureCollection"`, "write a GeoJSON FeatureCollection (RFC 7946, 3.3)")}
	}
	if features == nil || features[0] != '[' {
		return nil, Problems{NewProblem(RuleCollection, "/features", "features is not an array", "write the features as an array")}
	}
	return features, nil
}
