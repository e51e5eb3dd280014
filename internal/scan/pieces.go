package scan

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// Members visits the members of the object that text begins with, until visit
// returns false. Names come without quotes and escapes, values as they stand.
// ok reports whether the members that were visited, and where all were, the
// object too, are sound; end is the index behind them, or that of the byte in
// the way.
func Members(text []byte, visit func(name, value []byte) bool) (end int, ok bool) {
	i := SkipSpace(text, 0)
	if i >= len(text) || text[i] != '{' {
		return i, false
	}
	return object(text, i, 1, visit)
}

// Elements visits the elements of the array that text begins with, as Members
// does the members of an object.
func Elements(text []byte, visit func(i int, value []byte) bool) (end int, ok bool) {
	i := SkipSpace(text, 0)
	if i >= len(text) || text[i] != '[' {
		return i, false
	}
	return array(text, i, 1, visit)
}

// Cut takes the value of a member out of an object, the last of equal names.
// rest is the object with null in its place: the object is JSON when both are.
// Without such a member the value is nil, and the rest is everything.
func Cut(object []byte, member string) (value, rest []byte) {
	Members(object, func(name, v []byte) bool {
		if string(name) == member {
			value = v
		}
		return true
	})
	if value == nil {
		return nil, object
	}
	from := cap(object) - cap(value)
	return value, slices.Concat(object[:from], []byte("null"), object[from+len(value):])
}

// Unquote gives the value of a JSON string, quotes and all.
func Unquote(quoted []byte) string { return string(unquote(quoted)) }

// unquote is Unquote without a copy where the value stands in the text. Bytes
// that are not UTF-8 become U+FFFD, as in encoding/json.
func unquote(quoted []byte) []byte {
	if value := quoted[1 : len(quoted)-1]; bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value) {
		return value
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // its grammar has been checked
	return []byte(s)
}
