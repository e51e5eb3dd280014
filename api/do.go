package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

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
}

// repeatable tells the operations that may be carried out twice.
func (c *call) repeatable() bool { return c.operation.Method != http.MethodPost }

// run is a call under way.
type run struct {
	*Client
	*call
	target  *url.URL
	secrets scrubber
	// unclear: an attempt may have been carried out, and its answer was lost.
	unclear bool
	// last is the newest failure, for when there is no further answer.
	last *Error
	// refused is the token that the service answered with 401.
	refused string
}

// try is what became of one attempt.
type try struct {
	err     *Error // nil: done
	status  int
	verdict verdict
	// unclear: the server may have carried the request out.
	unclear bool
	asked   time.Duration // by Retry-After
	spent   time.Duration // without the consumer's time
	tried   bool          // the request was handed to the transport
	sent    int64
	got     int64
}

type verdict int

const (
	final verdict = iota
	again         // may be repeated under the policy
	renew         // with another token, once
)

// do carries out one call: the one place where requests are built,
// authenticated, sent, judged, and repeated or given up. Its error is an *Error.
func (c *Client) do(ctx context.Context, call call) error {
	r := run{Client: c, call: &call, target: c.target(&call)}
	var spent time.Duration
	repeats := 0 // that the budget paid for
	for number := 1; ; number++ {
		t := r.attempt(ctx)
		spent += t.spent
		if t.err == nil || r.alreadyDeleted(&t) {
			t.err = nil
			c.budget.succeed(repeats)
			r.tell(ctx, number, &t, 0, false)
			return nil
		}
		if t.err.Attempts = number; !t.tried {
			t.err.Attempts--
		}
		r.unclear = r.unclear || t.unclear
		r.last = t.err

		var wait time.Duration
		more := t.verdict == renew
		if t.verdict == again {
			var why string
			wait, why, more = c.repeat(ctx, number, spent, t.asked)
			if why != "" {
				t.err.hint(why)
			}
			if more {
				repeats++
			}
		}
		r.tell(ctx, number, &t, wait, more)
		if !more {
			return t.err
		}
		if wait > 0 {
			spent += wait
			if err := sleep(ctx, wait); err != nil {
				return r.interrupted(err)
			}
		}
	}
}

// alreadyDeleted reports whether an answer says of a repeated DELETE that
// there is no such source, after an attempt whose answer was lost: then the
// source is gone, which is what was asked for.
func (r *run) alreadyDeleted(t *try) bool {
	return r.unclear && t.status == http.StatusNotFound && r.operation.Method == http.MethodDelete
}

// interrupted is the newest failure, and that the context ended before the
// next attempt.
func (r *run) interrupted(cause error) *Error {
	e := *r.last
	e.Message = joinText(e.Message, "and then "+cause.Error()+" before a repeat")
	e.cause = cause
	return &e
}

func (r *run) tell(ctx context.Context, number int, t *try, wait time.Duration, more bool) {
	if len(r.hooks) == 0 {
		return
	}
	attempt := Attempt{
		Operation: r.operation.ID,
		Number:    number,
		Status:    t.status,
		Duration:  t.spent,
		Sent:      t.sent,
		Received:  t.got,
		Repeat:    more,
		Wait:      wait,
	}
	if t.err != nil && context.Cause(ctx) != errAbandoned {
		attempt.Err = t.err
	}
	for _, hook := range r.hooks {
		hook(ctx, attempt)
	}
}

