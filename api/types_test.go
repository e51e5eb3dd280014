package api_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/gen"
)

// documented is the package as go doc reads it.
func documented(t *testing.T) *doc.Package {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), ".", nil, parser.ParseComments) //nolint:staticcheck // the files of one package are enough
	if err != nil {
		t.Fatal(err)
	}
	return doc.New(&ast.Package{Name: "api", Files: packages["api"].Files}, "github.com/meti-go/meti/api", 0) //nolint:staticcheck // as above
}

// go doc api.Source shows each of its fields, with its type and its name in
// openapi.yaml, though they stand in package gen.
func TestSourceShowsItsFields(t *testing.T) {
	var text string
	for _, d := range documented(t).Types {
		if d.Name == "Source" {
			text = d.Doc
		}
	}
	var shown [][]string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); strings.HasPrefix(line, "\t") && len(words) > 2 {
			shown = append(shown, words[:3])
		}
	}
	fields := reflect.TypeFor[gen.Source]()
	for i := range fields.NumField() {
		field := fields.Field(i)
		kind := strings.NewReplacer("gen.", "", "wire.Time", "Time").Replace(field.Type.String())
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			name = "what"
		}
		if want := []string{field.Name, kind, name}; i >= len(shown) || !slices.Equal(shown[i], want) {
			t.Errorf("field %d is %v, and is not shown so: go generate", i, want)
		}
	}
	if len(shown) != fields.NumField() {
		t.Errorf("%d fields are shown, of %d", len(shown), fields.NumField())
	}
}

// go doc api begins with a program, then the table of operations.
func TestPackageDocBeginsWithAProgram(t *testing.T) {
	text := documented(t).Doc
	program, table := strings.Index(text, "api.New(api.FromEnv())"), strings.Index(text, "read:sources")
	if program < 0 || table < program || strings.Contains(text[:program], "# ") {
		t.Errorf("the program is at %d, the table at %d", program, table)
	}
}

// Every value that openapi.yaml knows has a name here.
func TestValuesHaveNames(t *testing.T) {
	check := func(want, got any) {
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	check(gen.MethodologyValues(), []api.Methodology{api.MethodologyAgriculture, api.MethodologyBiocharProduction, api.MethodologyReforestation, api.MethodologyWetlandRestoration})
	check(gen.SourceTypeValues(), []api.SourceType{api.SourceTypeField, api.SourceTypeFacility, api.SourceTypeDevice, api.SourceTypeProgram, api.SourceTypeJurisdictional})
	check(gen.AttributeTypeValues(), []api.AttributeType{
		api.AttributeTypeCarbonRemoval, api.AttributeTypeCarbonAvoidance, api.AttributeTypeCIScore, api.AttributeTypeBiodiversity,
		api.AttributeTypeRenewableEnergy, api.AttributeTypeWaterQuality, api.AttributeTypeWaterQuantity,
	})
	check(gen.GeometrySourceValues(), []api.GeometrySource{api.GeometrySourceCustodianDrawn, api.GeometrySourceAuthoritativeGIS, api.GeometrySourceExternalRegistry})
}

func TestSourceString(t *testing.T) {
	var s api.Source
	for text, want := range map[string]string{
		`{"id":"src_9fKQ2mZr7TbVw","alt_id":"a\nb","start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01","hectares":25.248,"conflict":true}`: `src_9fKQ2mZr7TbVw "a\nb" 2026-01-01 to 2027-01-01, 25.25 ha, in conflict`,
		`{"id":"src_9fKQ2mZr7TbVw","alt_id":"x","start_at":"infinity","end_at":"2027-01-01"}`:                                                  `src_9fKQ2mZr7TbVw "x" "infinity" to 2027-01-01`,
		`{"id":"sandbox_1","alt_id":"x"}`: `sandbox_1 "x" ? to ?`,
	} {
		if err := s.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		for _, got := range []string{s.String(), fmt.Sprint(s), fmt.Sprintf("%+v", &s)} {
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		s = api.Source{}
	}
}

func TestParseFeatures(t *testing.T) {
	polygon := `{"type":"Polygon","coordinates":[[[0.10,0],[1,0],[1,1],[0.10,0]]]}`
	feature := func(id, properties string) string {
		return `{"type":"Feature","bbox":[0,0,1,1],` + id + `"properties":` + properties + `,"geometry":` + polygon + `}`
	}
	dates := `{"start_at":"2026-01-01","end_at":"2027-01-01T02:00:00+02:00","crop":{"name":"maize"},"area":12}`
	period := api.FeatureProperties{StartAt: api.Date(2026, time.January, 1), EndAt: api.Date(2027, time.January, 1)}
	for text, want := range map[string]api.Feature{
		feature(`"id":"north-40",`, dates):                {ID: "north-40", Properties: period},
		feature(`"id":17,`, dates):                        {ID: "17", Properties: period},
		feature(`"id":1.50e3,`, dates):                    {ID: "1.50e3", Properties: period},
		feature(`"id":12345678901234567890,`, dates):      {ID: "12345678901234567890", Properties: period},
		feature(`"id":"x",`, `null`):                      {ID: "x"},
		feature(`"id":"x",`, `{"start_at":null,"x":"y"}`): {ID: "x"},
	} {
		for _, whole := range []string{text, "\ufeff" + `{"type":"FeatureCollection","name":"fields","features":[` + text + `]}`} {
			got, err := api.ParseFeatures([]byte(whole))
			if err != nil || len(got.Features) != 1 {
				t.Fatalf("%s: %v", whole, err)
			}
			f := got.Features[0]
			if f.ID != want.ID || f.Properties != want.Properties || string(f.Geometry) != polygon {
				t.Errorf("%s: %+v", whole, f)
			}
		}
	}
	good := feature(`"id":"x",`, dates)
	for text, want := range map[string]string{
		`{"type":"FeatureCollection","features":[` + good + `,` + feature(``, dates) + `]}`: "features[1]: the id is missing",
		feature(`"id":{},`, dates):                                   "features[0]: the id is {}, not a text or a number",
		feature(`"id":true,`, dates):                                 "the id is true",
		feature(`"id":"x",`, `{"start_at":"01/02/2026"}`):            `properties.start_at: "01/02/2026" is not a date`,
		feature(`"id":"x",`, `{"end_at":20260101}`):                  "features[0]: wire: a date is a text such as 2026-01-31, not 20260101",
		`{"type":"FeatureCollection","features":[{"type":"Point"}]}`: `features[0]: the type is "Point", not Feature`,
		polygon:                                  `of type "Polygon", not FeatureCollection or Feature`,
		`[` + good + `]`:                         "no GeoJSON",
		`{"type":"FeatureCollection","features"`: "no GeoJSON",
		``:                                       "no GeoJSON",
	} {
		got, err := api.ParseFeatures([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || got.Features != nil {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseFeatures(f *testing.F) {
	f.Add([]byte(`{"type":"FeatureCollection","features":[{"type":"Feature","id":1,"properties":{"start_at":"2026-01-01"},"geometry":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := api.ParseFeatures(text)
		if err == nil {
			for _, feature := range list.Features {
				_ = feature.ID
			}
		} else if list.Features != nil {
			t.Error("features beside", err)
		}
	})
}
