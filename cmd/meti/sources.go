package main

import (
	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

func (a *app) sourcesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "List, show, register and delete sources",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listCommand(), a.getCommand(), a.createCommand(), a.deleteCommand())
	return cmd
}

// sourceRows prints sources.
func (a *app) sourceRows(format string) *rows { return newRows(a.stdout, format, sourceHeader...) }

// printSources prints sources that are at hand.
func (a *app) printSources(format string, sources []*api.Source) error {
	var seen news
	out := a.sourceRows(format)
	for _, s := range sources {
		seen.see(s)
		if err := out.add(s, sourceCells(s)); err != nil {
			return err
		}
	}
	if a.verbose {
		seen.tell(a)
	}
	return out.end()
}
