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

	"github.com/klauspost/compress/gzip" // whose errors are those of compress/gzip

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// How long a server may take, whatever the transport.
const (
	// ConnectTimeout bounds reaching the server, and again the TLS handshake,
	// on the default transport.
	ConnectTimeout = safehttp.ConnectTimeout
	// AnswerTimeout bounds the wait for an answer to begin, and each wait for
	// the server to take more of a request. See [WithAnswerTimeout].
	AnswerTimeout = 60 * time.Second
	// StallTimeout bounds the wait for each 16 KiB of an answer. The time that
	// the consumer of the answer takes is not counted.
	StallTimeout = 30 * time.Second
)

// How large an answer may be, in bytes after decompression.
const (
	MaxListBytes   = 4 << 30  // a list; 100,000 sources with their boundaries are about a third of a GB
	MaxCreateBytes = 1 << 30  // the sources that one POST created
	MaxSourceBytes = 64 << 20 // one source
	MaxErrorBytes  = 64 << 10 // an error's body; what is longer is cut, not refused
)

// maxExpansion is how many times larger than what came over the wire an answer
// may become, beyond expansionFree. Lists of sources reach some 20; a gzip bomb
// reaches about 1,000.
const (
	maxExpansion  = 256
	expansionFree = 16 << 20
)

// limits are the bounds above, smaller in tests.
type limits struct {
	answer     time.Duration
	stall      time.Duration
	stallBytes int64
	tail       time.Duration // for what is not needed: an error's body, bytes after an answer
	list       int64
	create     int64
	source     int64
	free       int64
}

var defaultLimits = limits{
	answer:     AnswerTimeout,
	stall:      StallTimeout,
	stallBytes: 16 << 10,
	tail:       5 * time.Second,
	list:       MaxListBytes,
	create:     MaxCreateBytes,
	source:     MaxSourceBytes,
	free:       expansionFree,
}

func (l *limits) of(operation string) int64 {
	switch operation {
	case gen.OperationListSources.ID:
		return l.list
	case gen.OperationCreateSources.ID:
		return l.create
	}
	return l.source
}

// timeoutError says that a limit of this package ended an attempt.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }
func (e *timeoutError) Timeout() bool { return true }

var (
	errTooLarge = errors.New("answer too large")
	errBomb     = fmt.Errorf("%w: it grows more than %d times when decompressed", errTooLarge, maxExpansion)
)

// watch ends an attempt that waits too long for the server, by cancelling the
// attempt's context: the only way that holds for every transport.
type watch struct {
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	answer  time.Duration
	started bool    // the answer has begun
	reading *limits // of the answer
}

func newWatch(cancel context.CancelCauseFunc, answer time.Duration) *watch {
	w := &watch{cancel: cancel, answer: answer}
	w.timer = time.AfterFunc(answer, w.expire)
	return w
}

func (w *watch) expire() {
	w.mu.Lock()
	reading := w.reading
	w.mu.Unlock()
	text := fmt.Sprintf("no answer within %s", w.answer)
	if reading != nil {
		text = fmt.Sprintf("the answer stalled: less than %d bytes in %s", reading.stallBytes, reading.stall)
	}
	w.cancel(&timeoutError{text})
}

// sending is told that the server takes the request's body.
func (w *watch) sending() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.started {
		w.timer.Reset(w.answer)
	}
}

// begun is told that the answer has begun: nothing is waited for until arm.
func (w *watch) begun() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = true
	w.timer.Stop()
}

// arm bounds one read of the answer.
func (w *watch) arm(d time.Duration, reading *limits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading = reading
	w.timer.Reset(d)
}

func (w *watch) stop() { w.timer.Stop() }

// upload is a request's body.
type upload struct {
	rest  []byte
	watch *watch
}

