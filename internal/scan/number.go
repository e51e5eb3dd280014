package scan

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

const (
	everyByte = 0x0101010101010101 // times a byte: that byte, eight times
	highBits  = 0x80 * everyByte
)

// digitsAt gives the values of eight digits, each in its byte.
func digitsAt(text []byte) uint64 { return binary.LittleEndian.Uint64(text) ^ '0'*everyByte }

// nonDigits marks, by their high bits, the bytes that are no such values.
func nonDigits(digits uint64) uint64 {
	return (digits&^highBits + 0x76*everyByte | digits) & highBits
}

// firstOf gives the index of the first byte that is marked, 8 if none is.
func firstOf(marks uint64) int { return bits.TrailingZeros64(marks) >> 3 }

// eightDigits adds up the bytes of a word, the lowest of which is the first
// digit: pairs, then fours, then all eight.
func eightDigits(word uint64) uint64 {
	const pairs = 0x000000FF_000000FF
	word = word*10 + word>>8
	return (word&pairs*(100+1_000_000<<32) + word>>16&pairs*(1+10_000<<32)) >> 32
}

// skipDigits walks over decimal digits.
func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// skipNumber walks over a number.
func skipNumber(b []byte, i int) (end int, ok bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	start := i
	if i = skipDigits(b, i); i == start || b[start] == '0' && i > start+1 {
		return min(i, start+1), false
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = skipDigits(b, start); i == start {
			return i, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = skipDigits(b, start); i == start {
			return i, false
		}
	}
	return i, true
}

// powers of ten, which float64 holds exactly too.
var powers = [...]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// Number reads a number as strconv.ParseFloat does. One that is larger than any
// float64 is none.
func Number(b []byte, i int) (value float64, end int, ok bool) {
	if end, ok = skipNumber(b, i); !ok {
		return 0, end, false
	}
	value, err := strconv.ParseFloat(string(b[i:end]), 64)
	if err != nil {
		return 0, i, false
	}
	return value, end, true
}

// coordinateBytes is how much text there must be, behind a sign, for a number to be
// read a word at a time, without a look at each byte: a coordinate is nearly always
// written with one to four digits, a point and some more digits. The others go the
// plain way. It takes more than a tenth off the time of a listing.
const coordinateBytes = 32

// skipCoordinate is skipNumber.
func skipCoordinate(b []byte, i int) (end int, ok bool) {
	start := i
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i+coordinateBytes <= len(b) {
		text := (*[coordinateBytes]byte)(b[i:])
		marks := nonDigits(digitsAt(text[:]))
		point := firstOf(marks)
		if marks &= marks - 1; marks == 0 {
			end, marks = 8, nonDigits(digitsAt(text[8:]))
			if marks == 0 {
				end, marks = 16, nonDigits(digitsAt(text[16:]))
			}
		}
		end += firstOf(marks)
		if isCoordinate(text, point, end) {
			return i + end, true
		}
	}
	return skipNumber(b, start)
}

// isCoordinate reports whether text is written like one, with these places of its
// point and its end.
func isCoordinate(text *[coordinateBytes]byte, point, end int) bool {
	return uint(point-1) < 4 && text[point&7] == '.' && end > point+1 && end < 24 && text[end&31]|0x20 != 'e' && (text[0] != '0' || point == 1)
}

// coordinate is Number.
func coordinate(b []byte, i int) (value float64, end int, ok bool) {
	start := i
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i+coordinateBytes <= len(b) {
		text := (*[coordinateBytes]byte)(b[i:])
		word, digits := digitsAt(text[:]), uint64(0)
		marks := nonDigits(word)
		point := firstOf(marks)
		before := uint64(1)<<(8*point&63) - 1
		word ^= ('.' ^ '0') << (8 * point & 63)
		word = word&before<<8 | word&^before // without the gap at the point
		if marks &= marks - 1; marks == 0 {
			digits = eightDigits(word)
			end, word = 8, digitsAt(text[8:])
			if marks = nonDigits(word); marks == 0 {
				digits = digits*1e8 + eightDigits(word)
				end, word = 16, digitsAt(text[16:])
				marks = nonDigits(word)
			}
		}
		n := firstOf(marks) & 7
		digits = digits*powers[n] + eightDigits(word<<(56-8*n)<<8)
		end += n
		if marks != 0 && end <= len(powers) && isCoordinate(text, point, end) {
			if fraction := end - point - 1; digits < 1<<53 {
				value = float64(int64(digits)) / float64(powers[fraction]) // both exact, so rounded once
			} else {
				value = quotient(digits, powers[fraction])
			}
			if i > start {
				value = -value
			}
			return value, i + end, true
		}
	}
	return Number(b, start)
}

// quotient divides, rounded to the nearest float64 and to the even one where
// two are as near.
func quotient(a, b uint64) float64 {
	shiftA, shiftB := bits.LeadingZeros64(a), bits.LeadingZeros64(b)
	a, b = a<<shiftA, b<<shiftB
	q, rest := bits.Div64(a>>1, a<<63, b) // at least 63 bits, of which 53 count
	if rest != 0 {
		q |= 1 // enough to break a tie
	}
	return float64(q) * math.Float64frombits(uint64(1023-63+shiftB-shiftA)<<52) // a power of two
}

// skipPositions walks over the positions of a ring, such as
// [-93.6012,42.0301],[-93.5951,42.0301], up to the last that is whole and has two
// numbers; what else there is, is left to skipItems.
func skipPositions(b []byte, i int) int {
	for next := i; next < len(b) && b[next] == '['; next = SkipSpace(b, i+1) {
		j, ok := skipCoordinate(b, next+1)
		if !ok || j >= len(b) || b[j] != ',' {
			return i
		}
		if j, ok = skipCoordinate(b, SkipSpace(b, j+1)); !ok || j >= len(b) || b[j] != ']' {
			return i
		}
		if i = j + 1; i >= len(b) || b[i] != ',' {
			return i
		}
	}
	return i
}

// Positions appends the positions of a ring whose bracket stands at b[i]: the
// first two numbers of each, whatever else there is. Where it is none, want says what should stand at
// b[end].
func Positions[P ~[2]float64](b []byte, i int, to []P) (positions []P, end int, want string) {
	if i >= len(b) || b[i] != '[' {
		return to, i, "a ring"
	}
	for first := true; ; first = false {
		var more, ok bool
		if i, more, ok = next(b, i, first, ']'); !ok {
			return to, i, "a comma or a ring's end"
		} else if !more {
			return to, i, ""
		} else if b[i] != '[' {
			return to, i, "a position"
		}
		var x, y float64
		if x, i, ok = coordinate(b, SkipSpace(b, i+1)); !ok {
			return to, i, "a number"
		}
		if i = SkipSpace(b, i); i >= len(b) || b[i] != ',' {
			return to, i, "a comma and a second number"
		}
		if y, i, ok = coordinate(b, SkipSpace(b, i+1)); !ok {
			return to, i, "a number"
		}
		for i = SkipSpace(b, i); i < len(b) && b[i] == ','; i = SkipSpace(b, i) {
			if i, ok = SkipValue(b, SkipSpace(b, i+1)); !ok {
				return to, i, "a value"
			}
		}
		if i >= len(b) || b[i] != ']' {
			return to, i, "a position's end"
		}
		to = append(to, P{x, y})
		i++
	}
}
