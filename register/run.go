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
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/wire"
)

// run is the sending part of a job. One goroutine owns it and writes the
// journal; the others only make requests, and hand over what came of them.
type run struct {
	*Job
	ctx  context.Context // the caller's
	hard context.Context // of requests under way
	err  error           // what stops the run

	first    int // nothing before it is to be sent
	batch    int // features in a request, at most
	maxBytes int
	suspects []int // METI refused them together, and one is to blame: they are sent by halves, before all else
	answers  chan answer
	underWay int       // requests
	proven   bool      // a success of this run was read again, and was what was sent
	pause    time.Time // nothing is sent before
	cause    string    // of pause
	proof    time.Time // nothing is sent before a reading that begins later
	next     time.Time // when what is unknown is looked for again
	later    time.Duration

	refused, lost, unsent, unread int // in a row
	sent, deleted, done, total    int
	conflicts                     int
	changed                       []int // entries that are to be read again at the end
	closing                       bool  // this is the end: nothing is sent any more
}

// request is a POST whose outcome is not known.
type request struct {
	intent   int
	features []featureRecord
	entries  []int     // of the features; -1 for what is of no group of the input's
	half     bool      // of suspects
	until    time.Time // a reading that begins later shows what it did; zero while it is under way
	taken    bool      // METI answered with success: it is not sent again by this run
	cause    string    // why its outcome is not known
}

// answer is what came of a request.
type answer struct {
	*request
	shapes  []*ledger.Shape // of the features
	sources []*api.Source
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
	r := &run{Job: j, ctx: ctx, hard: hard, batch: j.BatchFeatures, maxBytes: j.BatchBytes, answers: make(chan answer)}
	err := r.check()
	if err == nil {
		err = r.work()
	}
	for i := range j.entries {
		if e := &j.entries[i]; e.state == New {
			e.state = Pending
		}
	}
	interrupted := ctx.Err() != nil
	summary := Summary{Counts: j.Counts(), Sent: r.sent, Deleted: r.deleted}
	if j.journal != nil && (j.journal.written || !j.journal.created) {
		summary.Journal = j.journal.path
	}
	if interrupted && summary.Pending+summary.Unknown+summary.ToSend > 0 {
		summary.Interrupted = true
		if err == nil || errors.Is(err, context.Canceled) {
			err = fmt.Errorf("register: %w", context.Cause(ctx))
		}
	}
	return summary, err
}

// check refuses what must not be begun.
func (r *run) check() error {
	replacing, send := 0, false
	for _, e := range r.entries {
		send = send || e.send
		if e.send && (e.state == Boundary || e.state == Differs) {
			replacing++
		}
	}
	switch {
	case r.LookOnly:
		return errors.New("register: the plan was made to look only")
	case r.lacking != nil && send:
		return r.lacking
	case replacing > r.MaxReplace:
		return fmt.Errorf("%w: %d, and at most %d were allowed; nothing was sent", ErrTooMany, replacing, r.MaxReplace)
	case replacing+len(r.replaced()) > 0:
		return r.Client.Require(r.ctx, "replacing sources", "read:sources", "write:sources", "delete:sources")
	}
	return nil
}

// work is a run from its first record to its last.
func (r *run) work() error {
	r.stage = StageRegistering
	for _, e := range r.entries[:r.features] {
		if e.send || e.state == Unknown {
			r.total++
		}
	}
	r.next, r.later = r.due, r.Settle/20
	r.closeRequests()
	r.removeReplaced()
	r.waitForProof()
	r.loop()
	r.finish()
	return r.err
}

// waitForProof makes what is new wait where no journal is kept, for an earlier run
// may have left requests under way: a reading that begins after the settling time
// shows what they did.
func (r *run) waitForProof() {
	if r.proof = r.opened.Add(r.Settle); !r.NoJournal || r.target.Sandbox || !r.read.Before(r.proof) {
		r.proof = time.Time{}
		return
	}
	some := false
	for i := range r.entries {
		e := &r.entries[i]
		e.await = e.await || e.send
		some = some || e.send
	}
	if r.next = r.proof; some && time.Now().Before(r.proof) {
		r.notice("no journal is kept: waiting %s for what an earlier run may have left under way", time.Until(r.proof).Round(time.Second))
	}
}

