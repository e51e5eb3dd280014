package own

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
)

const fields = `{"type":"FeatureCollection","features":[{"type":"Feature","id":"there-before",
	"properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":` + boundary + `}]}`

const boundary = `{"type":"Polygon","coordinates":[[[-93.62,42.05],[-93.61,42.05],[-93.61,42.06],[-93.62,42.06],[-93.62,42.05]]]}`

func TestRegister(t *testing.T) {
	server, err := emulator.Start(emulator.Options{Seed: 1, Sources: []io.Reader{strings.NewReader(fields)}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, variable := range server.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}

	client, err := api.New(api.FromEnv())
	if err != nil {
		t.Fatal(err)
	}
	id, conflict, err := Register(t.Context(), client, "north-40", boundary)
	if err != nil || !conflict {
		t.Fatalf("%s, in conflict: %t, %v", id, conflict, err)
	}

	// The generated client sees the same ledger.
	config, err := authn.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := authn.New(config)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := gen.NewClientWithResponses(config.BaseURL, gen.WithRequestEditorFn(tokens.Edit))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := bare.GetSourceWithResponse(t.Context(), id)
	if err != nil || answer.JSON200 == nil || answer.JSON200.AltID != "north-40" {
		t.Fatal(answer, err)
	}

	// What if the answer is lost?
	fault, err := emulator.ParseFault("createSources:drop-after:x1:alt_id=south-40")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SetFaults([]emulator.Fault{fault}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Register(t.Context(), client, "south-40", boundary); !errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("the error is %v", err)
	}
}
