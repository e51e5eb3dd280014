package register_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/internal/emulated"
	"github.com/meti-go/meti/ledger/countries"
	"github.com/meti-go/meti/register"
)

// inFolder writes fields to a file and gives its path, and what takes it away
// again.
func inFolder(fields string) (path string, remove func()) {
	folder, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(folder, "fields.ndjson")
	if err := os.WriteFile(path, []byte(fields), 0o600); err != nil {
		log.Fatal(err)
	}
	return path, func() { os.RemoveAll(folder) }
}

// Two fields, and a third that lies half over the second.
const twoFields = `{"type":"Feature","id":"north","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[10,50],[10.01,50],[10.01,50.01],[10,50.01],[10,50]]]}}
{"type":"Feature","id":"south","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[10,49],[10.01,49],[10.01,49.01],[10,49.01],[10,49]]]}}
`

const thirdField = `{"type":"Feature","id":"south-new","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[10.005,49],[10.015,49],[10.015,49.01],[10.005,49.01],[10.005,49]]]}}
`

// Plan and register a file. The second run finds that nothing is left to do, as
// it would after a first one that was killed.
func Example() {
	defer emulated.Start(emulator.Options{}).Close() // a program of yours leaves this line out
	path, remove := inFolder(twoFields)
	defer remove()

	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}
	methodology := api.MethodologyAgriculture
	options := register.Options{
		Client:     client,
		Input:      path,
		Attributes: api.SourceCreateFeatures{Methodology: &methodology},
		Notice:     func(text string) { log.Print(text) },
	}
	for range 2 {
		job, err := register.Plan(context.Background(), options)
		if err != nil {
			log.Fatal(err)
		}
		summary, err := job.Run(context.Background())
		if err != nil {
			log.Print(err) // what stopped the run; the rows are true all the same
		}
		fmt.Println("registered now:", summary.Sent)
		for row, err := range job.Rows() {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(row.AltID, row.State, row.Country)
		}
		if err := job.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// registered now: 2
	// north registered Germany
	// south registered Germany
	// registered now: 0
	// north registered Germany
	// south registered Germany
}

// What a run would do and whom it would conflict with, before anything is sent.
func ExamplePlan() {
	defer emulated.Start(emulator.Options{}).Close()
	path, remove := inFolder(twoFields + thirdField)
	defer remove()

	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}
	world := countries.World()
	job, err := register.Plan(context.Background(), register.Options{
		Client:         client,
		Input:          path,
		LookOnly:       true,
		AgainstAccount: true,
		CountryOf:      world.Of,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer job.Close()
	fmt.Println("to send:", job.Counts().ToSend)
	for row, err := range job.Rows() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(row.AltID, row.State)
		for _, other := range row.ConflictWith {
			fmt.Println("  would conflict with", other.AltID)
		}
	}
	// Output:
	// to send: 3
	// north new
	// south new
	//   would conflict with south-new
	// south-new new
	//   would conflict with south
}

// A boundary was corrected: it is registered anew, and then the old source is
// deleted.
func ExampleOptions_changed() {
	defer emulated.Start(emulator.Options{}).Close()
	path, remove := inFolder(twoFields)
	defer remove()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}
	run := func(options register.Options) register.Summary {
		job, err := register.Plan(context.Background(), options)
		if err != nil {
			log.Fatal(err)
		}
		defer job.Close()
		summary, err := job.Run(context.Background())
		if errors.Is(err, register.ErrRefused) {
			log.Fatal("METI takes nothing of it: ", err)
		}
		if err != nil {
			log.Fatal(err)
		}
		return summary
	}

	fmt.Println("registered:", run(register.Options{Client: client, Input: path}).Sent)
	if err := os.WriteFile(path, []byte(`{"type":"Feature","id":"north","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[10,50],[10.02,50],[10.02,50.01],[10,50.01],[10,50]]]}}`), 0o600); err != nil {
		log.Fatal(err)
	}
	fmt.Println("with another boundary:", run(register.Options{Client: client, Input: path}).Boundary)
	summary := run(register.Options{Client: client, Input: path, Changed: register.Renew, MaxReplace: 10})
	fmt.Println("registered anew:", summary.Sent, "deleted:", summary.Deleted)
	// Output:
	// registered: 2
	// with another boundary: 1
	// registered anew: 1 deleted: 1
}
