// Command bench compares ways to list an account of 95,000 sources: this SDK,
// generated clients, other JSON libraries, Python, and the floor, which is to
// read the bodies and discard them.
//
//	make bench
//
// Each way runs as a process of its own, in alternation, against a server in
// this one that sends bytes it has ready. Shown are medians; CPU is the
// client's, user and system. Every way must have seen the same sources and the
// same vertices.
package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meti-go/meti/bench/internal/way"
)

func main() {
	var (
		rounds  = flag.Int("rounds", 5, "how often each way runs; medians are shown")
		sources = flag.Int("sources", 95_000, "sources in the account")
		page    = flag.Int("page", 1000, "sources a request")
		latency = flag.Duration("latency", 50*time.Millisecond, "what the server waits before it answers, for the part about it")
		parts   = flag.String("parts", "list,latency,whole,transport", "what to measure")
	)
	flag.Parse()
	programs, err := build()
	if err != nil {
		way.Fatal(err)
	}
	defer os.RemoveAll(programs)
	b := bench{programs: programs, account: newAccount(*sources), rounds: *rounds, page: *page, latency: *latency}
	for part := range strings.SplitSeq(*parts, ",") {
		measure := map[string]func(*bench) error{"list": (*bench).list, "latency": (*bench).slow, "whole": (*bench).whole, "transport": (*bench).transport}[part]
		if measure == nil {
			way.Fatal(fmt.Errorf("there is no part %q", part))
		}
		if err := measure(&b); err != nil {
			way.Fatal(err)
		}
	}
	fmt.Print(machine(*rounds), b.report.String())
}

// build makes the programs that are measured.
func build() (folder string, err error) {
	folder, err = os.MkdirTemp("", "meti-bench-")
	if err != nil {
		return "", err
	}
	command := exec.Command("go", "build", "-o", folder, "./internal/sdk", "./internal/peers")
	command.Stderr = os.Stderr
	return folder, command.Run()
}

type bench struct {
	programs string // the folder of the programs that are measured
	account  *account
	rounds   int
	page     int
	latency  time.Duration
	report   bytes.Buffer
}

// run is one way with its circumstances.
type run struct {
	way         string
	base        string
	page        int
	inFlight    int
	coordinates bool
	certificate string
}

func (b *bench) command(r run) *exec.Cmd {
	if r.way == "Python requests" {
		mode := "alone"
		if r.coordinates {
			mode = "coordinates"
		}
		return exec.Command("python3", "list.py", r.base, strconv.Itoa(r.page), mode)
	}
	program := "peers"
	if r.way == "this SDK" || r.way == "floor" {
		program = "sdk"
	}
	return exec.Command(filepath.Join(b.programs, program), "-way", r.way, "-base", r.base, "-page", strconv.Itoa(r.page), "-in-flight", strconv.Itoa(r.inFlight),
		"-coordinates="+strconv.FormatBool(r.coordinates), "-certificate", r.certificate)
}

