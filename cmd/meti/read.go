package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// input is a file that was read, and whose features were judged: by one function
// for check, report and create.
type input struct {
	*fields.File
	features   []feature
	attributes api.SourceCreateFeatures // what its sources share
	problems   ledger.Problems          // of all features
	ended      *fields.InputError       // why the rest was not looked at
}

// feature is what is kept of a feature: a hundred bytes. Its geometry is read again
// where it is needed.
type feature struct {
	in         *input
	offset     int64
	length     int32
	line       int32 // from 1
	index      int32 // among those of its file, from 0
	number     int32 // among those of all files, from 0
	kind       fields.Kind
	invalid    bool
	altID      string
	problems   ledger.Problems // its own
	country    string
	hectares   float64
	entry      *ledger.Entry   // of what may conflict, until all of them are compared
	registered *known          // what it is already
	verdict    *ledger.Verdict // of what was compared
}

// read reads and judges a file. Each feature is handed to keep, which may be nil.
// Where the file cannot be read to its end, one more feature tells of that.
func (a *app) read(ctx context.Context, name string, o fields.Options, given api.SourceCreateFeatures, keep func(fields.Item, fields.Judged) error) (*input, error) {
	judge, err := fields.NewJudge(o)
	if err != nil {
		return nil, err
	}
	file, err := fields.Open(ctx, name, a.stdin)
	if err != nil {
		return nil, err
	}
	in := &input{File: file}
	type judged struct {
		fields.Judged
		feature feature
		form    fields.Form
	}
	judgeOne := func(item fields.Item) judged {
		j := judge.Item(item)
		return judged{j, in.featureOf(item, j, o.Rules.Countries), fields.FormOf(j.Shape)}
	}
	var repeats fields.Repeats
	mapped := false // a feature has what the flags name, or should have it
	err = fields.Map(ctx, file, judgeOne, func(item fields.Item, j judged) error {
		repeats.Add(item.Place, &j.Judged, j.form)
		in.features = append(in.features, j.feature)
		mapped = mapped || item.Err == nil && (item.Kind == fields.Feature || item.Kind == fields.Geometry && !o.Bare)
		if keep != nil {
			return keep(item, j.Judged)
		}
		return nil
	})
	if err != nil && !errors.As(err, &in.ended) {
		file.Close()
		return nil, unreadable(file, err)
	}
	for i, problems := range repeats.Problems(o.Rules) {
		in.features[i].problems = append(in.features[i].problems, problems...)
	}
	if in.ended != nil {
		end := fields.Item{Place: fields.Place{Line: max(in.ended.Line, 1), Index: len(in.features)}, Err: in.ended}
		in.features = append(in.features, judgeOne(end).feature)
	}
	if len(in.features) > 0 {
		in.attributes, in.problems = fields.Share(file, given, o.Rules)
		in.problems = append(file.Problems(o.Rules), in.problems...)
	}
	for i := range in.features {
		if f := &in.features[i]; f.problems.Invalid() || in.problems.Invalid() {
			f.invalid, f.entry = true, nil
		}
	}
	if missing := judge.Missing(); missing != nil && mapped {
		a.say("%s: %s", file.Name, printable(missing.Error()))
	}
	return in, nil
}

// featureOf is what is kept of what was read and judged. Without a table of
// countries nothing is measured: nobody compares it.
func (in *input) featureOf(item fields.Item, j fields.Judged, countries *ledger.Countries) feature {
	f := feature{
		in: in, offset: item.Offset, length: item.Length, line: int32(item.Line), index: int32(item.Index),
		kind: item.Kind, altID: j.AltID, problems: j.Problems,
	}
	if j.Shape == nil || countries == nil {
		return f
	}
	f.country = countries.Of(j.Shape)
	if j.Invalid() {
		return f
	}
	f.hectares = j.Shape.Hectares()
	if item.Kind != fields.Geometry {
		f.entry = new(ledger.EntryOf(ledger.Source{Shape: j.Shape, Period: j.Period, Country: f.country}))
	}
	return f
}

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
		return nil, fmt.Errorf("%s changed while it was checked: %w", f.in.Name, err)
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
