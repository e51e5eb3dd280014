package authn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
)

// tokenServer stands in for Auth0 in the examples.
func tokenServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"e30.e30.c2ln","token_type":"Bearer","expires_in":3600,"scope":"read:sources"}`)
	}))
}

// api stands in for METI: it greets whoever has a token.
func api() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Authorization") != "")
	}))
}

func Example() {
	auth0 := tokenServer()
	defer auth0.Close()

	// authn.FromEnv reads the same from the environment.
	source, err := authn.New(authn.Config{
		Domain:       auth0.URL, // tenant.eu.auth0.com
		ClientID:     "my-client-id",
		ClientSecret: "my-client-secret",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	grant, err := source.Grant(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	scopes, _ := grant.Scopes()
	fmt.Println(scopes)

	err = grant.Require("DeleteSource", "delete:sources")
	fmt.Println(errors.Is(err, authn.ErrMissingScope))
	fmt.Println(err)
	// Output:
	// [read:sources]
	// true
	// DeleteSource needs the scope delete:sources, the token has read:sources: ask your Auth0 administrator for delete:sources
}

// A Source is an oauth2.TokenSource for whatever takes one.
func ExampleSource_Token() {
	auth0 := tokenServer()
	defer auth0.Close()
	source, err := authn.New(authn.Config{Domain: auth0.URL, ClientID: "my-client-id", ClientSecret: "my-client-secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var tokens oauth2.TokenSource = source
	token, err := tokens.Token()
	fmt.Println(token.Type(), token.Valid(), err)
	// Output: Bearer true <nil>
}

// Edit authenticates one request; it is what a generated client takes as its
// request editor.
func ExampleSource_Edit() {
	auth0 := tokenServer()
	defer auth0.Close()
	source, err := authn.New(authn.Config{Domain: auth0.URL, ClientID: "my-client-id", ClientSecret: "my-client-secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	req, err := http.NewRequest("GET", "https://api.meti.millpont.com/sources", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := source.Edit(context.Background(), req); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(req.Header.Get("Authorization"))
	// Output: Bearer e30.e30.c2ln
}

// Transport authenticates whatever goes through an http.Client, to one server
// only, and replaces a token that the server refuses.
func ExampleSource_Transport() {
	auth0, meti := tokenServer(), api()
	defer auth0.Close()
	defer meti.Close()
	source, err := authn.New(authn.Config{Domain: auth0.URL, ClientID: "my-client-id", ClientSecret: "my-client-secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	transport, err := source.Transport(meti.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	resp, err := client.Get(meti.URL + "/sources")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)

	_, err = client.Get("https://elsewhere.example/")
	var other *authn.OriginError
	fmt.Println(errors.As(err, &other))
	// Output:
	// 200 OK
	// true
}
