package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/meti-go/meti/api"
)

// ErrInputChanged says that the input was changed while it was registered.
var ErrInputChanged = errors.New("the input was changed during the run")

// effect is what came of sending a batch.
type effect int

const (
	accepted effect = iota // registered
	denied                 // 400 or 422: one of them is bad, at least
	tooLarge               // 413
	unclear                // unknown, and reported so
	halted                 // the run is stopping
)

// maxAttempts is how often a batch is sent before the run gives up: what has
// failed as often fails again.
const maxAttempts = 5

// take gives a worker its next batch, those of unknown outcome first.
func (r *run) take() (batch []int, unsettled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.ctx.Err() != nil {
		return nil, false
	}
	if len(r.lost) > 0 {
		batch = r.lost[0]
		r.lost = r.lost[1:]
		return batch, true
	}
	const frame = 160 // what a feature has beside its geometry
	size := 0
	for ; r.next < len(r.index.entries) && len(batch) < r.BatchFeatures; r.next++ {
		e := &r.index.entries[r.next]
		if e.state != pending {
			continue
		}
		if size += int(e.length) + frame; len(batch) > 0 && size > r.maxBytes {
			break
		}
		e.state = sent
		batch = append(batch, r.next)
	}
	return batch, false
}

// resume settles a batch that an earlier run left behind, and sends it if it
// was not registered.
func (r *run) resume(batch []int) {
	deadline, rec, err := r.deadline(batch)
	if err != nil {
		r.fail(err)
		return
	}
	features, err := r.load(batch)
	if err != nil {
		r.fail(err)
		return
	}
	switch r.settle(batch, features, deadline) {
	case absent:
		if rec.Kind == kindLost && rec.Claimed {
			return // see lose
		}
		if r.nothing(batch, "not found after the settling time") {
			r.move(batch, sent, 0)
			r.deliver(batch)
		}
	case present, uncertain, interrupted:
	}
}

// deliver registers a batch, in parts where it has to be.
func (r *run) deliver(batch []int) {
	switch r.send(batch) {
	case tooLarge:
		r.halve(batch)
	case denied:
		r.bisect(batch)
	case accepted, unclear, halted:
	}
}

// halve delivers a batch that was too large in two parts, and keeps later ones
// as small. A single feature is refused by send.
func (r *run) halve(batch []int) {
	if len(batch) < 2 {
		return
	}
	size := 0
	for _, i := range batch {
		size += int(r.index.entries[i].length)
	}
	r.mu.Lock()
	r.maxBytes = min(r.maxBytes, max(1, size/2))
	r.mu.Unlock()
	r.deliver(batch[:len(batch)/2])
	r.deliver(batch[len(batch)/2:])
}

// bisect finds the guilty of a batch that was refused, and registers the
// others: binary splitting, which sends each innocent part once. k guilty of n
// take about k·log2(n) requests. A feature is blamed only when it is refused
// alone.
func (r *run) bisect(group []int) {
	if len(group) < 2 {
		return // send has refused it
	}
	var rest []int
	size := len(group) // of the next group out of rest
	for {
		// One of group is guilty.
		for len(group) > 1 {
			left, right := group[:len(group)/2], group[len(group)/2:]
			switch r.send(left) {
			case accepted:
				group = right
			case denied:
				group, rest = left, join(right, rest)
				if len(left) == 1 {
					group = nil // it was blamed by itself
				}
			case tooLarge:
				r.halve(left)
				group, rest = nil, join(right, rest)
			case unclear:
				group, rest = nil, join(right, rest)
			case halted:
				r.release(right, rest)
				return
			}
		}
		if len(group) == 1 {
			r.deliver(group)
		}
		// What is left is likely to be innocent as a whole, but where many are
		// guilty smaller groups cost less.
		for group = nil; group == nil; {
			if len(rest) == 0 {
				return
			}
			n := min(size, len(rest))
			group, rest = rest[:n], rest[n:]
			switch r.send(group) {
			case accepted, unclear:
				size, group = 2*size, nil
			case tooLarge:
				r.halve(group)
				group = nil
			case denied:
				size = max(1, n/2)
				if n == 1 {
					group = nil
				}
			case halted:
				r.release(rest)
				return
			}
		}
	}
}

