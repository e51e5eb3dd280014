package register

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meti-go/meti/api"
)

// lookup is what one look for lost requests gave.
type lookup struct {
	begin   time.Time
	entries []int
	limbo   []*limbo // what is looked for
	sources []*api.Source
	gone    []string
	err     error
}

// lookUp looks for what was lost, when it is time for it.
func (r *run) lookUp() {
	if r.looking || r.ctx.Err() != nil {
		return
	}
	now := time.Now()
	var entries []int
	var due []*limbo
	final := false
	for _, l := range r.limbo {
		if len(l.entries) > 0 && !now.Before(l.next) {
			due = append(due, l)
			entries = append(entries, l.entries...)
			final = final || !now.Before(l.deadline)
		}
	}
	if len(entries) == 0 {
		return
	}
	entries = unique(entries)
	var ids []string
	for _, i := range entries {
		if r.entries[i].known >= 0 {
			id, _ := r.ssidOf(i)
			ids = append(ids, id)
		}
	}
	names := r.altIDsOf(entries)
	r.looking = true
	go func() {
		l := r.lookFor(entries, names, ids, final)
		l.limbo = due
		r.looked <- l
	}()
}

// lookFor asks METI for some entries. It is not the goroutine that owns the run,
// and only collects.
func (r *run) lookFor(entries []int, names, ids []string, final bool) lookup {
	l := lookup{begin: time.Now(), entries: entries}
	seen, found := map[string]bool{}, map[string]bool{}
	without := func(all []string, have map[string]bool) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return have[s] })
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	_, l.gone, _, l.err = r.ask(r.ctx, question{
		names: names,
		each: func(s *api.Source) {
			if wanted[s.AltID] && !seen[s.ID] {
				seen[s.ID], found[s.AltID] = true, true
				l.sources = append(l.sources, s)
			}
		},
		known: func() []string { return without(ids, seen) },
		absent: func() []string {
			if !final {
				return nil
			}
			return without(names, found)
		},
		progress: func(int, int) {},
	})
	return l
}

// overdue reports whether something should be known by now.
func (r *run) overdue() bool {
	return slices.ContainsFunc(r.limbo, func(l *limbo) bool { return !time.Now().Before(l.deadline) })
}

// postpone says when what was looked for is looked for again.
func (r *run) postpone() {
	now := time.Now()
	for _, l := range r.limbo {
		if now.Before(l.next) {
			continue
		}
		l.pause = max(l.pause, time.Millisecond)
		l.next = now.Add(l.pause)
		if now.Before(l.deadline) && l.deadline.Before(l.next) {
			l.next = l.deadline
		}
		l.pause = min(2*l.pause, r.Settle/4, 10*time.Second)
	}
}

// closeLimbo notes what became of requests that are all found, or that a
// reading shows to have had no effect: it began after the deadline.
func (r *run) closeLimbo() error {
	var left []*limbo
	for n, l := range r.limbo {
		ids, all, none := make([]string, len(l.marks)), true, true
		for k, m := range l.marks {
			ids[k] = l.found[k]
			if i := l.at[k]; i >= 0 {
				e := &r.entries[i]
				if (e.state == Registered || e.state == Differs) && r.account.id(e.source) != m.Replaces {
					ids[k] = r.account.id(e.source)
				}
			}
			all, none = all && ids[k] != "", none && ids[k] == ""
		}
		switch late := !l.deadline.After(l.read); {
		case !late && (!all || l.intent == 0):
			left = append(left, l)
			continue
		case l.intent == 0:
			continue
		case l.taken && !all:
			r.leave(l, ids)
			continue
		case none:
			if err := r.write(record{Intent: l.intent, Void: "not found after the settling time"}); err != nil {
				r.limbo = append(left, r.limbo[n:]...)
				return err
			}
			continue
		}
		if err := r.write(record{Intent: l.intent, Result: ids}); err != nil {
			r.limbo = append(left, r.limbo[n:]...)
			return err
		}
		var marks []mark
		var of []int
		for k, m := range l.marks {
			i := l.at[k]
			if i < 0 || ids[k] == "" {
				continue
			}
			r.maps(i, ids[k], time.Now())
			if m.Replaces != "" && r.Changed == Renew {
				marks, of = append(marks, m), append(of, i)
			} else if m.Replaces != "" {
				r.reasons[i] = m.Replaces + " was to be deleted once this replaced it, and was not"
			}
		}
		r.replaced(marks, of)
	}
	r.limbo = left
	return nil
}

// leave gives up a request that METI answered with success and whose features
// are not to be found: they are not sent again by this run.
func (r *run) leave(l *limbo, ids []string) {
	for k, i := range l.at {
		if i < 0 || ids[k] != "" {
			continue
		}
		e := &r.entries[i]
		e.state, e.send = Unknown, false
		r.reasons[i] = "METI answered success, and it is not to be found: " + l.cause
	}
	if r.canary == untried {
		r.stop(fmt.Errorf("%w: it answered success, and what was sent is not to be found; nothing more was sent (%s)", ErrAltered, l.cause))
	}
}

