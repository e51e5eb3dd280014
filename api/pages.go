package api

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/meti-go/meti/gen"
)

const (
	heldBytes  = 8 << 20 // of a page at most, in pieces that are used again
	pieceBytes = 256 << 10
)

var pieces = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, pieceBytes+bytes.MinRead)) }}

// pages asks for the pages of a listing, some of them ahead.
type pages struct {
	ctx    context.Context
	client *Client
	filter Filter

	ahead    map[int]*fetched // under way or arrived, by offset
	requests sync.WaitGroup
	sent     int  // requests so far
	large    bool // pages are too large to be held
}

// fetched is a page that is fetched ahead.
type fetched struct {
	body    []io.Reader // in pieces
	whole   bool        // else it is too large to be held
	arrived chan error  // is told how the call ended
	abandon context.CancelCauseFunc
}

// hold reads a body into memory, as much as may be held.
func (f *fetched) hold(body io.Reader) error {
	f.release() // what an attempt before this one left
	for len(f.body) < heldBytes/pieceBytes {
		piece := pieces.Get().(*bytes.Buffer)
		piece.Reset()
		f.body = append(f.body, piece)
		n, err := piece.ReadFrom(io.LimitReader(body, pieceBytes))
		if f.whole = n < pieceBytes; f.whole || err != nil {
			return err
		}
	}
	return nil
}

func (f *fetched) release() {
	for _, piece := range f.body {
		pieces.Put(piece)
	}
	f.body = nil
}

// ask is the call that asks for a page. A limit of 0 is none.
func (p *pages) ask(offset, limit int, read func(io.Reader) error) call {
	p.sent++
	query := ListParams{Filter: p.filter, Limit: limit, Offset: offset}.query()
	return call{operation: gen.OperationListSources, query: query, most: maxListBytes, read: read}
}

// fetch fetches a page ahead, unless that is under way.
func (p *pages) fetch(offset, limit int) {
	if p.ahead[offset] != nil {
		return
	}
	ctx, abandon := context.WithCancelCause(p.ctx)
	f := &fetched{arrived: make(chan error, 1), abandon: abandon}
	p.ahead[offset] = f
	page := p.ask(offset, limit, f.hold)
	p.requests.Go(func() { f.arrived <- p.client.do(ctx, page) })
}

// drop gives up the pages under way.
func (p *pages) drop() {
	for offset, f := range p.ahead {
		f.abandon(errAbandoned)
		delete(p.ahead, offset)
	}
}

// read has the page at offset decoded, and others fetched ahead meanwhile: width
// in all, each step behind the one before.
func (p *pages) read(offset, limit, width, step int, decode func(io.Reader) error) error {
	if !p.large {
		for i := range width {
			p.fetch(offset+i*step, limit)
		}
		f := p.ahead[offset]
		delete(p.ahead, offset)
		err := <-f.arrived
		f.abandon(nil)
		if err != nil {
			return err
		}
		if p.large = !f.whole; f.whole {
			if width > 1 {
				p.fetch(offset+width*step, limit)
			}
			err = decode(io.MultiReader(f.body...))
			f.release()
			if err == nil {
				return nil
			}
		}
		p.drop()
	}
	// Too large to be held, or unreadable: it is asked for again, and the loop judges it.
	return p.client.do(p.ctx, p.ask(offset, limit, decode))
}

// peek asks for one source, and gives what came.
func (p *pages) peek(offset int) ([]*Source, error) {
	p.sent++
	return p.client.Sources.List(p.ctx, ListParams{Filter: p.filter, Limit: 1, Offset: offset})
}
