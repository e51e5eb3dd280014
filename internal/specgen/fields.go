package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// flags are the names on the command line where they are not the field's own
// with dashes, and "" where there is none.
var flags = map[string]string{
	"outcome_reporting_year": "year",
	"tags":                   "tag",    // given once for each
	"alt_id":                 "alt-id", // which "sources delete" has too
	"constituent_ssids":      "constituent-ssid",
	"created_by":             "", // the service fills these in
	"updated_by":             "",
	"limit":                  "", // "sources list" has pages of its own
	"offset":                 "",
}

// fields are what a registration may say of its sources, and what a listing may be
// narrowed by.
type fields struct{ Attributes, Filters []field }

type field struct {
	Name, Go, GoType, Type, Description string
	Values                              []string
	Flag, Usage                         string
}

func fieldsOf(spec *openapi3.T) (f fields, err error) {
	attributes := spec.Components.Schemas["SourceAttributes"].Value.Properties
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		one, err := fieldOf("the attribute "+name, name, attributes[name], attributes[name].Value.Description)
		if err != nil {
			return f, err
		}
		f.Attributes = append(f.Attributes, one)
	}
	for _, parameter := range spec.Paths.Value("/sources").Get.Parameters {
		p := parameter.Value
		if p.Name == "limit" || p.Name == "offset" {
			continue
		}
		schema := p.Schema
		if attribute := attributes[p.Name]; attribute != nil && attribute.Ref != "" {
			schema = attribute // a filter by methodology is of that type
		}
		one, err := fieldOf("the filter "+p.Name, p.Name, schema, p.Description)
		if err != nil {
			return f, err
		}
		if one.Type != "string" && one.Type != "integer" {
			return f, fmt.Errorf("the filter %s is %s: api.Filter holds strings and integers; say in internal/specgen how it is written", p.Name, one.Type)
		}
		f.Filters = append(f.Filters, one)
	}
	return f, nil
}

func fieldOf(what, name string, schema *openapi3.SchemaRef, description string) (field, error) {
	f := field{Name: name, Go: exported(name), Description: strings.Join(strings.Fields(description), " ")}
	value := schema.Value
	switch of := value.Items; {
	case value.Type.Is("array") && of.Value.Type.Is("string"):
		f.Type, value = "array", of.Value
	case value.Format == "uuid":
		f.Type = "uuid"
	case value.Type.Is("string"), value.Type.Is("integer"), value.Type.Is("number"), value.Type.Is("boolean"):
		f.Type = (*value.Type)[0]
	default:
		return f, fmt.Errorf("%s is neither plain nor a list of strings: say in internal/specgen how it becomes a flag", what)
	}
	f.GoType = map[string]string{"string": "string", "integer": "int"}[f.Type]
	if schema.Ref != "" {
		f.GoType = schema.Ref[strings.LastIndexByte(schema.Ref, '/')+1:]
	}
	f.Values = valuesOf(value)

	var known bool
	if f.Flag, known = flags[name]; !known {
		f.Flag = strings.ReplaceAll(name, "_", "-")
	}
	f.Usage, _, _ = strings.Cut(f.Description, ". ")
	f.Usage = strings.TrimSuffix(strings.ReplaceAll(f.Usage, "`", ""), ".")
	f.Usage = strings.ToLower(f.Usage[:1]) + f.Usage[1:]
	return f, nil
}

// declared finds the flags that the command declares by hand, such as
// flags.BoolVar(&facts, "facts", …) and flags.Func("tag", …).
var declared = regexp.MustCompile(`\.(?:\w*Var\w*\([^,"]+, |\w*Func\w*\()"([a-z][a-z-]*)"`)

// commandFlags is the tables that the flags of the command are made of.
func commandFlags(spec *openapi3.T) ([]byte, error) {
	all, err := fieldsOf(spec)
	if err != nil {
		return nil, err
	}
	files, _ := filepath.Glob("cmd/meti/*.go")
	taken := map[string]bool{"help": true}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, flag := range declared.FindAllSubmatch(text, -1) {
			taken[string(flag[1])] = true
		}
	}
	for _, f := range slices.Concat(all.Attributes, all.Filters) {
		if _, decided := flags[f.Name]; taken[f.Flag] && !decided {
			return nil, fmt.Errorf("openapi.yaml has %s, and the command has a flag --%s of its own beside it: give the field another name in the table flags of internal/specgen/fields.go", f.Name, f.Flag)
		}
	}
	return fill("flags.go.tmpl", all)
}
