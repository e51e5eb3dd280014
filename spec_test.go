package meti_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// TestSpecIsGenerated says of whatever else fails why.
func TestSpecIsGenerated(t *testing.T) {
	made, err := os.ReadFile("gen/spec.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(made), fmt.Sprintf("\n// Made from: %x\n", sha256.Sum256(meti.OpenAPI))) {
		t.Error("openapi.yaml has changed since gen was made of it: run make generate first")
	}
}

// TestSpecIsPure: whoever generates code from openapi.yaml alone gets nothing of Go
// or of this module; that is the overlay's.
func TestSpecIsPure(t *testing.T) {
	if found := regexp.MustCompile(`x-go-|x-oapi|x-omit|meti-go|RawMessage`).FindAll(meti.OpenAPI, -1); found != nil {
		t.Errorf("openapi.yaml has %q, which belong in internal/specgen/overlay.yaml", found)
	}
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

// TestSpecSaysWhereEachThingWasSeen: x-provenance is inherited, and stated where
// a thing's source differs from what it stands in.
func TestSpecSaysWhereEachThingWasSeen(t *testing.T) {
	spec := loadSpec(t)
	checked := 0
	check := func(where string, extensions map[string]any, inherited string) string {
		checked++
		stated, has := extensions["x-provenance"]
		if !has {
			if inherited == "" {
				t.Errorf("%s: no x-provenance, and none to inherit", where)
			}
			return inherited
		}
		tags, _ := stated.([]any)
		for _, tag := range tags {
			if text, _ := tag.(string); !slices.Contains(provenances, text) {
				t.Errorf("%s: x-provenance %v is none of %v", where, tag, provenances)
			}
		}
		if got := fmt.Sprint(tags...); len(tags) > 0 && got != inherited {
			return got
		}
		t.Errorf("%s: x-provenance %v is what it stands in has too: leave it out", where, stated)
		return inherited
	}
	parameters := func(where string, list openapi3.Parameters, inherited string) {
		for _, p := range list {
			check(where+" parameter "+p.Value.Name, p.Value.Extensions, inherited)
		}
	}
	responses := func(where string, all map[string]*openapi3.ResponseRef, inherited string) {
		for status, response := range all {
			if response.Ref != "" {
				continue // it stands in the components
			}
			from := check(where+" "+status, response.Value.Extensions, inherited)
			for name, header := range response.Value.Headers {
				if header.Ref == "" {
					check(where+" "+status+" header "+name, header.Value.Extensions, from)
				}
			}
		}
	}
	for path, item := range spec.Paths.Map() {
		from := check(path, item.Extensions, "")
		parameters(path, item.Parameters, from)
		for _, server := range item.Servers {
			check(path+" "+server.URL, server.Extensions, from)
		}
		for method, op := range item.Operations() {
			where := method + " " + path
			from := check(where, op.Extensions, from)
			parameters(where, op.Parameters, from)
			responses(where, op.Responses.Map(), from)
		}
	}
	responses("response", spec.Components.Responses, "")
	for name, header := range spec.Components.Headers {
		check("header "+name, header.Value.Extensions, "")
	}
	var fields func(where string, schema *openapi3.Schema, inherited string)
	fields = func(where string, schema *openapi3.Schema, inherited string) {
		for field, property := range schema.Properties {
			if property.Ref == "" {
				check(where+"."+field, property.Value.Extensions, inherited)
			}
		}
		for _, part := range schema.AllOf {
			if part.Ref == "" {
				fields(where, part.Value, inherited)
			}
		}
	}
	for name, schema := range spec.Components.Schemas {
		fields(name, schema.Value, check(name, schema.Value.Extensions, ""))
	}
	for _, server := range spec.Servers {
		check(server.URL, server.Extensions, "")
	}
	for name, scheme := range spec.Components.SecuritySchemes {
		check(name, scheme.Value.Extensions, "")
	}
	if checked < 100 {
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
	var want, got []string
	for path, item := range loadSpec(t).Paths.Map() {
		for method, op := range item.Operations() {
			var scopes []string
			for _, requirement := range *op.Security {
				scopes = append(scopes, requirement["auth0"]...)
			}
			want = append(want, fmt.Sprint(op.OperationID, " ", method, " ", path, " ", scopes, " ", op.Extensions["x-repeatable"]))
		}
	}
	for _, o := range gen.Operations() {
		got = append(got, fmt.Sprint(o.ID, " ", o.Method, " ", o.Path, " ", o.Scopes, " ", o.Repeatable))
	}
	for _, line := range diff(want, got) {
		t.Errorf("openapi.yaml (-) and gen.Operations (+): %s", line)
	}
}

// TestSpecOperationsHaveMethods: what openapi.yaml has, api can do. Tokens are
// authn's.
func TestSpecOperationsHaveMethods(t *testing.T) {
	files, err := filepath.Glob("api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, name := range files {
		if !strings.HasSuffix(name, "_test.go") {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	for _, o := range gen.Operations() {
		variable := "gen.Operation" + strings.ToUpper(o.ID[:1]) + o.ID[1:]
		if o.ID != gen.OperationRequestToken.ID && !regexp.MustCompile(regexp.QuoteMeta(variable)+`\b`).MatchString(source.String()) {
			t.Errorf("openapi.yaml has the operation %s, and no method of api carries it out: write one in api/sources.go, by %s", o.ID, variable)
		}
	}
}

// diff are the lines of one list alone, with "- " before those of want.
func diff(want, got []string) (lines []string) {
	for _, line := range want {
		if !slices.Contains(got, line) {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return lines
}
