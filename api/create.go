package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/wire"
)

// METI takes a registration in three forms [E][L][S]: a bare FeatureCollection,
// one beside the attributes that its features share, and one source, flat. What
// cannot be a request at all is refused here: what is missing, and what is not
// JSON. Whether a boundary, a period or an id is good is for the ledger.

// encodeFeatures writes the first two forms.
func encodeFeatures(request SourceCreateFeatures) ([]byte, error) {
	collection := request.FeatureCollection
	switch {
	case len(collection.Features) == 0:
		return nil, errors.New("there is no feature to register")
	case collection.Type != "" && collection.Type != gen.FeatureCollectionTypeFeatureCollection:
		return nil, fmt.Errorf("feature_collection.type is %q, not FeatureCollection", collection.Type)
	}
	for i, feature := range collection.Features {
		if err := checkFeature(feature); err != nil {
			return nil, fmt.Errorf("features[%d] (%.60q): %w", i, feature.ID, err)
		}
	}
	shared := request
	shared.FeatureCollection = FeatureCollection{}
	if reflect.ValueOf(shared).IsZero() {
		return json.Marshal(collection)
	}
	return json.Marshal(request)
}

func checkFeature(feature Feature) error {
	switch {
	case feature.Type != "" && feature.Type != gen.FeatureTypeFeature:
		return fmt.Errorf("type is %q, not Feature", feature.Type)
	case feature.ID == "":
		return errors.New("id is missing")
	}
	return cmp.Or(
		checkDate("properties.start_at", &feature.Properties.StartAt),
		checkDate("properties.end_at", &feature.Properties.EndAt),
		checkGeometry(feature.Geometry))
}

// encodeOne writes one source, flat.
func encodeOne(request SourceCreate) ([]byte, error) {
	if request.AltID == "" {
		return nil, errors.New("alt_id is missing")
	}
	if err := cmp.Or(checkGeometry(request.Geometry), checkDate("start_at", request.StartAt), checkDate("end_at", request.EndAt)); err != nil {
		return nil, err
	}
	return json.Marshal(request)
}

// checkDate refuses what is there and no date. No date at all is nil.
func checkDate(name string, date *wire.Time) error {
	if date == nil {
		return nil
	}
	if *date == (wire.Time{}) {
		return fmt.Errorf("%s is missing", name)
	}
	if _, err := date.MarshalJSON(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func checkGeometry(geometry json.RawMessage) error {
	if i := scan.SkipSpace(geometry, 0); i == len(geometry) || string(geometry[i:]) == "null" {
		return errors.New("geometry is missing")
	} else if geometry[i] != '{' {
		return errors.New("geometry is not a JSON object")
	}
	if err := scan.Check(geometry); err != nil {
		return fmt.Errorf("geometry: %w", err)
	}
	return nil
}
