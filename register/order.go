package register

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidwall/rtree"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// order is what METI's decisions depend on: which features would conflict, one
// way or the other, or nearly so. Only the newcomer of two is shrunk by 9 metres
// [D], so that it matters which comes first.
type order struct {
	clash   map[int32][]int32 // both ways
	crowded map[int32]bool    // has more of them than are kept: it waits for all before it
	with    map[int32][]party // the conflicts that a feature to be sent would have
	judged  bool
}

// party is a feature of the input, or a source of the spool.
type party struct {
	entry, spooled int32 // one of them is -1
}

// mostClashes is how many are kept of a feature; a stack of thousands would
// have their square.
const mostClashes = 64

// spool keeps boundaries of the account on disk, for what is to be sent may
// conflict with them.
type spool struct {
	file    *os.File
	out     *bufio.Writer
	at      int64
	list    []spooled
	texts   texts
	unshown int // sources without a boundary
	failed  error
}

type spooled struct {
	at      int64
	length  int32
	id      uint32
	altID   uint32
	country uint32
	period  ledger.Period
	box     box4
}

// newSpool makes one, or empties it.
func newSpool(old *spool) (*spool, error) {
	if old != nil {
		*old = spool{file: old.file, out: old.out}
		old.out.Reset(old.file)
		_, err := old.file.Seek(0, io.SeekStart)
		return old, err
	}
	file, err := fields.TemporaryFile()
	if err != nil {
		return nil, fmt.Errorf("the boundaries of the account need a temporary file: %w", err)
	}
	return &spool{file: file, out: bufio.NewWriterSize(file, 64<<10)}, nil
}

func (s *spool) close() {
	if s == nil || s.file == nil {
		return
	}
	fields.DiscardFile(s.file)
}

// add keeps a source; shape is read from it where it is nil.
func (s *spool) add(from *api.Source, shape *ledger.Shape) {
	if shape == nil {
		raw := geometryOf(from)
		var err error
		if shape, err = ledger.ParseGeometry(raw); raw == nil || err != nil || shape.Empty() {
			s.unshown++
			return
		}
	}
	wkb, err := shape.MarshalBinary()
	if err == nil {
		_, err = s.out.Write(wkb)
	}
	if err != nil {
		s.failed = err
		return
	}
	one := spooled{
		at: s.at, length: int32(len(wkb)), id: s.texts.add(from.ID), altID: s.texts.add(from.AltID), box: boxOf(shape),
		period: ledger.Period{Start: ledger.TimeOf(from.StartAt.Time), End: ledger.TimeOf(from.EndAt.Time)},
	}
	one.country = s.texts.once(from.Country)
	s.at += int64(len(wkb))
	s.list = append(s.list, one)
}

func (s *spool) shape(i int32) (*ledger.Shape, error) {
	wkb := make([]byte, s.list[i].length)
	if _, err := s.file.ReadAt(wkb, s.list[i].at); err != nil {
		return nil, err
	}
	return ledger.ShapeFromBinary(wkb)
}

// findClashes finds what would conflict of what is to be sent: with others of
// the input, and with what was read of the account.
func (j *Job) findClashes(ctx context.Context) error {
	j.order = order{clash: map[int32][]int32{}, crowded: map[int32]bool{}, with: map[int32][]party{}, judged: true}
	s := j.account.spool
	if s == nil {
		s = &spool{}
	} else if err := cmp.Or(s.failed, s.out.Flush()); err != nil {
		return fmt.Errorf("keeping the boundaries of the account: %w", err)
	}
	var open []int32 // what may be sent
	var tree rtree.RTreeGN[float32, int32]
	for i := range j.entries {
		e := &j.entries[i]
		if e.send || e.state == Unknown {
			open = append(open, int32(i))
		} else if e.state != Registered && e.state != Differs {
			continue // METI does not have this boundary
		}
		tree.Insert([2]float32{e.box[0], e.box[1]}, [2]float32{e.box[2], e.box[3]}, int32(i))
	}
	if len(open) == 0 {
		return nil
	}
	for k, one := range s.list {
		tree.Insert([2]float32{one.box[0], one.box[1]}, [2]float32{one.box[2], one.box[3]}, -1-int32(k))
	}
	slices.SortFunc(open, func(a, b int32) int { return cmp.Compare(j.entries[a].box.morton(), j.entries[b].box.morton()) })
	judging := &judging{job: j, spool: s, tree: &tree, shapes: shapeCache{}}
	judging.shapes.load = judging.load
	var (
		next  atomic.Int64
		group sync.WaitGroup
		mu    sync.Mutex
		first error
		done  atomic.Int64
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := make(chan struct{}, 1)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			const run = 32
			for ctx.Err() == nil {
				from := int(next.Add(run)) - run
				if from >= len(open) {
					return
				}
				for _, i := range open[from:min(from+run, len(open))] {
					found, err := judging.one(i)
					mu.Lock()
					if err != nil {
						first = cmp.Or(first, err)
						cancel()
					} else {
						j.order.take(i, found)
					}
					mu.Unlock()
				}
				done.Add(run)
				select {
				case told <- struct{}{}:
				default:
				}
			}
		})
	}
	go func() { group.Wait(); close(told) }()
	for range told {
		j.progress(Progress{Stage: StageConflicts, Done: min(int(done.Load()), len(open)), Total: len(open)})
	}
	if first != nil {
		return first
	}
	return context.Cause(ctx)
}

// verdicts are what one feature clashes with.
type verdicts struct {
	clash   []int32
	crowded bool
	with    []party
}

