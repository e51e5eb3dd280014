package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meti-go/meti/api"
)

// awaited gives the entries whose outcome is looked for.
func (r *run) awaited() (list []int) {
	for i := range r.entries {
		if r.entries[i].await {
			list = append(list, i)
		}
	}
	return list
}

// settle looks for what is not known, when it is time for it: the table of the
// package documentation, "looked for".
func (r *run) settle() {
	if r.ctx.Err() != nil || time.Now().Before(r.next) {
		return
	}
	entries := r.awaited()
	if len(entries) == 0 {
		return
	}
	defer r.postpone()
	if err := r.compare(r.ctx, entries); err != nil {
		r.notRead(err)
		return
	}
	r.unread = 0
	if r.closing {
		return
	}
	open := r.open()
	for _, i := range entries {
		e := &r.entries[i]
		switch {
		case open[i] && r.has(i) && !r.former(i) && r.sources[e.source].successor != int32(i):
			r.became(i, e.source)
			r.lost, r.proven = 0, true // it was read
		case e.state != Unknown:
			r.choose(i)
			r.first = min(r.first, i)
		}
	}
	r.closeRequests()
	r.removeReplaced()
}

// notRead notes that nothing could be looked up. What is asked for in vain too
// often, or will not be told, stays unknown.
func (r *run) notRead(err error) {
	if r.ctx.Err() != nil {
		return
	}
	final := slices.ContainsFunc([]error{api.ErrUnauthorized, api.ErrNoToken, api.ErrForbidden, ErrAltered, ErrIncomplete},
		func(class error) bool { return errors.Is(err, class) })
	if r.unread++; !final && (r.unread < unreadInARow || !r.nextDue().IsZero()) {
		return
	}
	r.stop(fmt.Errorf("what METI has cannot be read again: %w", err))
	open := r.open()
	for i := range r.entries {
		e := &r.entries[i]
		if e.await = false; open[i] && !r.has(i) {
			e.state = Unknown
		}
	}
}

// postpone says when what is unknown is looked for again: sooner at first, and
// when the first of it must be known.
func (r *run) postpone() {
	now := time.Now()
	r.later = max(r.later, time.Millisecond)
	r.next = now.Add(r.later)
	if due := r.nextDue(); !due.IsZero() && due.Before(r.next) {
		r.next = due
	}
	r.later = min(2*r.later, max(r.Settle/4, time.Millisecond), 10*time.Second)
}

