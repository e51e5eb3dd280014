package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

func (a *app) checkCommand() *cobra.Command {
	var countries, against string
	var fix bool
	var mapped *mapping
	var attributes given
	c := &checking{app: a, broken: map[int]error{}}
	cmd := &cobra.Command{
		Use:   "check FILE…",
		Short: "Tell what METI would say of a file, before anything is sent",
		Long: `check reads GeoJSON of any size (a FeatureCollection, also within the attributes
that its sources share, Features one after another or newline-delimited, text
sequences, geometries; - for stdin) and says, offline and by the ledger's own
rules, what is wrong with each feature and what it would conflict with once all
of them were registered in their order. Nothing is changed and nothing is sent.

What is invalid is never sent, by any command; "meti help rules" lists the rules.
A bare geometry has no id and no period: it is judged alone. --against also looks
for conflicts with the sources of your account (it asks METI for them), or with
those in a file: GeoJSON, or what "meti sources list" printed. A feature that is
registered already is said to be. METI also knows other custodians' sources; only
registering tells of those.

--fix writes FILE to stdout as ledger.Repair mends it: rings wound as RFC 7946
wants them, closed, and without repeated points. No boundary is moved.

It ends with 6 when a feature is invalid, else with 7 when one conflicts, and with
1 when a file cannot be read at all, or nothing could be compared.`,
		Example: "  meti check fields.geojson --against account",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := mapped.options(cmd)
			switch {
			case err != nil:
				return err
			case !slices.Contains([]string{"text", "json"}, c.format):
				return usage(cmd, fmt.Errorf("--output is %q, neither text nor json", c.format))
			case fix && (len(args) > 1 || against != "" || c.format != "text"):
				return usage(cmd, errors.New("--fix takes one file, and neither --against nor --output"))
			}
			if o.Rules.Countries, err = countryTable(countries); err != nil {
				return err
			}
			o.Bare = true
			if c.judge, err = fields.NewJudge(o); err != nil {
				return err
			}
			c.rules = o.Rules
			if err := attributes.into(&c.shared); err != nil {
				return err
			}
			defer c.close()
			// What is kept of each feature grows with the file; the garbage need not
			// grow as much.
			defer debug.SetGCPercent(debug.SetGCPercent(60))
			if fix {
				return c.fix(cmd.Context(), args[0])
			}
			return c.run(cmd.Context(), args, against)
		},
	}
	mapped = mappingFlags(cmd)
	attributes = attributeFlags(cmd)
	cmd.Flags().StringVarP(&c.format, "output", "o", "text", "text or json")
	cmd.Flags().BoolVar(&c.all, "all", false, "a line for each feature, also for those that nothing is wrong with")
	cmd.Flags().BoolVar(&fix, "fix", false, "write the file to stdout with what can be mended mended")
	cmd.Flags().StringVar(&against, "against", "", `also look for conflicts with these sources: "account", or a file`)
	cmd.Flags().StringVar(&countries, "countries", "", "GeoJSON file of countries, property \"name\", in place of the built-in table")
	return cmd
}

// checking is one run of check. It keeps a few hundred bytes of each feature;
// geometry is read again where it is needed.
type checking struct {
	app    *app
	judge  *fields.Judge
	rules  ledger.Rules
	shared api.SourceCreateFeatures
	format string
	all    bool

	inputs     []*checkInput
	found      []finding
	broken     map[int]error // why one of found cannot be read
	batch      ledger.Batch
	candidates []int32 // the batch's, as places in found, in their order
	known      knownSources
}

// checkInput is a file, and what holds for all its features.
type checkInput struct {
	*fields.File
	problems ledger.Problems
	repeats  fields.Repeats
	ended    *fields.InputError // why the rest was not looked at
}

// finding is what is kept of a feature.
type finding struct {
	offset     int64
	length     int32
	line       int32
	index      int32 // in its file
	input      int32
	kind       fields.Kind
	invalid    bool
	noted      bool  // it has a problem of its own
	registered int32 // the known source that it is, -1 for none
	altID      string
	country    string
	hectares   float64
}

func (c *checking) close() {
	for _, in := range c.inputs {
		in.Close()
	}
	c.known.close()
}

func (c *checking) run(ctx context.Context, names []string, against string) error {
	if i := slices.Index(names, "-"); i >= 0 && slices.Contains(names[i+1:], "-") {
		return errors.New("stdin is named twice")
	}
	for _, name := range names {
		if err := c.scan(ctx, name); err != nil {
			return err
		}
	}
	if err := c.leaveOut(); err != nil {
		return err
	}
	if against != "" {
		if err := c.readKnown(ctx, against); err != nil {
			return err
		}
	}
	verdicts, err := c.batch.Judge(ctx, c.shape)
	if err != nil {
		return err
	}
	return c.report(verdicts)
}

