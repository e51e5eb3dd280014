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

// Ref names a source of a [Batch]: a candidate, or one that is stored already,
// by the order in which it was added.
type Ref struct {
	Index  int32
	Stored bool
}

// Verdict is what the ledger would say of a candidate once all of them were
// registered, in their order.
type Verdict struct {
	// With are the sources it conflicts with, both those registered before it
	// and those after: stored ones first, then candidates.
	With []Ref
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
// candidates' indexes. It uses all cores and fails only when ctx is done.
func Check(ctx context.Context, candidates, stored []Source) ([]Verdict, error) {
	var b Batch
	for _, s := range candidates {
		b.Add(EntryOf(s))
	}
	for _, s := range stored {
		b.AddStored(EntryOf(s))
	}
	return b.Judge(ctx, func(r Ref) (*Shape, error) {
		if r.Stored {
			return stored[r.Index].Shape, nil
		}
		return candidates[r.Index].Shape, nil
	})
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

// Batch judges more sources than fit into memory: it keeps an [Entry] of each
// and reads shapes again when they are needed. The zero value is empty.
// Only Judge may be called from many goroutines.
type Batch struct {
	candidates []Entry
	stored     []Entry
}

// Grow makes room for so many more: growing step by step takes twice the memory.
func (b *Batch) Grow(candidates, stored int) {
	b.candidates = slices.Grow(b.candidates, candidates)
	b.stored = slices.Grow(b.stored, stored)
}

// Add adds a candidate and returns its index.
func (b *Batch) Add(e Entry) int {
	b.candidates = append(b.candidates, e)
	return len(b.candidates) - 1
}

// AddStored adds a source that the ledger has already, and returns its index.
func (b *Batch) AddStored(e Entry) int {
	b.stored = append(b.stored, e)
	return len(b.stored) - 1
}

// A Loader reads a shape of a [Batch] again.
type Loader = func(Ref) (*Shape, error)

// Judge gives the candidates' verdicts, see [Check]. It calls load from
// several goroutines, for a shape near the last ones most of the time, and more
// than once for some; it keeps a bounded number of shapes. An error of load
// ends it. A panic of the geometry library is a problem of the source; any other
// is a fault of this package, and is not caught.
func (b *Batch) Judge(ctx context.Context, load Loader) ([]Verdict, error) {
	j := newJudging(b, load)
	j.verdicts = make([]Verdict, len(b.candidates))
	if err := j.each(ctx, j.findConflicts); err != nil {
		return nil, err
	}
	j.index = rtree.RTreeG[Ref]{} // nothing is looked for any more
	for i := range j.verdicts {
		j.reciprocate(int32(i))
	}
	if err := j.each(ctx, j.measure); err != nil {
		return nil, err
	}
	return j.verdicts, nil
}

// EachNear calls do for each candidate and each source before it, candidate or
// stored, that is there at the same time and whose box it meets: the pairs whose
// order may matter, in any country. do may end a candidate's pairs, or all of it by
// an error. Both are called from many goroutines; load is that of [Batch.Judge].
func (b *Batch) EachNear(ctx context.Context, load Loader, do func(i int, self *Shape, before Ref, other *Shape) (more bool, err error)) error {
	j := newJudging(b, load)
	return j.each(ctx, func(i int32) error {
		e := &b.candidates[i]
		near := j.near(i, e.Box, func(o *Entry) bool { return e.Period.Overlaps(o.Period) })
		return j.pairs(i, near, func(self, other *Shape, r Ref) (more bool, err error) { return do(int(i), self, r, other) })
	})
}

// judging is one run over a batch.
type judging struct {
	batch    *Batch
	index    rtree.RTreeG[Ref]
	shapes   shapeCache
	verdicts []Verdict
}

func newJudging(b *Batch, load Loader) *judging {
	j := &judging{batch: b, shapes: shapeCache{load: load}}
	enter := func(box Box, r Ref) {
		if box.West <= box.East { // or it is empty
			j.index.Insert([2]float64{box.West, box.South}, [2]float64{box.East, box.North}, r)
		}
	}
	for i, e := range b.candidates {
		enter(e.Box, Ref{Index: int32(i)})
	}
	for i, e := range b.stored {
		enter(e.Box, Ref{int32(i), true})
	}
	return j
}

// each calls do for each candidate on all cores, in rows from south to north, so
// that those close to each other share what is in memory.
func (j *judging) each(ctx context.Context, do func(int32) error) error {
	const perDegree = 10 // rows
	candidates := j.batch.candidates
	order := make([]int32, len(candidates))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int {
		a, b := candidates[x].Box, candidates[y].Box
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

// near gives what comes before a candidate, has a box that meets this one, and
// meets what else is asked.
func (j *judging) near(i int32, box Box, meets func(*Entry) bool) (list []Ref) {
	j.index.Search([2]float64{box.West, box.South}, [2]float64{box.East, box.North}, func(_, _ [2]float64, r Ref) bool {
		if r.Stored && meets(&j.batch.stored[r.Index]) || !r.Stored && r.Index < i && meets(&j.batch.candidates[r.Index]) {
			list = append(list, r)
		}
		return true
	})
	return list
}

// pairs calls do with a candidate's shape and those of others, until it has had
// enough or fails.
func (j *judging) pairs(i int32, others []Ref, do func(self, other *Shape, r Ref) (more bool, err error)) error {
	for _, r := range others {
		self, err := j.shapes.get(Ref{Index: i})
		if err != nil {
			return err
		}
		other, err := j.shapes.get(r)
		if err != nil {
			return err
		}
		if more, err := do(self, other, r); err != nil || !more {
			return err
		}
	}
	return nil
}

// findConflicts judges one candidate as the newcomer against what comes
// before it.
func (j *judging) findConflicts(i int32) error {
	e, v := &j.batch.candidates[i], &j.verdicts[i]
	near := j.near(i, e.Search, func(o *Entry) bool {
		return e.Country != "" && e.Country == o.Country && e.Period.Overlaps(o.Period)
	})
	return j.pairs(i, near, func(self, other *Shape, r Ref) (bool, error) {
		if _, err := self.shrink(); err != nil && v.Problems == nil {
			v.Problems = Problems{NewProblem(RuleLibrary, "/geometry", err.Error(), "simplify the boundary, and report this as a fault of meti")}
		}
		if self.shrinkIntersects(other) {
			v.With = append(v.With, r)
		}
		return true, nil
	})
}

// reciprocate enters candidate i with those before it that it was found to
// conflict with. Called in order, it leaves all lists sorted.
func (j *judging) reciprocate(i int32) {
	v := &j.verdicts[i]
	for _, r := range v.With {
		if !r.Stored {
			o := &j.verdicts[r.Index]
			o.With = append(o.With, Ref{Index: i})
		}
	}
	slices.SortFunc(v.With, func(x, y Ref) int {
		switch {
		case x.Stored == y.Stored:
			return cmp.Compare(x.Index, y.Index)
		case x.Stored:
			return -1
		}
		return 1
	})
}

// measure computes one candidate's share.
func (j *judging) measure(i int32) error {
	v := &j.verdicts[i]
	var self *Shape
	var others []*Shape
	err := j.pairs(i, v.With, func(one, other *Shape, _ Ref) (bool, error) {
		self, others = one, append(others, other)
		return true, nil
	})
	if self == nil || err != nil {
		return err
	}
	if share, ok := Overlap(self, others); ok {
		v.PercentOverlap = &share
	}
	return nil
}

// shapeCache keeps the shapes that were used last, and forgets all of them once
// they have so many positions.
type shapeCache struct {
	load Loader

	mu        sync.Mutex
	shapes    map[Ref]*Shape
	positions int
}

// cachedPositions bounds the cache to some three megabytes: a position takes up
// to eighty bytes once its shape was shrunk and projected.
const cachedPositions = 40_000

func (c *shapeCache) get(r Ref) (*Shape, error) {
	c.mu.Lock()
	s := c.shapes[r]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := c.load(r)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shapes == nil || c.positions > cachedPositions {
		c.shapes, c.positions = make(map[Ref]*Shape), 0
	}
	c.shapes[r] = s
	c.positions += s.Vertices() + 16
	return s, nil
}
