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

// sourceOutput writes sources.
type sourceOutput struct {
	*output[*api.Source]
	app   *app
	own   map[string]bool            // the account's, of those that were seen
	whole bool                       // own holds all of them: what is not in it is another custodian's
	news  map[string]map[string]bool // what METI answered that this version does not know, by its kind
}

func (a *app) sourceOutput(format string) *sourceOutput {
	o := &sourceOutput{app: a, own: map[string]bool{}, news: map[string]map[string]bool{}}
	o.output = newOutput(a, format, form[*api.Source]{
		columns: []column[*api.Source]{
			{head: "SSID", cell: func(s *api.Source) string { return s.ID }},
			{head: "ALT ID", cell: func(s *api.Source) string { return s.AltID }, least: 16},
			{head: "COUNTRY", cell: func(s *api.Source) string { return s.Country }, least: 7, drop: 2},
			{head: "HECTARES", cell: func(s *api.Source) string { return hectares(s.Hectares) }, right: true},
			{head: "START", cell: func(s *api.Source) string { return day(s.StartAt.String()) }, drop: 1},
			{head: "END", cell: func(s *api.Source) string { return day(s.EndAt.String()) }, drop: 3},
			{head: "METHODOLOGY", cell: func(s *api.Source) string { return string(s.Methodology) }, least: 11, drop: 4},
			{head: "CONFLICT", cell: o.conflict, red: (*api.Source).InConflict, least: 20},
		},
		feature: sourceFeature,
	})
	return o
}

// see takes note of a source, which is one of the account.
func (o *sourceOutput) see(s *api.Source) {
	if o.format == "table" {
		o.own[s.ID] = true
	}
	for name := range s.AdditionalProperties {
		if s.HasField(name) {
			o.note("fields of another type than expected", name)
		} else {
			o.note("members that this version does not know", name)
		}
	}
	noteValues(o, "methodology", s.Methodology)
	noteValues(o, "source_type", s.SourceType)
	noteValues(o, "geometry_source", s.GeometrySource)
	noteValues(o, "attribute_type", s.AttributeType...)
}

func noteValues[T interface {
	~string
	Known() bool
}](o *sourceOutput, field string, values ...T) {
	for _, value := range values {
		if value != "" && !value.Known() {
			o.note("values that this version does not know", field+" "+string(value))
		}
	}
}

func (o *sourceOutput) note(kind, what string) {
	if o.news[kind] == nil {
		o.news[kind] = map[string]bool{}
	}
	o.news[kind][what] = true
}

// tellNews says, under -v, what METI answered that this version does not know.
func (o *sourceOutput) tellNews() {
	if !o.app.verbose {
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(o.news)) {
		o.app.say("METI answered %s: %s", kind, printable(strings.Join(slices.Sorted(maps.Keys(o.news[kind])), ", ")))
	}
}

// conflict is a conflict in words: "2: 1 own, 1 other, 43 %".
func (o *sourceOutput) conflict(s *api.Source) string {
	if !s.InConflict() {
		return "-"
	}
	own, parts := 0, []string{}
	for _, id := range s.ConflictWith {
		if o.own[id] {
			own++
		}
	}
	other, name := len(s.ConflictWith)-own, "not listed"
	if o.whole {
		name = "other"
	}
	if own > 0 {
		parts = append(parts, fmt.Sprintf("%d own", own))
	}
	if other > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", other, name))
	}
	if len(parts) == 0 {
		parts = []string{"yes"}
	}
	if s.PercentOverlap != nil {
		parts = append(parts, percent(*s.PercentOverlap))
	}
	text := strings.Join(parts, ", ")
	if own > 0 && other > 0 {
		text = fmt.Sprintf("%d: %s", own+other, text)
	}
	return text
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
	bare := *s
	bare.Geometry, bare.GeoJSON = nil, nil
	return json.Marshal(struct {
		Type       string          `json:"type"`
		ID         string          `json:"id"`
		Geometry   json.RawMessage `json:"geometry"`
		Properties *api.Source     `json:"properties"`
	}{"Feature", s.AltID, geometryOf(s), &bare})
}

// geometryOf is a source's geometry as GeoJSON, null without one.
func geometryOf(s *api.Source) json.RawMessage {
	if len(s.Geometry) > 0 {
		return s.Geometry
	}
	return s.GeoJSON
}
