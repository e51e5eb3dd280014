package main

import (
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
	emulate(t, emulator.Options{TokensPerHour: 10})
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
