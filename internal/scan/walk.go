// Package scan reads and writes JSON (RFC 8259) where encoding/json is too slow
// or keeps too little: it walks over text and takes pieces out of it as they
// stand, decodes values as they arrive, and writes them back with their digits.
// It is the only such code of the module, and knows nothing of METI.
//
//	walk.go    over one value, checking its grammar
//	number.go  numbers, and the positions of rings
//	pieces.go  members and elements of a text in memory
//	decode.go  a Decoder of values that arrive bit by bit, for generated code
//	value.go   what a Decoder reads the members of an object by
//	write.go   a Writer of objects
package scan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The functions that walk take the text and the index to begin at, and return
// the index behind what they walked over. Where that is not to be had, ok is
// false and the index is that of the byte in the way; an index at the end of
// the text says that the text is cut short.

// MaxDepth is how deep arrays and objects may be nested, as in encoding/json.
const MaxDepth = 10_000

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
		for i < len(b) && b[i] >= ' ' && b[i] < 0x80 && b[i] != '"' && b[i] != '\\' {
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
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i, true
	case 'u':
		for range 4 {
			if i++; i >= len(b) || b[i]-'0' > 9 && (b[i]|0x20)-'a' > 5 {
				return i, false
			}
		}
		return i, true
	}
	return i, false
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

// SkipValue walks over a value of any kind that begins at b[i].
func SkipValue(b []byte, i int) (end int, ok bool) { return skipValue(b, i, 0) }

// skipValue is SkipValue inside of depth arrays and objects.
func skipValue(b []byte, i, depth int) (end int, ok bool) {
	if i >= len(b) {
		return i, false
	}
	switch c := b[i]; {
	case c == '[':
		return array(b, i, depth+1, nil)
	case c == '{':
		return object(b, i, depth+1, nil)
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

// array walks over an array that begins at b[i], and has visit see its elements, if
// it is not nil, until that returns false.
func array(b []byte, i, depth int, visit func(n int, value []byte) bool) (end int, ok bool) {
	if depth > MaxDepth {
		return i, false
	}
	for n := 0; ; n++ {
		var more bool
		if i, more, ok = next(b, i, n == 0, ']'); !more {
			return i, ok
		}
		start := i
		if visit == nil {
			i = skipPositions(b, i)
		}
		if i == start {
			if i, ok = skipValue(b, i, depth); !ok {
				return i, false
			}
		}
		if visit != nil && !visit(n, b[start:i]) {
			return i, true
		}
	}
}

// object does the same for the members of an object.
func object(b []byte, i, depth int, visit func(name, value []byte) bool) (end int, ok bool) {
	if depth > MaxDepth {
		return i, false
	}
	for first := true; ; first = false {
		var more bool
		if i, more, ok = next(b, i, first, '}'); !more {
			return i, ok
		}
		name := i
		nameEnd, value, ok := skipName(b, i)
		if !ok {
			return value, false
		}
		if i, ok = skipValue(b, value, depth); !ok {
			return i, false
		}
		if visit != nil && !visit(unquote(b[name:nameEnd]), b[value:i]) {
			return i, true
		}
	}
}

// skipName walks over a member's name, to its value.
func skipName(b []byte, i int) (end, value int, ok bool) {
	if end, _, ok = skipText(b, i); !ok {
		return end, end, false
	}
	if i = SkipSpace(b, end); i >= len(b) || b[i] != ':' {
		return end, i, false
	}
	return end, SkipSpace(b, i+1), true
}
