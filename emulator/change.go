package emulator

import (
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/meti-go/meti/ledger"
)

// newcomer is a source to be registered.
type newcomer struct {
	ledger.Source
	account, altID     string
	document, geometry []byte
}

// stored is a source with an id, as the rules see it.
type stored struct {
	ledger.Source
	id     int64
	others []int64  // ids of those it conflicts with, in the order in which they came up
	share  *float64 // percent_overlap
}

// region is the part of a store that a change is about, as far as it has been
// read, by id. What changes in it is written in the end, unless reading failed.
type region struct {
	st   *store
	byID map[int64]*stored
	err  error
}

// get gives the sources of these ids.
func (r *region) get(ids []int64) (list []*stored) {
	missing := slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return r.byID[id] != nil })
	err := r.st.each(func(rows *sql.Rows) error {
		s := new(stored)
		var geometry, others sql.RawBytes
		if err := rows.Scan(&s.id, &s.Country, &s.Period.Start, &s.Period.End, &geometry, &others, &s.share); err != nil {
			return err
		}
		r.byID[s.id] = s
		var broken error
		s.Shape, broken = ledger.ParseGeometry(geometry)
		return errors.Join(broken, json.Unmarshal(others, &s.others))
	}, "SELECT s.id, s.country, s.starts, s.ends, s.geometry, s.others, s.share FROM json_each(?) j JOIN source s ON s.id = j.value", jsonOf(missing))
	r.err = errors.Join(r.err, err)
	for _, id := range ids {
		if s := r.byID[id]; s != nil {
			list = append(list, s)
		}
	}
	return list
}

// near gives the ids of the sources whose box meets one of these.
func (r *region) near(boxes ...ledger.Box) []int64 {
	text, err := json.Marshal(boxes)
	if err != nil {
		r.err = err
		return nil
	}
	ids, err := values[int64](r.st, `SELECT DISTINCT b.id FROM json_each(?) j JOIN box b
		ON b.west <= j.value ->> 'East' AND b.east >= j.value ->> 'West' AND b.south <= j.value ->> 'North' AND b.north >= j.value ->> 'South'
		ORDER BY b.id`, string(text))
	r.err = errors.Join(r.err, err)
	return ids
}

// jsonOf writes ids as JSON.
func jsonOf(ids []int64) string {
	text, _ := json.Marshal(append([]int64{}, ids...)) // not null if there is none
	return string(text)
}

