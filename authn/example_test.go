package authn_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/internal/emulated"
)

// emulate points the environment at an emulator whose client may read and no
// more. A program of yours leaves that line out.
func emulate() *emulated.Server {
	account := emulator.DemoAccount()
	account.Scopes = []string{"read:sources"}
	return emulated.Start(emulator.Options{Accounts: []emulator.Account{account}})
}

// A token, and what it allows.
func Example() {
	defer emulate().Close()

	config, err := authn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := authn.New(config)
	if err != nil {
		log.Fatal(err)
	}
	grant, err := tokens.Grant(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	if scopes, known := grant.Scopes(); known {
		fmt.Println(scopes)
	}
	fmt.Println(grant.Require("DeleteSource", "delete:sources"))
	// Output:
	// [read:sources]
	// DeleteSource needs the scope delete:sources, the token has read:sources: ask your Auth0 administrator for delete:sources
}

// A Source is an oauth2.TokenSource for whatever takes one, such as x/oauth2's
// Transport. That one adds the token to every request: use the client for METI
// alone, and let it follow no redirect.
func ExampleSource_Token() {
	defer emulate().Close()
	config, err := authn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := authn.New(config)
	if err != nil {
		log.Fatal(err)
	}

	client := &http.Client{
		Transport:     &oauth2.Transport{Source: tokens},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Get(config.BaseURL + "/sources")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	// Output: 200 OK
}

// Edit authenticates one request. It is the request editor that generated
// clients take; package gen shows that.
func ExampleSource_Edit() {
	defer emulate().Close()
	config, err := authn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := authn.New(config)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.BaseURL+"/sources", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := tokens.Edit(ctx, request); err != nil {
		log.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	// Output: 200 OK
}

// What kept a token away: whether it is worth another try, and what to do.
func ExampleFetchError() {
	defer emulate().Close()
	if err := os.Setenv("METI_CLIENT_SECRET", "not-the-secret"); err != nil {
		log.Fatal(err)
	}
	config, err := authn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := authn.New(config)
	if err != nil {
		log.Fatal(err)
	}

	_, err = tokens.Token()
	var failed *authn.FetchError
	if errors.As(err, &failed) {
		fmt.Println("refused:", failed.Refused(), "temporary:", failed.Temporary())
	}
	// Output: refused: true temporary: false
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
	server := emulate()
	defer server.Close()
	config, err := authn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	config.Store = &memoryStore{}

	for range 1000 {
		tokens, err := authn.New(config)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := tokens.Token(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("1,000 pods asked for", server.Requests()["requestToken"], "token")
	// Output: 1,000 pods asked for 1 token
}
