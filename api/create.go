package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// METI takes a registration in three forms [E][L][S]: a bare FeatureCollection,
// one beside the attributes that its features share, and one source, flat. What
// is missing and what is not JSON is refused here. Whether a boundary, a period or
// an id is good is for the ledger.

// encodeFeatures writes the first two forms.
func encodeFeatures(request SourceCreateFeatures) ([]byte, error) {
	collection := request.FeatureCollection
	if len(collection.Features) == 0 {
		return nil, errors.New("there is no feature to register")
	}
	for i, f := range collection.Features {
		err := check("id", f.ID, f.Geometry, map[string]*Time{"properties.start_at": &f.Properties.StartAt, "properties.end_at": &f.Properties.EndAt})
		if err != nil {
			return nil, fmt.Errorf("features[%d] (%.60q): %w", i, f.ID, err)
		}
	}
	shared := request
	shared.FeatureCollection = FeatureCollection{}
	if reflect.ValueOf(shared).IsZero() {
		return json.Marshal(collection)
	}
	return json.Marshal(request)
}

// encodeOne writes one source, flat.
func encodeOne(request SourceCreate) ([]byte, error) {
	if err := check("alt_id", request.AltID, request.Geometry, map[string]*Time{"start_at": request.StartAt, "end_at": request.EndAt}); err != nil {
		return nil, err
	}
	return json.Marshal(request)
}

// check refuses what is missing, and what cannot be written. A date that is nil
// may be.
func check(idName, id string, geometry json.RawMessage, dates map[string]*Time) error {
	if id == "" {
		return fmt.Errorf("%s is missing", idName)
	}
	for name, date := range dates {
		if date == nil {
			continue
		}
		if *date == (Time{}) {
			return fmt.Errorf("%s is missing", name)
		}
		if _, err := date.MarshalJSON(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	switch text := bytes.TrimSpace(geometry); {
	case len(text) == 0 || string(text) == "null":
		return errors.New("geometry is missing")
	case text[0] != '{' || !json.Valid(geometry):
		return errors.New("geometry is not a JSON object")
	}
	return nil
}

// ParseFeatures reads GeoJSON as people have it, for [SourcesService.Create]: a
// FeatureCollection, or one Feature. Of each feature it takes
//
//   - id: a text, or a number as it is written;
//   - properties.start_at and properties.end_at: ISO 8601, in UTC where there is
//     no zone; what is absent or null is left for the caller to fill in;
//   - geometry: with its own digits.
//
// Errors name the feature by its index. Whether a boundary or a period is good is for
// the ledger to say; files with other names for these are for "meti submit".
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
		if err := parseFeature(text, &list.Features[i]); err != nil {
			return FeatureCollection{}, fmt.Errorf("api: features[%d]: %w", i, err)
		}
	}
	return list, nil
}

func parseFeature(text []byte, to *Feature) error {
	var raw struct {
		Type       string            `json:"type"`
		ID         json.RawMessage   `json:"id"`
		Geometry   json.RawMessage   `json:"geometry"`
		Properties FeatureProperties `json:"properties"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*to = Feature{Geometry: raw.Geometry, Properties: raw.Properties}
	var number json.Number
	switch {
	case raw.Type != "Feature":
		return fmt.Errorf("the type is %q, not Feature", raw.Type)
	case raw.ID == nil || string(raw.ID) == "null":
		return errors.New("the id is missing")
	case json.Unmarshal(raw.ID, &to.ID) == nil:
	case json.Unmarshal(raw.ID, &number) == nil:
		to.ID = number.String()
	default:
		return fmt.Errorf("the id is %.40s, not a text or a number", raw.ID)
	}
	for i, date := range []Time{to.Properties.StartAt, to.Properties.EndAt} {
		if date.Text() != "" {
			return fmt.Errorf("properties.%s: %.40q is not a date such as 2026-01-31", []string{"start_at", "end_at"}[i], date.Text())
		}
	}
	return nil
}
