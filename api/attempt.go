package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// client is what carries out calls: the inside of a [Client].
type client struct {
	base      *url.URL
	http      *http.Client // follows no redirect
	userAgent []string     // a header's value, shared by every request
	tokens    tokens
	retries   *retries
	hooks     []func(context.Context, Attempt)
	limits    limits
}

// call is one operation to carry out.
type call struct {
	operation gen.Operation
	path      string // below the base URL, escaped
	query     url.Values
	body      []byte
	// read takes the capped and decompressed body of a 2xx JSON answer. It is
	// called once an attempt, and starts anew each time. JSON that is cut short
	// is an error that wraps io.ErrUnexpectedEOF; a reader's own error is
	// handed back. Both are repeated where the operation may be; any other
	// error says that the answer is unreadable, and is not.
	read func(body io.Reader) error
	// unknown operations are those of Client.Do, which are not repeated unless
	// the caller says that they may be carried out twice.
	unknown, twice bool
}

// repeatable tells the operations that may be carried out twice.
func (c *call) repeatable() bool {
	return c.twice || !c.unknown && c.operation.Repeatable
}

// run is a call under way.
type run struct {
	*client
	*call
	target  *url.URL
	secrets safehttp.Secrets
	unclear bool   // an attempt may have been carried out, and its answer was lost
	last    *Error // the newest failure, for when there is no further answer
	refused string // the token that the service answered with 401
}

// outcome is what became of one attempt.
type outcome struct {
	err      *Error // nil: done
	status   int
	next     next
	unclear  bool          // the server may have carried the request out
	spent    time.Duration // without the consumer's time
	tried    bool          // the request was handed to the transport
	sent     int64
	received int64
}

// next is what follows an attempt that failed.
type next int

const (
	stop   next = iota
	repeat      // under the policy
	renew       // with another token, once
)

// target is where a call goes.
func (c *client) target(call *call) *url.URL {
	u := *c.base
	u.RawPath = c.base.EscapedPath() + call.path
	path, err := url.PathUnescape(call.path)
	if err != nil {
		path = call.path
	}
	u.Path += path
	u.RawQuery = call.query.Encode()
	return &u
}

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
	who, err := r.authorize(ctx, header)
	if err != nil {
		return outcome{err: err, spent: time.Since(start)}
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	deadline := newDeadline(cancel)
	defer deadline.timer.Stop()
	var sight connectionTrace
	request := (&http.Request{
		Method: r.operation.Method, URL: r.target, Host: r.target.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(sight.trace(inner))
	taken := func() { deadline.renew(r.limits.answer, false, "no answer within "+r.limits.answer.String()) }
	taken()
	if r.body != nil {
		request.ContentLength = int64(len(r.body))
		// For net/http, which sends a request again by itself only on another
		// connection than one that took none of it.
		request.GetBody = func() (io.ReadCloser, error) { return &requestBody{bytes.NewReader(r.body), taken}, nil }
		request.Body, _ = request.GetBody()
	}
	o.tried, o.sent = true, int64(len(r.body))
	response, sendErr := r.http.Do(request) //nolint:bodyclose // closed below
	deadline.answered()
	o.spent = time.Since(start)
	if sendErr != nil {
		o.unclear = r.operation.Method != http.MethodGet && sight.unclear(sendErr)
		r.judgeBroken(ctx, inner, &o, sendErr)
		return o
	}
	defer response.Body.Close()
	o.status = response.StatusCode
	body, encodingErr := newAnswerBody(response, deadline, &r.limits, r.limits.of(r.operation.ID))
	defer body.release()
	r.judge(ctx, inner, &o, answer{response, body, mediaType(response.Header), encodingErr}, who)
	o.spent += body.wire.waited
	o.received = body.wire.n
	return o
}

// connectionTrace is what was seen of a request on its way out.
type connectionTrace struct {
	asked     atomic.Bool // the transport reports connections
	connected atomic.Bool // the request was given one
}

func (c *connectionTrace) trace(ctx context.Context) context.Context {
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
