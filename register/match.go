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
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
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
	paired    bool    // it is a feature's
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
	if s.Conflict != nil {
		kept.conflict = 0
		if *s.Conflict {
			kept.conflict = 1
		}
	}
	delete(j.partners, k)
	if len(s.ConflictWith) > 0 {
		j.partners[k] = s.ConflictWith
	}
	delete(j.differences, k)
	if text := j.difference(s); text != "" {
		j.differences[k] = text
	}
	return k
}

// evidence is why a source is taken for a feature's, the best first.
type evidence uint8

const (
	byJournal  evidence = iota // the journal has its SSID
	byForm                     // the same boundary to a billionth of a degree
	byRounding                 // the same at the answer's own number of decimals
	byArea                     // METI tells no boundary; the hectares are the same
	byDefault                  // it is what the feature is to replace
)

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
	if j.foreign(s) {
		return
	}
	k, known := j.bySSID[s.ID]
	switch {
	case known && j.sources[k].reading == r.number:
		return // again
	case known && j.sources[k].at != 0:
		j.put(s)
		j.sources[k].reading = r.number
		r.pairs = append(r.pairs, pair{byJournal, j.sources[k].entry, k})
		return
	}
	group := slices.Sorted(j.group(s.AltID, periodOf(s)))
	if len(group) == 0 || !j.pairable(r, s, group) {
		if j.stage == StageAccount {
			j.neighbours.add(s)
		}
	}
}

// pairable notes which features of its group a source may be.
func (j *Job) pairable(r *reading, s *api.Source, group []int) (some bool) {
	k := j.put(s)
	j.sources[k].reading, j.sources[k].entry = r.number, int32(group[0])
	raw := s.Boundary()
	j.shapeless = j.shapeless || raw == nil
	shape, err := ledger.ParseGeometry(raw)
	if err != nil && raw != nil {
		return false // a boundary that nobody can read is none of ours
	}
	for _, i := range group {
		e := &j.entries[i]
		by := byDefault
		switch {
		case j.former(i) && (some || !e.await): // of others the journal has the source
			continue
		case raw == nil && j.former(i):
			by = byArea
		case raw == nil:
			if f, err := j.load(i); err == nil && sameArea(f.shape, s) {
				by = byArea
			}
		case e.form == fields.FormOf(shape):
			by = byForm
		case !e.box.like(boxOf(shape)):
		case j.former(i):
			by = byRounding
		default:
			if f, err := j.load(i); err == nil && sameShape(f.shape, shape, decimalsOf(raw)) {
				by = byRounding
			}
		}
		if by != byDefault {
			some = true
			r.pairs = append(r.pairs, pair{by, int32(i), k})
		}
	}
	return some
}

