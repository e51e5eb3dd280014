package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/internal/report"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
	"github.com/spf13/cobra"
)

func (a *app) reportCommand() *cobra.Command {
	cmd := describe("report [FILE…]", cobra.ArbitraryArgs)
	page := new(page)
	overlap := cmd.Flags().Float64("overlap", 0.02, "count overlaps of this share of a field, or more")
	page.flags(cmd)
	mapping := mappingFlags(cmd)
	inGroup(cmd, "Flags for files", "id-property", "start", "end", "strict", "allow")
	format := a.outputFlag(cmd, "table", "json", "csv")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		if !(*overlap >= 0 && *overlap <= 1) {
			return usage("--overlap is a share of a field, from 0 to 1")
		}
		err := page.check()
		if err != nil {
			return err
		}
		r := a.newReport(*overlap)
		if len(files) > 0 {
			err = r.readFiles(cmd.Context(), files, *mapping)
		} else {
			var client *api.Client
			if client, err = a.client(); err == nil {
				err = r.readAccount(cmd.Context(), client, nil)
			}
		}
		if err != nil {
			return err
		}
		if err := page.write(&r.Document); err != nil {
			return err
		}
		return r.print(*format)
	}
	return cmd
}

// reporting is a report on its way.
type reporting struct {
	report.Document
	app    *app
	shapes []*ledger.Shape // of the fields; nil where it has none
}

func (a *app) newReport(overlap float64) *reporting {
	return &reporting{app: a, Document: report.Document{Made: a.now(), Overlap: overlap, World: countries.World().All()}}
}

// add adds a field, whose shape may be nil.
func (r *reporting) add(f report.Field, shape *ledger.Shape) {
	if shape != nil {
		f.Polygons = shape.Polygons()
	}
	r.Fields, r.shapes = append(r.Fields, f), append(r.shapes, shape)
}

// readAccount fills in the sources of the account, or those that are chosen. It
// asks for all of them: only then its own are told from other custodians'.
func (r *reporting) readAccount(ctx context.Context, client *api.Client, chosen map[string]bool) error {
	account, err := client.Account(ctx)
	if err != nil {
		account = "not named by the token"
	}
	r.Title, r.From = "Account "+account, "METI, "+serverName(client.Server())
	altIDs, index := map[string]string{}, map[string]int{}
	for s, err := range client.Sources.All(ctx, api.AllParams{OnDrift: r.app.drift}) {
		if err != nil {
			return err
		}
		altIDs[s.ID] = s.AltID
		if chosen == nil || chosen[s.ID] {
			index[s.ID] = len(r.Fields)
			shape, err := ledger.ParseGeometry(geometryOf(s))
			if err != nil {
				shape = nil
			}
			r.add(fieldOfSource(s), shape)
		}
	}
	for i := range r.Fields {
		for k := range r.Fields[i].With {
			p := &r.Fields[i].With[k]
			p.AltID, p.Own = altIDs[p.ID]
			if at, known := index[p.ID]; known {
				p.Index = at
			}
		}
	}
	return r.measure(ctx)
}

func fieldOfSource(s *api.Source) report.Field {
	f := report.Field{
		ID: s.ID, AltID: s.AltID, Country: s.Country, Start: day(s.StartAt.String()), End: day(s.EndAt.String()),
		Methodology: string(s.Methodology), Year: s.OutcomeReportingYear, Hectares: (*float64)(s.Hectares),
		Conflict: s.InConflict(), Share: s.PercentOverlap, Protected: s.PAName,
	}
	switch overlaps := s.UNEPOverlap != nil && *s.UNEPOverlap; {
	case f.Protected != "" && s.PADesignation != "":
		f.Protected += " (" + s.PADesignation + ")"
	case f.Protected == "" && overlaps:
		f.Protected = "one that METI does not name"
	}
	for _, id := range s.ConflictWith {
		f.With = append(f.With, report.Partner{Index: -1, ID: id})
	}
	return f
}

