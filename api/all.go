package api

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meti-go/meti/gen"
)

// AllParams are the parameters of [SourcesService.All].
type AllParams struct {
	Filter
	PageSize int         // sources a request; 1,000 unless set
	InFlight int         // requests under way at once, until their answers have arrived; 4 unless set
	OnDrift  func(Drift) // told when the account changed while it was listed
}

// Drift is a sign that an account changed, or was answered inconsistently,
// while it was listed: sources may have been missed or seen twice.
type Drift struct {
	Kind   string // "repeated" (a source came twice) or "shrunk" (a page in the middle was short)
	ID     SSID   // the source that came twice
	Offset int    // where the page began
}

// ErrIncomplete is the class of an [Error] of [SourcesService.All]: the server
// answers the same sources again and again, and there may be others that it
// cannot be made to tell.
var ErrIncomplete = errors.New("the listing is incomplete")

const (
	defaultPageSize = 1000
	defaultInFlight = 4
	// cautiousAhead is how many pages are asked for ahead at most, until the
	// server has been seen to obey offset.
	cautiousAhead = 8
	// A page is decoded into batches of about batchBytes of JSON. One that waits
	// for those before it holds queueLength of them; then it is decoded no
	// further.
	batchBytes  = 64 << 10
	queueLength = 64
)

// All lists every source that the filter lets through, in the order in which
// the server answers them, page after page. Pages are fetched ahead, InFlight
// at a time, and two of them decoded ahead: these and some 10 MB of answers are
// held in memory. With one request in flight nothing is fetched ahead. Ranging
// over the result again lists again. Leaving the loop ends the requests under
// way. An error is yielded once, as the last thing, with a nil source.
//
// METI reports no total and promises no order [E], so the end is found by an
// empty page, and each source is yielded once however often it comes. Sources
// that others register or delete meanwhile may be missed: OnDrift is told of
// the signs of it, from within the loop.
//
// A server that ignores offset, or limit, or answers fewer sources than were
// asked for, is listed all the same. Where a whole page comes again, All asks
// once without limit; if that does not show that nothing is missing, it fails
// with [ErrIncomplete], after the sources that it did get.
func (s *SourcesService) All(ctx context.Context, params AllParams) iter.Seq2[*Source, error] {
	return func(yield func(*Source, error) bool) {
		l := &listing{
			client: s.client, params: params, yield: yield,
			seen: make(map[ssidHash]int), underWay: make(map[int]*page),
			requesting: newTurns(params.inFlight()), decoding: newTurns(aheadDecoded), chunks: newTurns(aheadChunks),
			end: newEnd(),
		}
		l.ctx, l.stop = context.WithCancel(ctx)
		defer l.workers.Wait()
		defer l.stop()
		if err := l.list(); err != nil && err != errStopped {
			yield(nil, err)
		}
	}
}

// errStopped says that the caller has left the loop.
var errStopped = errors.New("stopped")

// listing is one walk over an account.
type listing struct {
	ctx      context.Context
	stop     context.CancelFunc
	client   *Client
	params   AllParams
	yield    func(*Source, error) bool
	seen     map[ssidHash]int // by the number of the request that told the source
	requests int              // so far
	settling bool             // everything was asked for at once
	underWay map[int]*page    // by offset
	workers  sync.WaitGroup
	end      *end // of the account, as the pages under way show it

	requesting *turns // until a body has arrived
	decoding   *turns // ahead of the page that is awaited
	chunks     *turns // of bodies that arrived and are not decoded yet
}

func (p AllParams) inFlight() int {
	if p.InFlight == 0 {
		return defaultInFlight
	}
	return p.InFlight
}

// end is the lowest offset whose page was not full. The next page tells whether
// it is the last; what lies behind that need not be asked for any more.
type end struct{ offset atomic.Int64 }

func newEnd() *end {
	e := new(end)
	e.offset.Store(math.MaxInt64)
	return e
}

