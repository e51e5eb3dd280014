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
func members(object []byte, names ...string) [][]byte {
	values := make([][]byte, len(names))
	scan.Members(object, func(name, value []byte) bool {
		for i := range names {
			if names[i] == string(name) {
				values[i] = value
			}
		}
		return true
	})
	return values
}

// isNull reports whether a value is null, or is not there.
func isNull(value []byte) bool { return len(value) == 0 || value[0] == 'n' }

// asText gives the text that METI's database makes of a string or a number: with all
// its digits and without an exponent. ok is false for other values, and where that
// would take hundreds of digits.
func asText(value []byte) (text string, ok bool) {
	if len(value) > 0 && value[0] == '"' {
		return scan.Unquote(value), true
	}
	digits, power, _ := strings.Cut(strings.ToLower(string(value)), "e")
	exponent, _ := strconv.Atoi(power) // 0 where there is none
	if exponent < -500 || exponent > 500 {
		return "", false
	}
	exact, ok := new(big.Rat).SetString(string(value))
	if !ok {
		return "", false
	}
	_, fraction, _ := strings.Cut(digits, ".")
	return exact.FloatString(max(0, len(fraction)-exponent)), true
}

// jsonFault says why a text is not JSON that METI can hold; it is empty when it is.
func jsonFault(text []byte, what string) string {
	if err := scan.Check(text); err != nil {
		return "the " + what + " is no JSON: " + err.Error()
	}
	return textFault(text)
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

// CheckText judges whether METI can hold a value, which has to be JSON.
func CheckText(value []byte) (problems Problems) {
	if fault := textFault(value); fault != "" {
		problems.add(RuleText, "", "%s", fault)
	}
	return problems
}

// clip shortens a piece of foreign text for a message.
func clip[T string | []byte](text T) string {
	const longest = 40
	if len(text) <= longest {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:longest]), "") + "…"
}
