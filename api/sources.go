package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
)

// ListParams are the parameters of [SourcesService.List].
type ListParams struct {
	Filter
	Limit  int // at most this many; 0 sends no limit, and the answer may be the whole account
	Offset int // leave this many out first
}

// query writes the parameters as they go over the wire.
func (p ListParams) query() url.Values {
	q := p.Query()
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Offset != 0 {
		q.Set("offset", strconv.Itoa(p.Offset))
	}
	return q
}

// List gets one page of sources, in no promised order.
func (s *SourcesService) List(ctx context.Context, params ListParams) ([]*Source, error) {
	call := call{operation: gen.OperationListSources, query: params.query(), most: maxListBytes}
	if params.Limit < 0 || params.Offset < 0 {
		call.invalid = fmt.Errorf("neither Limit (%d) nor Offset (%d) may be negative", params.Limit, params.Offset)
	}
	return answerOf(ctx, s.client, call, readSources)
}

// Get gets one source of the account. Its error is [ErrNotFound] where the
// account has none of that id.
func (s *SourcesService) Get(ctx context.Context, id SSID) (*Source, error) {
	return answerOf(ctx, s.client, ofSource(gen.OperationGetSource, id), readSource)
}

// Create registers features, whole or not at all, and returns their sources in the
// order of METI's answer. Nobody promises that it is that of the features [E][L]:
// AltID tells which source is whose. After an answer that was lost the error is
// [ErrOutcomeUnknown].
func (s *SourcesService) Create(ctx context.Context, request SourceCreateFeatures) ([]*Source, error) {
	body, err := encodeFeatures(request)
	return s.create(ctx, body, err, len(request.FeatureCollection.Features))
}

// CreateOne is [SourcesService.Create] for one source.
func (s *SourcesService) CreateOne(ctx context.Context, request SourceCreate) (*Source, error) {
	body, err := encodeOne(request)
	sources, err := s.create(ctx, body, err, 1)
	if err != nil {
		return nil, err
	}
	return sources[0], nil
}

// create sends a registration of so many sources, if it could be written.
func (s *SourcesService) create(ctx context.Context, body []byte, invalid error, sent int) ([]*Source, error) {
	call := call{operation: gen.OperationCreateSources, body: body, invalid: invalid, most: maxCreateBytes}
	return answerOf(ctx, s.client, call, func(body io.Reader) ([]*Source, error) {
		sources, err := readSources(body)
		if err == nil && len(sources) != sent {
			err = fmt.Errorf("%d sources were sent, and %d came back", sent, len(sources))
		}
		return sources, err
	})
}

// Delete deletes one source of the account. Its error is [ErrNotFound] where the
// account has none of that id, unless an earlier attempt may have deleted it.
func (s *SourcesService) Delete(ctx context.Context, id SSID) error {
	return s.client.do(ctx, ofSource(gen.OperationDeleteSource, id))
}

// DeleteByAltID deletes every source of the account that has this alt_id, and
// that can be more than one. A repeat is treated as in [SourcesService.Delete].
func (s *SourcesService) DeleteByAltID(ctx context.Context, altID string) error {
	call := call{operation: gen.OperationDeleteSourcesByAltID, query: url.Values{"alt_id": {altID}}, most: maxSourceBytes}
	if altID == "" {
		call.invalid = errors.New("alt_id is empty: that might name every source")
	}
	return s.client.do(ctx, call)
}

// ofSource is a call for one source. It refuses ids that would name another operation.
func ofSource(operation gen.Operation, id SSID) call {
	operation.Path = "/sources/" + url.PathEscape(id)
	call := call{operation: operation, most: maxSourceBytes}
	if id == "" || id == "." || id == ".." {
		call.invalid = fmt.Errorf("source id %q names no source", id)
	}
	return call
}

// readSources reads the answer of a listing or a registration.
func readSources(body io.Reader) (sources []*Source, err error) {
	err = streamSources(body, func(source *Source) error {
		sources = append(sources, source)
		return nil
	})
	return sources, err
}

// readSource reads the answer of a look-up.
func readSource(body io.Reader) (*Source, error) {
	s := new(Source)
	return s, scan.Value(body, maxSourceBytes, s, "the answer")
}

// streamSources hands out the sources of a JSON array one by one, each as soon as
// it has arrived. Its errors are those of [scan.Array].
func streamSources(body io.Reader, each func(*Source) error) error {
	var s *Source
	return scan.Array(body, maxSourceBytes,
		func(d *scan.Decoder) {
			s = new(Source)
			s.ScanJSON(d)
		},
		func() error { return each(s) },
		func(number int) string {
			return strings.TrimSpace(fmt.Sprintf("source %d of the answer %s", number, s.ID))
		})
}

// encodeFeatures writes two of the three forms of a registration that METI takes
// [E][L][S]: a bare FeatureCollection, and one beside what its features share.
func encodeFeatures(request SourceCreateFeatures) ([]byte, error) {
	collection := request.FeatureCollection
	if len(collection.Features) == 0 {
		return nil, errors.New("there is no feature to register")
	}
	for i, f := range collection.Features {
		if err := check("id", f.ID, f.Geometry, "properties.", &f.Properties.StartAt, &f.Properties.EndAt); err != nil {
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

// encodeOne writes the third, one source.
func encodeOne(request SourceCreate) ([]byte, error) {
	if err := check("alt_id", request.AltID, request.Geometry, "", request.StartAt, request.EndAt); err != nil {
		return nil, err
	}
	return json.Marshal(request)
}

// check refuses what is missing, and what cannot be written. Whether a boundary, a
// period or an id is good is for the ledger.
func check(idName, id string, geometry json.RawMessage, prefix string, dates ...*Time) error {
	if id == "" {
		return fmt.Errorf("%s is missing", idName)
	}
	for i, name := range []string{prefix + "start_at", prefix + "end_at"} {
		date := dates[i]
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
	if top.Type == "Feature" {
		top.Features = []json.RawMessage{geojson}
	} else if top.Type != "FeatureCollection" {
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
	switch {
	case raw.Type != "Feature":
		return fmt.Errorf("the type is %q, not Feature", raw.Type)
	case raw.ID == nil || string(raw.ID) == "null":
		return errors.New("the id is missing")
	case json.Unmarshal(raw.ID, &to.ID) == nil:
	case raw.ID[0] == '-' || '0' <= raw.ID[0] && raw.ID[0] <= '9':
		to.ID = string(raw.ID)
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
