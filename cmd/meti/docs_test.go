//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meti-go/meti/testdata"
)

// What the README and docs/ show of the command is what it prints: each block of "console" is
// run line by line against an emulator that holds nothing, in a folder with the
// example fields. "…" stands for what changes from run to run.
func TestDocsShowWhatIsPrinted(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, page := range append(pages, filepath.Join(top, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			continue
		}
		blocks += len(found)
		t.Run(filepath.Base(page), func(t *testing.T) {
			environment, folder := fresh(t), t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "fields.geojson"), testdata.Fields, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, block := range found {
				for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
					command, want, _ := strings.Cut(step, "\n")
					cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
					cmd.Dir, cmd.Env = folder, environment
					out, _ := cmd.CombinedOutput() // the exit code is part of what is shown, where it matters
					pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*?")
					if got := strings.TrimSpace(string(out)); !regexp.MustCompile(`(?s)^` + pattern + `$`).MatchString(got) {
						t.Errorf("$ %s\nprints\n%s\nand the page shows\n%s", command, got, want)
					}
				}
			}
		})
	}
	if blocks == 0 {
		t.Error("docs/ shows nothing of the command")
	}
}
