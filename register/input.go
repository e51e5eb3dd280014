package register

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"strings"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// ErrInput says that the input cannot be read as GeoJSON. Nothing was sent.
var ErrInput = fields.ErrInput

// entry is what is kept of a feature: some hundred bytes, not its geometry.
// Behind those of the input stand former ones, that the journal has and the input
// has no more, but others of their group.
type entry struct {
	altID  string
	period ledger.Period
	form   fields.Form
	box    box
	text   uint64 // a hash of what was read
	offset int64
	length int32
	line   int32
	next   int32 // another valid entry of the same alt_id, -1 for none
	source int32 // what METI has of it, in Job.sources; -1 for nothing
	known  int32 // what the journal has of it, likewise
	kind   fields.Kind

	state  State
	before State // what it was when it was sent
	last   bool  // METI refused it before: it is tried after all others, alone
	await  bool  // it is looked for, and not sent before it was
	edited bool  // it has another period than the journal has it with
}

// maxName is where an alt_id is cut off: METI takes 49 characters, and a longer
// one is invalid.
const maxName = 255

// readInput reads the whole input and judges it on all cores.
func (j *Job) readInput(ctx context.Context) error {
	judge, err := fields.NewJudge(fields.Options{IDProperty: j.IDProperty, Start: j.StartProperty, End: j.EndProperty, Rules: j.Rules})
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if j.input, err = fields.Open(ctx, j.Input, j.Stdin); err != nil {
		return err
	}
	j.progress(Progress{Stage: StageReading})
	type item struct {
		entry
		fields.Judged
	}
	var repeats fields.Repeats
	err = fields.Map(ctx, j.input, func(read fields.Item) item {
		f := judge.Item(read)
		e := entry{
			altID: strings.Clone(f.AltID[:min(len(f.AltID), maxName)]), period: f.Period, kind: read.Kind,
			text: maphash.Bytes(j.seed, read.Raw), offset: read.Offset, length: read.Length, line: int32(read.Line),
			next: -1, source: -1, known: -1,
		}
		if f.Shape != nil {
			e.form, e.box = fields.FormOf(f.Shape), boxOf(f.Shape)
		}
		if !f.Invalid() {
			e.state = New
		}
		return item{e, f}
	}, func(read fields.Item, it item) error {
		repeats.Add(read.Place, &it.Judged, it.form)
		j.note(j.add(it.entry), it.Problems)
		if n := len(j.entries); n%1000 == 0 {
			j.progress(Progress{Stage: StageReading, Done: n})
		}
		return nil
	})
	if err != nil {
		return err
	}
	j.features = len(j.entries)
	j.entries = slices.Clone(j.entries) // growing took more room
	var problems ledger.Problems
	j.Attributes, problems = fields.Share(j.input, j.Attributes, j.Rules)
	for _, p := range problems {
		if p.Severity == ledger.Warning {
			j.notice("%s", p)
		}
	}
	if err := j.askFor(j.Attributes); err != nil {
		return err
	}
	problems = append(j.input.Problems(j.Rules), problems...)
	repeated := repeats.Problems(j.Rules)
	for i := range j.entries {
		if problems.Invalid() {
			j.note(i, problems)
		}
		if j.entries[i].state != Invalid {
			// Of two that say the same nobody could tell which is which.
			j.note(i, repeated[i])
		}
	}
	if err := judge.Missing(); err != nil {
		j.notice("%v", err)
	}
	return nil
}

// add takes one more entry, and gives its place.
func (j *Job) add(e entry) int {
	i := len(j.entries)
	if e.state != Invalid {
		if other, ok := j.byName[e.altID]; ok {
			e.next = other
		}
		j.byName[e.altID] = int32(i)
	}
	j.entries = append(j.entries, e)
	return i
}

// where gives the entries of which something holds.
func (j *Job) where(is func(int, *entry) bool) (list []int) {
	for i := range j.entries {
		if is(i, &j.entries[i]) {
			list = append(list, i)
		}
	}
	return list
}

// group gives the valid entries of an alt_id whose period is within a day, the
// former ones first.
func (j *Job) group(altID string, period ledger.Period) iter.Seq[int] {
	return func(yield func(int) bool) {
		i, ok := j.byName[altID]
		for ; ok && i >= 0; i = j.entries[i].next {
			if e := &j.entries[i]; e.state != Invalid && together(e.period, period) && !yield(int(i)) {
				return
			}
		}
	}
}

// former reports whether an entry is none of the input's.
func (j *Job) former(i int) bool { return i >= j.features }

// note counts what the rules warn of, and makes an entry invalid where there are
// errors among its problems.
func (j *Job) note(i int, problems ledger.Problems) {
	warned := map[ledger.Rule]bool{}
	for _, p := range problems {
		switch {
		case p.Severity == ledger.Error:
			e, before := &j.entries[i], j.reasons[i]
			if e.state = Invalid; before == "" && e.altID == "" {
				before = fmt.Sprintf("feature %d in line %d", i, e.line)
			}
			j.reasons[i] = strings.Trim(before+"; "+clip(strings.Trim(p.String()+"; "+p.Advice, "; "), 500), "; ")
		case !warned[p.Rule]:
			warned[p.Rule] = true
			j.warned[string(p.Rule)]++
		}
	}
}

// feature reads the text of a feature again.
func (j *Job) feature(i int) (json.RawMessage, error) {
	e := &j.entries[i]
	raw, err := j.input.At(fields.Place{Offset: e.offset, Length: e.length})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInputChanged, err)
	}
	if maphash.Bytes(j.seed, raw) != e.text {
		return nil, fmt.Errorf("%w: line %d is not what it was", ErrInputChanged, e.line)
	}
	return raw, nil
}

// geometry reads the boundary of a valid feature again, and shape what it is.
// They may be called from many goroutines.
func (j *Job) geometry(i int) (json.RawMessage, error) {
	raw, err := j.feature(i)
	return fields.GeometryOf(fields.Item{Kind: j.entries[i].kind, Raw: raw}), err
}

func (j *Job) shape(i int) (*ledger.Shape, error) {
	geometry, err := j.geometry(i)
	if err != nil {
		return nil, err
	}
	return ledger.ParseGeometry(geometry)
}

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
