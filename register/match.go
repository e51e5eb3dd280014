package register

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// evidence is why a source is taken for a feature's, the best first.
type evidence uint8

const (
	byJournal  evidence = iota // the journal has its SSID
	byForm                     // the same boundary to a billionth of a degree
	byRounding                 // the same at the answer's own number of decimals
	byArea                     // METI tells no boundary; the hectares are the same
	byDefault                  // it is what a request under way replaces
)

// pair is a source that may be a feature's.
type pair struct {
	by            evidence
	entry, source int32
}

// seen is a source of the group of an entry, whoever it belongs to.
type seen struct{ source, entry int32 }

// reading is what one look at the account gave, for some features.
type reading struct {
	begin time.Time // what was visible then is in it
	whole bool      // all of the account was listed
	pairs []pair
	seen  []seen
	gone  map[string]bool // SSIDs that METI answered with 404
	lacks []string        // SSIDs that METI has and the listing lacks

	number uint16
	count  int
}

// see takes in one source of an answer.
func (j *Job) see(r *reading, s *api.Source) {
	r.count++
	if r.count%1000 == 0 {
		j.progress(Progress{Stage: j.stage, Done: r.count})
	}
	if j.foreign(s) {
		return
	}
	first := -1
	for i := range j.named(s.AltID) {
		if j.entries[i].state != Invalid && inGroup(j.entries[i].period, s) {
			first = i
			break
		}
	}
	mapped, ours := j.known.byEntry[j.key(s.ID)]
	if ours {
		at, _ := j.ssidOf(int(mapped))
		ours = at == s.ID
	}
	if first < 0 && !ours {
		j.account.altIDs[j.key(s.ID)] = j.account.texts.add(s.AltID)
		if j.stage == StageAccount {
			j.neighbours.add(s)
		}
		return
	}
	k := j.put(s)
	j.account.sources[k].reading = r.number
	if ours {
		r.pairs = append(r.pairs, pair{byJournal, mapped, k})
		r.seen = append(r.seen, seen{k, mapped})
		return
	}
	r.seen = append(r.seen, seen{k, int32(first)})
	exact := false
	raw := geometryOf(s)
	if raw == nil {
		j.account.shapeless = true
		for i := range j.live(s.AltID, j.entries[first].period) {
			if !j.another(s) && (s.Hectares == nil || sameArea(j.hectares(i), float64(*s.Hectares))) {
				r.pairs = append(r.pairs, pair{byArea, int32(i), k})
				exact = true
			}
		}
		if !exact {
			j.adopt(s, nil)
		}
		return
	}
	j.account.shaped = true
	shape, err := ledger.ParseGeometry(raw)
	if err != nil {
		return // a boundary that nobody can read is none of ours
	}
	box, form := boxOf(shape), fields.FormOf(shape)
	for i := range j.named(s.AltID) {
		e := &j.entries[i]
		switch {
		case e.state == Invalid || !inGroup(e.period, s):
		case e.form == form:
			r.pairs = append(r.pairs, pair{byForm, int32(i), k})
			exact = true
		case e.box.like(box):
			if f, err := j.load(i); err == nil && sameShape(f.shape, shape, decimalsOf(raw)) {
				r.pairs = append(r.pairs, pair{byRounding, int32(i), k})
				exact = true
			}
		}
	}
	if exact {
		return
	}
	j.adopt(s, &box)
	if j.stage == StageAccount {
		j.neighbours.add(s)
	}
}

// another reports whether the journal has a source as that of a feature that is
// not in the input any more.
func (j *Job) another(s *api.Source) bool {
	return slices.ContainsFunc(j.known.others[j.key(s.AltID)], func(o other) bool { return o.id == s.ID })
}

// adopt notes a source that is what an open intent made of a feature that was
// edited since: its SSID is ours.
func (j *Job) adopt(s *api.Source, box *box4) {
	for _, l := range j.limbo {
		for k, m := range l.marks {
			if l.at[k] >= 0 || l.found[k] != "" || m.AltID != s.AltID || box != nil && !box.like(box4(m.Box)) {
				continue
			}
			if period, err := m.period(); err == nil && inGroup(period, s) {
				l.found[k] = s.ID
				_, _ = j.learn(m, s.ID, time.Now().Add(-j.Settle))
				return
			}
		}
	}
}

// hectares computes a feature's area; it is not kept, for METI rarely hides
// boundaries.
func (j *Job) hectares(i int) float64 {
	f, err := j.load(i)
	if err != nil {
		return -1
	}
	return f.shape.Hectares()
}

