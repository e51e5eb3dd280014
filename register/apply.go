package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	hunts    []*hunt      // those that have no request under way
	reserved map[int]bool // what hunts hold

	flying   int // requests under way
	answers  chan answer
	canary   canary
	read     chan error // what came of reading the first success again
	pause    time.Time  // nothing is sent before
	looking  bool
	looked   chan lookup
	removing int
	removed  chan removal

	refused, lost, unsent, unread int // in a row
	sent, deleted, done, total    int
	conflicts                     int
	cause                         string // of pause
}

// canary is what is known of the first success of a run: METI may not keep what
// it was sent, and then one batch is enough.
type canary uint8

const (
	untried canary = iota
	asked
	found
)

// request is a POST.
type request struct {
	entries []int
	hunt    *hunt // what it is a part of
	intent  int
	marks   []mark
}

// hunt looks for the feature for which METI refused a batch, by halves. What
// turns out to be innocent is kept aside until it is found, and sent together.
type hunt struct {
	suspects []int // one of them is to blame, at least
	aside    []int
}

// answer is what came of a request.
type answer struct {
	request
	features []feature
	sources  []*api.Source
	err      error
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
	r := &run{
		Job: j, ctx: ctx, batch: j.BatchFeatures, maxBytes: j.BatchBytes, reserved: map[int]bool{},
		answers: make(chan answer), read: make(chan error), looked: make(chan lookup), removed: make(chan removal),
	}
	var stop context.CancelFunc
	r.hard, stop = after(ctx, graceRequests)
	defer stop()
	err := r.check()
	if err == nil {
		err = r.work()
	}
	interrupted := ctx.Err() != nil
	for i := range j.entries {
		if e := &j.entries[i]; e.state == New {
			e.state = Pending
		}
	}
	summary := Summary{Counts: j.count(), Sent: r.sent, Deleted: r.deleted}
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

// after is a context that ends some time after another.
func after(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(later, func() { timer.Stop() })
	})
	return later, func() { stop(); cancel() }
}

// check refuses what must not be begun.
func (r *run) check() error {
	switch {
	case r.LookOnly:
		return errors.New("register: the plan was made to look only")
	case r.lacking != nil && r.toSend() > 0:
		return r.lacking
	}
	replacing := 0
	for i := range r.entries {
		if e := &r.entries[i]; e.send && (e.state == Boundary || e.state == Differs) {
			replacing++
		}
	}
	if replacing > r.MaxReplace {
		return fmt.Errorf("%w: %d, and at most %d were allowed; nothing was sent", ErrTooMany, replacing, r.MaxReplace)
	}
	if replacing+len(r.pendingDeletions()) > 0 {
		return r.Client.Require(r.ctx, "replacing sources", "read:sources", "write:sources", "delete:sources")
	}
	return nil
}

func (j *Job) toSend() (n int) {
	for i := range j.entries {
		if j.entries[i].send {
			n++
		}
	}
	return n
}

// work is a run from its first record to its last.
func (r *run) work() error {
	if err := r.prove(); err != nil {
		return err
	}
	for i := range r.entries {
		if e := &r.entries[i]; e.send || e.state == Unknown {
			r.total++
		}
	}
	pending := r.pendingDeletions()
	r.stop(r.closeLimbo())
	for _, old := range pending {
		r.remove([]string{old}, []int{r.known.replaced[old]})
	}
	r.loop()
	if err := r.finish(); r.err == nil {
		r.err = err
	}
	return r.err
}

