package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meti-go/meti/api"
)

func (a *app) listCommand() *cobra.Command {
	var conflict bool
	var country string
	var tags []string
	var limit, pageSize, inFlight int
	cmd := describe("list", cobra.NoArgs)
	filters := addSpecFlags(cmd, filterTable)
	flags := cmd.Flags()
	own := pflag.NewFlagSet("", pflag.ContinueOnError) // what METI has no filter for
	own.BoolVar(&conflict, "conflict", false, "only those in conflict (chosen from what came)")
	own.StringVar(&country, "country", "", "only this country's, by its full English name (chosen from what came)")
	own.StringArrayVar(&tags, "tag", nil, "only those with this tag; may be repeated (chosen from what came)")
	flags.AddFlagSet(own) // but those that have a filter's name by now
	flags.IntVar(&limit, "limit", 0, "stop after printing this many")
	flags.IntVar(&pageSize, "page-size", 0, "sources a request (default 1000)")
	flags.IntVar(&inFlight, "in-flight", 0, "requests under way at once (default 4)")
	format := a.outputFlag(cmd, formats...)

	chosen := func(s *api.Source) bool {
		return (!conflict || s.InConflict()) && (country == "" || strings.EqualFold(country, s.Country)) &&
			!slices.ContainsFunc(tags, func(tag string) bool { return !slices.Contains(s.Tags, tag) })
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 0 || pageSize < 0 || inFlight < 0 {
			return usage("a number of sources or requests cannot be negative")
		}
		params := api.AllParams{PageSize: pageSize, InFlight: inFlight, OnDrift: a.drift}
		if err := filters.into(&params.Filter); err != nil {
			return err
		}
		if limit > 0 && limit <= 1000 && pageSize == 0 && inFlight == 0 && !conflict && country == "" && tags == nil {
			params.PageSize, params.InFlight = limit, 1 // one request is enough
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		out := a.sourceOutput(*format)
		out.whole = params.Filter == api.Filter{}
		for source, err := range client.Sources.All(cmd.Context(), params) {
			if err != nil {
				return errors.Join(err, out.flush())
			}
			if !chosen(source) {
				out.see(source)
				continue
			}
			if *format == "table" || *format == "csv" { // the one keeps sources, and neither shows it
				source.Geometry, source.GeoJSON = nil, nil
			}
			if err := out.add(source); err != nil {
				return err
			}
			if out.count == limit {
				out.whole = false
				break
			}
		}
		if out.count == 0 {
			a.say("no sources match")
		}
		return out.end()
	}
	return cmd
}

// drift says, under -v, why pages are asked for again.
func (a *app) drift(d api.Drift) {
	if a.verbose && d.Kind != "repeated" {
		a.say("the account changed while it was listed: it was %s before offset %d, and is read again from further up", d.Kind, d.Offset)
	}
}
