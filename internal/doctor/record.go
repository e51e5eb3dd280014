package doctor

import (
	"bytes"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/wire"
)

// A recorder keeps exchanges in a folder so that they can be published. It works
// by an allow-list: structure, types, lengths, statuses and what openapi.yaml or
// the request itself says stay; all else is replaced by something made up of the
// same form, the same for the same, under a key that is thrown away.
type recorder struct {
	dir   string
	key   [32]byte
	names map[string]bool // members that may stay
	words map[string]bool // texts that may stay
	made  *made
	count int
}

// made is what the requests say: nobody's secret, so it may stay in answers.
type made struct{ texts, numbers map[string]bool }

// note takes in a request's body.
func (m *made) note(body []byte) {
	rewrite(body, func(token []byte, _ bool) []byte {
		if token[0] == '"' {
			m.texts[scan.Unquote(token)] = true
		} else {
			m.numbers[string(token)] = true
		}
		return token
	})
}

// rewrite replaces the strings and numbers of JSON; name says that a string is
// the name of a member.
func rewrite(text []byte, replace func(token []byte, name bool) []byte) []byte {
	var out []byte
	for i := 0; i < len(text); {
		end, string := scan.SkipText(text, i)
		number := false
		if !string {
			end, number = scan.SkipNumber(text, i)
		}
		if !string && !number {
			out = append(out, text[i])
			i++
			continue
		}
		next := scan.SkipSpace(text, end)
		out = append(out, replace(text[i:end], string && next < len(text) && text[next] == ':')...)
		i = end
	}
	return out
}

// newRecorder makes the folder, which must not hold anything.
func newRecorder(dir string, s *spec, m *made) (*recorder, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("--record: %s holds something already; name a new folder", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--record: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--record: %w", err)
	}
	r := &recorder{dir: dir, names: map[string]bool{}, words: map[string]bool{}, made: m}
	if _, err := crand.Read(r.key[:]); err != nil {
		return nil, err
	}
	r.allow(s.root)
	for _, name := range []string{"detail", "loc", "msg", "type", "status", "message", "code", "details", "hint"} {
		r.names[name] = true
	}
	return r, os.WriteFile(filepath.Join(dir, "README.md"), []byte(readme), 0o600)
}

// allow collects the contract's names of members and its sets of values.
func (r *recorder) allow(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, inside := range value {
			if members, is := inside.(map[string]any); is && name == "properties" {
				for member := range members {
					r.names[member] = true
				}
			}
			if set, is := inside.([]any); is && (name == "enum" || name == "x-extensible-enum") {
				for _, word := range set {
					r.words[fmt.Sprint(word)] = true
				}
			}
			r.allow(inside)
		}
	case []any:
		for _, inside := range value {
			r.allow(inside)
		}
	}
}

// An exchange is what a file of the folder holds.
type exchange struct {
	Request struct {
		Method string          `json:"method"`
		Host   string          `json:"host"`
		Path   string          `json:"path"` // and query
		Body   json.RawMessage `json:"body,omitempty"`
	} `json:"request"`
	Response struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body,omitempty"`
		Text    string            `json:"text,omitempty"` // in place of a body that is no JSON
	} `json:"response"`
}

// keep writes one exchange. Below path is what follows the base URL.
func (r *recorder) keep(method, path string, query url.Values, body []byte, got answer) error {
	var e exchange
	e.Request.Method, e.Request.Host, e.Request.Body = method, "metihost", body
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if !slices.Contains([]string{"", "sandbox", "sources", "openapi.json"}, segment) {
			segments[i] = r.text(segment)
		}
	}
	e.Request.Path = strings.Join(segments, "/")
	masked := url.Values{}
	for name, values := range query {
		for _, value := range values {
			if name != "limit" && name != "offset" { // which are the doctor's own numbers
				value = r.text(value)
			}
			masked.Add(name, value)
		}
	}
	if len(masked) > 0 {
		e.Request.Path += "?" + masked.Encode()
	}
	e.Response.Status = got.status
	e.Response.Headers = r.headers(got.header)
	if scan.Check(got.text) == nil {
		e.Response.Body = r.value(bytes.TrimSpace(got.text))
	} else {
		e.Response.Text = r.text(string(got.text[:min(len(got.text), 4096)]))
	}
	r.count++
	return r.write(fmt.Sprintf("%02d.json", r.count), e)
}

// settled is what a recording says of a fact.
type settled struct {
	Name    string  `json:"name"`
	Place   string  `json:"place"`
	Verdict Verdict `json:"verdict"`
}

// verdicts keeps what was found, without what was seen.
func (r *recorder) verdicts(facts []Fact) error {
	list := []settled{}
	for _, fact := range facts {
		list = append(list, settled{fact.Name, fact.Place, fact.Verdict})
	}
	return r.write("facts.json", list)
}

func (r *recorder) write(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, name), append(text, '\n'), 0o600)
}

