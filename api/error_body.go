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
	clean := func(text string) string { return secrets.Line(text, maxMessage) }
	body = bytes.TrimSpace(body)
	if kind == "text/html" || kind == "application/xhtml+xml" || bytes.HasPrefix(body, []byte("<")) {
		return firstLine(string(body), clean), nil
	}
	value := safehttp.JSON(body) // nil: plain text, or JSON that is cut short
	members, _ := value.(map[string]any)
	text := func(name string) string { return safehttp.Text(members[name]) }
	list, _ := members["detail"].([]any) // the framework's list of what is wrong
	if one, isObject := members["detail"].(map[string]any); isObject {
		list = []any{one}
	}
	for _, item := range list {
		fields = append(fields, fieldError(item, clean))
	}
	first := join("; ", texts(fields[:min(3, len(fields))])...)
	if more := len(fields) - 3; more > 0 {
		first += fmt.Sprintf("; and %d more", more)
	}
	words := join("; ", text("message"), text("details"), text("hint")) // the database's shape has all three
	if code := text("code"); words != "" && code != "" {
		words += " (code " + code + ")"
	}
	return clean(cmp.Or(text("detail"), first, words, text("error_description"), text("error"), text("title"), safehttp.Text(value), string(body))), fields
}

// fieldError reads what is wrong with one value.
func fieldError(item any, clean func(string) string) FieldError {
	members, _ := item.(map[string]any)
	field := FieldError{
		Message: clean(safehttp.Text(members["msg"]) + safehttp.Text(members["message"])),
		Type:    clean(safehttp.Text(members["type"])),
	}
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
	return field
}

// written is the text of any JSON value.
func written(value any) string {
	text, _ := json.Marshal(value) // what was read can be written
	return cmp.Or(safehttp.Text(value), string(text))
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
	return secrets.Line(cmp.Or(header.Get("X-Request-Id"), header.Get("X-Amzn-Requestid"), header.Get("Cf-Ray")), 128)
}
