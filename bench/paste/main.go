// Command paste puts what it reads from standard input into a Markdown file,
// in the place of what stands between <!-- NAME: written by make bench --> and
// <!-- end -->. The results of BenchmarkHTTP of package emulator become a
// table.
//
//	go test -run '^$' -bench HTTP ./emulator | go run ./paste ledger ../docs/performance.md
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: paste NAME FILE <TEXT")
		os.Exit(2)
	}
	if err := paste(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "paste:", err)
		os.Exit(1)
	}
}

func paste(name, file string) error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	text := string(input)
	fmt.Print(text)
	failed := strings.Contains(text, "\nFAIL")
	if strings.Contains(text, "\nBenchmark") {
		text = table(text)
	}
	if failed || !strings.Contains(text, "\n| ") {
		return errors.New("no table came")
	}
	document, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	opening, closing := "<!-- "+name+": written by make bench -->\n", "<!-- end -->"
	head, rest, found := strings.Cut(string(document), opening)
	_, tail, ended := strings.Cut(rest, closing)
	if !found || !ended {
		return errors.New(file + " has no place for " + name)
	}
	return os.WriteFile(file, []byte(head+opening+"\n"+strings.TrimSpace(text)+"\n\n"+closing+tail), 0o644)
}

// result is a line such as
//
//	BenchmarkHTTP/file/vertices=40/stored=10000/clear-2   60   1234 ns/op   5678 sources/s
var result = regexp.MustCompile(`(?m)^Benchmark\w+/(\w+)/vertices=(\d+)/stored=(\d+)/(\w+)\S*\s.* ns/op\s+(\S+) (?:sources/s|ms/p95)$`)

func table(text string) string {
	cpu := "an unknown processor"
	if _, rest, ok := strings.Cut(text, "\ncpu: "); ok {
		cpu, _, _ = strings.Cut(rest, "\n")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s, %d cores, %s/%s, %s, on %s.\n\n", strings.TrimSpace(cpu), runtime.NumCPU(),
		runtime.GOOS, runtime.GOARCH, runtime.Version(), time.Now().UTC().Format(time.DateOnly))
	b.WriteString("| store | vertices | stored | nothing overlaps, sources/s | each over four others, sources/s | deleting one that conflicts, 95th percentile |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- |")
	for _, m := range result.FindAllStringSubmatch(text, -1) {
		if m[4] == "clear" {
			fmt.Fprintf(&b, "\n| %s | %s | %s |", m[1], m[2], m[3])
		}
		if m[4] == "delete" {
			m[5] += " ms"
		}
		fmt.Fprintf(&b, " %s |", m[5])
	}
	return b.String()
}
