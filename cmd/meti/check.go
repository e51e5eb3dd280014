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

	"github.com/meti-go/meti/ledger"
)

func (a *app) checkCommand() *cobra.Command {
	var countries, against string
	var all, fix bool
	cmd := describe("check FILE…", cobra.MinimumNArgs(1))
	mapping, attributes, format := mappingFlags(cmd), attributeFlags(cmd), a.outputFlag(cmd, "text", "text", "json")
	cmd.Flags().BoolVar(&all, "all", false, "a line for each feature, also for those that nothing is wrong with")
	cmd.Flags().BoolVar(&fix, "fix", false, "write the file to stdout with what can be mended mended")
	cmd.Flags().StringVar(&against, "against", "", `also look for conflicts with these sources: "account", or a file`)
	_ = cmd.RegisterFlagCompletionFunc("against", cobra.FixedCompletions([]string{"account"}, cobra.ShellCompDirectiveDefault))
	cmd.Flags().StringVar(&countries, "countries", "", "GeoJSON file of countries, property \"name\", in place of the built-in table")
	cmd.RunE = func(cmd *cobra.Command, names []string) (err error) {
		if fix && (len(names) > 1 || against != "" || *format != "text") {
			return usage("--fix takes one file, and neither --against nor --output")
		}
		r := reading{app: a, options: *mapping}
		r.options.Bare = true
		if r.options.Rules.Countries, err = countryTable(countries); err != nil {
			return err
		}
		if fix {
			return a.fix(cmd.Context(), names[0], r.options)
		}
		if err := attributes.into(&r.given); err != nil {
			return err
		}
		// What is kept of each feature grows with the file; the garbage need not
		// grow as much.
		defer debug.SetGCPercent(debug.SetGCPercent(40))
		defer r.close()
		if err := r.read(cmd.Context(), names...); err != nil {
			return err
		}
		if against != "" {
			if err := r.readKnown(cmd.Context(), against); err != nil {
				return err
			}
		}
		if err := r.compare(cmd.Context()); err != nil {
			return err
		}
		if err := printAll(a, *format, form[*feature]{
			shape: func(f *feature) any {
				row := *f
				row.Problems = append(slices.Clip(f.Problems), f.in.problems...)
				return row
			},
			text: func(f *feature) string { return f.text(all) },
		}, r.features); err != nil {
			return err
		}
		return r.summarise()
	}
	return cmd
}

// party is what a feature conflicts with: a feature of the files, by file, line and
// index, or a source that was checked against.
type party struct {
	ID    string `json:"id,omitempty"` // SSID
	AltID string `json:"alt_id,omitempty"`
	File  string `json:"file,omitempty"`
	Line  int32  `json:"line,omitempty"`
	Index *int32 `json:"index,omitempty"`

	feature *feature
}

// compare finds conflicts among the features, and with known sources.
func (r *reading) compare(ctx context.Context) error {
	stored := len(r.known.others)
	all := slices.Clone(r.known.others)
	for _, f := range r.features {
		if f.entry != nil {
			all = append(all, f)
		}
	}
	batch := ledger.Batch{
		Entries: make([]ledger.Entry, len(all)), Stored: stored,
		Load: func(i int) (*ledger.Shape, error) { return all[i].shape() },
	}
	for i, f := range all {
		batch.Entries[i], f.entry = *f.entry, nil
	}
	verdicts, err := batch.Judge(ctx)
	for i, v := range verdicts {
		f := all[stored+i]
		f.Problems = append(f.Problems, r.options.Rules.Apply(v.Problems)...)
		if f.Problems.Invalid() {
			f.refuse()
		}
		f.Conflict, f.Overlap = v.Conflict(), v.PercentOverlap
		for _, k := range v.With {
			if other := all[k]; k < stored {
				f.With = append(f.With, party{ID: other.Registered, AltID: other.AltID})
			} else {
				f.With = append(f.With, party{AltID: other.AltID, File: other.File, Line: other.Line, Index: &other.Index, feature: other})
			}
		}
	}
	return err
}

// summarise says what the features come to, and fails where there is something to
// find.
func (r *reading) summarise() error {
	var invalid, warned, conflicts, registered int
	area, countries := 0.0, map[nullable]bool{}
	for _, f := range r.features {
		switch {
		case !f.Valid:
			invalid++
		case len(f.Problems)+len(f.in.problems) > 0:
			warned++
		}
		if f.Conflict {
			conflicts++
		}
		if f.Registered != "" {
			registered++
		}
		if f.Valid {
			area += *f.Hectares
			countries[f.Country] = true
		}
	}
	for _, in := range r.inputs {
		if in.ended != nil && in.ended.Rest {
			r.app.say("the reading of %s ended in line %d, and the rest was not looked at", in.Name, in.ended.Line)
		}
	}
	delete(countries, "") // none
	text := plural(len(r.features), "feature", "features")
	if r.known.from != "" {
		text += fmt.Sprintf(", checked against %d", r.known.count)
	}
	text += fmt.Sprintf(": %d invalid, %d with warnings only, %d in conflict", invalid, warned, conflicts)
	if registered > 0 {
		text += fmt.Sprintf(", %d registered already", registered)
	}
	r.app.say("%s; %.2f hectares, %s", text, area, plural(len(countries), "country", "countries"))
	switch {
	case invalid > 0:
		return silent(exitInvalid)
	case conflicts > 0:
		return silent(exitConflict)
	case r.known.count == 0 && len(r.known.left) > 0:
		return errors.New("nothing could be compared: none of the sources to check against has a boundary")
	}
	return nil
}

// name is a feature's id, or its place where it has none.
func (f *feature) name() string { return nameOrPlace(f.AltID, int(f.Index)) }

func nameOrPlace(altID string, index int) string {
	return printable(cmp.Or(altID, fmt.Sprintf("feature %d", index)))
}

// text is a feature for people: a line, where there is something to say or all are
// wanted, and one below it for each thing that is wrong. What is wrong with all of a
// file stands before its first feature.
func (f *feature) text(all bool) string {
	var b strings.Builder
	if f.Index == 0 {
		for _, p := range f.in.problems {
			fmt.Fprintf(&b, "%s: all features: %s\n", f.File, problemText(p))
		}
	}
	if !all && len(f.Problems) == 0 && !f.Conflict && f.Registered == "" {
		return b.String()
	}
	state := "ok"
	switch {
	case !f.Valid:
		state = "invalid"
	case f.Conflict:
		state = "conflict"
	}
	fmt.Fprintf(&b, "%s:%d: %s: %s", f.File, f.Line, f.name(), state)
	if f.Registered != "" {
		b.WriteString(", registered already as " + printable(f.Registered))
	}
	if f.Valid {
		fmt.Fprintf(&b, ", %.4f ha, %s", *f.Hectares, printable(string(cmp.Or(f.Country, "no country"))))
	}
	b.WriteByte('\n')
	for _, p := range f.Problems {
		b.WriteString("  " + problemText(p) + "\n")
	}
	if f.Conflict {
		var others []string
		for _, other := range f.With {
			name := printable(nameOf(other.ID, other.AltID))
			if other.File != "" {
				name += fmt.Sprintf(" (%s:%d)", other.File, other.Line)
			}
			others = append(others, name)
		}
		b.WriteString("  conflicts with " + strings.Join(others, ", "))
		if f.Overlap != nil {
			fmt.Fprintf(&b, ", %.2f%% covered", 100**f.Overlap)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
