package authn

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

const redacted = "[redacted]"

// Secret is a client secret that does not print: fmt with any verb, slog and
// encoding/json all show "[redacted]". Convert it with string(s) to read it.
//
// fmt cannot call methods on an unexported field of somebody else's struct:
// keep a Secret in an exported field, or behind a pointer, when the struct
// around it is ever printed.
type Secret string

// String returns "[redacted]", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format writes what [Secret.String] returns, whatever the verb: %x and %q
// would otherwise show the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText writes what [Secret.String] returns; encoding/json uses it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue logs what [Secret.String] returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// scrub takes each of the secrets out of text, in the spellings in which a
// server or the standard library is likely to echo it.
func scrub(text string, secrets ...string) string {
	for _, s := range secrets {
		if s == "" || text == "" {
			continue
		}
		asJSON, _ := json.Marshal(s)
		asGo := strconv.Quote(s)
		for _, spelling := range []string{
			s,
			url.QueryEscape(s),
			url.PathEscape(s),
			string(asJSON[1 : len(asJSON)-1]),
			asGo[1 : len(asGo)-1],
			strings.ToLower(s),
			strings.ToUpper(s),
		} {
			text = strings.ReplaceAll(text, spelling, redacted)
		}
	}
	return text
}

// printable cuts foreign text to one line of at most limit bytes, so that a
// server can neither flood a log nor steer a terminal.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !strconv.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
