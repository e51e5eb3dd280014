package main

import (
	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

func (a *app) getCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show one source",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := a.chosen(cmd, format)
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			source, err := client.Sources.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if format != "json" {
				return a.printSources(format, []*api.Source{source})
			}
			if a.verbose {
				var seen news
				seen.see(source)
				seen.tell(a)
			}
			return a.printJSON(source)
		},
	}
	outputFlag(cmd, &format)
	return cmd
}
