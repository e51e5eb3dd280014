package api

import (
	"errors"
	"fmt"
	"net/http"
)

// The classes of an [Error], for errors.Is.
var (
	ErrInvalid        = errors.New("invalid request")       // 400, 422, or refused before sending
	ErrUnauthorized   = errors.New("unauthorized")          // 401
	ErrForbidden      = errors.New("forbidden")             // 403, or a scope is missing
	ErrNotFound       = errors.New("not found")             // 404
	ErrTooLarge       = errors.New("request too large")     // 413
	ErrRateLimited    = errors.New("too many requests")     // 429
	ErrServer         = errors.New("server error")          // 5xx
	ErrRedirect       = errors.New("redirect not followed") // 3xx
	ErrBadAnswer      = errors.New("unreadable answer")     // broken JSON, wrong content type, too large
	ErrOutcomeUnknown = errors.New("outcome unknown")       // a POST that may have been carried out
)

// Error is a call that failed.
type Error struct {
	Operation string // operationId of openapi.yaml
	Method    string
	Path      string // without query
	Status    int    // 0 where no answer came
	Message   string // the service's own words, or ours
	Body      []byte // as received, capped
	kind      error
	cause     error
}

// Error says what happened, to which operation.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %d %s", e.Operation, e.Status, e.Message)
}

// Unwrap gives the class and the cause.
func (e *Error) Unwrap() []error {
	var list []error
	for _, err := range []error{e.kind, e.cause} {
		if err != nil {
			list = append(list, err)
		}
	}
	return list
}

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
