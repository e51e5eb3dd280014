package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/meti-go/meti/wire"
)

// ParseFeatures reads GeoJSON as people have it, for [SourcesService.Create]: a
// FeatureCollection, or one Feature. Of each feature it takes
//
//   - id: a text, or a number as it is written;
//   - properties.start_at and properties.end_at: ISO 8601, in UTC where there is
//     no zone; what is absent or null is left for the caller to fill in;
//   - geometry: as the bytes it is.
//
// Other properties and members are left alone. What is no GeoJSON, an id of
// another kind and a date that is none are errors, which name the feature by its
// index. Whether a boundary or a period is good is for the ledger to say.
//
// Files whose ids and dates go by other names are for package register and the
// command "meti submit".
func ParseFeatures(geojson []byte) (FeatureCollection, error) {
	geojson = bytes.TrimPrefix(geojson, []byte("\ufeff"))
	var top struct {
		Type     string            `json:"type"`
		Features []json.RawMessage `json:"features"`
	}
	if err := json.Unmarshal(geojson, &top); err != nil {
		return FeatureCollection{}, fmt.Errorf("api: this is no GeoJSON: %w", err)
	}
	switch top.Type {
	case "FeatureCollection":
	case "Feature":
		top.Features = []json.RawMessage{geojson}
	default:
		return FeatureCollection{}, fmt.Errorf("api: the GeoJSON is of type %q, not FeatureCollection or Feature", top.Type)
	}
	list := FeatureCollection{Features: make([]Feature, len(top.Features))}
	for i, text := range top.Features {
		var err error
		if list.Features[i], err = parseFeature(text); err != nil {
			return FeatureCollection{}, fmt.Errorf("api: features[%d]: %w", i, err)
		}
	}
	return list, nil
}

func parseFeature(text []byte) (Feature, error) {
	var raw struct {
		Type       string          `json:"type"`
		ID         any             `json:"id"`
		Geometry   json.RawMessage `json:"geometry"`
		Properties struct {
			StartAt any `json:"start_at"`
			EndAt   any `json:"end_at"`
		} `json:"properties"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // which keeps the digits of an id
	if err := decoder.Decode(&raw); err != nil {
		return Feature{}, err
	}
	if raw.Type != "Feature" {
		return Feature{}, fmt.Errorf("the type is %q, not Feature", raw.Type)
	}
	feature := Feature{Geometry: raw.Geometry}
	switch id := raw.ID.(type) {
	case string:
		feature.ID = id
	case json.Number:
		feature.ID = id.String()
	case nil:
		return Feature{}, errors.New("the id is missing")
	default:
		return Feature{}, fmt.Errorf("the id is %.40s, not a text or a number", written(id))
	}
	var err error
	if feature.Properties.StartAt, err = parseDate("start_at", raw.Properties.StartAt); err != nil {
		return Feature{}, err
	}
	feature.Properties.EndAt, err = parseDate("end_at", raw.Properties.EndAt)
	return feature, err
}

func parseDate(name string, value any) (wire.Time, error) {
	if value == nil {
		return wire.Time{}, nil
	}
	text, ok := value.(string)
	if !ok {
		return wire.Time{}, fmt.Errorf("properties.%s is %.40s, not a date in a text", name, written(value))
	}
	date, err := wire.ParseTime(text)
	if err != nil {
		return wire.Time{}, fmt.Errorf("properties.%s: %w", name, err)
	}
	return date, nil
}
