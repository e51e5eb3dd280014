package api_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/internal/emulated"
)

// Reading and deleting survive a service of which a third of the answers are
// lost, late or nonsense: nothing fails, and what was to be deleted is.
func TestSurvivesABadService(t *testing.T) {
	const sources, workers = 60, 8
	server := emulated.Start(emulator.Options{})
	defer server.Close()
	client, err := api.New(api.FromEnv(), api.WithRetryPolicy(api.RetryPolicy{Attempts: 15, Within: 20 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	three, err := api.ParseFeatures([]byte(fields))
	if err != nil {
		t.Fatal(err)
	}
	features := make([]api.Feature, sources)
	for i := range features {
		features[i] = three.Features[0]
		features[i].ID = fmt.Sprint("field-", i)
	}
	created, err := client.Sources.Create(t.Context(), api.SourceCreateFeatures{FeatureCollection: api.FeatureCollection{Features: features}})
	if err != nil {
		t.Fatal(err)
	}
	var faults []emulator.Fault
	for _, operation := range []string{"getSource", "listSources", "deleteSource"} {
		for _, kind := range []emulator.FaultKind{emulator.FaultDrop, emulator.FaultDropAfter, emulator.FaultTruncate, emulator.FaultStatus, emulator.FaultHTML} {
			fault := emulator.Fault{Operation: operation, Kind: kind, Probability: 0.08}
			if kind == emulator.FaultStatus {
				fault.Status = 503
			}
			faults = append(faults, fault)
		}
	}
	if err := server.SetFaults(faults); err != nil {
		t.Fatal(err)
	}

	ids := make(chan string)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for id := range ids {
				if _, err := client.Sources.Get(t.Context(), id); err != nil {
					t.Error(err)
				}
				if err := client.Sources.Delete(t.Context(), id); err != nil {
					t.Error(err)
				}
				if _, err := client.Sources.Get(t.Context(), id); !errors.Is(err, api.ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	for _, source := range created {
		ids <- source.ID
	}
	close(ids)
	group.Wait()
	left, err := client.Sources.List(t.Context(), api.ListParams{})
	if err != nil || len(left) != 0 {
		t.Errorf("%d sources are left, %v", len(left), err)
	}
	if n := server.Requests(); n["deleteSource"] <= sources || n["requestToken"] != 1 {
		t.Errorf("nothing went wrong: %v", n)
	}
}
