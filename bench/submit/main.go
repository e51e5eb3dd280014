// Command submit measures "meti submit" beside a loop that posts one feature
// after another, both against the emulator with some latency. It prints a
// Markdown table.
//
//	go run ./submit [-n 95000] [-latency 50ms] [-posts 500]
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/bench/internal/way"
	"github.com/meti-go/meti/emulator"
)

func main() {
	n := flag.Int("n", 95000, "features")
	latency := flag.Duration("latency", 50*time.Millisecond, "of each request")
	posts := flag.Int("posts", 500, "how many the loop posts; its time is extrapolated")
	flag.Parse()
	if err := measure(*n, *latency, min(*posts, *n)); err != nil {
		way.Fatal(err)
	}
}

// What is measured, in its order, and what each row has to say then.
var steps = []struct {
	what, state string
	args        []string
}{
	{"meti plan: the file, judged, and an account that has none of it", `"state":"new"`, []string{"plan"}},
	{"meti submit: the same, the sending in the file's order, and reading again what was sent", `"outcome":"registered"`, []string{"submit"}},
	{"meti submit again: the file and as many sources", `"outcome":"registered"`, []string{"submit"}},
	{"the same without a journal: by their boundaries", `"outcome":"registered"`, []string{"submit", "--journal", "none"}},
}

const submitted = 1 // the step that the loop is compared with

func measure(n int, latency time.Duration, posts int) error {
	folder, err := os.MkdirTemp("", "meti-bench-submit-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b := bench{folder: folder, meti: filepath.Join(folder, "meti"), latency: latency}
	build := exec.Command("go", "build", "-C", "..", "-o", b.meti, "./cmd/meti")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	tenth := max(n/10, 1)
	few, _, err := b.submit(tenth)
	if err != nil {
		return err
	}
	all, size, err := b.submit(n)
	if err != nil {
		return err
	}
	loop, err := b.loop(posts)
	if err != nil {
		return err
	}
	alone := loop.Seconds() / float64(posts) * float64(n)
	fmt.Printf("%d features of %.1f KB, %s of latency, %d cores, %s:\n\n", n, float64(size)/float64(n)/1000, latency, runtime.NumCPU(), runtime.Version())
	fmt.Printf("| way | time | features a second | times as fast | peak memory of the client |\n| --- | --- | --- | --- | --- |\n")
	fmt.Printf("| one POST after another (extrapolated from %d) | %s | %.0f | 1 | |\n", posts, time.Duration(alone)*time.Second, float64(n)/alone)
	row := func(what string, features int, r run, times string) {
		fmt.Printf("| %s | %s | %.0f | %s | %.0f MB |\n", what, r.wall.Round(100*time.Millisecond), float64(features)/r.wall.Seconds(), times, float64(r.peak)/1e6)
	}
	for i, step := range steps {
		times := ""
		if i == submitted {
			times = fmt.Sprintf("%.0f", alone/all[i].wall.Seconds())
		}
		row(step.what, n, all[i], times)
	}
	row("meti submit, a tenth of the features", tenth, few[submitted], "")
	fmt.Printf("\nClient CPU of meti submit: %.1f s.\n", all[submitted].cpu.Seconds())
	return nil
}

type bench struct {
	folder, meti string
	latency      time.Duration
}

// run is what one run of meti took.
type run struct {
	wall, cpu time.Duration
	peak      int64 // bytes
}

func (b bench) emulator() (*emulator.Server, error) {
	return emulator.Start(emulator.Options{Faults: []emulator.Fault{{Operation: emulator.AnyOperation, Kind: emulator.FaultLatency, Delay: b.latency}}})
}

// submit takes the steps with n features, one after another, and tells how large
// the file was.
func (b bench) submit(n int) (runs []run, size int64, err error) {
	input := filepath.Join(b.folder, fmt.Sprintf("%d.geojson", n))
	if size, err = write(input, n); err != nil {
		return nil, 0, err
	}
	server, err := b.emulator()
	if err != nil {
		return nil, 0, err
	}
	defer server.Close()
	for _, step := range steps {
		cmd := exec.Command(b.meti, append(step.args, input, "--no-token-cache", "-o", "ndjson", "-q")...)
		cmd.Env = append(os.Environ(), server.Environ()...)
		r, out, err := b.run(cmd)
		if err != nil {
			return nil, 0, fmt.Errorf("meti %v: %w", step.args, err)
		}
		if got := bytes.Count(out, []byte(step.state)); got != n {
			return nil, 0, fmt.Errorf("meti %v: %d of %d features are %s", step.args, got, n, step.state)
		}
		runs = append(runs, r)
	}
	return runs, size, nil
}

// run runs a command, and looks at its memory now and then. Its output goes to a
// file: a pipe that nobody reads in time would hold it up.
func (b bench) run(cmd *exec.Cmd) (r run, out []byte, err error) {
	results, err := os.Create(filepath.Join(b.folder, "results"))
	if err != nil {
		return r, nil, err
	}
	defer results.Close()
	cmd.Stdout, cmd.Stderr = results, os.Stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return r, nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for ended := false; !ended; {
		select {
		case err = <-done:
			ended = true
		case <-time.After(100 * time.Millisecond):
			r.peak = max(r.peak, way.Peak(cmd.Process.Pid))
		}
	}
	if err != nil {
		return r, nil, err
	}
	r.wall, r.cpu = time.Since(begin), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	out, err = os.ReadFile(results.Name())
	return r, out, err
}

// write makes features of 100 positions, each in a place of its own, and the
// same each time.
func write(path string, n int) (size int64, err error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	fmt.Fprint(out, `{"type":"FeatureCollection","features":[`)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		if i > 0 {
			fmt.Fprint(out, ",")
		}
		fmt.Fprintf(out, "\n%s", feature(random, i))
	}
	fmt.Fprint(out, "\n]}\n")
	if err := out.Flush(); err != nil {
		return 0, err
	}
	return file.Seek(0, io.SeekEnd)
}

func feature(random *rand.Rand, i int) []byte {
	text := fmt.Appendf(nil, `{"type":"Feature","id":"field-%06d","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[`, i)
	text, _ = way.AppendRing(text, random, 100, -100+float64(i%400)*0.02, 32+float64(i/400)*0.02, 0.004, 0.1, 14)
	return append(text, `]]}}`...)
}

// loop posts one feature after another, through package api and on one
// connection.
func (b bench) loop(posts int) (time.Duration, error) {
	server, err := b.emulator()
	if err != nil {
		return 0, err
	}
	defer server.Close()
	for _, pair := range server.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil {
			return 0, err
		}
	}
	client, err := api.New(api.FromEnv())
	if err != nil {
		return 0, err
	}
	// The token and the connection are there before the clock runs.
	if _, err := client.Sources.List(context.Background(), api.ListParams{Limit: 1}); err != nil {
		return 0, err
	}
	random := rand.New(rand.NewPCG(1, 2))
	features := make([]api.Feature, posts)
	for i := range features {
		if err := json.Unmarshal(feature(random, i), &features[i]); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	for _, f := range features {
		_, err := client.Sources.Create(context.Background(), api.SourceCreateFeatures{FeatureCollection: api.FeatureCollection{Features: []api.Feature{f}}})
		if err != nil {
			return 0, err
		}
	}
	return time.Since(begin), nil
}
