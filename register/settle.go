package register

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/wire"
)

// finding is what became of a lost request.
type finding int

const (
	present     finding = iota // registered, and journaled
	absent                     // not registered, after the settling time
	uncertain                  // neither is certain; it is reported as unknown
	interrupted                // the run is stopping
)

// lose settles a batch whose answer was lost. claimed says that METI answered
// with success, in a way that does not fit: then it is not sent again, even if
// it is not to be found.
func (r *run) lose(batch []int, features []*feature, cause error, claimed bool) effect {
	at := time.Now()
	line, err := r.journal.append(record{Kind: kindLost, At: at, Content: r.content, Claimed: claimed, Reason: clip(cause.Error(), 500), Marks: r.marks(batch)})
	if err != nil {
		r.fail(err)
		r.move(batch, lost, -1)
		return halted
	}
	r.move(batch, lost, line)
	switch r.settle(batch, features, at.Add(r.Settle)) {
	case present:
		return accepted
	case absent:
		if claimed {
			return unclear
		}
		if !r.nothing(batch, "not found after the settling time") {
			return halted
		}
		r.move(batch, sent, 0)
		return again
	case interrupted:
		return halted
	case uncertain:
	}
	return unclear
}

// settle looks a batch up until it is found or cannot come any more.
func (r *run) settle(batch []int, features []*feature, deadline time.Time) finding {
	r.changeSettling(1)
	defer r.changeSettling(-1)
	failures, absences := 0, 0
	pause := r.Settle / 20
	for {
		final := !time.Now().Before(deadline)
		ctx := r.ctx
		stopping := r.stopped()
		if stopping {
			ctx = r.last // one more look, as the request may just have been carried out
		}
		sources, verdict, err := r.look(ctx, features)
		switch {
		case err != nil:
			failures++
			if errors.Is(err, api.ErrUnauthorized) || errors.Is(err, api.ErrForbidden) {
				r.fail(err)
				return interrupted
			}
		case verdict == present:
			if r.done(batch, sources) != accepted {
				return interrupted
			}
			return present
		case final && verdict == uncertain:
			return uncertain
		case final && verdict == absent:
			// One answer may come from a copy that lags behind.
			if absences++; absences == 2 {
				return absent
			}
		}
		if stopping {
			return interrupted
		}
		if failures >= maxAttempts && final {
			return uncertain
		}
		wait := pause
		if left := time.Until(deadline); !final && left < wait {
			wait = left
		}
		pause = min(pause*2, r.Settle/4, 10*time.Second)
		sleep(r.ctx, max(wait, time.Millisecond))
	}
}

func (r *run) changeSettling(by int) {
	r.mu.Lock()
	r.settling += by
	r.mu.Unlock()
	r.progress()
}

// look searches the account for a batch that may have been registered: present
// when each feature is found once, absent when none is and nothing resembles
// one.
func (r *run) look(ctx context.Context, features []*feature) ([]*api.Source, finding, error) {
	byName := map[string][]int{}
	for k, f := range features {
		byName[f.altID] = append(byName[f.altID], k)
	}
	seen := map[string]*api.Source{}
	err := r.sources(ctx, byName, func(s *api.Source) error {
		if !r.knows(s.ID) {
			seen[s.ID] = s
		}
		return nil
	})
	if err != nil {
		return nil, uncertain, err
	}
	owners := map[string][]int{} // the features that a source may be
	of := make([][]*api.Source, len(features))
	resembling := false
	for id, s := range seen {
		for _, k := range byName[s.AltID] {
			switch c := r.compare(features[k], s); {
			case c == same && (r.foreign(s) || r.another(s, features)):
				resembling = true
			case c == same:
				of[k] = append(of[k], s)
				owners[id] = append(owners[id], k)
			case c == near:
				resembling = resembling || !r.another(s, nil)
			}
		}
	}
	sources, count := make([]*api.Source, len(features)), 0
	for k := range features {
		if len(of[k]) > 0 {
			count++
		}
		if len(of[k]) == 1 && len(owners[of[k][0].ID]) == 1 {
			sources[k] = of[k][0]
		}
	}
	switch {
	case !slices.Contains(sources, nil):
		return sources, present, nil
	case count == 0 && !resembling:
		return nil, absent, nil
	}
	return nil, uncertain, nil
}

// another reports whether a source may just as well be a feature of the input
// other than these.
func (r *run) another(s *api.Source, than []*feature) bool {
	for _, i := range r.index.named(s.AltID) {
		e := &r.index.entries[i]
		r.mu.Lock()
		accounted := e.state == registered || e.state == existed
		r.mu.Unlock()
		if accounted {
			continue // by a source of its own
		}
		if slices.ContainsFunc(than, func(f *feature) bool { return f.altID == s.AltID && f.period == e.period && f.form == e.form }) {
			continue
		}
		f, err := r.loadOne(i)
		if err == nil && r.compare(f, s) == same {
			return true
		}
	}
	return false
}

// likeness is how much a source resembles a feature of its alt_id.
type likeness int

const (
	other likeness = iota
	near           // a period within a day and an area within a thousandth
	same
)

const (
	day          = 24 * time.Hour
	sameHectares = 1e-6
	nearHectares = 1e-3
)

// compare compares a feature with a source of its alt_id. What the source does
// not say does not tell them apart.
func (r *run) compare(f *feature, s *api.Source) likeness {
	apart := max(timeApart(f.period.Start, s.StartAt), timeApart(f.period.End, s.EndAt))
	if apart > day {
		return other
	}
	form := compareForms(f, s)
	if apart > time.Microsecond {
		form = min(form, near)
	}
	return form
}

