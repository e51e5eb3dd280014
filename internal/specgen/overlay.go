package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed overlay.yaml
var byHand []byte

// pointers are the optional fields of a source where false and 0 are answers,
// and so not the same as none. All others are values.
var pointers = []string{"conflict", "unep_overlap", "hectares", "percent_overlap"}

type object map[string]any

// overlay adds to overlay.yaml what follows from the spec.
func overlay(spec *openapi3.T) ([]byte, error) {
	out := bytes.NewBuffer([]byte("# Written by internal/specgen, from overlay.yaml and openapi.yaml. DO NOT EDIT.\n"))
	out.Write(byHand)
	action := func(target string, update object) {
		text, _ := json.Marshal(update) // JSON is YAML
		fmt.Fprintf(out, "  - target: %s\n    update: %s\n", target, text)
	}

	source := spec.Components.Schemas["Source"].Value
	for _, name := range slices.Sorted(maps.Keys(source.Properties)) {
		property := source.Properties[name]
		if !slices.Contains(slices.Concat(source.Required, pointers), name) && property.Ref == "" && !property.Value.Type.Is("array") {
			action("$.components.schemas.Source.properties."+name, object{"x-go-type-skip-optional-pointer": true})
		}
	}

	// A response that operations share would become a type of its own, an alias.
	out.WriteString("  - {target: \"$.paths.*.*.responses.*['$ref']\", remove: true}\n")
	out.WriteString("  - {target: $.components.responses, remove: true}\n")
	for _, path := range spec.Paths.InMatchingOrder() {
		operations := spec.Paths.Value(path).Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			shared := object{}
			for status, response := range operations[method].Responses.Map() {
				if response.Ref == "" {
					continue
				}
				content := object{}
				for mime, body := range response.Value.Content {
					content[mime] = object{"schema": object{"$ref": body.Schema.Ref}}
				}
				shared[status] = object{"description": "", "content": content}
			}
			action(fmt.Sprintf("$.paths['%s'].%s.responses", path, strings.ToLower(method)), shared)
		}
	}
	return out.Bytes(), nil
}