// lower says that the page at an offset is not full.
func (e *end) lower(offset int) {
	for {
		known := e.offset.Load()
		if int64(offset) >= known || e.offset.CompareAndSwap(known, int64(offset)) {
			return
		}
	}
}

// page is one request and what it answers.
type page struct {
	number  int             // of the request
	turn    <-chan struct{} // to be decoded
	batches chan batch
	err     error // once batches is closed
	cancel  context.CancelFunc
}

// batch is sources that arrived together.
type batch struct {
	sources []*Source
	again   bool // an answer broke off, and this one starts anew
}

// tally is what a page turned out to hold.
type tally struct {
	sources  int
	distinct int
	fresh    int // seen for the first time
}

func (l *listing) list() error {
	limit, inFlight := l.params.PageSize, l.params.inFlight()
	if limit < 0 || inFlight < 0 {
		return l.fail(fmt.Sprintf("PageSize %d and InFlight %d cannot be negative", limit, inFlight), ErrInvalid)
	}
	if limit == 0 {
		limit = defaultPageSize
	}
	// As many again as are under way may have arrived and wait to be consumed.
	ahead := 2 * inFlight
	if inFlight == 1 {
		ahead = 1 // then each page is decoded where it is consumed
	}
	var (
		offset = 0
		stride = limit // from page to page; less where the server answers fewer than asked
		width  = 1     // how many pages to have under way
		short  = -1    // the offset of the page before, where that was short
		beyond = -1    // an offset that had sources where an earlier one had none
		before tally   // of the page before
	)
	startAhead := func(from int) {
		for i := from; i < width; i++ {
			l.start(offset+i*stride, limit, stride)
		}
	}
	for {
		if width > 1 {
			startAhead(0)
		}
		got, err := l.consume(offset, limit, func() {
			if width > 1 { // offset is obeyed
				width = ahead
				startAhead(1)
			}
		})
		if err != nil {
			return err
		}
		switch {
		case got.sources == 0 && beyond >= 0:
			// Asked twice, this page is empty: the account has shrunk, or the
			// server contradicts itself.
			l.start(beyond, limit, limit)
			if l.sourcesUnderWay() >= 0 {
				return l.fail(fmt.Sprintf("no sources at offset %d, but some at %d", offset, beyond), ErrIncomplete)
			}
			return nil
		case got.sources == 0:
			if beyond = l.sourcesUnderWay(); beyond < 0 {
				return nil
			}
			l.drift(Drift{Kind: "shrunk", Offset: offset})
			l.drop()
			width = 1
			continue
		case got.fresh == 0 && got.sources > limit:
			return nil // without heed to limit, the same again: that is all it has
		case got.fresh == 0:
			return l.settle(limit)
		}
		beyond = -1
		if short >= 0 {
			l.drop() // those behind the short page are out of step
			if got.sources == before.sources && got.sources < limit {
				stride = got.sources // the server answers no more at a time
			} else {
				l.drift(Drift{Kind: "shrunk", Offset: short})
			}
			short = -1
		}
		switch {
		case got.sources == stride && offset == 0:
			width = min(ahead, cautiousAhead)
		case got.sources == stride:
			width = min(ahead, 2*width)
		case got.sources > stride:
			l.drop()
			stride, width = limit, 1
		default: // the last page, it seems; the next one tells
			short, width = offset, 1
		}
		offset += got.sources
		before = got
	}
}

// settle asks for everything at once, after a page that held nothing new.
func (l *listing) settle(limit int) error {
	l.drop()
	l.settling = true
	got, err := l.consume(0, 0, nil)
	if err != nil {
		return err
	}
	if got.distinct == len(l.seen) && got.sources == limit {
		// As many as a page holds: is that all, or all at a time?
		if got, err = l.consume(0, 1, nil); err != nil {
			return err
		}
		if got.sources == limit && limit > 1 {
			return nil // limit is ignored, so it was all
		}
		got.distinct = 0
	}
	if got.distinct == len(l.seen) {
		return nil
	}
	return l.fail(fmt.Sprintf("the server repeats its pages; %d sources were listed, and there may be more", len(l.seen)), ErrIncomplete)
}

