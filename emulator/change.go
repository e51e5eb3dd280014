package emulator

import (
	"database/sql"
	"encoding/json"
	"slices"
	"time"
)

// register stores the newcomers of an account, all or none, and returns each
// as METI answers it. They see no source past the id seen.
func (st *store) register(account string, news []newcomer, seen int64) (answers [][]byte, err error) {
	now := rfc3339(st.options.Now())
	var last int64 // the id before the newcomers'
	err = st.change(func(v view, m *memo) (func(*sql.Tx) error, error) {
		planned, err := v.planRegistration(news, seen, m)
		return func(tx *sql.Tx) (err error) {
			if err := tx.QueryRowContext(forever, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'source'").Scan(&last); err != nil {
				return err
			}
			answers, err = st.insert(tx, account, now, last, news, planned)
			return err
		}, err
	})
	if err != nil {
		return nil, err
	}
	st.births.add(st.options.Now(), last+int64(len(news)))
	for i, n := range news { // not before they are committed
		st.shapes.put(last-refOf(i), n.Source)
	}
	return answers, nil
}

func (st *store) insert(tx *sql.Tx, account, now string, last int64, news []newcomer, planned registration) ([][]byte, error) {
	idOf := func(ref int64) int64 {
		if ref < 0 {
			return last - ref
		}
		return ref
	}
	insert, insertBox := tx.StmtContext(forever, st.sql.insert), tx.StmtContext(forever, st.sql.insertBox) //nolint:sqlclosecheck // closed with tx
	answers := make([][]byte, len(news))
	for i, n := range news {
		id := idOf(refOf(i))
		ssid := st.ssid(id)
		a := n.attributes
		_, err := insert.ExecContext(forever, ssid, account, n.altID, a.Methodology, a.StewardID, a.ProjectID, a.OutcomeReportingYear,
			n.Country, int64(n.Period.Start), int64(n.Period.End), now, n.document, n.geometry, n.shape, id)
		if err != nil {
			return nil, err
		}
		if box, ok := n.Shape.Box(); ok {
			if _, err := insertBox.ExecContext(forever, id, box.West, box.East, box.South, box.North); err != nil {
				return nil, err
			}
		}
		state := planned.states[refOf(i)]
		state.others = slices.Clone(state.others)
		for k, ref := range state.others {
			state.others[k] = idOf(ref)
		}
		state.changed = now
		answers[i] = st.appendSource(nil, ssid, n.document, n.geometry, state)
	}
	for ref, state := range planned.states {
		state.others = slices.Clone(state.others)
		for k, other := range state.others {
			state.others[k] = idOf(other)
		}
		if err := st.setState(tx, idOf(ref), state, now); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func (st *store) setState(tx *sql.Tx, id int64, state conflictState, now string) error {
	others, err := json.Marshal(slices.Concat([]int64{}, state.others))
	if err != nil {
		return err
	}
	_, err = tx.StmtContext(forever, st.sql.insertConflict).ExecContext(forever, id, string(others), state.share, now) //nolint:sqlclosecheck // closed with tx
	return err
}

// remove deletes the sources that match, and says how many there were.
func (st *store) remove(f filter) (deleted int, err error) {
	now := rfc3339(st.options.Now())
	err = st.change(func(v view, m *memo) (func(*sql.Tx) error, error) {
		ids, err := v.matching(f)
		if err != nil {
			return nil, err
		}
		states, err := v.planRemoval(ids, m)
		return func(tx *sql.Tx) error {
			for _, id := range ids {
				for _, table := range []string{"source", "box", "conflict"} {
					if _, err := tx.ExecContext(forever, "DELETE FROM "+table+" WHERE id = ?", id); err != nil {
						return err
					}
				}
			}
			for id, state := range states {
				if err := st.setState(tx, id, state, now); err != nil {
					return err
				}
			}
			deleted = len(ids)
			return nil
		}, err
	})
	return deleted, err
}

// matching gives the ids of the sources that match, in order.
func (v view) matching(f filter) ([]int64, error) {
	where, args := f.where()
	query := "SELECT s.id FROM source s WHERE " + where + " ORDER BY s.id"
	args = append(args, 0)
	var rows *sql.Rows
	var err error
	if v.tx == nil {
		rows, err = v.st.db.QueryContext(forever, query, args...)
	} else {
		rows, err = v.tx.QueryContext(forever, query, args...)
	}
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
	return ids, rows.Err()
}

// rfc3339 writes a time as METI does, to the microsecond [D].
func rfc3339(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00") }
