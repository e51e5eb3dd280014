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

// field is an attribute of a registration or a filter of a listing.
type field struct {
	Name, Go, GoType, Type, Description string
	Values                              []string
	Flag, Usage                         string
}

// attributes are what a registration may say of its sources.
func attributes(spec *openapi3.T) (list []field, err error) {
	schema := spec.Components.Schemas["SourceAttributes"].Value
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name]
		f, err := fieldOf("the attribute", name, property, property.Value.Description)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// filters are the query parameters of a listing, but for its pages.
func filters(spec *openapi3.T) (list []field, err error) {
	sets := spec.Components.Schemas["SourceAttributes"].Value.Properties
	for _, parameter := range spec.Paths.Value("/sources").Get.Parameters {
		p := parameter.Value
		if p.Name == "limit" || p.Name == "offset" {
			continue
		}
		schema := p.Schema
		if set := sets[p.Name]; set != nil && set.Ref != "" {
			schema = set // a filter by methodology is of that type
		}
		f, err := fieldOf("the filter", p.Name, schema, p.Description)
		if err != nil {
			return nil, err
		}
		if f.Type != "string" && f.Type != "integer" {
			return nil, fmt.Errorf("the filter %s is %s: api.Filter holds strings and integers; say in internal/specgen how it is written", p.Name, f.Type)
		}
		list = append(list, f)
	}
	return list, nil
}

func fieldOf(what, name string, schema *openapi3.SchemaRef, description string) (field, error) {
	f := field{Name: name, Go: goName(name), Description: strings.Join(strings.Fields(description), " ")}
	value := schema.Value
	set := value
	switch {
	case value.Type.Is("string"), value.Type.Is("integer"), value.Type.Is("number"), value.Type.Is("boolean"):
		if f.Type = (*value.Type)[0]; value.Format == "uuid" {
			f.Type = "uuid"
		}
	case value.Type.Is("array") && value.Items.Value.Type.Is("string"):
		f.Type, set = "array", value.Items.Value
	default:
		return f, fmt.Errorf("%s %s is neither plain nor a list of strings: say in internal/specgen how it becomes a flag", what, name)
	}
	f.GoType = map[string]string{"string": "string", "integer": "int"}[f.Type]
	if schema.Ref != "" {
		f.GoType = schema.Ref[strings.LastIndexByte(schema.Ref, '/')+1:]
	}
	values, _ := set.Extensions["x-extensible-enum"].([]any)
	for _, v := range values {
		f.Values = append(f.Values, fmt.Sprint(v))
	}

	var known bool
	if f.Flag, known = flags[name]; !known {
		f.Flag = strings.ReplaceAll(name, "_", "-")
	}
	f.Usage, _, _ = strings.Cut(f.Description, ". ")
	f.Usage = strings.TrimSuffix(strings.ReplaceAll(f.Usage, "`", ""), ".")
	f.Usage = strings.ToLower(f.Usage[:1]) + f.Usage[1:]
	if len(f.Values) > 0 {
		f.Usage += " (" + strings.Join(f.Values, ", ") + ")"
	}
	if f.Type == "array" {
		f.Usage += "; may be repeated"
	}
	return f, nil
}

// initialisms are written as oapi-codegen is told to.
var initialisms = map[string]string{"id": "ID", "ssid": "SSID", "ssids": "SSIDs", "unep": "UNEP", "wdpaid": "WDPAID", "pa": "PA", "geojson": "GeoJSON", "meti": "METI", "json": "JSON"}

func goName(name string) string {
	var out strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if initialisms[word] != "" {
			out.WriteString(initialisms[word])
		} else {
			out.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return out.String()
}

// declared finds the flags that the command declares by hand, such as
// flags.BoolVar(&facts, "facts", …) and flags.Func("tag", …).
var declared = regexp.MustCompile(`\.(?:\w*Var\w*\([^,"]+, |\w*Func\w*\()"([a-z][a-z-]*)"`)

// commandFlags is the tables that the flags of the command are made of.
func commandFlags(spec *openapi3.T) ([]byte, error) {
	var data struct{ Attributes, Filters []field }
	var err error
	if data.Attributes, err = attributes(spec); err != nil {
		return nil, err
	}
	if data.Filters, err = filters(spec); err != nil {
		return nil, err
	}
	files, err := filepath.Glob("cmd/meti/*.go")
	if err != nil {
		return nil, err
	}
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
	for _, f := range slices.Concat(data.Attributes, data.Filters) {
		if _, decided := flags[f.Name]; taken[f.Flag] && !decided {
			return nil, fmt.Errorf("openapi.yaml has %s, and the command has a flag --%s of its own beside it: give the field another name in the table flags of internal/specgen/fields.go", f.Name, f.Flag)
		}
	}
	return fill("flags.go.tmpl", data)
}