// alternate carries out all the runs, round after round, and gives the medians
// of each.
func (b *bench) alternate(runs []run) ([]way.Result, error) {
	all := make([][]way.Result, len(runs))
	for round := range b.rounds {
		for i, r := range runs {
			fmt.Fprintf(os.Stderr, "\rround %d of %d: %-60s", round+1, b.rounds, r.way)
			command := b.command(r)
			command.Stderr = os.Stderr
			out, err := command.Output()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.way, err)
			}
			var got way.Result
			if err := json.Unmarshal(out, &got); err != nil {
				return nil, fmt.Errorf("%s: %w", r.way, err)
			}
			if err := b.check(r, got); err != nil {
				return nil, err
			}
			all[i] = append(all[i], got)
		}
	}
	fmt.Fprintf(os.Stderr, "\r%80s\r", "")
	medians := make([]way.Result, len(runs))
	for i, results := range all {
		median := func(of func(way.Result) float64) float64 {
			values := make([]float64, len(results))
			for j, r := range results {
				values[j] = of(r)
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		medians[i].Wall = median(func(r way.Result) float64 { return r.Wall })
		medians[i].CPU = median(func(r way.Result) float64 { return r.CPU })
		medians[i].Peak = int64(median(func(r way.Result) float64 { return float64(r.Peak) }))
	}
	return medians, nil
}

// check compares what a way has seen with what there is.
func (b *bench) check(r run, got way.Result) error {
	if r.way == "floor" {
		return nil
	}
	if got.Sources != b.account.sources() {
		return fmt.Errorf("%s saw %d sources of %d", r.way, got.Sources, b.account.sources())
	}
	if !r.coordinates {
		return nil
	}
	if got.Vertices != vertices*b.account.sources() {
		return fmt.Errorf("%s saw %d vertices of %d", r.way, got.Vertices, vertices*b.account.sources())
	}
	if math.Abs(got.Sum-b.account.sum) > 1e-6*math.Abs(b.account.sum) {
		return fmt.Errorf("%s saw coordinates that add up to %v, not %v", r.way, got.Sum, b.account.sum)
	}
	return nil
}

func hasRequests() bool { return exec.Command("python3", "-c", "import requests").Run() == nil }

// list is the main table: everything, page after page.
func (b *bench) list() error {
	server := serve(b.account, 0, "plain")
	defer server.Close()
	type row struct{ name, decoded, alone string }
	rows := []row{
		{"oapi-codegen's client as generated", "oapi-codegen", "oapi-codegen"},
		{"the same with `additionalProperties: true`", "oapi-codegen, additional", "oapi-codegen, additional"},
		{"this project's `gen` alone, own coordinate parser", "gen", "gen"},
		{"Python `requests`", "Python requests", "Python requests"},
		{"ogen's client", "ogen", "ogen"},
		{"`go-json-experiment/json`, own coordinate parser", "go-json-experiment/json", "go-json-experiment/json"},
		{"`go-faster/jx`, fields by hand, own coordinate parser", "go-faster/jx", "go-faster/jx"},
		{"`bytedance/sonic`, `[2]float64`", "bytedance/sonic", "bytedance/sonic"},
		{"**this SDK**, `All` and `Polygons`", "this SDK", "this SDK"},
		{"reading and discarding the bodies (the floor)", "floor", "floor"},
	}
	if !hasRequests() {
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.decoded == "Python requests" })
		fmt.Fprintf(&b.report, "Python is left out: this machine has no `requests`.\n\n")
	}
	var runs []run
	index := map[run]int{}
	add := func(way string, coordinates bool) int {
		r := run{way: way, base: server.URL, page: b.page, inFlight: 1, coordinates: coordinates}
		switch way {
		case "oapi-codegen", "oapi-codegen, additional", "ogen": // they decode all there is
			r.coordinates = true
		case "floor":
			r.coordinates = false
		}
		if _, there := index[r]; !there {
			index[r] = len(runs)
			runs = append(runs, r)
		}
		return index[r]
	}
	places := make([][2]int, len(rows))
	for i, r := range rows {
		places[i] = [2]int{add(r.decoded, true), add(r.alone, false)}
	}
	medians, err := b.alternate(runs)
	if err != nil {
		return err
	}
	base := medians[0].CPU
	fmt.Fprintf(&b.report, "### Page after page\n\n%d sources of %d vertices, %.1f MB, pages of %d, one request at a time, over loopback. CPU of the client; in brackets, how many times faster than the first row. Peak memory with every coordinate decoded.\n\n", b.account.sources(), vertices, float64(len(b.account.text))/1e6, b.page)
	fmt.Fprintf(&b.report, "| way | every coordinate decoded | geometry left alone | peak memory |\n| --- | --- | --- | --- |\n")
	for i, r := range rows {
		decoded, alone := medians[places[i][0]], medians[places[i][1]]
		fmt.Fprintf(&b.report, "| %s | %s | %s | %s |\n", r.name, ratio(decoded.CPU, base), ratio(alone.CPU, base), megabytes(decoded.Peak))
	}
	b.report.WriteByte('\n')
	return nil
}

func ratio(value, base float64) string {
	digits := 2
	if base/value >= 99.5 { // else it would have an exponent
		digits = 3
	}
	return fmt.Sprintf("%.2f s (%.*gx)", value, digits, base/value)
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }

