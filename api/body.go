package api

import (
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	// Its gzip takes about a fifth less of the CPU of a whole gzipped listing than
	// net/http's (0.81 to 0.84 of it, medians of 11 listings each), and with the
	// size on the wire a gzip bomb is told before it is unpacked. Its errors are
	// those of compress/gzip.
	"github.com/klauspost/compress/gzip"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// limits say how long a server may take, whatever the transport, and how large
// its answers may be, in bytes after decompression. They are smaller in tests.
type limits struct {
	answer     time.Duration // for an answer to begin, and for each next part of a request to be taken
	stall      time.Duration // of waiting for each stallBytes of an answer
	stallBytes int64
	tail       time.Duration // for what is not needed: an error's body, bytes after an answer
	list       int64         // 100,000 sources with their boundaries are about a third of a GB
	create     int64         // the sources that one POST created
	other      int64
	expansion  int64 // how many times an answer may grow by decompression; lists reach some 20, a gzip bomb 1,000
	free       int64 // how large it may grow all the same
}

var defaultLimits = limits{
	answer: 60 * time.Second, stall: 30 * time.Second, stallBytes: 16 << 10, tail: 5 * time.Second,
	list: 4 << 30, create: 1 << 30, other: maxSourceBytes, expansion: 256, free: 16 << 20,
}

const (
	maxSourceBytes = 64 << 20 // one source
	maxErrorBytes  = 64 << 10 // an error's body; what is longer is cut, not refused
)

func (l *limits) of(operation string) int64 {
	switch operation {
	case gen.OperationListSources.ID:
		return l.list
	case gen.OperationCreateSources.ID:
		return l.create
	}
	return l.other
}

// limitError says that a limit of this package ended an attempt.
type limitError string

func (e limitError) Error() string { return string(e) }
func (e limitError) Timeout() bool { return true }

var errAnswerTooLarge = errors.New("answer too large")

// deadline ends an attempt that waits too long for the server, by cancelling
// its context: the only way that holds for every transport.
type deadline struct {
	cancel context.CancelCauseFunc
	mu     sync.Mutex
	timer  *time.Timer
	reason string
	begun  bool // the answer has
}

func newDeadline(cancel context.CancelCauseFunc) *deadline {
	d := &deadline{cancel: cancel}
	d.timer = time.AfterFunc(time.Hour, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.cancel(limitError(d.reason))
	})
	return d
}

// renew starts the wait for the server anew. What a transport still reads of
// the request once the answer has begun is not waited for.
func (d *deadline) renew(wait time.Duration, answer bool, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if answer || !d.begun {
		d.reason = reason
		d.timer.Reset(wait)
	}
}

func (d *deadline) answered() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun = true
	d.timer.Stop()
}

// requestBody gives the server the time for an answer to begin anew with each
// part that it takes.
type requestBody struct {
	io.Reader
	taken func()
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.taken()
	return b.Reader.Read(p)
}

func (b *requestBody) Close() error { return nil }

// wire is an answer's body as it comes from the server: counted, and cut off
// when it comes too slowly. What is measured is the time spent waiting in Read,
// so a slow consumer is no slow server.
type wireBody struct {
	io.Reader
	*deadline
	*limits
	n       int64
	waited  time.Duration // in all
	window  time.Duration // waited for less than stallBytes
	arrived int64         // of them
	err     error
}

func (b *wireBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	b.renew(b.stall-b.window, true, fmt.Sprintf("the answer stalled: less than %d bytes in %s", b.stallBytes, b.stall))
	start := time.Now()
	n, err := b.Reader.Read(p)
	took := time.Since(start)
	b.timer.Stop()
	b.err = err
	b.waited += took
	b.window += took
	b.n += int64(n)
	if b.arrived += int64(n); b.arrived >= b.stallBytes {
		b.window, b.arrived = 0, 0
	}
	return n, err
}

// hurry allows the rest no more than so long.
func (b *wireBody) hurry(d time.Duration) {
	own := *b.limits
	own.stall, own.stallBytes = d, math.MaxInt64
	b.limits, b.window, b.arrived = &own, 0, 0
}