// prove waits where no journal is kept, for an earlier run may have left
// requests under way: a reading that begins after the settling time shows what
// they did.
func (r *run) prove() error {
	proof := r.opened.Add(r.Settle)
	if !r.NoJournal || r.target.Sandbox || !r.Job.read.Before(proof) {
		return nil
	}
	var entries []int
	for i := range r.entries {
		if e := &r.entries[i]; e.state == New || e.state == Unknown {
			entries = append(entries, i)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if wait := time.Until(proof); wait > 0 {
		r.notice("no journal is kept: waiting %s for what an earlier run may have left under way", wait.Round(time.Second))
		r.progress(Progress{Stage: StageRegistering, Wait: "what an earlier run may have left under way", Until: proof})
		if !sleep(r.ctx, wait) {
			return context.Cause(r.ctx)
		}
	}
	for try := 1; ; try++ {
		reading, err := r.look(r.ctx, entries, false)
		if err != nil {
			return err
		}
		r.Job.read = reading.begin
		r.decide(reading, entries)
		r.chooseAll(entries)
		if len(reading.lacks) == 0 {
			return nil
		}
		if try == 3 {
			return fmt.Errorf("%w: the listing lacks %d sources that METI has, such as %s; nothing was sent", ErrIncomplete, len(reading.lacks), reading.lacks[0])
		}
	}
}

// loop sends, and takes in what comes back, until nothing is left to do.
func (r *run) loop() {
	stopped := r.ctx.Done()
	for {
		r.sendAll()
		r.lookUp()
		wake, waits := r.wake()
		if r.flying == 0 && !r.looking && r.removing == 0 && r.canary != asked && !waits {
			return
		}
		r.tell()
		var timer <-chan time.Time
		if waits {
			timer = time.After(max(time.Until(wake), time.Millisecond))
		}
		select {
		case a := <-r.answers:
			r.flying--
			r.take(a)
		case err := <-r.read:
			r.canary = found
			r.stop(err)
		case l := <-r.looked:
			r.looking = false
			r.settle(l)
		case x := <-r.removed:
			r.removing--
			r.takeRemoval(x)
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
		if r.flying > 0 || len(r.limbo) > 0 {
			r.notice("stopping: %v", err)
		}
	}
}

func (r *run) stopped() bool { return r.err != nil || r.ctx.Err() != nil }

// wake is when something is to be done without an answer.
func (r *run) wake() (at time.Time, waits bool) {
	if r.ctx.Err() != nil {
		return at, false
	}
	if r.err == nil && time.Now().Before(r.pause) && r.open() {
		at, waits = r.pause, true
	}
	for _, l := range r.limbo {
		if len(l.entries) > 0 && !r.looking && (!waits || l.next.Before(at)) {
			at, waits = l.next, true
		}
	}
	return at, waits
}

// open reports whether anything is left to be sent.
func (r *run) open() bool {
	return slices.ContainsFunc(r.entries[min(r.first, len(r.entries)):], func(e entry) bool { return e.send && e.state != Unknown })
}

// tell tells how far the run is.
func (r *run) tell() {
	p := Progress{Stage: StageRegistering, Done: r.done, Total: r.total, Conflicts: r.conflicts}
	settling := 0
	for _, l := range r.limbo {
		if len(l.entries) > 0 {
			settling++
			if l.deadline.After(p.Until) {
				p.Until = l.deadline
			}
		}
	}
	switch {
	case r.ctx.Err() != nil && r.flying > 0:
		p.Wait, p.Until = fmt.Sprintf("%d requests under way", r.flying), time.Time{}
	case time.Now().Before(r.pause):
		p.Wait, p.Until = r.cause, r.pause
	case settling > 0:
		p.Wait = fmt.Sprintf("settling %d requests", settling)
	default:
		p.Until = time.Time{}
	}
	r.progress(p)
}

// sendAll sends what may be sent.
func (r *run) sendAll() {
	for !r.stopped() && !time.Now().Before(r.pause) && r.flying < r.InFlight {
		if r.canary != found && !r.target.Sandbox && (r.flying > 0 || r.canary == asked || r.taken()) {
			return // one batch, until it was read back
		}
		q, ok := r.next()
		if !ok {
			return
		}
		r.post(q)
	}
}

// taken reports whether METI answered success to what is not found yet.
func (r *run) taken() bool {
	return slices.ContainsFunc(r.limbo, func(l *limbo) bool { return l.taken })
}

// next takes the next request: a part of what METI refused, else a batch in the
// input's order, else one that it refused before.
func (r *run) next() (request, bool) {
	if len(r.hunts) > 0 {
		h := r.hunts[0]
		r.hunts = r.hunts[1:]
		n := max(1, len(h.suspects)/2)
		q := request{entries: h.suspects[:n:n], hunt: h}
		h.suspects = h.suspects[n:]
		return q, true
	}
	const frame = 160 // what a feature has beside its geometry
	size, last := 0, -1
	var batch []int
	in := map[int]bool{}
	for i := r.first; i < len(r.entries) && len(batch) < r.batch; i++ {
		e := &r.entries[i]
		if !e.send && e.state != Unknown {
			if i == r.first {
				r.first++
			}
			continue
		}
		if e.last && e.send && e.state != Unknown {
			if last < 0 {
				last = i
			}
			continue
		}
		if e.state == Unknown || r.reserved[i] || r.blocked(i, in) {
			continue
		}
		if size += int(e.place.length) + frame; len(batch) > 0 && size > r.maxBytes {
			break
		}
		batch = append(batch, i)
		in[i] = true
	}
	if len(batch) > 0 {
		return request{entries: batch}, true
	}
	if last >= 0 && r.flying == 0 && len(r.limbo) == 0 && !r.pendingBefore() {
		return request{entries: []int{last}}, true
	}
	return request{}, false
}

// pendingBefore reports whether anything but what METI refused before is left.
func (r *run) pendingBefore() bool {
	return slices.ContainsFunc(r.entries[r.first:], func(e entry) bool { return e.send && !e.last })
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
// what stands before it in the same batch does not block it, unless METI tells
// no boundary by which the two could be told apart.
func (r *run) blocked(i int, batch map[int]bool) bool {
	e := &r.entries[i]
	if r.target.Sandbox {
		return false
	}
	if r.order.crowded[i] {
		for k := r.first; k < i; k++ {
			if r.unsettled(k) && !batch[k] {
				return true
			}
		}
	}
	for _, o := range r.order.clash[i] {
		if r.entries[o].state == Unknown || o < i && r.unsettled(o) && !batch[o] {
			return true
		}
	}
	if e.next >= 0 || r.shared(i) {
		for k := range r.live(r.altID(i), e.period) {
			switch {
			case k == i:
			case r.entries[k].state == Unknown, batch[k] && r.mayHideBoundaries(), k < i && r.unsettled(k) && !batch[k]:
				return true
			}
		}
	}
	for _, l := range r.limbo {
		for k, m := range l.marks {
			if l.at[k] < 0 && l.found[k] == "" && e.box.meets(m.Box) {
				return true
			}
		}
	}
	return false
}

// shared reports whether an entry is not the last one of its alt_id.
func (r *run) shared(i int) bool { return r.byName[r.key(r.altID(i))] != int32(i) }

// mayHideBoundaries reports whether METI may not tell boundaries: until an
// answer has shown that it does.
func (r *run) mayHideBoundaries() bool { return r.account.shapeless || !r.account.shaped }

// post sends a request once its intent is on the disk.
func (r *run) post(q request) {
	r.known.intents++
	q.intent = r.known.intents
	for _, i := range q.entries {
		e := &r.entries[i]
		m := mark{Identity: r.identity(i).String(), AltID: r.altID(i), StartAt: e.period.Start.String(), EndAt: e.period.End.String(), Box: e.box}
		if e.state == Differs || e.state == Boundary {
			m.Replaces = r.account.id(e.source)
		}
		q.marks = append(q.marks, m)
	}
	if err := r.write(record{Intent: q.intent, Attributes: r.attributes, Features: q.marks}); err != nil {
		r.stop(err)
		return
	}
	for _, i := range q.entries {
		r.entries[i].before, r.entries[i].state = r.entries[i].state, Unknown
	}
	r.flying++
	go func() {
		a := answer{request: q}
		if a.features, a.err = r.loadAll(q.entries); a.err == nil {
			a.sources, a.err = r.create(q.entries, a.features)
		}
		r.answers <- a
	}()
}

// write appends a record behind one that says whose it is.
func (j *Job) write(rec record) error {
	if !j.known.ours && j.journal != nil {
		if err := j.journal.append(record{Store: storeOf(j.target.Server), Account: j.target.Account}); err != nil {
			return err
		}
		j.known.ours = true
	}
	return j.journal.append(rec)
}

func (r *run) loadAll(entries []int) (list []feature, err error) {
	list = make([]feature, len(entries))
	for k, i := range entries {
		if list[k], err = r.load(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// create makes the request. It outlives an interruption for a while.
func (r *run) create(entries []int, list []feature) ([]*api.Source, error) {
	ctx, cancel := context.WithTimeout(r.hard, longestRequest)
	defer cancel()
	body := r.Attributes
	body.FeatureCollection.Features = make([]api.Feature, len(list))
	for k, i := range entries {
		period := r.entries[i].period
		body.FeatureCollection.Features[k] = api.Feature{
			ID:       r.altID(i),
			Geometry: list[k].geometry,
			Properties: api.FeatureProperties{
				StartAt: wire.TimeFromText(period.Start.String()),
				EndAt:   wire.TimeFromText(period.End.String()),
			},
		}
	}
	return r.Client.Sources.Create(ctx, body)
}

// take takes in what came of a request: the table of the package documentation,
// "answered".
func (r *run) take(a answer) {
	var fault *api.Error
	errors.As(a.err, &fault)
	status := 0
	if fault != nil {
		status = fault.Status
	}
	switch {
	case a.err == nil:
		sources, err := r.fit(a)
		switch {
		case errors.Is(err, ErrAltered):
			r.register(a.request, a.sources)
			r.stop(err)
		case err != nil:
			r.lose(a.request, err, true)
		default:
			r.accept(a.request, sources)
		}
	case errors.Is(a.err, ErrInputChanged):
		r.giveBack(a.request, a.err.Error())
		r.stop(a.err)
	case fault == nil || errors.Is(a.err, api.ErrOutcomeUnknown):
		r.lose(a.request, a.err, status >= 200 && status < 300)
		if errors.Is(a.err, api.ErrRedirect) {
			r.stop(a.err)
		}
	case status == http.StatusRequestEntityTooLarge && len(a.entries) > 1:
		r.giveBack(a.request, fault.Message)
		size := 0
		for _, i := range a.entries {
			size += int(r.entries[i].place.length)
		}
		r.maxBytes = min(r.maxBytes, max(1, size/2))
	case status == http.StatusRequestEntityTooLarge, errors.Is(a.err, api.ErrInvalid) && len(a.entries) == 1:
		r.refuse(a.request, fault)
	case errors.Is(a.err, api.ErrInvalid):
		h := a.hunt
		if a.hunt = nil; h == nil {
			h = new(hunt)
		}
		r.giveBack(a.request, fault.Message)
		h.aside = append(h.aside, h.suspects...)
		h.suspects = a.entries
		for _, i := range slices.Concat(h.suspects, h.aside) {
			r.reserved[i] = true
		}
		r.hunts = append(r.hunts, h)
	case status == http.StatusTooManyRequests, status == 0 && unsent(a.err):
		r.giveBack(a.request, a.err.Error())
		r.wait(fault, a.err)
	default:
		r.giveBack(a.request, a.err.Error())
		r.stop(a.err)
	}
}

// unsent reports whether the network kept a request from leaving.
func unsent(err error) bool {
	return !errors.Is(err, api.ErrUnauthorized) && !errors.Is(err, api.ErrNoToken) && !errors.Is(err, api.ErrForbidden) && !errors.Is(err, context.Canceled)
}

// wait keeps the run from sending for a while.
func (r *run) wait(fault *api.Error, err error) {
	r.unsent++
	r.cause = "the network"
	most := min(500*time.Millisecond<<min(r.unsent, 10), time.Minute)
	wait := most/2 + rand.N(most/2+1)
	if fault.Status > 0 {
		r.cause = fmt.Sprint(fault.Status)
	}
	if fault.RetryAfter > 0 {
		// A server that is told to say an hour is asked again after five
		// minutes: the run is not stopped by one answer.
		wait = min(fault.RetryAfter, 5*time.Minute) + rand.N(time.Second)
	}
	if r.unsent >= unsentInARow {
		r.stop(fmt.Errorf("given up after %d requests without effect: %w", r.unsent, err))
		return
	}
	r.pause = time.Now().Add(wait)
	if wait >= time.Second {
		r.notice("%s: waiting %s", r.cause, wait.Round(time.Second))
	}
}

// giveBack notes that a request had no effect: its features are where they
// were before.
func (r *run) giveBack(q request, why string) {
	r.restore(q.entries)
	r.over(q)
	if err := r.write(record{Intent: q.intent, Void: clip(cmp.Or(why, "no effect"), 500)}); err != nil {
		r.stop(err)
	}
}

func (r *run) restore(entries []int) {
	for _, i := range entries {
		r.entries[i].state = r.entries[i].before
		r.first = min(r.first, i)
	}
}

// over ends the hunt that a request was a part of.
func (r *run) over(q request) {
	if q.hunt == nil {
		return
	}
	for _, i := range slices.Concat(q.entries, q.hunt.suspects, q.hunt.aside) {
		delete(r.reserved, i)
	}
}

// refuse notes that METI refuses one feature.
func (r *run) refuse(q request, fault *api.Error) {
	i := q.entries[0]
	e := &r.entries[i]
	text := refusal(fault)
	if err := r.write(record{Intent: q.intent, Void: clip(text, 2000), Refused: true}); err != nil {
		r.restore(q.entries)
		r.stop(err)
		return
	}
	r.over(q)
	e.state, e.send = Refused, false
	r.reasons[i] = text
	r.done++
	if !e.last {
		r.batch = max(1, r.batch/2)
	}
	if r.refused++; r.refused >= refusedInARow {
		r.stop(fmt.Errorf("%w: %d, and none accepted between: %s; stopped", ErrRefused, r.refused, text))
	}
}

// refusal is METI's own words, with the status.
func refusal(fault *api.Error) string {
	text := fault.Message
	for i, field := range fault.Fields {
		if i == 0 {
			text = field.String()
		} else {
			text += "; " + field.String()
		}
	}
	if fault.Status == 0 {
		return text
	}
	return fmt.Sprintf("%d %s: %s", fault.Status, http.StatusText(fault.Status), text)
}

// accept notes that a batch was registered.
func (r *run) accept(q request, sources []*api.Source) {
	if !r.register(q, sources) {
		return
	}
	r.refused, r.lost, r.unsent = 0, 0, 0
	switch {
	case q.hunt != nil && len(q.hunt.suspects) > 0:
		r.hunts = append(r.hunts, q.hunt)
	case q.hunt != nil:
		r.over(q)
	case len(q.entries) >= r.batch:
		r.batch = min(r.BatchFeatures, 2*r.batch)
	}
	if r.canary == untried && !r.target.Sandbox {
		r.canary = asked
		i, source := q.entries[0], sources[0]
		go func() { r.read <- r.readBack(i, source) }()
	}
}

// register writes down what a request made. The order of things: a result is on
// disk before anything follows from it.
func (r *run) register(q request, sources []*api.Source) bool {
	ids := make([]string, len(sources))
	for k, s := range sources {
		ids[k] = s.ID
	}
	if err := r.write(record{Intent: q.intent, Result: ids}); err != nil {
		r.stop(err) // the next run finds the intent, and looks up what came of it
		return false
	}
	for k, i := range q.entries {
		if geometryOf(sources[k]) == nil {
			r.account.shapeless = true
		} else {
			r.account.shaped = true
		}
		at := r.put(sources[k])
		r.became(i, at)
		if r.account.sources[at].conflict > 0 {
			r.conflicts++
		}
	}
	r.replaced(q.marks, q.entries)
	return true
}

// became notes that an entry is a source now.
func (r *run) became(i int, source int32) {
	e := &r.entries[i]
	e.state, e.source, e.send, e.before = Registered, source, false, Registered
	r.account.sources[source].paired = true
	r.maps(i, r.account.id(source), time.Now())
	r.changed = append(r.changed, i)
	r.sent++
	r.done++
	if e.last {
		r.reasons[i] = "METI refused it before; it lost its place in the order"
	} else {
		delete(r.reasons, i)
	}
}

// fit pairs the sources of an answer with the features that were sent: in
// order, as METI answers, or by what they are.
func (r *run) fit(a answer) ([]*api.Source, error) {
	if len(a.sources) != len(a.entries) {
		return nil, fmt.Errorf("%d features were sent, and %d sources came back", len(a.entries), len(a.sources))
	}
	ids := map[string]bool{}
	for _, s := range a.sources {
		if s == nil || s.ID == "" || ids[s.ID] {
			return nil, errors.New("the answer has a source without an id of its own")
		}
		ids[s.ID] = true
	}
	is := func(k int, s *api.Source) bool {
		return inGroup(r.entries[a.entries[k]].period, s) && sameBoundary(a.features[k], s)
	}
	inOrder, altered := true, ""
	for k, i := range a.entries {
		s := a.sources[k]
		switch {
		case s.AltID == "" || !is(k, s):
			inOrder = false
		case s.AltID != r.altID(i):
			altered = fmt.Sprintf("%q came back as %q", r.altID(i), s.AltID)
		}
	}
	if inOrder && altered != "" {
		return nil, fmt.Errorf("%w: %s; nothing more was sent", ErrAltered, altered)
	}
	if inOrder {
		return a.sources, nil
	}
	paired, taken := make([]*api.Source, len(a.entries)), map[string]bool{}
	for k, i := range a.entries {
		for _, s := range a.sources {
			if s.AltID != r.altID(i) || taken[s.ID] || !is(k, s) {
				continue
			}
			paired[k], taken[s.ID] = s, true
			break
		}
		if paired[k] == nil {
			return nil, fmt.Errorf("the answer has no source for %q as it was sent", r.altID(i))
		}
	}
	return paired, nil
}

// sameBoundary compares a feature with a source. What the source does not tell
// does not tell them apart.
func sameBoundary(f feature, s *api.Source) bool {
	raw := geometryOf(s)
	if raw == nil {
		return s.Hectares == nil || sameArea(f.shape.Hectares(), float64(*s.Hectares))
	}
	shape, err := ledger.ParseGeometry(raw)
	return err == nil && sameShape(f.shape, shape, decimalsOf(raw))
}

// readBack reads the first success again, as the next run would: by its alt_id.
// It must be there when the settling time has passed.
func (r *run) readBack(i int, sent *api.Source) error {
	name := r.altID(i)
	f, err := r.load(i)
	if err != nil {
		return err
	}
	deadline, pause := time.Now().Add(r.Settle), r.Settle/100
	for {
		last := !time.Now().Before(deadline)
		var there *api.Source
		_, err := r.fetch(r.ctx, []string{name}, false, func(s *api.Source) {
			if s.ID == sent.ID {
				there = s
			}
		})
		switch {
		case err != nil && (last || r.ctx.Err() != nil):
			return err
		case err != nil || there == nil && !last:
		case there == nil:
			return fmt.Errorf("%w: %s is not found by %q, under which it was registered; nothing more was sent", ErrAltered, sent.ID, name)
		case !inGroup(r.entries[i].period, there):
			return fmt.Errorf("%w: %q has another period than it was sent with; nothing more was sent", ErrAltered, name)
		case !sameBoundary(f, there):
			return fmt.Errorf("%w: %q has another boundary than it was sent with; nothing more was sent", ErrAltered, name)
		default:
			return nil
		}
		if !sleep(r.ctx, max(pause, time.Millisecond)) {
			return nil
		}
		pause = min(2*pause, r.Settle/4)
	}
}

// lose notes that the outcome of a request is not known. taken says that METI
// answered with success: it is looked for, and not sent again by this run.
func (r *run) lose(q request, cause error, taken bool) {
	now := time.Now()
	r.over(q)
	for _, i := range q.entries {
		r.reasons[i] = "sent, and the answer was lost: " + clip(cause.Error(), 300)
		if r.target.Sandbox {
			r.entries[i].send = false
		}
	}
	if r.target.Sandbox {
		return
	}
	r.limbo = append(r.limbo, &limbo{
		intent: q.intent, entries: slices.Clone(q.entries), marks: q.marks, at: q.entries, found: make([]string, len(q.entries)),
		deadline: now.Add(r.Settle), taken: taken, cause: clip(cause.Error(), 500),
		next: now.Add(r.Settle / 100), pause: r.Settle / 20,
	})
	if r.lost++; r.lost >= lostInARow {
		r.stop(fmt.Errorf("given up after %d lost answers: %w", r.lost, cause))
	}
}

// pendingDeletions are the sources that an earlier run replaced and did not
// delete.
func (j *Job) pendingDeletions() (list []string) {
	for old, i := range j.known.replaced {
		e := &j.entries[i]
		k, there := j.account.byID[j.key(old)]
		if !there || j.account.id(k) != old || j.account.sources[k].reading != j.account.readings || e.source < 0 || e.source == k ||
			e.state != Registered && e.state != Differs {
			continue
		}
		if j.Changed != Renew {
			j.reasons[i] = old + " was to be deleted once this replaced it, and was not"
			continue
		}
		list = append(list, old)
	}
	slices.Sort(list)
	return list
}

// replaced deletes the sources that a batch replaced.
func (r *run) replaced(marks []mark, entries []int) {
	var ids []string
	var of []int
	for k, m := range marks {
		if m.Replaces != "" {
			ids, of = append(ids, m.Replaces), append(of, entries[k])
		}
	}
	if len(ids) > 0 {
		r.remove(ids, of)
	}
}

// removal is what came of deleting sources.
type removal struct {
	ids     []string
	entries []int
	done    int
	err     error
}

// remove deletes sources whose successors are registered: their results are on
// disk.
func (r *run) remove(ids []string, entries []int) {
	for _, id := range ids {
		if err := r.write(record{Deleting: id}); err != nil {
			r.stop(err)
			return
		}
	}
	r.removing++
	go func() {
		x := removal{ids: ids, entries: entries}
		for _, id := range ids {
			ctx, cancel := context.WithTimeout(r.hard, longestRequest)
			err := r.Client.Sources.Delete(ctx, id)
			cancel()
			if err != nil && !errors.Is(err, api.ErrNotFound) {
				x.err = fmt.Errorf("deleting %s, which was replaced: %w", id, err)
				break
			}
			x.done++
		}
		r.removed <- x
	}()
}

func (r *run) takeRemoval(x removal) {
	r.deleted += x.done
	for _, id := range x.ids[:x.done] {
		delete(r.known.replaced, id)
	}
	r.changed = append(r.changed, x.entries...)
	for k, i := range x.entries[x.done:] {
		r.reasons[i] = x.ids[x.done+k] + " was replaced, and is not deleted yet"
	}
	r.stop(x.err)
}

// chooseAll chooses anew among some entries.
func (j *Job) chooseAll(entries []int) {
	for _, i := range entries {
		j.chooseOne(i)
	}
}

// unique sorts entries, each once.
func unique(entries []int) []int {
	list := slices.Clone(entries)
	slices.Sort(list)
	return slices.Compact(list)
}
