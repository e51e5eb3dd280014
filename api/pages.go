package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

const (
	chunkBytes = 256 << 10
	heldBytes  = 8 << 20 // that are held of a page at most
)

type chunk [chunkBytes]byte

var spareChunks = sync.Pool{New: func() any { return new(chunk) }}

// held is a body in memory. Reading it gives the memory back.
type held struct {
	chunks   []*chunk
	from, to int // what is held, counted from the beginning of the first chunk
}

// fill reads a body, and reports whether it is whole.
func (h *held) fill(body io.Reader) (whole bool, err error) {
	h.release() // what an attempt before this one left
	for {
		if h.to == len(h.chunks)*chunkBytes {
			if h.to == heldBytes {
				*h = held{} // for the garbage collector: so much is not soon needed again
				return false, nil
			}
			h.chunks = append(h.chunks, spareChunks.Get().(*chunk))
		}
		n, err := body.Read(h.chunks[len(h.chunks)-1][h.to%chunkBytes:])
		h.to += n
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func (h *held) Read(p []byte) (int, error) {
	if h.from == h.to {
		return 0, io.EOF
	}
	n := copy(p, h.chunks[0][h.from:min(h.to, chunkBytes)])
	if h.from += n; h.from == chunkBytes {
		spareChunks.Put(h.chunks[0])
		h.chunks, h.from, h.to = h.chunks[1:], 0, h.to-chunkBytes
	}
	return n, nil
}

func (h *held) release() {
	for _, chunk := range h.chunks {
		spareChunks.Put(chunk)
	}
	*h = held{}
}

// fetched is a page that is fetched ahead.
type fetched struct {
	held
	abandon context.CancelCauseFunc
	arrived chan struct{} // closed then
	whole   bool          // else it is too large to be held
	err     error
}

// pages asks for the pages of a listing, some of them ahead.
type pages struct {
	ctx    context.Context
	client *Client
	filter Filter
	begin  func()              // told that a page begins, or begins anew after its answer broke off
	take   func(*Source) error // gets each source; an error of it ends the page

	ahead    map[int]*fetched // under way or arrived, by offset
	requests sync.WaitGroup
	sent     int  // requests so far
	large    bool // pages are too large to be held
}

// request asks for one page. A limit of 0 is none.
func (p *pages) request(ctx context.Context, offset, limit int, read func(io.Reader) error) error {
	params := ListParams{Filter: p.filter, Limit: limit, Offset: offset}
	return p.client.do(ctx, call{operation: gen.OperationListSources, query: params.query(), most: maxListBytes, read: read})
}

// fetch fetches a page ahead, unless that is under way.
func (p *pages) fetch(offset, limit int) {
	if p.ahead[offset] != nil {
		return
	}
	ctx, abandon := context.WithCancelCause(p.ctx)
	f := &fetched{abandon: abandon, arrived: make(chan struct{})}
	p.ahead[offset] = f
	p.sent++
	p.requests.Go(func() {
		defer close(f.arrived)
		f.err = p.request(ctx, offset, limit, func(body io.Reader) (err error) {
			f.whole, err = f.fill(body)
			return err
		})
	})
}

// drop gives up the pages under way.
func (p *pages) drop() {
	for offset, f := range p.ahead {
		f.abandon(errAbandoned)
		delete(p.ahead, offset)
	}
}

// read reads the page at offset, and has others fetched ahead meanwhile: width
// in all, each step behind the one before.
func (p *pages) read(offset, limit, width, step int) error {
	if p.large {
		return p.stream(offset, limit)
	}
	for i := range width {
		p.fetch(offset+i*step, limit)
	}
	f := p.ahead[offset]
	delete(p.ahead, offset)
	<-f.arrived
	f.abandon(nil)
	defer f.release()
	switch {
	case f.err != nil:
		return f.err
	case !f.whole:
		p.large = true
		p.drop()
		return p.stream(offset, limit)
	case width > 1:
		p.fetch(offset+width*step, limit)
	}
	taken, err := p.sources(f)
	switch {
	case taken != nil, err == nil:
		return taken
	case p.ctx.Err() != nil:
		return newError(gen.OperationListSources, "the caller ended it: "+p.ctx.Err().Error(), safehttp.Ended(p.ctx))
	}
	return p.stream(offset, limit) // it cannot be read: again, where the request loop judges it
}

// stream reads the page at offset as it arrives.
func (p *pages) stream(offset, limit int) error {
	p.sent++
	var taken error
	err := p.request(p.ctx, offset, limit, func(body io.Reader) (err error) {
		if taken, err = p.sources(body); taken != nil {
			return nil
		}
		return err
	})
	return cmp.Or(taken, err)
}

// sources reads a page. It tells the error of take from that of the body.
func (p *pages) sources(body io.Reader) (taken, err error) {
	p.begin()
	err = streamSources(body, func(source *Source) error {
		switch {
		case p.ctx.Err() != nil:
			return context.Cause(p.ctx)
		case source.ID == "": // it could not be told from others
			return errors.New("a source of the answer has no id")
		}
		taken = p.take(source)
		return taken
	})
	return taken, err
}

// peek asks for one source, and tells which came first, and how many came.
func (p *pages) peek(offset int) (first SSID, count int, err error) {
	p.sent++
	err = p.request(p.ctx, offset, 1, func(body io.Reader) error {
		count = 0
		return streamSources(body, func(source *Source) error {
			if count++; count == 1 {
				first = source.ID
			}
			return nil
		})
	})
	return first, count, err
}
