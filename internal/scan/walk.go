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
//
// Digits and plain text go by eight bytes at a time, in one machine word: most
// of METI's answers, for one, are coordinates.

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

// SkipText walks over a string whose opening quote stands at b[i].
func SkipText(b []byte, i int) (end int, ok bool) {
	if i >= len(b) || b[i] != '"' {
		return i, false
	}
	end, _, ok = skipText(b, i+1)
	return end, ok
}

// skipText walks over a string that begins behind its opening quote. plain says
// that what stands between the quotes is ASCII without escapes, and so is its
// own value.
func skipText(b []byte, i int) (end int, plain, ok bool) {
	plain = true
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^'"'*everyByte, w^'\\'*everyByte
			// The lowest mark is exact: a borrow runs upwards only.
			m := ((quote-everyByte)&^quote | (slash-everyByte)&^slash | (w-' '*everyByte)&^w) & highBits
			if w&highBits&(m&-m-1) != 0 {
				plain = false
			}
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			plain = plain && b[i] < 0x80
			i++
		}
		switch {
		case i >= len(b):
			return i, plain, false
		case b[i] == '"':
			return i + 1, plain, true
		case b[i] == '\\':
			plain = false
			if i, ok = skipEscape(b, i+1); !ok {
				return i, plain, false
			}
		case b[i] < ' ':
			return i, plain, false
		}
	}
}

// skipEscape walks over what follows a backslash.
func skipEscape(b []byte, i int) (end int, ok bool) {
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, true
	case 'u':
		for range 4 {
			if i++; i >= len(b) || !isHex(b[i]) {
				return i, false
			}
		}
		return i + 1, true
	}
	return i, false
}

func isHex(c byte) bool { return c-'0' <= 9 || (c|0x20)-'a' <= 5 }

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
		return skipArray(b, i, depth+1)
	case c == '{':
		return skipObject(b, i, depth+1)
	case c == '"':
		end, _, ok = skipText(b, i+1)
		return end, ok
	case c == '-' || c-'0' <= 9:
		return SkipNumber(b, i)
	case c == 't':
		return skipWord(b, i, "true")
	case c == 'f':
		return skipWord(b, i, "false")
	case c == 'n':
		return skipWord(b, i, "null")
	}
	return i, false
}

func skipArray(b []byte, i, depth int) (end int, ok bool) {
	if depth > MaxDepth {
		return i, false
	}
	if i = SkipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1, true
	}
	for {
		start := i
		if i = skipPositions(b, i); i == start {
			if i, ok = skipValue(b, i, depth); !ok {
				return i, false
			}
		}
		if i = SkipSpace(b, i); i >= len(b) || b[i] != ',' {
			break
		}
		i = SkipSpace(b, i+1)
	}
	if i < len(b) && b[i] == ']' {
		return i + 1, true
	}
	return i, false
}

// skipPositions walks over the positions of a ring, such as
// [-93.6012,42.0301],[-93.5951,42.0301], up to the last that is whole and
// plainly written; what else there is, is left to skipArray.
func skipPositions(b []byte, i int) int {
	var east, north series
	for next := i; next < len(b) && b[next] == '['; {
		j, ok := east.skip(b, next+1)
		if !ok || j >= len(b) || b[j] != ',' {
			return i
		}
		if j++; j < len(b) && b[j] == ' ' {
			j++
		}
		if j, ok = north.skip(b, j); !ok || j >= len(b) || b[j] != ']' {
			return i
		}
		if i = j + 1; i >= len(b) || b[i] != ',' {
			return i
		}
		if next = i + 1; next < len(b) && b[next] == ' ' {
			next++
		}
	}
	return i
}

func skipObject(b []byte, i, depth int) (end int, ok bool) {
	if depth > MaxDepth {
		return i, false
	}
	if i = SkipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	for {
		if _, i, ok = skipName(b, i); !ok {
			return i, false
		}
		if i, ok = skipValue(b, i, depth); !ok {
			return i, false
		}
		if i = SkipSpace(b, i); i >= len(b) || b[i] != ',' {
			break
		}
		i = SkipSpace(b, i+1)
	}
	if i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	return i, false
}

// skipName walks over a member's name, to its value.
func skipName(b []byte, i int) (end, value int, ok bool) {
	if end, ok = SkipText(b, i); !ok {
		return end, end, false
	}
	if i = SkipSpace(b, end); i >= len(b) || b[i] != ':' {
		return end, i, false
	}
	return end, SkipSpace(b, i+1), true
}
