package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/meti-go/meti/gen"
)

// AllParams are the parameters of [SourcesService.All].
type AllParams struct {
	Filter
	PageSize int         // sources a request; 1,000 unless set
	InFlight int         // requests under way at once; 4 unless set
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
	// cautiousInFlight is how many requests are under way at most, until the
	// server has been seen to obey offset.
	cautiousInFlight = 8
	// A page that waits for those before it holds queueLength times batchBytes
	// of JSON, decoded; then its body is read no further. With one request in
	// flight no page waits, and a short queue keeps memory small.
	batchBytes       = 64 << 10
	queueLength      = 64
	shortQueueLength = 4
)

// All lists every source that the filter lets through, in the order in which
// the server answers them, page after page. Pages are fetched ahead, InFlight
// at a time, and decoded as they arrive; no more than a few MB of each are held
// in memory. Ranging over the result again lists again. Leaving the loop ends
// the requests under way. An error is yielded once, as the last thing, with a
// nil source.
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
			seen: make(map[SSID]int), underWay: make(map[int]*page),
		}
		var stop context.CancelFunc
		l.ctx, stop = context.WithCancel(ctx)
		defer l.workers.Wait()
		defer stop()
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
	client   *Client
	params   AllParams
	yield    func(*Source, error) bool
	queue    int           // how many batches of a page may wait
	seen     map[SSID]int  // by the number of the request that told the source
	requests int           // so far
	settling bool          // everything was asked for at once
	underWay map[int]*page // by offset
	workers  sync.WaitGroup
}

// page is one request and what it answers.
type page struct {
	number  int // of the request
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
	limit, inFlight := l.params.PageSize, l.params.InFlight
	if limit < 0 || inFlight < 0 {
		return l.fail(fmt.Sprintf("PageSize %d and InFlight %d cannot be negative", limit, inFlight), ErrInvalid)
	}
	if limit == 0 {
		limit = defaultPageSize
	}
	if inFlight == 0 {
		inFlight = defaultInFlight
	}
	if l.queue = queueLength; inFlight == 1 {
		l.queue = shortQueueLength
	}
	var (
		offset = 0
		stride = limit // from page to page; less where the server answers fewer than asked
		width  = 1     // how many pages to have under way
		short  = -1    // the offset of the page before, where that was short
		beyond = -1    // an offset that had sources where an earlier one had none
		before tally   // of the page before
	)
	for {
		for i := range width {
			l.start(offset+i*stride, limit)
		}
		got, err := l.consume(offset)
		if err != nil {
			return err
		}
		switch {
		case got.sources == 0 && beyond >= 0:
			// Asked twice, this page is empty: the account has shrunk, or the
			// server contradicts itself.
			l.start(beyond, limit)
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
			width = min(inFlight, cautiousInFlight)
		case got.sources == stride:
			width = min(inFlight, 2*width)
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
	l.start(0, 0)
	got, err := l.consume(0)
	if err != nil {
		return err
	}
	if got.distinct == len(l.seen) && got.sources == limit {
		// As many as a page holds: is that all, or all at a time?
		l.start(0, 1)
		if got, err = l.consume(0); err != nil {
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

// start requests the page at an offset, unless that is under way. A limit of 0
// asks for all.
func (l *listing) start(offset, limit int) {
	if l.underWay[offset] != nil {
		return
	}
	l.requests++
	p := &page{number: l.requests, batches: make(chan batch, l.queue)}
	l.underWay[offset] = p
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(l.ctx)
	l.workers.Go(func() {
		defer p.cancel()
		defer close(p.batches)
		p.err = l.fetch(ctx, p, ListParams{Filter: l.params.Filter, Limit: limit, Offset: offset})
	})
}

// fetch carries out a page's request and hands over its sources, what one read
// brought before the next.
func (l *listing) fetch(ctx context.Context, p *page, params ListParams) error {
	attempts := 0
	return l.client.do(ctx, call{operation: gen.OperationListSources, path: "/sources", query: params.query(), read: func(body io.Reader) error {
		out := handover{ctx: ctx, body: body, batches: p.batches, next: batch{again: attempts > 0}}
		attempts++
		err := streamSources(&out, func(source *Source) error {
			if source.ID == "" {
				return fmt.Errorf("source %d of the answer has no id", out.count+1)
			}
			out.count++
			out.next.sources = append(out.next.sources, source)
			return nil
		})
		return errors.Join(err, out.flush())
	}})
}

// handover reads a body, and before it does hands over what was decoded.
type handover struct {
	ctx     context.Context
	body    io.Reader
	batches chan<- batch
	next    batch
	bytes   int // read since the last batch
	count   int // the sources so far
}

func (h *handover) Read(p []byte) (int, error) {
	// A consumer that waits gets what there is; else batches are not too small.
	if h.bytes >= batchBytes || len(h.batches) == 0 {
		if err := h.flush(); err != nil {
			return 0, err
		}
	}
	n, err := h.body.Read(p)
	h.bytes += n
	return n, err
}

func (h *handover) flush() error {
	if len(h.next.sources) == 0 && !h.next.again {
		return nil
	}
	select {
	case h.batches <- h.next:
		h.next = batch{sources: make([]*Source, 0, len(h.next.sources)+8)}
		h.bytes = 0
		return nil
	case <-h.ctx.Done():
		return context.Cause(h.ctx)
	}
}

// consume yields the page at an offset, which is under way.
func (l *listing) consume(offset int) (got tally, err error) {
	p := l.underWay[offset]
	delete(l.underWay, offset)
	defer p.cancel()
	var repeated []SSID
	again := false
	for b := range p.batches {
		if l.ctx.Err() != nil {
			e := l.fail("the caller ended it: " + l.ctx.Err().Error())
			e.cause = ended(l.ctx)
			return got, e
		}
		if b.again {
			again, got.sources = true, 0
		}
		for _, source := range b.sources {
			got.sources++
			number, known := l.seen[source.ID]
			if number != p.number {
				l.seen[source.ID] = p.number
				got.distinct++
			} else if again {
				continue // it came before the answer broke off
			}
			if known {
				repeated = append(repeated, source.ID)
				continue
			}
			got.fresh++
			if !l.yield(source, nil) {
				return got, errStopped
			}
		}
	}
	if got.fresh > 0 && !l.settling { // else the page is not offset's, or it is everything
		for _, id := range repeated {
			l.drift(Drift{Kind: "repeated", ID: id, Offset: offset})
		}
	}
	return got, p.err
}

// sourcesUnderWay is the offset of the first page under way that has sources,
// or -1.
func (l *listing) sourcesUnderWay() int {
	for _, offset := range slices.Sorted(maps.Keys(l.underWay)) {
		for b := range l.underWay[offset].batches {
			if len(b.sources) > 0 {
				return offset
			}
		}
	}
	return -1
}

// drop gives up the pages under way.
func (l *listing) drop() {
	for _, p := range l.underWay {
		p.cancel()
	}
	clear(l.underWay)
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
