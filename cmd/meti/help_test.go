package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command has its text in help.txt, and every text there its command.
func TestHelpTextsAreThoseOfCommands(t *testing.T) {
	used := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if used[cmd.Use] = true; cmd.Short == "" {
			t.Errorf("help.txt has nothing on %q", cmd.Use)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(new(app).rootCommand())
	for line := range strings.Lines(helpTexts) {
		if use, title := strings.CutPrefix(line, "== "); title && !used[strings.TrimSpace(use)] {
			t.Errorf("no command has the use %q, which help.txt has", strings.TrimSpace(use))
		}
	}
}
