package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
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
// server contradicts itself. Nothing needs to be done: All mends it, or fails.
type Drift struct {
	Kind   string // "shrunk" (sources before the page are gone), "reordered", or "repeated" (one came twice on it)
	ID     SSID   // the source that came twice
	Offset int    // where the page began
}

const (
	defaultPageSize = 1000
	defaultInFlight = 4
	// The bounds before everything is asked for at once, and again after that:
	maxFutile       = 3 // returns to the beginning without a new source
	requestsPerPage = 8 // that the listed sources would fill; deleting most of them takes 5
	moreRequests    = 20
)

// All lists every source that the filter lets through, each once. Whatever is
// registered and deleted meanwhile, by the loop too: a source that is there from
// the beginning to the end is listed, or All fails with [ErrIncomplete], after the
// sources that it did get.
//
// For that, each page begins with the last source of the page before. Where that
// is gone, All goes back until a page begins with a source that is known; where
// sources come in another order, for METI promises none [E], it begins anew. A
// source that moves, as a row of a database may when it is updated, is missed
// only if another change hides that. After too much of this, All asks for
// everything at once. Repeats apart, it makes at most 16 requests for each page that
// the listed sources fill, and 50, and 5 for each of InFlight.
//
// InFlight pages are fetched ahead and held in memory, 8 MiB of each at most, so
// the loop may take its time, whatever the timeout of an http.Client. A larger
// page is read as it is consumed, and nothing is fetched ahead.
//
// Ranging over the result again lists again. Leaving the loop ends the requests
// under way. An error is yielded once, as the last thing, with a nil source.
func (s *SourcesService) All(ctx context.Context, params AllParams) iter.Seq2[*Source, error] {
	return func(yield func(*Source, error) bool) {
		ctx, leave := context.WithCancelCause(ctx)
		l := listing{
			pages: pages{ctx: ctx, client: s.client, filter: params.Filter, ahead: make(map[int]*fetched)},
			yield: yield, leave: leave, drift: params.OnDrift, ranks: make(map[uint64]int),
			limit: params.PageSize, inFlight: params.InFlight, width: 1, end: math.MaxInt,
		}
		if l.drift == nil {
			l.drift = func(Drift) {}
		}
		defer l.requests.Wait()
		defer leave(errAbandoned)
		if err := l.list(); err != errDone {
			yield(nil, err)
		}
	}
}

// What ends the reading of a page early, or the listing.
var (
	errGap   = errors.New("the page begins with a source that is not known")
	errMoved = errors.New("sources come in another order than before")
	errDone  = errors.New("all is told, or the loop was left")
)

// listing is one walk over an account. A pass is a walk from offset 0 on.
type listing struct {
	pages
	yield func(*Source, error) bool
	leave context.CancelCauseFunc
	drift func(Drift)

	ranks map[uint64]int // of the sources that were yielded, by hash: their order
	next  int            // the next rank to give
	pass  int            // the ranks that this pass gave are this and higher
	page  page           // that is being consumed, or was
	why   error          // what ended its reading early

	offset   int
	limit    int // of a page
	inFlight int
	width    int    // pages to have under way
	last     uint64 // of the page before, none at offset 0
	lastAt   int    // the offset at which it stood
	most     int    // sources of the largest page
	short    int    // smaller ones in a row, each with new sources
	end      int    // no source was there from this offset on
	back     int    // how far to go next where the page begins with an unknown source
	futile   int    // returns to the beginning since a source was new
	atOnce   bool   // everything was asked for at once
	whole    int    // sources of the answer to that
	first    uint64 // of the page at offset 0
}

// page is what a page has told so far.
type page struct {
	offset, count int
	from          int // the ranks of those that are new to the pass are this and higher
	rank          int // of the last one so far
	last          uint64
}

var seed = maphash.MakeSeed()

// hash stands for an SSID, for 100,000 strings are work for the garbage collector
// again and again. One listing of that size in 4,000 million has two that share one.
func hash(id SSID) uint64 { return maphash.String(seed, id) }

// list lists until an error ends it, errDone where all is well.
func (l *listing) list() error {
	if l.limit < 0 || l.inFlight < 0 {
		return newError(gen.OperationListSources, fmt.Sprintf("neither PageSize (%d) nor InFlight (%d) may be negative", l.limit, l.inFlight), nil, ErrInvalid)
	}
	l.limit, l.inFlight = max(cmp.Or(l.limit, defaultPageSize), 2), cmp.Or(l.inFlight, defaultInFlight)
	for {
		limit := l.limit
		if l.atOnce && l.offset == 0 {
			limit = 0
		}
		err := l.read(l.offset, limit, l.width, l.most-1, l.decode)
		if err = cmp.Or(err, l.why); err == nil {
			err = l.advance()
		}
		if err == nil && l.sent > l.allowed() {
			err = errMoved
		}
		if err == errGap || err == errMoved {
			err = l.retreat(err)
		}
		if err != nil {
			return err
		}
	}
}

// decode yields what is new of a page.
func (l *listing) decode(body io.Reader) error {
	l.page = page{offset: l.offset, from: l.next, rank: -1}
	if l.offset == 0 {
		l.pass = l.next
	}
	l.why = streamSources(body, l.take)
	if l.why == errGap || l.why == errMoved || l.why == errDone {
		return nil // nothing is wrong with the answer
	}
	return l.why
}

