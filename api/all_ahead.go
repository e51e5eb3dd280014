package api

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"sync"
)

const (
	chunkBytes = 256 << 10
	// aheadChunks is how much of all bodies together is read ahead of decoding:
	// 10 MB, so some three pages of 1,000 sources.
	aheadChunks = 40
	// aheadDecoded is how many pages are decoded ahead, or being so. With the
	// one that is awaited that is work for three processors.
	aheadDecoded = 2
)

// turns are a number of things that pages may have or do at once. The page that
// is yielded first gets the next one.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting map[int]chan struct{} // by the page's number
}

func newTurns(n int) *turns {
	return &turns{free: n, waiting: make(map[int]chan struct{})}
}

// ask queues up for a turn, which has come when the channel is closed.
func (t *turns) ask(number int) <-chan struct{} {
	turn := make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 {
		t.free--
		close(turn)
	} else {
		t.waiting[number] = turn
	}
	return turn
}

// give ends a turn, for the next one.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.free++
		return
	}
	first := slices.Min(slices.Collect(maps.Keys(t.waiting)))
	close(t.waiting[first])
	delete(t.waiting, first)
}

// pass lets a page through that has asked, and counts it no longer.
func (t *turns) pass(number int) {
	t.mu.Lock()
	turn := t.waiting[number]
	delete(t.waiting, number)
	t.mu.Unlock()
	if turn != nil {
		close(turn)
	} else {
		t.give()
	}
}

type chunk [chunkBytes]byte

var spareChunks = sync.Pool{New: func() any { return new(chunk) }}

// readAhead is a body of which the beginning, or all, has been read already, so
// that the next request need not wait until it is decoded.
type readAhead struct {
	body  io.Reader
	turns *turns   // each for a chunk
	held  []*chunk // in order
	read  int      // of the first chunk
	size  int      // of what is held and was not read
	err   error    // what body said at last
}

// fill reads until the body ends. Where no memory is left the page waits for
// some, unless its turn has come to be decoded.
func (a *readAhead) fill(ctx context.Context, number int, turn <-chan struct{}) {
	for a.err == nil {
		if a.size == len(a.held)*chunkBytes {
			if !a.another(ctx, number, turn) {
				return
			}
			a.held = append(a.held, spareChunks.Get().(*chunk))
		}
		var n int
		n, a.err = a.body.Read(a.held[len(a.held)-1][a.size%chunkBytes:])
		a.size += n
	}
}

// another waits for a turn to hold one more chunk.
func (a *readAhead) another(ctx context.Context, number int, turn <-chan struct{}) bool {
	granted := a.turns.ask(number)
	select {
	case <-granted:
		return true
	default:
	}
	select {
	case <-granted:
		return true
	case <-turn:
	case <-ctx.Done():
	}
	a.turns.pass(number)
	return false
}

// empty tells a list without sources.
func (a *readAhead) empty() bool {
	if len(a.held) != 1 {
		return false
	}
	list := bytes.TrimSpace(a.held[0][:a.size])
	return string(list) == "[]" || string(list) == "null"
}

func (a *readAhead) Read(p []byte) (int, error) {
	if len(a.held) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		return a.body.Read(p)
	}
	n := copy(p, a.held[0][a.read:min(a.read+a.size, chunkBytes)])
	a.read += n
	a.size -= n
	if a.read == chunkBytes || a.size == 0 {
		a.drop()
	}
	return n, nil
}

// drop gives back the first chunk.
func (a *readAhead) drop() {
	spareChunks.Put(a.held[0])
	a.held = a.held[1:]
	a.read = 0
	a.turns.give()
}

func (a *readAhead) release() {
	for len(a.held) > 0 {
		a.drop()
	}
}
