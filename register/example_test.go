package register_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/register"
)

// Two fields are registered; the second plan finds that nothing is left to do.
func ExamplePlan() {
	server, err := emulator.Start(emulator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ready := server.Ready()
	tokens, err := authn.New(authn.Config{Domain: ready.Domain, ClientID: ready.ClientID, ClientSecret: authn.Secret(ready.ClientSecret)})
	if err != nil {
		log.Fatal(err)
	}
	client, err := api.New(api.WithAuth(tokens), api.WithBaseURL(ready.URL))
	if err != nil {
		log.Fatal(err)
	}

	folder, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	input := filepath.Join(folder, "fields.ndjson")
	fields := `{"type":"Feature","id":"north","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[10,50],[10.01,50],[10.01,50.01],[10,50.01],[10,50]]]}}
{"type":"Feature","id":"south","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[10,49],[10.01,49],[10.01,49.01],[10,49.01],[10,49]]]}}
`
	if err := os.WriteFile(input, []byte(fields), 0o600); err != nil {
		log.Fatal(err)
	}

	for range 2 {
		job, err := register.Plan(context.Background(), register.Options{Client: client, Input: input})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("new:", job.Counts().New)
		if _, err := job.Run(context.Background()); err != nil {
			log.Fatal(err)
		}
		for row, err := range job.Rows() {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%s %s, %.2f ha\n", row.AltID, row.State, *row.Hectares)
		}
		if err := job.Close(); err != nil {
			log.Fatal(err)
		}
	}

	// Output:
	// new: 2
	// north registered, 79.74 ha
	// south registered, 81.37 ha
	// new: 0
	// north registered, 79.74 ha
	// south registered, 81.37 ha
}
