package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// reading is files of fields that are read and judged, for check, report and create.
type reading struct {
	app      *app
	options  fields.Options
	given    api.SourceCreateFeatures               // attributes, over those of the files
	keep     func(fields.Item, fields.Judged) error // is handed each feature; may be nil
	inputs   []*input
	features []*feature   // of all files, in their order
	known    knownSources // to check against
}

// input is one of the files.
type input struct {
	*fields.File
	attributes api.SourceCreateFeatures // what its sources share
	problems   ledger.Problems          // of all its features
	ended      *fields.InputError       // why the rest was not looked at
}

// feature is what is kept of a feature, and what check says of it with -o json. Its
// geometry is read again where it is needed.
type feature struct {
	File       string          `json:"file"`
	Line       int32           `json:"line"`  // from 1
	Index      int32           `json:"index"` // among the file's features, from 0
	AltID      string          `json:"alt_id"`
	Valid      bool            `json:"valid"`
	Problems   ledger.Problems `json:"problems"`
	Hectares   *float64        `json:"hectares"`             // null where it is not valid
	Country    nullable        `json:"country"`              // null where it lies in none
	Registered string          `json:"registered,omitempty"` // the SSID that it has already
	Conflict   bool            `json:"conflict"`
	With       []party         `json:"conflict_with"`
	Overlap    *float64        `json:"percent_overlap"` // 0 to 1

	in     *input
	entry  *ledger.Entry // of what may conflict
	offset int64
	length int32
	kind   fields.Kind
}

// nullable is a text that is null in JSON where it is empty.
type nullable string

func (n nullable) MarshalJSON() ([]byte, error) {
	if n == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(n))
}

// read reads files. Where one cannot be read to its end, one more feature tells of
// that.
func (r *reading) read(ctx context.Context, names ...string) error {
	if i := slices.Index(names, "-"); i >= 0 && slices.Contains(names[i+1:], "-") {
		return errors.New("stdin is named twice")
	}
	for _, name := range names {
		if err := r.readFile(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) readFile(ctx context.Context, name string) error {
	rules := r.options.Rules
	judge, err := fields.NewJudge(r.options)
	if err != nil {
		return err
	}
	file, err := fields.Open(ctx, name, r.app.stdin)
	if err != nil {
		return err
	}
	in := &input{File: file}
	r.inputs = append(r.inputs, in)
	type judged struct {
		fields.Judged
		feature *feature
		form    fields.Form
	}
	judgeOne := func(item fields.Item) judged {
		j := judge.Item(item)
		return judged{j, in.featureOf(item, j, rules.Countries), fields.FormOf(j.Shape)}
	}
	var features []*feature
	var repeats fields.Repeats
	err = fields.Map(ctx, file, judgeOne, func(item fields.Item, j judged) error {
		repeats.Add(item.Place, &j.Judged, j.form)
		features = append(features, j.feature)
		if r.keep != nil {
			return r.keep(item, j.Judged)
		}
		return nil
	})
	if err != nil && !errors.As(err, &in.ended) {
		return unreadable(file, err)
	}
	for i, problems := range repeats.Problems(rules) {
		features[i].Problems = append(features[i].Problems, problems...)
	}
	if in.ended != nil {
		end := fields.Item{Place: fields.Place{Line: max(in.ended.Line, 1), Index: len(features)}, Err: in.ended}
		features = append(features, judgeOne(end).feature)
	}
	if len(features) > 0 {
		in.attributes, in.problems = fields.Share(file, r.given, rules)
		in.problems = append(file.Problems(rules), in.problems...)
	}
	for _, f := range features {
		r.features = append(r.features, f)
		if f.Problems.Invalid() || in.problems.Invalid() {
			f.refuse()
		}
	}
	if missing := judge.Missing(); missing != nil {
		r.app.say("%s: %s", file.Name, printable(missing.Error()))
	}
	return nil
}

func (r *reading) close() {
	for _, in := range r.inputs {
		in.Close()
	}
}

// featureOf is what is kept of what was read and judged. Without a table of
// countries nothing is measured: nobody compares it.
func (in *input) featureOf(item fields.Item, j fields.Judged, countries *ledger.Countries) *feature {
	f := &feature{
		File: in.Name, Line: int32(item.Line), Index: int32(item.Index), AltID: j.AltID, Valid: true, Hectares: new(float64),
		Problems: append(ledger.Problems{}, j.Problems...), With: []party{}, in: in, offset: item.Offset, length: item.Length, kind: item.Kind,
	}
	if j.Shape == nil || countries == nil {
		return f
	}
	country := countries.Of(j.Shape)
	if f.Country = nullable(country); j.Invalid() {
		return f
	}
	*f.Hectares = j.Shape.Hectares()
	if item.Kind != fields.Geometry {
		f.entry = new(ledger.EntryOf(ledger.Source{Shape: j.Shape, Period: j.Period, Country: country}))
	}
	return f
}

// refuse makes a feature invalid.
func (f *feature) refuse() { f.Valid, f.Hectares, f.entry = false, nil, nil }

// unreadable says which file could not be read, with the exit code that is due.
func unreadable(file *fields.File, err error) error {
	if errors.Is(err, fields.ErrInput) { // it names the file
		return withCode(exitInvalid, err)
	}
	return fmt.Errorf("%s: %w", file.Name, err)
}

// shape reads the shape of a feature again.
func (f *feature) shape() (*ledger.Shape, error) {
	raw, err := f.in.At(fields.Place{Offset: f.offset, Length: f.length})
	if err != nil {
		return nil, err
	}
	shape, err := ledger.ParseGeometry(fields.GeometryOf(fields.Item{Kind: f.kind, Raw: raw}))
	if err != nil {
		return nil, fmt.Errorf("%s changed while it was checked: %w", f.File, err)
	}
	return shape, nil
}

func problemText(p ledger.Problem) string {
	text := printable(p.String())
	if p.Advice != "" {
		text += "; " + printable(p.Advice)
	}
	return text
}
