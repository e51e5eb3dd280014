package api

import (
	"context"
	"errors"
	"hash/maphash"
	"io"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

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

// consume yields what is new of the page at the offset, and has others fetched
// ahead meanwhile.
func (l *listing) consume() error {
	limit := l.limit
	if l.whole != nil && l.offset == 0 {
		limit = 0
	}
	if l.large {
		return l.stream(limit)
	}
	fetch := func(i int) { l.fetch(l.offset+i*(l.most-1), limit) }
	for i := range l.width {
		fetch(i)
	}
	f := l.ahead[l.offset]
	delete(l.ahead, l.offset)
	<-f.arrived
	f.abandon(nil)
	defer f.body.release()
	switch {
	case f.err != nil:
		return f.err
	case !f.whole:
		l.large = true
		l.drop()
		return l.stream(limit)
	case l.width > 1:
		fetch(l.width)
	}
	l.begin()
	switch err := streamSources(&f.body, l.take); {
	case err == nil, err == errGap, err == errMoved, err == errAbandoned:
		return err
	case l.ctx.Err() != nil:
		e := l.fail("the caller ended it: " + l.ctx.Err().Error())
		e.cause = safehttp.Ended(l.ctx)
		return e
	}
	return l.stream(limit) // it cannot be read: again, where the request loop judges it
}

// stream yields what is new of the page at the offset as it arrives.
func (l *listing) stream(limit int) (err error) {
	var early error
	l.sent++
	err = l.request(l.ctx, l.offset, limit, func(body io.Reader) error {
		l.begin()
		err := streamSources(body, l.take)
		if err == errGap || err == errMoved || err == errAbandoned {
			early, err = err, nil
		}
		return err
	})
	if early != nil {
		return early
	}
	return err
}

// begin begins a page, or begins it anew after its answer broke off.
func (l *listing) begin() {
	l.page = page{offset: l.offset, from: l.ranks, rank: -1}
	if l.offset == 0 {
		l.pass = l.ranks
	}
}

// take yields a source that is new, and sees whether it comes where it should.
func (l *listing) take(source *Source) error {
	switch {
	case l.ctx.Err() != nil:
		return context.Cause(l.ctx)
	case source.ID == "": // it could not be told from others
		return errors.New("a source of the answer has no id")
	}
	p, id := &l.page, hashSSID(source.ID)
	rank, yielded := l.told[id]
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
		rank = l.ranks
		l.told[id] = rank
		l.ranks++
	}
	if p.count == 0 {
		p.first = id
	}
	p.count++
	p.last, p.rank = id, rank
	if yielded {
		return nil
	}
	l.futile = 0
	if !l.yield(source, nil) {
		l.leave(errAbandoned)
		return errAbandoned
	}
	return nil
}

// peek asks for one source, and tells which came first, and how many came.
func (l *listing) peek(offset int) (first ssidHash, count int, err error) {
	l.sent++
	err = l.request(l.ctx, offset, 1, func(body io.Reader) error {
		count = 0
		return streamSources(body, func(source *Source) error {
			if count++; count == 1 {
				first = hashSSID(source.ID)
			}
			return nil
		})
	})
	return first, count, err
}

// fetched is a page that is fetched ahead.
type fetched struct {
	abandon context.CancelCauseFunc
	arrived chan struct{} // closed then
	body    held
	whole   bool // else it is too large to be held
	err     error
}

// fetch fetches a page ahead, unless that is under way.
func (l *listing) fetch(offset, limit int) {
	if l.ahead[offset] != nil {
		return
	}
	ctx, abandon := context.WithCancelCause(l.ctx)
	f := &fetched{abandon: abandon, arrived: make(chan struct{})}
	l.ahead[offset] = f
	l.sent++
	l.requests.Go(func() {
		defer close(f.arrived)
		f.err = l.request(ctx, offset, limit, func(body io.Reader) (err error) {
			f.whole, err = f.body.fill(body)
			return err
		})
	})
}

// drop gives up the pages under way.
func (l *listing) drop() {
	for offset, f := range l.ahead {
		f.abandon(errAbandoned)
		delete(l.ahead, offset)
	}
}

func (l *listing) request(ctx context.Context, offset, limit int, read func(io.Reader) error) error {
	params := ListParams{Filter: l.params.Filter, Limit: limit, Offset: offset}
	return l.client.do(ctx, call{operation: gen.OperationListSources, path: "/sources", query: params.query(), read: read})
}

// ssidHash stands for an SSID. Two that share one are less likely, by far, than
// a fault of the machine; and 100,000 of them are nothing to the garbage
// collector, which would follow as many strings again and again.
type ssidHash [2]uint64

var ssidSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashSSID(id SSID) ssidHash {
	return ssidHash{maphash.String(ssidSeeds[0], id), maphash.String(ssidSeeds[1], id)}
}
