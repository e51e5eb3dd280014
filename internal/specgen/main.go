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
		Operations          []operation
		Scopes              []string
		Sets                []set
		Tags                []value
		Attributes, Filters []field
		Sum                 string
	}
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	data.Sum = fmt.Sprintf("%x", sha256.Sum256(text))
	if data.Attributes, err = attributes(spec); err != nil {
		return nil, err
	}
	if data.Filters, err = filters(spec); err != nil {
		return nil, err
	}
	scopes := map[string]bool{}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			needed, err := scopesOf(op)
			if err != nil {
				return nil, err
			}
			for _, scope := range needed {
				scopes[scope] = true
			}
			repeatable, stated := op.Extensions["x-repeatable"].(bool)
			if !stated {
				return nil, fmt.Errorf("openapi.yaml, %s: say by x-repeatable, true or false, whether it may be carried out twice", op.OperationID)
			}
			data.Operations = append(data.Operations, operation{
				ID: op.OperationID, Name: exported(op.OperationID),
				Method: method, Path: path, Scopes: needed, Repeatable: repeatable,
			})
		}
	}
	slices.SortFunc(data.Operations, func(a, b operation) int { return strings.Compare(a.ID, b.ID) })
	data.Scopes = slices.Sorted(maps.Keys(scopes))

	data.Sets = sets(spec)
	for _, name := range slices.Sorted(maps.Keys(spec.Components.Schemas)) {
		schema := spec.Components.Schemas[name].Value
		if tag := schema.Properties["type"]; tag != nil && len(tag.Value.Enum) == 1 {
			data.Tags = append(data.Tags, value{Name: name + "Type", Text: fmt.Sprint(tag.Value.Enum[0])})
		}
	}

	return fill("spec.go.tmpl", data)
}

// sets are the open sets of values.
func sets(spec *openapi3.T) (list []set) {
	for _, name := range slices.Sorted(maps.Keys(spec.Components.Schemas)) {
		schema := spec.Components.Schemas[name].Value
		values, ok := schema.Extensions["x-extensible-enum"].([]any)
		if !ok {
			continue
		}
		s := set{Name: name, Doc: schema.Description}
		for _, v := range values {
			s.Values = append(s.Values, value{Name: name + exported(fmt.Sprint(v)), Text: fmt.Sprint(v)})
		}
		list = append(list, s)
	}
	return list
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

// scopesOf reads the one requirement that the spec gives each operation; an
// operation with alternatives would need more than a list.
func scopesOf(op *openapi3.Operation) ([]string, error) {
	if op.Security == nil || len(*op.Security) == 0 {
		return nil, nil
	}
	if len(*op.Security) > 1 {
		return nil, fmt.Errorf("%s has %d alternative security requirements; one is understood", op.OperationID, len(*op.Security))
	}
	var scopes []string
	for _, list := range (*op.Security)[0] {
		scopes = append(scopes, list...)
	}
	return scopes, nil
}

// exported makes a Go name of an operation's id or a value: BIOCHAR_PRODUCTION
// and "Biochar Production" both become BiocharProduction.
func exported(text string) string {
	var name strings.Builder
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if strings.ToUpper(word) == word {
			word = strings.ToLower(word)
		}
		if word == "gis" || word == "ci" {
			word = strings.ToUpper(word)
		}
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}
