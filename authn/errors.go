package authn

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrOpaqueToken says that an access token is no JWT. Auth0 issues such tokens
// for an audience that it does not know, and METI refuses them with 401.
var ErrOpaqueToken = errors.New("audience not honoured: got an opaque token, not a JWT; check the audience")

// FetchError says why there is no token. Every failure of [Source.Grant] and
// of the methods that use it is one, a caller's own cancelled context included
// (errors.Is then finds context.Canceled or context.DeadlineExceeded).
// It holds no secret and no token, also where the server echoed one.
type FetchError struct {
	Domain      string        // the origin that was asked, such as https://tenant.eu.auth0.com
	Status      int           // HTTP status, 0 without an answer
	Code        string        // the answer's "error", such as access_denied
	Description string        // the answer's "error_description"
	Hint        string        // what to do about it
	Attempts    int           // requests made by this fetch
	RetryAfter  time.Duration // how long the server asks to wait, 0 when it does not say
	Err         error         // the cause, nil when the answer says it all

	class class
}

// class is what a failure means for the next request.
type class int

const (
	permanent class = iota // something has to be changed first, or the caller gave up
	temporary              // the same request may succeed later
	refused                // permanent, and it was Auth0 that said so
)

// Temporary reports whether the same request may succeed later: after a
// failure of the network, a 429, a 5xx or a proxy's page.
func (e *FetchError) Temporary() bool { return e.class == temporary }

// Refused reports whether Auth0 refused this client, audience or scope. It is
// false where Auth0 could not be asked, or gave no answer of its own.
func (e *FetchError) Refused() bool { return e.class == refused }

// Error says what happened and what to do.
func (e *FetchError) Error() string {
	text := "authn: no token from " + e.Domain
	add := func(before, part string) {
		if part != "" {
			text += before + part
		}
	}
	if e.Status != 0 {
		add(": ", strings.TrimSpace(fmt.Sprint(e.Status, " ", http.StatusText(e.Status))))
	}
	add(": ", e.Code)
	add(": ", e.Description)
	if e.Err != nil {
		add(": ", e.Err.Error())
	}
	if e.RetryAfter > 0 {
		add("; asked to wait ", e.RetryAfter.Round(time.Second).String())
	}
	if e.Attempts > 1 {
		add(" ", fmt.Sprintf("(%d attempts)", e.Attempts))
	}
	add("; ", e.Hint)
	return text
}

// Unwrap gives the cause.
func (e *FetchError) Unwrap() error { return e.Err }

// RedirectError says that a server answered with a redirect, which is never
// followed: it could hand the token or the client secret to another server, or
// turn a POST into a GET.
type RedirectError struct {
	Method string // of the request that was sent
	Status int    // 301, 302, 303, 307 or 308
	From   string // the origin that answered
	To     string // the origin it points to, empty when the answer does not say
}

// Error says which server redirects to which.
func (e *RedirectError) Error() string {
	return fmt.Sprintf("%s to %s: %d redirect to %s refused: a token or secret is never carried along a redirect; is the address right?",
		e.Method, e.From, e.Status, cmp.Or(e.To, "an unreadable location"))
}

// ScopeError says that a token lacks scopes that an operation needs.
type ScopeError struct {
	Operation string   // such as DeleteSource
	Need      []string // the scopes that the operation needs
	Have      []string // the scopes that were granted
}

// Error names what is needed, what there is, and whom to ask.
func (e *ScopeError) Error() string {
	missing := slices.DeleteFunc(slices.Clone(e.Need), func(scope string) bool { return slices.Contains(e.Have, scope) })
	return fmt.Sprintf("%s needs the scope %s, the token has %s: ask your Auth0 administrator for %s",
		e.Operation, strings.Join(e.Need, " "), cmp.Or(strings.Join(e.Have, " "), "none"), strings.Join(missing, " "))
}
