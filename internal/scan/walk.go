// Package scan reads and writes JSON (RFC 8259) where encoding/json is too slow
// or keeps too little: it walks over text and takes pieces out of it as they
// stand, decodes values as they arrive, and writes them back with their digits.
// It is the only such code of the module, and knows nothing of METI.
//
//	walk.go    over one value in memory, checking its grammar, and its pieces
//	number.go  numbers, and the positions of rings
//	decode.go  a Decoder of values that arrive bit by bit, for generated code
//	value.go   what a Decoder reads the members of an object by
//	write.go   a Writer of objects
package scan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// The functions that walk take the text and the index to begin at, and return
// the index behind what they walked over. Where that is not to be had, ok is
// false and the index is that of the byte in the way; an index at the end of
// the text says that the text is cut short.

// maxDepth is how deep arrays and objects may be nested, as in encoding/json.
const maxDepth = 10_000

// Check checks that text is one JSON value.
func Check(text []byte) error {
	end, ok := SkipValue(text, SkipSpace(text, 0))
	if ok {
		end = SkipSpace(text, end)
	}
	switch {
	case ok && end == len(text):
		return nil
	case end < len(text):
		return fmt.Errorf("broken JSON: unexpected %q at byte %d", text[end], end)
	}
	return errors.New("the JSON is cut short")
}

// SkipSpace walks over white space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// SkipValue walks over a value of any kind that begins at b[i].
func SkipValue(b []byte, i int) (end int, ok bool) { return skipValue(b, i, 0) }

// skipValue is SkipValue inside of depth arrays and objects.
func skipValue(b []byte, i, depth int) (end int, ok bool) {
	if i >= len(b) {
		return i, false
	}
	switch c := b[i]; {
	case c == '[' || c == '{':
		return skipItems(b, i, depth+1, nil)
	case c == '"':
		end, _, ok = skipText(b, i)
		return end, ok
	case c == '-' || c-'0' <= 9:
		return skipNumber(b, i)
	case c == 't':
		return skipWord(b, i, "true")
	case c == 'f':
		return skipWord(b, i, "false")
	case c == 'n':
		return skipWord(b, i, "null")
	}
	return i, false
}

// skipItems walks over an array or an object that begins at b[i]. It has visit see
// each element, or each member with its name in quotes, until that returns false.
func skipItems(b []byte, i, depth int, visit func(quoted, value []byte) bool) (end int, ok bool) {
	if depth > maxDepth {
		return i, false
	}
	shut := b[i] + 2 // both brackets are two apart
	for first := true; ; first = false {
		var more bool
		if i, more, ok = next(b, i, first, shut); !more {
			return i, ok
		}
		var quoted []byte
		if shut == '}' {
			start := i
			if i, _, ok = skipText(b, i); !ok {
				return i, false
			}
			quoted = b[start:i]
			if i, ok = skipColon(b, i); !ok {
				return i, false
			}
		}
		start := i
		if shut == ']' && visit == nil {
			i = skipPositions(b, i)
		}
		if i == start {
			if i, ok = skipValue(b, i, depth); !ok {
				return i, false
			}
		}
		if visit != nil && !visit(quoted, b[start:i]) {
			return i, true
		}
	}
}

// next goes to the next item of an array or an object, which ends by shut: to the
// first from the bracket at b[i], and to any other from behind the item before.
// Without one it goes behind the end.
func next(b []byte, i int, first bool, shut byte) (at int, more, ok bool) {
	if i = SkipSpace(b, i); i >= len(b) {
		return i, false, false
	}
	if !first && b[i] == shut {
		return i + 1, false, true
	}
	if !first && b[i] != ',' {
		return i, false, false
	}
	if i = SkipSpace(b, i+1); first && i < len(b) && b[i] == shut {
		return i + 1, false, true
	}
	return i, i < len(b), i < len(b)
}

// skipColon goes from behind a member's name to its value.
func skipColon(b []byte, i int) (value int, ok bool) {
	if i = SkipSpace(b, i); i >= len(b) || b[i] != ':' {
		return i, false
	}
	i = SkipSpace(b, i+1)
	return i, i < len(b)
}

// skipWord walks over true, false or null.
func skipWord(b []byte, i int, want string) (end int, ok bool) {
	for j := range len(want) {
		if i+j >= len(b) || b[i+j] != want[j] {
			return i + j, false
		}
	}
	return i + len(want), true
}

// skipText walks over a string that begins at b[i]. plain says that what stands
// between the quotes is ASCII without escapes, and so is its own value.
func skipText(b []byte, i int) (end int, plain, ok bool) {
	if i >= len(b) || b[i] != '"' {
		return i, false, false
	}
	plain = true
	for i++; ; i++ {
		for ; i+8 <= len(b); i += 8 {
			word := binary.LittleEndian.Uint64(b[i:])
			quote, slash := word^'"'*everyByte, word^'\\'*everyByte
			// The high bits of bytes that may not be walked over so; the lowest is exact.
			marks := ((quote-everyByte)&^quote | (slash-everyByte)&^slash | (word-' '*everyByte)&^word | word) & highBits
			if marks != 0 {
				i += bits.TrailingZeros64(marks) >> 3
				break
			}
		}
		for i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
			i++
		}
		switch {
		case i >= len(b) || b[i] < ' ':
			return i, false, false
		case b[i] == '"':
			return i + 1, plain, true
		case b[i] == '\\':
			if i, ok = skipEscape(b, i+1); !ok {
				return i, false, false
			}
		}
		plain = false
	}
}

// skipEscape goes to the last byte of what follows a backslash.
func skipEscape(b []byte, i int) (last int, ok bool) {
	if i < len(b) && b[i] == 'u' {
		for range 4 {
			if i++; i >= len(b) || b[i]-'0' > 9 && (b[i]|0x20)-'a' > 5 {
				return i, false
			}
		}
		return i, true
	}
	return i, i < len(b) && bytes.IndexByte([]byte(`"\/bfnrt`), b[i]) >= 0
}

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
	return skipItems(text, i, 1, func(quoted, value []byte) bool { return visit(unquote(quoted), value) })
}

// Elements visits the elements of the array that text begins with, as Members
// does the members of an object.
func Elements(text []byte, visit func(i int, value []byte) bool) (end int, ok bool) {
	i, n := SkipSpace(text, 0), -1
	if i >= len(text) || text[i] != '[' {
		return i, false
	}
	return skipItems(text, i, 1, func(_, value []byte) bool { n++; return visit(n, value) })
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
