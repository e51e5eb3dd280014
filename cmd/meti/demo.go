package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/testdata"
)

func (a *app) demoCommand() *cobra.Command {
	cmd := describe("demo", cobra.NoArgs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context()) }
	return cmd
}

// demo does the main job from end to end. What it does goes to stderr, what
// came of it to stdout.
func (a *app) demo(ctx context.Context) (err error) {
	server, err := emulator.Start(emulator.Options{Seed: 1}) // the same SSIDs each time
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	folder, err := os.MkdirTemp("", "meti-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "fields.geojson")
	if err := os.WriteFile(file, testdata.Fields, 0o600); err != nil {
		return err
	}
	for _, variable := range append(server.Environ(), "XDG_CACHE_HOME="+folder) {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stderr, "An emulator of METI and Auth0 runs at %s.\n", server.Ready().URL)

	sys := a.system
	sys.terminal = true // tables, which fit
	if sys.width == 0 {
		sys.width = 80
	}
	for _, step := range []struct{ why, command string }{
		{"Register 26 fields in one request; one lies over another.", "sources create fields.geojson --methodology Agriculture"},
		{"Which of them are in conflict?", "sources list --conflict"},
		{"What is known of one?", "sources get src_T63WqD3G6eKjy"},
		{"What do all of them come to? (--html FILE writes it with a map.)", "report"},
		{"Delete the newcomer; that clears the conflict of the other.", "sources delete --alt-id boerde-schlag-6-new --yes"},
		{"Now none is left in conflict.", "sources list --conflict"},
	} {
		fmt.Fprintf(a.stderr, "\n# %s\n$ meti %s\n", step.why, step.command)
		args := strings.Fields(step.command)
		if at := slices.Index(args, "fields.geojson"); at >= 0 {
			args[at] = file
		}
		root := (&app{system: sys}).rootCommand()
		root.SetArgs(args)
		if err := root.ExecuteContext(ctx); err != nil {
			return err
		}
	}
	requests := server.Requests()
	total := 0
	for _, n := range requests {
		total += n
	}
	fmt.Fprintf(a.stderr, "\n%d requests, of which %d for a token. Nothing was kept.\n", total, requests["requestToken"])
	return nil
}
