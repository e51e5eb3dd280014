package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	var facts bool
	var record string
	cmd := describe("doctor", cobra.NoArgs)
	cmd.Flags().BoolVar(&facts, "facts", false, "ask the sandbox whether the assumptions of this program hold")
	cmd.Flags().StringVar(&record, "record", "", "keep what --facts was answered in this `folder`, made anonymous")
	format := a.outputFlag(cmd, "text", "text", "json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if record != "" && !facts {
			return usage("--record keeps what --facts asks: give both")
		}
		return a.doctor(cmd.Context(), facts, record, *format)
	}
	return cmd
}

func (a *app) doctor(ctx context.Context, facts bool, record, output string) error {
	setup := doctor.Setup{Getenv: os.Getenv, Now: a.now, Needed: []string{gen.ScopeReadSources, gen.ScopeWriteSources, gen.ScopeDeleteSources}}
	setup.Config, setup.ConfigErr = authn.FromEnv()
	if setup.ConfigErr == nil {
		setup.Tokens, setup.ConfigErr = a.tokens(nil)
	}
	if setup.ConfigErr == nil {
		setup.Client, setup.ConfigErr = a.clientOf(setup.Tokens)
	}
	if setup.ConfigErr == nil {
		setup.Server = serverName(setup.Client.Server())
	}
	report := doctor.Report{Checks: setup.Check(ctx), Facts: []doctor.Fact{}}
	if output == "text" {
		for _, check := range report.Checks {
			a.line(check.OK, "%-12s %s", check.Name, check.Detail)
		}
	}
	failed := report.Failed()
	var err error
	if facts && failed == nil {
		report.Facts, err = a.facts(ctx, setup, record)
		if output == "text" {
			for _, fact := range report.Facts {
				a.line(fact.Verdict == doctor.Holds, "%-8s  %s [%s]: %s", fact.Verdict, fact.Name, fact.Provenance, fact.Seen)
			}
		}
	}
	if output == "json" {
		if err := a.printJSON(report); err != nil {
			return err
		}
	}
	if failed != nil {
		return withCode(exitCode(ctx, failed.Err), fmt.Errorf("%s: %w", failed.Name, failed.Err))
	}
	return err
}

// line prints a check or a fact.
func (a *app) line(ok bool, format string, args ...any) {
	mark := "✗"
	if ok {
		mark = "✓"
	}
	fmt.Fprintf(a.stdout, mark+" "+format+"\n", args...)
}

func (a *app) facts(ctx context.Context, setup doctor.Setup, record string) ([]doctor.Fact, error) {
	return doctor.Questions{
		BaseURL:   setup.Client.Server(),
		Authorize: setup.Tokens.Edit,
		Announce:  func(request string) { a.say("%s", request) },
		Record:    record,
	}.Ask(ctx)
}
