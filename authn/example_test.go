package authn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
)

// tokensGiven counts what the newest tokenServer gave out.
var tokensGiven atomic.Int64

// tokenServer stands in for Auth0 in the examples.
func tokenServer() *httptest.Server {
	tokensGiven.Store(0)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokensGiven.Add(1)
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

	fmt.Println(grant.Require("DeleteSource", "delete:sources"))
	// Output:
	// [read:sources]
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
	source, err := authn.New(authn.Config{
		Domain: auth0.URL, ClientID: "my-client-id", ClientSecret: "my-client-secret",
		BaseURL: meti.URL, // METI's own when it is left out
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: source.Transport(nil)}
	resp, err := client.Get(meti.URL + "/sources")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)

	_, err = client.Get("https://elsewhere.example/")
	fmt.Println(err != nil)
	// Output:
	// 200 OK
	// true
}

// memoryStore shares tokens between the sources of one process, and shows what
// a store has to do. In Redis, Load is GET, Save is SET with PXAT, and Lock is
// SET with NX and PX, tried again until it succeeds and undone by whoever set
// it; test/peers/redis does so.
type memoryStore struct {
	tokens sync.Map
	locks  sync.Map
}

func (m *memoryStore) Load(_ context.Context, key string) ([]byte, error) {
	value, _ := m.tokens.Load(key)
	token, _ := value.([]byte)
	return token, nil
}

func (m *memoryStore) Save(_ context.Context, key string, value []byte, expires time.Time) error {
	m.tokens.Store(key, value)
	return nil
}

func (m *memoryStore) Lock(ctx context.Context, key string) (unlock func(), err error) {
	lock, _ := m.locks.LoadOrStore(key, make(chan struct{}, 1))
	select {
	case lock.(chan struct{}) <- struct{}{}:
		return func() { <-lock.(chan struct{}) }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Sources with the same store share one token, wherever they run.
func ExampleStore() {
	auth0 := tokenServer()
	defer auth0.Close()
	var store authn.Store = &memoryStore{}
	for pod := range 1000 {
		source, err := authn.New(authn.Config{
			Domain: auth0.URL, ClientID: "my-client-id", ClientSecret: "my-client-secret",
			Store: store,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := source.Token(); err != nil {
			fmt.Println(pod, err)
			return
		}
	}
	fmt.Println(tokensGiven.Load(), "token for 1,000 pods")
	// Output: 1 token for 1,000 pods
}
