package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// tokens is what the request loop asks of a source of tokens.
type tokens interface {
	// authorize sets the Authorization header.
	authorize(ctx context.Context, header http.Header) (credential, error)
	// refused tells of a 401, and reports whether another token may be had.
	refused(token string) bool
	// String says whose tokens they are.
	String() string
}

// credential is the token of one attempt.
type credential struct {
	token string
	grant *authn.Grant // nil where nothing is known but the token
}

type authSource struct{ *authn.Source }

func (s authSource) authorize(ctx context.Context, header http.Header) (credential, error) {
	grant, err := s.Grant(ctx)
	if err != nil {
		return credential{}, err
	}
	header["Authorization"] = grant.Header()
	return credential{grant.AccessToken(), grant}, nil
}

func (s authSource) refused(token string) bool {
	s.Invalidate(token)
	return true
}

// ownSource is the Token method of a source of the caller's: a func, so that
// nothing prints what that holds.
type ownSource func() (*oauth2.Token, error)

func (ownSource) String() string { return "tokens from WithTokenSource" }

func (s ownSource) authorize(ctx context.Context, header http.Header) (credential, error) {
	token, err := s.ask(ctx)
	if err != nil {
		return credential{}, err
	}
	// A source that has nothing must not become an anonymous call.
	if token == nil || token.AccessToken == "" {
		return credential{}, errors.New("the token source returned no token")
	}
	header["Authorization"] = []string{token.Type() + " " + token.AccessToken}
	return credential{token: token.AccessToken}, nil
}

// ask waits for the token no longer than ctx lasts.
func (s ownSource) ask(ctx context.Context) (*oauth2.Token, error) {
	if ctx.Done() == nil {
		return s()
	}
	type answer struct {
		token *oauth2.Token
		err   error
	}
	answers := make(chan answer, 1) // so that the source need not be waited for
	go func() {
		token, err := s()
		answers <- answer{token, err}
	}()
	select {
	case a := <-answers:
		return a.token, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w, while waiting for a token", safehttp.Ended(ctx))
	}
}

func (ownSource) refused(string) bool { return false }
