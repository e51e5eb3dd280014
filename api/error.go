package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// The classes of an [Error], for errors.Is. An error can be of two: a POST that is
// answered with 503 is an ErrServer and an ErrOutcomeUnknown.
var (
	ErrInvalid        = errors.New("invalid request")           // 400, 422, or refused before sending
	ErrUnauthorized   = errors.New("unauthorized")              // 401, or Auth0 refused a token
	ErrNoToken        = errors.New("no token")                  // the source of tokens could not get one
	ErrForbidden      = errors.New("forbidden")                 // 403, or a scope is missing
	ErrNotFound       = errors.New("not found")                 // 404
	ErrTooLarge       = errors.New("request too large")         // 413
	ErrRateLimited    = errors.New("too many requests")         // 429
	ErrServer         = errors.New("server error")              // 5xx
	ErrRedirect       = errors.New("redirect not followed")     // 3xx
	ErrBadAnswer      = errors.New("unreadable answer")         // broken or cut JSON, wrong content type, too large
	ErrIncomplete     = errors.New("the listing is incomplete") // All may have missed sources: the answers do not fit together
	ErrOutcomeUnknown = errors.New("outcome unknown")           // a POST that may have been carried out
)

// Error is a call that failed: every error of a method of [SourcesService] and of
// [Client.Do]. No token stands in it, also where the server echoed one.
//
// errors.Is finds its classes, and context.Canceled or context.DeadlineExceeded
// where the caller's context ended it. errors.As finds the cause: an
// *authn.FetchError where there was no token, an *authn.ScopeError where a scope is
// missing, an *authn.RedirectError, or an error of package net.
type Error struct {
	Operation  string        // operationId of openapi.yaml
	Method     string        // HTTP method
	Path       string        // below the base URL, without query
	Status     int           // of the last answer; 0 where none came
	Message    string        // the service's own words, or ours where it has none
	Fields     []FieldError  // what the service says is wrong with which values
	Hint       string        // what to do next, where that is known
	RequestID  string        // the service's or a proxy's name for the request
	Attempts   int           // how often the request was sent, or tried to be
	RetryAfter time.Duration // what the server asks to wait; 0 if it does not
	Body       []byte        // of the answer, as received, up to 64 KiB

	classes []error
	cause   error
	unclear bool // the server may have carried it out
	repeat  bool // another attempt may help
	renew   bool // another attempt with another token may help
}

// FieldError is what the service says is wrong with one value of the request.
type FieldError struct {
	Path    string // to the value, as in JavaScript: body.features[3].properties.end_at
	Message string
}

// String is the path and the message: "body.features[3].id: too long".
func (f FieldError) String() string { return join(": ", f.Path, f.Message) }

// newError is the error of a call of an operation.
func newError(operation gen.Operation, message string, cause error, classes ...error) *Error {
	return &Error{Operation: operation.ID, Method: operation.Method, Path: operation.Path, Message: message, cause: cause, classes: classes}
}

// hint adds what to do next.
func (e *Error) hint(text string) { e.Hint = join("; ", e.Hint, text) }

// Error says what happened, to which operation, and what to do.
func (e *Error) Error() string {
	when := func(holds bool, text ...any) string {
		if !holds {
			return ""
		}
		return strings.TrimSpace(fmt.Sprint(text...))
	}
	text := join(": ", e.Operation,
		when(slices.Contains(e.classes, ErrOutcomeUnknown), ErrOutcomeUnknown),
		when(e.Status != 0, e.Status, " ", http.StatusText(e.Status)), e.Message)
	notes := join(", ", when(e.Attempts > 1, e.Attempts, " attempts"), when(e.RequestID != "", "request ", e.RequestID))
	return join("; ", join(" ", text, when(notes != "", "(", notes, ")")), e.Hint)
}

// Unwrap gives the classes and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return e.classes
	}
	return append(slices.Clip(e.classes), e.cause)
}

// LogValue logs the fields one by one, without the body.
func (e *Error) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.String("operation", e.Operation), slog.String("method", e.Method), slog.String("path", e.Path),
		slog.Int("status", e.Status), slog.String("message", e.Message), slog.Int("attempts", e.Attempts),
		slog.String("class", join(", ", texts(e.classes)...)),
		slog.Any("fields", texts(e.Fields)), slog.String("hint", e.Hint),
		slog.String("request_id", e.RequestID), slog.Duration("retry_after", e.RetryAfter),
	}
	return slog.GroupValue(slices.DeleteFunc(attributes, func(a slog.Attr) bool {
		return slices.Contains([]string{"", "[]", "0s"}, a.Value.String())
	})...)
}

// texts writes each item of a list.
func texts[T any](list []T) (texts []string) {
	for _, item := range list {
		texts = append(texts, fmt.Sprint(item))
	}
	return texts
}

// join writes the parts that are not empty.
func join(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), separator)
}

// maxMessage is how many bytes of a server's words go into an error's text.
const maxMessage = 500

// readError reads an error's body: the four shapes of the service [L][V1], those of
// Auth0 and of gateways, HTML, or a part of one. It finds words in whatever has some.
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
	steps, isList := members["loc"].([]any)
	if loc := members["loc"]; loc != nil && !isList {
		steps = []any{loc}
	}
	path := ""
	for _, step := range steps {
		if _, isIndex := step.(json.Number); isIndex {
			path += "[" + written(step) + "]"
		} else {
			path += "." + written(step)
		}
	}
	message := safehttp.Text(members["msg"]) + safehttp.Text(members["message"])
	if message == "" && path == "" {
		message = written(item)
	}
	return FieldError{Path: clean(strings.TrimPrefix(path, ".")), Message: clean(message)}
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
