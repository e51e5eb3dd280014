package api

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
)

// Reading and deleting survive a service of which a third of the answers are
// lost, late or nonsense: nothing fails, and what was to be deleted is.
func TestSurvivesABadService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sources, workers = 60, 8
		server, err := emulator.New(emulator.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		listener := newPipes()
		serving := &http.Server{Handler: server.Handler()}
		go func() { _ = serving.Serve(listener) }()
		defer serving.Close()
		over := defaultOver(t, listener.DialContext)
		ready := server.Ready()
		tokens, err := authn.New(authn.Config{Domain: ready.Domain, ClientID: ready.ClientID, ClientSecret: authn.Secret(ready.ClientSecret), Transport: over.Transport})
		if err != nil {
			t.Fatal(err)
		}
		client := made(t, WithAuth(tokens), WithBaseURL(ready.URL), WithHTTPClient(over), WithRetryPolicy(RetryPolicy{Attempts: 15, Within: time.Minute}))
		request := oneFeature
		request.FeatureCollection.Features = nil
		for i := range sources {
			feature := oneFeature.FeatureCollection.Features[0]
			feature.ID = fmt.Sprint("field-", i)
			request.FeatureCollection.Features = append(request.FeatureCollection.Features, feature)
		}
		created, err := client.Sources.Create(t.Context(), request)
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
					if _, err := client.Sources.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
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
		left, err := client.Sources.List(t.Context(), ListParams{})
		if err != nil || len(left) != 0 {
			t.Errorf("%d sources are left, %v", len(left), err)
		}
		if n := server.Requests(); n["deleteSource"] <= sources || n["requestToken"] != 1 {
			t.Errorf("nothing went wrong: %v", n)
		}
	})
}
