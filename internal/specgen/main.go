// Command specgen writes what oapi-codegen does not make of openapi.yaml: the
// overlay that it reads (overlay.gen.yaml), and gen/spec.gen.go, which holds the
// scopes that each operation needs and the open sets of values
// (x-extensible-enum) as types with constants.
//
// It is run where openapi.yaml stands.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"go/format"
	"log"
	"maps"
	"os"
	"slices"
	"strings"
	"text/template"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("specgen: ")
	spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err == nil {
		err = spec.Validate(context.Background(), openapi3.EnableExamplesValidation())
	}
	if err != nil {
		log.Fatal("openapi.yaml: ", err)
	}
	for path, generate := range map[string]func(*openapi3.T) ([]byte, error){
		"api/values.gen.go":                 values,
		"internal/specgen/overlay.gen.yaml": overlay,
		"gen/spec.gen.go":                   tables,
		"cmd/meti/flags.gen.go":             commandFlags,
	} {
		text, err := generate(spec)
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

type operation struct {
	ID, Name, Method, Path string
	Scopes                 []string
	Repeatable             bool
}

type set struct {
	Name, Doc string
	Values    []value
}

type value struct{ Name, Text string }

func tables(spec *openapi3.T) ([]byte, error) {
	var data struct {
		fields
		Operations []operation
		Scopes     []string
		Sets       []set
		Tags       []value // types with one value
		Sum        string
	}
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	data.Sum = fmt.Sprintf("%x", sha256.Sum256(text))
	if data.fields, err = fieldsOf(spec); err != nil {
		return nil, err
	}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			o := operation{ID: op.OperationID, Name: exported(op.OperationID), Method: method, Path: path}
			if op.Security == nil {
				op.Security = &spec.Security
			}
			if len(*op.Security) > 1 {
				return nil, fmt.Errorf("openapi.yaml, %s: security says two ways, and scopes are checked for one", o.ID)
			}
			for _, requirement := range *op.Security {
				for _, scopes := range requirement {
					o.Scopes = append(o.Scopes, scopes...)
				}
			}
			var stated bool
			if o.Repeatable, stated = op.Extensions["x-repeatable"].(bool); !stated {
				return nil, fmt.Errorf("openapi.yaml, %s: say by x-repeatable, true or false, whether it may be carried out twice", o.ID)
			}
			data.Operations = append(data.Operations, o)
			data.Scopes = append(data.Scopes, o.Scopes...)
		}
	}
	slices.SortFunc(data.Operations, func(a, b operation) int { return strings.Compare(a.ID, b.ID) })
	slices.Sort(data.Scopes)
	data.Scopes = slices.Compact(data.Scopes)
	data.Sets = sets(spec)
	for _, name := range slices.Sorted(maps.Keys(spec.Components.Schemas)) {
		if tag := spec.Components.Schemas[name].Value.Properties["type"]; tag != nil && len(tag.Value.Enum) == 1 {
			data.Tags = append(data.Tags, value{name + "Type", fmt.Sprint(tag.Value.Enum[0])})
		}
	}
	return fill("spec.go.tmpl", data)
}

// sets are the open sets of values.
func sets(spec *openapi3.T) (list []set) {
	for _, name := range slices.Sorted(maps.Keys(spec.Components.Schemas)) {
		schema := spec.Components.Schemas[name].Value
		s := set{Name: name, Doc: schema.Description}
		for _, text := range valuesOf(schema) {
			s.Values = append(s.Values, value{name + exported(text), text})
		}
		if s.Values != nil {
			list = append(list, s)
		}
	}
	return list
}

// valuesOf are the values of an open set that are known.
func valuesOf(schema *openapi3.Schema) (values []string) {
	known, _ := schema.Extensions["x-extensible-enum"].([]any)
	for _, v := range known {
		values = append(values, fmt.Sprint(v))
	}
	return values
}

// values names the values under package api, too.
func values(spec *openapi3.T) ([]byte, error) { return fill("values.go.tmpl", sets(spec)) }

//go:embed *.go.tmpl
var templates embed.FS

// fill makes Go code of a template.
func fill(name string, data any) ([]byte, error) {
	page, err := template.New(name).Funcs(template.FuncMap{
		"exported": exported,
		"comment":  func(text string) string { return "// " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n// ") },
	}).ParseFS(templates, name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := page.Execute(&out, data); err != nil {
		return nil, err
	}
	return format.Source(out.Bytes())
}

// initialisms are written as oapi-codegen is told to.
var initialisms = map[string]string{"id": "ID", "ssid": "SSID", "ssids": "SSIDs", "unep": "UNEP", "wdpaid": "WDPAID", "pa": "PA", "geojson": "GeoJSON", "meti": "METI", "json": "JSON", "gis": "GIS", "ci": "CI"}

// exported makes a Go name of an operation's id, a field's name or a value:
// BIOCHAR_PRODUCTION and "Biochar Production" both become BiocharProduction.
func exported(text string) string {
	var name strings.Builder
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if strings.ToUpper(word) == word {
			word = strings.ToLower(word)
		}
		if whole := initialisms[word]; whole != "" {
			name.WriteString(whole)
		} else {
			name.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return name.String()
}
