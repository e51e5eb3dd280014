package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/meti-go/meti/api"
)

// source is what is kept of an SSID that METI told of, in a group of the input's,
// or that the journal has: some hundred bytes.
type source struct {
	id        string
	country   unique.Handle[string]
	hectares  float64 // NaN where METI does not say
	at        int64   // since when the journal has it, in Unix nanoseconds; 0 where it does not
	entry     int32   // the one that the journal has it of, or else one of its group
	successor int32   // the entry that is to replace it, -1 for none
	reading   uint16  // the last one that it was in
	conflict  int8    // 1, 0, or -1 where METI does not say
	deleted   bool    // by a job, once it was replaced
}

// source gives the place of an SSID among the sources.
func (j *Job) source(id string) int32 {
	k, ok := j.bySSID[id]
	if !ok {
		if k = int32(len(j.sources)); k == 0 {
			j.sources = make([]source, 0, j.features)
		}
		id = strings.Clone(id)
		j.bySSID[id] = k
		j.sources = append(j.sources, source{id: id, hectares: math.NaN(), entry: -1, successor: -1, conflict: -1})
	}
	return k
}

// put keeps what METI told of a source, in place of what it said before.
func (j *Job) put(s *api.Source) int32 {
	k := j.source(s.ID)
	kept := &j.sources[k]
	kept.country, kept.hectares, kept.conflict = unique.Make(s.Country), math.NaN(), -1
	if s.Hectares != nil {
		kept.hectares = float64(*s.Hectares)
	}
	if s.InConflict() {
		kept.conflict = 1
	} else if s.Conflict != nil {
		kept.conflict = 0
	}
	keep(j.partners, k, s.ConflictWith, len(s.ConflictWith) > 0)
	text := j.otherThere(s)
	keep(j.differences, k, text, text != "")
	return k
}

// keep puts what a few sources have into a map.
func keep[T any](m map[int32]T, k int32, value T, some bool) {
	if delete(m, k); some {
		m[k] = value
	}
}

// pair is a source that may be a feature's.
type pair struct {
	by            evidence
	entry, source int32
}

// reading is what one look at the account gave, for some features.
type reading struct {
	begin  time.Time // what was visible then is in it
	number uint16
	count  int
	pairs  []pair
	gone   []int32 // sources that METI answered with 404
	lacks  []int32 // sources that METI has and the listing lacks
}

// see takes in one source of an answer.
func (j *Job) see(r *reading, s *api.Source) {
	if r.count++; r.count%1000 == 0 {
		j.progress(Progress{Stage: j.stage, Done: r.count})
	}
	k, known := j.bySSID[s.ID]
	if j.foreign(s) || known && j.sources[k].reading == r.number {
		return
	}
	period := periodOf(s)
	group := slices.Sorted(j.group(s.AltID, period)) // former ones last
	known = known && j.sources[k].at != 0
	if known || len(group) > 0 {
		k = j.put(s)
		j.sources[k].reading = r.number
		j.shapeless = j.shapeless || s.Boundary() == nil
		if !known {
			j.sources[k].entry = int32(group[0])
		}
		keep(j.periods, k, period, period != j.entries[j.sources[k].entry].period)
	}
	if known {
		r.pairs = append(r.pairs, pair{byJournal, j.sources[k].entry, k})
		return
	}
	fits := false
	for _, i := range group {
		if j.former(i) && (fits || !j.entries[i].await) {
			continue // of former ones that nobody waits for the journal has the source
		}
		if by := j.compareBoundary(i, s); by < byNothing {
			fits = true
			r.pairs = append(r.pairs, pair{by, int32(i), k})
		}
	}
	if !fits && j.stage == StageAccount {
		j.neighbours.add(s)
	}
}