// abandon ends the looking: what is not known stays so.
func (r *run) abandon() {
	r.limbo = nil
}

// finish reads again what the run may have changed: what it sent, and what of
// ours METI says that it conflicts with.
func (r *run) finish() error {
	if r.ctx.Err() != nil || r.target.Sandbox {
		return nil
	}
	r.stage = StageClosing
	read := make([]bool, len(r.entries))
	entries := unique(r.changed)
	for try := 0; len(entries) > 0 && try < 5; try++ {
		for _, i := range entries {
			read[i] = true
		}
		reading, err := r.look(r.ctx, entries, false)
		if err != nil {
			return fmt.Errorf("reading again what was registered: %w", err)
		}
		r.decide(reading, entries)
		var again []int
		wait := time.Time{}
		for _, i := range entries {
			if r.entries[i].state == Unknown { // not visible yet
				again = append(again, i)
				_, at := r.ssidOf(i)
				if at = at.Add(r.Settle); at.After(wait) {
					wait = at
				}
			}
		}
		if len(again) > 0 {
			r.progress(Progress{Stage: r.stage, Wait: fmt.Sprintf("%d sources to be seen", len(again)), Until: wait})
			if !sleep(r.ctx, time.Until(wait)) {
				return nil
			}
		}
		entries = append(again, r.partners(read)...)
	}
	if err := r.nameParties(r.ctx); err != nil {
		return err
	}
	return r.adopt()
}

// partners are the features that METI says are in conflict with some, and that
// were not read again.
func (r *run) partners(read []bool) (list []int) {
	if len(r.account.partners) == 0 {
		return nil
	}
	owner := map[int32]int{}
	for i := range r.entries {
		if e := &r.entries[i]; e.source >= 0 && (e.state == Registered || e.state == Differs) {
			owner[e.source] = i
		}
	}
	for i := range read {
		e := &r.entries[i]
		if !read[i] || e.source < 0 || r.account.sources[e.source].with < 0 {
			continue
		}
		for _, id := range r.account.partners[r.account.sources[e.source].with] {
			k, known := r.account.byID[r.key(id)]
			if o, ours := owner[k]; known && ours && !read[o] {
				list = append(list, o)
			}
		}
	}
	return unique(list)
}

// adopt notes what was found in the account without the journal's help, where
// there is a journal: by this alone it may be replaced later.
func (r *run) adopt() error {
	if r.journal == nil || r.journal.created && !r.journal.written {
		return nil
	}
	rec := record{Attributes: nil}
	flush := func() error {
		if len(rec.Features) == 0 {
			return nil
		}
		err := r.write(rec)
		rec = record{}
		return err
	}
	for i := range r.entries {
		e := &r.entries[i]
		if e.known >= 0 || e.state != Registered && e.state != Differs {
			continue
		}
		id := r.account.id(e.source)
		r.maps(i, id, time.Now())
		rec.Features = append(rec.Features, mark{Identity: r.identity(i).String(), AltID: r.altID(i), StartAt: e.period.Start.String(), EndAt: e.period.End.String(), Box: e.box})
		if rec.Result = append(rec.Result, id); len(rec.Result) == 500 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// settle takes in what a look gave: the table of the package documentation,
// "looked for".
func (r *run) settle(l lookup) {
	if l.err != nil {
		if r.ctx.Err() != nil {
			return
		}
		r.unread++
		if errors.Is(l.err, api.ErrUnauthorized) || errors.Is(l.err, api.ErrNoToken) || errors.Is(l.err, api.ErrForbidden) || r.unread >= unreadInARow && r.overdue() {
			r.stop(fmt.Errorf("what became of requests cannot be looked up: %w", l.err))
			r.abandon()
			return
		}
		r.postpone()
		return
	}
	r.unread = 0
	r.account.readings++
	reading := &reading{begin: l.begin, gone: map[string]bool{}, number: r.account.readings}
	for _, id := range l.gone {
		reading.gone[id] = true
	}
	was, replacing := map[int]State{}, r.replacing()
	for _, i := range l.entries {
		was[i] = r.entries[i].state
		r.entries[i].source = -1
	}
	for _, s := range l.sources {
		r.see(reading, s)
	}
	r.decide(reading, l.entries)
	for _, i := range l.entries {
		e := &r.entries[i]
		if e.state == Registered || e.state == Differs {
			if was[i] == Unknown && replacing[i] != r.account.id(e.source) {
				r.became(i, e.source)
				r.lost = 0
				if r.canary == untried {
					r.canary = found // it was read
				}
				continue
			}
		}
		if e.state != Unknown {
			r.chooseOne(i)
			r.first = min(r.first, i)
		}
	}
	for _, one := range l.limbo {
		one.read = l.begin
	}
	if err := r.closeLimbo(); err != nil {
		r.stop(err)
	}
	r.postpone()
}
