package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"

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
// server contradicts itself. Nothing needs to be done about it: All mends it,
// or fails.
type Drift struct {
	// Kind is "shrunk" where sources before the page are gone, "reordered" where
	// they come in another order, and "repeated" where one came twice on the page.
	Kind   string
	ID     SSID // the source that came twice
	Offset int  // where the page began
}

// ErrIncomplete is the class of an [Error] of [SourcesService.All]: what the
// server answers does not fit together, so there may be sources that were not
// listed.
var ErrIncomplete = errors.New("the listing is incomplete")

const (
	defaultPageSize = 1000
	defaultInFlight = 4
	// How much trouble there may be before everything is asked for at once, and
	// as many requests again after that.
	maxRestarts     = 3
	maxFutile       = 3 // returns to the beginning without a new source
	requestsPerPage = 8 // that the listed sources would fill; deleting most of them takes 5
	moreRequests    = 20
	manyRequests    = 256 // after which All asks whether the account has an end
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
// After three new beginnings, or three futile attempts, All asks for everything
// at once, without limit. If that leaves it in doubt too, it fails with
// [ErrIncomplete], after the sources that it did get: so it may where the account
// changes with every request, or the server obeys neither offset nor limit. It
// never makes more than 16 requests for each page that the listed sources fill,
// and 50, and 5 for each of InFlight, apart from attempts that are repeated.
//
// InFlight pages are fetched ahead and held in memory, 8 MiB of each at most, so
// the loop may take its time, whatever the timeout of an http.Client. A larger
// page is read as it is consumed, and then nothing is fetched ahead: choose a
// smaller PageSize. Nor is anything fetched ahead with one request in flight.
//
// Ranging over the result again lists again. Leaving the loop ends the requests
// under way. An error is yielded once, as the last thing, with a nil source.
func (s *SourcesService) All(ctx context.Context, params AllParams) iter.Seq2[*Source, error] {
	return func(yield func(*Source, error) bool) {
		l := listing{client: s.client, params: params, yield: yield, told: make(map[ssidHash]int), ahead: make(map[int]*fetched)}
		l.ctx, l.leave = context.WithCancelCause(ctx)
		defer l.requests.Wait()
		defer l.leave(errAbandoned)
		if err := l.list(); err != nil && err != errAbandoned {
			yield(nil, err)
		}
	}
}

// listing is one walk over an account. A pass is a walk from offset 0 on.
type listing struct {
	ctx    context.Context
	leave  context.CancelCauseFunc
	client *client
	params AllParams
	yield  func(*Source, error) bool

	ahead    map[int]*fetched // pages under way or arrived, by offset
	requests sync.WaitGroup
	sent     int  // requests so far
	measure  int  // after so many, look whether the account has an end
	due      int  // sources that justify requests: those beyond were registered meanwhile
	large    bool // pages are too large to be held

	told  map[ssidHash]int // the rank of each source that was yielded: where it came
	ranks int              // given so far
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
	restarts      int      // for another order
	whole         *page    // everything at once, once it is asked for
}

func (l *listing) list() error {
	l.limit = l.params.PageSize
	if l.limit < 0 || l.params.InFlight < 0 {
		return l.fail(fmt.Sprintf("PageSize %d and InFlight %d cannot be negative", l.limit, l.params.InFlight), ErrInvalid)
	}
	if l.limit == 0 {
		l.limit = defaultPageSize
	}
	if l.params.InFlight == 0 {
		l.params.InFlight = defaultInFlight
	}
	l.limit, l.width, l.end = max(l.limit, 2), 1, math.MaxInt
	l.measure, l.due = manyRequests, math.MaxInt
	for {
		done := false
		err := l.lookForTheEnd()
		if err == nil {
			err = l.consume()
		}
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

// allowed is how many requests may have been sent.
func (l *listing) allowed() int {
	n := requestsPerPage*min(len(l.told), l.due)/max(1, l.most-1) + moreRequests + 2*l.params.InFlight
	if l.whole != nil {
		n *= 2
	}
	return n
}

// lookForTheEnd looks, each time that twice as many requests were sent, whether
// there are sources far behind those that are listed. If not, the account may be
// one that gets a source with each request, which would be followed for ever.
func (l *listing) lookForTheEnd() error {
	if l.sent < l.measure {
		return nil
	}
	l.measure = 2 * l.sent
	far := 2 * max(len(l.told), l.page.offset+l.page.count)
	_, more, err := l.peek(far)
	if err == nil && more == 0 {
		l.due = min(l.due, len(l.told)+far)
	}
	return err
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
	added := l.ranks - p.from
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
		if why == errMoved || l.whole != nil {
			l.restarts++
		}
	}
	if l.futile >= maxFutile || l.restarts > maxRestarts || l.sent > l.allowed() {
		if l.whole != nil {
			return l.settle()
		}
		l.whole = new(page)
		l.offset, l.end, l.futile, l.restarts = 0, math.MaxInt, 0, maxRestarts-1 // one more
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
		if first == l.whole.first && (count != l.limit || n > 1) && count == len(l.told) {
			return true, nil
		}
	}
	e := l.fail(fmt.Sprintf("the account keeps changing, or the server does not page: after %d requests the answers do not fit together; %d sources were listed, and there may be more", l.sent, len(l.told)), ErrIncomplete)
	e.hint("list again while nothing is registered, updated or deleted")
	return false, e
}

func (l *listing) drift(d Drift) {
	if l.params.OnDrift != nil {
		l.params.OnDrift(d)
	}
}

func (l *listing) fail(message string, classes ...error) *Error {
	operation := gen.OperationListSources
	return &Error{Operation: operation.ID, Method: operation.Method, Path: "/sources", Message: message, classes: classes}
}
