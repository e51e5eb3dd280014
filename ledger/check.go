package ledger

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/tidwall/rtree"
	"golang.org/x/sync/errgroup"
)

// Verdict is what the ledger would say of a candidate once all of them were
// registered, in their order.
type Verdict struct {
	// With are the sources it conflicts with, both those registered before it
	// and those after, by their index in the [Batch], in order.
	With []int
	// PercentOverlap is the share, 0 to 1, of its area that they cover; nil
	// without a conflict, or without an area.
	PercentOverlap *float64
	// Problems say where the geometry library failed on the shape, pointers as
	// from a feature. The rest of the verdict is then told without the 9 metres.
	Problems Problems
}

// Conflict is the source's conflict flag.
func (v Verdict) Conflict() bool { return len(v.With) > 0 }

// Check judges candidates as if they were registered in their order on top of
// the stored sources, among which it looks for nothing. The verdicts have the
// candidates' indexes; what they conflict with is counted from the first stored
// source on, and the candidates come behind these. It uses all cores and fails
// only when ctx is done.
func Check(ctx context.Context, candidates, stored []Source) ([]Verdict, error) {
	all := slices.Concat(stored, candidates)
	b := Batch{Stored: len(stored), Load: func(i int) (*Shape, error) { return all[i].Shape, nil }}
	for _, s := range all {
		b.Entries = append(b.Entries, EntryOf(s))
	}
	return b.Judge(ctx)
}

// Batch judges more sources than fit into memory: it has an [Entry] of each and
// reads shapes again when they are needed.
type Batch struct {
	// Entries are the sources that are stored already, and behind them the
	// candidates, in the order of their registration.
	Entries []Entry
	Stored  int // so many of them are stored already
	// Load reads the shape of the source with this index again. It is called from
	// several goroutines, for a shape near the last ones most of the time, and
	// more than once for some; a bounded number of shapes is kept. An error of it
	// ends the judging.
	Load func(i int) (*Shape, error)
}

// Entry is what a [Batch] keeps of a source: a hundred bytes, not its
// geometry.
type Entry struct {
	Box     Box // of the shape
	Search  Box // where the shape's conflicts can be; inside out for nowhere
	Period  Period
	Country string
}

// EntryOf gives the entry of a source.
func EntryOf(s Source) Entry {
	e := Entry{Box: s.Shape.box, Search: noBox, Period: s.Period, Country: s.Country}
	if search, ok := s.Shape.SearchBox(); ok {
		e.Search = search
	}
	return e
}

