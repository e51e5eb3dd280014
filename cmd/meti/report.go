package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/internal/report"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
)

func (a *app) reportCommand() *cobra.Command {
	var output func() (string, error)
	var overlap float64
	page := new(page)
	var mapped *mapping
	cmd := &cobra.Command{
		Use:   "report [FILE…]",
		Short: "Sum up an account or a file, with a map: areas, conflicts, overlaps",
		Long: `report sums up the sources of your account, or offline the features of files as
"meti check" reads them (- for stdin): how many there are, their hectares and
acres, what conflicts with your own and with other custodians' sources, which
overlaps are of --overlap or more of a field, protected areas, and counts by
country and methodology. What other custodians have registered, and protected
areas, a file cannot tell; they are "not known" then.

--html writes all of it as one document, which opens without a network, prints,
and has a map in it. -o csv writes a row for each field.`,
		Example: `  meti report --html account.html
  meti report fields.geojson -o csv > fields.csv`,
		RunE: func(cmd *cobra.Command, files []string) error {
			format, err := output()
			if err != nil {
				return err
			}
			if !(overlap >= 0 && overlap <= 1) {
				return usage(cmd, errors.New("--overlap is a share of a field, from 0 to 1"))
			}
			options, err := mapped.options(cmd)
			if err != nil {
				return err
			}
			if err := page.check(cmd); err != nil {
				return err
			}
			document := newDocument(a, overlap)
			if len(files) > 0 {
				err = a.reportFiles(cmd.Context(), document, files, options)
			} else {
				var client *api.Client
				if client, err = a.client(); err == nil {
					err = a.reportAccount(cmd.Context(), document, client, nil)
				}
			}
			if err != nil {
				return err
			}
			if err := page.write(document); err != nil {
				return err
			}
			return a.printReport(document, format)
		},
	}
	cmd.Flags().Float64Var(&overlap, "overlap", 0.02, "count overlaps of this share of a field, or more")
	page.flags(cmd)
	mapped = mappingFlags(cmd)
	inGroup(cmd, "Flags for files", "id-property", "start", "end", "strict", "allow")
	output = a.outputFlag(cmd, "table", "csv", "json")
	return cmd
}

func newDocument(a *app, overlap float64) *report.Document {
	return &report.Document{Made: a.now(), Overlap: overlap, World: countries.World().All()}
}

// reportAccount fills in the sources of the account, or those that are chosen.
// It asks for all of them: only then its own are told from other custodians'.
func (a *app) reportAccount(ctx context.Context, d *report.Document, client *api.Client, chosen map[string]bool) error {
	account, err := client.Account(ctx)
	if err != nil {
		account = "not named by the token"
	}
	d.Title, d.From = "Account "+account, "METI, "+serverName(client.Server())
	var sources []source
	for s, err := range client.Sources.All(ctx, api.AllParams{OnDrift: a.drift}) {
		if err != nil {
			return err
		}
		sources = append(sources, sourceOf(s))
	}
	return fillSources(ctx, d, sources, chosen)
}

// source is what a report keeps of a source.
type source struct {
	field report.Field
	with  []string
	shape *ledger.Shape // of one in conflict
}

func sourceOf(s *api.Source) source {
	one := source{with: s.ConflictWith, field: report.Field{
		ID: s.ID, AltID: s.AltID, Country: s.Country, Start: day(s.StartAt.String()), End: day(s.EndAt.String()),
		Methodology: string(s.Methodology), Year: s.OutcomeReportingYear, Conflict: s.InConflict(), Share: s.PercentOverlap,
		Protected: s.PAName,
	}}
	f := &one.field
	if s.Hectares != nil {
		f.Hectares = new(float64(*s.Hectares))
	}
	switch overlaps := s.UNEPOverlap != nil && *s.UNEPOverlap; {
	case f.Protected != "" && s.PADesignation != "":
		f.Protected += " (" + s.PADesignation + ")"
	case f.Protected == "" && overlaps:
		f.Protected = "one that METI does not name"
	}
	if shape, err := ledger.ParseGeometry(geometryOf(s)); err == nil {
		f.Polygons = shape.Polygons()
		if f.Conflict {
			one.shape = shape
		}
	}
	return one
}

