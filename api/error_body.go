package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"

	"github.com/meti-go/meti/internal/safehttp"
)

// maxMessage is how many bytes of a server's words go into an error's text.
const maxMessage = 500

// readError reads the body of an answer that is an error, whatever it is: the
// four shapes of the service [L][V1], those of Auth0 and of gateways, HTML,
// nothing, or a part of one of them. The message is never empty where the body
// says anything.
func readError(kind string, body []byte, secrets safehttp.Secrets) (message string, fields []FieldError) {
	// Secrets go before anything is cut: half a token is a secret too.
	clean := func(text string) string { return safehttp.Line(secrets.Redact(text), maxMessage) }
	body = bytes.TrimSpace(body)
	if kind == "text/html" || kind == "application/xhtml+xml" || bytes.HasPrefix(body, []byte("<")) {
		return firstLine(string(body), clean), nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // which keeps the digits
	var value any
	if decoder.Decode(&value) != nil {
		return clean(string(body)), nil // plain text, or JSON that is cut short
	}
	members, _ := value.(map[string]any)
	text := func(name string) string { return plain(members[name]) }
	fields = fieldErrors(members["detail"], clean)
	switch {
	case text("detail") != "":
		message = text("detail")
	case len(fields) > 0:
		message = strings.Join(texts(fields[:min(3, len(fields))]), "; ")
		if more := len(fields) - 3; more > 0 {
			message += fmt.Sprintf("; and %d more", more)
		}
	case text("message") != "":
		// The database's own shape has more to tell.
		message = join(join(text("message"), text("details")), text("hint"))
		if code := text("code"); code != "" {
			message += " (code " + code + ")"
		}
	default:
		message = cmp.Or(text("error_description"), text("error"), text("title"), plain(value), string(body))
	}
	return clean(message), fields
}

// fieldErrors reads the framework's list of what is wrong, or one of its
// items; nil where it is none.
func fieldErrors(detail any, clean func(string) string) (fields []FieldError) {
	list, _ := detail.([]any)
	if _, isObject := detail.(map[string]any); isObject {
		list = []any{detail}
	}
	for _, item := range list {
		members, _ := item.(map[string]any)
		field := FieldError{Message: clean(plain(members["msg"]) + plain(members["message"])), Type: clean(plain(members["type"]))}
		path, isList := members["loc"].([]any)
		if loc := members["loc"]; loc != nil && !isList {
			path = []any{loc}
		}
		for _, step := range path {
			field.Path = append(field.Path, clean(written(step)))
		}
		if field.Message == "" && len(path) == 0 {
			field.Message = clean(written(item))
		}
		fields = append(fields, field)
	}
	return fields
}

// plain is the text of a JSON string, number or boolean, and "" for everything
// else.
func plain(value any) string {
	switch value.(type) {
	case string, json.Number, bool:
		return fmt.Sprint(value)
	}
	return ""
}

// written is the text of any JSON value.
func written(value any) string {
	if text := plain(value); text != "" {
		return text
	}
	text, _ := json.Marshal(value) // what was read can be written
	return string(text)
}

// firstLine is the first line of text of a page.
func firstLine(page string, clean func(string) string) string {
	for line := range strings.Lines(html.UnescapeString(tag.ReplaceAllString(page, "\n"))) {
		if line = clean(line); line != "" {
			return line
		}
	}
	return "an HTML page"
}

var tag = regexp.MustCompile(`(?is)<(script|style)\b.*?</(script|style)\s*>|<[^>]*>?`)

// requestID is the service's or a proxy's name for a request.
func requestID(header http.Header, secrets safehttp.Secrets) string {
	for _, name := range []string{"X-Request-Id", "X-Amzn-Requestid", "Cf-Ray"} {
		if id := safehttp.Line(secrets.Redact(header.Get(name)), 128); id != "" {
			return id
		}
	}
	return ""
}