// look reads what the account has of some entries.
func (j *Job) look(ctx context.Context, entries []int) (*reading, error) {
	j.readings++
	r := &reading{begin: time.Now(), number: j.readings, pairs: make([]pair, 0, len(entries))}
	j.progress(Progress{Stage: j.stage})
	see := func(s *api.Source) { j.see(r, s) }
	asked := make([]bool, len(j.entries))
	for _, i := range entries {
		asked[i] = true
	}
	var names []string // all of the account, where there are none
	if len(entries) <= byListing && !(j.AgainstAccount && j.stage == StageAccount) {
		names = j.altIDs(entries)
	}
	whole, err := j.fetch(ctx, names, see)
	if err != nil {
		return nil, err
	}
	j.whole = j.whole || whole && j.stage == StageAccount
	// Each SSID that the journal has of them is listed, or METI has it, or not.
	var unlisted []int32
	var ids []string
	for k := range j.sources {
		s := &j.sources[k]
		if s.at != 0 && !s.deleted && s.reading != r.number && slices.ContainsFunc(j.concerned(int(s.entry)), func(i int) bool { return asked[i] }) {
			unlisted, ids = append(unlisted, int32(k)), append(ids, s.id)
		}
	}
	found, err := j.get(ctx, ids)
	if err != nil {
		return nil, err
	}
	for n, k := range unlisted {
		s, altID := found[n], j.entries[j.sources[k].entry].altID
		switch {
		case s == nil:
			r.gone = append(r.gone, k)
		case s.AltID != altID:
			return nil, fmt.Errorf("%w: %s is %q in METI, and was sent as %q", ErrAltered, s.ID, s.AltID, altID)
		default:
			r.lacks = append(r.lacks, k)
			see(s)
		}
	}
	// What a request may have made is asked for by its alt_id as well: that is
	// another question than a listing, with another answer.
	if absent := j.open(); whole && !j.unfiltered {
		for _, p := range r.pairs {
			delete(absent, int(p.entry))
		}
		err = j.fetchNamed(ctx, j.altIDs(slices.DeleteFunc(slices.Clone(entries), func(i int) bool { return !absent[i] })), see)
	}
	return r, err
}