// target is where the call goes.
func (c *Client) target(call *call) *url.URL {
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
func (r *run) attempt(ctx context.Context) (t try) {
	start := time.Now()
	header := http.Header{
		"User-Agent":      r.userAgent,
		"Accept":          jsonHeader,
		"Accept-Encoding": gzipHeader,
	}
	if r.body != nil {
		header["Content-Type"] = jsonHeader
	}
	who, err := r.authorize(ctx, header)
	if err != nil {
		t.err = err
		t.spent = time.Since(start)
		return t
	}

	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if r.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, r.timeout, &timeoutError{fmt.Sprintf("no whole answer within the http.Client's timeout of %s", r.timeout)})
		defer stop()
	}
	watch := newWatch(cancel, r.limits.answer)
	defer watch.stop()

	request := &http.Request{
		Method:     r.operation.Method,
		URL:        r.target,
		Host:       r.target.Host,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     header,
	}
	if r.body != nil {
		request.ContentLength = int64(len(r.body))
		request.Body = &upload{rest: r.body, watch: watch}
		// For net/http, which sends a request again by itself only on another
		// connection than one that took none of it.
		request.GetBody = func() (io.ReadCloser, error) { return &upload{rest: r.body, watch: watch}, nil }
	}
	var seen *sight
	if r.operation.Method != http.MethodGet {
		seen = new(sight)
		ctx = seen.trace(ctx)
	}
	request = request.WithContext(ctx)
	if r.jar != nil {
		for _, cookie := range r.jar.Cookies(r.target) {
			request.AddCookie(cookie)
		}
	}
	t.tried, t.sent = true, int64(len(r.body))
	response, sendErr := r.transport.RoundTrip(request)
	watch.begun()
	t.spent = time.Since(start)
	if sendErr == nil && response == nil {
		sendErr = errors.New("the transport returned neither answer nor error")
	}
	if sendErr != nil {
		t.unclear = seen != nil && seen.unclear(sendErr)
		r.judgeBroken(outer, ctx, &t, 0, sendErr)
		return t
	}
	if response.Body == nil {
		response.Body = http.NoBody
	}
	defer response.Body.Close()
	if r.jar != nil {
		if cookies := response.Cookies(); len(cookies) > 0 {
			r.jar.SetCookies(r.target, cookies)
		}
	}
	t.status = response.StatusCode
	a, encodingErr := newAnswer(response, watch, &r.limits, r.limits.of(r.operation.ID))
	defer a.release()
	r.judge(outer, ctx, &t, response, a, encodingErr, who)
	t.spent += a.stream.waited
	t.got = a.stream.n
	return t
}

// authorize puts a token into the header, and refuses what it does not permit.
func (r *run) authorize(ctx context.Context, header http.Header) (credential, *Error) {
	if ctx.Err() != nil {
		return credential{}, r.fail(0, "", ended(ctx))
	}
	who, err := r.tokens.authorize(ctx, header)
	if err != nil {
		// A caller who gave up is not unauthorized.
		class := ErrUnauthorized
		if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
			class, err = nil, fmt.Errorf("%w, while waiting for a token: %w", ended(ctx), err)
		}
		e := r.fail(0, "", err, class)
		if r.last != nil { // keep the answer that made another attempt necessary
			e.Status, e.Body, e.RequestID = r.last.Status, r.last.Body, r.last.RequestID
			e.Message = joinText(r.last.Message, "and then: "+e.Message)
		}
		return credential{}, e
	}
	r.secrets.add(who.token)
	if r.refused != "" && who.token == r.refused {
		return credential{}, r.last // there is no other token
	}
	if r.checkScopes && who.grant != nil {
		if err := who.grant.Require(r.operation.ID, r.operation.Scopes...); err != nil {
			return credential{}, r.fail(0, strings.TrimPrefix(err.Error(), r.operation.ID+" "), err, ErrForbidden)
		}
	}
	return who, nil
}

