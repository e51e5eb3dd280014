package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"

	"github.com/meti-go/meti/register"
)

// planRow is a row of plan.
type planRow struct {
	AltID        string           `json:"alt_id"`
	State        register.State   `json:"state"`
	ID           string           `json:"id,omitempty"`
	Conflict     *bool            `json:"conflict"`
	ConflictWith []register.Party `json:"conflict_with,omitempty"`
	Reason       string           `json:"reason,omitempty"`
}

// resultRow is a row of submit.
type resultRow struct {
	AltID        string           `json:"alt_id"`
	Outcome      register.State   `json:"outcome"`
	ID           string           `json:"id,omitempty"`
	Country      string           `json:"country,omitempty"`
	Hectares     *float64         `json:"hectares,omitempty"`
	Conflict     *bool            `json:"conflict"`
	ConflictWith []register.Party `json:"conflict_with,omitempty"`
	Reason       string           `json:"reason,omitempty"`
}

// write prints a row for each feature.
func (s *submitting) write(job *register.Job) error {
	s.progress.stop()
	if s.quiet && !s.all {
		return nil
	}
	out := newOutput(s.app, *s.format, s.rowForm())
	for row, err := range job.Rows() {
		if err != nil {
			return err
		}
		if !s.all && (row.State == register.Registered || row.State == register.New) && !inConflict(row) && row.Reason == "" {
			continue
		}
		if row.State == register.New && !s.dryRun { // nothing was sent
			row.State = register.Pending
		}
		if err := out.add(row); err != nil {
			return err
		}
	}
	if out.count == 0 && !s.all {
		return nil
	}
	return out.end()
}

func inConflict(r register.Row) bool { return r.Conflict != nil && *r.Conflict }

// rowForm is how rows are written.
func (s *submitting) rowForm() form[register.Row] {
	state, shape := "OUTCOME", func(r register.Row) any {
		return resultRow{r.AltID, r.State, r.ID, r.Country, r.Hectares, r.Conflict, r.ConflictWith, r.Reason}
	}
	if s.dryRun {
		state, shape = "STATE", func(r register.Row) any {
			return planRow{r.AltID, r.State, r.ID, r.Conflict, r.ConflictWith, r.Reason}
		}
	}
	return form[register.Row]{
		shape: shape,
		columns: []column{
			{head: "ALT ID", least: 8}, {head: state}, {head: "SSID"}, {head: "HECTARES", right: true, drop: 1},
			{head: "CONFLICT", red: true, least: 12}, {head: "REASON", least: 10},
		},
		cells: func(r register.Row) []string {
			return []string{r.AltID, r.State.String(), r.ID, hectares(r.Hectares), conflictCell(r), r.Reason}
		},
		red:     inConflict,
		feature: func(r register.Row) ([]byte, error) { return rowFeature(r, shape(r)) },
	}
}

// conflictCell names what a feature conflicts with.
func conflictCell(r register.Row) string {
	if !inConflict(r) {
		return ""
	}
	var names []string
	for _, p := range r.ConflictWith {
		names = append(names, cmp.Or(p.AltID, p.ID))
	}
	return cmp.Or(strings.Join(names, ", "), "yes")
}

// rowFeature is the feature as it was read, with the properties ssid, and meti
// for all of the row.
func rowFeature(r register.Row, value any) ([]byte, error) {
	raw, err := r.Feature()
	if err != nil {
		return nil, err
	}
	var feature, properties map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&feature); err != nil || feature == nil {
		feature = map[string]any{"type": "Feature", "geometry": nil} // what is no object cannot carry a result
	}
	if properties, _ = feature["properties"].(map[string]any); properties == nil {
		properties = map[string]any{}
	}
	delete(properties, "ssid")
	if properties["meti"] = value; r.ID != "" {
		properties["ssid"] = r.ID
	}
	feature["properties"] = properties
	return json.Marshal(feature)
}
