package ledger

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tidwall/rtree"
)

// Ref names a source of a [Batch]: a candidate, or one that is stored already,
// by the order in which it was added.
type Ref struct {
	Index  int  `json:"index"`
	Stored bool `json:"stored,omitempty"`
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
	Search  Box // where the shape's conflicts can be
	Period  Period
	Country string
	idle    bool // it cannot conflict with what is stored before it
	empty   bool
}

// EntryOf gives the entry of a source.
func EntryOf(s Source) Entry {
	e := Entry{Period: s.Period, Country: s.Country}
	box, ok := s.Shape.Box()
	e.Box, e.empty = box, !ok
	search, ok := s.Shape.SearchBox()
	e.Search, e.idle = search, !ok
	return e
}

// Batch judges more sources than fit into memory: it keeps an [Entry] of each
// and reads shapes again when they are needed. The zero value is empty.
// Only Judge may be called from many goroutines.
type Batch struct {
	candidates []Entry
	stored     []Entry
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

// Judge gives the candidates' verdicts, see [Check]. It calls load from
// several goroutines, for a shape near the last ones most of the time, and more
// than once for some; it keeps a bounded number of shapes. An error of load
// ends it.
func (b *Batch) Judge(ctx context.Context, load func(Ref) (*Shape, error)) ([]Verdict, error) {
	j := b.judging(load)
	j.verdicts = make([]Verdict, len(b.candidates))
	order := b.nearby()
	if err := inParallel(ctx, order, j.findConflicts); err != nil {
		return nil, err
	}
	j.index = rtree.RTreeG[int32]{} // nothing is looked for any more
	for i := range j.verdicts {
		j.reciprocate(i)
	}
	if err := inParallel(ctx, order, j.measure); err != nil {
		return nil, err
	}
	return j.verdicts, nil
}

// judging indexes the batch.
func (b *Batch) judging(load func(Ref) (*Shape, error)) *judging {
	j := &judging{batch: b, shapes: shapeCache{load: load}}
	for i := range len(b.candidates) + len(b.stored) {
		if e := j.entry(i); !e.empty {
			j.index.Insert([2]float64{e.Box.West, e.Box.South}, [2]float64{e.Box.East, e.Box.North}, int32(i))
		}
	}
	return j
}

// nearby orders the candidates so that those close to each other on the map
// are close in the order (Morton's), for the sake of the cache.
func (b *Batch) nearby() []int32 {
	keys := make([]uint64, len(b.candidates))
	order := make([]int32, len(b.candidates))
	for i, e := range b.candidates {
		order[i] = int32(i)
		keys[i] = spread((e.Box.West+e.Box.East)/720+0.5) | spread((e.Box.South+e.Box.North)/720+0.5)<<1
	}
	slices.SortFunc(order, func(x, y int32) int { return cmp.Compare(keys[x], keys[y]) })
	return order
}

// spread writes 0 to 1 as 32 bits with a gap after each.
func spread(v float64) uint64 {
	x := uint64(min(max(v, 0), 1) * (1<<32 - 1))
	for _, step := range [...]struct {
		shift int
		mask  uint64
	}{{16, 0x0000FFFF0000FFFF}, {8, 0x00FF00FF00FF00FF}, {4, 0x0F0F0F0F0F0F0F0F}, {2, 0x3333333333333333}, {1, 0x5555555555555555}} {
		x = (x | x<<step.shift) & step.mask
	}
	return x
}

// judging is one run over a batch.
type judging struct {
	batch    *Batch
	index    rtree.RTreeG[int32]
	shapes   shapeCache
	verdicts []Verdict
}

// entry and ref number the candidates first and then the stored.
func (j *judging) entry(i int) *Entry {
	if n := len(j.batch.candidates); i >= n {
		return &j.batch.stored[i-n]
	}
	return &j.batch.candidates[i]
}

func (j *judging) ref(i int) Ref {
	if n := len(j.batch.candidates); i >= n {
		return Ref{Index: i - n, Stored: true}
	}
	return Ref{Index: i}
}

// findConflicts judges one candidate as the newcomer against what comes
// before it.
func (j *judging) findConflicts(i int) error {
	e := j.entry(i)
	if e.idle || e.Country == "" {
		return nil
	}
	self := Source{Period: e.Period, Country: e.Country}
	near := slices.DeleteFunc(j.near(i, e.Search), func(k int) bool {
		o := j.entry(k)
		return !self.Meets(Source{Period: o.Period, Country: o.Country})
	})
	if len(near) == 0 {
		return nil
	}
	shape, err := j.shapes.get(j.ref(i))
	if err != nil {
		return err
	}
	if err := shape.Prepare(); err != nil {
		j.verdicts[i].Problems = Problems{NewProblem(RuleLibrary, "/geometry", err.Error(), "simplify the boundary, and report this as a fault of meti")}
	}
	for _, k := range near {
		other, err := j.shapes.get(j.ref(k))
		if err != nil {
			return err
		}
		if shape.shrinkIntersects(other) {
			j.verdicts[i].With = append(j.verdicts[i].With, j.ref(k))
		}
	}
	return nil
}

// near gives what comes before a candidate and whose boxes meet one.
func (j *judging) near(i int, box Box) (list []int) {
	j.index.Search([2]float64{box.West, box.South}, [2]float64{box.East, box.North}, func(_, _ [2]float64, k int32) bool {
		if int(k) < i || int(k) >= len(j.batch.candidates) {
			list = append(list, int(k))
		}
		return true
	})
	return list
}

// reciprocate enters candidate i with those before it that it was found to
// conflict with. Called in order, it leaves all lists sorted.
func (j *judging) reciprocate(i int) {
	v := &j.verdicts[i]
	for _, r := range v.With {
		if !r.Stored {
			o := &j.verdicts[r.Index]
			o.With = append(o.With, Ref{Index: i})
		}
	}
	slices.SortFunc(v.With, func(x, y Ref) int {
		if x.Stored != y.Stored {
			if x.Stored {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Index, y.Index)
	})
}

// measure computes one candidate's share.
func (j *judging) measure(i int) error {
	v := &j.verdicts[i]
	if len(v.With) == 0 {
		return nil
	}
	self, err := j.shapes.get(Ref{Index: i})
	if err != nil {
		return err
	}
	others := make([]*Shape, len(v.With))
	for k, r := range v.With {
		if others[k], err = j.shapes.get(r); err != nil {
			return err
		}
	}
	if share, ok := Overlap(self, others); ok {
		v.PercentOverlap = &share
	}
	return nil
}

// inParallel calls do for each of the list, in runs that keep neighbours
// together, on all cores.
func inParallel(ctx context.Context, list []int32, do func(int) error) error {
	const run = 64
	var (
		next  atomic.Int64
		once  sync.Once
		first error
		wg    sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for ctx.Err() == nil {
				end := int(next.Add(run))
				start := end - run
				if start >= len(list) {
					return
				}
				for _, i := range list[start:min(end, len(list))] {
					if err := do(int(i)); err != nil {
						once.Do(func() { first = err })
						cancel()
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	return ctx.Err()
}

// shapeCache keeps the shapes that were used last, up to a number of
// positions: those of the young generation, and the one before it.
type shapeCache struct {
	load func(Ref) (*Shape, error)

	mu         sync.Mutex
	young, old map[Ref]*Shape
	positions  int // of the young
}

// cachedPositions bounds a generation to some three megabytes: a position takes
// some fifty bytes once its shape was shrunk and projected.
const cachedPositions = 50_000

func (c *shapeCache) get(r Ref) (*Shape, error) {
	c.mu.Lock()
	s, ok := c.young[r]
	if !ok {
		if s, ok = c.old[r]; ok {
			c.keep(r, s)
		}
	}
	c.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := c.load(r)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(r, s)
	return s, nil
}

func (c *shapeCache) keep(r Ref, s *Shape) {
	if c.young == nil || c.positions > cachedPositions {
		c.young, c.old, c.positions = make(map[Ref]*Shape), c.young, 0
	}
	c.young[r] = s
	c.positions += s.Vertices() + 16
}
