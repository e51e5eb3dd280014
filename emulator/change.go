package emulator

import (
	"database/sql"
	"encoding/json"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/meti-go/meti/ledger"
	"golang.org/x/sync/errgroup"
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
	id int64
	conflicts
}

// region is the part of a store that a change is about, as far as it has been
// read, by id. What changes in it is written in the end.
type region struct {
	st   *store
	byID map[int64]*stored
}

// get gives the sources of these ids.
func (r region) get(ids []int64) (list []*stored, err error) {
	missing, err := json.Marshal(slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return r.byID[id] != nil }))
	if err != nil {
		return nil, err
	}
	rows, err := r.st.db.QueryContext(forever, `SELECT s.id, s.country, s.starts, s.ends, s.geometry, coalesce(c.others, '[]'), c.share
		FROM json_each(?) j JOIN source s ON s.id = j.value LEFT JOIN conflict c ON c.id = s.id`, string(missing))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		s := new(stored)
		var geometry, others sql.RawBytes
		if err := rows.Scan(&s.id, &s.Country, &s.Period.Start, &s.Period.End, &geometry, &others, &s.share); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(others, &s.others); err != nil {
			return nil, err
		}
		if s.Shape, err = ledger.ParseGeometry(geometry); err != nil {
			return nil, err
		}
		r.byID[s.id] = s
	}
	for _, id := range ids {
		list = append(list, r.byID[id])
	}
	return list, rows.Err()
}

// near gives the ids of the sources whose box meets one of these.
func (r region) near(boxes ...ledger.Box) ([]int64, error) {
	text, err := json.Marshal(boxes)
	if err != nil {
		return nil, err
	}
	return r.st.ids(`SELECT DISTINCT b.id FROM json_each(?) j JOIN box b
		ON b.west <= j.value ->> 'East' AND b.east >= j.value ->> 'West' AND b.south <= j.value ->> 'North' AND b.north >= j.value ->> 'South'
		ORDER BY b.id`, string(text))
}

