package gen_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/emulated"
)

const fields = `{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "north-40",
	"properties": {"start_at": "2026-01-01T00:00:00Z", "end_at": "2027-01-01T00:00:00Z"},
	"geometry": {"type": "Polygon", "coordinates": [[[-93.62,42.05],[-93.61,42.05],[-93.61,42.06],[-93.62,42.06],[-93.62,42.05]]]}}]}`

// The generated client, bare, with the request editor of package authn. It knows
// no repeats, no pages and no 401: package api does.
func Example() {
	// A program of yours leaves this line out.
	defer emulated.Start(emulator.Options{Sources: []io.Reader{strings.NewReader(fields)}}).Close()

	config, err := authn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := authn.New(config)
	if err != nil {
		log.Fatal(err)
	}
	client, err := gen.NewClientWithResponses(config.BaseURL, gen.WithRequestEditorFn(tokens.Edit))
	if err != nil {
		log.Fatal(err)
	}

	altID := "north-40"
	answer, err := client.ListSourcesWithResponse(context.Background(), &gen.ListSourcesParams{AltID: &altID})
	if err != nil {
		log.Fatal(err)
	}
	if answer.JSON200 == nil {
		log.Fatal(answer.Status(), ": ", string(answer.Body))
	}
	for _, source := range *answer.JSON200 {
		fmt.Println(source.AltID, source.Country)
	}
	// Output: north-40 United States of America
}
