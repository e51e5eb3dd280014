package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Marshal writes a struct: its fields, by their tags for encoding/json, and then
// what has none, by name. A field that is zero, of whatever type, is left out where
// its tag says omitempty; so is what has no field under the name of one that is
// written. JSON that is kept as it stands is checked, and written so.
func Marshal(of any, rest map[string]json.RawMessage) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encode := func(value any) error {
		err := encoder.Encode(value)
		out.Truncate(out.Len() - 1) // without the end of the line
		return err
	}
	var fault error
	member := func(name string, value any) {
		out.WriteByte(',')
		err := encode(name)
		out.WriteByte(':')
		if text, raw := value.(json.RawMessage); raw && text != nil {
			out.Write(text)
			err = Check(text)
		} else if err == nil {
			err = encode(value)
		}
		if err != nil {
			fault = errors.Join(fault, fmt.Errorf("%s: %w", name, err))
		}
	}
	written := map[string]bool{}
	fields := reflect.ValueOf(of)
	for i := range fields.NumField() {
		name, option, _ := strings.Cut(fields.Type().Field(i).Tag.Get("json"), ",")
		_, kept := rest[name]
		if name != "-" && !(fields.Field(i).IsZero() && (kept || option == "omitempty")) {
			written[name] = true
			member(name, fields.Field(i).Interface())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		if !written[name] {
			member(name, rest[name])
		}
	}
	if out.Len() == 0 {
		return []byte("{}"), nil
	}
	text := out.Bytes()
	text[0] = '{' // the first comma
	return append(text, '}'), fault
}
