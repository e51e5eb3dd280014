package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/testdata"
)

const top = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks are the README's code blocks of a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var list []string
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(read(t, "README.md"), -1) {
		list = append(list, found[1])
	}
	if len(list) == 0 {
		t.Fatalf("the README has no block of %s", language)
	}
	return list
}

// What the README shows of Go stands in a file that is compiled.
func TestREADMEShowsCompiledGo(t *testing.T) {
	plain := func(text string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			b.WriteString(strings.TrimSpace(line) + "\n")
		}
		return b.String()
	}
	var compiled string
	for _, name := range []string{"test/consumer/main.go", "test/consumer/quickstart/main.go", "test/consumer/create/main.go", "test/consumer/own/register_test.go"} {
		compiled += plain(read(t, name))
	}
	for _, block := range blocks(t, "go") {
		if !strings.Contains(compiled, plain(block)) {
			t.Errorf("stands in no compiled file:\n%s", block)
		}
	}
}

// environmentOf starts an emulator, and gives the environment that points at it.
func environmentOf(t *testing.T, o emulator.Options) []string {
	t.Helper()
	return append(os.Environ(), append(startServer(t, o).Environ(), "XDG_CACHE_HOME="+t.TempDir())...)
}

// emulated is the environment of an emulator that holds the example fields.
func emulated(t *testing.T) []string {
	t.Helper()
	environment := environmentOf(t, emulator.Options{})
	create := exec.CommandContext(t.Context(), "meti", "sources", "create", "-", "--methodology", "Agriculture")
	create.Env, create.Stdin = environment, strings.NewReader(string(testdata.Fields))
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return environment
}

// The two curl calls are run as they stand, which takes a Unix shell.
func TestREADMECurl(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	var script string
	for _, block := range blocks(t, "sh") {
		if strings.Contains(block, "/oauth/token") {
			script += block
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
	cmd.Env, cmd.Stderr = emulated(t), os.Stderr
	out, err := cmd.Output()
	if err != nil || strings.Count(string(out), `"id":"src_`) != 26 {
		t.Errorf("%v: %s", err, out)
	}
}

// The README's programs are built in a module of their own, which imports this
// one, and list the same sources as the command.
func TestREADMEPrograms(t *testing.T) {
	environment := emulated(t)
	list := exec.CommandContext(t.Context(), "meti", "sources", "list", "-o", "table")
	list.Env = environment
	want, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(`(?m)^src_\w{13} +\S+`).FindAllString(string(want), -1)
	if len(ids) != 26 {
		t.Fatalf("%d sources: %s", len(ids), want)
	}
	for _, program := range []string{".", "./quickstart", "./create"} {
		// Built in the environment of the tests: another XDG_CACHE_HOME would
		// have everything compiled anew.
		binary := filepath.Join(t.TempDir(), "program.exe") // Windows runs no other name
		build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, program)
		build.Dir = filepath.Join(top, "test", "consumer")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env, cmd.Stderr = environment, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", program, err)
		}
		for _, id := range ids {
			if fields := strings.Fields(id); !strings.Contains(strings.ReplaceAll(string(out), `"`, ""), fields[0]+" "+fields[1]) {
				t.Errorf("%s does not list %s:\n%s", program, id, out)
			}
		}
	}
}

// The test of a program of one's own is run as it would be.
func TestREADMEOwnTest(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", ".")
	cmd.Dir = filepath.Join(top, "test", "consumer", "own")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The program of the generated client imports gen and authn, and nothing else
// of this module.
func TestConsumerImportsGenAndAuthnOnly(t *testing.T) {
	found := regexp.MustCompile(`"github.com/meti-go/meti/(\S*)"`).FindAllStringSubmatch(read(t, "test/consumer/main.go"), -1)
	if len(found) != 2 || found[0][1] != "authn" || found[1][1] != "gen" {
		t.Errorf("it imports %q", found)
	}
}

// curl stands in for the real one where there is none: a fresh machine need
// have only Go and make. It knows what the README and the scripts use.
func curl() {
	method, address, body, header, show := http.MethodGet, "", "", http.Header{}, false
	for args := os.Args[1:]; len(args) > 0; args = args[1:] {
		switch args[0] {
		case "-sS":
		case "-i":
			show = true
		case "-X":
			args = args[1:]
			method = args[0]
		case "-H":
			args = args[1:]
			name, value, _ := strings.Cut(args[0], ": ")
			header.Set(name, value)
		case "-d":
			args = args[1:]
			body = args[0]
		default:
			address = args[0]
		}
	}
	request, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header, request.Host = header, header.Get("Host")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	if show {
		if err := answer.Header.Write(os.Stdout); err != nil {
			panic(err)
		}
	}
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		panic(err)
	}
}
