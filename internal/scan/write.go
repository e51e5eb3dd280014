package scan

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"unicode/utf8"
)

// A Writer writes an object: its fields, and then what has none, by name. A
// field that is empty is left out, unless it is required; so is what has no
// field under the name of one that is written.
type Writer struct {
	out  []byte
	rest map[string]json.RawMessage
	err  error
}

// NewWriter returns a Writer of an object with these members beside its fields.
func NewWriter(rest map[string]json.RawMessage) *Writer {
	return &Writer{out: make([]byte, 0, 1<<10), rest: rest}
}

// Field writes a field.
func (w *Writer) Field(name string, value any, required bool) {
	v := reflect.ValueOf(value)
	if !v.IsValid() || v.IsZero() {
		if _, kept := w.rest[name]; !required || kept {
			return
		}
	} else if _, kept := w.rest[name]; kept {
		w.rest = maps.Clone(w.rest)
		delete(w.rest, name)
	}
	w.name(name)
	if raw, is := value.(json.RawMessage); is {
		w.raw(name, raw)
	} else if _, own := value.(json.Marshaler); v.Kind() == reflect.String && !own {
		w.out = AppendText(w.out, v.String())
	} else {
		text, err := json.Marshal(value)
		w.fail(name, err)
		w.out = append(w.out, text...)
	}
}

// End writes the other members, and gives the object.
func (w *Writer) End() ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(w.rest)) {
		w.name(name)
		w.raw(name, w.rest[name])
	}
	if len(w.out) == 0 {
		w.out = append(w.out, '{')
	}
	return append(w.out, '}'), w.err
}

func (w *Writer) name(name string) {
	if len(w.out) == 0 {
		w.out = append(w.out, '{')
	} else {
		w.out = append(w.out, ',')
	}
	w.out = append(AppendText(w.out, name), ':')
}

// raw writes JSON as it is, once it has been checked to be JSON.
func (w *Writer) raw(name string, value json.RawMessage) {
	if value == nil {
		value = json.RawMessage("null")
	}
	w.fail(name, Check(value))
	w.out = append(w.out, value...)
}

func (w *Writer) fail(name string, err error) {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: %w", name, err)
	}
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