// register stores newcomers, all or none, and returns each as METI answers it.
// They conflict with nothing stored past the id seen, and with nothing at all
// where that is negative.
func (st *store) register(news []newcomer, now func() time.Time, seen int64) (answers [][]byte, err error) {
	st.turn.Lock()
	defer st.turn.Unlock()
	created, arrived := rfc3339(now()), time.Now().UnixMicro()
	last, err := st.ids("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'source'")
	if err != nil {
		return nil, err
	}
	first := last[0] + 1
	r := region{st, make(map[int64]*stored)}
	changed := make(map[int64]*stored)
	if seen >= 0 {
		if changed, err = r.judge(news, first, seen); err != nil {
			return nil, err
		}
	}
	return answers, st.transact(func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(forever, `INSERT INTO source (id, ssid, account, alt_id, country, starts, ends, created, arrived, document, geometry)
			VALUES (?,?,?,?,?,?,?,?,?,?,?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		insertBox, err := tx.PrepareContext(forever, "INSERT INTO box (id, west, east, south, north) VALUES (?,?,?,?,?)")
		if err != nil {
			return err
		}
		defer insertBox.Close()
		for i, n := range news {
			id := first + int64(i)
			ssid := st.ssid(id)
			if _, err := insert.ExecContext(forever, id, ssid, n.account, n.altID, n.Country, int64(n.Period.Start), int64(n.Period.End),
				created, arrived, string(n.document), string(n.geometry)); err != nil {
				return err
			}
			if box, ok := n.Shape.Box(); ok {
				if _, err := insertBox.ExecContext(forever, id, box.West, box.East, box.South, box.North); err != nil {
					return err
				}
			}
			var c conflicts
			if s := changed[id]; s != nil {
				c = s.conflicts
			}
			answers = append(answers, st.appendSource(nil, []byte(ssid), []byte(created), []byte(created), n.document, n.geometry, c))
		}
		return write(tx, changed, created)
	})
}

// judge finds the conflicts of newcomers, which get successive ids, and gives
// all sources whose conflicts change, the newcomers in conflict among them.
func (r region) judge(news []newcomer, first, seen int64) (map[int64]*stored, error) {
	var boxes []ledger.Box
	fresh := make([]ledger.Source, len(news))
	for i, n := range news {
		fresh[i] = n.Source
		if box, ok := n.Shape.SearchBox(); ok && n.Country != "" {
			boxes = append(boxes, box)
		}
	}
	ids, err := r.near(boxes...)
	if err != nil {
		return nil, err
	}
	older, err := r.get(slices.DeleteFunc(ids, func(id int64) bool { return id > seen }))
	if err != nil {
		return nil, err
	}
	verdicts, err := ledger.Check(forever, fresh, sourcesOf(older))
	if err != nil {
		return nil, err
	}
	changed := make(map[int64]*stored)
	var touched []*stored // of the older ones
	for i, v := range verdicts {
		if !v.Conflict() {
			continue
		}
		s := &stored{Source: fresh[i], id: first + int64(i)}
		if v.PercentOverlap != nil {
			s.share = sql.NullFloat64{Float64: *v.PercentOverlap, Valid: true}
		}
		r.byID[s.id], changed[s.id] = s, s
		for _, ref := range v.With {
			if !ref.Stored {
				s.others = append(s.others, first+int64(ref.Index))
				continue
			}
			o := older[ref.Index]
			s.others, o.others = append(s.others, o.id), append(o.others, s.id)
			if changed[o.id] == nil {
				touched = append(touched, o)
			}
			changed[o.id] = o
		}
	}
	return changed, r.measure(touched, nil)
}

func sourcesOf(list []*stored) []ledger.Source {
	sources := make([]ledger.Source, len(list))
	for i, s := range list {
		sources[i] = s.Source
	}
	return sources
}

func pick[T any](list []T, indexes []int) (picked []T) {
	for _, i := range indexes {
		picked = append(picked, list[i])
	}
	return picked
}

// measure computes the shares of sources under what they conflict with, or,
// after some are gone, under their neighbours that are left.
func (r region) measure(sources []*stored, gone func(id int64) bool) error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, s := range sources {
		if len(s.others) == 0 {
			s.share = sql.NullFloat64{}
			continue
		}
		if gone == nil && s.share.Valid && s.share.Float64 == 1 {
			continue // more of them cannot cover more
		}
		under := s.others
		if gone != nil {
			box, _ := s.Shape.Box()
			ids, err := r.near(box)
			if err != nil {
				return err
			}
			under = slices.DeleteFunc(ids, func(id int64) bool { return id == s.id || gone(id) })
		}
		list, err := r.get(under)
		if err != nil {
			return err
		}
		group.Go(func() error {
			others := sourcesOf(list)
			if gone != nil {
				others = pick(others, ledger.Neighbours(s.Source, others))
			}
			shapes := make([]*ledger.Shape, len(others))
			for i, o := range others {
				shapes[i] = o.Shape
			}
			share, ok := ledger.Overlap(s.Shape, shapes)
			s.share = sql.NullFloat64{Float64: share, Valid: ok && share == share}
			return nil
		})
	}
	return group.Wait()
}

// remove deletes the sources that match, and says how many there were.
func (st *store) remove(f filter, now func() time.Time) (deleted int, err error) {
	st.turn.Lock()
	defer st.turn.Unlock()
	ids, err := st.matching(f, -1, 0)
	if err != nil {
		return 0, err
	}
	changed, err := region{st, make(map[int64]*stored)}.part(ids)
	if err != nil {
		return 0, err
	}
	return len(ids), st.transact(func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.ExecContext(forever, "DELETE FROM source WHERE id = ?1; DELETE FROM box WHERE id = ?1; DELETE FROM conflict WHERE id = ?1", id); err != nil {
				return err
			}
		}
		return write(tx, changed, rfc3339(now()))
	})
}

// part finds what deleting the sources does to the others.
func (r region) part(ids []int64) (map[int64]*stored, error) {
	gone := func(id int64) bool { _, found := slices.BinarySearch(ids, id); return found }
	changed := make(map[int64]*stored)
	going, err := r.get(ids)
	if err != nil {
		return nil, err
	}
	for _, x := range going {
		var near []int64
		if box, ok := x.Shape.Box(); ok && x.Country != "" {
			if near, err = r.near(box); err != nil {
				return nil, err
			}
		}
		others, err := r.get(slices.DeleteFunc(append(near, x.others...), gone))
		if err != nil {
			return nil, err
		}
		for _, o := range others {
			if len(o.others) > 0 && (slices.Contains(o.others, x.id) || len(ledger.Neighbours(x.Source, []ledger.Source{o.Source})) > 0) {
				changed[o.id] = o
			}
		}
	}
	for _, o := range changed {
		o.others = slices.DeleteFunc(o.others, gone)
	}
	return changed, r.measure(slices.Collect(maps.Values(changed)), gone)
}

// write stores what conflicts have become.
func write(tx *sql.Tx, changed map[int64]*stored, now string) error {
	set, err := tx.PrepareContext(forever, "INSERT OR REPLACE INTO conflict (id, others, share, changed) VALUES (?,?,?,?)")
	if err != nil {
		return err
	}
	defer set.Close()
	for id, s := range changed {
		others, err := json.Marshal(slices.Concat([]int64{}, s.others))
		if err != nil {
			return err
		}
		if _, err := set.ExecContext(forever, id, string(others), s.share, now); err != nil {
			return err
		}
	}
	return nil
}

// rfc3339 writes a time as METI does, to the microsecond [D].
func rfc3339(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00") }
