package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/getkin/kin-openapi/openapi3"
)

// flags are the names on the command line where they are not the field's own
// with dashes, and "" where there is none.
var flags = map[string]string{
	"outcome_reporting_year": "year",
	"tags":                   "tag", // given once for each
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
	for offer, list := range map[string][]field{"attributeFlags": data.Attributes, "filterFlags": data.Filters} {
		taken, err := flagsBeside(offer)
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			if taken[f.Flag] {
				return nil, fmt.Errorf("openapi.yaml has %s, and the command has a flag --%s of its own beside it: give the field another name in the table flags of internal/specgen/fields.go", f.Name, f.Flag)
			}
		}
	}
	var out bytes.Buffer
	if err := flagPage.Execute(&out, data); err != nil {
		return nil, err
	}
	return format.Source(out.Bytes())
}

// flagsBeside are the flags that the command declares by hand in the functions
// that call offer, in those that these call, directly or through one other, and
// for all commands.
func flagsBeside(offer string) (map[string]bool, error) {
	names, err := filepath.Glob("cmd/meti/*.go")
	if err != nil {
		return nil, err
	}
	declared, calls := map[string][]string{}, map[string][]string{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			function, is := d.(*ast.FuncDecl)
			if !is {
				continue
			}
			name := function.Name.Name
			ast.Inspect(function, func(n ast.Node) bool {
				call, is := n.(*ast.CallExpr)
				if !is {
					return true
				}
				switch f := call.Fun.(type) {
				case *ast.Ident:
					calls[name] = append(calls[name], f.Name)
				case *ast.SelectorExpr:
					calls[name] = append(calls[name], f.Sel.Name)
					at := 0 // Func and its kin have the name first, Var behind where the value goes
					if strings.Contains(f.Sel.Name, "Var") {
						at = 1
					} else if !strings.Contains(f.Sel.Name, "Func") {
						break
					}
					if len(call.Args) <= at {
						break
					}
					if flag, is := call.Args[at].(*ast.BasicLit); is && flag.Kind == token.STRING {
						text, _ := strconv.Unquote(flag.Value)
						declared[name] = append(declared[name], text)
					}
				}
				return true
			})
		}
	}
	taken := map[string]bool{"help": true}
	for name, called := range calls {
		var beside []string
		if slices.Contains(called, "PersistentFlags") {
			beside = append(beside, name)
		}
		if slices.Contains(called, offer) {
			beside = append(append(beside, name), called...)
			for _, function := range called {
				beside = append(beside, calls[function]...)
			}
		}
		for _, function := range beside {
			if slices.Contains(calls[function], "Lookup") {
				continue // it gives way by itself
			}
			for _, flag := range declared[function] {
				taken[flag] = true
			}
		}
	}
	return taken, nil
}

var flagPage = template.Must(template.New("").Parse(`// Code generated by internal/specgen from openapi.yaml. DO NOT EDIT.

package main

// attributeTable is what a registration may say of its sources.
var attributeTable = []specFlag{
{{- range .Attributes}}{{if .Flag}}
	{ {{printf "%q, %q, %q, %q" .Flag .Name .Type .Usage}} },{{end}}
{{- end}}
}

// filterTable is what a listing may be narrowed by.
var filterTable = []specFlag{
{{- range .Filters}}{{if .Flag}}
	{ {{printf "%q, %q, %q, %q" .Flag .Name .Type .Usage}} },{{end}}
{{- end}}
}
`))
