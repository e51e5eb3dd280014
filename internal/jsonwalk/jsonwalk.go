// Package jsonwalk walks over the members and elements of JSON text without
// decoding it, and takes pieces out, so that a large text can be checked and
// read a piece at a time, on all cores.
//
// It checks no grammar. On text that is not JSON it stops early, or gives
// pieces that are not JSON either.
package jsonwalk

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Members visits the members of an object until visit returns false. Names
// come without quotes and escapes.
func Members(object []byte, visit func(name, item []byte) bool) {
	members(object, func(name []byte, start, end int) bool { return visit(name, object[start:end]) })
}

func members(object []byte, visit func(name []byte, start, end int) bool) {
	if len(object) == 0 || object[0] != '{' {
		return
	}
	for i := SkipSpace(object, 1); i < len(object) && object[i] == '"'; {
		nameEnd := StringEnd(object, i)
		colon := SkipSpace(object, nameEnd)
		if colon >= len(object) || object[colon] != ':' {
			return
		}
		start := SkipSpace(object, colon+1)
		end := valueEnd(object, start)
		if start == end || !visit(unquote(object[i:nameEnd]), start, end) {
			return
		}
		i = next(object, end)
	}
}

// Elements visits the elements of an array until visit returns false.
func Elements(array []byte, visit func(i int, item []byte) bool) {
	elements(array, func(i, start, end int) bool { return visit(i, array[start:end]) })
}

func elements(array []byte, visit func(i, start, end int) bool) {
	if len(array) == 0 || array[0] != '[' {
		return
	}
	start := SkipSpace(array, 1)
	for n := 0; start < len(array) && array[start] != ']'; n++ {
		end := valueEnd(array, start)
		if start == end || !visit(n, start, end) {
			return
		}
		start = next(array, end)
	}
}

// Cut takes the value of a member out of an object, the last of equal names.
// rest is the object with null in its place: the object is JSON when both are.
// Without such a member the value is nil, and the rest is everything.
func Cut(object []byte, member string) (value, rest []byte) {
	var from, to int
	members(object, func(name []byte, start, end int) bool {
		if string(name) == member {
			from, to = start, end
		}
		return true
	})
	if to == 0 {
		return nil, object
	}
	return object[from:to], slices.Concat(object[:from], []byte("null"), object[to:])
}

// CutElements takes the elements out of an array. rest is the array with a 0
// in the place of each: the array is JSON when all of them are.
func CutElements(array []byte) (items [][]byte, rest []byte) {
	from := 0
	elements(array, func(_, start, end int) bool {
		items = append(items, array[start:end])
		rest = append(append(rest, array[from:start]...), '0')
		from = end
		return true
	})
	return items, append(rest, array[from:]...)
}

// AppendCompact appends JSON without the white space between its tokens.
func AppendCompact(b, text []byte) []byte {
	for i := 0; i < len(text); {
		start := i
		for i < len(text) && !isSpace(text[i]) {
			if text[i] == '"' {
				i = StringEnd(text, i)
			} else {
				i++
			}
		}
		b = append(b, text[start:i]...)
		i = SkipSpace(text, i)
	}
	return b
}

// Depth counts how deep the arrays and objects of a text nest.
func Depth(text []byte) int {
	deepest, level := 0, 0
	for i := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = StringEnd(text, i)
			continue
		case '[', '{':
			level++
			deepest = max(deepest, level)
		case ']', '}':
			level--
		}
		for i++; i < len(text) && !nests[text[i]]; i++ {
		}
	}
	return deepest
}

// SkipSpace gives the place of the first byte from i on that is not white
// space.
func SkipSpace(text []byte, i int) int {
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// StringEnd gives the place after the string that starts at i.
func StringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// next gives the place of the value or name after the one that ends at i.
func next(text []byte, i int) int {
	if i = SkipSpace(text, i); i < len(text) && text[i] == ',' {
		i = SkipSpace(text, i+1)
	}
	return i
}

// nests are the bytes that matter within an array or object.
var nests = [256]bool{'"': true, '[': true, '{': true, ']': true, '}': true}

// valueEnd gives the place after the value that starts at i.
func valueEnd(text []byte, i int) int {
	if i >= len(text) {
		return i
	}
	switch text[i] {
	case '"':
		return StringEnd(text, i)
	case '[', '{':
	default:
		for i < len(text) && !nests[text[i]] && text[i] != ',' && text[i] > ' ' {
			i++
		}
		return i
	}
	for level := 0; i < len(text); {
		switch text[i] {
		case '"':
			i = StringEnd(text, i)
			continue
		case '[', '{':
			level++
		case ']', '}':
			if level--; level == 0 {
				return i + 1
			}
		}
		for i++; i < len(text) && !nests[text[i]]; i++ {
		}
	}
	return i
}

func unquote(name []byte) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name[1 : len(name)-1]
	}
	var s string
	_ = json.Unmarshal(name, &s) // what is no JSON is found by others
	return []byte(s)
}
