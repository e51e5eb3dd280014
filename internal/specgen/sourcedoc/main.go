// Command sourcedoc writes the table of fields in the documentation of
// api.Source, for the fields themselves stand in package gen, where go doc
// api.Source does not show them.
//
// It is run where openapi.yaml stands, when gen has been generated.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"log"
	"os"
	"reflect"
	"strings"

	"github.com/meti-go/meti/gen"
)

func main() {
	const file = "api/source.go"
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	var table bytes.Buffer
	fields := reflect.TypeFor[gen.Source]()
	names := strings.NewReplacer("gen.", "", "wire.Time", "Time")
	for i := range fields.NumField() {
		f := fields.Field(i)
		json, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fmt.Fprintf(&table, "//\t%-20s %-26s %s\n", f.Name, names.Replace(f.Type.String()), cmp.Or(strings.Trim(json, "-"), "what METI has added since"))
	}
	head, rest, found := bytes.Cut(text, []byte("Its fields are those of openapi.yaml:\n//\n"))
	_, tail, more := bytes.Cut(rest, []byte("\n//\n// A field that METI did not tell"))
	if !found || !more {
		log.Fatalf("%s has no table of fields", file)
	}
	whole := string(head) + "Its fields are those of openapi.yaml:\n//\n" + strings.TrimSuffix(table.String(), "\n") + "\n//\n// A field that METI did not tell" + string(tail)
	if err := os.WriteFile(file, []byte(whole), 0o644); err != nil {
		log.Fatal(err)
	}
}
