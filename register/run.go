package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/wire"
)

// run is the sending part of a job. One goroutine owns it and writes the
// journal; the others only make requests, and hand over what came of them.
type run struct {
	*Job
	ctx  context.Context // the caller's
	hard context.Context // of requests under way
	err  error           // what stops the run

	batch    int // features in a request, at most
	maxBytes int
	suspects []int // METI refused them together, and one is to blame: they are sent by halves, before all else
	answers  chan *request
	underWay int           // requests
	proven   bool          // a success of this run was read again, and was what was sent
	pause    time.Time     // nothing is sent before
	later    time.Duration // until what is unknown is looked for again

	refused, lost, unsent, unread         int // in a row
	sent, deleted, done, total, conflicts int
	changed                               []int // entries that are to be read again at the end
}

// request is a POST, and its answer once there is one.
type request struct {
	intent   int
	features []featureRecord
	entries  []int     // of the features; -1 for what is of no group of the input's
	until    time.Time // a reading that begins later shows what it did; zero while it is under way
	taken    bool      // METI answered with success: it is not sent again by this run
	cause    string    // why its outcome is not known

	sources []*api.Source // the answer
	err     error
}

// Run registers what the plan says, in the input's order. The package
// documentation says how.
//
// Its error is what stopped it, such as an error of package api, [ErrRefused]
// or [ErrIncomplete]; the Summary and the rows are true all the same. Features
// that are invalid, refused or unknown are no error of the run: look at the
// Summary. When ctx ends no further request is made, and Run returns once
// those under way have ended, within 13 seconds.
func (j *Job) Run(ctx context.Context) (Summary, error) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(graceRequests, cancel) })()
	r := &run{Job: j, ctx: ctx, hard: hard, batch: j.BatchFeatures, maxBytes: j.BatchBytes, answers: make(chan *request)}
	if r.err = r.check(); r.err == nil {
		r.work()
	}
	for i := range j.entries {
		if e := &j.entries[i]; e.state == New {
			e.state = Pending
		}
	}
	summary := Summary{Counts: j.Counts(), Sent: r.sent, Deleted: r.deleted}
	if j.journal != nil && j.journal.end > 0 {
		summary.Journal = j.journal.path
	}
	if ctx.Err() != nil && summary.Pending+summary.Unknown+summary.ToSend > 0 {
		summary.Interrupted = true
		if r.err == nil || errors.Is(r.err, context.Canceled) {
			r.err = fmt.Errorf("register: %w", context.Cause(ctx))
		}
	}
	return summary, r.err
}

// check refuses what must not be begun.
func (r *run) check() error {
	counts := r.Counts()
	switch {
	case r.LookOnly:
		return errors.New("register: the plan was made to look only")
	case r.lacking != nil && counts.ToSend > 0:
		return r.lacking
	case counts.ToReplace > r.MaxReplace:
		return fmt.Errorf("%w: %d, and at most %d were allowed; nothing was sent", ErrTooMany, counts.ToReplace, r.MaxReplace)
	case counts.ToReplace+len(r.replaced()) > 0:
		return r.Client.Require(r.ctx, "replacing sources", "read:sources", "write:sources", "delete:sources")
	case counts.ToSend > 0: // before an intent is written
		return r.Client.Require(r.ctx, "registering sources", "write:sources")
	}
	return nil
}

// work is a run from its first record to its last: what can be sent is sent, then
// what is unknown is looked for, which lets more be sent.
func (r *run) work() {
	r.stage = StageRegistering
	r.total = len(r.where(func(i int, e *entry) bool { return r.toSend(i) || e.state == Unknown && !r.former(i) }))
	r.later = time.Until(r.due)
	r.closeRequests()
	r.sent, r.done, r.proven = 0, 0, false // that was an earlier run's
	r.removeReplaced()
	if wait := time.Until(r.proof); wait > 0 && r.total > 0 {
		r.notice("no journal is kept: waiting %s for what an earlier run may have left under way", wait.Round(time.Second))
	}
	for more := true; more; more = r.settle() {
		r.sendAll()
	}
	r.finish()
}

// sendAll sends what may be sent, and takes in what comes of it, until no more may
// be and nothing is under way.
func (r *run) sendAll() {
	for {
		switch wait := time.Until(r.pause); {
		case !r.stopped() && r.underWay < r.InFlight && wait <= 0 && r.sendBatch():
		case r.underWay > 0:
			r.report("", time.Time{})
			q := <-r.answers
			r.underWay--
			r.take(q)
		case r.stopped() || wait <= 0:
			return
		default:
			sleep(r.ctx, wait)
		}
	}
}

