package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// Values of headers that every request shares.
var (
	jsonHeader = []string{"application/json"}
	gzipHeader = []string{"gzip"}
)

// attempt makes one attempt. It leaves nothing open.
func (r *run) attempt(ctx context.Context) (o outcome) {
	start := time.Now()
	header := http.Header{"User-Agent": r.userAgent, "Accept": jsonHeader, "Accept-Encoding": gzipHeader}
	if r.body != nil {
		header["Content-Type"] = jsonHeader
	}
	who, failure := r.authorize(ctx, header)
	if failure != nil {
		return outcome{err: failure, Attempt: Attempt{Duration: time.Since(start)}}
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var trace connectionTrace
	request, err := http.NewRequestWithContext(trace.on(inner), r.operation.Method, r.address(), nil)
	if err != nil {
		return outcome{err: r.fail(0, err, ErrInvalid), Attempt: Attempt{Duration: time.Since(start)}}
	}
	request.Header = header
	wait := newAnswerWait(r.limits.answer, cancel)
	defer wait.end()
	if r.body != nil {
		request.ContentLength = int64(len(r.body))
		// For net/http, which sends a request again by itself only on another
		// connection than one that took none of it.
		request.GetBody = func() (io.ReadCloser, error) { return &requestBody{bytes.NewReader(r.body), wait}, nil }
		request.Body, _ = request.GetBody()
	}
	o.tried, o.Sent = true, int64(len(r.body))
	response, err := r.http.Do(request)
	wait.end()
	o.Duration = time.Since(start)
	if err != nil {
		o.unclear = r.operation.Method != http.MethodGet && trace.unclear(err)
		r.judgeBroken(ctx, inner, &o, err)
		return o
	}
	defer response.Body.Close()
	o.Status = response.StatusCode
	body := newAnswerBody(response, cancel, &r.limits, r.operation.ID)
	r.judge(ctx, inner, &o, answer{response, body, mediaType(response.Header)}, who)
	o.Duration += body.wire.waited
	o.Received = body.wire.n
	return o
}

// connectionTrace is what was seen of a request on its way out.
type connectionTrace struct {
	asked     atomic.Bool // the transport reports connections
	connected atomic.Bool // the request was given one
}

func (c *connectionTrace) on(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { c.connected.Store(true) },
	})
}

// unclear reports whether the server may have carried out a request that ended
// in err. It may not have if the request never had a connection: nothing less
// is proof, for what was written before a connection broke cannot be known.
func (c *connectionTrace) unclear(err error) bool {
	if c.connected.Load() {
		return true
	}
	var op *net.OpError
	refused := errors.As(err, &op) && op.Op == "dial"
	return !c.asked.Load() && !refused
}
