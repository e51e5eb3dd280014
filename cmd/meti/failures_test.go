package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
)

// always is a METI that answers each call in one way, and an Auth0 that gives a
// new token for each request.
type always struct {
	answer string // a cell of the page's first column
	calls  int
	tokens int
}

var status = regexp.MustCompile("`(\\d+)`")

func (a *always) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int, kind, body string) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(body)),
			Header: http.Header{"Content-Type": {kind}, "Location": {"https://elsewhere.test/"}}, Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	}
	if r.Body != nil {
		defer r.Body.Close()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	if strings.HasSuffix(r.URL.Path, "/oauth/token") {
		a.tokens++
		return answer(http.StatusOK, "application/json", `{"access_token": "e30.e30.`+strconv.Itoa(a.tokens)+`", "token_type": "Bearer", "expires_in": 3600}`)
	}
	a.calls++
	if found := status.FindStringSubmatch(a.answer); found != nil {
		code, _ := strconv.Atoi(found[1])
		return answer(code, "application/json", `{"detail": "so it is"}`)
	}
	if strings.HasPrefix(a.answer, "nothing") {
		return nil, io.ErrUnexpectedEOF
	}
	return answer(http.StatusOK, "text/html", "<html>Hello</html>")
}

// The table of docs/when-calls-fail.md is what happens.
func TestWhenCallsFail(t *testing.T) {
	classes := map[string]error{
		"ErrRedirect": api.ErrRedirect, "ErrInvalid": api.ErrInvalid, "ErrUnauthorized": api.ErrUnauthorized, "ErrForbidden": api.ErrForbidden,
		"ErrNotFound": api.ErrNotFound, "ErrTooLarge": api.ErrTooLarge, "ErrRateLimited": api.ErrRateLimited, "ErrServer": api.ErrServer,
		"ErrBadAnswer": api.ErrBadAnswer, "ErrOutcomeUnknown": api.ErrOutcomeUnknown,
	}
	rows := 0
	for line := range strings.Lines(read(t, "docs/when-calls-fail.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || strings.Contains(cells[0], "METI answers") || strings.Contains(cells[0], "---") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows++
		t.Run(cells[0], func(t *testing.T) {
			for operation, column := range map[string]int{"list": 2, "get": 2, "delete": 2, "create": 3} {
				synctest.Test(t, func(t *testing.T) {
					server := &always{answer: cells[0]}
					err := call(t, server, operation)
					if err == nil {
						if operation == "delete" && strings.HasPrefix(cells[0], "a success") {
							return // what a deletion answers is not read
						}
						t.Fatalf("%s succeeds", operation)
					}
					want, _ := strconv.Atoi(regexp.MustCompile(`^\d+`).FindString(cells[column]))
					if server.calls != want {
						t.Errorf("%s is sent %d times, and the page says %d", operation, server.calls, want)
					}
					said := cells[1]
					if operation == "create" {
						said += cells[3]
					}
					for name, class := range classes {
						if is := errors.Is(err, class); is != strings.Contains(said, name) {
							t.Errorf("%s is %s: %t, and the page says otherwise: %v", operation, name, is, err)
						}
					}
					code := regexp.MustCompile(`\d+`).FindString(cells[4])
					if _, create, both := strings.Cut(cells[4], "create "); both && operation == "create" {
						code = create
					}
					if got := strconv.Itoa(exitCode(context.Background(), err)); got != code {
						t.Errorf("%s ends with %s, and the page says %s", operation, got, code)
					}
				})
			}
		})
	}
	if rows < 10 {
		t.Errorf("the page has %d rows", rows)
	}
}

func call(t *testing.T, server http.RoundTripper, operation string) error {
	t.Helper()
	tokens, err := authn.New(authn.Config{Domain: "tenant.test", ClientID: "id", ClientSecret: "secret-of-mine", BaseURL: "https://meti.test", Transport: server})
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.New(api.WithAuth(tokens), api.WithBaseURL("https://meti.test"), api.WithHTTPClient(&http.Client{Transport: server}))
	if err != nil {
		t.Fatal(err)
	}
	switch operation {
	case "list":
		_, err = client.Sources.List(t.Context(), api.ListParams{Limit: 1})
	case "get":
		_, err = client.Sources.Get(t.Context(), "src_9fKQ2mZr7TbVw")
	case "delete":
		err = client.Sources.Delete(t.Context(), "src_9fKQ2mZr7TbVw")
	case "create":
		_, err = client.Sources.CreateOne(t.Context(), api.SourceCreate{AltID: "a", Geometry: []byte(`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}`)})
	}
	return err
}
