package main

import (
	"encoding/json"
	"strconv"

	"github.com/meti-go/meti/register"
)

// resultForm is how the results of submit are written.
func resultForm(w *whose) form[register.Result] {
	return form[register.Result]{
		columns: []column[register.Result]{
			{head: "ALT ID", cell: func(r register.Result) string { return r.AltID }, least: 8},
			{head: "OUTCOME", cell: func(r register.Result) string { return string(r.Outcome) }},
			{head: "SSID", cell: func(r register.Result) string { return orDash(r.ID) }},
			{head: "HECTARES", cell: func(r register.Result) string {
				if r.Hectares == nil {
					return "-"
				}
				return strconv.FormatFloat(*r.Hectares, 'f', 4, 64)
			}, right: true, drop: 1},
			{head: "CONFLICT", late: func(r register.Result) func() string {
				return func() string { return w.conflict(conflicts(r), r.ConflictWith, nil) }
			}, red: conflicts, least: 12},
			{head: "REASON", cell: func(r register.Result) string { return r.Reason }, least: 10},
		},
		feature: resultFeature,
	}
}

func conflicts(r register.Result) bool { return r.Conflict != nil && *r.Conflict }

// resultFeature is the feature as it was read, with the properties ssid, and
// meti for all of the result.
func resultFeature(r register.Result) ([]byte, error) {
	raw, err := r.Feature()
	if err != nil {
		return nil, err
	}
	var feature, properties map[string]json.RawMessage
	if err := json.Unmarshal(raw, &feature); err != nil || feature == nil {
		// What is no object cannot carry a result.
		feature = map[string]json.RawMessage{"type": json.RawMessage(`"Feature"`), "geometry": json.RawMessage("null")}
	}
	if json.Unmarshal(feature["properties"], &properties) != nil || properties == nil {
		properties = map[string]json.RawMessage{}
	}
	if properties["meti"], err = json.Marshal(r); err != nil {
		return nil, err
	}
	delete(properties, "ssid")
	if r.ID != "" {
		if properties["ssid"], err = json.Marshal(r.ID); err != nil {
			return nil, err
		}
	}
	if feature["properties"], err = json.Marshal(properties); err != nil {
		return nil, err
	}
	return json.Marshal(feature)
}
