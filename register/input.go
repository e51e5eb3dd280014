package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// ErrInput says that the input cannot be read as GeoJSON. Nothing was sent.
var ErrInput = fields.ErrInput

// input is what is registered.
type input struct {
	*fields.File
	judge    *fields.Judge
	problems ledger.Problems // of all features
}

// feature is a feature as it is to be sent, read again.
type feature struct {
	raw      []byte
	geometry json.RawMessage
	shape    *ledger.Shape
}

// readInput reads the whole input and judges it on all cores.
func (j *Job) readInput(ctx context.Context) error {
	judge, err := fields.NewJudge(fields.Options{IDProperty: j.IDProperty, Start: j.StartProperty, End: j.EndProperty, Rules: j.Rules})
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	file, err := fields.Open(ctx, j.Input, j.Stdin)
	if err != nil {
		return err
	}
	j.input = &input{File: file, judge: judge}
	j.index = index{byName: map[uint64]int32{}, seed: maphash.MakeSeed(), warned: map[ledger.Rule]int{}}
	j.progress(Progress{Stage: StageReading})
	type item struct {
		fields.Judged
		entry entry
	}
	err = fields.Map(ctx, file, func(read fields.Item) item {
		it := item{Judged: judge.Item(read)}
		it.entry = entry{place: placeOf(read), text: maphash.Bytes(j.seed, read.Raw), period: it.Period}
		if it.Shape != nil {
			it.entry.form, it.entry.box = fields.FormOf(it.Shape), boxOf(it.Shape)
		}
		return it
	}, func(_ fields.Item, it item) error {
		j.add(it.entry, &it.Judged)
		if len(j.entries)%1000 == 0 {
			j.progress(Progress{Stage: StageReading, Done: len(j.entries)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	shared, problems := fields.Share(file, j.Attributes, j.Rules)
	for _, p := range problems {
		if p.Severity == ledger.Warning {
			j.notice("%s", p)
		}
	}
	j.Attributes = shared
	if j.attributes, j.asked, err = attributesOf(shared); err != nil {
		return err
	}
	j.input.problems = append(file.Problems(j.Rules), problems...)
	if j.input.problems.Invalid() {
		for i := range j.entries {
			j.entries[i].state = Invalid
		}
	}
	if len(j.names) > 1<<32-1 {
		return fmt.Errorf("%s has more ids than this program can hold", file.Name)
	}
	j.judgeTwins()
	if err := judge.Missing(); err != nil {
		j.notice("%v", err)
	}
	return nil
}

// readAgain reads the text of a feature again.
func (j *Job) readAgain(i int) ([]byte, error) {
	e := &j.entries[i]
	raw, err := j.input.At(fields.Place{Offset: e.place.offset, Length: e.place.length})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInputChanged, err)
	}
	if maphash.Bytes(j.seed, raw) != e.text {
		return nil, fmt.Errorf("%w: line %d is not what it was", ErrInputChanged, e.place.line)
	}
	return raw, nil
}

// load reads a valid feature again, to send or to compare it. It may be called
// from many goroutines.
func (j *Job) load(i int) (f feature, err error) {
	if f.raw, err = j.readAgain(i); err != nil {
		return f, err
	}
	f.geometry = fields.GeometryOf(fields.Item{Kind: j.entries[i].place.kind, Raw: f.raw})
	f.shape, err = ledger.ParseGeometry(f.geometry)
	return f, err
}

// flawOf says why a feature is invalid. The reasons are not kept: it is read
// and judged again.
func (j *Job) flawOf(i int) string {
	e := &j.entries[i]
	if e.twin > 0 {
		return fmt.Sprintf("the feature in line %d has the same id and period, and the same boundary", j.entries[e.twin-1].place.line)
	}
	item := fields.Item{Place: fields.Place{Index: i}, Kind: e.place.kind}
	if item.Raw, item.Err = j.readAgain(i); e.place.length == 0 {
		item.Err = errors.New("it cannot be read")
	}
	f := j.input.judge.Item(item)
	problems := append(slices.Clone(f.Problems), j.input.problems...)
	var list []string
	for _, p := range problems {
		if p.Severity == ledger.Error {
			list = append(list, p.String())
		}
	}
	if len(list) == 0 {
		list = append(list, "another feature has the same id and period, and another boundary")
	}
	return strings.Join(list, "; ")
}

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
