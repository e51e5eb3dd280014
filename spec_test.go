package meti_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/meti-go/meti"
	"github.com/meti-go/meti/gen"
)

func loadSpec(t *testing.T) *openapi3.T {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromData(meti.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// This is "make validate".
func TestSpecIsValid(t *testing.T) {
	if err := loadSpec(t).Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
}

// An example that contradicts its schema must not pass: TestSpecIsValid would
// be worth little if it did.
func TestSpecValidationSeesExamples(t *testing.T) {
	text := strings.Replace(string(meti.OpenAPI), "hectares: 25.265408", "hectares: wide", 1)
	spec, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(t.Context(), openapi3.EnableExamplesValidation()); err == nil {
		t.Fatal("an example with a text for hectares was accepted")
	}
}

var provenances = []string{"A", "E", "S", "L", "D", "V1", "R"}

func TestSpecSaysWhereEachThingWasSeen(t *testing.T) {
	spec := loadSpec(t)
	checked := 0
	check := func(where string, extensions map[string]any) {
		checked++
		tags, _ := extensions["x-provenance"].([]any)
		if len(tags) == 0 {
			t.Errorf("%s: no x-provenance", where)
		}
		for _, tag := range tags {
			if text, _ := tag.(string); !slices.Contains(provenances, text) {
				t.Errorf("%s: x-provenance %v is none of %v", where, tag, provenances)
			}
		}
	}
	parameters := func(where string, list openapi3.Parameters) {
		for _, p := range list {
			check(where+" parameter "+p.Value.Name, p.Value.Extensions)
		}
	}
	for path, item := range spec.Paths.Map() {
		check(path, item.Extensions)
		parameters(path, item.Parameters)
		for method, op := range item.Operations() {
			where := method + " " + path
			check(where, op.Extensions)
			parameters(where, op.Parameters)
			for status, response := range op.Responses.Map() {
				check(where+" "+status, response.Value.Extensions)
				for name, header := range response.Value.Headers {
					check(where+" "+status+" header "+name, header.Value.Extensions)
				}
			}
		}
	}
	for name, schema := range spec.Components.Schemas {
		check(name, schema.Value.Extensions)
		for field, property := range schema.Value.Properties {
			check(name+"."+field, property.Value.Extensions)
		}
	}
	for _, server := range spec.Servers {
		check(server.URL, server.Extensions)
	}
	if checked < 150 {
		t.Fatalf("only %d things were looked at", checked)
	}
}

func TestSpecGivesAnExampleOfEachBody(t *testing.T) {
	for path, item := range loadSpec(t).Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody != nil && len(op.RequestBody.Value.Content["application/json"].Examples) == 0 {
				t.Errorf("%s %s: no example of the request", method, path)
			}
			for status, response := range op.Responses.Map() {
				for mime, content := range response.Value.Content {
					if len(content.Examples) == 0 {
						t.Errorf("%s %s %s %s: no example", method, path, status, mime)
					}
				}
			}
		}
	}
}

func TestScopeTableIsTheSpecs(t *testing.T) {
	spec := loadSpec(t)
	seen := 0
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			i := slices.IndexFunc(gen.Operations(), func(o gen.Operation) bool { return o.ID == op.OperationID })
			if i < 0 {
				t.Errorf("%s is not in gen.Operations()", op.OperationID)
				continue
			}
			seen++
			var scopes []string
			for _, requirement := range *op.Security {
				scopes = append(scopes, requirement["auth0"]...)
			}
			got := gen.Operations()[i]
			if got.Method != method || got.Path != path || !slices.Equal(got.Scopes, scopes) {
				t.Errorf("gen has %+v, the spec %s %s %v", got, method, path, scopes)
			}
		}
	}
	if seen != len(gen.Operations()) {
		t.Errorf("gen has %d operations, the spec %d", len(gen.Operations()), seen)
	}
}
