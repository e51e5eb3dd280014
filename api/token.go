package api

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/internal/safehttp"
)

// tokens are where a client's tokens come from: an Auth0 source, or the Token
// method of a source of the caller's. That is a func, so that nothing prints
// what the source holds.
type tokens struct {
	auth0 *authn.Source
	own   func() (*oauth2.Token, error)
}

// token is the token of one attempt.
type token struct {
	text   string
	header []string     // the value of Authorization
	grant  *authn.Grant // nil where nothing is known but the token
}

func (t tokens) String() string {
	if t.auth0 != nil {
		return t.auth0.String()
	}
	return "tokens from WithTokenSource"
}

func (t tokens) get(ctx context.Context) (token, error) {
	if t.auth0 != nil {
		grant, err := t.auth0.Grant(ctx)
		if err != nil {
			return token{}, err
		}
		return token{grant.AccessToken(), grant.Header(), grant}, nil
	}
	// The caller's own source knows no context: nobody waits longer than his lasts.
	var own *oauth2.Token
	var err error
	answered := make(chan struct{})
	go func() {
		own, err = t.own()
		close(answered)
	}()
	select {
	case <-ctx.Done():
		return token{}, fmt.Errorf("%w, while waiting for a token", safehttp.Ended(ctx))
	case <-answered:
	}
	switch {
	case err != nil:
		return token{}, err
	case own == nil || own.AccessToken == "": // it must not become an anonymous call
		return token{}, errors.New("the token source returned no token")
	}
	return token{own.AccessToken, []string{own.Type() + " " + own.AccessToken}, nil}, nil
}
