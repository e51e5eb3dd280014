package api

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The classes of an [Error], for errors.Is. An error can be of two: a POST
// that is answered with 503 is an ErrServer and an ErrOutcomeUnknown.
var (
	ErrInvalid        = errors.New("invalid request")       // 400, 422, or refused before sending
	ErrUnauthorized   = errors.New("unauthorized")          // 401, or no token was to be had
	ErrForbidden      = errors.New("forbidden")             // 403, or a scope is missing
	ErrNotFound       = errors.New("not found")             // 404
	ErrTooLarge       = errors.New("request too large")     // 413
	ErrRateLimited    = errors.New("too many requests")     // 429
	ErrServer         = errors.New("server error")          // 5xx
	ErrRedirect       = errors.New("redirect not followed") // 3xx
	ErrBadAnswer      = errors.New("unreadable answer")     // broken or cut JSON, wrong content type, too large
	ErrOutcomeUnknown = errors.New("outcome unknown")       // a POST that may have been carried out
)

// Error is a call that failed. Every error of a method of
// [SourcesService] is one. No token stands in it, also where the server echoed one.
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
	Fields     []FieldError  // what is wrong with which values of the request
	Hint       string        // what to do next, where that is known
	RequestID  string        // the service's or a proxy's name for the request
	Attempts   int           // how often the request was sent, or tried to be
	RetryAfter time.Duration // what the server asks to wait; 0 if it does not
	Body       []byte        // of the answer, as received, up to MaxErrorBytes

	classes []error
	cause   error
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
	var b strings.Builder
	for i, step := range f.Path {
		switch _, err := strconv.ParseUint(step, 10, 32); {
		case err == nil:
			b.WriteString("[" + step + "]")
		case i > 0:
			b.WriteString("." + step)
		default:
			b.WriteString(step)
		}
	}
	if b.Len() > 0 && f.Message != "" {
		b.WriteString(": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// Error says what happened, to which operation, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Operation)
	if e.is(ErrOutcomeUnknown) {
		b.WriteString(": outcome unknown")
	}
	if e.Status != 0 {
		b.WriteString(": " + strconv.Itoa(e.Status))
		if text := http.StatusText(e.Status); text != "" {
			b.WriteString(" " + text)
		}
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Attempts > 1 || e.RequestID != "" {
		var notes []string
		if e.Attempts > 1 {
			notes = append(notes, strconv.Itoa(e.Attempts)+" attempts")
		}
		if e.RequestID != "" {
			notes = append(notes, "request "+e.RequestID)
		}
		b.WriteString(" (" + strings.Join(notes, ", ") + ")")
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *Error) is(class error) bool {
	for _, c := range e.classes {
		if c == class {
			return true
		}
	}
	return false
}

// Unwrap gives the classes and the cause.
func (e *Error) Unwrap() []error {
	list := make([]error, 0, len(e.classes)+1)
	list = append(list, e.classes...)
	if e.cause != nil {
		list = append(list, e.cause)
	}
	return list
}

// LogValue logs the fields one by one, without the body.
func (e *Error) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.String("operation", e.Operation),
		slog.String("method", e.Method),
		slog.String("path", e.Path),
		slog.Int("status", e.Status),
		slog.String("message", e.Message),
		slog.Int("attempts", e.Attempts),
	}
	if len(e.classes) > 0 {
		classes := make([]string, len(e.classes))
		for i, class := range e.classes {
			classes[i] = class.Error()
		}
		attributes = append(attributes, slog.String("class", strings.Join(classes, ", ")))
	}
	if len(e.Fields) > 0 {
		fields := make([]string, len(e.Fields))
		for i, field := range e.Fields {
			fields[i] = field.String()
		}
		attributes = append(attributes, slog.Any("fields", fields))
	}
	if e.Hint != "" {
		attributes = append(attributes, slog.String("hint", e.Hint))
	}
	if e.RequestID != "" {
		attributes = append(attributes, slog.String("request_id", e.RequestID))
	}
	if e.RetryAfter > 0 {
		attributes = append(attributes, slog.Duration("retry_after", e.RetryAfter))
	}
	return slog.GroupValue(attributes...)
}

// invalid is an error of a call that is refused before sending.
func invalid(operation, method, path, message string, cause error) *Error {
	return &Error{Operation: operation, Method: method, Path: path, Message: message, classes: []error{ErrInvalid}, cause: cause}
}

// classOf is the class of a status that is no success.
func classOf(status int) error {
	switch {
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		return ErrInvalid
	case status == http.StatusUnauthorized:
		return ErrUnauthorized
	case status == http.StatusForbidden:
		return ErrForbidden
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusRequestEntityTooLarge:
		return ErrTooLarge
	case status == http.StatusTooManyRequests:
		return ErrRateLimited
	case status >= 500:
		return ErrServer
	case status >= 300 && status < 400:
		return ErrRedirect
	}
	return nil
}