// judge decides what an answer means.
func (r *run) judge(outer, ctx context.Context, t *try, response *http.Response, a *answer, encodingErr error, who credential) {
	status := response.StatusCode
	kind := mediaType(response.Header)
	if status >= 200 && status < 300 {
		switch {
		case r.read == nil && kind != "text/html":
			// What the body of a DELETE's answer holds is not known [E].
			a.drain()
			return
		case encodingErr != nil:
			r.judgeContent(t, response, a, kind, "unreadable answer: "+encodingErr.Error(), false)
			return
		case r.read == nil || !isJSON(kind):
			// A page with status 200 is a proxy's or a portal's.
			r.judgeContent(t, response, a, kind, "unreadable answer: it is "+kind+", not JSON", true)
			return
		}
		err := r.read(a)
		if err == nil {
			a.drain()
			return
		}
		if outer.Err() != nil {
			r.judgeBroken(outer, ctx, t, status, err)
			return
		}
		if broken := a.failed(); broken != nil && !errors.Is(broken, errTooLarge) && !corrupt(broken) {
			r.judgeBroken(outer, ctx, t, status, broken)
			return
		}
		r.judgeContent(t, response, a, kind, "unreadable answer: "+err.Error(), false)
		t.err.cause = r.cleaned(err)
		if errors.Is(err, io.ErrUnexpectedEOF) && r.repeatable() {
			t.verdict = again
		}
		return
	}

	var body []byte
	if encodingErr == nil {
		body = a.head(MaxErrorBytes + r.secrets.longest())
	}
	e := r.fail(status, "", nil, classOf(status))
	e.Message, e.Fields = readError(kind, body, r.secrets)
	e.RequestID = r.secrets.text(requestID(response.Header))
	e.RetryAfter = retryAfter(response.Header)
	body = r.secrets.bytes(body)
	e.Body = body[:min(len(body), MaxErrorBytes)]
	t.err, t.asked = e, e.RetryAfter

	switch {
	case status < 200:
		e.classes = append(e.classes, ErrBadAnswer)
		t.unclear = true
	case status < 400:
		r.judgeRedirect(e, response)
	case status == http.StatusUnauthorized:
		if r.refused == "" && r.tokens.refused(who.token) {
			r.refused, t.verdict = who.token, renew
		} else {
			e.hint("the token was refused: check AUTH0_DOMAIN and AUTH0_AUDIENCE")
		}
	case status == http.StatusForbidden:
		r.judgeForbidden(e, who)
	case status == http.StatusRequestTimeout || status >= 500:
		// Also 503: an overloaded server may say so after it began.
		t.unclear = true
		if status == 500 || status >= 502 && status <= 504 {
			t.verdict = again
		}
	case status == http.StatusTooManyRequests:
		t.verdict = again
	case status == http.StatusRequestEntityTooLarge:
		e.hint("send fewer sources at once")
	}
	r.judgeOutcome(t)
}

// judgeRedirect says where to, by its origin alone: what follows the host can
// hold anything.
func (r *run) judgeRedirect(e *Error, response *http.Response) {
	cause := &authn.RedirectError{Method: e.Method, Status: e.Status, From: origin(r.target)}
	// Scrubbed before it is parsed: parsing can cut a token in two.
	if location := r.secrets.text(response.Header.Get("Location")); location != "" {
		if to, err := r.target.Parse(location); err == nil {
			cause.To = printable(origin(to), 300)
		}
	}
	e.Message, e.cause = cause.Error(), cause
}

// judgeForbidden compares what the operation needs with what was granted.
func (r *run) judgeForbidden(e *Error, who credential) {
	need := strings.Join(r.operation.Scopes, " ")
	if who.grant == nil {
		e.hint("ask your Auth0 administrator for " + need)
		return
	}
	have, _ := who.grant.Scopes()
	missing := &authn.ScopeError{Operation: r.operation.ID, Need: r.operation.Scopes, Have: have}
	if len(missing.Missing()) > 0 {
		e.hint(missing.Error())
		e.cause = missing
		return
	}
	e.hint("the token was granted " + need + ": is the source another account's?")
}

