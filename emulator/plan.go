package emulator

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meti-go/meti/ledger"
	"github.com/tidwall/rtree"
	"golang.org/x/sync/errgroup"
)

// A change of the store is planned first, on all cores and without a turn, and
// carried out in a turn. Where another change came between, it is planned once
// more in the turn, from a memo of what the geometry said the first time: what
// is stored never changes its shape. So a feature with a great many vertices
// keeps nobody waiting.

// errTooMuch ends a plan in a turn that needs much new geometry; it is made
// outside again.
var errTooMuch = errors.New("too much geometry for a turn")

const (
	turnVertices = 20_000 // how much new geometry a plan in a turn may look at
	outsideTries = 5      // how often a plan goes outside again
)

// change plans, and carries out what the plan returned.
func (st *store) change(plan func(view, *memo) (apply func(*sql.Tx) error, err error)) error {
	m := &memo{conflicts: make(map[[2]int64]bool), meets: make(map[[2]int64]bool), shares: make(map[string]sql.NullFloat64)}
	for try := 0; ; try++ {
		m.unlimited, m.left = true, 0
		at := st.changes.Load()
		apply, err := plan(view{st: st}, m)
		err = st.write(func(tx *sql.Tx) error {
			if st.changes.Load() != at {
				// An error of the plan outside counts for nothing either: what it
				// looked at may have been deleted meanwhile.
				m.unlimited, m.left = try >= outsideTries, turnVertices
				apply, err = plan(view{st: st, tx: tx, one: new(sync.Mutex)}, m)
			}
			if err != nil {
				return err
			}
			return apply(tx)
		})
		if !errors.Is(err, errTooMuch) {
			return err
		}
	}
}

// memo keeps what the geometry said about pairs of sources. Stored ones go by
// id; the newcomers of a request, which have none yet, by -1 minus their index.
type memo struct {
	mutex     sync.Mutex
	conflicts map[[2]int64]bool // newcomer, stored
	meets     map[[2]int64]bool // without the 9 metres
	shares    map[string]sql.NullFloat64
	unlimited bool
	left      int
}

// remember gives table[key], or computes it, at the cost of so many vertices.
func remember[K comparable, V any](m *memo, table map[K]V, key K, vertices int, compute func() V) (V, error) {
	m.mutex.Lock()
	value, ok := table[key]
	if !ok && !m.unlimited {
		if m.left -= vertices; m.left < 0 {
			m.mutex.Unlock()
			return value, errTooMuch
		}
	}
	m.mutex.Unlock()
	if ok {
		return value, nil
	}
	value = compute()
	m.mutex.Lock()
	table[key] = value
	m.mutex.Unlock()
	return value, nil
}

func (m *memo) conflict(a int64, x ledger.Source, b int64, y ledger.Source) (bool, error) {
	if !x.Meets(y) {
		return false, nil
	}
	return remember(m, m.conflicts, [2]int64{a, b}, x.Shape.Vertices()+y.Shape.Vertices(), func() bool {
		return ledger.Conflict(x, y)
	})
}

func (m *memo) intersect(a int64, x ledger.Source, b int64, y ledger.Source) (bool, error) {
	if !x.Meets(y) {
		return false, nil
	}
	return remember(m, m.meets, [2]int64{a, b}, x.Shape.Vertices()+y.Shape.Vertices(), func() bool {
		return x.Shape.Intersects(y.Shape)
	})
}

// share is percent_overlap of a source under others, whose refs name them.
func (m *memo) share(ref int64, self *ledger.Shape, refs []int64, others []*ledger.Shape) (sql.NullFloat64, error) {
	vertices := self.Vertices()
	for _, o := range others {
		vertices += o.Vertices()
	}
	return remember(m, m.shares, fmt.Sprint(ref, refs), vertices, func() sql.NullFloat64 {
		share, ok := ledger.Overlap(self, others)
		return sql.NullFloat64{Float64: share, Valid: ok && share == share}
	})
}

// inBox gives the ids of the stored sources whose box meets b.
func (v view) inBox(b ledger.Box) ([]int64, error) {
	defer v.alone()()
	rows, err := v.stmt(v.st.sql.box).QueryContext(forever, b.East, b.West, b.North, b.South) //nolint:sqlclosecheck // closed with the database or tx
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, rows.Err()
}