// take yields a source that is new, and sees whether it comes where it should.
func (l *listing) take(source *Source) error {
	p, id := &l.page, hash(source.ID)
	rank, yielded := l.ranks[id]
	known, at := yielded && rank >= l.pass, p.offset+p.count
	switch {
	case l.ctx.Err() != nil:
		return context.Cause(l.ctx)
	case source.ID == "": // it could not be told from others
		return errors.New("a source of the answer has no id")
	case p.count == 0 && at > 0 && !known:
		return errGap
	case p.count == 0 && at > 0 && at == l.lastAt && id != l.last,
		id == l.last && at > l.lastAt,
		known && rank < min(p.rank, p.from):
		return errMoved
	case known && rank >= p.from:
		l.drift(Drift{Kind: "repeated", ID: source.ID, Offset: p.offset})
	case !known:
		rank = l.next
		l.ranks[id] = rank
		l.next++
	}
	if at == 0 {
		l.first = id
	}
	p.count++
	p.last, p.rank = id, rank
	if yielded {
		return nil
	}
	if !l.atOnce {
		l.futile = 0
	}
	if !l.yield(source, nil) {
		l.leave(errAbandoned)
		return errDone
	}
	return nil
}

// allowed is how many requests may have been sent. Pages of less than ten are
// too small to follow, one by one, an account that grows with each request.
func (l *listing) allowed() int {
	return requestsPerPage*len(l.ranks)/max(9, l.most-1) + moreRequests + 2*l.inFlight
}

// advance goes on behind a page that begins where it should.
func (l *listing) advance() error {
	p := l.page
	if l.atOnce && p.offset == 0 {
		l.whole = p.count
	}
	if err := l.ended(p, p.offset+p.count, l.next-p.from); err != nil {
		return err
	}
	size := min(p.count, l.limit)
	switch {
	case size != cmp.Or(l.most, l.limit): // the last page, or the server has a limit of its own
		l.width = 1
		l.drop()
	case p.from == 0 || p.offset == l.lastAt: // offset is obeyed, it seems
		l.width = min(l.inFlight, 8*l.width)
	}
	if l.short++; size >= l.most {
		l.most, l.short = size, 0
	}
	l.back = max(1, l.most/2)
	l.last, l.lastAt = p.last, p.offset+p.count-1
	if p.offset == 0 && (l.atOnce || p.count > l.limit) { // perhaps offset is not obeyed either
		l.lastAt = math.MaxInt
	}
	l.offset += max(1, p.count-1)
	return nil
}

// ended is errDone where nothing stands at the offset behind a page, which added
// so many sources.
func (l *listing) ended(p page, behind, added int) error {
	nothingNew := p.count == 1 && p.offset == 0 || p.last == l.last && (p.count < l.most || p.count > l.limit)
	switch {
	case p.count == 0 && p.offset == 0, nothingNew && p.offset > 0 && l.short < 2:
		return errDone
	case p.count == 0:
		l.end = min(l.end, p.offset)
		return errGap
	case added == 0 && p.offset > 0 && l.atOnce && !nothingNew:
		return errMoved // the server repeats itself
	}
	// After a short page this one has new sources: the account grows, or the server
	// answers fewer than it has. What is there now must be told, not what is to come.
	beyond := behind + max(0, added<<min(l.short, 20)-2*added)
	if nothingNew || l.short > 0 && added > 0 && beyond < l.end {
		sources, err := l.peek(beyond)
		switch {
		case err != nil:
			return err
		case len(sources) == 0:
			l.end = beyond
		case nothingNew:
			return errGap // the server answers but one at a time
		}
	}
	if nothingNew || p.count < l.most && behind >= l.end {
		return errDone
	}
	return nil
}

// retreat goes back from a page that does not begin where it should, or that
// tells sources in another order.
func (l *listing) retreat(why error) error {
	l.drop()
	l.width = 1
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
		if l.atOnce {
			return l.settle()
		}
		l.atOnce, l.sent = true, 0
		l.offset, l.end, l.futile = 0, math.MaxInt, maxFutile-2 // one more
	}
	if l.offset == 0 {
		l.last, l.short = 0, 0
	}
	return nil
}

// settle decides whether everything at once was all, although the pages behind
// it do not follow: so it is where offset is not obeyed, for then it comes again.
func (l *listing) settle() error {
	if l.sent <= l.allowed() {
		again, err := l.peek(l.whole)
		if err != nil {
			return err
		}
		// As many as were asked for may be a part, unless limit is not obeyed either.
		if len(again) > 0 && hash(again[0].ID) == l.first && (l.whole != l.limit || len(again) > 1) && l.whole == len(l.ranks) {
			return errDone
		}
	}
	e := newError(gen.OperationListSources, fmt.Sprintf("the account keeps changing, or the server does not page: its answers do not fit together; %d sources were listed, and there may be more", len(l.ranks)), nil, ErrIncomplete)
	e.hint("list again while nothing is registered, updated or deleted")
	return e
}