// judgeContent is for a 2xx answer that cannot be read.
func (r *run) judgeContent(t *try, response *http.Response, a *answer, kind, message string, keep bool) {
	e := r.fail(response.StatusCode, "", nil, ErrBadAnswer)
	e.Message = printable(r.secrets.text(message), maxMessage)
	e.RequestID = r.secrets.text(requestID(response.Header))
	if keep {
		body := a.head(MaxErrorBytes + r.secrets.longest())
		if text, _ := readError(kind, body, r.secrets); text != "" {
			e.Message += ": " + text
		}
		body = r.secrets.bytes(body)
		e.Body = body[:min(len(body), MaxErrorBytes)]
		e.hint("does METI_BASE_URL name the API?")
	}
	t.err, t.unclear = e, true
	r.judgeOutcome(t)
}

// judgeBroken is for an attempt that ended without an answer, or within one.
func (r *run) judgeBroken(outer, ctx context.Context, t *try, status int, err error) {
	if status != 0 {
		t.unclear = true
	}
	defer r.judgeOutcome(t)
	switch {
	case outer.Err() != nil: // the caller's own context
		t.err = r.fail(status, "", ended(outer))
		return
	case ctx.Err() != nil: // a limit of ours
		t.err = r.fail(status, "", context.Cause(ctx))
		t.verdict = again
	default:
		t.err = r.fail(status, "", err)
		t.verdict = again
		if hint, permanent := permanentFailure(err); permanent {
			t.verdict = final
			t.err.hint(hint)
		}
	}
	if status != 0 {
		t.err.classes = append(t.err.classes, ErrBadAnswer)
		t.err.Message = "the answer broke off: " + t.err.Message
	}
}

// judgeOutcome names a POST that may have been carried out.
func (r *run) judgeOutcome(t *try) {
	if !r.repeatable() && t.unclear {
		t.verdict = final
		t.err.classes = append(t.err.classes, ErrOutcomeUnknown)
		t.err.hint("it may have been carried out: look its alt_ids up before sending it again")
	}
}

// fail makes an error of this call.
func (r *run) fail(status int, message string, cause error, classes ...error) *Error {
	e := &Error{Operation: r.operation.ID, Method: r.operation.Method, Path: r.path, Status: status, Message: message}
	for _, class := range classes {
		if class != nil {
			e.classes = append(e.classes, class)
		}
	}
	if cause != nil {
		e.cause = r.cleaned(cause)
		if message == "" {
			e.Message = printable(e.cause.Error(), maxMessage)
		}
	}
	return e
}

// cleaned is err without tokens and query values: net/http quotes what a
// server sent, and an http.Client the URL.
func (r *run) cleaned(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	text := err.Error()
	clean := r.secrets.text(text)
	if query := r.target.RawQuery; query != "" {
		clean = strings.ReplaceAll(clean, "?"+query, "")
	}
	if clean != text {
		return errors.New(clean)
	}
	return err
}

// hint adds what to do next.
func (e *Error) hint(text string) { e.Hint = joinText(e.Hint, text) }

func joinText(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// ended says why ctx ended, for errors.Is.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause != nil && cause != err {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

func origin(u *url.URL) string { return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() }

// permanentFailure tells the failures that another attempt does not mend.
func permanentFailure(err error) (hint string, permanent bool) {
	if safehttp.NoSuchHost(err) {
		return "does METI_BASE_URL name the right host?", true
	}
	return safehttp.Advice(err)
}

// sight is what was seen of a request on its way out.
type sight struct {
	asked     atomic.Bool // the transport reports connections
	connected atomic.Bool // the request was given one
}

func (s *sight) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { s.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { s.connected.Store(true) },
	})
}

// unclear reports whether the server may have carried out a request that ended
// in err. It may not have if the request never had a connection: nothing less
// is proof, for what was written before a connection broke cannot be known.
func (s *sight) unclear(err error) bool {
	if s.connected.Load() {
		return true
	}
	var op *net.OpError
	refused := errors.As(err, &op) && op.Op == "dial"
	return !s.asked.Load() && !refused
}
