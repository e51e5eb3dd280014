package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxMessage is how many bytes of a server's words go into an error's text.
const maxMessage = 500

// readError reads the body of an answer that is an error, whatever it is: the
// three shapes of the service [L][V1], those of Auth0 and of gateways, HTML,
// nothing, or a part of one of them. The message is never empty where the body
// says anything.
func readError(kind string, body []byte, secrets scrubber) (message string, fields []FieldError) {
	// Tokens go before anything is cut: half a token is a secret too.
	clean := func(text string) string { return printable(secrets.text(text), maxMessage) }
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return "", nil
	case kind == "text/html" || kind == "application/xhtml+xml" || body[0] == '<':
		return htmlMessage(body, clean), nil
	}
	var shape struct {
		Detail      json.RawMessage `json:"detail"`
		Message     json.RawMessage `json:"message"`
		Description json.RawMessage `json:"error_description"`
		Error       json.RawMessage `json:"error"`
		Title       json.RawMessage `json:"title"`
	}
	if json.Unmarshal(body, &shape) == nil {
		fields = fieldErrors(shape.Detail, clean)
		for _, raw := range []json.RawMessage{shape.Detail, shape.Message, shape.Description, shape.Error, shape.Title} {
			if message = plainText(raw); message != "" {
				return clean(message), fields
			}
		}
		if len(fields) > 0 {
			texts := make([]string, 0, 3)
			for _, field := range fields[:min(3, len(fields))] {
				texts = append(texts, field.String())
			}
			message = strings.Join(texts, "; ")
			if more := len(fields) - len(texts); more > 0 {
				message += fmt.Sprintf("; and %d more", more)
			}
			return clean(message), fields
		}
	}
	// A bare JSON string, a plain text, or JSON that is cut short.
	if message = plainText(body); message == "" {
		message = string(body)
	}
	return clean(message), fields
}

// fieldErrors reads the framework's list of what is wrong; nil if it is none.
func fieldErrors(raw json.RawMessage, clean func(string) string) []FieldError {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		// One error by itself, as an object.
		if trimmed := bytes.TrimSpace(raw); len(trimmed) == 0 || trimmed[0] != '{' {
			return nil
		}
		list = []json.RawMessage{raw}
	}
	fields := make([]FieldError, 0, len(list))
	for _, item := range list {
		var one struct {
			Loc     json.RawMessage `json:"loc"`
			Msg     json.RawMessage `json:"msg"`
			Message json.RawMessage `json:"message"`
			Type    json.RawMessage `json:"type"`
		}
		if json.Unmarshal(item, &one) != nil {
			text := plainText(item)
			if text == "" {
				text = string(item)
			}
			fields = append(fields, FieldError{Message: clean(text)})
			continue
		}
		field := FieldError{
			Message: clean(plainText(one.Msg) + plainText(one.Message)),
			Type:    clean(plainText(one.Type)),
		}
		var path []json.RawMessage
		if json.Unmarshal(one.Loc, &path) != nil && len(one.Loc) > 0 {
			path = []json.RawMessage{one.Loc}
		}
		for _, step := range path {
			text := plainText(step)
			if text == "" {
				text = string(step)
			}
			field.Path = append(field.Path, clean(text))
		}
		if field.Message == "" && len(field.Path) == 0 {
			field.Message = clean(string(item))
		}
		fields = append(fields, field)
	}
	return fields
}

// plainText is the text of a JSON string, number or boolean, and "" for
// everything else.
func plainText(raw json.RawMessage) string {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return ""
	}
	switch value := value.(type) {
	case string:
		return value
	case float64, bool:
		return string(bytes.TrimSpace(raw)) // the literal, as it is
	}
	return ""
}

// htmlMessage is the title of a page, or else the first of its words.
func htmlMessage(body []byte, clean func(string) string) string {
	text := string(body)
	lower := strings.ToLower(text)
	if len(lower) != len(text) { // some letters change their length
		lower = text
	}
	if start := strings.Index(lower, "<title"); start >= 0 {
		if open := strings.IndexByte(lower[start:], '>'); open >= 0 {
			title := text[start+open+1:]
			if end := strings.Index(lower[start+open+1:], "</title"); end >= 0 {
				title = title[:end]
			}
			if title = clean(html.UnescapeString(title)); title != "" {
				return title
			}
		}
	}
	var words strings.Builder
	inside := false
	for _, r := range text {
		switch {
		case r == '<':
			inside = true
			words.WriteByte(' ')
		case r == '>' && inside:
			inside = false
		case !inside:
			words.WriteRune(r)
		}
	}
	if message := clean(html.UnescapeString(words.String())); message != "" {
		return message
	}
	return "an HTML page"
}

// printable makes one line of foreign text: nothing that moves a terminal's
// cursor, runs of white space as one space, and at most size bytes.
func printable(text string, size int) string {
	var b strings.Builder
	space := false
	for _, r := range text {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			space = true
			continue
		}
		if b.Len() >= size {
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

// requestIDHeaders are the names under which services, proxies and clouds tell
// their name for a request, the service's own first.
var requestIDHeaders = [...]string{
	"X-Request-Id", "X-Correlation-Id", "Request-Id", "X-Amzn-Requestid", "X-Amz-Apigw-Id",
	"X-Amz-Cf-Id", "X-Amzn-Trace-Id", "Cf-Ray", "X-Cloud-Trace-Context", "Fly-Request-Id",
	"X-Vercel-Id", "X-Azure-Ref", "X-Ms-Request-Id",
}

func requestID(header http.Header) string {
	for _, name := range requestIDHeaders {
		if id := printable(header.Get(name), 128); id != "" {
			return id
		}
	}
	return ""
}

// scrubber takes the call's tokens out of what a server or a transport said.
type scrubber []string

// add remembers one more token. Very short ones are not secrets but parts of
// words.
func (s *scrubber) add(token string) {
	if len(token) >= 8 && !slices.Contains(*s, token) {
		*s = append(*s, token)
	}
}

const redacted = "[redacted]"

func (s scrubber) text(text string) string {
	for _, token := range s {
		text = strings.ReplaceAll(text, token, redacted)
	}
	return text
}

func (s scrubber) bytes(body []byte) []byte {
	for _, token := range s {
		body = bytes.ReplaceAll(body, []byte(token), []byte(redacted))
	}
	return body
}

// longest is the length of the longest token.
func (s scrubber) longest() (n int) {
	for _, token := range s {
		n = max(n, len(token))
	}
	return n
}

// quoteID writes an id for a message.
func quoteID(id string) string { return strconv.Quote(printable(id, 80)) }
