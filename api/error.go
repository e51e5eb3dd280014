package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meti-go/meti/gen"
)

// The classes of an [Error], for errors.Is. An error can be of two: a POST
// that is answered with 503 is an ErrServer and an ErrOutcomeUnknown.
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

// Error is a call that failed. Every error of a method of [SourcesService] and
// of [Client.Do] is one. No token stands in it, also where the server echoed
// one.
//
// errors.Is finds its classes, and context.Canceled or
// context.DeadlineExceeded where the caller's context ended it. errors.As
// finds the cause: an *authn.FetchError where there was no token, an
// *authn.ScopeError where a scope is missing, an *authn.RedirectError, or an
// error of package net.
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
	// What it means for the call: whether the server may have carried it out,
	// and whether another attempt, or one with another token, may help.
	unclear, repeat, renew bool
}

// FieldError is what the service says is wrong with one value of the request.
type FieldError struct {
	// Path leads to the value: "body" or "query", then member names and array
	// indexes.
	Path    []string
	Message string
	Type    string // by the service's framework, such as value_error
}

// String writes the path as in JavaScript, and the message:
// "body.features[3].properties.end_at: too early".
func (f FieldError) String() string {
	path := ""
	for _, step := range f.Path {
		if _, err := strconv.ParseUint(step, 10, 32); err == nil {
			path += "[" + step + "]"
		} else {
			path += "." + step
		}
	}
	return join(": ", strings.TrimPrefix(path, "."), f.Message)
}

// newError is the error of a call of an operation.
func newError(operation gen.Operation, message string, cause error, classes ...error) *Error {
	return &Error{Operation: operation.ID, Method: operation.Method, Path: operation.Path, Message: message, cause: cause, classes: classes}
}

// hint adds what to do next.
func (e *Error) hint(text string) { e.Hint = join("; ", e.Hint, text) }

// Error says what happened, to which operation, and what to do.
func (e *Error) Error() string {
	var unknown, status, attempts, request string
	if slices.Contains(e.classes, ErrOutcomeUnknown) {
		unknown = ErrOutcomeUnknown.Error()
	}
	if e.Status != 0 {
		status = strings.TrimSpace(fmt.Sprint(e.Status, " ", http.StatusText(e.Status)))
	}
	if e.Attempts > 1 {
		attempts = fmt.Sprint(e.Attempts, " attempts")
	}
	if e.RequestID != "" {
		request = "request " + e.RequestID
	}
	text := join(": ", e.Operation, unknown, status, e.Message)
	if notes := join(", ", attempts, request); notes != "" {
		text += " (" + notes + ")"
	}
	return join("; ", text, e.Hint)
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
