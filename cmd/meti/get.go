package main

import (
	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

func (a *app) getCommand() *cobra.Command {
	var output func() (string, error)
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show one source",
		Long: `get shows the source with this SSID: on a terminal a line for each thing that
METI knows of it.`,
		Example:           "  meti sources get src_9fKQ2mZr7TbVw -o json",
		Args:              arguments(cobra.ExactArgs(1)),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := output()
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
			return a.printSource(format, source)
		},
	}
	output = a.outputFlag(cmd, formats...)
	return cmd
}

// printSource prints one source, alone.
func (a *app) printSource(format string, source *api.Source) error {
	if format != "json" && format != "table" {
		return a.printSources(format, []*api.Source{source})
	}
	var seen news
	seen.see(source)
	seen.tell(a)
	if format == "json" {
		return a.printMembers(source)
	}
	return a.printRecord(source, [2]string{"geometry", string(geometryOf(source))})
}
