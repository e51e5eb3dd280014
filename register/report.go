package register

import (
	"cmp"
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strings"
)

// has reports whether METI has an entry as it is.
func (j *Job) has(i int) bool { s := j.entries[i].state; return s == Registered || s == Differs }

// Counts tells how many features stand where.
func (j *Job) Counts() Counts {
	c := Counts{Features: j.features}
	for i := range j.entries[:j.features] {
		e := &j.entries[i]
		*c.of(e.state)++
		if e.state == Registered || (e.state == Differs || e.state == Boundary) && j.Changed == Accept || e.state == Gone && j.Gone == Accept {
			c.Done++
		}
		switch {
		case j.toSend(i) || e.state == Pending:
			c.ToSend++
			if j.willReplace(i) != "" {
				c.ToReplace++
			}
			if len(j.with[i]) > 0 {
				c.Conflicts++
				c.ConflictsToSend++
			}
		case j.has(i) && j.sources[e.source].conflict > 0:
			c.Conflicts++
		}
	}
	return c
}

// Warnings counts the features that the ledger's rules warn of, by rule.
func (j *Job) Warnings() map[string]int { return j.warned }

// Compared tells with what the plan's features were compared: whole says that
// the whole account was read, and hidden how many of its sources have no
// boundary.
func (j *Job) Compared() (whole bool, hidden int) { return j.whole, j.neighbours.unshown }

// Rows gives what is known of each feature, in the input's order.
func (j *Job) Rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for i := range j.entries[:j.features] {
			if !yield(j.row(i), nil) {
				return
			}
		}
	}
}

func (j *Job) row(i int) Row {
	e := &j.entries[i]
	row := Row{AltID: e.altID, State: e.state, Reason: j.reasons[i], feature: func() (json.RawMessage, error) { return j.feature(i) }}
	also := func(reason string) { row.Reason = strings.Trim(reason+"; "+row.Reason, "; ") }
	switch e.state {
	case Registered:
		j.fill(&row, e.source)
	case Differs:
		j.fill(&row, e.source)
		also(j.difference(i))
	case Boundary:
		row.ID = j.sources[e.source].id
		also("METI has another boundary of it")
	case Gone:
		row.ID = j.sources[e.known].id
		also("gone from METI (registered " + j.since(e.known).UTC().Format("2006-01-02") + ")")
	case Unknown:
		row.Reason = cmp.Or(row.Reason, j.unknownBecause(i))
	}
	if (e.state == Differs || e.state == Boundary) && j.Changed == Renew && !j.toSend(i) {
		also("the journal does not have " + row.ID + ", so that it is not replaced; delete it first")
	}
	if j.toSend(i) || e.state == Pending {
		row.ConflictWith = slices.Clone(j.with[i])
		slices.SortFunc(row.ConflictWith, func(a, b Party) int { return cmp.Or(strings.Compare(a.AltID, b.AltID), strings.Compare(a.ID, b.ID)) })
		row.ConflictWith = slices.Compact(row.ConflictWith)
		row.Conflict = nil
		if conflict := len(row.ConflictWith) > 0; conflict || j.whole {
			row.Conflict = &conflict
		}
	}
	return row
}

func (j *Job) unknownBecause(i int) string {
	for _, q := range j.requests {
		for _, o := range q.entries {
			if o >= 0 && slices.Contains(j.concerned(o), i) {
				return q.cause + "; until " + q.until.UTC().Format("15:04:05Z") + " it may still turn up"
			}
		}
	}
	return "registered a moment ago, and not visible yet"
}

// fill completes a row by what METI says of its source.
func (j *Job) fill(row *Row, k int32) {
	s := &j.sources[k]
	row.ID, row.Country = s.id, s.country.Value()
	if !math.IsNaN(s.hectares) {
		hectares := s.hectares
		row.Hectares = &hectares
	}
	if s.conflict >= 0 {
		conflict := s.conflict > 0
		row.Conflict = &conflict
	}
	for _, id := range j.partners[k] {
		row.ConflictWith = append(row.ConflictWith, Party{ID: id, AltID: j.nameOf(id)})
	}
}

// nameOf gives the alt_id of a source of the account, where it is known.
func (j *Job) nameOf(id string) string {
	if k, ok := j.bySSID[id]; ok && j.sources[k].entry >= 0 {
		return j.entries[j.sources[k].entry].altID
	}
	return j.names[id]
}