// leaveOut makes the batch anew where it has features that turned out to be
// invalid only once their whole file was read.
func (c *checking) leaveOut() error {
	if !slices.ContainsFunc(c.candidates, func(i int32) bool { return c.found[i].invalid }) {
		return nil
	}
	before := c.candidates
	c.candidates, c.batch = nil, ledger.Batch{}
	for _, i := range before {
		f := &c.found[i]
		if f.invalid {
			continue
		}
		one, err := c.again(int(i))
		if err != nil {
			return err
		}
		c.add(int(i), ledger.Source{Shape: one.Shape, Period: one.Period, Country: f.country})
	}
	return nil
}

// add puts a feature into the batch.
func (c *checking) add(i int, source ledger.Source) {
	c.batch.Add(ledger.EntryOf(source))
	c.candidates = append(c.candidates, int32(i))
}

// measured is a feature's judgement, while it is on its way into a finding.
type measured struct {
	fields.Judged
	country  string
	hectares float64
	form     fields.Form
}

func (c *checking) measure(item fields.Item) measured {
	m := measured{Judged: c.judge.Item(item)}
	if m.Shape == nil {
		return m
	}
	m.country = c.rules.Countries.Of(m.Shape)
	m.form = fields.FormOf(m.Shape)
	if !m.Invalid() {
		m.hectares = m.Shape.Hectares()
		m.Shape.SearchBox() // in parallel, for the batch
	}
	return m
}

// scan judges the features of one file.
func (c *checking) scan(ctx context.Context, name string) error {
	file, err := fields.Open(ctx, name, c.app.stdin)
	if err != nil {
		return err
	}
	in := &checkInput{File: file}
	number, first := int32(len(c.inputs)), len(c.found)
	c.inputs = append(c.inputs, in)
	features := 0
	err = fields.Map(ctx, file, c.measure, func(item fields.Item, m measured) error {
		in.repeats.Add(item.Line, &m.Judged, m.form)
		if item.Kind == fields.Feature && item.Err == nil {
			features++
		}
		i := len(c.found)
		c.found = append(c.found, finding{
			offset: item.Offset, length: item.Length, line: int32(item.Line), index: int32(item.Index), input: number, kind: item.Kind,
			registered: -1, invalid: m.Invalid(), noted: len(m.Problems) > 0,
			altID: m.AltID, country: m.country, hectares: m.hectares,
		})
		if item.Err != nil {
			c.broken[i] = item.Err
		} else if !m.Invalid() && item.Kind != fields.Geometry {
			c.add(i, ledger.Source{Shape: m.Shape, Period: m.Period, Country: m.country})
		}
		return nil
	})
	if errors.As(err, &in.ended) {
		c.broken[len(c.found)] = in.ended
		c.found = append(c.found, finding{
			line: int32(max(in.ended.Line, 1)), index: int32(len(c.found) - first),
			input: number, registered: -1, invalid: true, noted: true,
		})
	} else if err != nil {
		return unreadable(file, err)
	}
	if _, problems := fields.Share(file, c.shared, c.rules); first < len(c.found) {
		in.problems = append(file.Problems(c.rules), problems...)
	}
	for i := first; i < len(c.found); i++ {
		f := &c.found[i]
		f.invalid = f.invalid || in.problems.Invalid() || c.repeats(i).Invalid()
	}
	if missing := c.judge.Missing(); missing != nil && features > 0 {
		c.app.say("%s: %s", file.Name, printable(missing.Error()))
	}
	return nil
}

// unreadable says which file could not be read, with the exit code that is due.
func unreadable(file *fields.File, err error) error {
	if errors.Is(err, fields.ErrInput) { // it names the file
		return withCode(exitInvalid, err)
	}
	return fmt.Errorf("%s: %w", file.Name, err)
}

// shape reads a shape again, for the batch.
func (c *checking) shape(ref ledger.Ref) (*ledger.Shape, error) {
	if ref.Stored {
		return c.known.shape(c.known.stored[ref.Index])
	}
	i := int(c.candidates[ref.Index])
	item, err := c.item(i)
	if err != nil {
		return nil, err
	}
	shape, err := ledger.ParseGeometry(fields.GeometryOf(item))
	if err != nil {
		return nil, fmt.Errorf("%s changed while it was checked: %w", c.inputs[c.found[i].input].Name, err)
	}
	return shape, nil
}

// item reads a feature again.
func (c *checking) item(i int) (fields.Item, error) {
	f := &c.found[i]
	item := fields.Item{
		Place: fields.Place{Offset: f.offset, Length: f.length, Line: int(f.line), Index: int(f.index)},
		Kind:  f.kind, Err: c.broken[i],
	}
	var err error
	if item.Err == nil {
		item.Raw, err = c.inputs[f.input].At(item.Place)
	}
	return item, err
}

// again judges a feature again.
func (c *checking) again(i int) (fields.Judged, error) {
	item, err := c.item(i)
	if err != nil {
		return fields.Judged{}, err
	}
	return c.judge.Item(item), nil
}

// repeats says what a feature has in common with others of its file.
func (c *checking) repeats(i int) ledger.Problems {
	if c.broken[i] != nil {
		return nil
	}
	f := &c.found[i]
	return c.inputs[f.input].repeats.Problems(int(f.index), c.rules)
}
