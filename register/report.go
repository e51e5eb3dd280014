package register

import (
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strings"
)

// count counts the entries.
func (j *Job) count() Counts {
	c := Counts{Features: len(j.entries)}
	for i := range j.entries {
		e := &j.entries[i]
		*c.of(e.state)++
		if j.isDone(e.state) {
			c.Done++
		}
		if e.send && e.state != Unknown {
			c.ToSend++
			if len(j.order.with[i]) > 0 {
				c.Conflicts++
			}
		} else if (e.state == Registered || e.state == Differs) && j.account.sources[e.source].conflict > 0 {
			c.Conflicts++
		}
	}
	return c
}

func (j *Job) isDone(s State) bool {
	return s == Registered || (s == Differs || s == Boundary) && j.Changed == Accept || s == Gone && j.Gone == Accept
}

// ConflictsToSend counts the features to be sent that would be in conflict with
// what is known.
func (j *Job) ConflictsToSend() (n int) {
	for i, with := range j.order.with {
		if len(with) > 0 && j.entries[i].send {
			n++
		}
	}
	return n
}

// Warnings counts the features that the ledger's rules warn of, by rule.
func (j *Job) Warnings() map[string]int {
	list := map[string]int{}
	for rule, n := range j.warned {
		list[string(rule)] = n
	}
	return list
}

// Compared tells with what the plan's features were compared: whole says that
// the whole account was read, and hidden how many of its sources have no
// boundary.
func (j *Job) Compared() (whole bool, hidden int) {
	return j.account.whole, j.neighbours.unshown
}

// has reports whether METI has an entry as it is.
func (j *Job) has(i int) bool { s := j.entries[i].state; return s == Registered || s == Differs }

// Rows gives what is known of each feature, in the input's order.
func (j *Job) Rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for i := range j.entries {
			row, err := j.row(i), error(nil)
			if !yield(row, err) {
				return
			}
		}
	}
}

func (j *Job) row(i int) Row {
	e := &j.entries[i]
	row := Row{AltID: j.altID(i), State: e.state, Reason: j.reasons[i], feature: func() (json.RawMessage, error) { return j.readAgain(i) }}
	switch e.state {
	case Invalid:
		row.Reason = j.flawOf(i)
		return row
	case Registered, Differs:
		j.fill(&row, e.source)
	case Boundary:
		row.ID = j.account.id(e.source)
		row.Reason = join("METI has another boundary of it", row.Reason)
	case Gone:
		id, at := j.ssidOf(i)
		row.ID = id
		row.Reason = join("gone from METI (registered "+at.UTC().Format("2006-01-02")+")", row.Reason)
	case Unknown:
		if row.Reason == "" {
			row.Reason = j.unknownBecause(i)
		}
	}
	if e.send && e.state != Unknown {
		with := j.parties(i)
		conflict := len(with) > 0
		row.Conflict, row.ConflictWith = &conflict, with
	}
	return row
}

func (j *Job) unknownBecause(i int) string {
	for _, l := range j.limbo {
		if slices.Contains(l.entries, i) {
			return l.cause + "; until " + l.deadline.UTC().Format("15:04:05Z") + " it may still turn up"
		}
	}
	return ""
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

// fill completes a row by what METI says of its source.
func (j *Job) fill(row *Row, k int32) {
	a := &j.account
	s := &a.sources[k]
	row.ID, row.Country = a.id(k), a.texts.at(s.country)
	if !math.IsNaN(s.hectares) {
		hectares := s.hectares
		row.Hectares = &hectares
	}
	if s.conflict >= 0 {
		conflict := s.conflict > 0
		row.Conflict = &conflict
	}
	if s.with >= 0 {
		for _, id := range a.partners[s.with] {
			row.ConflictWith = append(row.ConflictWith, Party{ID: id, AltID: j.altIDOf(id)})
		}
	}
	if s.differs >= 0 && row.State == Differs {
		row.Reason = join(a.differences[s.differs], row.Reason)
	}
}

// altIDOf names a source of the account, where it was read.
func (j *Job) altIDOf(id string) string {
	if k, ok := j.account.byID[j.key(id)]; ok && j.account.id(k) == id {
		return j.account.altIDOf(k)
	}
	if at, ok := j.account.altIDs[j.key(id)]; ok {
		return j.account.texts.at(at)
	}
	return ""
}