// slow is a server that takes its time before each answer.
func (b *bench) slow() error {
	server := serve(b.account, b.latency, "plain")
	defer server.Close()
	of := func(way string, inFlight int) run {
		return run{way: way, base: server.URL + "/slow", page: b.page, inFlight: inFlight}
	}
	runs := []run{of("oapi-codegen", 1), of("floor", 8), of("this SDK", 8), of("this SDK", 4), of("floor", 4)}
	medians, err := b.alternate(runs)
	if err != nil {
		return err
	}
	fmt.Fprintf(&b.report, "### With %s a request\n\nThe same account. Wall-clock time; in brackets, how many times faster than the first row.\n\n| way | in flight | time | to the floor | peak memory |\n| --- | --- | --- | --- | --- |\n", b.latency)
	for i, r := range runs {
		floor := medians[1]
		if r.inFlight == 4 {
			floor = medians[4]
		}
		toFloor := fmt.Sprintf("%.2f", medians[i].Wall/floor.Wall)
		if r.inFlight == 1 {
			toFloor = ""
		}
		fmt.Fprintf(&b.report, "| %s | %d | %s | %s | %s |\n", name(r.way), r.inFlight, ratio(medians[i].Wall, medians[0].Wall), toFloor, megabytes(medians[i].Peak))
	}
	b.report.WriteByte('\n')
	return nil
}

func name(way string) string {
	switch way {
	case "this SDK":
		return "**this SDK**"
	case "oapi-codegen":
		return "oapi-codegen's client, page after page"
	}
	return way
}

// whole is a server that answers the whole account at once.
func (b *bench) whole() error {
	server := serve(b.account, 0, "plain")
	defer server.Close()
	var runs []run
	for _, way := range []string{"oapi-codegen", "ogen", "Python requests", "this SDK"} {
		if way != "Python requests" || hasRequests() {
			runs = append(runs, run{way: way, base: server.URL + "/whole", page: b.page, inFlight: 1})
		}
	}
	few := *b // one round after the other shows the same peak
	few.rounds = min(b.rounds, 3)
	medians, err := few.alternate(runs)
	if err != nil {
		return err
	}
	fmt.Fprintf(&b.report, "### One answer of %.0f MB\n\nThe server pays no heed to `limit`. Medians of %d.\n\n| way | peak memory | CPU |\n| --- | --- | --- |\n", float64(len(b.account.text))/1e6, few.rounds)
	for i, r := range runs {
		fmt.Fprintf(&b.report, "| %s | %s | %.2f s |\n", strings.TrimSuffix(name(r.way), ", page after page"), megabytes(medians[i].Peak), medians[i].CPU)
	}
	b.report.WriteByte('\n')
	return nil
}

// transport is TLS, HTTP/2 and gzip.
func (b *bench) transport() error {
	fmt.Fprintf(&b.report, "### TLS, HTTP/2, gzip\n\nOne request at a time, geometry left alone; medians of %d. CPU of the client; in brackets, how many times faster than oapi-codegen's client.\n\n| transport | oapi-codegen's client | **this SDK** | floor |\n| --- | --- | --- | --- |\n", min(b.rounds, 3))
	for _, kind := range []string{"tls", "h2", "gzip"} {
		if err := func() error {
			server := serve(b.account, 0, kind)
			defer server.Close()
			file := ""
			if certificate := server.Certificate(); certificate != nil {
				file = filepath.Join(os.TempDir(), fmt.Sprintf("meti-bench-%d.pem", os.Getpid()))
				text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
				if err := os.WriteFile(file, text, 0o600); err != nil {
					return err
				}
				defer os.Remove(file)
			}
			var runs []run
			for _, way := range []string{"floor", "oapi-codegen", "this SDK"} { // the floor warms the server's cache
				runs = append(runs, run{way: way, base: server.URL, page: b.page, inFlight: 1, certificate: file})
			}
			few := *b
			few.rounds = min(b.rounds, 3)
			medians, err := few.alternate(runs)
			if err != nil {
				return err
			}
			label := map[string]string{"tls": "TLS, HTTP/1.1", "h2": "TLS, HTTP/2", "gzip": "gzip"}[kind]
			fmt.Fprintf(&b.report, "| %s | %s | %s | %s |\n", label, ratio(medians[1].CPU, medians[1].CPU), ratio(medians[2].CPU, medians[1].CPU), ratio(medians[0].CPU, medians[1].CPU))
			return nil
		}(); err != nil {
			return err
		}
	}
	b.report.WriteByte('\n')
	return nil
}

// machine says where and when.
func machine(rounds int) string {
	processor := "an unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			processor = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("Measured on %s, %d cores, %s/%s, %s, on %s; medians of %d.\n\n",
		processor, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), time.Now().UTC().Format(time.DateOnly), rounds)
}