// source gives a stored source as the rules see it.
func (v view) source(id int64) (ledger.Source, error) {
	if s, ok := v.st.shapes.get(id); ok {
		return s, nil
	}
	var s ledger.Source
	var shape []byte
	defer v.alone()()
	err := v.stmt(v.st.sql.known).QueryRowContext(forever, id).Scan(&s.Country, &s.Period.Start, &s.Period.End, &shape) //nolint:sqlclosecheck // as above
	if err != nil {
		return s, err
	}
	if s.Shape, err = ledger.ShapeFromBinary(shape); err != nil {
		return s, err
	}
	v.st.shapes.put(id, s)
	return s, nil
}

// state gives what a stored source conflicts with; false if it never did.
func (v view) state(id int64) (s conflictState, ok bool, err error) {
	defer v.alone()()
	var others []byte
	err = v.stmt(v.st.sql.others).QueryRowContext(forever, id).Scan(&others, &s.share) //nolint:sqlclosecheck // as above
	if errors.Is(err, sql.ErrNoRows) {
		return s, false, nil
	}
	if err == nil {
		err = json.Unmarshal(others, &s.others)
	}
	return s, true, err
}

// newcomer is a source to be registered.
type newcomer struct {
	ledger.Source
	altID      string
	attributes attributes
	document   []byte
	geometry   []byte
	shape      []byte // Source.Shape in binary
}

// registration is what registering some newcomers comes to.
type registration struct {
	// states are those of all that are in conflict afterwards: newcomers and
	// those stored before, by their refs.
	states map[int64]conflictState
}

func refOf(newcomer int) int64 { return -1 - int64(newcomer) }

