package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meti-go/meti/api"
)

// choice is what list looks for among what came.
type choice struct {
	conflict bool
	country  string
	tags     []string
}

// flags adds them, but those that METI takes itself: a filter has the same name.
func (c *choice) flags(cmd *cobra.Command) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.BoolVar(&c.conflict, "conflict", false, "only those in conflict (chosen from what came)")
	own.StringVar(&c.country, "country", "", "only this country's, by its full English name (chosen from what came)")
	own.StringArrayVar(&c.tags, "tag", nil, "only those with this tag; may be repeated (chosen from what came)")
	cmd.Flags().AddFlagSet(own) // which adds none a second time
}

func (c *choice) takes(s *api.Source) bool {
	if c.conflict && !s.InConflict() || c.country != "" && !strings.EqualFold(c.country, s.Country) {
		return false
	}
	return !slices.ContainsFunc(c.tags, func(tag string) bool { return !slices.Contains(s.Tags, tag) })
}

func (c *choice) all() bool { return !c.conflict && c.country == "" && len(c.tags) == 0 }

func (a *app) listCommand() *cobra.Command {
	var filter func() (api.Filter, error)
	var choice choice
	var output func() (string, error)
	var limit, pageSize, inFlight int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the account's sources",
		Long: `list prints the sources of the account that pass every filter given. They
stream: an account of any size is listed in little memory, in no promised order.
A table waits for the last one, to say of each conflict whether it is with your
own sources or with other custodians'; where a filter or --limit keeps some of
your own away, it calls those "not listed". On a terminal it leaves out columns
and cuts texts to fit: -o csv and -o json have everything.

It ends with 0 only when all of them came. A part is never passed off as the
whole: after a failure, -o json and -o geojson leave their array open.`,
		Example: `  meti sources list --conflict
  meti sources list --methodology Agriculture -o csv > sources.csv`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := output()
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
			if limit > 0 && limit <= 1000 && pageSize == 0 && inFlight == 0 && choice.all() {
				params.PageSize, params.InFlight = limit, 1 // one request is enough
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			var seen news
			w := whose{whole: filter == api.Filter{}}
			out := newOutput(a, a.stdout, format, sourceForm(&w))
			for source, err := range client.Sources.All(cmd.Context(), params) {
				if err != nil {
					return errors.Join(err, out.flush())
				}
				seen.see(source)
				if format == "table" {
					w.see(source.ID)
				}
				if format == "table" || format == "csv" { // the one keeps sources, and neither shows it
					source.Geometry, source.GeoJSON = nil, nil
				}
				if !choice.takes(source) {
					continue
				}
				if err := out.add(source); err != nil {
					return err
				}
				if out.count == limit {
					w.whole = false
					break
				}
			}
			seen.tell(a)
			if out.count == 0 {
				a.say("no sources match")
			}
			return out.end()
		},
	}
	flags := cmd.Flags()
	filter = filterFlags(cmd)
	choice.flags(cmd)
	flags.IntVar(&limit, "limit", 0, "stop after printing this many")
	flags.IntVar(&pageSize, "page-size", 0, "sources a request (default 1000)")
	flags.IntVar(&inFlight, "in-flight", 0, "requests under way at once (default 4)")
	output = a.outputFlag(cmd, formats...)
	return cmd
}

// drift says, under -v, why pages are asked for again.
func (a *app) drift(d api.Drift) {
	if a.verbose && d.Kind != "repeated" {
		a.say("the account changed while it was listed: it was %s before offset %d, and is read again from further up", d.Kind, d.Offset)
	}
}
