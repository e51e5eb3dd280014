package register

import (
	"fmt"
	"hash/maphash"
	"iter"
	"time"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// entry is what is kept of a feature: a hundred bytes, not its geometry.
type entry struct {
	place  place
	period ledger.Period
	form   fields.Form
	text   uint64 // a hash of what was read
	box    box4
	name   uint32 // in index.names
	next   int32  // another entry of the same alt_id, -1 for none
	source int32  // what METI has of it, in account.sources; -1 for nothing
	known  int32  // what the journal has of it, in knowledge.mapped; -1 for nothing
	twin   int32  // one more than an entry that has the same identity; both are invalid
	length uint8  // of the name

	state  State
	before State // what it was when it was chosen to be sent
	send   bool  // it is to be sent, or is under way
	last   bool  // METI refused it before: it is tried after all others, alone
}

// place is where a feature stands in the input.
type place struct {
	offset int64
	length int32
	line   int32
	kind   fields.Kind
}

func placeOf(item fields.Item) place {
	return place{item.Offset, item.Length, int32(item.Line), item.Kind}
}

// index is all features of the input, in its order.
type index struct {
	entries []entry
	names   []byte           // the alt_ids, one after the other
	byName  map[uint64]int32 // the last entry of an alt_id's hash
	seed    maphash.Seed
	warned  map[ledger.Rule]int // features
}

func (x *index) altID(i int) string {
	e := &x.entries[i]
	return string(x.names[e.name : int(e.name)+int(e.length)])
}

func (x *index) key(altID string) uint64 { return maphash.String(x.seed, altID) }

// named gives the valid entries of an alt_id.
func (x *index) named(altID string) iter.Seq[int] {
	return func(yield func(int) bool) {
		i, ok := x.byName[x.key(altID)]
		for ; ok && i >= 0; i = x.entries[i].next {
			if x.altID(int(i)) == altID && !yield(int(i)) {
				return
			}
		}
	}
}

// day is how far the periods of one group may be apart: a server may write
// midnight of another time zone.
const day = 24 * time.Hour

// together reports whether two periods are those of one group.
func together(a, b ledger.Period) bool { return near(a.Start, b.Start) && near(a.End, b.End) }

func near(a, b ledger.Time) bool { return a.Std().Sub(b.Std()).Abs() <= day }

// group gives the valid entries of an alt_id whose period is within a day.
func (x *index) group(altID string, period ledger.Period) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range x.named(altID) {
			if together(x.entries[i].period, period) && !yield(i) {
				return
			}
		}
	}
}

// live is group without what is invalid.
func (x *index) live(altID string, period ledger.Period) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range x.group(altID, period) {
			if x.entries[i].state != Invalid && !yield(i) {
				return
			}
		}
	}
}

func identityOf(altID string, period ledger.Period, form fields.Form) hash {
	return sum(fmt.Appendf(nil, "%d %d %x %s", period.Start, period.End, form, altID))
}

func (x *index) identity(i int) hash {
	e := &x.entries[i]
	return identityOf(x.altID(i), e.period, e.form)
}

// maxName is where the index cuts an alt_id off: METI takes 49 characters, and
// a longer one is invalid.
const maxName = 255

// add takes the next feature of the input.
func (x *index) add(e entry, f *fields.Judged) {
	i := len(x.entries)
	name := f.AltID
	if len(name) > maxName {
		name = name[:maxName]
	}
	e.name, e.length = uint32(len(x.names)), uint8(len(name))
	e.next, e.source, e.known = -1, -1, -1
	x.names = append(x.names, name...)
	if !f.Invalid() {
		e.state = New
	}
	x.entries = append(x.entries, e)
	warned := map[ledger.Rule]bool{}
	for _, p := range f.Problems {
		if p.Severity == ledger.Warning && !warned[p.Rule] {
			warned[p.Rule] = true
			x.warned[p.Rule]++
		}
	}
	if e.state == Invalid {
		return
	}
	key := x.key(name)
	if first, ok := x.byName[key]; ok {
		x.entries[i].next = first
	}
	x.byName[key] = int32(i)
}

// judgeTwins finds the features that say the same as another one: they are
// invalid, for nobody could tell which is which. Those that differ in the
// boundary alone are as the rules want them.
func (j *Job) judgeTwins() {
	warning := ledger.Problems{ledger.NewProblem(ledger.RuleRepeatedAltID, "", "", "")}
	strict := j.Rules.Apply(warning).Invalid()
	var invalid []int
	for i := range j.entries {
		e := &j.entries[i]
		if e.state == Invalid {
			continue
		}
		others := false
		for k := e.next; k >= 0; k = j.entries[k].next { // those before it
			o := &j.entries[k]
			if o.period != e.period || j.altID(int(k)) != j.altID(i) {
				continue
			}
			if o.form != e.form {
				others = true
				if strict {
					invalid = append(invalid, i, int(k))
				}
				continue
			}
			e.twin, o.twin = k+1, int32(i)+1
			invalid = append(invalid, i, int(k))
		}
		if others && !strict {
			j.warned[ledger.RuleRepeatedAltID]++
		}
	}
	for _, i := range invalid {
		j.entries[i].state = Invalid
	}
}