// fillSources makes a document of sources, of those that are chosen where they
// are, and measures what those that conflict share.
func fillSources(ctx context.Context, d *report.Document, sources []source, chosen map[string]bool) error {
	own, index := map[string]int{}, map[string]int{}
	var shapes []*ledger.Shape
	for i, s := range sources {
		own[s.field.ID] = i
		if chosen == nil || chosen[s.field.ID] {
			index[s.field.ID] = len(d.Fields)
			d.Fields = append(d.Fields, s.field)
			shapes = append(shapes, s.shape)
		}
	}
	for i := range d.Fields {
		f := &d.Fields[i]
		for _, id := range sources[own[f.ID]].with {
			p := report.Partner{Index: -1, ID: id}
			if k, ok := own[id]; ok {
				p.Own, p.AltID = true, sources[k].field.AltID
			}
			if k, ok := index[id]; ok {
				p.Index = k
			}
			f.With = append(f.With, p)
		}
	}
	return measure(ctx, d.Fields, func(i int) *ledger.Shape { return shapes[i] })
}

// measure computes the hectares that each two fields in conflict share.
func measure(ctx context.Context, list []report.Field, shape func(i int) *ledger.Shape) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < len(list); i = int(next.Add(1)) - 1 {
				f := &list[i]
				for k := range f.With {
					p := &f.With[k]
					if ctx.Err() != nil {
						return context.Cause(ctx)
					}
					if p.Index < 0 || f.Hectares == nil || shape(i) == nil || shape(p.Index) == nil {
						continue
					}
					if share, ok := ledger.Overlap(shape(i), []*ledger.Shape{shape(p.Index)}); ok {
						p.Hectares = new(share * *f.Hectares)
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// reportFiles fills in the features of files, judged as check judges them.
func (a *app) reportFiles(ctx context.Context, d *report.Document, files []string, options fields.Options) error {
	options.Bare, options.Rules.Countries = true, countries.World()
	judge, err := fields.NewJudge(options)
	if err != nil {
		return err
	}
	var titles []string
	shapes := map[int]ledger.Source{}
	for _, name := range files {
		title, err := a.reportFile(ctx, d, name, judge, options.Rules, shapes)
		if err != nil {
			return err
		}
		titles = append(titles, title)
	}
	d.Title, d.From, d.Offline = strings.Join(titles, ", "), "Before registering, by the ledger's rules", true
	var sources []ledger.Source
	var places []int // of the sources among the fields
	for i := range d.Fields {
		if s, ok := shapes[i]; ok && !d.Fields[i].Invalid {
			sources, places = append(sources, s), append(places, i)
		}
	}
	verdicts, err := ledger.Check(ctx, sources, nil)
	if err != nil {
		return err
	}
	for k, v := range verdicts {
		f := &d.Fields[places[k]]
		f.Conflict, f.Share = v.Conflict(), v.PercentOverlap
		for _, ref := range v.With {
			other := d.Fields[places[ref.Index]]
			f.With = append(f.With, report.Partner{Index: places[ref.Index], ID: other.ID, AltID: other.AltID, Own: true})
		}
	}
	return measure(ctx, d.Fields, func(i int) *ledger.Shape { return shapes[i].Shape })
}

// reportFile adds the features of one file to a document, and those that can
// conflict to shapes, by their place in it.
func (a *app) reportFile(ctx context.Context, d *report.Document, name string, judge *fields.Judge, rules ledger.Rules, shapes map[int]ledger.Source) (title string, err error) {
	file, err := fields.Open(ctx, name, a.stdin)
	if err != nil {
		return "", err
	}
	defer file.Close()
	title, first := filepath.Base(file.Name), len(d.Fields)
	var repeats fields.Repeats
	err = file.Judge(ctx, judge, func(item fields.Item, j fields.Judged) error {
		f := report.Field{ID: fmt.Sprintf("%s:%d", title, item.Line), AltID: j.AltID, Invalid: j.Invalid()}
		if item.Kind != fields.Geometry {
			f.Start, f.End = day(j.Period.Start.String()), day(j.Period.End.String())
		}
		for _, p := range j.Problems {
			f.Problems = append(f.Problems, p.String())
		}
		if j.Shape != nil {
			f.Polygons, f.Country = j.Shape.Polygons(), countries.World().Of(j.Shape)
			if !f.Invalid {
				f.Hectares = new(j.Shape.Hectares())
				if item.Kind != fields.Geometry {
					shapes[len(d.Fields)] = ledger.Source{Shape: j.Shape, Period: j.Period, Country: f.Country}
				}
			}
		}
		repeats.Add(item.Line, &j, fields.FormOf(j.Shape))
		d.Fields = append(d.Fields, f)
		return nil
	})
	if err != nil {
		return "", unreadable(file, err)
	}
	shared, problems := fields.Share(file, api.SourceCreateFeatures{}, rules)
	problems = append(file.Problems(rules), problems...)
	for i := first; i < len(d.Fields); i++ {
		f := &d.Fields[i]
		if shared.Methodology != nil {
			f.Methodology = string(*shared.Methodology)
		}
		if shared.OutcomeReportingYear != nil {
			f.Year = *shared.OutcomeReportingYear
		}
		again := repeats.Problems(i-first, rules)
		f.Invalid = f.Invalid || problems.Invalid() || again.Invalid()
		for _, p := range append(again, problems...) {
			f.Problems = append(f.Problems, p.String())
		}
	}
	if missing := judge.Missing(); missing != nil && len(d.Fields) > first {
		a.say("%s: %s", file.Name, printable(missing.Error()))
	}
	return title, nil
}

// reportRow is a field in CSV.
type reportRow struct {
	ID          string   `json:"id"`
	AltID       string   `json:"alt_id"`
	Country     string   `json:"country"`
	Start       string   `json:"start"`
	End         string   `json:"end"`
	Methodology string   `json:"methodology"`
	Year        int      `json:"outcome_reporting_year,omitempty"`
	Hectares    *float64 `json:"hectares"`
	Acres       *float64 `json:"acres"`
	State       string   `json:"state"` // clear, own, other, both or invalid
	Conflict    bool     `json:"conflict"`
	With        []string `json:"conflict_with"`
	Overlap     *float64 `json:"percent_overlap"`
	Protected   string   `json:"protected"`
	Problems    []string `json:"problems"`
}

func (a *app) printReport(d *report.Document, format string) error {
	switch format {
	case "json":
		return a.printJSON(d.Summary())
	case "table":
		return a.printSummary(d)
	}
	out := newOutput(a, a.stdout, format, form[reportRow]{})
	for i := range d.Fields {
		f := &d.Fields[i]
		row := reportRow{f.ID, f.AltID, f.Country, f.Start, f.End, f.Methodology, f.Year, f.Hectares, nil, f.State().String(),
			f.Conflict, nil, f.Share, f.Protected, f.Problems}
		if f.Hectares != nil {
			row.Acres = new(*f.Hectares * report.AcresPerHectare)
		}
		for _, p := range f.With {
			row.With = append(row.With, p.ID)
		}
		if err := out.add(row); err != nil {
			return err
		}
	}
	return out.end()
}

// printSummary prints what the fields come to, for people.
func (a *app) printSummary(d *report.Document) error {
	s := d.Summary()
	known := func(n *int) string {
		if n == nil {
			return "not known before registering"
		}
		return strconv.Itoa(*n)
	}
	if err := a.printPairs("REPORT", d.Title, [][2]string{
		{"fields", strconv.Itoa(s.Fields)},
		{"area", fmt.Sprintf("%.2f hectares, %.2f acres", s.Hectares, s.Acres)},
		{"clear", strconv.Itoa(s.Clear)},
		{"in conflict", strconv.Itoa(s.Conflict)},
		{"  with own", fmt.Sprintf("%d, in %s that share %.2f hectares", s.Own, plural(s.Pairs, "pair", "pairs"), s.Shared)},
		{"  with others'", known(s.Other)},
		{"  overlaps of " + percent(s.Overlap) + " or more", plural(s.OverlapPairs, "pair", "pairs")},
		{"in protected areas", known(s.Protected)},
		{"invalid", strconv.Itoa(s.Invalid)},
	}); err != nil {
		return err
	}
	for _, one := range []struct {
		head string
		list []*report.Count
	}{{"COUNTRY", s.Countries}, {"METHODOLOGY", s.Methodologies}} {
		fmt.Fprintln(a.stdout)
		out := newOutput(a, a.stdout, "table", form[*report.Count]{columns: []column[*report.Count]{
			{head: one.head, cell: func(c *report.Count) string { return cmp.Or(c.Name, "not known") }, least: 12},
			{head: "FIELDS", cell: func(c *report.Count) string { return strconv.Itoa(c.Fields) }, right: true},
			{head: "HECTARES", cell: func(c *report.Count) string { return fmt.Sprintf("%.2f", c.Hectares) }, right: true},
			{head: "ACRES", cell: func(c *report.Count) string { return fmt.Sprintf("%.2f", c.Acres) }, right: true},
			{head: "IN CONFLICT", cell: func(c *report.Count) string { return strconv.Itoa(c.Conflict) }, right: true,
				red: func(c *report.Count) bool { return c.Conflict > 0 }},
		}})
		for _, c := range one.list {
			if err := out.add(c); err != nil {
				return err
			}
		}
		if err := out.end(); err != nil {
			return err
		}
	}
	return nil
}