// stop ends the sending; what is under way ends.
func (r *run) stop(err error) {
	if err != nil && r.err == nil && (r.ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		r.err = err
		if len(r.requests) > 0 {
			r.notice("stopping: %v", err)
		}
	}
}

func (r *run) stopped() bool { return r.err != nil || r.ctx.Err() != nil }

// report tells how far the run is, and what it waits for.
func (r *run) report(wait string, until time.Time) {
	r.progress(Progress{Stage: r.stage, Done: r.done, Total: r.total, Conflicts: r.conflicts, Wait: wait, Until: until})
}

// sendBatch sends what is next, if anything may be sent: a half of the suspects,
// else a batch in the input's order, else one feature that METI refused before.
func (r *run) sendBatch() bool {
	taken := func(q *request) bool { return q.taken }
	if !r.proven && !r.target.Sandbox && (r.underWay > 0 || slices.ContainsFunc(r.requests, taken)) {
		return false // until a success was read again, one request
	}
	if n := len(r.suspects); n > 0 {
		if r.underWay > 0 {
			return false
		}
		n = max(1, n/2)
		half := r.suspects[:n:n]
		r.suspects = r.suspects[n:]
		return r.post(half)
	}
	const frame = 160 // what a feature has beside its geometry
	var batch []int
	size, last, in := 0, -1, map[int]bool{}
	passed, waits := false, false // something before it is not settled; it will be
	for i := 0; i < r.features && len(batch) < r.batch; i++ {
		e := &r.entries[i]
		switch {
		case e.state == Unknown || e.await:
			passed, waits = true, waits || e.await
		case !r.toSend(i):
		case e.last && last < 0:
			last = i
		case e.last:
		case !r.target.Sandbox && (r.blocked(i, in) || r.crowded(i) && passed):
			passed, waits = true, true
		case len(batch) > 0 && size+int(e.length)+frame > r.maxBytes:
			return r.post(batch)
		default:
			size += int(e.length) + frame
			batch = append(batch, i)
			in[i] = true
		}
	}
	if len(batch) == 0 && !waits && last >= 0 && r.underWay == 0 && len(r.requests) == 0 {
		batch = []int{last}
	}
	return len(batch) > 0 && r.post(batch)
}

// blocked reports whether an entry must not be sent yet: it would conflict with
// one before it that may still be registered in its place, or with one whose
// outcome is not known; or it has the id and the period of one. A batch is stored
// in its order, so that what stands before it in the same batch does not block it,
// but one of its group, for METI may tell no boundary by which the two could be
// told apart.
func (r *run) blocked(i int, batch map[int]bool) bool {
	blocks := func(o int) bool {
		e := &r.entries[o]
		return e.state == Unknown || o < i && r.toSend(o) && !e.last && !batch[o]
	}
	for o := range r.group(r.entries[i].altID, r.entries[i].period) {
		if o != i && (blocks(o) || batch[o]) {
			return true
		}
	}
	for _, q := range r.requests {
		for _, o := range q.entries {
			if o >= 0 && r.former(o) && r.entries[i].box.meets(r.entries[o].box) {
				return true // the clashes of what was edited since are not known
			}
		}
	}
	return slices.ContainsFunc(r.clash[i], blocks)
}

// willReplace gives the SSID of the source that an entry is to replace, if any.
func (j *Job) willReplace(i int) string {
	if e := &j.entries[i]; (e.state == Differs || e.state == Boundary) && j.toSend(i) {
		return j.sources[e.source].id
	}
	return ""
}

// post sends a request once its intent is on the disk.
func (r *run) post(entries []int) bool {
	r.intents++
	q := &request{intent: r.intents, entries: entries}
	for _, i := range q.entries {
		m := r.recordOf(i)
		m.Replaces = r.willReplace(i)
		q.features = append(q.features, m)
	}
	if err := r.journal.append(record{Intent: q.intent, To: r.store, Attributes: r.attributes, Features: q.features}); err != nil {
		r.stop(err)
		return false
	}
	for n, i := range q.entries {
		r.succeeds(i, q.features[n].Replaces)
		r.entries[i].before, r.entries[i].state = r.entries[i].state, Unknown
	}
	r.requests = append(r.requests, q)
	r.underWay++
	go func() {
		q.sources, q.err = r.create(q.entries)
		r.answers <- q
	}()
	return true
}