// take enters verdicts on both sides.
func (o *order) take(i int32, v verdicts) {
	for _, k := range v.clash {
		o.clash[i] = append(o.clash[i], k)
		o.clash[k] = append(o.clash[k], i)
	}
	if v.crowded {
		o.crowded[i] = true
	}
	for _, p := range v.with {
		o.with[i] = append(o.with[i], p)
		if p.entry >= 0 {
			o.with[p.entry] = append(o.with[p.entry], party{i, -1})
		}
	}
}

// judging judges the features of one job on all cores.
type judging struct {
	job    *Job
	spool  *spool
	tree   *rtree.RTreeGN[float32, int32]
	shapes shapeCache
}

func (g *judging) load(id int32) (*ledger.Shape, error) {
	if id < 0 {
		return g.spool.shape(-1 - id)
	}
	f, err := g.job.load(int(id))
	return f.shape, err
}

// one judges a feature against those before it, and what METI has.
func (g *judging) one(i int32) (v verdicts, err error) {
	j := g.job
	e := &j.entries[i]
	var near []int32
	g.tree.Search([2]float32{e.box[0], e.box[1]}, [2]float32{e.box[2], e.box[3]}, func(_, _ [2]float32, k int32) bool {
		open := k >= 0 && (j.entries[k].send || j.entries[k].state == Unknown)
		if k != i && !(open && k > i) && !g.makesRoom(e, k) {
			near = append(near, k)
		}
		return true
	})
	if len(near) == 0 {
		return v, nil
	}
	slices.Sort(near)
	shape, err := g.shapes.get(i)
	if err != nil {
		return v, err
	}
	self := ledger.Source{Shape: shape, Period: e.period, Country: everywhere}
	country := ""
	for _, k := range near {
		other := ledger.Source{Country: everywhere}
		if k >= 0 {
			other.Period = j.entries[k].period
		} else {
			other.Period = g.spool.list[-1-k].period
		}
		if !self.Meets(other) {
			continue
		}
		if other.Shape, err = g.shapes.get(k); err != nil {
			return v, err
		}
		if len(v.clash) >= mostClashes || len(v.with) >= mostClashes {
			v.crowded = true
			break
		}
		if k >= 0 && (j.entries[k].send || j.entries[k].state == Unknown) &&
			(ledger.NearConflict(self, other) || ledger.NearConflict(other, self)) {
			v.clash = append(v.clash, k)
		}
		if !ledger.Conflict(self, other) {
			continue
		}
		if j.CountryOf != nil {
			if country == "" {
				country = j.CountryOf(shape)
			}
			var theirs string
			if k >= 0 {
				theirs = j.CountryOf(other.Shape)
			} else {
				theirs = g.spool.texts.at(g.spool.list[-1-k].country)
			}
			if country == "" || country != theirs {
				continue
			}
		}
		p := party{k, -1}
		if k < 0 {
			p = party{-1, -1 - k}
		}
		v.with = append(v.with, p)
	}
	return v, nil
}

// everywhere is the country of all sources, for the order does not depend on a
// table that may differ from METI's.
const everywhere = "-"

// makesRoom reports whether a source of the spool is the one that the entry
// replaces: it will be deleted.
func (g *judging) makesRoom(e *entry, k int32) bool {
	if k >= 0 || !e.send || e.source < 0 || e.state != Boundary && e.state != Differs {
		return false
	}
	return g.spool.texts.at(g.spool.list[-1-k].id) == g.job.account.id(e.source)
}

// morton orders boxes so that those close to each other on the map are close
// in the order.
func (b box4) morton() uint64 {
	return spread((b[0]+b[2])/720+0.5) | spread((b[1]+b[3])/720+0.5)<<1
}

func spread(v float32) uint64 {
	x := uint64(min(max(float64(v), 0), 1) * math.MaxUint32)
	for _, step := range [...]struct {
		shift int
		mask  uint64
	}{{16, 0x0000FFFF0000FFFF}, {8, 0x00FF00FF00FF00FF}, {4, 0x0F0F0F0F0F0F0F0F}, {2, 0x3333333333333333}, {1, 0x5555555555555555}} {
		x = (x | x<<step.shift) & step.mask
	}
	return x
}

// shapeCache keeps the shapes that were used last, up to a number of
// positions: those of the young generation, and the one before it.
type shapeCache struct {
	load func(int32) (*ledger.Shape, error)

	mu         sync.Mutex
	young, old map[int32]*ledger.Shape
	positions  int // of the young
}

// cachedPositions bounds a generation to a few megabytes.
const cachedPositions = 20_000

func (c *shapeCache) get(id int32) (*ledger.Shape, error) {
	c.mu.Lock()
	s, ok := c.young[id]
	if !ok {
		if s, ok = c.old[id]; ok {
			c.keep(id, s)
		}
	}
	c.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := c.load(id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(id, s)
	return s, nil
}

func (c *shapeCache) keep(id int32, s *ledger.Shape) {
	if c.young == nil || c.positions > cachedPositions {
		c.young, c.old, c.positions = make(map[int32]*ledger.Shape), c.young, 0
	}
	c.young[id] = s
	c.positions += s.Vertices() + 16
}

// parties names what a feature would conflict with.
func (j *Job) parties(i int) (list []Party) {
	for _, p := range j.order.with[int32(i)] {
		if p.entry < 0 {
			one := j.account.spool.list[p.spooled]
			list = append(list, Party{ID: j.account.spool.texts.at(one.id), AltID: j.account.spool.texts.at(one.altID)})
			continue
		}
		party := Party{AltID: j.altID(int(p.entry))}
		if e := &j.entries[p.entry]; e.source >= 0 && (e.state == Registered || e.state == Differs) {
			party.ID = j.account.id(e.source)
		}
		list = append(list, party)
	}
	slices.SortFunc(list, func(a, b Party) int { return cmp.Or(strings.Compare(a.AltID, b.AltID), strings.Compare(a.ID, b.ID)) })
	return slices.Compact(list)
}