// register stores newcomers, all or none, and returns them as METI answers them.
// They conflict with nothing stored past the id seen, and with nothing at all
// where that is negative.
func (st *store) register(news []newcomer, now func() time.Time, seen int64) (answers []string, err error) {
	st.writer.Lock()
	defer st.writer.Unlock()
	created, arrived := ledger.TimeOf(now()).String(), time.Now().UnixMicro()
	last, err := values[int64](st, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'source'")
	if err != nil {
		return nil, err
	}
	first := last[0] + 1
	r := &region{st: st, byID: make(map[int64]*stored)}
	var changed map[int64]*stored
	if seen >= 0 {
		if changed, err = r.judge(news, first, seen); err != nil {
			return nil, err
		}
	}
	err = st.transact(func(exec func(string, ...any)) {
		for i, n := range news {
			id := first + int64(i)
			exec(`INSERT INTO source (id, ssid, account, alt_id, country, starts, ends, created, arrived, changed, others, document, geometry)
				VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)`, id, st.ssid(id), n.account, n.altID, n.Country, int64(n.Period.Start), int64(n.Period.End),
				created, arrived, created, "[]", string(n.document), string(n.geometry))
			if box, ok := n.Shape.Box(); ok {
				exec("INSERT INTO box (id, west, east, south, north) VALUES (?,?,?,?,?)", id, box.West, box.East, box.South, box.North)
			}
		}
		update(exec, changed, created)
	})
	if err != nil {
		return nil, err
	}
	err = st.list(forever, filter{" AND s.id >= ?", []any{first}}, nil, nil, func(chunk string) error {
		answers = append(answers, chunk)
		return nil
	})
	return answers, err
}

// update stores what conflicts have become.
func update(exec func(string, ...any), changed map[int64]*stored, now string) {
	for id, s := range changed {
		exec("UPDATE source SET others = ?, share = ?, changed = ? WHERE id = ?", jsonOf(s.others), s.share, now, id)
	}
}

// judge finds the conflicts of newcomers, which get successive ids, and gives
// all sources whose conflicts change, the newcomers in conflict among them.
func (r *region) judge(news []newcomer, first, seen int64) (map[int64]*stored, error) {
	var boxes []ledger.Box
	var fresh, known []ledger.Source
	for _, n := range news {
		fresh = append(fresh, n.Source)
		if box, ok := n.Shape.SearchBox(); ok && n.Country != "" {
			boxes = append(boxes, box)
		}
	}
	older := r.get(slices.DeleteFunc(r.near(boxes...), func(id int64) bool { return id > seen }))
	for _, o := range older {
		known = append(known, o.Source)
	}
	verdicts, err := ledger.Check(forever, fresh, known)
	if err != nil {
		return nil, err
	}
	changed := make(map[int64]*stored)
	var touched []*stored // of the older ones
	for i, v := range verdicts {
		if err := v.Problems.Err(); err != nil {
			return nil, err // the geometry library failed, and what it says of conflicts is not METI's
		}
		if !v.Conflict() {
			continue
		}
		s := &stored{Source: fresh[i], id: first + int64(i), share: v.PercentOverlap}
		r.byID[s.id], changed[s.id] = s, s
		for _, ref := range v.With {
			if ref >= len(older) {
				s.others = append(s.others, first+int64(ref-len(older)))
				continue
			}
			o := older[ref]
			s.others, o.others = append(s.others, o.id), append(o.others, s.id)
			if changed[o.id] == nil {
				touched = append(touched, o)
			}
			changed[o.id] = o
		}
	}
	r.measure(touched, nil)
	return changed, r.err
}

// measure computes the shares of sources under what they conflict with, or,
// after some are gone, under their neighbours that are left.
func (r *region) measure(sources []*stored, gone func(id int64) bool) {
	for _, s := range sources {
		if gone == nil && s.share != nil && *s.share == 1 {
			continue // more of them cannot cover more
		}
		if s.share = nil; len(s.others) == 0 {
			continue
		}
		under := s.others
		if gone != nil {
			box, _ := s.Shape.Box()
			under = slices.DeleteFunc(r.near(box), func(id int64) bool { return id == s.id || gone(id) })
		}
		var shapes []*ledger.Shape
		for _, o := range r.get(under) {
			if gone == nil || ledger.Neighbours(s.Source, o.Source) {
				shapes = append(shapes, o.Shape)
			}
		}
		if share, ok := ledger.Overlap(s.Shape, shapes); ok && !math.IsNaN(share) {
			s.share = &share
		}
	}
}

// remove deletes the sources that match, and says how many there were.
func (st *store) remove(f filter, now func() time.Time) (deleted int, err error) {
	st.writer.Lock()
	defer st.writer.Unlock()
	ids, err := st.matching(f, nil, nil)
	if err != nil {
		return 0, err
	}
	r := &region{st: st, byID: make(map[int64]*stored)}
	changed := r.repair(ids)
	if r.err != nil {
		return 0, r.err
	}
	return len(ids), st.transact(func(exec func(string, ...any)) {
		for _, id := range ids {
			exec("DELETE FROM source WHERE id = ?", id)
			exec("DELETE FROM box WHERE id = ?", id)
		}
		update(exec, changed, ledger.TimeOf(now()).String())
	})
}

// repair finds what deleting the sources does to the others.
func (r *region) repair(ids []int64) map[int64]*stored {
	gone := func(id int64) bool { _, found := slices.BinarySearch(ids, id); return found }
	changed := make(map[int64]*stored)
	for _, x := range r.get(ids) {
		others := slices.Clone(x.others)
		if box, ok := x.Shape.Box(); ok && x.Country != "" {
			others = append(others, r.near(box)...)
		}
		for _, o := range r.get(slices.DeleteFunc(others, gone)) {
			if len(o.others) > 0 && (slices.Contains(o.others, x.id) || ledger.Neighbours(x.Source, o.Source)) {
				changed[o.id] = o
			}
		}
	}
	for _, o := range changed {
		o.others = slices.DeleteFunc(o.others, gone)
	}
	r.measure(slices.Collect(maps.Values(changed)), gone)
	return changed
}
