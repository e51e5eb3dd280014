package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math"

	"github.com/meti-go/meti/gen"
)

// AllParams are the parameters of [SourcesService.All].
type AllParams struct {
	Filter
	PageSize int         // sources a request, at least 2; 1,000 unless set
	InFlight int         // requests under way at once, and answers that wait; 4 unless set
	OnDrift  func(Drift) // told when All sees that the account changed, and goes back
}

// Drift is a sign that the account changed while it was listed, or that the
// server contradicts itself: "shrunk" where sources before the page are gone,
// "reordered" where they come in another order, and "repeated" where one came
// twice on the page. Nothing needs to be done about it: All mends it, or fails.
type Drift struct {
	Kind   string
	ID     SSID // the source that came twice
	Offset int  // where the page began
}

const (
	defaultPageSize = 1000
	defaultInFlight = 4
	// How much trouble there may be before everything is asked for at once, and
	// as many requests again after that.
	maxFutile       = 3 // returns to the beginning without a new source
	requestsPerPage = 8 // that the listed sources would fill; deleting most of them takes 5
	moreRequests    = 20
)

// All lists every source that the filter lets through, each once. Whatever is
// registered and deleted meanwhile, by the loop too: a source that is there from
// the beginning to the end is listed, or All fails.
//
// For that, each page begins with the last source of the page before. Where that
// is gone, All goes back until a page begins with a source that is known. Where
// sources come in another order, for METI promises none [E], it begins anew: a
// source that moves, as a row of a database may when it is updated, is missed
// only if another change hides that.
//
// Where it begins anew three times without finding more, or makes too many
// requests, All asks for everything at once, without limit. If that leaves it in
// doubt too, it fails with [ErrIncomplete], after the sources that it did get. It
// never makes more than 16 requests for each page that the listed sources fill,
// and 50, and 5 for each of InFlight, apart from attempts that are repeated.
//
// InFlight pages are fetched ahead and held in memory, 8 MiB of each at most, so
// the loop may take its time, whatever the timeout of an http.Client. A larger
// page is read as it is consumed, and then nothing is fetched ahead: choose a
// smaller PageSize.
//
// Ranging over the result again lists again. Leaving the loop ends the requests
// under way. An error is yielded once, as the last thing, with a nil source.
func (s *SourcesService) All(ctx context.Context, params AllParams) iter.Seq2[*Source, error] {
	return func(yield func(*Source, error) bool) {
		ctx, leave := context.WithCancelCause(ctx)
		l := listing{params: params, yield: yield, leave: leave, ranks: make(map[ssidHash]int)}
		l.pages = pages{ctx: ctx, client: s.client, filter: params.Filter, begin: l.begin, take: l.take, ahead: make(map[int]*fetched)}
		defer l.requests.Wait()
		defer leave(errAbandoned)
		if err := l.list(); err != nil && err != errAbandoned {
			yield(nil, err)
		}
	}
}

// ssidHash stands for an SSID. Two that share one are less likely, by far, than
// a fault of the machine; and 100,000 of them are nothing to the garbage
// collector, which would follow as many strings again and again.
type ssidHash [2]uint64

var ssidSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashSSID(id SSID) ssidHash {
	return ssidHash{maphash.String(ssidSeeds[0], id), maphash.String(ssidSeeds[1], id)}
}

// page is what a page has told so far.
type page struct {
	offset, count int
	first, last   ssidHash
	from          int // the ranks of those that are new to the pass are this and higher
	rank          int // of the last one so far
}

// What ends the reading of a page early.
var (
	errGap   = errors.New("the page begins with a source that is not known")
	errMoved = errors.New("sources come in another order than before")
)

// listing is one walk over an account. A pass is a walk from offset 0 on.
type listing struct {
	pages
	params AllParams
	yield  func(*Source, error) bool
	leave  context.CancelCauseFunc

	ranks map[ssidHash]int // of the sources that were yielded: their order
	next  int              // the next rank to give
	pass  int              // the ranks that this pass gave are this and higher
	page  page             // that is being consumed, or was

	offset, limit int
	width         int      // pages to have under way
	last          ssidHash // of the page before, none at offset 0
	lastAt        int      // the offset at which it stood
	exact         bool     // the page must begin with it, not with any source that is known
	most          int      // sources of the largest page
	short         bool     // the page before was smaller
	grew          int      // how often there was more behind such a page
	end           int      // no source was there from this offset on
	back          int      // how far to go next where the page begins with an unknown source
	futile        int      // returns to the beginning since a source was new
	whole         *page    // everything at once, once it is asked for
	before        int      // requests before that
}

func (l *listing) list() error {
	l.limit = l.params.PageSize
	if l.limit < 0 || l.params.InFlight < 0 {
		return newError(gen.OperationListSources, fmt.Sprintf("PageSize %d and InFlight %d cannot be negative", l.limit, l.params.InFlight), nil, ErrInvalid)
	}
	l.params.InFlight = cmp.Or(l.params.InFlight, defaultInFlight)
	l.limit, l.width, l.end = max(cmp.Or(l.limit, defaultPageSize), 2), 1, math.MaxInt
	for {
		done := false
		err := l.consume()
		if err == nil {
			done, err = l.advance()
		}
		if err == nil && !done && l.sent > l.allowed() {
			err = errMoved
		}
		if err == errGap || err == errMoved {
			done, err = l.retreat(err)
		}
		if err != nil || done {
			return err
		}
	}
}

// consume yields what is new of the page at the offset.
func (l *listing) consume() error {
	limit := l.limit
	if l.whole != nil && l.offset == 0 {
		limit = 0
	}
	return l.read(l.offset, limit, l.width, l.most-1)
}

