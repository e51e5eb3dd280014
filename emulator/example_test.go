package emulator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/meti-go/meti/emulator"
	"golang.org/x/oauth2/clientcredentials"
)

// A test of your own program starts an emulator, points the program at it, and
// looks at what was stored.
func Example() {
	server, err := emulator.Start(emulator.Options{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	ready := server.Ready()
	tokens := clientcredentials.Config{
		ClientID:       ready.ClientID,
		ClientSecret:   ready.ClientSecret,
		TokenURL:       ready.Domain + "/oauth/token",
		EndpointParams: map[string][]string{"audience": {ready.Audience}},
	}
	ctx := context.Background()
	client := tokens.Client(ctx)

	body := `{"alt_id": "field-0042", "methodology": "Agriculture",
		"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-12-31T00:00:00Z",
		"geometry": {"type": "Polygon", "coordinates":
			[[[-93.6012, 42.0301], [-93.5951, 42.0301], [-93.5951, 42.0346], [-93.6012, 42.0346], [-93.6012, 42.0301]]]}}`
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, ready.URL+"/sources", strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	var sources []struct {
		ID       string
		AltID    string `json:"alt_id"`
		Hectares float64
		Conflict bool
	}
	if err := json.NewDecoder(answer.Body).Decode(&sources); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d: %s is %s, %.2f ha, conflict: %t\n",
		answer.StatusCode, sources[0].AltID, sources[0].ID, sources[0].Hectares, sources[0].Conflict)
	fmt.Println("tokens asked for:", server.Requests()["requestToken"])
	// Output:
	// 200: field-0042 is src_07xrZltyQzLdC, 25.25 ha, conflict: false
	// tokens asked for: 1
}

// Faults happen on demand: here the first listing fails with 503, and the second
// is well again.
func ExampleServer_SetFaults() {
	server, err := emulator.Start(emulator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	fault, err := emulator.ParseFault("listSources:503:x1:retry-after=2s")
	if err != nil {
		log.Fatal(err)
	}
	if err := server.SetFaults([]emulator.Fault{fault}); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+"/sources", nil)
		if err != nil {
			log.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode, answer.Header.Get("Retry-After"))
	}
	// Output:
	// 503 2
	// 401
}
