package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/emulator"
)

// A person is asked before anything is sent, and only then; nothing but y sends.
// On a terminal only what needs a look is shown.
func TestSubmitAsks(t *testing.T) {
	server := emulate(t, emulator.Options{})
	t.Setenv("CI", "")
	t.Setenv("METI_YES", "")
	feature := func(id string, lon float64) string {
		return fmt.Sprintf(`{"type":"Feature","id":%q,"properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[%[2]v,50],[%[3]v,50],[%[3]v,50.01],[%[2]v,50.01],[%[2]v,50]]]}}`, id, lon, lon+0.01)
	}
	path := filepath.Join(t.TempDir(), "fields.ndjson")
	write := func(features ...string) {
		if err := os.WriteFile(path, []byte(strings.Join(features, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	submit := func(stdin string, args ...string) (code int, stdout, stderr string) {
		var out, errs strings.Builder
		code = run(t.Context(), append([]string{"submit"}, args...), system{
			stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, terminal: true, person: true, now: time.Now,
		})
		return code, out.String(), errs.String()
	}
	posts := func() int { return server.Requests()["createSources"] }

	write(feature("a", 10), feature("b", 10.1), feature("c", 10.105))
	for _, answer := range []string{"", "n\n", "\n", "yay\n"} {
		if code, _, stderr := submit(answer, path); code != 1 || posts() != 0 || !strings.Contains(stderr, "Register 3 features? [y/N]") {
			t.Errorf("%q: %d, %d POSTs, %s", answer, code, posts(), stderr)
		}
	}
	if _, err := os.Stat(path + ".meti-journal"); err == nil {
		t.Error("a journal is left behind")
	}
	if code, _, stderr := submit("n\n", path, "-q"); code != 1 || !strings.Contains(stderr, "(not METI), account 0000") {
		t.Errorf("quiet, and asked: %d, %s", code, stderr)
	}
	code, stdout, stderr := submit("y\n", path)
	if code != 0 || posts() != 1 || strings.Contains(stdout, "\na ") || strings.Count(stdout, "registered") != 2 || !strings.Contains(stderr, "3 features: 3 registered, 2 in conflict") {
		t.Errorf("y: %d\n%s%s", code, stdout, stderr)
	}
	// Nothing is left to send: nobody is asked.
	if code, stdout, stderr := submit("", path, "--all"); code != 0 || strings.Contains(stderr, "[y/N]") || strings.Count(stdout, "registered") != 3 {
		t.Errorf("all: %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := submit("", path, "-q"); code != 0 || stdout != "" || stderr != "" {
		t.Errorf("quiet: %d\n%s%s", code, stdout, stderr)
	}
	for i, how := range []func() []string{
		func() []string { return []string{"--yes"} },
		func() []string { t.Setenv("METI_YES", "1"); return nil },
		func() []string { t.Setenv("METI_YES", ""); t.Setenv("CI", "true"); return nil },
	} {
		write(feature(fmt.Sprint(i), 11+float64(i)))
		if code, stdout, stderr := submit("", append(how(), path, "--journal", fmt.Sprint(path, i))...); code != 0 || posts() != 2+i || strings.Contains(stderr, "[y/N]") {
			t.Errorf("%d: %d\n%s%s", i, code, stdout, stderr)
		}
	}
	t.Setenv("CI", "")
	if code, stdout, stderr := submit(feature("stdin", 20), "-", "--settle", "1ms"); code != 0 || posts() != 5 || strings.Contains(stderr, "[y/N]") {
		t.Errorf("stdin: %d\n%s%s", code, stdout, stderr)
	}
}