// planRegistration finds the conflicts of newcomers, in their order, and the
// shares of all sources that it touches. Stored ones past the id seen are not
// looked at.
func (v view) planRegistration(news []newcomer, seen int64, m *memo) (registration, error) {
	r := registration{states: make(map[int64]conflictState)}
	if !v.st.conflicts {
		return r, nil
	}
	var among rtree.RTreeG[int]
	for i, n := range news {
		if box, ok := n.Shape.Box(); ok {
			among.Insert([2]float64{box.West, box.South}, [2]float64{box.East, box.North}, i)
		}
	}
	hits := make([][]int64, len(news))
	err := parallel(len(news), func(i int) error {
		box, ok := news[i].Shape.SearchBox()
		if !ok || news[i].Country == "" {
			return nil
		}
		ids, err := v.inBox(box)
		if err != nil {
			return err
		}
		add := func(ref int64, other ledger.Source) error {
			hit, err := m.conflict(refOf(i), news[i].Source, ref, other)
			if hit {
				hits[i] = append(hits[i], ref)
			}
			return err
		}
		for _, id := range ids {
			if id > seen {
				break // in order
			}
			other, err := v.source(id)
			if err != nil {
				return err
			}
			if err := add(id, other); err != nil {
				return err
			}
		}
		var earlier []int
		among.Search([2]float64{box.West, box.South}, [2]float64{box.East, box.North}, func(_, _ [2]float64, k int) bool {
			if k < i {
				earlier = append(earlier, k)
			}
			return true
		})
		slices.Sort(earlier)
		for _, k := range earlier {
			if err := add(refOf(k), news[k].Source); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	for i, refs := range hits {
		for _, ref := range refs {
			if ref > 0 {
				if _, ok := r.states[ref]; !ok {
					state, _, err := v.state(ref)
					if err != nil {
						return r, err
					}
					r.states[ref] = state
				}
			}
			for _, pair := range [][2]int64{{refOf(i), ref}, {ref, refOf(i)}} {
				state := r.states[pair[0]]
				state.others = append(state.others, pair[1])
				r.states[pair[0]] = state
			}
		}
	}
	return r, v.measure(r.states, m, func(ref int64) (ledger.Source, error) {
		if ref < 0 {
			return news[-1-ref].Source, nil
		}
		return v.source(ref)
	}, nil)
}

// measure computes the shares of the states, under what each conflicts with or
// under what neighbours gives.
func (v view) measure(states map[int64]conflictState, m *memo, source func(int64) (ledger.Source, error), neighbours func(int64) ([]int64, error)) error {
	refs := make([]int64, 0, len(states))
	for ref := range states {
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	shares := make([]sql.NullFloat64, len(refs))
	err := parallel(len(refs), func(i int) error {
		state := states[refs[i]]
		under := state.others
		switch {
		case len(under) == 0:
			return nil
		case neighbours != nil:
			var err error
			if under, err = neighbours(refs[i]); err != nil {
				return err
			}
		case state.share.Valid && state.share.Float64 == 1:
			shares[i] = state.share // more of them cannot cover more
			return nil
		}
		self, err := source(refs[i])
		if err != nil {
			return err
		}
		shapes := make([]*ledger.Shape, len(under))
		for k, ref := range under {
			other, err := source(ref)
			if err != nil {
				return err
			}
			shapes[k] = other.Shape
		}
		shares[i], err = m.share(refs[i], self.Shape, under, shapes)
		return err
	})
	for i, ref := range refs {
		state := states[ref]
		state.share = shares[i]
		states[ref] = state
	}
	return err
}

// planRemoval finds what deleting the sources does to the others.
func (v view) planRemoval(ids []int64, m *memo) (map[int64]conflictState, error) {
	states := make(map[int64]conflictState)
	if !v.st.conflicts {
		return states, nil
	}
	gone := func(id int64) bool { _, found := slices.BinarySearch(ids, id); return found }
	// neighbours are those of id that stay.
	neighbours := func(id int64) ([]int64, error) {
		self, err := v.source(id)
		if err != nil {
			return nil, err
		}
		box, ok := self.Shape.Box()
		if !ok || self.Country == "" {
			return nil, nil
		}
		found, err := v.inBox(box)
		if err != nil {
			return nil, err
		}
		var near []int64
		for _, other := range found {
			if other == id || gone(other) {
				continue
			}
			o, err := v.source(other)
			if err != nil {
				return nil, err
			}
			meet, err := m.intersect(id, self, other, o)
			if err != nil {
				return nil, err
			}
			if meet {
				near = append(near, other)
			}
		}
		return near, nil
	}
	for _, id := range ids {
		near, err := neighbours(id)
		if err != nil {
			return nil, err
		}
		mine, _, err := v.state(id)
		if err != nil {
			return nil, err
		}
		for _, other := range append(near, mine.others...) {
			if _, known := states[other]; known || gone(other) {
				continue
			}
			state, ok, err := v.state(other)
			if err != nil {
				return nil, err
			}
			if !ok || len(state.others) == 0 {
				continue
			}
			state.others = slices.DeleteFunc(state.others, gone)
			state.share = sql.NullFloat64{}
			states[other] = state
		}
	}
	return states, v.measure(states, m, v.source, neighbours)
}

// parallel runs do for 0 to n-1 on all cores. A panic in it, from a geometry
// that nobody thought of, becomes an error.
func parallel(n int, do func(i int) error) error {
	safely := func(i int) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("judging geometry: %v", p)
			}
		}()
		return do(i)
	}
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			if err := safely(i); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	var group errgroup.Group
	for range workers {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := safely(i); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// shapeCache keeps shapes of stored sources that were used lately, up to a
// number of vertices. Stored shapes never change and ids are never given
// twice, so nothing in it can be stale.
type shapeCache struct {
	mutex    sync.Mutex
	sources  map[int64]ledger.Source
	vertices int
}

// cachedVertices is about 50 MB.
const cachedVertices = 500_000

func newShapeCache() *shapeCache { return &shapeCache{sources: make(map[int64]ledger.Source)} }

func (c *shapeCache) get(id int64) (ledger.Source, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	s, ok := c.sources[id]
	return s, ok
}

func (c *shapeCache) put(id int64, s ledger.Source) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if _, ok := c.sources[id]; ok {
		return
	}
	c.sources[id] = s
	c.vertices += s.Shape.Vertices()
	for old, o := range c.sources { // in random order
		if c.vertices <= cachedVertices {
			return
		}
		if old != id {
			delete(c.sources, old)
			c.vertices -= o.Shape.Vertices()
		}
	}
}
