package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/meti-go/meti/register"
)

// submitFormats are the values of submit's --output.
var submitFormats = []string{"table", "ndjson", "csv", "geojson"}

// submitOutput writes the results of submit one after another.
type submitOutput struct {
	format string
	rows   *rows // table and ndjson
	out    *bufio.Writer
	csv    *csv.Writer
	count  int
}

func newSubmitOutput(w io.Writer, format string) *submitOutput {
	o := &submitOutput{format: format}
	switch format {
	case "csv":
		o.csv = csv.NewWriter(w)
	case "geojson":
		o.out = bufio.NewWriterSize(w, 64<<10)
	default:
		o.rows = newRows(w, format, "ALT ID", "OUTCOME", "SSID", "HECTARES", "CONFLICT", "REASON")
	}
	return o
}

func (o *submitOutput) add(r register.Result) error {
	defer func() { o.count++ }()
	switch o.format {
	case "csv":
		if o.count == 0 {
			if err := o.csv.Write([]string{"alt_id", "outcome", "id", "hectares", "conflict", "conflict_with", "reason"}); err != nil {
				return err
			}
		}
		hectares, conflict := "", ""
		if r.Hectares != nil {
			hectares = strconv.FormatFloat(*r.Hectares, 'f', -1, 64)
		}
		if r.Conflict != nil {
			conflict = strconv.FormatBool(*r.Conflict)
		}
		return o.csv.Write([]string{r.AltID, string(r.Outcome), r.ID, hectares, conflict, strings.Join(r.ConflictWith, " "), r.Reason})
	case "geojson":
		return o.addFeature(r)
	}
	return o.rows.add(r, func() []string { return resultCells(r) })
}

// addFeature writes the feature as it was read, with the properties ssid, and
// meti for all of the result.
func (o *submitOutput) addFeature(r register.Result) error {
	raw, err := r.Feature()
	if err != nil {
		return err
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
		return err
	}
	delete(properties, "ssid")
	if r.ID != "" {
		if properties["ssid"], err = json.Marshal(r.ID); err != nil {
			return err
		}
	}
	if feature["properties"], err = json.Marshal(properties); err != nil {
		return err
	}
	text, err := json.Marshal(feature)
	if err != nil {
		return err
	}
	before := ",\n"
	if o.count == 0 {
		before = "{\"type\":\"FeatureCollection\",\"features\":[\n"
	}
	_, _ = o.out.WriteString(before)
	_, err = o.out.Write(text)
	return err
}

// end completes the output. After a failure an output without results stays
// empty.
func (o *submitOutput) end(failed error) error {
	if failed != nil && o.count == 0 {
		return nil
	}
	switch o.format {
	case "csv":
		o.csv.Flush()
		return o.csv.Error()
	case "geojson":
		if o.count == 0 {
			_, _ = o.out.WriteString("{\"type\":\"FeatureCollection\",\"features\":[")
		}
		_, _ = o.out.WriteString("\n]}\n")
		return o.out.Flush()
	}
	return o.rows.end()
}

// resultCells is a result as a line of a table.
func resultCells(r register.Result) []string {
	hectares, conflict := "-", "-"
	if r.Hectares != nil {
		hectares = strconv.FormatFloat(*r.Hectares, 'f', 4, 64)
	}
	if r.Conflict != nil && *r.Conflict {
		conflict = "yes"
		if len(r.ConflictWith) > 0 {
			conflict = strings.Join(r.ConflictWith, ",")
		}
	}
	id := r.ID
	if id == "" {
		id = "-"
	}
	return []string{r.AltID, string(r.Outcome), id, hectares, conflict, r.Reason}
}