// readFiles fills in the features of files, judged as check judges them.
func (r *reporting) readFiles(ctx context.Context, names []string, o fields.Options) error {
	o.Bare, o.Rules.Countries = true, countries.World()
	var kept []ledger.Feature // with their shapes, in the order of the features
	files := reading{app: r.app, options: o, keep: func(_ fields.Item, j fields.Judged) error {
		j.Geometry = nil
		kept = append(kept, j.Feature)
		return nil
	}}
	defer files.close()
	if err := files.read(ctx, names...); err != nil {
		return err
	}
	if err := files.compare(ctx); err != nil {
		return err
	}
	var titles []string
	for _, in := range files.inputs {
		if in.ended != nil {
			return withCode(exitInvalid, in.ended) // a part must not pass for the whole
		}
		titles = append(titles, filepath.Base(in.Name))
	}
	r.Title, r.From, r.Offline = strings.Join(titles, ", "), "Before registering, by the ledger's rules", true
	index := map[*feature]int{}
	for i, f := range files.features {
		index[f] = i
	}
	for i, f := range files.features {
		r.add(fieldOfFeature(f, kept[i].Period, index), kept[i].Shape)
	}
	return r.measure(ctx)
}

func fieldOfFeature(f *feature, period ledger.Period, index map[*feature]int) report.Field {
	name := func(f *feature) string { return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line) }
	field := report.Field{
		ID: name(f), AltID: f.AltID, Country: string(f.Country), Hectares: f.Hectares, Invalid: !f.Valid,
		Conflict: f.Conflict, Share: f.Overlap,
	}
	if period != (ledger.Period{}) { // it was read
		field.Start, field.End = day(period.Start.String()), day(period.End.String())
	}
	if methodology := f.in.attributes.Methodology; methodology != nil {
		field.Methodology = string(*methodology)
	}
	if year := f.in.attributes.OutcomeReportingYear; year != nil {
		field.Year = *year
	}
	for _, p := range slices.Concat(f.Problems, f.in.problems) {
		field.Problems = append(field.Problems, p.String())
	}
	for _, p := range f.With {
		field.With = append(field.With, report.Partner{Index: index[p.feature], ID: name(p.feature), AltID: p.AltID, Own: true})
	}
	return field
}

// measure computes the hectares that each two fields in conflict share.
func (r *reporting) measure(ctx context.Context) error {
	for i, f := range r.Fields {
		for k, p := range f.With {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if p.Index < 0 || f.Hectares == nil || r.shapes[i] == nil || r.shapes[p.Index] == nil {
				continue
			}
			if share, ok := ledger.Overlap(r.shapes[i], r.shapes[p.Index:p.Index+1]); ok {
				f.With[k].Hectares = new(share * *f.Hectares)
			}
		}
	}
	return nil
}

// print prints the summary, or a row for each field.
func (r *reporting) print(format string) error {
	switch format {
	case "json":
		return r.app.printJSON(r.Summary())
	case "csv":
		return printAll(r.app, format, form[report.Field]{}, r.Rows())
	}
	s := r.Summary()
	known := func(n *int) string {
		if n == nil {
			return "not known before registering"
		}
		return strconv.Itoa(*n)
	}
	return errors.Join(
		r.app.printPairs("REPORT", r.Title, [][2]string{
			{"fields", strconv.Itoa(s.Fields)},
			{"area", fmt.Sprintf("%.2f hectares, %.2f acres", s.Hectares, s.Acres)},
			{"clear", strconv.Itoa(s.Clear)},
			{"in conflict", strconv.Itoa(s.Conflict)},
			{"  with own", fmt.Sprintf("%d, in %s that share %.2f hectares", s.Own, plural(s.Pairs, "pair", "pairs"), s.Shared)},
			{"  with others'", known(s.Other)},
			{"  overlaps of " + percent(s.Overlap) + " or more", plural(s.OverlapPairs, "pair", "pairs")},
			{"in protected areas", known(s.Protected)},
			{"invalid", strconv.Itoa(s.Invalid)},
		}),
		r.app.printCounts("COUNTRY", s.Countries),
		r.app.printCounts("METHODOLOGY", s.Methodologies),
	)
}

func (a *app) printCounts(head string, counts []*report.Count) error {
	if len(counts) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return printAll(a, "table", form[*report.Count]{
		columns: []column{
			{head: head, least: 12}, {head: "FIELDS", right: true}, {head: "HECTARES", right: true},
			{head: "ACRES", right: true}, {head: "IN CONFLICT", right: true, red: true},
		},
		cells: func(c *report.Count) []string {
			return []string{cmp.Or(c.Name, "not known"), strconv.Itoa(c.Fields), fmt.Sprintf("%.2f", c.Hectares),
				fmt.Sprintf("%.2f", c.Acres), strconv.Itoa(c.Conflict)}
		},
		red: func(c *report.Count) bool { return c.Conflict > 0 },
	}, counts)
}
