package gen_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/wire"
)

// A feature, and a collection, whose type was not set is written with the only
// type that it can have; another one is written as it is.
func TestTypesAreWritten(t *testing.T) {
	feature := gen.Feature{
		ID: "north-40", Geometry: json.RawMessage(`{"type":"Polygon","coordinates":[]}`),
		Properties: gen.FeatureProperties{StartAt: wire.Date(2026, time.January, 1), EndAt: wire.Date(2027, time.January, 1)},
	}
	for _, given := range []gen.FeatureType{"", gen.FeatureTypeFeature, "Other"} {
		feature.Type = given
		text, err := json.Marshal(gen.FeatureCollection{Features: []gen.Feature{feature}})
		if err != nil {
			t.Fatal(err)
		}
		if given == "" {
			given = gen.FeatureTypeFeature
		}
		for _, want := range []string{`"type":"FeatureCollection"`, `"type":"` + string(given) + `"`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s is not in %s", want, text)
			}
		}
	}
}