// nextDue is when the next of what is unknown must be known; zero where all of it
// should be.
func (r *run) nextDue() (due time.Time) {
	earlier := func(at time.Time) {
		if at.After(time.Now()) && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	earlier(r.due)
	for _, q := range r.requests {
		earlier(q.until)
	}
	return due
}

// closeRequests notes what became of requests that are all found, or that a
// reading shows to have had no effect: it began after their time.
func (r *run) closeRequests() {
	for _, q := range slices.Clone(r.requests) {
		if q.until.IsZero() {
			continue // it is under way
		}
		ids, all, none := make([]string, len(q.features)), true, true
		for n, i := range q.entries {
			if i >= 0 && r.has(i) && r.sources[r.entries[i].source].id != q.features[n].Replaces {
				ids[n] = r.sources[r.entries[i].source].id
			}
			all, none = all && ids[n] != "", none && ids[n] == ""
		}
		switch late := !q.until.After(r.read); {
		case !late && !all:
		case q.taken && !all:
			r.leave(q, ids)
		case none:
			r.void(q, record{Void: "not found after the settling time"})
		default:
			if err := r.write(record{Intent: q.intent, Result: ids}); err != nil {
				r.stop(err)
				return
			}
			r.over(q)
			for n, i := range q.entries {
				if ids[n] != "" {
					r.maps(i, r.entries[i].source, time.Now())
				}
			}
		}
	}
}

// leave gives up a request that METI answered with success and whose features
// are not to be found: they are not sent again by this run.
func (r *run) leave(q *request, ids []string) {
	r.over(q)
	for n, i := range q.entries {
		if ids[n] == "" {
			r.entries[i].state, r.entries[i].send = Unknown, false
			r.reasons[i] = "METI answered success, and it is not to be found: " + q.cause
		}
	}
	if !r.proven {
		r.stop(fmt.Errorf("%w: it answered success, and what was sent is not to be found; nothing more was sent (%s)", ErrAltered, q.cause))
	}
}

// isReplaced reports whether a source stands beside its successor.
func (j *Job) isReplaced(k int32) bool {
	i := j.sources[k].successor
	return i >= 0 && j.entries[i].source >= 0 && j.entries[i].source != k
}

// replaced gives the sources that METI has beside their successors.
func (j *Job) replaced() (list []int32) {
	for k := range j.sources {
		if s := &j.sources[k]; s.reading > 0 && j.isReplaced(int32(k)) && j.has(int(s.successor)) {
			list = append(list, int32(k))
		}
	}
	return list
}

// removeReplaced deletes the sources whose successors are registered, and their
// results on disk.
func (r *run) removeReplaced() {
	var list []int32
	open := r.open()
	for _, k := range r.replaced() {
		s := &r.sources[k]
		switch {
		case open[int(s.successor)]: // it has no result yet
		case r.Changed != Renew || r.err != nil:
			r.reasons[int(s.successor)] = s.id + " was to be deleted once this replaced it, and was not"
		default:
			if err := r.write(record{Deleting: s.id}); err != nil {
				r.stop(err)
				return
			}
			list = append(list, k)
		}
	}
	failed := make([]error, len(list))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for n, k := range list {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(r.hard, longestRequest)
			defer cancel()
			failed[n] = r.Client.Sources.Delete(ctx, r.sources[k].id)
			return nil
		})
	}
	_ = group.Wait()
	for n, k := range list {
		s := &r.sources[k]
		i := int(s.successor)
		r.changed = append(r.changed, i)
		if err := failed[n]; err != nil && !errors.Is(err, api.ErrNotFound) {
			r.reasons[i] = s.id + " was replaced, and is not deleted yet"
			r.stop(fmt.Errorf("deleting %s, which was replaced: %w", s.id, err))
			continue
		}
		r.deleted++
		s.successor, s.at = -1, 0
	}
}

// finish reads again what the run may have changed: what it sent, and what of
// ours METI says that it conflicts with. What is not visible yet is waited for.
func (r *run) finish() {
	if r.ctx.Err() != nil || r.target.Sandbox {
		return
	}
	r.stage, r.closing = StageClosing, true
	read := make([]bool, len(r.entries))
	for entries := r.changed; len(entries) > 0; entries = r.partnersOf(read) {
		for _, i := range entries {
			read[i], r.entries[i].await = true, true
		}
		r.next, r.later = time.Now(), r.Settle/20
		r.loop()
	}
	r.stop(r.nameParties(r.ctx))
	r.stop(r.keepFound())
}

// partnersOf are the features that METI says are in conflict with those that were
// read again, and that were not.
func (r *run) partnersOf(read []bool) (list []int) {
	for k, ids := range r.partners {
		if s := &r.sources[k]; !s.paired || !read[s.entry] {
			continue
		}
		for _, id := range ids {
			if k, ok := r.bySSID[id]; ok {
				if i := r.sources[k].entry; i >= 0 && !read[i] && r.has(int(i)) && r.entries[i].source == k {
					list = append(list, int(i))
				}
			}
		}
	}
	return list
}

// keepFound notes what was found in the account without the journal's help, where
// there is a journal: by this alone it may be replaced later.
func (r *run) keepFound() error {
	if r.journal == nil || r.journal.created && !r.journal.written {
		return nil
	}
	var found []int
	for i := range r.entries[:r.features] {
		if r.entries[i].known < 0 && r.has(i) {
			found = append(found, i)
		}
	}
	for some := range slices.Chunk(found, 500) {
		var rec record
		for _, i := range some {
			k := r.entries[i].source
			r.maps(i, k, time.Now())
			rec.Features, rec.Result = append(rec.Features, r.recordOf(i)), append(rec.Result, r.sources[k].id)
		}
		if err := r.write(rec); err != nil {
			return err
		}
	}
	return nil
}
