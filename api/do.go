package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/meti-go/meti/gen"
)

// call is one operation to carry out.
type call struct {
	operation gen.Operation
	path      string
	query     url.Values
	body      []byte
	// read takes the capped and decompressed body of a 2xx JSON answer. It is
	// called once an attempt, and starts anew each time. JSON that is cut short
	// is an error that wraps io.ErrUnexpectedEOF; a reader's own error is
	// handed back. Both are repeated where the operation may be; any other
	// error says that the answer is unreadable, and is not.
	read func(body io.Reader) error
}

func (c *Client) do(ctx context.Context, call call) error {
	fail := func(status int, kind, cause error, message string, body []byte) error {
		return &Error{Operation: call.operation.ID, Method: call.operation.Method, Path: call.path, Status: status, Message: message, Body: body, kind: kind, cause: cause}
	}
	target := *c.base
	target.Path = target.Path + call.path
	target.RawQuery = call.query.Encode()
	var body io.Reader
	if call.body != nil {
		body = bytes.NewReader(call.body)
	}
	request, err := http.NewRequestWithContext(ctx, call.operation.Method, target.String(), body)
	if err != nil {
		return fail(0, nil, err, err.Error(), nil)
	}
	request.Header.Set("User-Agent", c.userAgent)
	request.Header.Set("Accept", "application/json")
	if call.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if _, err := c.tokens.authorize(ctx, request); err != nil {
		return fail(0, ErrUnauthorized, err, err.Error(), nil)
	}
	client := *c.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return fail(0, nil, err, err.Error(), nil)
	}
	defer response.Body.Close()
	if kind := classOf(response.StatusCode); kind != nil || response.StatusCode >= 300 {
		data, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		return fail(response.StatusCode, kind, nil, string(data), data)
	}
	if call.read == nil {
		return nil
	}
	if err := call.read(response.Body); err != nil {
		return fail(response.StatusCode, ErrBadAnswer, err, err.Error(), nil)
	}
	return nil
}
