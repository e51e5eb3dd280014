package ledger

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/meti-go/meti/internal/jsonwalk"
)

// This file holds JSON against PostgreSQL's jsonb, which is stricter than
// RFC 8259 in what strings and numbers it can hold, and writes values as its
// operator ->> does.

// jsonValid reports whether text is JSON that jsonb can hold.
func jsonValid(text []byte) bool { return json.Valid(text) && jsonbFault(text) == "" }

// jsonbFault says what in valid JSON jsonb refuses, the empty string when
// nothing.
func jsonbFault(text []byte) string {
	if !utf8.Valid(text) {
		return "the text is not UTF-8"
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			end := jsonwalk.StringEnd(text, i)
			if fault := stringFault(text[i:end]); fault != "" {
				return fault
			}
			i = end
		case c == '-' || c >= '0' && c <= '9':
			end, exponent := i+1, false
			for ; end < len(text); end++ {
				if c := text[end]; c == 'e' || c == 'E' {
					exponent = true
				} else if !isDigit(c) && c != '.' && c != '-' && c != '+' {
					break
				}
			}
			// Most are short and plain.
			if exponent || end-i > numericScale {
				if fault := numberFault(text[i:end]); fault != "" {
					return fault
				}
			}
			i = end
		default:
			i++
		}
	}
	return ""
}

// stringFault finds the two escapes that jsonb refuses: a zero character, and
// half of a surrogate pair.
func stringFault(text []byte) string {
	for i := 0; ; {
		next := bytes.IndexByte(text[i:], '\\')
		if next < 0 {
			return ""
		}
		i += next
		if text[i+1] != 'u' {
			i += 2
			continue
		}
		code := hex4(text[i+2:])
		i += 6
		switch {
		case code == 0:
			return `a string holds \u0000`
		case code >= 0xDC00 && code <= 0xDFFF:
			return "a string holds half of a surrogate pair"
		case code >= 0xD800 && code <= 0xDBFF:
			if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
				return "a string holds half of a surrogate pair"
			}
			if low := hex4(text[i+2:]); low < 0xDC00 || low > 0xDFFF {
				return "a string holds half of a surrogate pair"
			}
			i += 6
		}
	}
}

func hex4(text []byte) uint64 {
	v, _ := strconv.ParseUint(string(text[:4]), 16, 32)
	return v
}

// The bounds of PostgreSQL's numeric: digits before the point, and after it.
const (
	numericDigits = 131072
	numericScale  = 16383
)

func numberFault(number []byte) string {
	digits, fraction, exponent, ok := splitNumber(number)
	if !ok || len(digits)-fraction+exponent > numericDigits && strings.Trim(digits, "0") != "" || fraction-exponent > numericScale {
		return "a number is out of range"
	}
	return ""
}

// splitNumber takes a JSON number apart: its digits without leading zeros, how
// many of them stand after the point, and the exponent.
func splitNumber(number []byte) (digits string, fraction, exponent int, ok bool) {
	text := strings.TrimPrefix(string(number), "-")
	if e := strings.IndexAny(text, "eE"); e >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[e+1:]); err != nil {
			return "", 0, 0, false
		}
		text = text[:e]
	}
	before, after, _ := strings.Cut(text, ".")
	return strings.TrimLeft(before+after, "0"), len(after), exponent, true
}

// numericText writes a JSON number as PostgreSQL's numeric does: without an
// exponent, with the digits after the point that were given, without a minus
// before zero.
func numericText(number []byte) string {
	digits, fraction, exponent, ok := splitNumber(number)
	if !ok {
		return string(number)
	}
	scale := fraction - exponent
	if scale < 0 {
		if digits != "" {
			digits += strings.Repeat("0", -scale)
		}
		scale = 0
	}
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	sign := ""
	if number[0] == '-' && strings.Trim(digits, "0") != "" {
		sign = "-"
	}
	if scale == 0 {
		return sign + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

// asText writes a JSON value as the operator ->> does: a string bare, the rest
// as jsonb prints it. ok is false for null.
func asText(value []byte) (text string, ok bool) {
	switch value[0] {
	case 'n':
		return "", false
	case '"':
		_ = json.Unmarshal(value, &text) // valid by the caller's promise
		return text, true
	default:
		var b strings.Builder
		writeJSONB(&b, value)
		return b.String(), true
	}
}

func writeJSONB(b *strings.Builder, value []byte) {
	switch value[0] {
	case '{':
		type pair struct {
			key   string
			value []byte
		}
		var pairs []pair
		jsonwalk.Members(value, func(name, item []byte) bool {
			k := string(name)
			if i := slices.IndexFunc(pairs, func(p pair) bool { return p.key == k }); i >= 0 {
				pairs[i].value = item
			} else {
				pairs = append(pairs, pair{k, item})
			}
			return true
		})
		slices.SortFunc(pairs, func(x, y pair) int {
			if len(x.key) != len(y.key) {
				return len(x.key) - len(y.key)
			}
			return strings.Compare(x.key, y.key)
		})
		b.WriteByte('{')
		for i, p := range pairs {
			if i > 0 {
				b.WriteString(", ")
			}
			writeString(b, p.key)
			b.WriteString(": ")
			writeJSONB(b, p.value)
		}
		b.WriteByte('}')
	case '[':
		b.WriteByte('[')
		jsonwalk.Elements(value, func(i int, item []byte) bool {
			if i > 0 {
				b.WriteString(", ")
			}
			writeJSONB(b, item)
			return true
		})
		b.WriteByte(']')
	case '"':
		var s string
		_ = json.Unmarshal(value, &s) // valid by the caller's promise
		writeString(b, s)
	case 't', 'f', 'n':
		b.Write(value)
	default:
		b.WriteString(numericText(value))
	}
}

func writeString(b *strings.Builder, s string) {
	const digits = "0123456789abcdef"
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if c < ' ' {
				b.WriteString(`\u00`)
				b.WriteByte(digits[c>>4])
				b.WriteByte(digits[c&15])
				continue
			}
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

// field finds an object's member by its exact name, the last of equals.
func field(object []byte, name string) (value []byte, found bool) {
	jsonwalk.Members(object, func(key, item []byte) bool {
		if string(key) == name {
			value, found = item, true
		}
		return true
	})
	return value, found
}
