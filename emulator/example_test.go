package emulator_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
)

// theirs is a field that is registered before the program under test begins.
const theirs = `{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "there-before",
	"properties": {"start_at": "2026-01-01T00:00:00Z", "end_at": "2027-01-01T00:00:00Z"},
	"geometry": {"type": "Polygon", "coordinates": [[[-93.62,42.05],[-93.61,42.05],[-93.61,42.06],[-93.62,42.06],[-93.62,42.05]]]}}]}`

// A test of your own program starts an emulator, points the program at it, and
// looks at what came of it. In a test, t.Setenv takes the place of os.Setenv.
func Example() {
	server, err := emulator.Start(emulator.Options{Seed: 1, Sources: []io.Reader{strings.NewReader(theirs)}})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	for _, variable := range server.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
		defer os.Unsetenv(name)
	}

	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}
	for source, err := range client.Sources.All(context.Background(), api.AllParams{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(source.ID, source.AltID, source.Country)
	}
	fmt.Println("tokens asked for:", server.Requests()["requestToken"])
	// Output:
	// src_07xrZltyQzLdC there-before United States of America
	// tokens asked for: 1
}

// connect gives a client of the server that is told where it is without the
// environment.
func connect(server *emulator.Server) *api.Client {
	ready := server.Ready()
	tokens, err := authn.New(authn.Config{
		Domain:       ready.Domain,
		ClientID:     ready.ClientID,
		ClientSecret: authn.Secret(ready.ClientSecret),
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := api.New(api.WithAuth(tokens), api.WithBaseURL(ready.URL))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// Faults happen on demand: here the first listing fails with 503, and the client
// asks again.
func ExampleServer_SetFaults() {
	server, err := emulator.Start(emulator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	fault, err := emulator.ParseFault("listSources:503:x1")
	if err != nil {
		log.Fatal(err)
	}
	if err := server.SetFaults([]emulator.Fault{fault}); err != nil {
		log.Fatal(err)
	}
	sources, err := connect(server).Sources.List(context.Background(), api.ListParams{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(sources), "sources")
	for _, request := range server.LastRequests(2) {
		fmt.Printf("%s %s %d %q\n", request.Method, request.Path, request.Status, request.Fault)
	}
	// Output:
	// 0 sources
	// GET /sources 503 "listSources:503:x1"
	// GET /sources 200 ""
}

// The clock can be set: here the token has ended when it is used again, and the
// client gets another one.
func ExampleServer_SetClock() {
	server, err := emulator.Start(emulator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client := connect(server)

	for range 2 {
		if _, err := client.Sources.List(context.Background(), api.ListParams{}); err != nil {
			log.Fatal(err)
		}
		server.SetClock(server.Now().Add(2*time.Hour), false)
	}
	fmt.Println("tokens asked for:", server.Requests()["requestToken"])
	// Output:
	// tokens asked for: 2
}
