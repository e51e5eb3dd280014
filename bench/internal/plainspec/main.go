// Command plainspec writes openapi.yaml as one writes a spec that thinks of no
// client: without this project's Go types, coordinates as nested lists. The
// peers are generated from it.
//
//	plainspec openapi.yaml plain.yaml open.yaml
//
// In open.yaml a source may have members that the spec does not name.
package main

import (
	"log"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

type object = map[string]any

func main() {
	source, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for i, open := range []bool{false, true} {
		var doc object
		if err := yaml.Unmarshal(source, &doc); err != nil {
			log.Fatal(err)
		}
		strip(doc)
		schemas := doc["components"].(object)["schemas"].(object)
		for _, name := range []string{"Geometry", "SourceGeometry"} {
			list := object{"type": "number"}
			for range 3 {
				list = object{"type": "array", "items": list}
			}
			schemas[name].(object)["required"] = []any{"type", "coordinates"}
			schemas[name].(object)["properties"].(object)["coordinates"] = list
			delete(schemas[name].(object), "example")
		}
		delete(schemas["Source"].(object), "additionalProperties")
		if open {
			schemas["Source"].(object)["additionalProperties"] = true
		}
		text, err := yaml.Marshal(doc)
		if err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(os.Args[2+i], text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// strip leaves out the extensions, which are for this project's generator.
func strip(value any) {
	switch value := value.(type) {
	case object:
		for name, member := range value {
			if strings.HasPrefix(name, "x-") {
				delete(value, name)
			} else {
				strip(member)
			}
		}
	case []any:
		for _, item := range value {
			strip(item)
		}
	}
}
