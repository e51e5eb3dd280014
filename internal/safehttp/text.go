package safehttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// Secrets are texts that no error and no log may show.
type Secrets []string

// Add adds secrets. Very short ones are left out, for they are parts of words.
func (s *Secrets) Add(secrets ...string) {
	for _, secret := range secrets {
		if len(secret) >= 8 && !slices.Contains(*s, secret) {
			*s = append(*s, secret)
		}
	}
}

// Redact takes the secrets out of text: as they are, and as JSON or a URL
// writes them. Redact before cutting a text: half a secret is a secret too.
func (s Secrets) Redact(text string) string {
	for _, secret := range s {
		quoted, _ := json.Marshal(secret) // a string can always be written
		for _, form := range []string{secret, string(quoted[1 : len(quoted)-1]), url.QueryEscape(secret)} {
			if form != "" {
				text = strings.ReplaceAll(text, form, Redacted)
			}
		}
	}
	return text
}

// Line is [Line] of text without the secrets.
func (s Secrets) Line(text string, size int) string { return Line(s.Redact(text), size) }

// Clean is err if its text has no secrets and is one line of at most 500 bytes,
// and else an error of such a text: the standard library quotes what a server
// sent.
func (s Secrets) Clean(err error) error {
	if err == nil {
		return nil
	}
	if text := s.Line(err.Error(), 500); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// Longest is the length of the longest secret.
func (s Secrets) Longest() (n int) {
	for _, secret := range s {
		n = max(n, len(secret))
	}
	return n
}

// JSON reads a JSON value, nil where text is none. Its numbers are json.Number,
// which keeps the digits.
func JSON(text []byte) (value any) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if !json.Valid(text) || decoder.Decode(&value) != nil {
		return nil
	}
	return value
}

// Text is the text of a JSON string, number or boolean, and "" for everything
// else.
func Text(value any) string {
	switch value.(type) {
	case string, json.Number, bool:
		return fmt.Sprint(value)
	}
	return ""
}

// Line makes foreign text fit for a log or a terminal: one line of at most
// size bytes, in which nothing moves a cursor.
func Line(text string, size int) string {
	var b strings.Builder
	space := false
	for _, r := range text {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			space = true
			continue
		}
		if b.Len()+utf8.RuneLen(r) > size {
			b.WriteString("…")
			break
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}