// create makes a request. It outlives an interruption for a while.
func (r *run) create(entries []int) ([]*api.Source, error) {
	body := r.Attributes
	body.FeatureCollection.Features = make([]api.Feature, len(entries))
	for n, i := range entries {
		geometry, err := r.geometry(i)
		if err != nil {
			return nil, err
		}
		e := &r.entries[i]
		body.FeatureCollection.Features[n] = api.Feature{ID: e.altID, Geometry: geometry, Properties: api.FeatureProperties{
			StartAt: wire.TimeFromText(e.period.Start.String()),
			EndAt:   wire.TimeFromText(e.period.End.String()),
		}}
	}
	ctx, cancel := context.WithTimeout(r.hard, longestRequest)
	defer cancel()
	return r.Client.Sources.Create(ctx, body)
}

// take takes in what came of a request: the table of the package documentation,
// "answered".
func (r *run) take(q *request) {
	fault := new(api.Error)
	known := errors.As(q.err, &fault)
	several := len(q.entries) > 1
	switch {
	case q.err == nil:
		r.accept(q)
	case errors.Is(q.err, ErrInputChanged):
		r.void(q, q.err.Error(), false)
		r.stop(q.err)
	case !known || errors.Is(q.err, api.ErrOutcomeUnknown):
		r.lose(q, q.err, fault.Status >= 200 && fault.Status < 300)
		if errors.Is(q.err, api.ErrRedirect) {
			r.stop(q.err)
		}
	case errors.Is(q.err, api.ErrTooLarge) && several:
		r.void(q, fault.Message, false)
		size := 0
		for _, i := range q.entries {
			size += int(r.entries[i].length)
		}
		r.maxBytes = min(r.maxBytes, max(1, size/2))
	case errors.Is(q.err, api.ErrInvalid) && several:
		r.void(q, fault.Message, false)
		r.suspects = q.entries
	case errors.Is(q.err, api.ErrTooLarge), errors.Is(q.err, api.ErrInvalid):
		r.refuse(q, fault)
	case fault.Status == http.StatusTooManyRequests,
		fault.Status == 0 && !isAny(q.err, api.ErrUnauthorized, api.ErrNoToken, api.ErrForbidden, context.Canceled):
		r.void(q, q.err.Error(), false)
		r.wait(fault, q.err)
	default:
		r.void(q, q.err.Error(), false)
		r.stop(q.err)
	}
}

// isAny reports whether an error is one of some.
func isAny(err error, classes ...error) bool {
	return slices.ContainsFunc(classes, func(class error) bool { return errors.Is(err, class) })
}

// wait keeps the run from sending for a while.
func (r *run) wait(fault *api.Error, err error) {
	if r.unsent++; r.unsent >= unsentInARow {
		r.stop(fmt.Errorf("given up after %d requests without effect: %w", r.unsent, err))
		return
	}
	cause, wait := "the network", min(500*time.Millisecond<<r.unsent, time.Minute)
	if fault.Status > 0 {
		cause = fmt.Sprint(fault.Status)
	}
	if fault.RetryAfter > 0 {
		// A server that says an hour is asked again after five minutes: the run
		// is not stopped by one answer.
		wait = min(fault.RetryAfter, 5*time.Minute)
	}
	r.pause = time.Now().Add(wait)
	r.report(cause+": waiting", r.pause)
	if wait >= time.Second {
		r.notice("%s: waiting %s", cause, wait.Round(time.Second))
	}
}

// over takes a request from those whose outcome is not known.
func (r *run) over(q *request) {
	r.requests = slices.DeleteFunc(r.requests, func(o *request) bool { return o == q })
}

// void notes that a request had no effect: its features are where they were
// before, if it was under way.
func (r *run) void(q *request, why string, refused bool) {
	r.over(q)
	for n, i := range q.entries {
		if id := q.features[n].Replaces; id != "" {
			r.sources[r.source(id)].successor = -1
		}
		if q.until.IsZero() {
			r.entries[i].state = r.entries[i].before
		}
	}
	r.suspects = nil // nothing is known of the others
	r.stop(r.journal.append(record{Intent: q.intent, Void: clip(cmp.Or(why, "no effect"), 2000), Refused: refused}))
}

// refuse notes that METI refuses one feature.
func (r *run) refuse(q *request, fault *api.Error) {
	text := fault.Message
	if fault.Status > 0 {
		text = fmt.Sprintf("%d %s: %s", fault.Status, http.StatusText(fault.Status), text)
	}
	r.void(q, text, true)
	e := &r.entries[q.entries[0]]
	e.state = Refused
	r.reasons[q.entries[0]] = text
	r.done++
	if !e.last {
		r.batch = max(1, r.batch/2)
	}
	if r.refused++; r.refused >= refusedInARow {
		r.stop(fmt.Errorf("%w: %d, and none accepted between: %s; stopped", ErrRefused, r.refused, text))
	}
}

