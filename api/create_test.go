package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/wire"
)

// The geometry is spaced and its numbers are long: they must keep their digits.
const golden = `{"type":"Polygon", "coordinates":[[[-93.60120000000000000000001,42.0301],[-9.35951e1,42.0301],[-93.5951,42.0346],[-93.60120000000000000000001,42.0301]]]}`

func period() FeatureProperties {
	return FeatureProperties{
		StartAt: wire.Time{Time: time.Date(2026, 1, 1, 2, 0, 0, 0, time.FixedZone("", 2*60*60))},
		EndAt:   wire.Time{Time: time.Date(2026, 12, 31, 12, 30, 0, 500_000_000, time.UTC)},
	}
}

func pointer[T any](value T) *T { return &value }

// TestCreateGolden compares every request form with the bytes in
// testdata/create, so that an upgrade of Go or of the generator shows.
func TestCreateGolden(t *testing.T) {
	features := []Feature{
		{ID: "field-0042", Properties: period(), Geometry: json.RawMessage(golden)},
		{ID: `Ñandú "2" \ <&>`, Type: gen.FeatureTypeFeature, Properties: period(), Geometry: json.RawMessage(golden)},
	}
	for name, send := range map[string]func(c *Client) error{
		"collection": func(c *Client) error {
			_, err := c.Sources.Create(t.Context(), SourceCreateFeatures{FeatureCollection: FeatureCollection{Features: features}})
			return err
		},
		"features": func(c *Client) error {
			_, err := c.Sources.Create(t.Context(), SourceCreateFeatures{
				FeatureCollection: FeatureCollection{Type: gen.FeatureCollectionTypeFeatureCollection, Features: features},
				AccountID:         pointer("6f1f6d7e-4c3b-4a55-9d5a-0d9f3b0c2a11"),
				AttributeType:     []AttributeType{gen.AttributeTypeCarbonRemoval, "ZZZ"},
				ConstituentSSIDs:  []SSID{"src_0000000000001"},
				CreatedBy:         pointer("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"),
				GeometrySource:    pointer(gen.GeometrySourceCustodianDrawn), MeasurementPointID: pointer("mp-1"),
				Methodology: pointer(gen.MethodologyAgriculture), OutcomeReportingYear: pointer(2026), ProjectID: pointer("project-2026"),
				SourceType: pointer(gen.SourceTypeField), StewardID: pointer("steward-7"), Tags: []string{"north", `"feature_collection":{"features":null,"type":""}`},
				UpdatedBy: pointer("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"),
			})
			return err
		},
		"one": func(c *Client) error {
			p := period()
			_, err := c.Sources.CreateOne(t.Context(), SourceCreate{
				AltID: "field-0042", Geometry: json.RawMessage(golden), StartAt: &p.StartAt, EndAt: &p.EndAt,
				AccountID:        pointer("6f1f6d7e-4c3b-4a55-9d5a-0d9f3b0c2a11"),
				AttributeType:    []AttributeType{gen.AttributeTypeCarbonRemoval},
				ConstituentSSIDs: []SSID{"src_0000000000001"},
				CreatedBy:        pointer("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"),
				GeometrySource:   pointer(gen.GeometrySourceCustodianDrawn), MeasurementPointID: pointer("mp-1"),
				Methodology: pointer(Methodology("ZZZ")), OutcomeReportingYear: pointer(2026), ProjectID: pointer("project-2026"),
				SourceType: pointer(gen.SourceTypeField), StewardID: pointer("steward-7"), Tags: []string{"north", `"geometry":null`},
				UpdatedBy: pointer("0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"),
			})
			return err
		},
		"one-required": func(c *Client) error {
			_, err := c.Sources.CreateOne(t.Context(), SourceCreate{AltID: "field-0042", Geometry: json.RawMessage(golden)})
			return err
		},
	} {
		want, err := os.ReadFile("../testdata/create/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		want = bytes.TrimSuffix(want, []byte("\n"))
		got := sent(t, send)
		if !bytes.Equal(got, want) {
			t.Errorf("%s is sent as\n%s\nwant\n%s", name, got, want)
		}
		if !json.Valid(got) {
			t.Errorf("%s is not JSON", name)
		}
	}
}

// sent carries out a registration and gives the body that went over the wire.
func sent(t *testing.T, send func(*Client) error) (body []byte) {
	t.Helper()
	client := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, listOf(upTo(max(1, bytes.Count(body, []byte(`"type":"Feature"}`))))))
	}))
	if err := send(client); err != nil {
		t.Error(err)
	}
	return body
}

// TestCreateRefuses expects what is no request to be refused before it is
// sent, by an error that says where.
func TestCreateRefuses(t *testing.T) {
	good := func() Feature {
		return Feature{ID: "field-0042", Properties: period(), Geometry: json.RawMessage(golden)}
	}
	client := (&lister{also: func(http.ResponseWriter, int, int) bool { t.Error("something was sent"); return false }}).client(t)
	for want, change := range map[string]func(f *Feature){
		"id is missing":                  func(f *Feature) { f.ID = "" },
		"geometry is missing":            func(f *Feature) { f.Geometry = nil },
		"geometry is missing ":           func(f *Feature) { f.Geometry = json.RawMessage(" null") },
		"not a JSON object":              func(f *Feature) { f.Geometry = json.RawMessage(`"POLYGON((0 0))"`) },
		"geometry is not a JSON object":  func(f *Feature) { f.Geometry = json.RawMessage(`{"type":"Polygon","coordinates":[[[1,NaN]]]}`) },
		"geometry is not a JSON object ": func(f *Feature) { f.Geometry = json.RawMessage(`{}}`) },
		"is not a JSON object":           func(f *Feature) { f.Geometry = json.RawMessage(golden[:60]) },
		"properties.start_at is missing": func(f *Feature) { f.Properties.StartAt = wire.Time{} },
		"properties.end_at is missing":   func(f *Feature) { f.Properties.EndAt = wire.Time{} },
		"properties.end_at: ":            func(f *Feature) { f.Properties.EndAt = wire.Date(12026, 1, 1) },
	} {
		bad := good()
		change(&bad)
		_, err := client.Sources.Create(t.Context(), SourceCreateFeatures{FeatureCollection: FeatureCollection{Features: []Feature{good(), bad}}})
		refusedFor(t, err, "features[1]", strings.TrimSpace(want))
	}
	_, err := client.Sources.Create(t.Context(), SourceCreateFeatures{})
	refusedFor(t, err, "no feature")
	for want, one := range map[string]SourceCreate{
		"alt_id":      {Geometry: json.RawMessage(golden)},
		"geometry":    {AltID: "a"},
		"start_at":    {AltID: "a", Geometry: json.RawMessage(golden), StartAt: &wire.Time{}},
		"end_at":      {AltID: "a", Geometry: json.RawMessage(golden), EndAt: pointer(wire.Date(-1, 1, 1))},
		"geometry is": {AltID: "a", Geometry: json.RawMessage(`{`)},
	} {
		_, err := client.Sources.CreateOne(t.Context(), one)
		refusedFor(t, err, want)
	}
}

func refusedFor(t *testing.T, err error, words ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrInvalid) || e.Attempts != 0 {
		t.Errorf("%v", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}
