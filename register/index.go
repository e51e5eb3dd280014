package register

import (
	"context"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"

	"github.com/meti-go/meti/ledger"
)

// state is where a feature stands.
type state uint8

const (
	pending    state = iota
	invalid          // the ledger's rules refuse it, or its id is missing or taken
	sent             // its request is under way
	lost             // it was sent, and the answer was lost
	registered       // by this journal
	standing         // there is one already, and nothing says what to do about it
	existed          // there was one already, and it is left out
	refused          // by METI, for good
)

// entry is what is kept of a feature: some eighty bytes, not its geometry.
type entry struct {
	offset    int64 // in the input
	line      int64 // of the journal, with its latest result or intent
	period    ledger.Period
	form      hash
	text      uint64 // a hash of what was read
	altAt     uint32 // in index.names
	length    int32  // in the input
	next      int32  // another entry of the same alt_id, -1 for none
	place     int32  // in the journal's line; for a duplicate, the entry that it repeats
	altLength uint16
	state     state
	flaw      flaw
	conflict  bool
}

// flaw is why an entry is invalid.
type flaw uint8

const (
	none flaw = iota
	unreadable
	missingID
	duplicate
	rules
)

// index is all features of the input, in its order.
type index struct {
	entries  []entry
	names    []byte           // the alt_ids, one after the other
	byName   map[uint64]int32 // the first entry of an alt_id's hash
	byID     map[hash]int32   // the entry of an identity
	seed     maphash.Seed
	missing  int // entries without an id
	repeated int // entries of an identity that is taken
	warned   map[ledger.Rule]int
}

func (x *index) altID(i int) string {
	e := &x.entries[i]
	return string(x.names[e.altAt : int(e.altAt)+int(e.altLength)])
}

// named gives the entries of an alt_id.
func (x *index) named(altID string) []int {
	var list []int
	i, ok := x.byName[maphash.String(x.seed, altID)]
	for ; ok && i >= 0; i = x.entries[i].next {
		if x.altID(int(i)) == altID {
			list = append(list, int(i))
		}
	}
	return list
}

func (x *index) identity(i int) hash {
	e := &x.entries[i]
	return identityOf(x.altID(i), e.period, e.form)
}

// maxName is where the index cuts an alt_id off: METI takes 49 characters, and
// a longer one is invalid.
const maxName = 256

// add takes the next feature of the input.
func (x *index) add(e entry, f feature, err error) {
	i := int32(len(x.entries))
	name := f.altID
	if len(name) > maxName {
		name = name[:maxName]
	}
	e.altAt, e.altLength, e.next = uint32(len(x.names)), uint16(len(name)), -1
	x.names = append(x.names, name...)
	e.period, e.form = f.period, f.form
	switch {
	case err != nil:
		e.state, e.flaw = invalid, unreadable
	case name == "":
		e.state, e.flaw = invalid, missingID
		x.missing++
	case !f.valid:
		e.state, e.flaw = invalid, rules
	default:
		if first, taken := x.byID[f.identity]; taken {
			e.state, e.flaw, e.place = invalid, duplicate, first
			x.repeated++
			break
		}
		x.byID[f.identity] = i
		key := maphash.String(x.seed, name)
		if first, ok := x.byName[key]; ok {
			e.next = first
		}
		x.byName[key] = i
	}
	for _, p := range f.problems {
		if p.Severity == ledger.Warning {
			x.warned[p.Rule]++
		}
	}
	x.entries = append(x.entries, e)
}

// readIndex reads the whole input, checking features on all cores.
func readIndex(ctx context.Context, in *input, m mapping, progress func(n int)) (*index, error) {
	x := &index{
		byName: map[uint64]int32{}, byID: map[hash]int32{},
		seed: maphash.MakeSeed(), warned: map[ledger.Rule]int{},
	}
	type item struct {
		entry entry
		raw   []byte
		f     feature
		err   error
	}
	type chunk struct {
		items []item
		size  int
		done  chan struct{}
	}
	var (
		cores   = runtime.GOMAXPROCS(0)
		work    = make(chan *chunk, cores)
		ordered = make(chan *chunk, 4*cores)
		readErr error
	)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		defer close(work)
		defer close(ordered)
		current := &chunk{done: make(chan struct{})}
		flush := func() error {
			for _, to := range []chan *chunk{ordered, work} {
				select {
				case to <- current:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			current = &chunk{done: make(chan struct{})}
			return nil
		}
		readErr = in.each(func(offset int64, raw []byte) error {
			current.items = append(current.items, item{
				entry: entry{offset: offset, length: int32(len(raw)), text: maphash.Bytes(x.seed, raw)},
				raw:   slices.Clone(raw),
			})
			current.size += len(raw)
			if len(current.items) < 64 && current.size < 1<<20 {
				return ctx.Err()
			}
			return flush()
		})
		if readErr == nil {
			readErr = flush()
		}
	})
	for range cores {
		running.Go(func() {
			for c := range work {
				for i := range c.items {
					it := &c.items[i]
					it.f, it.err = m.read(it.raw)
					it.raw = nil
					it.f.shape, it.f.outline, it.f.geometry = nil, nil, nil
				}
				close(c.done)
			}
		})
	}
	for c := range ordered {
		select {
		case <-c.done:
		case <-ctx.Done():
			continue
		}
		for _, it := range c.items {
			x.add(it.entry, it.f, it.err)
		}
		progress(len(x.entries))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if readErr != nil {
		return nil, readErr
	}
	if len(x.names) > 1<<32-1 {
		return nil, fmt.Errorf("%s has more ids than this program can hold", in.name)
	}
	return x, nil
}