func timeApart(a ledger.Time, b wire.Time) time.Duration {
	switch {
	case b.Text() != "" && b.Text() == a.String():
		return 0
	case b.Text() != "":
		return math.MaxInt64
	case b.IsZero():
		return 0
	}
	return a.Std().Sub(b.Time).Abs()
}

func compareForms(f *feature, s *api.Source) likeness {
	raw := s.Boundary()
	if err := f.parse(); err != nil {
		return near // it was read before, so this cannot be; no proof in any case
	}
	if !isNull(raw) {
		if shape, err := ledger.ParseGeometry(raw); err == nil {
			switch {
			case f.outline.same(outlineOf(shape)):
				return same
			case sameArea(f.shape.Hectares(), shape.Hectares(), nearHectares):
				return near
			}
			return other
		}
	}
	if s.Hectares == nil {
		return same
	}
	ours, theirs := f.shape.Hectares(), float64(*s.Hectares)
	switch {
	case sameArea(ours, theirs, sameHectares):
		return same
	case sameArea(ours, theirs, nearHectares):
		return near
	}
	return other
}

// fit pairs the sources of an answer with the features that were sent: in
// order, as METI answers, or by identity.
func fit(features []*feature, sources []*api.Source) ([]*api.Source, error) {
	if len(sources) != len(features) {
		return nil, fmt.Errorf("%d features were sent, and %d sources came back", len(features), len(sources))
	}
	ids := map[string]bool{}
	for _, s := range sources {
		if s == nil || s.ID == "" || ids[s.ID] {
			return nil, errors.New("the answer has a source without an id of its own")
		}
		ids[s.ID] = true
	}
	is := func(f *feature, s *api.Source) bool {
		return s.AltID == f.altID && max(timeApart(f.period.Start, s.StartAt), timeApart(f.period.End, s.EndAt)) <= time.Microsecond
	}
	// Only what has the same alt_id and period needs its geometry to be told apart.
	type name struct {
		altID  string
		period ledger.Period
	}
	named := map[name]int{}
	for _, f := range features {
		named[name{f.altID, f.period}]++
	}
	inOrder := true
	for k, f := range features {
		inOrder = inOrder && is(f, sources[k]) && (named[name{f.altID, f.period}] == 1 || compareForms(f, sources[k]) != other)
	}
	if inOrder {
		return sources, nil
	}
	paired, taken := make([]*api.Source, len(features)), map[string]bool{}
	for k, f := range features {
		for _, s := range sources {
			if !is(f, s) || compareForms(f, s) != same {
				continue
			}
			if paired[k] != nil || taken[s.ID] {
				return nil, fmt.Errorf("the answer has more than one source that %q may be", f.altID)
			}
			paired[k], taken[s.ID] = s, true
		}
		if paired[k] == nil {
			return nil, fmt.Errorf("the answer has no source for %q as it was sent", f.altID)
		}
	}
	return paired, nil
}

// foreign reports whether a source belongs to another account than ours: an
// admin's token sees all.
func (r *run) foreign(s *api.Source) bool {
	ours := r.Account
	if r.Shared.AccountID != nil {
		ours = *r.Shared.AccountID
	}
	return s.AccountID != "" && len(ours) == len("6f1f6d7e-4c3b-4a55-9d5a-0d9f3b0c2a11") && s.AccountID != ours
}

// filterUpTo is how many alt_ids are looked up one by one; more are cheaper to
// find in a listing of the account.
const filterUpTo = 500

var errUnfiltered = errors.New("the server ignores the filter by alt_id")

// sources calls each for the sources of some alt_ids, for some more than once.
func (r *run) sources(ctx context.Context, names map[string][]int, each func(*api.Source) error) error {
	filter := api.Filter{}
	if r.Shared.AccountID != nil {
		filter.AccountID = *r.Shared.AccountID
	}
	r.mu.Lock()
	unfiltered := r.unfiltered
	r.mu.Unlock()
	if !unfiltered && len(names) <= filterUpTo {
		var mu sync.Mutex
		var found []*api.Source
		group, inner := errgroup.WithContext(ctx)
		group.SetLimit(8)
		for name := range names {
			group.Go(func() error {
				filter := filter
				filter.AltID = name
				return r.list(inner, api.AllParams{Filter: filter, PageSize: 100, InFlight: 1}, func(s *api.Source) error {
					if s.AltID != name {
						return errUnfiltered
					}
					mu.Lock()
					defer mu.Unlock()
					found = append(found, s)
					return nil
				})
			})
		}
		switch err := group.Wait(); {
		case err == nil:
			for _, s := range found {
				if err := each(s); err != nil {
					return err
				}
			}
			return nil
		case !errors.Is(err, errUnfiltered):
			return err
		}
		r.mu.Lock()
		r.unfiltered = true
		r.mu.Unlock()
	}
	return r.list(ctx, api.AllParams{Filter: filter}, func(s *api.Source) error {
		if _, wanted := names[s.AltID]; !wanted {
			return nil
		}
		return each(s)
	})
}

// list lists sources.
func (r *run) list(ctx context.Context, params api.AllParams, each func(*api.Source) error) error {
	for s, err := range r.Client.Sources.All(ctx, params) {
		if err != nil {
			return err
		}
		if err := each(s); err != nil {
			return err
		}
	}
	return nil
}
