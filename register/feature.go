package register

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/wire"
)

// mapping says where METI's fields stand in the input.
type mapping struct {
	id         string // a property; empty for the Feature's id
	start, end source
}

// source is a property, or one value for all features.
type source struct {
	property string
	value    json.RawMessage
}

// sourceOf takes what reads as a date for the date itself.
func sourceOf(text, standard string) source {
	if text == "" {
		return source{property: standard}
	}
	if t, err := wire.ParseTime(text); err == nil {
		value, _ := json.Marshal(t.String())
		return source{property: standard, value: value}
	}
	return source{property: text}
}

func (s source) in(properties map[string]json.RawMessage) json.RawMessage {
	if s.value != nil {
		return s.value
	}
	return properties[s.property]
}

func newMapping(o Options) mapping {
	return mapping{id: o.IDProperty, start: sourceOf(o.StartProperty, "start_at"), end: sourceOf(o.EndProperty, "end_at")}
}

// feature is one feature of the input, as it is to be sent.
type feature struct {
	altID    string
	period   ledger.Period
	geometry json.RawMessage // a part of what was read
	shape    *ledger.Shape   // nil until it is needed, see parse
	outline  *outline
	identity hash
	form     hash // of the geometry alone
	problems ledger.Problems
	valid    bool
}

// read maps and judges one feature of the input.
func (m mapping) read(raw []byte) (feature, error) {
	var in struct {
		Type       json.RawMessage `json:"type"`
		ID         json.RawMessage `json:"id"`
		Properties json.RawMessage `json:"properties"`
		Geometry   json.RawMessage `json:"geometry"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return feature{}, fmt.Errorf("not a GeoJSON Feature: %w", err)
	}
	var properties map[string]json.RawMessage
	if len(in.Properties) > 0 && in.Properties[0] == '{' {
		if err := json.Unmarshal(in.Properties, &properties); err != nil {
			return feature{}, fmt.Errorf("not a GeoJSON Feature: %w", err)
		}
	}
	id := in.ID
	if m.id != "" {
		id = properties[m.id]
	}
	altID, err := text(id)
	if err != nil {
		return feature{}, fmt.Errorf("the id %s is neither a string nor a number", clip(string(id), 60))
	}
	start, end := m.start.in(properties), m.end.in(properties)
	for _, value := range []json.RawMessage{start, end} {
		if word := relative(value); word != "" {
			return feature{altID: altID}, fmt.Errorf("the date %q means another day in the next run; write it as 2026-01-31T00:00:00Z", word)
		}
	}
	// The ledger judges what is sent: the mapped feature, in the form of the
	// input, so that its advice is about what stands there.
	var b bytes.Buffer
	b.Grow(len(in.Geometry) + 256)
	member := func(name string, value json.RawMessage) {
		if value == nil {
			value = json.RawMessage("null")
		}
		b.WriteString(name)
		b.Write(value)
	}
	quoted, err := json.Marshal(altID)
	if err != nil {
		return feature{}, err
	}
	if isNull(id) {
		quoted = nil
	}
	member(`{"type":`, in.Type)
	member(`,"id":`, quoted)
	member(`,"properties":{"start_at":`, start)
	member(`,"end_at":`, end)
	member(`},"geometry":`, in.Geometry)
	b.WriteString("}")
	judged, problems := ledger.ParseFeature(b.Bytes(), ledger.Rules{})
	f := feature{altID: altID, period: judged.Period, shape: judged.Shape, geometry: in.Geometry, problems: problems}
	if problems.Invalid() || f.parse() != nil {
		return f, nil
	}
	f.valid = true
	f.form = f.outline.hash()
	f.identity = identityOf(f.altID, f.period, f.form)
	return f, nil
}

// parse reads the geometry, for who compares it.
func (f *feature) parse() (err error) {
	if f.outline != nil {
		return nil
	}
	if f.shape == nil {
		if f.shape, err = ledger.ParseGeometry(f.geometry); err != nil {
			return err
		}
	}
	o := outlineOf(f.shape)
	f.outline = &o
	return nil
}

func identityOf(altID string, period ledger.Period, form hash) hash {
	return sum(fmt.Appendf(nil, "%d %d %x %s", period.Start, period.End, form, altID))
}

// text reads a string, or a number as it is written.
func text(value json.RawMessage) (string, error) {
	if isNull(value) {
		return "", nil
	}
	if value[0] == '"' {
		var s string
		err := json.Unmarshal(value, &s)
		return s, err
	}
	var number json.Number
	err := json.Unmarshal(value, &number)
	return number.String(), err
}

func isNull(value json.RawMessage) bool { return len(value) == 0 || string(value) == "null" }

// relative gives the word of a date that PostgreSQL, and so the ledger, reads
// by the day it is read on.
func relative(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	lower := strings.ToLower(s)
	for _, word := range []string{"now", "today", "tomorrow", "yesterday"} {
		if strings.Contains(lower, word) {
			return s
		}
	}
	return ""
}

// reason says why a feature is invalid, in the input's own names.
func (m mapping) reason(problems ledger.Problems) string {
	err := problems.Err()
	if err == nil {
		return ""
	}
	reason := err.Error()
	if m.start.property != "start_at" {
		reason = strings.ReplaceAll(reason, "/properties/start_at", "/properties/"+m.start.property)
	}
	if m.end.property != "end_at" {
		reason = strings.ReplaceAll(reason, "/properties/end_at", "/properties/"+m.end.property)
	}
	if m.id != "" {
		reason = strings.ReplaceAll(reason, " at /id ", " at /properties/"+m.id+" ")
	}
	return reason
}

// wire is the feature as it goes over the wire. Its times are what identity is
// made of: microseconds in UTC.
func (f *feature) wire() api.Feature {
	return api.Feature{
		ID:       f.altID,
		Geometry: f.geometry,
		Properties: api.FeatureProperties{
			StartAt: wire.TimeFromText(f.period.Start.String()),
			EndAt:   wire.TimeFromText(f.period.End.String()),
		},
	}
}
