package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

func (a *app) listCommand() *cobra.Command {
	var filter func() (api.Filter, error)
	var format string
	var limit, pageSize, inFlight int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the account's sources",
		Long: `list prints the sources of the account that pass every filter given. They
stream: an account of any size is listed in little memory, in no promised order.

It ends with 0 only when all of them came. A part is never passed off as the
whole: after a failure, -o json leaves its array open.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := a.chosen(cmd, format)
			if err != nil {
				return err
			}
			if limit < 0 || pageSize < 0 || inFlight < 0 {
				return usage(cmd, errors.New("a number of sources or requests cannot be negative"))
			}
			filter, err := filter()
			if err != nil {
				return err
			}
			params := api.AllParams{Filter: filter, PageSize: pageSize, InFlight: inFlight, OnDrift: a.drift}
			if limit > 0 && limit <= 1000 && pageSize == 0 && inFlight == 0 {
				params.PageSize, params.InFlight = limit, 1 // one request is enough
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			var seen news
			out := a.sourceRows(format)
			for source, err := range client.Sources.All(cmd.Context(), params) {
				if err != nil {
					out.cut()
					return err
				}
				seen.see(source)
				if err := out.add(source, sourceCells(source)); err != nil {
					return err
				}
				if out.count == limit {
					break
				}
			}
			if a.verbose {
				seen.tell(a)
			}
			return out.end()
		},
	}
	flags := cmd.Flags()
	filter = filterFlags(cmd)
	flags.IntVar(&limit, "limit", 0, "stop after this many")
	flags.IntVar(&pageSize, "page-size", 0, "sources a request (default 1000)")
	flags.IntVar(&inFlight, "in-flight", 0, "requests under way at once (default 4)")
	outputFlag(cmd, &format)
	return cmd
}

// drift says, under -v, why pages are asked for again.
func (a *app) drift(d api.Drift) {
	if a.verbose && d.Kind != "repeated" {
		a.say("the account changed while it was listed: it was %s before offset %d, and is read again from further up", d.Kind, d.Offset)
	}
}
