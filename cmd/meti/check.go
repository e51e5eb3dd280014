package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

func (a *app) checkCommand() *cobra.Command {
	var countries, against string
	var fix bool
	c := &checking{app: a}
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
		Args:    cobra.MinimumNArgs(1),
	}
	mapping, attributes, format := mappingFlags(cmd), attributeFlags(cmd), a.outputFlag(cmd, "text", "text", "json")
	cmd.Flags().BoolVar(&c.all, "all", false, "a line for each feature, also for those that nothing is wrong with")
	cmd.Flags().BoolVar(&fix, "fix", false, "write the file to stdout with what can be mended mended")
	cmd.Flags().StringVar(&against, "against", "", `also look for conflicts with these sources: "account", or a file`)
	cmd.Flags().StringVar(&countries, "countries", "", "GeoJSON file of countries, property \"name\", in place of the built-in table")
	cmd.RunE = func(cmd *cobra.Command, names []string) (err error) {
		if fix && (len(names) > 1 || against != "" || *format != "text") {
			return usage("--fix takes one file, and neither --against nor --output")
		}
		c.options, c.options.Bare = *mapping, true
		if c.options.Rules.Countries, err = countryTable(countries); err != nil {
			return err
		}
		if fix {
			return a.fix(cmd.Context(), names[0], c.options)
		}
		var given api.SourceCreateFeatures
		if err := attributes.into(&given); err != nil {
			return err
		}
		// What is kept of each feature grows with the file; the garbage need not
		// grow as much.
		defer debug.SetGCPercent(debug.SetGCPercent(50))
		defer c.close()
		if err := c.read(cmd.Context(), names, given, nil); err != nil {
			return err
		}
		if c.against = against != ""; c.against {
			if err := c.known.read(cmd.Context(), c, against); err != nil {
				return err
			}
		}
		if err := c.compare(cmd.Context()); err != nil {
			return err
		}
		if err := c.report(*format); err != nil {
			return err
		}
		return c.summarise()
	}
	return cmd
}

// checking is one run of check, or of report on files.
type checking struct {
	app        *app
	options    fields.Options
	all        bool
	against    bool // known sources were read
	inputs     []*input
	count      int32      // of features
	candidates []*feature // what may conflict, in the order of the files
	known      knownSources
}

func (c *checking) close() {
	for _, in := range c.inputs {
		in.Close()
	}
	c.known.shapes.Close()
}

// read reads and judges the files, and hands each feature to keep, which may be nil.
func (c *checking) read(ctx context.Context, names []string, given api.SourceCreateFeatures, keep func(fields.Item, fields.Judged) error) error {
	if i := slices.Index(names, "-"); i >= 0 && slices.Contains(names[i+1:], "-") {
		return errors.New("stdin is named twice")
	}
	for _, name := range names {
		in, err := c.app.read(ctx, name, c.options, given, keep)
		if err != nil {
			return err
		}
		c.inputs = append(c.inputs, in)
		for i := range in.features {
			f := &in.features[i]
			f.number = c.count
			c.count++
			if f.entry != nil {
				c.candidates = append(c.candidates, f)
			}
		}
	}
	return nil
}

// compare finds conflicts among the features, and with what is known.
func (c *checking) compare(ctx context.Context) error {
	stored := len(c.known.stored)
	batch := ledger.Batch{Entries: make([]ledger.Entry, 0, stored+len(c.candidates)), Stored: stored}
	for _, k := range c.known.stored {
		batch.Entries = append(batch.Entries, k.entry)
	}
	for _, f := range c.candidates {
		batch.Entries = append(batch.Entries, *f.entry)
		f.entry = nil
	}
	batch.Load = func(i int) (*ledger.Shape, error) {
		if i < stored {
			return c.known.shapes.At(c.known.stored[i].number)
		}
		return c.candidates[i-stored].shape()
	}
	verdicts, err := batch.Judge(ctx)
	for i, f := range c.candidates[:len(verdicts)] {
		f.verdict = &verdicts[i]
		f.problems = append(f.problems, c.options.Rules.Apply(f.verdict.Problems)...)
		f.invalid = f.invalid || f.problems.Invalid()
	}
	return err
}

// checkResult is what check says of one feature with -o json.
type checkResult struct {
	File       string          `json:"file"`
	Line       int             `json:"line"`  // from 1
	Index      int             `json:"index"` // among the file's features, from 0
	AltID      string          `json:"alt_id"`
	Valid      bool            `json:"valid"`
	Problems   ledger.Problems `json:"problems"`
	Hectares   *float64        `json:"hectares"`             // null where it is not valid
	Country    *string         `json:"country"`              // null where it lies in none
	Registered string          `json:"registered,omitempty"` // the SSID that it has already
	Conflict   bool            `json:"conflict"`
	With       []checkOther    `json:"conflict_with"`
	Overlap    *float64        `json:"percent_overlap"` // 0 to 1

	feature *feature
}

