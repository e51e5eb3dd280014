package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meti-go/meti/api"
)

// settle waits until it is time to look for what is not known, and looks for it:
// the table of the package documentation, "looked for". It reports whether there
// is any use in going on.
func (r *run) settle() bool {
	entries := r.where(func(_ int, e *entry) bool { return e.await })
	if len(entries) == 0 {
		return false
	}
	if due := time.Until(r.due); due > 0 {
		r.later = min(r.later, due)
	}
	wait, until := "what is not known yet", time.Now().Add(r.later)
	for _, q := range r.requests {
		if wait = "settling " + count(len(r.requests), "request"); q.until.After(until) {
			until = q.until
		}
	}
	r.report(wait, until)
	if !sleep(r.ctx, r.later) {
		return false
	}
	r.later = min(2*max(r.later, r.Settle/50, time.Millisecond), max(r.Settle/4, time.Millisecond), 10*time.Second)
	if err := r.compare(r.ctx, entries); err != nil {
		r.notRead(err)
	} else if r.unread = 0; r.stage != StageClosing { // that reading is not about them
		r.closeRequests()
		r.removeReplaced()
	}
	return r.ctx.Err() == nil
}

// notRead notes that nothing could be looked up. What is asked for in vain too
// often, or will not be told, stays unknown.
func (r *run) notRead(err error) {
	final := isAny(err, api.ErrUnauthorized, api.ErrNoToken, api.ErrForbidden, ErrAltered, ErrIncomplete)
	early := func(q *request) bool { return q.until.After(time.Now()) }
	r.unread++
	if r.ctx.Err() != nil || !final && (r.unread < unreadInARow || r.due.After(time.Now()) || slices.ContainsFunc(r.requests, early)) {
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

// closeRequests notes what became of requests that are all found, or that a
// reading shows to have had no effect: it began after their time.
func (r *run) closeRequests() {
	for _, q := range slices.Clone(r.requests) {
		ids, all, none := make([]string, len(q.features)), true, true
		for n, i := range q.entries {
			if i >= 0 && r.has(i) {
				if s := &r.sources[r.entries[i].source]; s.id != q.features[n].Replaces {
					ids[n] = s.id
				}
			}
			all, none = all && ids[n] != "", none && ids[n] == ""
		}
		switch late := !q.until.After(r.read); {
		case !late && !all:
		case q.taken && !all:
			r.leave(q, ids)
		case none:
			r.void(q, "not found after the settling time", false)
		default:
			r.close(q, ids)
			r.lost, r.proven = 0, true // it was read
		}
	}
}

// close notes what a request made: the SSIDs of its features, or "". A result is on
// disk before anything follows from it.
func (r *run) close(q *request, ids []string) bool {
	if err := r.journal.append(record{Intent: q.intent, Result: ids}); err != nil {
		r.stop(err)
		return false
	}
	r.over(q)
	for n, id := range ids {
		if id == "" {
			continue
		}
		i, k := q.entries[n], r.source(id)
		e := &r.entries[i]
		if !r.former(i) {
			r.done++
			if e.known != k {
				r.sent++
			}
		}
		r.maps(i, k, time.Now(), q.features[n].Period)
		if e.source != k {
			e.state, e.source = Registered, k
		}
		r.changed = append(r.changed, i)
		delete(r.reasons, i)
		if e.last {
			r.reasons[i] = "METI refused it before; it lost its place in the order"
		}
	}
	return true
}

// leave gives up a request that METI answered with success and whose features
// are not to be found: they are not sent again by this run.
func (r *run) leave(q *request, ids []string) {
	r.over(q)
	for n, i := range q.entries {
		if ids[n] == "" {
			r.entries[i].state = Unknown
			r.reasons[i] = "METI answered success, and it is not to be found: " + q.cause
		}
	}
	if !r.proven {
		r.stop(fmt.Errorf("%w: it answered success, and what was sent is not to be found; nothing more was sent (%s)", ErrAltered, q.cause))
	}
}

// succeeds notes that an entry is to replace a source, if any.
func (j *Job) succeeds(i int, id string) {
	if id != "" {
		j.sources[j.source(id)].successor = int32(i)
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
	open := r.open() // those have no result yet
	list := slices.DeleteFunc(r.replaced(), func(k int32) bool { return open[int(r.sources[k].successor)] })
	failed := make([]error, len(list))
	if r.Changed != Renew || r.err != nil {
		for _, k := range list {
			r.reasons[int(r.sources[k].successor)] = r.sources[k].id + " was to be deleted once this replaced it, and was not"
		}
		return
	}
	_ = r.each(r.hard, len(list), func(ctx context.Context, n int) error {
		ctx, cancel := context.WithTimeout(ctx, longestRequest)
		defer cancel()
		failed[n] = r.Client.Sources.Delete(ctx, r.sources[list[n]].id)
		return nil
	})
	var deleted []string
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
		deleted = append(deleted, s.id)
		s.successor, s.at = -1, 0
	}
	if deleted != nil {
		r.stop(r.journal.append(record{Deleted: deleted}))
	}
}

// finish reads again what the run may have changed: what it sent, and what of
// ours METI says that it conflicts with. What is not visible yet is waited for.
func (r *run) finish() {
	if r.ctx.Err() != nil || r.target.Sandbox {
		return
	}
	r.stage = StageClosing
	read := make([]bool, len(r.entries))
	for list := r.changed; len(list) > 0; list = r.partnersOf(read) {
		for _, i := range list {
			read[i], r.entries[i].await = true, true
		}
		r.later = 0
		for more := true; more; {
			more = r.settle()
		}
	}
	r.stop(r.nameParties(r.ctx))
	r.stop(r.keepFound())
}

// partnersOf are the features that METI says are in conflict with those that were
// read again, and that were not.
func (r *run) partnersOf(read []bool) (list []int) {
	for k, ids := range r.partners {
		if i := r.sources[k].entry; i < 0 || !read[i] || r.entries[i].source != k {
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

// keepFound notes what was found in the account, as it is asked for, without the
// journal's help, where there is a journal: by this alone it may be replaced later.
// What differs is not noted, for the next run would replace what this one did not.
func (r *run) keepFound() error {
	if r.journal == nil || r.journal.end == 0 {
		return nil
	}
	found := r.where(func(i int, e *entry) bool { return e.known < 0 && e.state == Registered && !r.former(i) })
	for some := range slices.Chunk(found, 500) {
		rec := record{To: r.store}
		for _, i := range some {
			k := r.entries[i].source
			m := r.recordOf(i)
			if period, ok := r.periods[k]; ok {
				m.Period = period
			}
			r.maps(i, k, time.Now(), m.Period)
			rec.Features, rec.Result = append(rec.Features, m), append(rec.Result, r.sources[k].id)
		}
		if err := r.journal.append(rec); err != nil {
			return err
		}
	}
	return nil
}
