package register

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"time"
)

// existing is a source that a feature has already.
type existing struct {
	id     string
	reason string
	mark   mark
}

// know remembers a source that cannot be what a lost request made.
func (r *run) know(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[maphash.String(r.index.seed, id)] = struct{}{}
}

func (r *run) knows(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.known[maphash.String(r.index.seed, id)]
	return known
}

// replay puts the journal's knowledge into the index.
func (r *run) replay() error {
	x := r.index
	type replaced struct {
		entry int
		by    mark
	}
	var (
		candidates []replaced
		gone       int
		goneLost   = map[string]bool{}
	)
	ours, err := r.journal.records(r.Server, r.Account, func(line int64, rec record) error {
		for place, m := range rec.Marks {
			identity, ok := parseHash(m.Identity)
			if !ok {
				return fmt.Errorf("%w: %s at byte %d names no identity", ErrJournal, r.journal.path, line)
			}
			if m.ID != "" {
				r.know(m.ID)
			}
			i, here := x.byID[identity]
			if !here {
				switch rec.Kind {
				case kindIntent, kindLost:
					goneLost[m.Identity] = true
				case kindRegistered:
					gone++
					for _, i := range x.named(m.AltID) {
						if p := x.entries[i].period; p.Start.String() == m.StartAt && p.End.String() == m.EndAt {
							candidates = append(candidates, replaced{i, m})
						}
					}
					fallthrough
				default:
					delete(goneLost, m.Identity)
				}
				continue
			}
			e, same := &x.entries[i], rec.Content == r.content
			if e.state == invalid {
				continue
			}
			to := pending
			switch rec.Kind {
			case kindIntent, kindLost:
				to = lost
			case kindBefore:
				continue
			case kindRegistered, kindExisted:
				to = registered
				if rec.Kind == kindExisted {
					to = existed
				}
				delete(r.found, int(i))
				if !same {
					to = standing
					r.found[int(i)] = existing{m.ID, "registered before with other attributes", m}
				}
				e.conflict = m.Conflict != nil && *m.Conflict
			case kindRefused:
				if same {
					to = refused
				}
			}
			e.state, e.line, e.place = to, line, int32(place)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range candidates {
		if x.entries[c.entry].state == pending {
			r.found[c.entry] = existing{c.by.ID, "registered before with another boundary", c.by}
		}
	}
	for i := range r.found {
		switch e := &x.entries[i]; {
		case r.AllowExisting && (e.state == standing || e.state == pending):
			e.state = pending
		case e.state == pending:
			e.state = standing
		}
		if x.entries[i].state != standing {
			delete(r.found, i)
		}
	}
	if gone > 0 {
		r.notice("%d features that this journal registered are not in the input, or not with the same boundary and period", gone)
	}
	if len(goneLost) > 0 {
		r.notice("%d features of unknown outcome are not in the input any more; run with the input as it was to settle them", len(goneLost))
	}
	r.groupLost()
	if !ours {
		_, err = r.journal.append(record{Kind: kindAccount, At: time.Now(), Host: r.Server, Account: r.Account})
	}
	return err
}

// groupLost gathers the features whose outcome is unknown by their requests,
// for a request was carried out whole or not at all.
func (r *run) groupLost() {
	var all []int
	for i := range r.index.entries {
		if r.index.entries[i].state == lost {
			all = append(all, i)
		}
	}
	line := func(i int) int64 { return r.index.entries[i].line }
	slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(line(a), line(b)) })
	for len(all) > 0 {
		n := 1
		for n < len(all) && line(all[n]) == line(all[0]) {
			n++
		}
		r.lost = append(r.lost, all[:n:n])
		all = all[n:]
	}
}

// deadline is until when a lost batch may still be carried out: the settling
// time after its connection ended.
func (r *run) deadline(batch []int) (time.Time, record, error) {
	rec, err := r.journal.at(r.index.entries[batch[0]].line)
	if err != nil {
		return time.Time{}, rec, err
	}
	ended := rec.At
	if rec.Kind == kindIntent {
		// Its process was killed before it could say when the connection ended.
		ended = ended.Add(longestRequest)
	}
	if ended.After(r.opened) {
		ended = r.opened
	}
	return ended.Add(r.Settle), rec, nil
}
