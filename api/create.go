package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/meti-go/meti/internal/scan"
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
		if date != nil && *date == (Time{}) {
			return fmt.Errorf("%s is missing", name)
		}
		if date != nil {
			if _, err := date.MarshalJSON(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	switch text := bytes.TrimSpace(geometry); {
	case len(text) == 0 || string(text) == "null":
		return errors.New("geometry is missing")
	case text[0] != '{':
		return errors.New("geometry is not a JSON object")
	}
	if err := scan.Check(geometry); err != nil {
		return fmt.Errorf("geometry: %w", err)
	}
	return nil
}
