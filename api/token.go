package api

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// tokens are where a client's tokens come from. They are functions, so that
// nothing prints what the source holds.
type tokens struct {
	get    func(context.Context) (token, error)
	drop   func(string) // a token that was refused; nil where there is no other one
	name   string
	server string // the base URL of the API that they are for
}

// token is the token of one attempt.
type token struct {
	text   string
	header []string     // the value of Authorization
	grant  *authn.Grant // nil where nothing is known but the token
}

func auth0Tokens(source *authn.Source) tokens {
	get := func(ctx context.Context) (token, error) {
		grant, err := source.Grant(ctx)
		if err != nil {
			return token{}, err
		}
		return token{grant.AccessToken(), grant.Header(), grant}, nil
	}
	return tokens{get: get, drop: source.Invalidate, name: source.String(), server: source.BaseURL()}
}

// ownTokens are those of a source that knows no context: a call does not wait for
// it longer than its own lasts.
func ownTokens(source oauth2.TokenSource) tokens {
	get := func(ctx context.Context) (token, error) {
		var t *oauth2.Token
		answered := make(chan error, 1)
		go func() {
			var err error
			t, err = source.Token()
			answered <- err
		}()
		var err error
		select {
		case err = <-answered:
		case <-ctx.Done():
			err = fmt.Errorf("%w, while waiting for a token", safehttp.Ended(ctx))
		}
		if err != nil {
			return token{}, err
		}
		if t == nil || t.AccessToken == "" { // it must not become an anonymous call
			return token{}, errors.New("the token source returned no token")
		}
		return token{t.AccessToken, []string{t.Type() + " " + t.AccessToken}, nil}, nil
	}
	return tokens{get: get, name: "tokens from WithTokenSource", server: Production}
}
