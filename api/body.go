package api

import (
	"context"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"
	"time"

	// net/http could decompress, but a gzipped listing then takes a quarter more CPU
	// (medians of 15 pairs), and only what came over the wire tells a gzip bomb early.
	"github.com/klauspost/compress/gzip"

	"github.com/meti-go/meti/internal/safehttp"
)

// How long a server may take, and how large an answer may be once decompressed.
const (
	answerTime = 60 * time.Second // for an answer to begin, and for each next part of a request to be taken
	stallTime  = 30 * time.Second // of waiting for each stallBytes of an answer
	stallBytes = 16 << 10
	tailTime   = 5 * time.Second // for an error's body

	maxListBytes   = 4 << 30 // 100,000 sources with their boundaries are about a third of a GB
	maxCreateBytes = 1 << 30 // the sources that one POST created
	maxSourceBytes = 64 << 20
	maxErrorBytes  = 64 << 10 // an error's body; what is longer is cut, not refused
	maxExpansion   = 256      // times by decompression, where lists reach some 20 and a gzip bomb 1,000,
	freeExpansion  = 16 << 20 // once an answer is larger than that
)

// limitError ends an attempt by its context, which holds for every transport.
type limitError string

func (e limitError) Error() string { return string(e) }
func (e limitError) Timeout() bool { return true }

// requestBody begins the wait for the answer anew with each part that is taken.
type requestBody struct {
	io.ReadCloser
	wait *time.Timer
}

func (b requestBody) Read(p []byte) (int, error) {
	b.wait.Reset(answerTime)
	return b.ReadCloser.Read(p)
}

// wireBody is an answer's body as it comes from the server: counted, and cut off when
// it comes too slowly. Only waiting in Read counts: a slow consumer is no slow server.
type wireBody struct {
	io.Reader
	stalled  func()        // ends the attempt
	patience time.Duration // that is left for the next missing bytes
	missing  int64
	n        int64
	waited   time.Duration
	err      error // the first, io.EOF included
}

func (w *wireBody) Read(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.missing <= 0 {
		w.patience, w.missing = stallTime, stallBytes
	}
	start, timer := time.Now(), time.AfterFunc(w.patience, w.stalled)
	n, w.err = w.Reader.Read(p)
	timer.Stop()
	took := time.Since(start)
	w.waited += took
	w.patience -= took
	w.n += int64(n)
	w.missing -= int64(n)
	return n, w.err
}

// within bounds the wait for all that is left.
func (w *wireBody) within(d time.Duration) { w.patience, w.missing = d, math.MaxInt64 }

// answer is what a server answered. It reads as its body, decompressed and capped.
type answer struct {
	*http.Response
	kind    string // media type, "" where none is stated
	wire    wireBody
	content io.Reader // nil: gzip that is not opened yet
	most, n int64
	err     error // the first, io.EOF included
}

// newAnswer is a response whose body may have that many bytes.
func newAnswer(response *http.Response, most int64, cancel context.CancelCauseFunc) *answer {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	a := &answer{Response: response, kind: kind, most: most}
	a.wire = wireBody{Reader: response.Body, stalled: func() {
		cancel(limitError(fmt.Sprintf("the answer stalled: less than %d bytes in %s", stallBytes, stallTime)))
	}}
	switch encoding := strings.ToLower(strings.TrimSpace(response.Header.Get("Content-Encoding"))); {
	case response.Uncompressed || encoding == "" || encoding == "identity":
		a.content = &a.wire
	case encoding != "gzip" && encoding != "x-gzip":
		a.err = fmt.Errorf("it is encoded as %q, which was not asked for", safehttp.Line(encoding, 40))
	}
	return a
}

func (a *answer) Read(p []byte) (n int, err error) {
	if a.content == nil && a.err == nil {
		a.content, a.err = gzip.NewReader(&a.wire)
	}
	if a.err != nil {
		return 0, a.err
	}
	n, a.err = a.content.Read(p)
	switch a.n += int64(n); {
	case a.n > a.most:
		n, a.err = 0, fmt.Errorf("answer too large: more than %d bytes", a.most)
	case a.n > freeExpansion && a.n/maxExpansion > a.wire.n:
		n, a.err = 0, fmt.Errorf("answer too large: it grows more than %d times when decompressed", maxExpansion)
	}
	return n, a.err
}

// drain reads a little of what is left, so that the connection can be used again.
func (a *answer) drain() {
	a.wire.within(time.Second)
	_, _ = io.CopyN(io.Discard, &a.wire, 64<<10)
}
