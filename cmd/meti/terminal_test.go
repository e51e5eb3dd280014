package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/testdata"
)

// person runs meti in this process, as if a person sat at a terminal.
func person(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, system{
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, terminal: true, now: time.Now,
	})
	return code, out.String(), errs.String()
}

// At a terminal the default is a table, and the token's status is in words.
func TestTerminal(t *testing.T) {
	server, err := emulator.Start(emulator.Options{TokensPerHour: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ready := server.Ready()
	t.Setenv("METI_BASE_URL", ready.URL)
	t.Setenv("AUTH0_DOMAIN", ready.Domain)
	t.Setenv("METI_CLIENT_ID", ready.ClientID)
	t.Setenv("METI_CLIENT_SECRET", ready.ClientSecret)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())

	code, stdout, stderr := person(t, string(testdata.Fields), "sources", "create", "-")
	if code != 0 || !strings.HasPrefix(stdout, "SSID ") || strings.Count(stdout, "\n") != 27 {
		t.Errorf("create: %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = person(t, "", "sources", "list", "--alt-id", "doñana-marsh")
	if code != 0 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stdout, "  doñana-marsh  ") {
		t.Errorf("list: %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = person(t, "", "token", "--status")
	for _, want := range []string{"expires ", "scopes    read:sources write:sources", "account   0000", "per_hour  9 of 10 left"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("token --status: %d, want %q in\n%s%s", code, want, stdout, stderr)
		}
	}
}

// A table that is written in parts stays a table, with one head.
func TestTableInParts(t *testing.T) {
	var out strings.Builder
	cell := func(text string) func(int) string { return func(int) string { return text } }
	r := newOutput(&app{system: system{stdout: &out}}, "table", form[int]{columns: []column[int]{{head: "A", cell: cell("x")}, {head: "B", cell: cell("y")}}})
	for i := range 5 {
		if err := errors.Join(r.add(i), r.flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "A  B\n"+strings.Repeat("x  y\n", 5) {
		t.Errorf("it is\n%s", got)
	}
}
