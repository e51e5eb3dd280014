package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/internal/features"
	"github.com/meti-go/meti/ledger"
)

func (a *app) checkCommand() *cobra.Command {
	var format, against, countries string
	var strict bool
	cmd := &cobra.Command{
		Use:   "check FILE…",
		Short: "Tell what METI would say of a file, before anything is sent",
		Long: `check reads GeoJSON (a FeatureCollection, Features, geometries, one after
another or newline-delimited; - for stdin) of any size and reports for each
feature, offline and by the ledger's own rules: all that is wrong with it, its
hectares, its country, and what it would conflict with once all of them were
registered in their order. Nothing is changed and nothing is sent.

What METI's database refuses is an error; what the API may refuse beyond that is
a warning, and an error with --strict. A bare geometry has no id and no period:
it is judged alone. --against also looks for conflicts with the sources of your
account (it asks METI for them), or with those in a file: GeoJSON, or what
"meti sources list" printed. METI also knows other custodians' sources; only
registering tells of those.

It ends with 6 when a feature is invalid, else with 7 when one conflicts.`,
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"text", "json"}, format) {
				return usage(cmd, fmt.Errorf("--output is %q, neither text nor json", format))
			}
			table, err := countryTable(countries)
			if err != nil {
				return err
			}
			c := &checking{app: a, rules: ledger.Rules{Strict: strict, Countries: table}}
			defer c.close()
			return c.run(cmd.Context(), args, against, format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	cmd.Flags().BoolVar(&strict, "strict", false, "make every warning an error")
	cmd.Flags().StringVar(&against, "against", "", `also look for conflicts with these sources: "account", or a file`)
	cmd.Flags().StringVar(&countries, "countries", "", "GeoJSON file of countries, property \"name\", in place of the built-in table")
	return cmd
}

// checking is one run of check. It keeps a few hundred bytes of each feature;
// geometry is read again where it is needed.
type checking struct {
	app        *app
	rules      ledger.Rules
	inputs     []*input
	found      []finding
	batch      ledger.Batch
	candidates []int32       // the batch's, as places in found
	known      []knownSource // what the batch calls stored
	shapes     *spool        // theirs
}

// finding is what is kept of a feature.
type finding struct {
	input    int32
	index    int32
	line     int32
	entry    int32 // in the batch; -1 if it is not there
	offset   int64
	length   int32
	refused  bool // it has an error
	noted    bool // it has a problem, error or warning
	bare     bool // a geometry, not a Feature
	altID    string
	country  string
	hectares float64
	err      error // it could not be read at all
}

// knownSource is what is kept of a source to check against.
type knownSource struct {
	id, altID string
	place     place
}

func (c *checking) close() {
	for _, in := range c.inputs {
		in.close()
	}
	if c.shapes != nil {
		c.shapes.close()
	}
}

func (c *checking) run(ctx context.Context, names []string, against, format string) error {
	if i := slices.Index(names, "-"); i >= 0 && slices.Contains(names[i+1:], "-") {
		return errors.New("stdin is named twice")
	}
	for _, name := range names {
		if err := c.scan(ctx, name); err != nil {
			return err
		}
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
	return c.report(verdicts, format)
}

// judged is a feature's judgement, while it is on its way into a finding.
type judged struct {
	feature  ledger.Feature
	problems ledger.Problems
	entry    *ledger.Entry
	country  string
	hectares float64
}

// judge judges one feature or bare geometry.
func (c *checking) judge(item features.Item) (j judged) {
	if bare(item.Type) {
		j.feature.Shape, j.problems = ledger.CheckGeometry(item.Raw)
		j.problems = c.rules.Apply(j.problems)
	} else {
		j.feature, j.problems = ledger.ParseFeature(item.Raw, c.rules)
	}
	if j.feature.Shape == nil {
		return j
	}
	j.country = c.rules.Countries.Of(j.feature.Shape)
	if !j.problems.Invalid() {
		j.hectares = j.feature.Shape.Hectares()
		if !bare(item.Type) {
			entry := ledger.EntryOf(ledger.Source{Shape: j.feature.Shape, Period: j.feature.Period, Country: j.country})
			j.entry = &entry
		}
	}
	return j
}

// bare reports whether that is the type of a geometry.
func bare(kind string) bool {
	switch kind {
	case "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection":
		return true
	}
	return false
}

// scan judges the features of one input.
func (c *checking) scan(ctx context.Context, name string) error {
	in, err := c.app.openInput(name)
	if err != nil {
		return err
	}
	c.inputs = append(c.inputs, in)
	reader := features.NewReader(in.reader)
	reader.Member = func(member string, value []byte) { c.app.warnOfCRS(in.name, member, value) }
	number := int32(len(c.inputs) - 1)
	return inParallel(ctx, reader.All(), c.judge, func(item features.Item, j judged, err error) error {
		var unreadable *features.Error
		if errors.As(err, &unreadable) && in.failure() == nil {
			c.found = append(c.found, finding{
				input: number, index: int32(unreadable.Index), line: int32(unreadable.Line),
				entry: -1, refused: true, noted: true, err: unreadable.Err,
			})
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
		f := finding{
			input: number, index: int32(item.Index), line: int32(item.Line), entry: -1,
			offset: item.Offset, length: int32(len(item.Raw)),
			refused: j.problems.Invalid(), noted: len(j.problems) > 0, bare: bare(item.Type),
			altID: j.feature.AltID, country: j.country, hectares: j.hectares,
		}
		if j.entry != nil {
			f.entry = int32(c.batch.Add(*j.entry))
			c.candidates = append(c.candidates, int32(len(c.found)))
		}
		c.found = append(c.found, f)
		return nil
	})
}

// warnOfCRS tells of a collection that says its coordinates are not WGS84.
func (a *app) warnOfCRS(file, member string, value []byte) {
	if member != "crs" || string(value) == "null" {
		return
	}
	for _, same := range []string{"CRS84", "4326", "WGS 84", "WGS84"} {
		if strings.Contains(string(value), same) {
			return
		}
	}
	a.say("warning: %s names a coordinate system of its own, %s; METI reads all coordinates as WGS84 degrees",
		file, printable(string(value[:min(len(value), 200)])))
}

// shape reads a shape again, for the batch.
func (c *checking) shape(ref ledger.Ref) (*ledger.Shape, error) {
	if ref.Stored {
		wkb, err := c.shapes.read(c.known[ref.Index].place)
		if err != nil {
			return nil, err
		}
		return ledger.ShapeFromBinary(wkb)
	}
	f := c.found[c.candidates[ref.Index]]
	raw, err := c.raw(f)
	if err != nil {
		return nil, err
	}
	var feature struct {
		Geometry json.RawMessage `json:"geometry"`
	}
	if err = json.Unmarshal(raw, &feature); err == nil {
		var shape *ledger.Shape
		if shape, err = ledger.ParseGeometry(feature.Geometry); err == nil {
			return shape, nil
		}
	}
	return nil, fmt.Errorf("%s changed while it was checked: %w", c.inputs[f.input].name, err)
}

// raw reads a feature's text again.
func (c *checking) raw(f finding) ([]byte, error) {
	raw := make([]byte, f.length)
	in := c.inputs[f.input]
	if _, err := in.file.ReadAt(raw, f.offset); err != nil {
		return nil, fmt.Errorf("reading %s again: %w", in.name, err)
	}
	return raw, nil
}