// altIDs gives the alt_ids of entries, each once.
func (j *Job) altIDs(entries []int) []string {
	names := make([]string, len(entries))
	for n, i := range entries {
		names[n] = j.entries[i].altID
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// concerned gives the entries that have to know what becomes of one: itself, and
// those that have taken the place of a former one.
func (j *Job) concerned(i int) []int {
	if !j.former(i) {
		return []int{i}
	}
	return slices.Collect(j.group(j.entries[i].altID, j.entries[i].period))
}

// open gives the entries that a request may have made.
func (j *Job) open() map[int]bool {
	list := map[int]bool{}
	for _, q := range j.requests {
		for _, i := range q.entries {
			list[i] = true
		}
	}
	return list
}

// compare reads what METI has of some entries, and says where they stand. A
// listing that lacks what METI has is read again, as long as it matters; then
// nothing may be sent.
func (j *Job) compare(ctx context.Context, entries []int) error {
	for try := 1; ; try++ {
		if j.stage == StageAccount {
			j.neighbours.close()
			clear(j.untold)
		}
		r, err := j.look(ctx, entries)
		if err != nil {
			return err
		}
		j.read = r.begin
		j.decide(r, j.match(r, entries), entries)
		if len(r.lacks) == 0 || !slices.ContainsFunc(entries, func(i int) bool { return j.entries[i].state == New && !j.former(i) }) {
			return nil
		}
		if try == 3 {
			return fmt.Errorf("%w: the listing lacks %d sources that METI has, such as %s; nothing was sent", ErrIncomplete, len(r.lacks), j.sources[r.lacks[0]].id)
		}
		wait := j.Settle / 20
		for _, k := range r.lacks {
			wait = max(wait, time.Until(j.visible(k)))
		}
		j.progress(Progress{Stage: j.stage, Wait: "METI to list what it has", Until: time.Now().Add(wait)})
		if !sleep(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// since is when a source was registered, as the journal has it, and visible when
// it must be visible.
func (j *Job) since(k int32) time.Time   { return time.Unix(0, j.sources[k].at) }
func (j *Job) visible(k int32) time.Time { return j.since(k).Add(j.Settle) }

// match pairs entries and sources by the best evidence: each source belongs to
// one feature, and a feature has one. A second one that could be a feature's too
// is noted. It tells which sources are a feature's.
func (j *Job) match(r *reading, entries []int) (paired []bool) {
	for _, i := range entries {
		j.entries[i].source = -1
	}
	paired = make([]bool, len(j.sources))
	alike := map[string][]pair{} // those by area, by alt_id
	for n := range r.pairs {
		p := &r.pairs[n]
		e := &j.entries[p.entry]
		paired[p.source] = paired[p.source] || e.source == p.source // it is not about this one
		if j.sources[p.source].successor == p.entry || p.by == byJournal && e.edited {
			p.by = byDefault
		}
		if p.by == byArea {
			alike[e.altID] = append(alike[e.altID], *p)
		}
	}
	open := j.open() // what a request may have made comes first
	first := map[bool]int{true: -1}
	slices.SortFunc(r.pairs, func(x, y pair) int {
		return cmp.Or(cmp.Compare(x.by, y.by), first[open[int(x.entry)]]-first[open[int(y.entry)]], cmp.Compare(x.entry, y.entry), cmp.Compare(x.source, y.source))
	})
	// sure tells of a source without a boundary that can only be one feature's: it
	// is the only one that a request may have made, or there are as many sources as
	// features.
	sure := func(p pair) bool {
		free, made, left := 0, 0, 0
		for _, o := range alike[j.entries[p.entry].altID] {
			if o.source == p.source && j.entries[o.entry].source < 0 {
				free++
				if open[int(o.entry)] {
					made++
				}
			}
			if o.entry == p.entry && !paired[o.source] {
				left++
			}
		}
		return made == 0 && free == left || made == 1 && open[int(p.entry)]
	}
	extra := map[int32][]string{}
	for _, p := range r.pairs {
		e, s := &j.entries[p.entry], &j.sources[p.source]
		switch {
		case paired[p.source]:
		case e.source < 0 && (p.by != byArea || sure(p)):
			e.source, s.entry, paired[p.source] = p.source, p.entry, true
		case e.source >= 0 && p.by <= byBoundary:
			extra[p.entry] = append(extra[p.entry], s.id)
			paired[p.source] = true
		}
	}
	// The input is back at what was to be replaced, and METI has it still: it is what
	// came in its place that is to go.
	for k := range j.sources {
		s := &j.sources[k]
		if i := s.successor; j.isReplaced(int32(k)) && j.former(int(i)) && s.entry >= 0 && !j.former(int(s.entry)) && j.entries[s.entry].source == int32(k) {
			s.successor, j.sources[j.entries[i].source].successor = -1, s.entry
		}
	}
	for i, ids := range extra {
		slices.Sort(ids)
		j.reasons[int(i)] = fmt.Sprintf("METI has it twice: also %s", strings.Join(ids, ", "))
	}
	return paired
}

// decide says where entries stand, by a reading in which they were matched: the
// table of the package documentation, "read in the account".
func (j *Job) decide(r *reading, paired []bool, entries []int) {
	until := map[int]time.Time{} // when it is known what became of them
	waits := func(i int, at time.Time) {
		for _, o := range j.concerned(i) {
			if at.After(until[o]) {
				until[o] = at
			}
		}
	}
	for _, q := range j.requests {
		for _, i := range q.entries {
			if i >= 0 {
				waits(i, q.until)
			}
		}
	}
	for _, k := range r.gone {
		waits(int(j.sources[k].entry), j.visible(k))
	}
	others := map[int]int32{} // a source of its group that is no other feature's, and to stay
	for k := range j.sources {
		s := &j.sources[k]
		if s.reading != r.number || paired[k] && !j.former(int(s.entry)) || j.isReplaced(int32(k)) {
			continue
		}
		for i := range j.group(j.entries[s.entry].altID, j.entries[s.entry].period) {
			if old, ok := others[i]; !ok || j.sources[old].at == 0 { // the journal's is the one to replace
				others[i] = int32(k)
			}
		}
	}
	j.due = time.Time{}
	for _, i := range entries {
		e := &j.entries[i]
		unknown := until[i].After(r.begin)
		e.await = false
		switch other, there := others[i]; {
		case e.source >= 0 && !(unknown && j.sources[e.source].successor == int32(i)):
			if e.state = Registered; j.difference(i) != "" {
				e.state = Differs
			}
		case unknown:
			e.state = Unknown
			j.waitFor(e, until[i])
		case there && !j.former(i): // none is sent beside a live one, whatever is gone
			e.state, e.source = Boundary, other
		case e.known >= 0:
			e.state = Gone
		case j.NoJournal && j.shapeless && len(slices.Collect(j.group(e.altID, e.period))) > 1:
			e.state = Unknown
			j.reasons[i] = "METI tells no boundaries, and without a journal features of one id and period cannot be told apart"
		default:
			e.state = New
			if r.begin.Before(j.proof) {
				j.waitFor(e, j.proof)
			}
		}
	}
}

// waitFor notes that an entry is to be looked for when it is known what became of it.
func (j *Job) waitFor(e *entry, at time.Time) {
	if e.await = true; j.due.IsZero() || at.Before(j.due) {
		j.due = at
	}
}

// difference says what a registered entry's source has otherwise than was asked
// for: attributes, and the period, unless it is what the journal has of it.
func (j *Job) difference(i int) string {
	e, period := &j.entries[i], ""
	if theirs, other := j.periods[e.source]; other && (e.known != e.source || e.edited) {
		period = otherPeriod(e.period, theirs)
	}
	return strings.Trim(period+"; "+j.differences[e.source], "; ")
}

// toSend reports whether an entry is to be sent: what is new, and what changed or
// is gone where it is to be renewed. Only what the journal has is ever replaced.
func (j *Job) toSend(i int) bool {
	switch e := &j.entries[i]; e.state {
	case New:
		return !j.former(i)
	case Gone:
		return !j.former(i) && j.Gone == Renew
	case Differs, Boundary:
		return !j.former(i) && j.Changed == Renew && j.sources[e.source].at != 0
	}
	return false
}

// compareAll reads the account.
func (j *Job) compareAll(ctx context.Context) error {
	j.stage = StageAccount
	if j.target.Sandbox {
		j.notice("the sandbox keeps nothing: gone, differs, boundary and the order of registration are not exercised there")
		return nil
	}
	if j.NoJournal {
		j.proof = time.Now().Add(j.Settle) // an earlier run may have left requests under way
	}
	entries := j.where(func(_ int, e *entry) bool { return e.state != Invalid })
	if len(entries) == 0 && !j.AgainstAccount {
		return nil
	}
	if err := j.compare(ctx, entries); errors.Is(err, ErrIncomplete) {
		j.lacking = err
		j.notice("%v", err)
	} else if err != nil {
		return err
	}
	for _, name := range sortedKeys(j.untold) {
		j.notice("%d registered: METI tells no %s of them", j.untold[name], name)
	}
	return j.nameParties(ctx)
}

// nameParties looks up which sources that others conflict with are the
// account's own, up to a thousand.
func (j *Job) nameParties(ctx context.Context) error {
	var ids []string
	for _, with := range j.partners {
		for _, id := range with {
			_, read := j.bySSID[id]
			if _, asked := j.names[id]; !read && !asked && len(ids) < 1000 {
				j.names[id] = "" // nobody's, until it is found
				ids = append(ids, id)
			}
		}
	}
	found, err := j.get(ctx, ids)
	for _, s := range found {
		if s != nil && !j.foreign(s) {
			j.names[s.ID] = s.AltID
		}
	}
	return err
}