// checkOther is what a feature conflicts with: a feature of the files, by file,
// line and index, or a source that was checked against.
type checkOther struct {
	ID    string `json:"id,omitempty"` // SSID
	AltID string `json:"alt_id,omitempty"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Index *int   `json:"index,omitempty"`
}

func (o checkOther) String() string {
	text := printable(nameOf(o.ID, o.AltID))
	if o.File == "" {
		return text
	}
	return fmt.Sprintf("%s (%s:%d)", text, o.File, o.Line)
}

// result is all that is known of one feature.
func (c *checking) result(f *feature) checkResult {
	r := checkResult{
		File: f.in.Name, Line: int(f.line), Index: int(f.index), AltID: f.altID, Valid: !f.invalid,
		Problems: append(append(ledger.Problems{}, f.problems...), f.in.problems...), With: []checkOther{}, feature: f,
	}
	if r.Valid {
		r.Hectares = &f.hectares
	}
	if f.registered != nil {
		r.Registered = f.registered.id
	}
	if f.country != "" {
		r.Country = &f.country
	}
	if v := f.verdict; v != nil {
		r.Conflict, r.Overlap = v.Conflict(), v.PercentOverlap
		for _, i := range v.With {
			if stored := len(c.known.stored); i < stored {
				k := c.known.stored[i]
				r.With = append(r.With, checkOther{ID: k.id, AltID: k.altID})
			} else {
				other := c.candidates[i-stored]
				r.With = append(r.With, checkOther{AltID: other.altID, File: other.in.Name, Line: int(other.line), Index: new(int(other.index))})
			}
		}
	}
	return r
}

// report prints what was found of each feature, in their order.
func (c *checking) report(format string) error {
	out := newOutput(c.app, format, form[checkResult]{text: c.text})
	for _, in := range c.inputs {
		for i := range in.features {
			if err := out.add(c.result(&in.features[i])); err != nil {
				return err
			}
		}
	}
	return out.end()
}

// summarise says what the features come to, and fails where there is something to
// find.
func (c *checking) summarise() error {
	var invalid, warned, conflicts, registered int
	area, countries := 0.0, map[string]bool{}
	for _, in := range c.inputs {
		for _, f := range in.features {
			switch {
			case f.invalid:
				invalid++
			case len(f.problems)+len(in.problems) > 0:
				warned++
			}
			if f.verdict != nil && f.verdict.Conflict() {
				conflicts++
			}
			if f.registered != nil {
				registered++
			}
			if !f.invalid {
				area += f.hectares
				countries[f.country] = true
			}
		}
		if in.ended != nil && in.ended.Rest {
			c.app.say("the reading of %s ended in line %d, and the rest was not looked at", in.Name, in.ended.Line)
		}
	}
	delete(countries, "") // none
	text := plural(int(c.count), "feature", "features")
	if c.against {
		text += fmt.Sprintf(", checked against %d", len(c.known.all))
	}
	text += fmt.Sprintf(": %d invalid, %d with warnings only, %d in conflict", invalid, warned, conflicts)
	if registered > 0 {
		text += fmt.Sprintf(", %d registered already", registered)
	}
	c.app.say("%s; %.2f hectares, %s", text, area, plural(len(countries), "country", "countries"))
	switch {
	case invalid > 0:
		return silent(exitInvalid)
	case conflicts > 0:
		return silent(exitConflict)
	case len(c.known.all) == 0 && len(c.known.left) > 0:
		return errors.New("nothing could be compared: none of the sources to check against has a boundary")
	}
	return nil
}

// text is a result for people: a line, where there is something to say, and one
// below it for each thing that is wrong. What is wrong with all of a file stands
// before its first feature.
func (c *checking) text(r checkResult) string {
	var b strings.Builder
	if r.Index == 0 {
		for _, p := range r.feature.in.problems {
			fmt.Fprintf(&b, "%s: all features: %s\n", r.File, problemText(p))
		}
	}
	if !c.all && len(r.feature.problems) == 0 && !r.Conflict && r.Registered == "" {
		return b.String()
	}
	state := "ok"
	switch {
	case !r.Valid:
		state = "invalid"
	case r.Conflict:
		state = "conflict"
	}
	who := cmp.Or(r.AltID, fmt.Sprintf("feature %d", r.Index))
	fmt.Fprintf(&b, "%s:%d: %s: %s", r.File, r.Line, printable(who), state)
	if r.Registered != "" {
		b.WriteString(", registered already as " + printable(r.Registered))
	}
	if r.Valid {
		fmt.Fprintf(&b, ", %.4f ha, %s", *r.Hectares, printable(cmp.Or(r.feature.country, "no country")))
	}
	b.WriteByte('\n')
	for _, p := range r.feature.problems {
		b.WriteString("  " + problemText(p) + "\n")
	}
	if r.Conflict {
		var others []string
		for _, other := range r.With {
			others = append(others, other.String())
		}
		b.WriteString("  conflicts with " + strings.Join(others, ", "))
		if r.Overlap != nil {
			fmt.Fprintf(&b, ", %.2f%% covered", 100**r.Overlap)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