// lose notes that the outcome of a request is not known. taken says that METI
// answered with success: it is looked for, and not sent again by this run.
func (r *run) lose(q *request, cause error, taken bool) {
	r.suspects = nil
	q.until, q.taken, q.cause = time.Now().Add(r.Settle), taken, clip(cause.Error(), 500)
	for _, i := range q.entries {
		r.reasons[i] = "sent, and the answer was lost: " + clip(cause.Error(), 300)
		r.entries[i].await = !r.target.Sandbox
	}
	if r.target.Sandbox {
		r.over(q)
		return
	}
	r.later = r.Settle / 100
	if r.lost++; r.lost >= lostInARow {
		r.stop(fmt.Errorf("given up after %d lost answers: %w", r.lost, cause))
	}
}

// accept notes that a batch was registered. A result is on disk before anything
// follows from it, and the first success is read again before anything else is
// sent.
func (r *run) accept(q *request) {
	sources, altered := r.fit(q)
	if sources == nil {
		r.lose(q, altered, true)
		return
	}
	ids := make([]string, len(sources))
	for n, s := range sources {
		ids[n] = s.ID
	}
	if !r.close(q, ids) {
		return // the next run finds the intent, and looks up what came of it
	}
	for _, s := range sources {
		if r.put(s); s.InConflict() {
			r.conflicts++
		}
	}
	if slices.ContainsFunc(q.features, func(m featureRecord) bool { return m.Replaces != "" }) {
		r.removeReplaced()
	}
	r.refused, r.lost, r.unsent = 0, 0, 0
	if len(q.entries) >= r.batch {
		r.batch = min(r.BatchFeatures, 2*r.batch)
	}
	if r.stop(altered); altered == nil && !r.proven && !r.target.Sandbox {
		r.proven = true
		r.stop(r.readBack(q.entries[0], sources[0].ID))
	}
}

// is reports whether a source has the period and the boundary of an entry.
func (r *run) is(i int, s *api.Source) bool {
	return together(r.entries[i].period, periodOf(s)) && r.compareBoundary(i, s) < byNothing
}

// fit pairs the sources of an answer with the features that were sent. METI
// answers in their order; where it did not, they are known by what they are. The
// error says why there are no pairs, or beside them that an alt_id was altered.
func (r *run) fit(q *request) (paired []*api.Source, err error) {
	if len(q.sources) != len(q.entries) {
		return nil, fmt.Errorf("%d features were sent, and %d sources came back", len(q.entries), len(q.sources))
	}
	free := map[string]bool{}
	for _, s := range q.sources {
		if s == nil || s.ID == "" || free[s.ID] {
			return nil, errors.New("the answer has a source without an id of its own")
		}
		free[s.ID] = true
	}
	for n, i := range q.entries {
		altID, there := r.entries[i].altID, q.sources[n]
		k := slices.IndexFunc(q.sources, func(s *api.Source) bool { return free[s.ID] && s.AltID == altID && r.is(i, s) })
		switch {
		case k >= 0:
			there = q.sources[k]
		case free[there.ID] && there.AltID != "" && r.is(i, there):
			err = fmt.Errorf("%w: %q came back as %q; nothing more was sent", ErrAltered, altID, there.AltID)
		default:
			return nil, fmt.Errorf("the answer has no source for %q as it was sent", altID)
		}
		paired = append(paired, there)
		free[there.ID] = false
	}
	return paired, err
}

// readBack reads the first success again, as the next run would: by its alt_id.
// It must be there when the settling time has passed, and be what was sent.
func (r *run) readBack(i int, id string) error {
	altID, deadline := r.entries[i].altID, time.Now().Add(r.Settle)
	for {
		last := !time.Now().Before(deadline)
		var there *api.Source
		_, err := r.fetch(r.ctx, []string{altID}, func(s *api.Source) {
			if s.ID == id {
				there = s
			}
		})
		switch {
		case r.ctx.Err() != nil, there != nil && r.is(i, there):
			return nil
		case there != nil:
			return fmt.Errorf("%w: %q has another period or boundary than it was sent with; nothing more was sent", ErrAltered, altID)
		case last:
			return cmp.Or(err, fmt.Errorf("%w: %s is not found by %q, under which it was registered; nothing more was sent", ErrAltered, id, altID))
		}
		sleep(r.ctx, max(r.Settle/50, time.Millisecond))
	}
}
