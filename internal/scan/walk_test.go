package scan

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzCut holds that a text is JSON exactly when its pieces are, that the
// pieces are those that encoding/json finds.
func FuzzCut(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"a":1}`, `{"a":[1,2],"b":{"a":"]}"},"a":[ {"x":[3, 4]} , "\"" ]}`, `[1,[2],{"a":[]}, "x"]`, `{"\u0061":1, "a" : null }`,
		`[]`, `[ ]`, `[1 2]`, `[1"a"]`, `[1[2]]`, `[}`, `[1}`, `{"a":1"b":2}`, `{"a":1[2]}`, `{"a"}`, `{"a":}`, `{"`, `"`, `[,]`, `[1,]`, `{"a":1,}`,
		`{"a":[1,2}`, `{"a":"\`, `[0 0]`, `[1.5.5]`, "[\x01]", "{\"a\":1\x01}", `{"a":1}x`, `[1]]`, `{"a\":1}`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, bytes.Repeat([]byte("["), 9000)) {
			return // encoding/json knows a depth of 10,000
		}
		text = text[SkipSpace(text, 0):]
		valid := json.Valid(text)

		value, rest := Cut(text, "a")
		if pieces := json.Valid(rest) && (value == nil || json.Valid(value)); pieces != valid {
			t.Errorf("%q is JSON: %v, but %q and %q: %v", text, valid, value, rest, pieces)
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) == nil && string(members["a"]) != string(value) {
			t.Errorf("%q has %q, not %q", text, members["a"], value)
		}

		var items [][]byte
		end, ok := Elements(text, func(_ int, item []byte) bool { items = append(items, item); return true })
		if array := len(text) > 0 && text[0] == '['; array && (ok && SkipSpace(text, end) == len(text)) != valid {
			t.Errorf("%q is JSON: %v, but %v at %d", text, valid, ok, end)
		}
		var elements []json.RawMessage
		if json.Unmarshal(text, &elements) == nil {
			if len(elements) != len(items) {
				t.Fatalf("%q has %q, not %q", text, elements, items)
			}
			for i, item := range items {
				if !bytes.Equal(item, elements[i]) {
					t.Errorf("%q has %q, not %q", text, elements[i], item)
				}
			}
		}
	})
}

// FuzzJSON holds the grammar equal to encoding/json's.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{
		`0`, `-`, `-0`, `00`, `-01`, `1.`, `1.0`, `1e`, `1e+`, `1e+5`, `1E-05`, `+1`, `.1`, `123456789`, `1234567890123456`, `1234567:`, `"`, `"a`, `"12345678"`, `"1234567\"`, `"\u12G4"`, `"\x"`,
		"\"\x1f\"", "\"\x7f\"", "\"\xff\"", "\"12345\x00678\"", `[[1,2],[3,4]]`, `[[1, 2], [3,4]]`, `[[1 ,2]]`, `[[-1.5e3,2],[3]]`, `[[1,2],]`, `[[1,2]`, `[[1,2],[`, `[[1,`, `[[01,2]]`, `[[1,02]]`,
		`true`, `tru`, `nulll`, `{"a":[{"b":{}}]}`, `{"a" : 1 , "b":2 }`, `{a:1}`, `{"a":1 "b":2}`, " \t\r\n1", "\v1", `[1]]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := Check(data); (err == nil) != json.Valid(data) {
			t.Errorf("json.Valid says %v, and we %v\n%q", json.Valid(data), err, data)
		}
	})
}