// start requests the page at an offset ahead, unless that is under way. It is
// full with stride sources.
func (l *listing) start(offset, limit, stride int) {
	if l.underWay[offset] != nil {
		return
	}
	l.requests++
	p := &page{number: l.requests, batches: make(chan batch, queueLength)}
	l.underWay[offset] = p
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(l.ctx)
	// Asked for here, where pages start in order: the one that is awaited never
	// stands behind one that waits for it.
	request, end := l.requesting.ask(p.number), l.end
	p.turn = l.decoding.ask(p.number)
	l.workers.Go(func() {
		defer p.cancel()
		defer close(p.batches)
		<-request
		// Once: a page whose JSON turns out to be cut short is requested again,
		// without waiting for another turn.
		arrived := sync.OnceFunc(l.requesting.give)
		defer arrived()
		if int64(offset-stride) > end.offset.Load() {
			return
		}
		count := 0
		p.err = l.fetch(ctx, offset, limit, func(body io.Reader, again bool) error {
			count = 0
			ahead := readAhead{body: body, turns: l.chunks}
			defer ahead.release()
			ahead.fill(ctx, p.number, p.turn)
			if ahead.err == io.EOF {
				if ahead.empty() { // known before it is decoded, so that nothing behind it is asked for
					end.lower(offset)
				}
				arrived()
			}
			select {
			case <-p.turn:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			h := handover{ctx: ctx, body: &ahead, page: p, next: batch{again: again}}
			err := streamSources(&h, func(source *Source) error {
				if err := checkID(source); err != nil {
					return err
				}
				count++
				h.next.sources = append(h.next.sources, source)
				return nil
			})
			return errors.Join(err, h.flush())
		})
		if p.err == nil && count < stride {
			end.lower(offset)
		}
	})
}

// await takes the page at an offset from those under way; nil: it is not. From
// now on it waits for nothing but the server.
func (l *listing) await(offset int) *page {
	p := l.underWay[offset]
	if p != nil {
		delete(l.underWay, offset)
		l.decoding.pass(p.number)
	}
	return p
}

// fetch carries out the request for a page. What read does is done again, with
// again true, where the answer broke off.
func (l *listing) fetch(ctx context.Context, offset, limit int, read func(body io.Reader, again bool) error) error {
	params := ListParams{Filter: l.params.Filter, Limit: limit, Offset: offset}
	again := false
	return l.client.do(ctx, call{operation: gen.OperationListSources, path: "/sources", query: params.query(), read: func(body io.Reader) error {
		err := read(body, again)
		again = true
		return err
	}})
}

// checkID refuses a source that could not be told from others.
func checkID(source *Source) error {
	if source.ID == "" {
		return errors.New("a source of the answer has no id")
	}
	return nil
}

// handover reads the body of a page ahead, and before it does hands over what
// was decoded.
type handover struct {
	ctx   context.Context
	body  io.Reader
	page  *page
	next  batch
	bytes int // read since the last batch
}

func (h *handover) Read(p []byte) (int, error) {
	// A consumer that waits gets what there is; else batches are not too small.
	if h.bytes >= batchBytes || len(h.page.batches) == 0 {
		if err := h.flush(); err != nil {
			return 0, err
		}
	}
	// The goroutines that wait for the network would wait until these, as many
	// as there are processors, have had their time.
	runtime.Gosched()
	n, err := h.body.Read(p)
	h.bytes += n
	return n, err
}

func (h *handover) flush() error {
	if len(h.next.sources) == 0 && !h.next.again {
		return nil
	}
	select {
	case h.page.batches <- h.next:
		h.next = batch{sources: make([]*Source, 0, len(h.next.sources)+8)}
		h.bytes = 0
		return nil
	case <-h.ctx.Done():
		return context.Cause(h.ctx)
	}
}

// consume yields the page at an offset. One that is not under way is fetched
// and decoded here, and needs no handing over. The first source that was not
// seen before is announced.
func (l *listing) consume(offset, limit int, announce func()) (got tally, err error) {
	r := receipt{listing: l, announce: announce}
	if p := l.await(offset); p != nil {
		defer p.cancel()
		r.number = p.number
		for b := range p.batches {
			if l.ctx.Err() != nil {
				return r.tally, l.ended()
			}
			if b.again {
				r.again, r.sources = true, 0
			}
			for _, source := range b.sources {
				if !r.take(source) {
					return r.tally, errStopped
				}
			}
		}
		err = p.err
	} else {
		l.requests++
		r.number = l.requests
		stopped := false
		err = l.fetch(l.ctx, offset, limit, func(body io.Reader, again bool) error {
			r.again, r.sources = again, 0
			return streamSources(body, func(source *Source) error {
				switch err := checkID(source); {
				case err != nil:
					return err
				case l.ctx.Err() != nil:
					return context.Cause(l.ctx)
				case !r.take(source):
					stopped = true
					l.stop() // so that it is no failure of the answer
					return errStopped
				}
				return nil
			})
		})
		if stopped {
			err = errStopped
		}
	}
	if r.fresh > 0 && !l.settling { // else the page is not offset's, or it is everything
		for _, id := range r.repeated {
			l.drift(Drift{Kind: "repeated", ID: id, Offset: offset})
		}
	}
	return r.tally, err
}

// ssidHash stands for an SSID. Two that share one are less likely, by far, than
// a fault of the machine; and 100,000 of them are nothing to the garbage
// collector, which would follow as many strings again and again.
type ssidHash [2]uint64

var ssidSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashSSID(id SSID) ssidHash {
	return ssidHash{maphash.String(ssidSeeds[0], id), maphash.String(ssidSeeds[1], id)}
}

// receipt is a page that is being yielded.
type receipt struct {
	*listing
	tally
	number   int // of the request
	again    bool
	announce func() // the first fresh source
	repeated []SSID
}

// take yields a source that was not seen before, and reports whether to go on.
func (r *receipt) take(source *Source) bool {
	r.sources++
	id := hashSSID(source.ID)
	number, known := r.seen[id]
	if number != r.number {
		r.seen[id] = r.number
		r.distinct++
	} else if r.again {
		return true // it came before the answer broke off
	}
	if known {
		r.repeated = append(r.repeated, source.ID)
		return true
	}
	if r.fresh++; r.fresh == 1 && r.announce != nil {
		r.announce()
	}
	return r.yield(source, nil)
}

// sourcesUnderWay is the offset of the next page under way, if that has
// sources, or -1. The pages behind that one are not waited for.
func (l *listing) sourcesUnderWay() int {
	if len(l.underWay) == 0 {
		return -1
	}
	next := slices.Min(slices.Collect(maps.Keys(l.underWay)))
	p := l.await(next)
	defer p.cancel()
	for b := range p.batches {
		if len(b.sources) > 0 {
			return next
		}
	}
	return -1
}

// drop gives up the pages under way.
func (l *listing) drop() {
	for offset := range l.underWay {
		l.await(offset).cancel()
	}
	l.end = newEnd()
}

func (l *listing) drift(d Drift) {
	if l.params.OnDrift != nil {
		l.params.OnDrift(d)
	}
}

// ended is the error of a listing whose context has ended.
func (l *listing) ended() *Error {
	e := l.fail("the caller ended it: " + l.ctx.Err().Error())
	e.cause = ended(l.ctx)
	return e
}

func (l *listing) fail(message string, classes ...error) *Error {
	operation := gen.OperationListSources
	return &Error{Operation: operation.ID, Method: operation.Method, Path: "/sources", Message: message, classes: classes}
}