// answerBody is an answer's body decompressed and capped.
type answerBody struct {
	wire     wireBody
	unzipper *unzipper // nil: not compressed
	max      int64
	n        int64
	err      error // the first, io.EOF included
}

// unzipper is kept between answers: its window and buffer are 70 KB.
type unzipper struct {
	buffer bufio.Reader
	gzip   gzip.Reader
	opened bool
}

func (u *unzipper) Read(p []byte) (int, error) {
	if !u.opened {
		if err := u.gzip.Reset(&u.buffer); err != nil {
			return 0, err
		}
		u.opened = true
	}
	return u.gzip.Read(p)
}

var unzippers = sync.Pool{New: func() any { return &unzipper{buffer: *bufio.NewReaderSize(nil, 32<<10)} }}

// newAnswerBody prepares the reading of response, which was asked for in gzip.
func newAnswerBody(response *http.Response, d *deadline, l *limits, max int64) (*answerBody, error) {
	b := &answerBody{max: max, wire: wireBody{Reader: response.Body, deadline: d, limits: l}}
	encoding := strings.ToLower(strings.TrimSpace(response.Header.Get("Content-Encoding")))
	switch {
	case response.Uncompressed || encoding == "" || encoding == "identity":
	case encoding == "gzip" || encoding == "x-gzip":
		b.unzipper = unzippers.Get().(*unzipper)
		b.unzipper.buffer.Reset(&b.wire)
		b.unzipper.opened = false
	default:
		return b, fmt.Errorf("it is encoded as %q, which was not asked for", safehttp.Line(encoding, 40))
	}
	return b, nil
}

func (b *answerBody) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.unzipper == nil {
		n, err = b.wire.Read(p)
	} else {
		n, err = b.unzipper.Read(p)
	}
	l := b.wire.limits
	switch b.n += int64(n); {
	case b.n > b.max:
		n, err = 0, fmt.Errorf("%w: more than %d bytes", errAnswerTooLarge, b.max)
	case b.unzipper != nil && b.n > l.free && b.n/l.expansion > b.wire.n:
		n, err = 0, fmt.Errorf("%w: it grows more than %d times when decompressed", errAnswerTooLarge, l.expansion)
	}
	b.err = err
	return n, err
}

// broken returns what went wrong on the way, and not with the content.
func (b *answerBody) broken() error {
	var input flate.CorruptInputError
	if b.err == io.EOF || errors.Is(b.err, errAnswerTooLarge) || errors.Is(b.err, gzip.ErrHeader) || errors.Is(b.err, gzip.ErrChecksum) || errors.As(b.err, &input) {
		return nil
	}
	return b.err
}

// head reads the beginning of a body that is kept for an error.
func (b *answerBody) head(size int) []byte {
	b.wire.hurry(b.wire.tail)
	b.max = math.MaxInt64
	body, _ := io.ReadAll(io.LimitReader(b, int64(size)))
	return body
}

// drain reads a little of what is left, so that the connection can be used
// again; what does not come soon is not worth the wait.
func (b *answerBody) drain() {
	if b.wire.err == nil {
		b.wire.hurry(min(b.wire.tail, time.Second))
		_, _ = io.CopyN(io.Discard, &b.wire, 64<<10)
	}
}

// release gives back the decompressor.
func (b *answerBody) release() {
	if u := b.unzipper; u != nil {
		b.unzipper, b.err = nil, http.ErrBodyReadAfterClose
		u.buffer.Reset(nil)
		unzippers.Put(u)
	}
}

// mediaType returns the type of an answer's content, "" where none is stated.
func mediaType(header http.Header) string {
	text := header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(text)
	if err != nil {
		kind, _, _ = strings.Cut(text, ";")
	}
	return safehttp.Line(strings.ToLower(strings.TrimSpace(kind)), 60)
}

// isJSON tells the types that JSON is sent under. An answer without a type is
// read as JSON: if it is something else, that shows.
func isJSON(kind string) bool {
	return kind == "" || kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")
}