// difference says which attributes that were asked for a source has otherwise.
// One that the answer lacks is no difference.
func (j *Job) difference(s *api.Source) string {
	if len(j.asked) == 0 {
		return ""
	}
	bare := *s
	bare.Geometry, bare.GeoJSON = nil, nil
	text, err := json.Marshal(&bare)
	if err != nil {
		return ""
	}
	var theirs map[string]json.RawMessage
	if json.Unmarshal(text, &theirs) != nil {
		return ""
	}
	var list []string
	for name, ours := range j.asked {
		have, told := theirs[name]
		if told && string(have) != "null" && !sameValue(ours, string(have)) {
			list = append(list, fmt.Sprintf("%s is %s there and %s here", name, plain(have), plain([]byte(ours))))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// compare reads the account and says where each feature stands.
func (j *Job) compare(ctx context.Context) error {
	j.stage = StageAccount
	j.describeJournal()
	if j.target.Sandbox {
		j.notice("the sandbox keeps nothing: what is registered, changed or gone, and in which order METI decides, is not exercised there")
		j.choose()
		return nil
	}
	entries := make([]int, 0, len(j.entries))
	for i := range j.entries {
		if j.entries[i].state != Invalid {
			entries = append(entries, i)
		}
	}
	if len(entries) == 0 && !j.AgainstAccount {
		return nil
	}
	for try := 1; ; try++ {
		j.neighbours.close()
		j.neighbours = neighbours{}
		r, err := j.look(ctx, entries, j.AgainstAccount)
		if err != nil {
			return err
		}
		j.read, j.account.whole = r.begin, r.whole
		for _, l := range j.limbo {
			l.read = r.begin
		}
		j.account.count = len(j.account.sources)
		j.decide(r, entries)
		if len(r.lacks) == 0 || !slices.ContainsFunc(entries, func(i int) bool { return j.entries[i].state == New }) {
			break
		}
		if try == 3 {
			j.lacking = fmt.Errorf("%w: the listing lacks %d sources that METI has, such as %s; nothing was sent", ErrIncomplete, len(r.lacks), r.lacks[0])
			j.notice("%v", j.lacking)
			break
		}
		j.progress(Progress{Stage: j.stage, Wait: "METI to list what it has", Until: time.Now().Add(j.patience(r))})
		if !sleep(ctx, j.patience(r)) {
			return context.Cause(ctx)
		}
	}
	j.choose()
	return j.nameParties(ctx)
}

// mostNamed bounds how many sources are looked up for their names.
const mostNamed = 1000

// nameParties looks up which sources that others conflict with are the
// account's own. Where all of it was listed that is known.
func (j *Job) nameParties(ctx context.Context) error {
	if j.account.whole {
		return nil
	}
	var ids []string
	for _, with := range j.account.partners {
		for _, id := range with {
			if _, read := j.account.byID[j.key(id)]; read {
				continue
			}
			if _, named := j.account.altIDs[j.key(id)]; !named && len(ids) < mostNamed {
				j.account.altIDs[j.key(id)] = 0 // nobody's, until it is found
				ids = append(ids, id)
			}
		}
	}
	found, err := j.get(ctx, ids, func(int, int) {})
	for _, s := range found {
		if s != nil && !j.foreign(s) {
			j.account.altIDs[j.key(s.ID)] = j.account.texts.add(s.AltID)
		}
	}
	return err
}

// patience is how long an incomplete listing is waited for: until the youngest
// of what it lacks must be visible.
func (j *Job) patience(r *reading) time.Duration {
	wait := j.Settle / 20
	for _, id := range r.lacks {
		if i, ok := j.known.byEntry[j.key(id)]; ok {
			_, at := j.ssidOf(int(i))
			wait = max(wait, time.Until(at.Add(j.Settle)))
		}
	}
	return wait
}

// look reads what the account has of some entries.
func (j *Job) look(ctx context.Context, entries []int, list bool) (*reading, error) {
	j.account.readings++
	r := &reading{begin: time.Now(), gone: map[string]bool{}, number: j.account.readings}
	j.progress(Progress{Stage: j.stage})
	before, of := make([]int32, len(entries)), make([]bool, len(j.entries))
	for n, i := range entries {
		before[n] = j.entries[i].source
		j.entries[i].source, of[i] = -1, true
	}
	listed := func(id string) bool {
		k, ok := j.account.byID[j.key(id)]
		return ok && j.account.sources[k].reading == r.number && j.account.id(k) == id
	}
	q := question{list: list || len(entries) > byListing, each: func(s *api.Source) { j.see(r, s) }}
	if !q.list { // their names take megabytes
		q.names = j.altIDsOf(entries)
	}
	q.known = func() (ids []string) {
		for _, i := range entries {
			if j.entries[i].known >= 0 {
				if id, _ := j.ssidOf(i); !listed(id) {
					ids = append(ids, id)
				}
			}
		}
		for _, others := range j.known.others {
			for _, o := range others {
				if of[o.entry] && !listed(o.id) {
					ids = append(ids, o.id)
				}
			}
		}
		return ids
	}
	q.absent = func() (names []string) {
		waiting := map[int]bool{}
		for _, l := range j.limbo {
			for _, i := range l.entries {
				waiting[i] = of[i]
			}
		}
		for _, s := range r.seen {
			delete(waiting, int(s.entry))
		}
		for i, asked := range waiting {
			if asked {
				names = append(names, j.altID(i))
			}
		}
		return names
	}
	q.progress = func(done, of int) { j.progress(Progress{Stage: j.stage, Done: done, Total: of}) }
	whole, gone, lacks, err := j.ask(ctx, q)
	for _, id := range lacks {
		k, ours := j.known.byEntry[j.key(id)]
		if s := j.account.altIDOf(j.account.byID[j.key(id)]); ours && s != j.altID(int(k)) {
			err = fmt.Errorf("%w: %s is %q in METI, and was sent as %q", ErrAltered, id, s, j.altID(int(k)))
		}
	}
	if err != nil { // what was known stays known
		for n, i := range entries {
			j.entries[i].source = before[n]
		}
		return nil, err
	}
	r.whole, r.lacks = whole, lacks
	for _, id := range gone {
		r.gone[id] = true
	}
	return r, nil
}

// altIDsOf gives the alt_ids of entries, each once.
func (j *Job) altIDsOf(entries []int) (names []string) {
	for _, i := range entries {
		names = append(names, j.altID(i))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// decide says where entries stand, by a reading.
func (j *Job) decide(r *reading, entries []int) {
	j.match(r)
	until := map[int]time.Time{}
	for _, l := range j.limbo {
		for _, i := range l.entries {
			if l.deadline.After(until[i]) {
				until[i] = l.deadline
			}
		}
	}
	replacing := j.replacing()
	left := map[int32]int32{} // by entry, a source of its group that is nobody's
	for _, s := range r.seen {
		if j.account.sources[s.source].paired {
			continue
		}
		altID, period := j.altID(int(s.entry)), j.entries[s.entry].period
		for i := range j.live(altID, period) {
			left[int32(i)] = s.source
		}
	}
	for _, i := range entries {
		j.settleAs(r, i, left, until[i], replacing[i])
	}
}

// replacing gives the sources that requests of unknown outcome replace, by
// entry.
func (j *Job) replacing() map[int]string {
	list := map[int]string{}
	for _, l := range j.limbo {
		for k, m := range l.marks {
			if l.at[k] >= 0 && m.Replaces != "" {
				list[l.at[k]] = m.Replaces
			}
		}
	}
	return list
}

// settleAs is the part of decide for one entry: the table of the package
// documentation, "read" and "looked for".
func (j *Job) settleAs(r *reading, i int, left map[int32]int32, deadline time.Time, replaced string) {
	e := &j.entries[i]
	if e.source >= 0 && replaced == j.account.id(e.source) && deadline.After(r.begin) {
		e.state = Unknown
		return
	}
	if e.source >= 0 {
		e.state = Registered
		if j.account.sources[e.source].differs >= 0 {
			e.state = Differs
		}
		return
	}
	if e.known >= 0 {
		id, at := j.ssidOf(i)
		if young := at.Add(j.Settle); r.gone[id] && young.After(r.begin) && young.After(deadline) {
			deadline = young
		}
	}
	for _, o := range j.known.others[j.key(j.altID(i))] {
		if young := o.at.Add(j.Settle); r.gone[o.id] && together(o.period, e.period) && young.After(deadline) {
			deadline = young
		}
	}
	switch {
	case deadline.After(r.begin):
		e.state = Unknown
		j.await(i, deadline)
	case e.known >= 0:
		e.state = Gone
	default:
		e.state = New
		if k, ok := left[int32(i)]; ok {
			e.state, e.source = Boundary, k
		} else if j.NoJournal && j.account.shapeless && j.hasTwin(i) {
			e.state = Unknown
			j.reasons[i] = "METI tells no boundaries, and without a journal features of one id and period cannot be told apart"
		}
	}
}

// await makes sure that an entry is looked for again after a deadline.
func (j *Job) await(i int, deadline time.Time) {
	var young *limbo
	for _, l := range j.limbo {
		if l.intent == 0 {
			young = l
		} else if !l.deadline.Before(deadline) && slices.Contains(l.entries, i) {
			return
		}
	}
	if young == nil {
		young = &limbo{cause: "registered a moment ago"}
		j.limbo = append(j.limbo, young)
	}
	young.entries = append(young.entries, i)
	if deadline.After(young.deadline) {
		young.deadline = deadline
	}
}

func (j *Job) hasTwin(i int) bool {
	for k := range j.live(j.altID(i), j.entries[i].period) {
		if k != i {
			return true
		}
	}
	return false
}

// match pairs features and sources by the best evidence: each source belongs
// to one feature, and a feature has one. A second one that could be a feature's
// too is noted.
func (j *Job) match(r *reading) {
	a := &j.account
	for _, s := range r.seen {
		a.sources[s.source].paired = false
	}
	for _, p := range r.pairs { // of features that this reading is not about
		if j.entries[p.entry].source == p.source {
			a.sources[p.source].paired = true
		}
	}
	waiting := map[int32]bool{} // those that may have been registered by an open intent
	for _, l := range j.limbo {
		for _, i := range l.entries {
			waiting[int32(i)] = true
		}
	}
	replacing := j.replacing()
	for n, p := range r.pairs {
		if old, ok := replacing[int(p.entry)]; ok && old == a.id(p.source) {
			r.pairs[n].by = byDefault
		}
	}
	slices.SortStableFunc(r.pairs, func(x, y pair) int {
		first := func(p pair) int {
			if waiting[p.entry] {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(x.by, y.by), cmp.Compare(first(x), first(y)), cmp.Compare(x.entry, y.entry), cmp.Compare(x.source, y.source))
	})
	areas := areaPairs{map[int32][]int32{}, map[int32][]int32{}}
	for _, p := range r.pairs {
		if p.by == byArea {
			areas.entries[p.source] = append(areas.entries[p.source], p.entry)
			areas.sources[p.entry] = append(areas.sources[p.entry], p.source)
		}
	}
	extra := map[int32][]string{}
	for _, p := range r.pairs {
		e, s := &j.entries[p.entry], &a.sources[p.source]
		switch {
		case s.paired || e.state == Invalid:
		case e.source >= 0:
			if p.by <= byRounding && e.source != p.source {
				extra[p.entry] = append(extra[p.entry], a.id(p.source))
				s.paired = true
			}
		case p.by == byArea && !j.sure(areas, p, waiting):
		default:
			e.source, s.paired = p.source, true
		}
	}
	for i, ids := range extra {
		slices.Sort(ids)
		j.reasons[int(i)] = fmt.Sprintf("METI has it twice: also %s", strings.Join(slices.Compact(ids), ", "))
	}
}

// areaPairs are the features that a source without a boundary may be, and the
// other way round.
type areaPairs struct{ entries, sources map[int32][]int32 }

// sure reports whether a source without a boundary can only be one feature's:
// it is the only one that may have been registered, or there are as many
// sources as features.
func (j *Job) sure(areas areaPairs, p pair, waiting map[int32]bool) bool {
	free, open, sources := 0, 0, 0
	for _, i := range areas.entries[p.source] {
		if j.entries[i].source < 0 {
			free++
			if waiting[i] {
				open++
			}
		}
	}
	for _, k := range areas.sources[p.entry] {
		if !j.account.sources[k].paired {
			sources++
		}
	}
	if open > 0 {
		return open == 1 && waiting[p.entry]
	}
	return free == sources
}

// choose says what is to be sent: what is new, and by the policies what changed
// or is gone.
func (j *Job) choose() {
	for i := range j.entries {
		j.chooseOne(i)
	}
}

func (j *Job) chooseOne(i int) {
	e := &j.entries[i]
	e.before = e.state
	switch e.state {
	case New:
		e.send = true
	case Gone:
		e.send = j.Gone == Renew
	case Differs, Boundary:
		e.send = j.Changed == Renew && j.replaceable(i)
	default:
		e.send = false
	}
}

// replaceable reports whether the journal has the source that an entry would
// replace: nothing else is ever deleted.
func (j *Job) replaceable(i int) bool {
	e := &j.entries[i]
	id := j.account.id(e.source)
	if e.known >= 0 {
		if ours, _ := j.ssidOf(i); ours == id {
			return true
		}
	}
	if slices.ContainsFunc(j.known.others[j.key(j.altID(i))], func(o other) bool { return o.id == id }) {
		return true
	}
	j.reasons[i] = "the journal does not have " + id + ", so that it is not replaced; delete it first"
	return false
}
