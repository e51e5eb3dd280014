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

// nonDigits marks, by its high bit, the first byte of the word that is not a
// digit, given the word with the bits of '0' turned; marks behind it mean
// nothing.
func nonDigits(turned uint64) uint64 {
	return (turned + 0x76*everyByte | turned) & highBits
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

// series is a series of numbers, such as the longitudes of a ring. Most are written
// like the one before, with the same sign and as many digits before the point.
// Those are read a word at a time, without a look at each byte, which takes a
// tenth off the time of a listing; the others go the plain way, and become the
// example.
type series struct {
	like  uint64 // how a number begins: '-' and '.' where they stand, '0' for digits
	fixed uint64 // every bit of the bytes of '-' and '.'
	whole uint64 // every bit of the bytes before the point
	lead  uint64 // bits that are not all zero, or else zeros lead; 0 where there is no example
	sign  int    // the bytes before the digits
	point int    // the index of the point
}

// seriesBytes is how much text there must be for a number to be read by words.
const seriesBytes = 32

// learn takes the sound number at b[i] as an example.
func (s *series) learn(b []byte, i int) {
	*s = series{}
	if b[i] == '-' {
		s.sign = 1
	}
	s.point = skipDigits(b, i+s.sign) - i
	if i+s.point >= len(b) || b[i+s.point] != '.' || s.point > 4 {
		return
	}
	s.fixed = 0xFF << (8 * s.point)
	s.like = '0'*everyByte ^ ('.'^'0')<<(8*s.point)
	if s.sign == 1 {
		s.fixed |= 0xFF
		s.like ^= '-' ^ '0'
	}
	s.whole = 1<<(8*s.point) - 1
	s.lead = 0xFF << (8 * s.sign)
	if s.point == s.sign+1 {
		s.lead = math.MaxUint64 // one zero may lead
	}
}

// begins gives the word that the number begins with, less what it is like: the
// values of digits.
func (s *series) begins(text *[seriesBytes]byte) (word uint64, ok bool) {
	word = binary.LittleEndian.Uint64(text[:]) ^ s.like
	return word, word&s.fixed == 0 && word&s.lead != 0
}

// skip is skipNumber.
func (s *series) skip(b []byte, i int) (end int, ok bool) {
	if i+seriesBytes <= len(b) {
		text := (*[seriesBytes]byte)(b[i:])
		if word, ok := s.begins(text); ok {
			marks := nonDigits(word)
			if marks == 0 {
				end, marks = 8, nonDigits(digitsAt(text, 8))
				if marks == 0 {
					end, marks = 16, nonDigits(digitsAt(text, 16))
				}
			}
			end += bits.TrailingZeros64(marks) >> 3
			if end > s.point+1 && end < 24 && text[end]|0x20 != 'e' {
				return i + end, true
			}
		}
	}
	if end, ok = skipNumber(b, i); ok {
		s.learn(b, i)
	}
	return end, ok
}

// decode is Number.
func (s *series) decode(b []byte, i int) (value float64, end int, ok bool) {
	if i+seriesBytes <= len(b) {
		text := (*[seriesBytes]byte)(b[i:])
		if word, ok := s.begins(text); ok {
			marks := nonDigits(word)
			word = word&s.whole<<8 | word&^s.whole // without the gap at the point
			var digits uint64
			if marks == 0 {
				digits = eightDigits(word)
				end, word = 8, digitsAt(text, 8)
				if marks = nonDigits(word); marks == 0 {
					digits = digits*1e8 + eightDigits(word)
					end, word = 16, digitsAt(text, 16)
					marks = nonDigits(word)
				}
			}
			n := bits.TrailingZeros64(marks) >> 3 & 7
			digits = digits*wholePowers[n] + eightDigits(word<<(56-8*n)<<8)
			end += n
			if fraction := end - s.point - 1; marks != 0 && fraction > 0 && end-s.sign <= len(wholePowers) && text[end&31]|0x20 != 'e' {
				if value = decimal(digits, fraction); s.sign == 1 {
					value = -value
				}
				return value, i + end, true
			}
		}
	}
	if value, end, ok = Number(b, i); ok {
		s.learn(b, i)
	}
	return value, end, ok
}

// digitsAt gives the values of eight digits.
func digitsAt(text *[seriesBytes]byte, i int) uint64 {
	return binary.LittleEndian.Uint64(text[i:]) ^ '0'*everyByte
}

// powers of ten that float64 and uint64 hold exactly.
var (
	floatPowers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}
	wholePowers = [...]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}
)

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

// decimal is a number of which so many digits stand behind the point, fewer
// than wholePowers has.
func decimal(digits uint64, fraction int) float64 {
	if digits < 1<<53 {
		return float64(int64(digits)) / floatPowers[fraction] // both exact, so rounded once
	}
	return quotient(digits, wholePowers[fraction])
}

// eightDigits adds up the bytes of a word, the lowest of which is the first
// digit: pairs, then fours, then all eight.
func eightDigits(word uint64) uint64 {
	const pairs = 0x000000FF_000000FF
	word = word*10 + word>>8
	return (word&pairs*(100+1_000_000<<32) + word>>16&pairs*(1+10_000<<32)) >> 32
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
// [-93.6012,42.0301],[-93.5951,42.0301], up to the last that is whole and
// plainly written; what else there is, is left to array.
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

// Positions appends the positions of a ring whose bracket stands at b[i]: the
// first two numbers of each. Where it is none, want says what should stand at
// b[end].
func Positions[P ~[2]float64](b []byte, i int, to []P) (positions []P, end int, want string) {
	if i >= len(b) || b[i] != '[' {
		return to, i, "a ring"
	}
	if i = SkipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return to, i + 1, ""
	}
	var east, north series
	for {
		if i >= len(b) || b[i] != '[' {
			return to, i, "a position"
		}
		x, j, ok := east.decode(b, SkipSpace(b, i+1))
		if !ok {
			return to, j, "a number"
		}
		if j = SkipSpace(b, j); j >= len(b) || b[j] != ',' {
			return to, j, "a comma and a second number"
		}
		y, j, ok := north.decode(b, SkipSpace(b, j+1))
		if !ok {
			return to, j, "a number"
		}
		to = append(to, P{x, y})
		for j = SkipSpace(b, j); j < len(b) && b[j] == ','; j = SkipSpace(b, j) {
			if j, ok = skipNumber(b, SkipSpace(b, j+1)); !ok {
				return to, j, "a number"
			}
		}
		if j >= len(b) || b[j] != ']' {
			return to, j, "a position's end"
		}
		if i = SkipSpace(b, j+1); i >= len(b) || b[i] != ',' {
			break
		}
		i = SkipSpace(b, i+1)
	}
	if i >= len(b) || b[i] != ']' {
		return to, i, "a comma or a ring's end"
	}
	return to, i + 1, ""
}
