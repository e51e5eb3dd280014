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

// source is one as it is stored. Of those that are stored already, the last four
// are not read.
type source struct {
	ledger.Source
	id     int64
	others []int64  // ids of those it conflicts with, in the order in which they came up
	share  *float64 // percent_overlap

	account, altID     string
	document, geometry string
}

// region is the part of a store that a change is about, as far as it has been
// read, by id. Once reading has failed it is of no use.
type region struct {
	store *store
	byID  map[int64]*source
	err   error
}

// get gives the sources of these ids that there are.
func (r *region) get(ids []int64) (list []*source) {
	missing := slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return r.byID[id] != nil })
	if len(missing) > 0 {
		r.err = errors.Join(r.err, r.store.each(func(rows *sql.Rows) error {
			s := new(source)
			var geometry, others sql.RawBytes
			if err := rows.Scan(&s.id, &s.Country, &s.Period.Start, &s.Period.End, &geometry, &others, &s.share); err != nil {
				return err
			}
			r.byID[s.id] = s
			var broken error
			s.Shape, broken = ledger.ParseGeometry(geometry)
			return errors.Join(broken, json.Unmarshal(others, &s.others))
		}, "SELECT s.id, s.country, s.starts, s.ends, s.geometry, s.others, s.share FROM json_each(?) j JOIN source s ON s.id = j.value", jsonOf(missing)))
	}
	for _, id := range ids {
		if s := r.byID[id]; s != nil {
			list = append(list, s)
		}
	}
	return list
}

// near gives the ids of the sources whose box meets one of these.
func (r *region) near(boxes ...ledger.Box) []int64 {
	text, broken := json.Marshal(boxes)
	ids, err := values[int64](r.store, `SELECT DISTINCT b.id FROM json_each(?) j JOIN box b
		ON b.west <= j.value ->> 'East' AND b.east >= j.value ->> 'West' AND b.south <= j.value ->> 'North' AND b.north >= j.value ->> 'South'
		ORDER BY b.id`, string(text))
	r.err = errors.Join(r.err, broken, err)
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
func (st *store) register(news []*source, now func() time.Time, seen int64) ([]string, error) {
	st.writer.Lock()
	defer st.writer.Unlock()
	last, err := values[int64](st, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'source'")
	if err != nil {
		return nil, err
	}
	for i, n := range news {
		n.id = last[0] + 1 + int64(i)
	}
	var changed []*source
	if seen >= 0 {
		if changed, err = st.judge(news, seen); err != nil {
			return nil, err
		}
	}
	created, arrived := ledger.TimeOf(now()).String(), time.Now().UnixMicro()
	err = st.transact(func(exec func(string, ...any)) {
		for _, n := range news {
			exec(`INSERT INTO source (id, ssid, account, alt_id, country, starts, ends, created, arrived, changed, others, share, document, geometry)
				VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, n.id, st.ssid(n.id), n.account, n.altID, n.Country, int64(n.Period.Start), int64(n.Period.End),
				created, arrived, created, jsonOf(n.others), n.share, n.document, n.geometry)
			if box, ok := n.Shape.Box(); ok {
				exec("INSERT INTO box (id, west, east, south, north) VALUES (?,?,?,?,?)", n.id, box.West, box.East, box.South, box.North)
			}
		}
		update(exec, changed, created)
	})
	if err != nil {
		return nil, err
	}
	return st.answers(filter{" AND s.id > ?", []any{last[0]}})
}

// update stores what the conflicts of sources have become.
func update(exec func(string, ...any), changed []*source, now string) {
	for _, s := range changed {
		exec("UPDATE source SET others = ?, share = ?, changed = ? WHERE id = ?", jsonOf(s.others), s.share, now, s.id)
	}
}

// judge finds the conflicts of newcomers, and gives the stored sources whose
// conflicts change with them.
func (st *store) judge(news []*source, seen int64) (changed []*source, err error) {
	r := &region{store: st, byID: make(map[int64]*source)}
	var boxes []ledger.Box
	var fresh, known []ledger.Source
	for _, n := range news {
		r.byID[n.id] = n
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
	var under []int64 // those that the changed ones lie under
	for i, v := range verdicts {
		if err := v.Problems.Err(); err != nil {
			return nil, err // the geometry library failed, and what it says of conflicts is not METI's
		}
		n := news[i]
		n.share = v.PercentOverlap
		for _, with := range v.With {
			if with >= len(older) {
				n.others = append(n.others, news[with-len(older)].id)
				continue
			}
			o := older[with]
			if len(o.others) == 0 || o.others[len(o.others)-1] < news[0].id { // it is the first that changes it
				changed, under = append(changed, o), append(under, o.others...)
			}
			n.others, o.others = append(n.others, o.id), append(o.others, n.id)
		}
	}
	r.get(under) // all at once
	for _, s := range changed {
		if s.share == nil || *s.share < 1 { // else more of them cannot cover more
			s.measure(r.get(s.others))
		}
	}
	return changed, r.err
}

// measure computes the share of a source that others cover together.
func (s *source) measure(others []*source) {
	var shapes []*ledger.Shape
	for _, o := range others {
		shapes = append(shapes, o.Shape)
	}
	s.share = nil
	if share, ok := ledger.Overlap(s.Shape, shapes); ok && !math.IsNaN(share) {
		s.share = &share
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
	changed, err := st.repair(ids)
	if err != nil {
		return 0, err
	}
	return len(ids), st.transact(func(exec func(string, ...any)) {
		for _, id := range ids {
			exec("DELETE FROM source WHERE id = ?", id)
			exec("DELETE FROM box WHERE id = ?", id)
		}
		update(exec, changed, ledger.TimeOf(now()).String())
	})
}

// repair gives the sources that deleting others changes: those that conflict
// with one of them, and their neighbours that have a conflict.
func (st *store) repair(ids []int64) (changed []*source, err error) {
	r := &region{store: st, byID: make(map[int64]*source)}
	gone := func(id int64) bool { _, found := slices.BinarySearch(ids, id); return found }
	touched := make(map[*source]bool)
	for _, x := range r.get(ids) {
		others := slices.Clone(x.others)
		if box, ok := x.Shape.Box(); ok && x.Country != "" {
			others = append(others, r.near(box)...)
		}
		for _, o := range r.get(slices.DeleteFunc(others, gone)) {
			if slices.Contains(o.others, x.id) || len(o.others) > 0 && ledger.Neighbours(x.Source, o.Source) {
				touched[o] = true
			}
		}
	}
	changed = slices.Collect(maps.Keys(touched))
	for _, s := range changed {
		if s.others = slices.DeleteFunc(s.others, gone); len(s.others) == 0 {
			s.share = nil
			continue
		}
		box, _ := s.Shape.Box()
		s.measure(slices.DeleteFunc(r.get(r.near(box)), func(o *source) bool {
			return o == s || gone(o.id) || !ledger.Neighbours(s.Source, o.Source)
		}))
	}
	return changed, r.err
}