func (u *upload) Read(p []byte) (int, error) {
	u.watch.sending()
	if len(u.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

func (u *upload) Close() error { return nil }

// stream reads an answer's body as it comes from the server: counted, and cut off
// when it comes too slowly. What is measured is the time spent waiting in Read,
// so a slow consumer is no slow server.
type stream struct {
	body    io.Reader
	watch   *watch
	limits  *limits
	n       int64
	waited  time.Duration // in all
	window  time.Duration // waited for less than stallBytes
	arrived int64         // of them
	err     error
}

func (r *stream) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	r.watch.arm(r.limits.stall-r.window, r.limits)
	start := time.Now()
	n, err := r.body.Read(p)
	r.watch.stop()
	took := time.Since(start)
	r.waited += took
	r.n += int64(n)
	r.window += took
	r.arrived += int64(n)
	if r.arrived >= r.limits.stallBytes {
		r.window, r.arrived = 0, 0
	}
	r.err = err
	return n, err
}

// answer reads an answer's body decompressed and capped.
type answer struct {
	stream stream
	gzip   *unzipper // nil: not compressed
	limit  int64
	free   int64
	n      int64
	err    error // the reader's own first error, io.EOF included
}

// unzipper is kept between answers: its window and buffer are 70 KB.
type unzipper struct {
	buffer bufio.Reader
	gzip   gzip.Reader
	opened bool
}

var unzippers = sync.Pool{New: func() any {
	u := new(unzipper)
	u.buffer = *bufio.NewReaderSize(nil, 32<<10)
	return u
}}

// newAnswer prepares the reading of response. The request asks for gzip by
// itself, so that net/http does not decompress: there the size on the wire,
// which tells a gzip bomb, would be lost.
func newAnswer(response *http.Response, w *watch, l *limits, limit int64) (*answer, error) {
	a := &answer{limit: limit, free: l.free, stream: stream{body: response.Body, watch: w, limits: l}}
	if response.Uncompressed { // by a transport of the caller's
		return a, nil
	}
	switch encoding := strings.ToLower(strings.TrimSpace(response.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		a.gzip = unzippers.Get().(*unzipper)
		a.gzip.buffer.Reset(&a.stream)
		a.gzip.opened = false
	default:
		return a, fmt.Errorf("it is encoded as %q, which was not asked for", printable(encoding, 40))
	}
	return a, nil
}

func (a *answer) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.read(p)
	a.n += int64(n)
	switch {
	case a.n > a.limit:
		n, err = 0, fmt.Errorf("%w: more than %d bytes", errTooLarge, a.limit)
	case a.gzip != nil && a.n > a.free && a.n/maxExpansion > a.stream.n:
		n, err = 0, errBomb
	}
	a.err = err
	return n, err
}

func (a *answer) read(p []byte) (int, error) {
	if a.gzip == nil {
		return a.stream.Read(p)
	}
	if !a.gzip.opened {
		if err := a.gzip.gzip.Reset(&a.gzip.buffer); err != nil {
			return 0, err
		}
		a.gzip.opened = true
	}
	return a.gzip.gzip.Read(p)
}

// release gives back the decompressor.
func (a *answer) release() {
	if u := a.gzip; u != nil {
		a.gzip, a.err = nil, errors.Join(a.err, http.ErrBodyReadAfterClose)
		u.buffer.Reset(nil)
		unzippers.Put(u)
	}
}

// failed returns what went wrong on the way, and not with the content: nil
// after a body that came whole.
func (a *answer) failed() error {
	if a.err == io.EOF {
		return nil
	}
	return a.err
}

// drain reads a little of what is left, so that the connection can be used
// again; what does not come soon is not worth the wait.
func (a *answer) drain() {
	if a.stream.err != nil {
		return
	}
	short := *a.stream.limits
	short.stall, short.stallBytes = min(short.tail, time.Second), math.MaxInt64
	a.stream.limits, a.stream.window, a.stream.arrived = &short, 0, 0
	_, _ = io.CopyN(io.Discard, &a.stream, 64<<10)
}

// head reads the beginning of a body that is kept for an error: up to size
// bytes, and for a few seconds at most.
func (a *answer) head(size int) []byte {
	short := *a.stream.limits
	short.stall, short.stallBytes = short.tail, math.MaxInt64
	a.stream.limits, a.limit = &short, math.MaxInt64
	body, _ := io.ReadAll(io.LimitReader(a, int64(size)))
	return body
}

// corrupt tells a compressed body that is none, or is damaged.
func corrupt(err error) bool {
	var input flate.CorruptInputError
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &input)
}

// mediaType returns the type of an answer's content, "" where none is stated.
func mediaType(header http.Header) string {
	text := header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(text)
	if err != nil {
		kind, _, _ = strings.Cut(text, ";")
	}
	return printable(strings.ToLower(strings.TrimSpace(kind)), 60)
}

// isJSON tells the types that JSON is sent under. An answer without a type is
// read as JSON: if it is something else, that shows.
func isJSON(kind string) bool {
	return kind == "" || kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")
}
