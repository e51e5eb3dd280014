package ledger

import (
	"bytes"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/meti-go/meti/internal/scan"
)

// members finds members of an object by their exact names, the last of equals;
// what is not there is nil.
func members(object []byte, find map[string]*[]byte) {
	scan.Members(object, func(name, value []byte) bool {
		if to := find[string(name)]; to != nil {
			*to = value
		}
		return true
	})
}

// field finds one member, see members.
func field(object []byte, name string) (value []byte) {
	members(object, map[string]*[]byte{name: &value})
	return value
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

// escapes are what begins with a backslash: a whole surrogate pair, what METI's
// database cannot hold (a zero character, half a pair), and all others.
var escapes = regexp.MustCompile(`\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u(0000|[dD][89a-fA-F]..)|\\.`)

// textFault says why METI cannot hold a text that is JSON otherwise; it is empty
// when METI can.
func textFault(text []byte) string {
	if !utf8.Valid(text) {
		for at, r := range string(text) {
			if r == utf8.RuneError && !bytes.HasPrefix(text[at:], []byte("\uFFFD")) {
				return fmt.Sprintf("the text is not UTF-8: it holds the byte 0x%X", text[at])
			}
		}
	}
	if bytes.IndexByte(text, '\\') < 0 {
		return ""
	}
	for _, escape := range escapes.FindAllSubmatch(text, -1) {
		switch string(escape[1]) {
		case "":
		case "0000":
			return `a string holds \u0000`
		default:
			return "a string holds half of a surrogate pair"
		}
	}
	return ""
}

// clip shortens a piece of foreign text for a message.
func clip(text []byte) string {
	const longest = 40
	if len(text) <= longest {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:longest]), "") + "…"
}
