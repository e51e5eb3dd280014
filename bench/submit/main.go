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
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meti-go/meti/api"
)

func main() {
	n := flag.Int("n", 95000, "features")
	latency := flag.Duration("latency", 50*time.Millisecond, "of each request")
	posts := flag.Int("posts", 500, "how many the loop posts; its time is extrapolated")
	flag.Parse()
	if err := measure(*n, *latency, *posts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(n int, latency time.Duration, posts int) error {
	folder, err := os.MkdirTemp("", "meti-bench-submit-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	b := bench{folder: folder, meti: filepath.Join(folder, "meti"), latency: latency}
	build := exec.CommandContext(context.Background(), "go", "build", "-C", "..", "-o", b.meti, "./cmd/meti")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	small, large := max(n/10, 1), n
	var runs [2][]run
	var size int64
	for i, count := range []int{small, large} {
		if size, err = b.write(count); err != nil {
			return err
		}
		if runs[i], err = b.all(count); err != nil {
			return err
		}
	}
	loop, err := b.loop(min(posts, n))
	if err != nil {
		return err
	}
	alone := time.Duration(float64(loop) / float64(min(posts, n)) * float64(n))
	fmt.Printf("%d features of %.1f KB, %s of latency, %d cores, %s:\n\n", n, float64(size)/float64(n)/1000, latency, runtime.NumCPU(), runtime.Version())
	fmt.Printf("| way | time | features a second | times as fast | peak memory of the client |\n| --- | --- | --- | --- | --- |\n")
	fmt.Printf("| one POST after another (extrapolated from %d) | %s | %.0f | 1 | |\n", min(posts, n), alone.Round(time.Second), float64(n)/alone.Seconds())
	row := func(what string, count int, r run, beside bool) {
		times := ""
		if beside {
			times = fmt.Sprintf("%.0f", alone.Seconds()/r.wall.Seconds())
		}
		fmt.Printf("| %s | %s | %.0f | %s | %.0f MB |\n", what, r.wall.Round(100*time.Millisecond), float64(count)/r.wall.Seconds(), times, float64(r.peak)/1e6)
	}
	for i, what := range ways {
		row(what, large, runs[1][i], i == submitted)
	}
	row("meti submit, a tenth of the features", small, runs[0][submitted], false)
	fmt.Printf("\nClient CPU of meti submit: %.1f s.\n", runs[1][submitted].cpu.Seconds())
	return nil
}

// What is measured, in its order.
var ways = []string{
	"meti plan: the file, judged, and an account that has none of it",
	"meti submit: the same, the sending in the file's order, and reading again what was sent",
	"meti submit again: the file and as many sources",
	"the same without a journal: by their boundaries",
}

const submitted = 1

type bench struct {
	folder, meti string
	latency      time.Duration
}

// run is what one submit took.
type run struct {
	wall, cpu time.Duration
	peak      int64 // bytes
}

func (b bench) input() string { return filepath.Join(b.folder, "fields.geojson") }

// write makes features of 100 positions, each in a place of its own, and the
// same each time.
func (b bench) write(n int) (int64, error) {
	file, err := os.Create(b.input())
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
	const positions = 100
	west, south := -100+float64(i%400)*0.02, 32+float64(i/400)*0.02
	text := fmt.Appendf(nil, `{"type":"Feature","id":"field-%06d","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[`, i)
	ring, first := len(text), 0
	for v := range positions {
		if v == positions-1 {
			text = append(text, text[ring:first]...)
			break
		}
		angle := 2 * math.Pi * float64(v) / (positions - 1)
		radius := 0.004 * (0.9 + 0.2*random.Float64())
		text = append(text, '[')
		text = strconv.AppendFloat(text, west+radius*math.Cos(angle), 'f', 14, 64)
		text = append(text, ',')
		text = strconv.AppendFloat(text, south+radius*math.Sin(angle), 'f', 14, 64)
		text = append(text, ']')
		if v == 0 {
			first = len(text)
		}
		text = append(text, ',')
	}
	return append(text, `]]}}`...)
}

// emulator is a process of its own.
type emulator struct {
	cmd *exec.Cmd
	env []string
}

func (b bench) start() (*emulator, error) {
	e := &emulator{cmd: exec.CommandContext(context.Background(), b.meti, "emulator", "--fault", "*:latency:delay="+b.latency.String())}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	var ready struct {
		URL          string `json:"url"`
		Domain       string `json:"domain"`
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		Audience     string `json:"audience"`
	}
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	e.env = []string{
		"METI_BASE_URL=" + ready.URL, "AUTH0_DOMAIN=" + ready.Domain, "AUTH0_AUDIENCE=" + ready.Audience,
		"METI_CLIENT_ID=" + ready.ClientID, "METI_CLIENT_SECRET=" + ready.ClientSecret,
	}
	return e, nil
}

func (e *emulator) stop() error {
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = e.cmd.Wait()
	return nil
}

// all does what is measured, one after another, with one emulator.
func (b bench) all(n int) ([]run, error) {
	e, err := b.start()
	if err != nil {
		return nil, err
	}
	defer func() { _ = e.stop() }()
	_ = os.Remove(b.input() + ".meti-journal")
	var runs []run
	for _, one := range []struct {
		args []string
		want string
	}{
		{[]string{"plan"}, `"state":"new"`},
		{[]string{"submit"}, `"outcome":"registered"`},
		{[]string{"submit"}, `"outcome":"registered"`},
		{[]string{"submit", "--journal", "none"}, `"outcome":"registered"`},
	} {
		r, err := b.run(e, n, one.want, append(one.args, b.input(), "--no-token-cache", "-o", "ndjson", "-q"))
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// run runs meti, and counts what came of it.
func (b bench) run(e *emulator, n int, want string, args []string) (r run, err error) {
	cmd := exec.CommandContext(context.Background(), b.meti, args...)
	cmd.Env = append(os.Environ(), e.env...)
	cmd.Stderr = os.Stderr
	results, err := os.Create(filepath.Join(b.folder, "results"))
	if err != nil {
		return r, err
	}
	defer results.Close()
	cmd.Stdout = results
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for ended := false; !ended; {
		select {
		case err = <-done:
			ended = true
		case <-time.After(100 * time.Millisecond):
			r.peak = max(r.peak, peak(cmd.Process.Pid))
		}
	}
	r.wall = time.Since(begin)
	if err != nil {
		return r, fmt.Errorf("meti %v: %w", args, err)
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	text, err := os.ReadFile(results.Name())
	if err != nil {
		return r, err
	}
	if got := bytes.Count(text, []byte(want)); got != n {
		return r, fmt.Errorf("meti %v: %d of %d features are %s", args, got, n, want)
	}
	return r, nil
}

// peak is the most memory of a process that was resident, as Linux tells.
func peak(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// loop posts one feature after another, through package api and on one
// connection.
func (b bench) loop(posts int) (time.Duration, error) {
	e, err := b.start()
	if err != nil {
		return 0, err
	}
	defer func() { _ = e.stop() }()
	for _, pair := range e.env {
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
	var features []api.Feature
	for i := range posts {
		var f api.Feature
		if err := json.Unmarshal(feature(random, i), &f); err != nil {
			return 0, err
		}
		features = append(features, f)
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