// begin begins a page.
func (l *listing) begin() {
	l.page = page{offset: l.offset, from: l.next, rank: -1}
	if l.offset == 0 {
		l.pass = l.next
	}
}

// take yields a source that is new, and sees whether it comes where it should.
func (l *listing) take(source *Source) error {
	p, id := &l.page, hashSSID(source.ID)
	rank, yielded := l.ranks[id]
	known := yielded && rank >= l.pass
	switch {
	case p.count == 0 && p.offset > 0 && !known:
		return errGap
	case p.count == 0 && l.exact && id != l.last,
		id == l.last && p.offset+p.count > l.lastAt,
		known && rank < min(p.rank, p.from):
		return errMoved
	case known && rank >= p.from:
		l.drift(Drift{Kind: "repeated", ID: source.ID, Offset: p.offset})
	case !known:
		rank = l.next
		l.ranks[id] = rank
		l.next++
	}
	if p.count == 0 {
		p.first = id
	}
	p.count++
	p.last, p.rank = id, rank
	if yielded {
		return nil
	}
	if l.whole == nil {
		l.futile = 0
	}
	if !l.yield(source, nil) {
		l.leave(errAbandoned)
		return errAbandoned
	}
	return nil
}

// allowed is how many requests may have been sent. Pages of less than ten are
// too small to follow, one by one, an account that grows with each request.
func (l *listing) allowed() int {
	return requestsPerPage*len(l.ranks)/max(9, l.most-1) + moreRequests + 2*l.params.InFlight + l.before
}

// advance goes on behind a page that begins where it should, and reports
// whether nothing follows.
func (l *listing) advance() (done bool, err error) {
	p := &l.page
	size := min(p.count, l.limit)
	if l.whole != nil && p.offset == 0 {
		*l.whole = *p
	}
	if done, err = l.ends(); done || err != nil {
		return done, err
	}
	switch {
	case size != cmp.Or(l.most, l.limit): // the last page, or the server has a limit of its own
		l.width = 1
	case l.exact || p.from == 0: // offset is obeyed, it seems
		l.width = min(l.params.InFlight, 8*l.width)
	}
	l.short = size < l.most
	l.most = max(l.most, size)
	l.back = l.most / 2
	l.last, l.lastAt, l.exact = p.last, p.offset+p.count-1, true
	if p.offset == 0 && (l.whole != nil || p.count > l.limit) { // perhaps offset is not obeyed either
		l.lastAt, l.exact = math.MaxInt, false
	}
	l.offset += max(1, p.count-1)
	if l.width == 1 {
		l.drop()
	}
	return false, nil
}

// ends reports whether nothing follows the page.
func (l *listing) ends() (done bool, err error) {
	p := &l.page
	added := l.next - p.from
	switch {
	case p.count == 0 && p.offset == 0:
		return true, nil
	case p.count == 0:
		l.end = min(l.end, p.offset)
		return false, errGap
	case p.count == 1 && p.offset == 0, p.last == l.last && (p.count < l.most || p.count > l.limit):
		if p.offset > 0 && l.grew == 0 {
			return true, nil // nothing but what the page before told
		}
		_, more, err := l.peek(p.offset + p.count)
		if err == nil && more > 0 {
			err = errGap // the server answers but one at a time
		}
		return err == nil, err
	case added == 0 && p.offset > 0 && l.whole != nil:
		return false, errMoved // the server repeats itself
	}
	if l.short && added > 0 {
		// The account grows, or the server answers fewer than it has. What is there
		// now must be told, not all that is to come.
		l.grew++
		if beyond := p.offset + p.count + added*(1<<min(l.grew, 20)-2); beyond < l.end {
			_, more, err := l.peek(beyond)
			if err != nil {
				return false, err
			}
			if more == 0 {
				l.end = beyond
			}
		}
	}
	return p.count < l.most && p.offset+p.count >= l.end, nil
}

// retreat goes back from a page that does not begin where it should, or that
// tells sources in another order. It reports whether nothing is missing.
func (l *listing) retreat(why error) (done bool, err error) {
	l.drop()
	l.width, l.exact = 1, false
	if why == errGap {
		l.drift(Drift{Kind: "shrunk", Offset: l.offset})
		l.offset = max(0, l.offset-l.back)
		l.back *= 2
	} else {
		l.drift(Drift{Kind: "reordered", Offset: l.offset})
		l.offset, l.end = 0, math.MaxInt
	}
	if l.offset == 0 {
		l.futile++
	}
	if l.futile >= maxFutile || l.sent > l.allowed() {
		if l.whole != nil {
			return l.settle()
		}
		l.whole, l.before = new(page), l.sent
		l.offset, l.end, l.futile = 0, math.MaxInt, maxFutile-2 // one more
	}
	if l.offset == 0 {
		l.last, l.short = ssidHash{}, false
	}
	return false, nil
}

// settle decides whether everything at once was all, although the pages behind
// it do not follow: so it is where offset is not obeyed, for then it comes again.
func (l *listing) settle() (done bool, err error) {
	if count := l.whole.count; l.sent <= l.allowed() {
		first, n, err := l.peek(count)
		if err != nil {
			return false, err
		}
		// As many as were asked for may be a part, unless limit is not obeyed either.
		if hashSSID(first) == l.whole.first && (count != l.limit || n > 1) && count == len(l.ranks) {
			return true, nil
		}
	}
	e := newError(gen.OperationListSources, fmt.Sprintf("the account keeps changing, or the server does not page: after %d requests the answers do not fit together; %d sources were listed, and there may be more", l.sent, len(l.ranks)), nil, ErrIncomplete)
	e.hint("list again while nothing is registered, updated or deleted")
	return false, e
}

func (l *listing) drift(d Drift) {
	if l.params.OnDrift != nil {
		l.params.OnDrift(d)
	}
}