// headers that may stay, where they say no more than this.
var headers = map[string]*regexp.Regexp{
	"Content-Type":          regexp.MustCompile(`^(application/json|application/problem\+json|text/html|text/plain)(; *charset=utf-8)?$`),
	"Allow":                 regexp.MustCompile(`^[A-Z]{3,7}(, *[A-Z]{3,7})*$`),
	"Retry-After":           regexp.MustCompile(`^\d{1,6}$`),
	"X-Ratelimit-Limit":     regexp.MustCompile(`^\d{1,9}$`),
	"X-Ratelimit-Remaining": regexp.MustCompile(`^\d{1,9}$`),
	"X-Ratelimit-Reset":     regexp.MustCompile(`^\d{1,10}$`),
	"X-Request-Id":          regexp.MustCompile(`^$`), // that it came
}

func (r *recorder) headers(header http.Header) map[string]string {
	kept := map[string]string{}
	for name, pattern := range headers {
		if value := header.Get(name); pattern.MatchString(value) {
			kept[name] = value
		} else {
			kept[name] = r.text(value)
		}
		if kept[name] == "" {
			delete(kept, name)
		}
	}
	return kept
}

// value replaces within JSON.
func (r *recorder) value(text []byte) json.RawMessage {
	return rewrite(text, func(token []byte, name bool) []byte {
		if token[0] != '"' {
			return []byte(r.number(string(token)))
		}
		plain := scan.Unquote(token)
		if name && r.names[plain] {
			return token
		}
		quoted, _ := json.Marshal(r.text(plain)) // a string can always be written
		return quoted
	})
}

// dice are the same for the same value.
func (r *recorder) dice(value string) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(r.key[:], value...))))
}

// number replaces the digits of a number, and leaves its length, its point, and
// a zero before the point. What was below 180 stays below 180.
func (r *recorder) number(text string) string {
	if r.made.numbers[text] {
		return text
	}
	dice := r.dice(text)
	whole, rest, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	masked := []byte(text)
	first := len(text) - len(strings.TrimPrefix(text, "-"))
	for i, c := range masked {
		switch {
		case c == 'e' || c == 'E':
			return string(masked) // the exponent stays
		case c < '0' || c > '9' || i == first && whole == "0":
		case i == first && len(whole) == 3 && len(rest) > 0:
			masked[i] = '1'
		case i == first:
			masked[i] = byte('1' + dice.IntN(8))
		case i == first+1 && len(whole) == 3 && len(rest) > 0:
			masked[i] = byte('0' + dice.IntN(8))
		default:
			masked[i] = byte('0' + dice.IntN(10))
		}
	}
	return string(masked)
}

var (
	hexadecimal = regexp.MustCompile(`^[0-9a-f-]+$`)
	area        = regexp.MustCompile(`^[0-9.]+ha \([0-9.]+ac\)$`)
)

// text replaces letters by letters and digits by digits. A date stays a date, an
// SSID an SSID and a UUID a UUID.
func (r *recorder) text(text string) string {
	if r.words[text] || r.made.texts[text] {
		return text
	}
	dice := r.dice(text)
	if _, err := wire.ParseTime(text); err == nil && len(text) >= 10 && text[4] == '-' {
		date := fmt.Sprintf("%04d-%02d-%02d", 2000+dice.IntN(30), 1+dice.IntN(12), 1+dice.IntN(28))
		rest := []byte(text[10:])
		for i, c := range rest {
			if c == '+' || c == '-' {
				break // the zone stays
			}
			if c >= '0' && c <= '9' {
				rest[i] = byte('0' + dice.IntN(2)) // never past 11:11:11
			}
		}
		return date + string(rest)
	}
	prefix := ""
	for _, known := range []string{"sandbox_", "src_"} {
		if strings.HasPrefix(text, known) {
			prefix, text = known, text[len(known):]
		}
	}
	hex, letters := hexadecimal.MatchString(text), !area.MatchString(text)
	var b strings.Builder
	b.WriteString(prefix)
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			c = rune('0' + dice.IntN(10))
		case hex && c != '-':
			c = rune('a' + dice.IntN(6))
		case letters && c >= 'A' && c <= 'Z':
			c = rune('A' + dice.IntN(26))
		case letters && (c >= 'a' && c <= 'z' || c > 0x7F):
			c = rune('a' + dice.IntN(26))
		}
		b.WriteRune(c)
	}
	return b.String()
}

const readme = `# What METI answered

These files were written by "meti doctor --facts --record". Each holds a request
to METI and its answer, in turn; facts.json says which assumptions held.

The requests are the doctor's own. In the answers, everything but the structure
was replaced by something made up, of the same type and length: every text,
number and coordinate that is not in openapi.yaml or in the request, and the
names of unknown members. The same value was replaced by the same one. Hosts are
called metihost, requests for tokens are not kept, nor is what the service tells
of its own contract.

Read them before you hand them in: open an issue or a change request that adds
the folder below testdata/recorded. Nothing was sent to anybody.
`
