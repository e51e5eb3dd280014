package authn

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What an error of this package is, for errors.Is.
var (
	// ErrTemporary: the same request may succeed later.
	ErrTemporary = errors.New("temporary failure")
	// ErrRateLimited: Auth0 answered 429. It is temporary too.
	ErrRateLimited = errors.New("too many token requests")
	// ErrPermanent: asking again will not help before something is changed.
	ErrPermanent = errors.New("permanent failure")
	// ErrRedirect: a server answered with a redirect, which is never followed.
	ErrRedirect = errors.New("redirect refused")
	// ErrMissingScope: the token lacks a scope that the operation needs.
	ErrMissingScope = errors.New("missing scope")
	// ErrOpaqueToken: the access token is no JWT. Auth0 issues such tokens
	// when it was asked for no audience or for one that it does not know, and
	// METI will refuse it with 401.
	ErrOpaqueToken = errors.New("audience not honoured: got an opaque token, not a JWT; check AUTH0_AUDIENCE")
)

// FetchError says why there is no token. Every failure of [Source.Grant] and
// of the faces above it is one, a caller's own cancelled context included
// (errors.Is then finds context.Canceled or context.DeadlineExceeded).
//
// It holds no secret and no token, also where the server echoed one.
type FetchError struct {
	Domain      string        // the origin that was asked, such as https://tenant.eu.auth0.com
	Status      int           // HTTP status, 0 without an answer
	Code        string        // the answer's "error", such as access_denied
	Description string        // the answer's "error_description"
	Hint        string        // what to do about it
	Attempts    int           // requests made by this fetch
	Wait        time.Duration // how long the server asks to wait, 0 when it does not say
	RetryAt     time.Time     // when that wait ends
	Err         error         // the cause, nil when the answer says it all

	kind kind
}

type kind int

const (
	waiting kind = iota // the caller gave up, not the fetch
	temporary
	rateLimited
	permanent
)

// Temporary reports whether the same request may succeed later.
func (e *FetchError) Temporary() bool { return e.kind == temporary || e.kind == rateLimited }

// Error says what happened and what to do.
func (e *FetchError) Error() string {
	var b strings.Builder
	b.WriteString("authn: no token from " + e.Domain)
	sep := ": "
	add := func(parts ...string) {
		b.WriteString(sep)
		b.WriteString(strings.Join(parts, " "))
		sep = ": "
	}
	if e.Status != 0 {
		add(strconv.Itoa(e.Status), http.StatusText(e.Status))
	}
	if e.Code != "" {
		add(e.Code)
	}
	if e.Description != "" {
		add(e.Description)
	}
	if e.Err != nil {
		add(e.Err.Error())
	}
	if e.Wait > 0 {
		sep = "; "
		add("asked to wait", e.Wait.Round(time.Second).String()+",", "until", e.RetryAt.UTC().Format(time.RFC3339))
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives errors.Is the class and the cause.
func (e *FetchError) Unwrap() []error {
	var list []error
	switch e.kind {
	case temporary:
		list = append(list, ErrTemporary)
	case rateLimited:
		list = append(list, ErrTemporary, ErrRateLimited)
	case permanent:
		list = append(list, ErrPermanent)
	}
	if e.Err != nil {
		list = append(list, e.Err)
	}
	return list
}

// RedirectError says that a server answered an authenticated request with a
// redirect. Following it could hand the token or the client secret to another
// server, or turn a POST into a GET, so it is refused.
type RedirectError struct {
	Method string // of the request that was sent
	Status int    // 301, 302, 303, 307 or 308
	From   string // the origin that answered
	To     string // the origin it points to, empty when the answer does not say
}

// Error says which server redirects to which.
func (e *RedirectError) Error() string {
	to := e.To
	if to == "" {
		to = "an unreadable location"
	}
	return fmt.Sprintf("%s to %s: %d redirect to %s refused: a token or secret is never carried along a redirect; is the address right?",
		e.Method, e.From, e.Status, to)
}

// Is makes every RedirectError an [ErrRedirect].
func (e *RedirectError) Is(target error) bool { return target == ErrRedirect }

// OriginError says that [Transport] was given a request for another server
// than its own. It sends the token nowhere else, and nothing without it.
type OriginError struct {
	Want string // the origin that the token is for
	Got  string // the origin of the request
}

// Error names both servers.
func (e *OriginError) Error() string {
	return fmt.Sprintf("authn: request for %s refused: the token is for %s only", e.Got, e.Want)
}

// ScopeError says that a token lacks scopes that an operation needs.
type ScopeError struct {
	Operation string   // such as DeleteSource
	Need      []string // the scopes that the operation needs
	Have      []string // the scopes that were granted
}

// Missing returns the scopes in Need that are not in Have.
func (e *ScopeError) Missing() []string {
	var missing []string
	for _, scope := range e.Need {
		if !slices.Contains(e.Have, scope) {
			missing = append(missing, scope)
		}
	}
	return missing
}

// Error names what is needed, what there is, and whom to ask.
func (e *ScopeError) Error() string {
	have := strings.Join(e.Have, " ")
	if have == "" {
		have = "none"
	}
	return fmt.Sprintf("%s needs the scope %s, the token has %s: ask your Auth0 administrator for %s",
		e.Operation, strings.Join(e.Need, " "), have, strings.Join(e.Missing(), " "))
}

// Is makes every ScopeError an [ErrMissingScope].
func (e *ScopeError) Is(target error) bool { return target == ErrMissingScope }

// ConfigError says what is wrong with a [Config], or with the environment that
// it is read from. It never repeats the value.
type ConfigError struct {
	Field    string // of Config, such as ClientID
	Variable string // the environment variable that fills it
	Problem  string // what is wrong
}

// Error names the field, its variable and the problem.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("authn: %s (%s) %s", e.Field, e.Variable, e.Problem)
}