func join(a, b []int) []int { return append(append(make([]int, 0, len(a)+len(b)), a...), b...) }

// release gives batches back that were taken and not sent.
func (r *run) release(batches ...[]int) {
	for _, batch := range batches {
		r.move(batch, pending, 0)
	}
}

// send registers a batch in one request, or finds out why not. It repeats only
// what certainly had no effect.
func (r *run) send(batch []int) effect {
	for attempt := 1; ; attempt++ {
		if r.stopped() {
			r.release(batch)
			return halted
		}
		features, err := r.load(batch)
		if err == nil {
			_, err = r.journal.append(record{Kind: kindIntent, At: time.Now(), Content: r.content, Marks: r.marks(batch)})
		}
		if err != nil {
			r.fail(err)
			r.release(batch)
			return halted
		}
		sources, err := r.create(features)
		var fault *api.Error
		errors.As(err, &fault)
		var wait time.Duration
		switch {
		case err == nil:
			if sources, err = fit(features, sources); err == nil {
				return r.done(batch, sources)
			}
			return r.lose(batch, features, err, true)
		case lostAnswer(err):
			result := r.lose(batch, features, err, false)
			if result != again {
				return result
			}
			if attempt >= maxAttempts || errors.Is(err, api.ErrRedirect) {
				r.fail(fmt.Errorf("given up after %d attempts: %w", attempt, err))
				r.release(batch)
				return halted
			}
			continue
		case errors.Is(err, api.ErrTooLarge) && len(batch) > 1:
			if !r.nothing(batch, fault.Message) {
				return halted
			}
			return tooLarge
		case errors.Is(err, api.ErrTooLarge), errors.Is(err, api.ErrInvalid) && len(batch) == 1:
			return r.blame(batch, fault)
		case errors.Is(err, api.ErrInvalid):
			if !r.nothing(batch, fault.Message) {
				return halted
			}
			return denied
		case errors.Is(err, api.ErrRateLimited), neverSent(err):
			if attempt < 2*maxAttempts {
				wait = backoff(attempt, fault)
			}
		}
		if !r.nothing(batch, err.Error()) {
			return halted
		}
		if wait == 0 {
			r.fail(err)
			r.release(batch)
			return halted
		}
		if !sleep(r.ctx, wait) {
			r.release(batch)
			return halted
		}
	}
}

// again is lose's word for a batch that certainly was not registered.
const again effect = -1

// lostAnswer reports whether a request may have been carried out.
func lostAnswer(err error) bool {
	var fault *api.Error
	if !errors.As(err, &fault) || errors.Is(err, api.ErrOutcomeUnknown) {
		return true
	}
	switch fault.Status {
	case 0:
		return false // package api says so where it cannot be sure
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge,
		http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusUnsupportedMediaType, http.StatusTooManyRequests:
		return false
	}
	return true
}

// neverSent reports whether the network kept a request from leaving.
func neverSent(err error) bool {
	var fault *api.Error
	return errors.As(err, &fault) && fault.Status == 0 &&
		!errors.Is(err, api.ErrUnauthorized) && !errors.Is(err, api.ErrForbidden) && !errors.Is(err, context.Canceled)
}

// backoff is the wait before a request that had no effect is sent again.
func backoff(attempt int, fault *api.Error) time.Duration {
	most := min(500*time.Millisecond<<min(attempt, 10), time.Minute)
	if fault != nil && fault.RetryAfter > 0 {
		// A server that is told to say an hour is asked again after five
		// minutes: the run is not stopped by one answer.
		return min(fault.RetryAfter, 5*time.Minute) + rand.N(time.Second)
	}
	return most/2 + rand.N(most/2+1)
}

