package ledger

import (
	"bytes"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/meti-go/meti/internal/scan"
)

// field finds an object's member by its exact name, the last of equals.
func field(object []byte, name string) (value []byte, found bool) {
	scan.Members(object, func(key, item []byte) bool {
		if string(key) == name {
			value, found = item, true
		}
		return true
	})
	return value, found
}

// isNull reports whether a value is null, or is not there.
func isNull(value []byte) bool { return len(value) == 0 || value[0] == 'n' }

// asText gives the text that METI's database makes of a string or a number; ok
// is false for other values.
func asText(value []byte) (text string, ok bool) {
	switch {
	case len(value) == 0:
		return "", false
	case value[0] == '"':
		return scan.Unquote(value), true
	case value[0] == '-' || isDigit(value[0]):
		return numberText(value)
	}
	return "", false
}

// numberText writes a number with all its digits and without an exponent. ok is
// false where that would take hundreds of digits.
func numberText(number []byte) (text string, ok bool) {
	digits, power, _ := strings.Cut(strings.ToLower(string(number)), "e")
	exponent := 0
	if power != "" {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil || exponent < -500 || exponent > 500 {
			return "", false
		}
	}
	exact, ok := new(big.Rat).SetString(string(number))
	if !ok {
		return "", false
	}
	_, fraction, _ := strings.Cut(digits, ".")
	return exact.FloatString(max(0, len(fraction)-exponent)), true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// jsonProblems says why a text is not JSON that METI can hold, nil when it is.
func jsonProblems(text []byte, what string) Problems {
	if err := scan.Check(text); err != nil {
		return jsonProblem("the " + what + " is no JSON: " + err.Error())
	}
	if fault := textFault(text); fault != "" {
		return jsonProblem(fault)
	}
	return nil
}

func jsonProblem(message string) Problems {
	return Problems{NewProblem(RuleJSON, "", message, "write valid JSON (RFC 8259) in UTF-8")}
}

// textFault says why METI cannot hold a text that is JSON otherwise; it is empty
// when METI can.
func textFault(text []byte) string {
	if !utf8.Valid(text) {
		for at := 0; ; {
			r, size := utf8.DecodeRune(text[at:])
			if r == utf8.RuneError && size == 1 {
				return fmt.Sprintf("the text is not UTF-8: it holds the byte 0x%X", text[at])
			}
			at += size
		}
	}
	if bytes.IndexByte(text, '\\') < 0 {
		return ""
	}
	return stringFault(text)
}

// stringFault finds the two escapes that METI's database cannot hold: a zero
// character, and half of a surrogate pair.
func stringFault(text []byte) string {
	hex := func(i int) uint64 {
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return 0
		}
		v, _ := strconv.ParseUint(string(text[i+2:i+6]), 16, 32)
		return v
	}
	for i := 0; ; {
		next := bytes.IndexByte(text[i:], '\\')
		if next < 0 || i+next+1 >= len(text) {
			return ""
		}
		i += next
		if text[i+1] != 'u' {
			i += 2
			continue
		}
		code, low := hex(i), hex(i+6)
		i += 6
		switch {
		case code == 0:
			return `a string holds \u0000`
		case code >= 0xD800 && code <= 0xDBFF && low >= 0xDC00 && low <= 0xDFFF:
			i += 6
		case code >= 0xD800 && code <= 0xDFFF:
			return "a string holds half of a surrogate pair"
		}
	}
}

// clip shortens a piece of foreign text for a message.
func clip(text []byte) string {
	const longest = 40
	if len(text) <= longest {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:longest]), "") + "…"
}