// loop sends, and takes in what comes back, until nothing is left to do.
func (r *run) loop() {
	stopped := r.ctx.Done()
	for {
		r.settle()
		r.sendAll()
		wake, waits := r.wake()
		if r.underWay == 0 && !waits {
			return
		}
		r.report()
		var timer <-chan time.Time
		if waits {
			timer = time.After(max(time.Until(wake), time.Millisecond))
		}
		select {
		case a := <-r.answers:
			r.underWay--
			r.take(a)
		case <-timer:
		case <-stopped:
			stopped = nil
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

func (r *run) stopped() bool { return r.err != nil || r.ctx.Err() != nil || r.closing }

// wake is when something is to be done without an answer.
func (r *run) wake() (at time.Time, waits bool) {
	if r.ctx.Err() != nil {
		return at, false
	}
	toSend := func(e entry) bool { return e.send && e.state != Unknown }
	if !r.stopped() && time.Now().Before(r.pause) && slices.ContainsFunc(r.entries[r.first:], toSend) {
		at, waits = r.pause, true
	}
	if (!waits || r.next.Before(at)) && len(r.awaited()) > 0 {
		at, waits = r.next, true
	}
	return at, waits
}

// report tells how far the run is.
func (r *run) report() {
	p := Progress{Stage: r.stage, Done: r.done, Total: r.total, Conflicts: r.conflicts}
	settling := 0
	for _, q := range r.requests {
		if !q.until.IsZero() {
			settling++
			if q.until.After(p.Until) {
				p.Until = q.until
			}
		}
	}
	switch {
	case r.ctx.Err() != nil && r.underWay > 0:
		p.Wait, p.Until = fmt.Sprintf("%d requests under way", r.underWay), time.Time{}
	case time.Now().Before(r.pause):
		p.Wait, p.Until = r.cause, r.pause
	case settling > 0:
		p.Wait = fmt.Sprintf("settling %d requests", settling)
	case len(r.awaited()) > 0:
		p.Wait, p.Until = "what is not known yet", r.next
	}
	r.progress(p)
}

// sendAll sends what may be sent: until a success was read again, one request.
func (r *run) sendAll() {
	for !r.stopped() && !time.Now().Before(r.pause) && !r.read.Before(r.proof) && r.underWay < r.InFlight {
		taken := func(q *request) bool { return q.taken }
		if !r.proven && !r.target.Sandbox && (r.underWay > 0 || slices.ContainsFunc(r.requests, taken)) {
			return
		}
		entries, half := r.nextBatch()
		if len(entries) == 0 {
			return
		}
		r.post(&request{entries: entries, half: half})
	}
}

// nextBatch takes what is sent next: a half of the suspects, else a batch in the
// input's order, else one feature that METI refused before.
func (r *run) nextBatch() (batch []int, half bool) {
	if n := len(r.suspects); n > 0 {
		if slices.ContainsFunc(r.requests, func(q *request) bool { return q.half }) {
			return nil, true
		}
		n = max(1, n/2)
		batch, r.suspects = r.suspects[:n:n], r.suspects[n:]
		return batch, true
	}
	const frame = 160 // what a feature has beside its geometry
	size, last, left := 0, -1, false
	in := map[int]bool{}
	for i := r.first; i < r.features && len(batch) < r.batch; i++ {
		e := &r.entries[i]
		switch {
		case !e.send && e.state != Unknown:
			if i == r.first {
				r.first++
			}
			continue
		case e.state == Unknown:
			left = left || e.await
			continue
		case e.last:
			if last < 0 {
				last = i
			}
			continue
		}
		left = true
		if r.blocked(i, in) {
			continue
		}
		if size += int(e.length) + frame; len(batch) > 0 && size > r.maxBytes {
			break
		}
		batch = append(batch, i)
		in[i] = true
	}
	if !left && last >= 0 && r.underWay == 0 && len(r.requests) == 0 {
		batch = []int{last}
	}
	return batch, false
}

// unsettled reports whether an entry may still be registered by this run, in
// its place in the order.
func (r *run) unsettled(i int) bool {
	e := &r.entries[i]
	return e.state == Unknown || e.send && !e.last
}

// blocked reports whether an entry must not be sent yet: it would conflict with
// one before it that is not settled, or with one whose outcome is not known; or
// it has the id and the period of one. A batch is stored in its order, so that
// what stands before it in the same batch does not block it, but one of its group,
// for METI may tell no boundary by which the two could be told apart.
func (r *run) blocked(i int, batch map[int]bool) bool {
	e := &r.entries[i]
	if r.target.Sandbox {
		return false
	}
	blocks := func(o int) bool {
		return r.entries[o].state == Unknown || o < i && r.unsettled(o) && !batch[o]
	}
	if r.order.crowded[i] {
		for o := r.first; o < i; o++ {
			if blocks(o) {
				return true
			}
		}
	}
	if slices.ContainsFunc(r.order.clash[i], blocks) {
		return true
	}
	for o := range r.group(e.altID, e.period) {
		if o != i && (blocks(o) || batch[o]) {
			return true
		}
	}
	for _, q := range r.requests {
		for _, o := range q.entries {
			if o >= 0 && r.former(o) && e.box.meets(r.entries[o].box) {
				return true
			}
		}
	}
	return false
}

// post sends a request once its intent is on the disk.
func (r *run) post(q *request) {
	r.intents++
	q.intent = r.intents
	for _, i := range q.entries {
		m := r.recordOf(i)
		if e := &r.entries[i]; e.state == Differs || e.state == Boundary {
			m.Replaces = r.sources[e.source].id
		}
		q.features = append(q.features, m)
	}
	if err := r.write(record{Intent: q.intent, Attributes: r.attributes, Features: q.features}); err != nil {
		r.stop(err)
		return
	}
	for k, i := range q.entries {
		r.willReplace(q.features[k], i)
		r.entries[i].before, r.entries[i].state = r.entries[i].state, Unknown
	}
	r.requests = append(r.requests, q)
	r.underWay++
	go func() { r.answers <- r.send(q) }()
}

// write appends a record behind one that says whose it is.
func (j *Job) write(rec record) error {
	if !j.headed && j.journal != nil {
		if err := j.journal.append(record{Store: storeOf(j.target.Server), Account: j.target.Account}); err != nil {
			return err
		}
		j.headed = true
	}
	return j.journal.append(rec)
}

// send makes a request. It outlives an interruption for a while.
func (r *run) send(q *request) (a answer) {
	a.request = q
	body := r.Attributes
	body.FeatureCollection.Features = make([]api.Feature, len(q.entries))
	for n, i := range q.entries {
		f, err := r.load(i)
		if err != nil {
			a.err = err
			return a
		}
		a.shapes = append(a.shapes, f.shape)
		e := &r.entries[i]
		body.FeatureCollection.Features[n] = api.Feature{ID: e.altID, Geometry: f.geometry, Properties: api.FeatureProperties{
			StartAt: wire.TimeFromText(e.period.Start.String()),
			EndAt:   wire.TimeFromText(e.period.End.String()),
		}}
	}
	ctx, cancel := context.WithTimeout(r.hard, longestRequest)
	defer cancel()
	a.sources, a.err = r.Client.Sources.Create(ctx, body)
	return a
}

// take takes in what came of a request: the table of the package documentation,
// "answered".
func (r *run) take(a answer) {
	fault := new(api.Error)
	known := errors.As(a.err, &fault)
	several := len(a.entries) > 1
	switch {
	case a.err == nil:
		sources, err := r.fit(a)
		switch {
		case errors.Is(err, ErrAltered):
			r.register(a.request, sources)
			r.stop(err)
		case err != nil:
			r.lose(a.request, err, true)
		default:
			r.accept(a, sources)
		}
	case errors.Is(a.err, ErrInputChanged):
		r.giveBack(a.request, record{Void: a.err.Error()})
		r.stop(a.err)
	case !known || errors.Is(a.err, api.ErrOutcomeUnknown):
		r.lose(a.request, a.err, fault.Status >= 200 && fault.Status < 300)
		if errors.Is(a.err, api.ErrRedirect) {
			r.stop(a.err)
		}
	case fault.Status == http.StatusRequestEntityTooLarge && several:
		r.giveBack(a.request, record{Void: fault.Message})
		size := 0
		for _, i := range a.entries {
			size += int(r.entries[i].length)
		}
		r.maxBytes = min(r.maxBytes, max(1, size/2))
	case errors.Is(a.err, api.ErrInvalid) && several:
		r.giveBack(a.request, record{Void: fault.Message})
		r.suspects = append(r.suspects, a.entries...)
	case fault.Status == http.StatusRequestEntityTooLarge, errors.Is(a.err, api.ErrInvalid):
		r.refuse(a.request, fault)
	case fault.Status == http.StatusTooManyRequests, fault.Status == 0 && unsent(a.err):
		r.giveBack(a.request, record{Void: a.err.Error()})
		r.wait(fault, a.err)
	default:
		r.giveBack(a.request, record{Void: a.err.Error()})
		r.stop(a.err)
	}
}

// unsent reports whether the network kept a request from leaving.
func unsent(err error) bool {
	return !errors.Is(err, api.ErrUnauthorized) && !errors.Is(err, api.ErrNoToken) && !errors.Is(err, api.ErrForbidden) && !errors.Is(err, context.Canceled)
}

// wait keeps the run from sending for a while.
func (r *run) wait(fault *api.Error, err error) {
	if r.unsent++; r.unsent >= unsentInARow {
		r.stop(fmt.Errorf("given up after %d requests without effect: %w", r.unsent, err))
		return
	}
	r.cause = "the network"
	if fault.Status > 0 {
		r.cause = fmt.Sprint(fault.Status)
	}
	wait := min(500*time.Millisecond<<r.unsent, time.Minute)
	if fault.RetryAfter > 0 {
		// A server that says an hour is asked again after five minutes: the run
		// is not stopped by one answer.
		wait = min(fault.RetryAfter, 5*time.Minute)
	}
	r.pause = time.Now().Add(wait)
	if wait >= time.Second {
		r.notice("%s: waiting %s", r.cause, wait.Round(time.Second))
	}
}

// over takes a request from those whose outcome is not known.
func (r *run) over(q *request) {
	r.requests = slices.DeleteFunc(r.requests, func(o *request) bool { return o == q })
}

// void closes a request that had no effect.
func (r *run) void(q *request, rec record) {
	r.over(q)
	for _, m := range q.features {
		if m.Replaces != "" {
			r.sources[r.source(m.Replaces)].successor = -1
		}
	}
	rec.Intent, rec.Void = q.intent, clip(cmp.Or(rec.Void, "no effect"), 2000)
	r.stop(r.write(rec))
}

// giveBack notes that a request had no effect: its features are where they
// were before.
func (r *run) giveBack(q *request, rec record) {
	r.void(q, rec)
	for _, i := range q.entries {
		r.entries[i].state = r.entries[i].before
		r.first = min(r.first, i)
	}
	if q.half {
		r.suspects = nil // nothing is known of the others
	}
}

// refuse notes that METI refuses one feature.
func (r *run) refuse(q *request, fault *api.Error) {
	text := fault.Message
	if fault.Status > 0 {
		text = fmt.Sprintf("%d %s: %s", fault.Status, http.StatusText(fault.Status), text)
	}
	r.giveBack(q, record{Void: text, Refused: true})
	e := &r.entries[q.entries[0]]
	e.state, e.send = Refused, false
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
	now := time.Now()
	if q.half {
		q.half, r.suspects = false, nil
	}
	q.until, q.taken, q.cause = now.Add(r.Settle), taken, clip(cause.Error(), 500)
	for _, i := range q.entries {
		r.reasons[i] = "sent, and the answer was lost: " + clip(cause.Error(), 300)
		r.entries[i].await, r.entries[i].send = !r.target.Sandbox, !r.target.Sandbox
	}
	if r.target.Sandbox {
		r.over(q)
		return
	}
	r.next, r.later = now.Add(r.Settle/100), r.Settle/20
	if r.lost++; r.lost >= lostInARow {
		r.stop(fmt.Errorf("given up after %d lost answers: %w", r.lost, cause))
	}
}

// accept notes that a batch was registered. The first success is read again
// before anything else is sent.
func (r *run) accept(a answer, sources []*api.Source) {
	if !r.register(a.request, sources) {
		return
	}
	r.refused, r.lost, r.unsent = 0, 0, 0
	if !a.half && len(a.entries) >= r.batch {
		r.batch = min(r.BatchFeatures, 2*r.batch)
	}
	if !r.proven && !r.target.Sandbox {
		r.proven = true
		r.stop(r.readBack(a.entries[0], a.shapes[0], sources[0]))
	}
}

// register writes down what a request made. The order of things: a result is on
// disk before anything follows from it.
func (r *run) register(q *request, sources []*api.Source) bool {
	ids := make([]string, len(sources))
	for k, s := range sources {
		ids[k] = s.ID
	}
	if err := r.write(record{Intent: q.intent, Result: ids}); err != nil {
		r.stop(err) // the next run finds the intent, and looks up what came of it
		return false
	}
	r.over(q)
	replaces := false
	for n, i := range q.entries {
		replaces = replaces || q.features[n].Replaces != ""
		k := r.put(sources[n])
		if r.sources[k].conflict > 0 {
			r.conflicts++
		}
		r.became(i, k)
	}
	if replaces {
		r.removeReplaced()
	}
	return true
}

// became notes that an entry is a source now, which the journal knows.
func (r *run) became(i int, k int32) {
	e := &r.entries[i]
	if e.known != k {
		r.sent++
	}
	e.state, e.source, e.send, e.await, e.before = Registered, k, false, false, Registered
	r.sources[k].paired = true
	r.maps(i, k, time.Now())
	r.changed = append(r.changed, i)
	r.done++
	delete(r.reasons, i)
	if e.last {
		r.reasons[i] = "METI refused it before; it lost its place in the order"
	}
}

// fit pairs the sources of an answer with the features that were sent. METI
// answers in their order; where it did not, they are known by what they are.
func (r *run) fit(a answer) (paired []*api.Source, err error) {
	if len(a.sources) != len(a.entries) {
		return nil, fmt.Errorf("%d features were sent, and %d sources came back", len(a.entries), len(a.sources))
	}
	free := map[string]bool{}
	for _, s := range a.sources {
		if s == nil || s.ID == "" || free[s.ID] {
			return nil, errors.New("the answer has a source without an id of its own")
		}
		free[s.ID] = true
	}
	for n, i := range a.entries {
		e := &r.entries[i]
		is := func(s *api.Source) bool {
			return free[s.ID] && together(e.period, periodOf(s)) && sameBoundary(a.shapes[n], s)
		}
		k := slices.IndexFunc(a.sources, func(s *api.Source) bool { return s.AltID == e.altID && is(s) })
		if there := a.sources[n]; k < 0 && there.AltID != "" && is(there) {
			k, err = n, fmt.Errorf("%w: %q came back as %q; nothing more was sent", ErrAltered, e.altID, there.AltID)
		}
		if k < 0 {
			return nil, fmt.Errorf("the answer has no source for %q as it was sent", e.altID)
		}
		paired = append(paired, a.sources[k])
		free[a.sources[k].ID] = false
	}
	return paired, err
}

// readBack reads the first success again, as the next run would: by its alt_id.
// It must be there when the settling time has passed, and be what was sent.
func (r *run) readBack(i int, shape *ledger.Shape, sent *api.Source) error {
	e := &r.entries[i]
	deadline, pause := time.Now().Add(r.Settle), r.Settle/100
	for {
		last := !time.Now().Before(deadline)
		var there *api.Source
		_, err := r.fetch(r.ctx, []string{e.altID}, func(s *api.Source) {
			if s.ID == sent.ID {
				there = s
			}
		})
		switch {
		case err != nil && (last || r.ctx.Err() != nil):
			return err
		case err != nil || there == nil && !last:
		case there == nil:
			return fmt.Errorf("%w: %s is not found by %q, under which it was registered; nothing more was sent", ErrAltered, sent.ID, e.altID)
		case !together(e.period, periodOf(there)) || !sameBoundary(shape, there):
			return fmt.Errorf("%w: %q has another period or boundary than it was sent with; nothing more was sent", ErrAltered, e.altID)
		default:
			return nil
		}
		if !sleep(r.ctx, max(pause, time.Millisecond)) {
			return nil
		}
		pause = min(2*pause, r.Settle/4)
	}
}
