package scan

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Marshal writes a struct: its fields, by their tags for encoding/json, and then
// what has none, by name. A field that is empty is left out where its tag says
// omitempty, also one that is no number or text; so is what has no field under the
// name of one that is written. JSON as it stands is checked, and stays so.
func Marshal(of any, rest map[string]json.RawMessage) ([]byte, error) {
	out := append(make([]byte, 0, 1<<10), '{')
	var fault error
	member := func(name string, value any) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(AppendText(out, name), ':')
		text, raw := value.(json.RawMessage)
		var err error
		if _, own := value.(json.Marshaler); raw && text != nil {
			err = Check(text)
		} else if v := reflect.ValueOf(value); v.Kind() == reflect.String && !own {
			text = AppendText(nil, v.String())
		} else {
			text, err = json.Marshal(value)
		}
		if err != nil && fault == nil {
			fault = fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, text...)
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
	return append(out, '}'), fault
}

// AppendText writes a JSON string.
func AppendText(to []byte, value string) []byte {
	start := len(to)
	to = append(to, '"')
	for i := range len(value) {
		if c := value[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(value) // a string can always be written
			return append(to[:start], quoted...)
		}
	}
	return append(append(to, value...), '"')
}
