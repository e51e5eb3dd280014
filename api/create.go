package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/wire"
)

// METI takes a registration in three forms [E][L][S]: a bare FeatureCollection,
// one beside the attributes that its features share, and one source, flat. What
// cannot be a request at all is refused here: what is missing, and what is not
// JSON. Whether a boundary, a period or an id is good is for the ledger.

// encodeFeatures writes the first two forms. Geometry goes as the bytes it is.
func encodeFeatures(request SourceCreateFeatures) ([]byte, error) {
	collection := request.FeatureCollection
	if len(collection.Features) == 0 {
		return nil, errors.New("there is no feature to register")
	}
	if collection.Type != "" && collection.Type != gen.FeatureCollectionTypeFeatureCollection {
		return nil, fmt.Errorf("feature_collection.type is %q, not FeatureCollection", collection.Type)
	}
	body := []byte(`{"type":"FeatureCollection","features":[`)
	var err error
	for i, feature := range collection.Features {
		if i > 0 {
			body = append(body, ',')
		}
		if body, err = appendFeature(body, feature); err != nil {
			return nil, fmt.Errorf("features[%d] (%.60q): %w", i, feature.ID, err)
		}
	}
	body = append(body, `]}`...)
	request.FeatureCollection = FeatureCollection{}
	shared, err := json.Marshal(request)
	if err != nil || len(shared) == len(nothingShared) {
		return body, err
	}
	return put(shared, string(nothingShared[1:len(nothingShared)-1]), "feature_collection", body), nil
}

// nothingShared is how encoding/json writes no features that share nothing.
var nothingShared, _ = json.Marshal(SourceCreateFeatures{})

// put gives a member that encoding/json wrote as empty its value, which that would
// write in its own way. No text in the object can look like the member, for its
// quotes are escaped.
func put(object []byte, empty, name string, value []byte) []byte {
	return bytes.Replace(object, []byte(empty), append([]byte(`"`+name+`":`), value...), 1)
}

func appendFeature(to []byte, feature Feature) ([]byte, error) {
	switch {
	case feature.Type != "" && feature.Type != gen.FeatureTypeFeature:
		return nil, fmt.Errorf("type is %q, not Feature", feature.Type)
	case feature.ID == "":
		return nil, errors.New("id is missing")
	}
	to = scan.AppendText(append(to, `{"type":"Feature","id":`...), feature.ID)
	to, err := appendDate(append(to, `,"properties":{"start_at":`...), "properties.start_at", feature.Properties.StartAt)
	if err != nil {
		return nil, err
	}
	if to, err = appendDate(append(to, `,"end_at":`...), "properties.end_at", feature.Properties.EndAt); err != nil {
		return nil, err
	}
	if to, err = appendGeometry(append(to, `},"geometry":`...), feature.Geometry); err != nil {
		return nil, err
	}
	return append(to, '}'), nil
}

// encodeOne writes one source, flat.
func encodeOne(request SourceCreate) ([]byte, error) {
	if request.AltID == "" {
		return nil, errors.New("alt_id is missing")
	}
	geometry, err := appendGeometry(make([]byte, 0, len(request.Geometry)), request.Geometry)
	if err != nil {
		return nil, err
	}
	for name, date := range map[string]*wire.Time{"start_at": request.StartAt, "end_at": request.EndAt} {
		if date != nil {
			if _, err := appendDate(nil, name, *date); err != nil {
				return nil, err
			}
		}
	}
	request.Geometry = nil
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	return put(body, `"geometry":null`, "geometry", geometry), nil
}

func appendDate(to []byte, name string, date wire.Time) ([]byte, error) {
	if date == (wire.Time{}) {
		return nil, fmt.Errorf("%s is missing", name)
	}
	text, err := date.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return append(to, text...), nil
}

// appendGeometry writes a GeoJSON object as it is, if it is JSON.
func appendGeometry(to []byte, geometry json.RawMessage) ([]byte, error) {
	if i := scan.SkipSpace(geometry, 0); i == len(geometry) || string(geometry[i:]) == "null" {
		return nil, errors.New("geometry is missing")
	} else if geometry[i] != '{' {
		return nil, errors.New("geometry is not a JSON object")
	}
	if err := scan.Check(geometry); err != nil {
		return nil, fmt.Errorf("geometry: %w", err)
	}
	return append(to, geometry...), nil
}
