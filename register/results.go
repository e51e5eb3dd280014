package register

import (
	"encoding/json"
	"fmt"
)

// results tells what became of each feature, in the input's order.
func (r *run) results() error {
	if r.Result == nil {
		return nil
	}
	var (
		line int64 = -1
		rec  record
	)
	for i := range r.index.entries {
		e := &r.index.entries[i]
		result := Result{AltID: r.index.altID(i), feature: func() (json.RawMessage, error) {
			return r.input.at(e.offset, int(e.length))
		}}
		switch e.state {
		case registered, existed, refused, lost:
			if e.line < 0 {
				break // the journal could not take it
			}
			if e.line != line {
				var err error
				if rec, err = r.journal.at(e.line); err != nil {
					return err
				}
				line = e.line
			}
			if int(e.place) >= len(rec.Marks) {
				return fmt.Errorf("%w: %s at byte %d", ErrJournal, r.journal.path, line)
			}
			result.fill(rec.Marks[e.place])
		case invalid:
			result.Reason = r.flaw(e)
		case standing:
			result.fill(r.found[i].mark)
			result.Reason = r.found[i].reason
		}
		switch e.state {
		case registered:
			result.Outcome = Registered
		case existed, standing:
			result.Outcome = Existed
		case refused:
			result.Outcome = Refused
		case invalid:
			result.Outcome = Invalid
		case lost, sent:
			result.Outcome = Unknown
			result.Reason = "sent, and the answer was lost; run again to look it up"
			if rec.Reason != "" && e.line == line {
				result.Reason += " (" + rec.Reason + ")"
			}
		default:
			result.Outcome = Pending
		}
		if err := r.Result(result); err != nil {
			return err
		}
	}
	return nil
}

func (result *Result) fill(m mark) {
	result.ID, result.Hectares, result.Conflict = m.ID, m.Hectares, m.Conflict
	result.ConflictWith, result.Reason = m.ConflictWith, m.Reason
}

// flaw says why an entry is invalid. The reasons are not kept: the feature is
// read and judged again.
func (r *run) flaw(e *entry) string {
	switch e.flaw {
	case missingID:
		return "it has no id"
	case duplicate:
		return fmt.Sprintf("it has the id, the period and the boundary of feature %d", e.place)
	}
	raw, err := r.input.at(e.offset, int(e.length))
	if err != nil {
		return err.Error()
	}
	f, err := r.mapping.read(raw)
	if err != nil {
		return err.Error()
	}
	return r.mapping.reason(f.problems)
}
