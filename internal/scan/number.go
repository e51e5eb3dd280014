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

// shape is how a number begins, such as the longitudes of a ring: most begin like
// the one before, with the same sign and as many digits before the point. Those
// are walked over a word at a time, without a look at each byte, which makes a
// listing that leaves boundaries alone a tenth faster.
type shape struct {
	like  uint64 // '-' and '.' where they stand, '0' for digits
	fixed uint64 // every bit of the bytes of '-' and '.'
	lead  uint64 // bits that are not all zero, or else zeros lead; 0 is the shape of no number
	point int    // the index of the point
}

// shapeOf is the shape of the sound number at b[i].
func shapeOf(b []byte, i int) (s shape) {
	sign := 0
	if b[i] == '-' {
		sign = 1
	}
	for s.point = sign; i+s.point < len(b) && b[i+s.point]-'0' <= 9; s.point++ {
	}
	if i+s.point >= len(b) || b[i+s.point] != '.' || s.point > 4 {
		return shape{}
	}
	s.fixed = 0xFF << (8 * s.point)
	s.like = '0'*everyByte ^ ('.'^'0')<<(8*s.point)
	s.lead = 0xFF << (8 * sign)
	if sign == 1 {
		s.fixed |= 0xFF
		s.like ^= '-' ^ '0'
	}
	if s.point == sign+1 {
		s.lead = math.MaxUint64 // one zero may lead
	}
	return s
}

// skip is skipNumber. It takes the shape of a number that is not like it.
func (s *shape) skip(b []byte, i int) (end int, ok bool) {
	if i+24 < len(b) {
		word := binary.LittleEndian.Uint64(b[i:]) ^ s.like
		if word&s.fixed == 0 && word&s.lead != 0 {
			marks := nonDigits(word)
			for end = 0; marks == 0 && end < 16; {
				end += 8
				marks = nonDigits(binary.LittleEndian.Uint64(b[i+end:]) ^ '0'*everyByte)
			}
			end += bits.TrailingZeros64(marks) >> 3
			if end > s.point+1 && end < 24 && b[i+end]|0x20 != 'e' {
				return i + end, true
			}
		}
	}
	if end, ok = skipNumber(b, i); ok {
		*s = shapeOf(b, i)
	}
	return end, ok
}

// skipPositions walks over the positions of a ring, such as
// [-93.6012,42.0301],[-93.5951,42.0301], up to the last that is whole and
// plainly written; what else there is, is left to skipArray.
func skipPositions(b []byte, i int) int {
	var east, north shape
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

// powers of ten that float64 and uint64 hold exactly.
var (
	floatPowers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}
	wholePowers = [...]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}
)

// Number reads a number, to the bit as strconv.ParseFloat does, which
// does the work where it is not plain.
func Number(b []byte, i int) (value float64, end int, ok bool) {
	start := i
	if i < len(b) && b[i] == '-' {
		i++
	}
	first := i
	var mantissa uint64
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		mantissa = mantissa*10 + uint64(b[i]-'0')
	}
	if i == first || b[first] == '0' && i > first+1 {
		return 0, min(i, first+1), false
	}
	count, fraction := i-first, 0 // digits
	end = i
	if i < len(b) && b[i] == '.' {
		mantissa, end = decodeDigits(b, i+1, mantissa)
		if fraction = end - i - 1; fraction == 0 {
			return 0, end, false
		}
		count += fraction
	}
	if end < len(b) && b[end]|0x20 == 'e' || count >= len(wholePowers) {
		if end, ok = skipNumber(b, start); !ok {
			return 0, end, false
		}
		if value, err := strconv.ParseFloat(string(b[start:end]), 64); err == nil {
			return value, end, true
		}
		return 0, start, false // larger than any
	}
	value = decimal(mantissa, fraction)
	if b[start] == '-' {
		value = -value
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

// decodeDigits goes on with a number of which the digits so far are given. What
// passes 64 bits is nonsense.
func decodeDigits(b []byte, i int, so uint64) (number uint64, end int) {
	for i+8 <= len(b) {
		word := binary.LittleEndian.Uint64(b[i:]) ^ '0'*everyByte
		m := nonDigits(word)
		if m == 0 {
			so = so*1e8 + eightDigits(word)
			i += 8
			continue
		}
		n := bits.TrailingZeros64(m) >> 3
		if n == 0 {
			return so, i
		}
		// The first digit stands lowest: shifted up, zeros lead it.
		return so*wholePowers[n] + eightDigits(word<<(64-8*n&63)), i + n
	}
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		so = so*10 + uint64(b[i]-'0')
	}
	return so, i
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

// Positions appends the positions of a ring whose bracket stands at b[i]: the
// first two numbers of each. Where it is none, want says what should stand at
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
		}
		if b[i] != '[' {
			return to, i, "a position"
		}
		var position P
		n := 0
		for first := true; ; first = false {
			if i, more, ok = next(b, i, first, ']'); !more {
				break
			}
			if n < 2 {
				position[n], i, ok = Number(b, i)
			} else {
				i, ok = skipNumber(b, i)
			}
			if !ok {
				return to, i, "a number"
			}
			n++
		}
		if ok && n < 2 {
			i, ok = i-1, false
		}
		if !ok {
			return to, i, "a comma or a position's end"
		}
		to = append(to, position)
	}
}
