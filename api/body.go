package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	// net/http could decompress, but a whole gzipped listing then takes a quarter
	// more CPU (1.23 and 1.25 times as much, medians of 15 pairs each, in which the
	// server's part is counted too). And a gzip bomb is told early only by what came
	// over the wire.
	"github.com/klauspost/compress/gzip"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// limits say how long a server may take, whatever the transport, and how large
// its answers may be, in bytes after decompression. They are smaller in tests.
type limits struct {
	answer, stall, tail time.Duration
	list, create, other int64
}

var defaultLimits = limits{
	answer: 60 * time.Second, // for an answer to begin, and for each next part of a request to be taken
	stall:  30 * time.Second, // of waiting for each stallBytes of an answer
	tail:   5 * time.Second,  // for what is not needed: an error's body, bytes after an answer
	list:   4 << 30,          // 100,000 sources with their boundaries are about a third of a GB
	create: 1 << 30,          // the sources that one POST created
	other:  maxSourceBytes,
}

const (
	stallBytes     = 16 << 10
	maxSourceBytes = 64 << 20 // one source
	maxErrorBytes  = 64 << 10 // an error's body; what is longer is cut, not refused
	// How many times an answer may grow by decompression, once it is larger than
	// that: lists reach some 20, a gzip bomb 1,000.
	maxExpansion  = 256
	freeExpansion = 16 << 20
)

// of is how large the answer of an operation may be.
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

// answerWait ends an attempt whose answer does not begin, by cancelling its
// context: the only way that holds for every transport.
type answerWait struct {
	timer *time.Timer
	limit time.Duration
	begun atomic.Bool // the answer has: what is still read of the request does not matter
}

func newAnswerWait(limit time.Duration, cancel context.CancelCauseFunc) *answerWait {
	w := &answerWait{limit: limit}
	w.timer = time.AfterFunc(limit, func() {
		if !w.begun.Load() {
			cancel(limitError("no answer within " + limit.String()))
		}
	})
	return w
}

func (w *answerWait) end() {
	w.begun.Store(true)
	w.timer.Stop()
}

// requestBody begins the wait for an answer anew with each part that the server
// takes.
type requestBody struct {
	io.Reader
	wait *answerWait
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.wait.timer.Reset(b.wait.limit)
	return b.Reader.Read(p)
}

func (b *requestBody) Close() error { return nil }

// wireBody is an answer's body as it comes from the server: counted, and cut off
// when it comes too slowly. Only the time spent waiting in Read counts, so a slow
// consumer is no slow server.
type wireBody struct {
	io.Reader
	timer    *time.Timer // ends the attempt
	stall    time.Duration
	patience time.Duration // that is left for the next missing bytes
	missing  int64
	n        int64
	waited   time.Duration
	err      error // the first, io.EOF included
}

func (b *wireBody) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	b.timer.Reset(b.patience)
	start := time.Now()
	n, b.err = b.Reader.Read(p)
	b.timer.Stop()
	took := time.Since(start)
	b.waited += took
	b.patience -= took
	b.n += int64(n)
	if b.missing -= int64(n); b.missing <= 0 {
		b.patience, b.missing = b.stall, stallBytes
	}
	return n, b.err
}

// answerBody is an answer's body decompressed and capped.
type answerBody struct {
	wire    wireBody
	content io.Reader // nil: gzip that is not opened yet
	tail    time.Duration
	max     int64
	n       int64
	err     error // the first, io.EOF included
}

// newAnswerBody prepares the reading of response, which was asked for in gzip.
func newAnswerBody(response *http.Response, cancel context.CancelCauseFunc, l *limits, operation string) *answerBody {
	b := &answerBody{tail: l.tail, max: l.of(operation)}
	b.wire = wireBody{Reader: response.Body, stall: l.stall, patience: l.stall, missing: stallBytes}
	b.wire.timer = time.AfterFunc(math.MaxInt64, func() {
		cancel(limitError(fmt.Sprintf("the answer stalled: less than %d bytes in %s", stallBytes, l.stall)))
	})
	b.wire.timer.Stop() // until there is something to wait for
	switch encoding := strings.ToLower(strings.TrimSpace(response.Header.Get("Content-Encoding"))); {
	case response.Uncompressed || encoding == "" || encoding == "identity":
		b.content = &b.wire
	case encoding != "gzip" && encoding != "x-gzip":
		b.err = fmt.Errorf("it is encoded as %q, which was not asked for", safehttp.Line(encoding, 40))
	}
	return b
}

func (b *answerBody) Read(p []byte) (n int, err error) {
	if b.content == nil && b.err == nil {
		b.content, b.err = gzip.NewReader(&b.wire)
	}
	if b.err != nil {
		return 0, b.err
	}
	n, b.err = b.content.Read(p)
	switch b.n += int64(n); {
	case b.n > b.max:
		n, b.err = 0, fmt.Errorf("%w: more than %d bytes", errAnswerTooLarge, b.max)
	case b.n > freeExpansion && b.n/maxExpansion > b.wire.n:
		n, b.err = 0, fmt.Errorf("%w: it grows more than %d times when decompressed", errAnswerTooLarge, maxExpansion)
	}
	return n, b.err
}

// broken returns what went wrong on the way, and not with the content.
func (b *answerBody) broken() error {
	if b.wire.err == io.EOF {
		return nil
	}
	return b.wire.err
}

// head reads the beginning of a body that is kept for an error.
func (b *answerBody) head(size int) []byte {
	b.wire.patience, b.wire.missing, b.max = b.tail, math.MaxInt64, math.MaxInt64
	body, _ := io.ReadAll(io.LimitReader(b, int64(size)))
	return body
}

// drain reads a little of what is left, so that the connection can be used
// again; what does not come soon is not worth the wait.
func (b *answerBody) drain() {
	b.wire.patience, b.wire.missing = min(b.tail, time.Second), math.MaxInt64
	_, _ = io.CopyN(io.Discard, &b.wire, 64<<10)
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
