//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/testdata"
)

// progress is a line that tells every ten seconds how far a run is: only a slow
// machine prints one.
var progress = regexp.MustCompile(`(?m)^meti: (reading|reading METI|comparing|registering|reading it again)(: .*)?\n`)

// What the README and docs/ show of the command is what it prints: the blocks of
// "console" of a page are run one after another in one shell, in a folder with the
// example fields and against an emulator that holds nothing; for the README both are
// what its own block makes. "…" stands for what changes from run to run.
func TestDocsShowWhatIsPrinted(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, page := range append(pages, filepath.Join(top, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var steps []string
		for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			steps = append(steps, strings.Split("\n"+block[1], "\n$ ")[1:]...)
		}
		if len(steps) == 0 {
			continue
		}
		shown += len(steps)
		t.Run(filepath.Base(page), func(t *testing.T) {
			const border = "== the next command =="
			folder := t.TempDir()
			environment, script := append(environmentOf(t, emulator.Options{}), "FOLDER="+folder), "cd \"$FOLDER\"\n"
			if filepath.Base(page) == "README.md" {
				environment, script = emulatorOfREADME(t)
			} else if err := os.WriteFile(filepath.Join(folder, "fields.geojson"), testdata.Fields, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, step := range steps {
				command, _, _ := strings.Cut(step, "\n")
				script += "echo '" + border + "'\n" + command + "\n"
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
			cmd.Dir, cmd.Env = top, environment
			out, _ := cmd.CombinedOutput() // an exit code is shown where it matters
			out = progress.ReplaceAll(out, nil)
			printed := strings.Split(string(out), border+"\n")[1:]
			if len(printed) != len(steps) {
				t.Fatalf("%d commands of %d were run:\n%s", len(printed), len(steps), out)
			}
			for i, step := range steps {
				command, want, _ := strings.Cut(step, "\n")
				pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*?")
				if got := strings.TrimSpace(printed[i]); !regexp.MustCompile(`(?s)^` + pattern + `$`).MatchString(got) {
					t.Errorf("$ %s\nprints\n%s\nand the page shows\n%s", command, got, want)
				}
			}
		})
	}
	if shown == 0 {
		t.Error("docs/ shows nothing of the command")
	}
}

// emulatorOfREADME gives the README's block that starts an emulator, at a port
// that is free, with what waits for the emulator and ends it; and the environment to
// run it in.
func emulatorOfREADME(t *testing.T) (environment []string, script string) {
	for _, block := range blocks(t, "sh") {
		if strings.Contains(block, "meti emulator --listen") {
			script = block
		}
	}
	script = strings.ReplaceAll(script, "127.0.0.1:8484", freeAddress(t)) +
		"trap 'kill $!' EXIT\nuntil curl -sS $METI_BASE_URL/.well-known/jwks.json >/dev/null 2>&1; do kill -0 $! || exit; sleep 0.1; done\n"
	return append(os.Environ(), "TMPDIR="+t.TempDir(), "XDG_CACHE_HOME="+t.TempDir()), script
}