// look reads what the account has of some entries.
func (j *Job) look(ctx context.Context, entries []int) (*reading, error) {
	j.readings++
	r := &reading{begin: time.Now(), number: j.readings}
	j.progress(Progress{Stage: j.stage})
	asked := make([]bool, len(j.entries))
	for _, i := range entries {
		asked[i] = true
	}
	var names []string // all of the account, where there are none
	if len(entries) <= byListing && !(j.AgainstAccount && j.stage == StageAccount) {
		names = j.altIDs(entries)
	}
	whole, err := j.fetch(ctx, names, func(s *api.Source) { j.see(r, s) })
	if err != nil {
		return nil, err
	}
	j.whole = j.whole || whole && j.stage == StageAccount
	// Each SSID that the journal has of them is listed, or METI has it, or not.
	var unlisted []int32
	var ids []string
	for k := range j.sources {
		s := &j.sources[k]
		if s.at == 0 || s.reading == r.number {
			continue
		}
		i := int(s.entry)
		if asked[i] || j.former(i) && slices.ContainsFunc(j.concerned(i), func(i int) bool { return asked[i] }) {
			unlisted, ids = append(unlisted, int32(k)), append(ids, s.id)
		}
	}
	found, err := j.get(ctx, ids)
	if err != nil {
		return nil, err
	}
	for n, k := range unlisted {
		switch s := found[n]; {
		case s == nil:
			r.gone = append(r.gone, k)
		case s.AltID != j.entries[j.sources[k].entry].altID:
			return nil, fmt.Errorf("%w: %s is %q in METI, and was sent as %q", ErrAltered, s.ID, s.AltID, j.entries[j.sources[k].entry].altID)
		default:
			r.lacks = append(r.lacks, k)
			j.see(r, s)
		}
	}
	if !whole || j.unfiltered {
		return r, nil
	}
	// What a request may have made is asked for by its alt_id as well: that is
	// another question than a listing, with another answer.
	open := j.open()
	for _, p := range r.pairs {
		delete(open, int(p.entry))
	}
	var absent []int
	for i := range open {
		if asked[i] {
			absent = append(absent, i)
		}
	}
	if len(absent) > 0 {
		j.unfiltered, err = j.fetchNamed(ctx, j.altIDs(absent), func(s *api.Source) { j.see(r, s) })
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
func (j *Job) concerned(i int) (list []int) {
	if !j.former(i) {
		return []int{i}
	}
	return slices.Collect(j.group(j.entries[i].altID, j.entries[i].period))
}

// compare reads what METI has of some entries, and says where they stand. A
// listing that lacks what METI has is read again, as long as it matters; then
// nothing may be sent.
func (j *Job) compare(ctx context.Context, entries []int) error {
	for try := 1; ; try++ {
		if j.stage == StageAccount {
			j.neighbours.close()
			j.neighbours = neighbours{}
		}
		r, err := j.look(ctx, entries)
		if err != nil {
			return err
		}
		j.read = r.begin
		j.match(r, entries)
		j.decide(r, entries)
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
// is noted.
func (j *Job) match(r *reading, entries []int) {
	for _, i := range entries {
		j.entries[i].source = -1
	}
	for k := range j.sources {
		if j.sources[k].reading == r.number {
			j.sources[k].paired = false
		}
	}
	for n, p := range r.pairs {
		s := &j.sources[p.source]
		s.paired = s.paired || j.entries[p.entry].source == p.source // it is not about this one
		if s.successor == p.entry {
			r.pairs[n].by = byDefault
		}
	}
	open := j.open()
	slices.SortFunc(r.pairs, func(x, y pair) int {
		first := 0 // what a request may have made
		if made := open[int(x.entry)]; made != open[int(y.entry)] {
			if first = 1; made {
				first = -1
			}
		}
		return cmp.Or(cmp.Compare(x.by, y.by), first, cmp.Compare(x.entry, y.entry), cmp.Compare(x.source, y.source))
	})
	sure := j.byAreaAlone(r.pairs, open)
	extra := map[int32][]string{}
	for _, p := range r.pairs {
		e, s := &j.entries[p.entry], &j.sources[p.source]
		switch {
		case s.paired:
		case e.source >= 0:
			if p.by <= byRounding && e.source != p.source {
				extra[p.entry] = append(extra[p.entry], s.id)
				s.paired = true
			}
		case p.by != byArea || sure(p):
			e.source, s.paired, s.entry = p.source, true, p.entry
		}
	}
	for i, ids := range extra {
		slices.Sort(ids)
		j.reasons[int(i)] = fmt.Sprintf("METI has it twice: also %s", strings.Join(ids, ", "))
	}
}

// byAreaAlone tells of the sources without a boundary which can only be one
// feature's: it is the only one that an open request may have made, or there are
// as many sources as features.
func (j *Job) byAreaAlone(pairs []pair, open map[int]bool) func(pair) bool {
	entries, sources := map[int32][]int32{}, map[int32][]int32{}
	for _, p := range pairs {
		if p.by == byArea {
			entries[p.source] = append(entries[p.source], p.entry)
			sources[p.entry] = append(sources[p.entry], p.source)
		}
	}
	return func(p pair) bool {
		free, made, left := 0, 0, 0
		for _, i := range entries[p.source] {
			if j.entries[i].source < 0 {
				free++
				if open[int(i)] {
					made++
				}
			}
		}
		for _, k := range sources[p.entry] {
			if !j.sources[k].paired {
				left++
			}
		}
		return made == 0 && free == left || made == 1 && open[int(p.entry)]
	}
}

// decide says where entries stand, by a reading in which they were matched: the
// table of the package documentation, "read in the account".
func (j *Job) decide(r *reading, entries []int) {
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
	nobodys := map[int]int32{} // a source of the group that is no feature's, and to stay, by entry
	for k := range j.sources {
		s := &j.sources[k]
		if s.reading != r.number || s.paired && !j.former(int(s.entry)) || j.isReplaced(int32(k)) {
			continue
		}
		for i := range j.group(j.entries[s.entry].altID, j.entries[s.entry].period) {
			if old, ok := nobodys[i]; !ok || j.sources[old].at == 0 { // the journal's is the one to replace
				nobodys[i] = int32(k)
			}
		}
	}
	j.due = time.Time{}
	for _, i := range entries {
		e := &j.entries[i]
		unknown := until[i].After(r.begin)
		e.await = false
		switch other, there := nobodys[i]; {
		case e.source >= 0 && !(unknown && j.sources[e.source].successor == int32(i)):
			e.state = Registered
			if j.differences[e.source] != "" {
				e.state = Differs
			}
		case unknown:
			e.state, e.await = Unknown, true
			if j.due.IsZero() || until[i].Before(j.due) {
				j.due = until[i]
			}
		case e.known >= 0:
			e.state = Gone
		case there && !j.former(i):
			e.state, e.source = Boundary, other
		case j.NoJournal && j.shapeless && j.hasTwin(i):
			e.state = Unknown
			j.reasons[i] = "METI tells no boundaries, and without a journal features of one id and period cannot be told apart"
		default:
			e.state = New
		}
	}
}

func (j *Job) hasTwin(i int) bool {
	n := 0
	for range j.group(j.entries[i].altID, j.entries[i].period) {
		n++
	}
	return n > 1
}

// open gives the entries that a request may have made.
func (j *Job) open() map[int]bool {
	list := map[int]bool{}
	for _, q := range j.requests {
		for _, i := range q.entries {
			if i >= 0 {
				list[i] = true
			}
		}
	}
	return list
}

// compareAll reads the account, and chooses what is to be sent.
func (j *Job) compareAll(ctx context.Context) error {
	j.stage = StageAccount
	entries := make([]int, 0, len(j.entries))
	for i := range j.entries {
		if j.entries[i].state != Invalid {
			entries = append(entries, i)
		}
	}
	switch {
	case j.target.Sandbox:
		j.notice("the sandbox keeps nothing: what is registered, changed or gone, and in which order METI decides, is not exercised there")
	case len(entries) > 0 || j.AgainstAccount:
		if err := j.compare(ctx, entries); err != nil {
			if j.lacking = err; !errors.Is(err, ErrIncomplete) {
				return err
			}
			j.notice("%v", err)
		}
	}
	for i := range j.entries {
		j.choose(i)
	}
	return j.nameParties(ctx)
}

// choose says whether an entry is to be sent: what is new, and by the policies
// what changed or is gone.
func (j *Job) choose(i int) {
	e := &j.entries[i]
	e.before, e.send = e.state, false
	switch e.state {
	case New:
		e.send = !j.former(i)
	case Gone:
		e.send = j.Gone == Renew && !j.former(i)
	case Differs, Boundary:
		e.send = j.Changed == Renew && !j.former(i) && j.replaceable(i)
	}
}

// replaceable reports whether the journal has the source that an entry would
// replace: nothing else is ever deleted.
func (j *Job) replaceable(i int) bool {
	s := &j.sources[j.entries[i].source]
	if s.at == 0 {
		j.reasons[i] = "the journal does not have " + s.id + ", so that it is not replaced; delete it first"
	}
	return s.at != 0
}

// mostNamed bounds how many sources are looked up for their names.
const mostNamed = 1000

// nameParties looks up which sources that others conflict with are the
// account's own.
func (j *Job) nameParties(ctx context.Context) error {
	var ids []string
	for _, with := range j.partners {
		for _, id := range with {
			_, read := j.bySSID[id]
			if _, asked := j.names[id]; !read && !asked && len(ids) < mostNamed {
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
