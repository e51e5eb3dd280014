package doctor

import (
	"cmp"
	crand "crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/wire"
)

// A recorder keeps exchanges in a folder so that they can be published. It works
// by an allow-list: structure, types, lengths, statuses and what openapi.yaml or
// the request itself says stay; all else is replaced by something made up of the
// same form, the same for the same, under a key that is thrown away.
type recorder struct {
	dir   string
	key   string
	known map[string]bool // what may stay: names of members, texts and numbers
	count int
}

// newRecorder makes the folder, which must not hold anything.
func newRecorder(dir string, c contract) (*recorder, error) {
	err := os.MkdirAll(dir, 0o700)
	entries, failed := os.ReadDir(dir)
	if err = cmp.Or(err, failed); err != nil {
		return nil, fmt.Errorf("--record: %w", err)
	} else if len(entries) > 0 {
		return nil, fmt.Errorf("--record: %s holds something already; name a new folder", dir)
	}
	r := &recorder{dir: dir, key: crand.Text(), known: map[string]bool{}}
	for _, word := range strings.Fields("sandbox sources detail loc msg type status message code details hint") { // of paths and errors
		r.known[word] = true
	}
	for name := range c.places() {
		r.known[name[strings.LastIndex(name, " ")+1:]] = true
	}
	for _, attribute := range gen.Attributes() {
		for _, value := range attribute.Values {
			r.known[value] = true
		}
	}
	return r, os.WriteFile(filepath.Join(dir, "README.md"), readme, 0o600)
}

// keep writes one exchange to a file of the folder. The path is what follows the
// base URL; its query is the doctor's own.
func (r *recorder) keep(method, path string, body []byte, got answer) error {
	for _, token := range token.FindAll(body, -1) { // what the request says is nobody's secret
		r.known[said(token)] = true
	}
	path, query, asks := strings.Cut(path, "?")
	path = segment.ReplaceAllStringFunc(path, r.text)
	if asks {
		path += "?" + query
	}
	request := map[string]any{"method": method, "host": "metihost", "path": path}
	if len(body) > 0 {
		request["body"] = json.RawMessage(body)
	}
	response := map[string]any{"status": got.status, "headers": r.headers(got.header)}
	if json.Valid(got.text) {
		response["body"] = json.RawMessage(token.ReplaceAllFunc(got.text, r.token))
	} else {
		response["text"] = r.text(string(got.text[:min(len(got.text), 4096)]))
	}
	r.count++
	return r.write(fmt.Sprintf("%02d.json", r.count), map[string]any{"request": request, "response": response})
}

func (r *recorder) write(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, name), append(text, '\n'), 0o600)
}

var (
	segment = regexp.MustCompile(`[^/]+`)
	// harmless is what a header may say.
	harmless = regexp.MustCompile(`^(\d{1,10}|(application/(problem\+)?json|text/(html|plain))(; *charset=utf-8)?|(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|, *)+)$`)
)

func (r *recorder) headers(header http.Header) map[string]string {
	kept := map[string]string{}
	for _, name := range []string{"Content-Type", "Allow", "Retry-After", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "X-Request-Id"} {
		if value := header.Get(name); harmless.MatchString(value) && name != "X-Request-Id" {
			kept[name] = value
		} else if value != "" {
			kept[name] = r.text(value)
		}
	}
	return kept
}

// token matches a text or a number within JSON.
var token = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*`)

// said is what a token says: a text without quotes, a number as it is written.
func said(token []byte) string {
	text := string(token)
	_ = json.Unmarshal(token, &text)
	return text
}

// token replaces a token, unless what it says is known.
func (r *recorder) token(token []byte) []byte {
	if token[0] == '"' {
		text, _ := json.Marshal(r.text(said(token))) // a text can be written
		return text
	}
	if r.known[string(token)] {
		return token
	}
	return []byte(r.replace(string(token), false, 9))
}

var (
	isSSID = regexp.MustCompile(`^(sandbox|src)_`)
	isArea = regexp.MustCompile(`^[0-9.]+ ?ha \([0-9.]+ ?ac\)$`)
)

// text replaces a text, unless it is known. An SSID stays one, a UUID and a date.
func (r *recorder) text(text string) string {
	prefix := isSSID.FindString(text)
	switch _, err := wire.ParseTime(text); {
	case r.known[text]:
		return text
	case err == nil:
		return r.replace(text, false, 2)
	case isArea.MatchString(text):
		return r.replace(text, false, 9)
	}
	return prefix + r.replace(text[len(prefix):], true, 9)
}

var (
	number = regexp.MustCompile(`\d+`)
	letter = regexp.MustCompile(`\p{L}|[^\x00-\x7f]`)
)

// replace makes letters, where they are to be replaced, letters from a to f, for
// they may be hexadecimal, and digits digits. Where letters stay it is a number or
// a date: a zero alone stays too, other numbers begin with 1, and digits go up to
// most, so that a longitude stays one, and the eleventh month a month.
func (r *recorder) replace(text string, letters bool, most int32) string {
	dice := rand.New(rand.NewChaCha8(sha256.Sum256([]byte(r.key + text))))
	text = number.ReplaceAllStringFunc(text, func(digits string) string {
		made := []byte(digits)
		for i := range made {
			made[i] = byte('0' + dice.Int32N(most+1))
		}
		switch {
		case letters:
		case digits == "0":
			return digits
		default:
			made[0] = '1'
		}
		return string(made)
	})
	if !letters {
		return text
	}
	return letter.ReplaceAllStringFunc(text, func(letter string) string {
		replaced := string('a' + dice.Int32N(6))
		if strings.ToLower(letter) != letter {
			replaced = strings.ToUpper(replaced)
		}
		return replaced
	})
}

// readme says what a recording is.
//
//go:embed recording.md
var readme []byte
