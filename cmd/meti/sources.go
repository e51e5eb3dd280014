package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/meti-go/meti/api"
)

// sourceOutput writes sources of the account.
type sourceOutput struct {
	*output[*api.Source]
	own   map[string]bool // the account's, of those that were seen
	whole bool            // own holds all of them: what is not in it is another custodian's
	news  map[string]bool // what METI answered that this version does not know
}

func (a *app) sourceOutput(format string) *sourceOutput {
	o := &sourceOutput{own: map[string]bool{}, news: map[string]bool{}}
	o.output = newOutput(a, format, form[*api.Source]{
		columns: []column{
			{head: "SSID"},
			{head: "ALT ID", least: 16},
			{head: "COUNTRY", least: 7, drop: 2},
			{head: "HECTARES", right: true},
			{head: "START", drop: 1},
			{head: "END", drop: 3},
			{head: "METHODOLOGY", least: 11, drop: 4},
			{head: "CONFLICT", least: 20, red: true},
		},
		cells: func(s *api.Source) []string {
			return []string{s.ID, s.AltID, s.Country, hectares(s.Hectares), day(s.StartAt.String()), day(s.EndAt.String()),
				string(s.Methodology), o.conflict(s)}
		},
		red:     (*api.Source).InConflict,
		feature: sourceFeature,
	})
	return o
}

// add writes a source.
func (o *sourceOutput) add(s *api.Source) error {
	o.see(s)
	return o.output.add(s)
}

// see takes note of a source, also of one that is not written.
func (o *sourceOutput) see(s *api.Source) {
	if o.format == "table" {
		o.own[s.ID] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s.AdditionalProperties)) {
		if s.HasField(name) {
			o.note("field of another type than expected", name)
		} else {
			o.note("member that this version does not know", name)
		}
	}
	o.noteValue("methodology", string(s.Methodology), s.Methodology.Known())
	o.noteValue("source_type", string(s.SourceType), s.SourceType.Known())
	o.noteValue("geometry_source", string(s.GeometrySource), s.GeometrySource.Known())
	for _, kind := range s.AttributeType {
		o.noteValue("attribute_type", string(kind), kind.Known())
	}
}

func (o *sourceOutput) noteValue(field, value string, known bool) {
	if value != "" && !known {
		o.note("value that this version does not know", field+" "+value)
	}
}

// note says, under -v and once, what METI answered that this version does not know.
func (o *sourceOutput) note(kind, what string) {
	if o.app.verbose && !o.news[what] {
		o.news[what] = true
		o.app.say("METI answered a %s: %s", kind, printable(what))
	}
}

// conflict is a conflict in words: "2: 1 own, 1 other, 43 %".
func (o *sourceOutput) conflict(s *api.Source) string {
	if !s.InConflict() {
		return "-"
	}
	own := 0
	for _, id := range s.ConflictWith {
		if o.own[id] {
			own++
		}
	}
	other, name := len(s.ConflictWith)-own, "not listed"
	if o.whole {
		name = "other"
	}
	var parts []string
	if own > 0 {
		parts = append(parts, fmt.Sprintf("%d own", own))
	}
	if other > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", other, name))
	}
	if len(parts) == 0 {
		parts = []string{"yes"}
	}
	if len(parts) == 2 {
		parts[0] = fmt.Sprintf("%d: %s", own+other, parts[0])
	}
	if s.PercentOverlap != nil {
		parts = append(parts, percent(*s.PercentOverlap))
	}
	return strings.Join(parts, ", ")
}

// percent is a share in words.
func percent(share float64) string {
	switch p := 100 * share; {
	case p > 0 && p < 0.1:
		return "<0.1 %"
	case p < 10 && p != math.Trunc(p):
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}

// sourceFeature is a source as a GeoJSON Feature in the form that METI takes:
// its id is the alt_id. All else that is known stands in its properties.
func sourceFeature(s *api.Source) ([]byte, error) {
	return json.Marshal(struct {
		Type       string          `json:"type"`
		ID         string          `json:"id"`
		Geometry   json.RawMessage `json:"geometry"`
		Properties *api.Source     `json:"properties"`
	}{"Feature", s.AltID, geometryOf(s), withoutGeometry(s)})
}

// geometryOf is a source's geometry as GeoJSON, null without one.
func geometryOf(s *api.Source) json.RawMessage {
	if len(s.Geometry) > 0 {
		return s.Geometry
	}
	return s.GeoJSON
}

func withoutGeometry(s *api.Source) *api.Source {
	bare := *s
	bare.Geometry, bare.GeoJSON = nil, nil
	return &bare
}