// sleep waits, and reports whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// load reads features again to send or to compare them.
func (r *run) load(batch []int) ([]*feature, error) {
	features := make([]*feature, len(batch))
	for k, i := range batch {
		var err error
		if features[k], err = r.loadOne(i); err != nil {
			return nil, err
		}
	}
	return features, nil
}

func (r *run) loadOne(i int) (*feature, error) {
	e := &r.index.entries[i]
	raw, err := r.input.at(e.offset, int(e.length))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInputChanged, err)
	}
	var in struct {
		Geometry json.RawMessage `json:"geometry"`
	}
	if maphash.Bytes(r.index.seed, raw) != e.text || json.Unmarshal(raw, &in) != nil {
		return nil, fmt.Errorf("%w: feature %d is not what it was", ErrInputChanged, i)
	}
	return &feature{altID: r.index.altID(i), period: e.period, form: e.form, geometry: in.Geometry}, nil
}

// create makes the request. It outlives an interruption for a while.
func (r *run) create(features []*feature) ([]*api.Source, error) {
	ctx, cancel := context.WithTimeout(r.hard, longestRequest)
	defer cancel()
	request := r.Shared
	request.FeatureCollection.Features = make([]api.Feature, len(features))
	for i, f := range features {
		request.FeatureCollection.Features[i] = f.wire()
	}
	return r.Client.Sources.Create(ctx, request)
}

// marks name a batch in the journal.
func (r *run) marks(batch []int) []mark {
	marks := make([]mark, len(batch))
	for k, i := range batch {
		marks[k] = mark{Identity: r.index.identity(i).String(), AltID: r.index.altID(i)}
	}
	return marks
}

// result completes a mark by its source.
func (r *run) result(i int, m mark, s *api.Source) mark {
	period := r.index.entries[i].period
	m.StartAt, m.EndAt = period.Start.String(), period.End.String()
	m.ID, m.Conflict, m.ConflictWith = s.ID, s.Conflict, s.ConflictWith
	if s.Hectares != nil {
		hectares := float64(*s.Hectares)
		m.Hectares = &hectares
	}
	return m
}

// done journals that a batch was registered.
func (r *run) done(batch []int, sources []*api.Source) effect {
	marks := r.marks(batch)
	for k, i := range batch {
		marks[k] = r.result(i, marks[k], sources[k])
		r.know(sources[k].ID)
	}
	line, err := r.journal.append(record{Kind: kindRegistered, At: time.Now(), Content: r.content, Marks: marks})
	if err != nil {
		// The next run finds the intent, and looks up what came of it.
		r.fail(err)
		r.move(batch, lost, -1)
		return halted
	}
	r.mu.Lock()
	r.sent += len(batch)
	for k, i := range batch {
		if sources[k].InConflict() {
			r.index.entries[i].conflict = true
			r.counts.Conflicts++
		}
	}
	r.mu.Unlock()
	r.move(batch, registered, line)
	return accepted
}

// nothing journals that a request had no effect. It reports whether the run
// goes on with the batch.
func (r *run) nothing(batch []int, reason string) bool {
	_, err := r.journal.append(record{Kind: kindNothing, At: time.Now(), Reason: clip(reason, 500), Marks: r.marks(batch)})
	if err != nil {
		r.fail(err)
		r.release(batch)
	}
	return err == nil
}

// blame journals that METI refuses one feature.
func (r *run) blame(batch []int, fault *api.Error) effect {
	marks := r.marks(batch)
	marks[0].Reason = clip(refusal(fault), 2000)
	line, err := r.journal.append(record{Kind: kindRefused, At: time.Now(), Content: r.content, Marks: marks})
	if err != nil {
		r.fail(err)
		r.release(batch)
		return halted
	}
	r.move(batch, refused, line)
	return denied
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