// Judge gives the candidates' verdicts, see [Check]. A panic of the geometry
// library is a problem of the source; any other is a fault of this package, and
// is not caught.
func (b *Batch) Judge(ctx context.Context) ([]Verdict, error) {
	j := newJudging(b)
	verdicts := make([]Verdict, len(b.Entries))
	err := j.each(ctx, func(i int) error {
		e, v := &b.Entries[i], &verdicts[i]
		near := j.before(i, e.Search, func(o *Entry) bool { return e.Country != "" && e.Country == o.Country })
		return j.pairs(i, near, func(self *Shape, k int, other *Shape) (bool, error) {
			if err := self.shrink().err; err != nil && v.Problems == nil {
				v.Problems.add(RuleLibrary, "/geometry", "%v", err)
			}
			if self.shrinkIntersects(other) {
				v.With = append(v.With, k)
			}
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	j.index = rtree.RTreeG[int]{} // nothing is looked for any more
	for i := b.Stored; i < len(verdicts); i++ {
		slices.Sort(verdicts[i].With) // only those before it, as yet
		for _, k := range verdicts[i].With {
			if k >= b.Stored {
				verdicts[k].With = append(verdicts[k].With, i)
			}
		}
	}
	err = j.each(ctx, func(i int) error {
		var self *Shape
		var others []*Shape
		err := j.pairs(i, verdicts[i].With, func(one *Shape, _ int, other *Shape) (bool, error) {
			self, others = one, append(others, other)
			return true, nil
		})
		if self == nil || err != nil {
			return err
		}
		if share, ok := Overlap(self, others); ok {
			verdicts[i].PercentOverlap = &share
		}
		return nil
	})
	return verdicts[b.Stored:], err
}

// EachNear calls do for each candidate i and each source k before it that is
// there at the same time and whose box it meets: the pairs whose order may matter,
// in any country. do may end a candidate's pairs, or all of it by an error. It is
// called from many goroutines.
func (b *Batch) EachNear(ctx context.Context, do func(i int, self *Shape, k int, other *Shape) (more bool, err error)) error {
	j := newJudging(b)
	return j.each(ctx, func(i int) error {
		near := j.before(i, b.Entries[i].Box, func(*Entry) bool { return true })
		return j.pairs(i, near, func(self *Shape, k int, other *Shape) (more bool, err error) { return do(i, self, k, other) })
	})
}

// judging is one run over a batch.
type judging struct {
	*Batch
	index rtree.RTreeG[int] // of entries, by their boxes

	mu        sync.Mutex
	shapes    map[int]*Shape // those that were used last
	positions int            // of them
}

func newJudging(b *Batch) *judging {
	j := &judging{Batch: b, shapes: make(map[int]*Shape)}
	for i, e := range b.Entries {
		if e.Box.West <= e.Box.East { // or it is empty
			j.index.Insert([2]float64{e.Box.West, e.Box.South}, [2]float64{e.Box.East, e.Box.North}, i)
		}
	}
	return j
}

// each calls do for each candidate on all cores, in rows from south to north, so
// that those close to each other share what is in memory.
func (j *judging) each(ctx context.Context, do func(i int) error) error {
	const perDegree = 10 // rows
	order := make([]int, 0, len(j.Entries)-j.Stored)
	for i := j.Stored; i < len(j.Entries); i++ {
		order = append(order, i)
	}
	slices.SortFunc(order, func(x, y int) int {
		a, b := j.Entries[x].Box, j.Entries[y].Box
		return cmp.Or(cmp.Compare(math.Floor(a.South*perDegree), math.Floor(b.South*perDegree)), cmp.Compare(a.West, b.West))
	})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for part := range slices.Chunk(order, 64) {
		group.Go(func() error {
			for _, i := range part {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// before gives the sources before one that are there at the same time, whose box
// meets this one, and that meet what else is asked.
func (j *judging) before(i int, box Box, meets func(*Entry) bool) (list []int) {
	j.index.Search([2]float64{box.West, box.South}, [2]float64{box.East, box.North}, func(_, _ [2]float64, k int) bool {
		if o := &j.Entries[k]; k < i && j.Entries[i].Period.Overlaps(o.Period) && meets(o) {
			list = append(list, k)
		}
		return true
	})
	return list
}

// pairs calls do with a source's shape and those of others, until it has had
// enough or fails.
func (j *judging) pairs(i int, others []int, do func(self *Shape, k int, other *Shape) (more bool, err error)) error {
	for _, k := range others {
		self, err := j.shape(i)
		if err != nil {
			return err
		}
		other, err := j.shape(k)
		if err != nil {
			return err
		}
		if more, err := do(self, k, other); err != nil || !more {
			return err
		}
	}
	return nil
}

// cachedPositions bounds the shapes that are kept to some three megabytes: a
// position takes up to eighty bytes once its shape was shrunk and projected.
const cachedPositions = 40_000

// shape loads a shape, or finds it among those that were used last. They are
// forgotten together.
func (j *judging) shape(i int) (*Shape, error) {
	j.mu.Lock()
	s := j.shapes[i]
	j.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := j.Load(i)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.positions > cachedPositions {
		clear(j.shapes)
		j.positions = 0
	}
	j.shapes[i] = s
	j.positions += s.Vertices() + 16
	return s, nil
}
