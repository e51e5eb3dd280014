package api

import (
	"context"
	"io"
	"net/http"
	"net/url"

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
	// read takes the capped and decompressed body of a 2xx JSON answer, anew with
	// each attempt. JSON that is cut short is an error that wraps
	// io.ErrUnexpectedEOF, and repeated where the operation may be, as errors of
	// the body are; any other says that the answer is unreadable.
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
	secrets safehttp.Secrets
	unclear bool   // an attempt may have been carried out, and its answer was lost
	last    *Error // the newest failure, for when there is no further answer
	refused string // the token that the service answered with 401
}

// address is where the call goes.
func (r *run) address() string {
	address := r.base.String() + r.path
	if query := r.query.Encode(); query != "" {
		address += "?" + query
	}
	return address
}

// outcome is what became of one attempt.
type outcome struct {
	Attempt        // what the hooks are told
	err     *Error // nil: done
	next    next
	unclear bool // the server may have carried the request out
	tried   bool // the request was handed to the transport
}

// next is what follows an attempt that failed.
type next int

const (
	stop   next = iota
	repeat      // under the policy
	renew       // with another token, once
)
