package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"
	"unicode/utf8"

	"github.com/meti-go/meti/gen"
)

const errorFiles = "../testdata/error"

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(errorFiles, name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// kindOf is the content type of a file of testdata.
func kindOf(name string) string {
	return map[string]string{".json": "application/json", ".html": "text/html; charset=utf-8", ".txt": "text/plain"}[filepath.Ext(name)]
}

// What is read from each shape that an error may have, through the client.
func TestErrorShapes(t *testing.T) {
	want := map[string]struct {
		message string
		fields  []FieldError
	}{
		"detail-text.json": {"One or more features in the FeatureCollection are invalid or missing required fields.", nil},
		"detail-fields.json": {
			"body.feature_collection.features[3].properties.end_at: end_at must be later than start_at by more than one day; query.limit: value is not a valid integer",
			[]FieldError{
				{Path: "body.feature_collection.features[3].properties.end_at", Message: "end_at must be later than start_at by more than one day"},
				{Path: "query.limit", Message: "value is not a valid integer"},
			},
		},
		"status-message.json": {"Invalid GeoJSON", nil},
		"detail-object.json":  {"body: field required", []FieldError{{Path: "body", Message: "field required"}}},
		"detail-strange.json": {
			"body: a path that is no list; a plain text; {\"ctx\":{\"limit\":5}}; and 3 more",
			[]FieldError{
				{Path: "body", Message: "a path that is no list"},
				{Message: "a plain text"},
				{Message: `{"ctx":{"limit":5}}`},
				{Path: `body[1.5].null.{"a":1}`, Message: "7"},
				{Message: "null"},
				{Message: "[]"},
			},
		},
		"database.json":       {`new row for relation "sources" violates check constraint "sources_period"; Failing row contains (field-7).; Give an end after the start. (code 23514)`, nil},
		"auth0.json":          {"Unauthorized", nil},
		"gateway.json":        {"Forbidden", nil},
		"problem.json":        {"Too Many Requests", nil},
		"text.json":           {"a bare text", nil},
		"null.json":           {"null", nil},
		"truncated.json":      {`{"detail":[{"loc":["body","features",3],"msg":"end_at must be la`, nil},
		"plain.txt":           {"upstream connect error or disconnect/reset before headers", nil},
		"control.txt":         {"]0;title [2J bell and spaces", nil},
		"empty.txt":           {"", nil},
		"page.html":           {"502 Bad Gateway & more", nil},
		"page-untitled.html":  {"Access denied", nil},
		"page-truncated.html": {"504 Gateway Ti", nil},
	}
	files, err := os.ReadDir(errorFiles)
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d files, %d expectations, %v", len(files), len(want), err)
	}
	for _, file := range files {
		for code, class := range map[int]error{400: ErrInvalid, 422: ErrInvalid, 500: ErrServer} {
			synctest.Test(t, func(t *testing.T) {
				body := readFile(t, file.Name())
				c := inMemory(t, answers(says(code, kindOf(file.Name()), string(body), "X-Request-Id", "req-1")), WithRetryPolicy(RetryPolicy{Attempts: 1}))
				e := failure(t, get(t.Context(), c))
				if w := want[file.Name()]; e.Message != w.message || !reflect.DeepEqual(e.Fields, w.fields) {
					t.Errorf("%s:\n got %q %+v\nwant %q %+v", file.Name(), e.Message, e.Fields, w.message, w.fields)
				}
				if e.Operation != "getSource" || e.Method != http.MethodGet || e.Path != "/sources/"+theID || e.Status != code || e.Attempts != 1 || e.RequestID != "req-1" || !bytes.Equal(e.Body, body) {
					t.Errorf("%s: %+v", file.Name(), e)
				}
				if !errors.Is(e, class) {
					t.Errorf("%s: %v", file.Name(), e)
				}
			})
		}
	}
}

func TestErrorTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t, answers(
			says(422, "application/json", string(readFile(t, "status-message.json")), "CF-Ray", "8f00ba-ARN"),
			status(503, "Retry-After", "100"),
		))
		got := func(err error) string { return err.Error() }
		if text := got(get(t.Context(), c)); text != "getSource: 422 Unprocessable Entity: Invalid GeoJSON (request 8f00ba-ARN)" {
			t.Error(text)
		}
		if text := got(del(t.Context(), c)); text != "deleteSource: 503 Service Unavailable: the words of status; the server asks to wait 1m40s, more than the 15s left for repeats" {
			t.Error(text)
		}
		err := create(t.Context(), c)
		if text := got(err); text != "createSources: outcome unknown: 503 Service Unavailable: the words of status; it may have been carried out: look up the alt_ids of the request before sending it again" {
			t.Error(text)
		}
		if !errors.Is(err, ErrServer) || !errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, ErrNotFound) {
			t.Error("classes")
		}

		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Error("failed", "error", err)
		var record struct{ Error map[string]any }
		if json.Unmarshal(out.Bytes(), &record) != nil || record.Error["status"] != 503.0 || record.Error["operation"] != "createSources" || record.Error["class"] != "server error, outcome unknown" || record.Error["retry_after"] == nil {
			t.Error(out.String())
		}
	})
}

// An error's body is kept up to the cap, and its status whatever follows.
func TestAnErrorsBodyIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := "<title>large</title>" + strings.Repeat("x", 1<<20)
		e := failure(t, get(t.Context(), inMemory(t, answers(says(404, "text/html", page)))))
		if e.Status != 404 || e.Message != "large" || len(e.Body) != maxErrorBytes || string(e.Body) != page[:maxErrorBytes] {
			t.Error(e, len(e.Body))
		}
		e = failure(t, get(t.Context(), inMemory(t, answers(says(200, "text/html", page)))))
		if e.Status != 200 || !errors.Is(e, ErrBadAnswer) || len(e.Body) != maxErrorBytes || !strings.Contains(e.Error(), "text/html, not JSON: large") {
			t.Error(e, len(e.Body))
		}
		// Cut off within an error's body: what came is kept.
		e = failure(t, get(t.Context(), inMemory(t, answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"detail":"half`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))))
		if e.Status != 404 || !strings.Contains(e.Message, "half") || e.Attempts != 1 {
			t.Error(e)
		}
	})
}

// Whatever a server answers, a status that is no success is an *Error with
// that status, whose texts are printable and show no token.
func FuzzErrorAnswer(f *testing.F) {
	files, err := os.ReadDir(errorFiles)
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(422, kindOf(file.Name()), "", "", readFile(f, file.Name()))
	}
	f.Add(503, "application/json", "gzip", "3", zipped(f, strings.NewReader(`{"detail":"zipped"}`)))
	f.Add(429, "", "br", "Mon, 02 Jan 2006 15:04:05 GMT", []byte("\xff\xfe{"))
	f.Add(301, "text/html", "", "", []byte("<title><title>"))
	f.Add(200, "text/html", "", "", []byte("<p>"+staticToken))
	f.Add(600, "x/y", "", "-1", []byte(strings.Repeat("[", 20000)))
	f.Add(401, "application/json", "", "", []byte(`{"detail":"\u0073entinel-token-0123456789"}`))
	f.Fuzz(func(t *testing.T, status int, kind, encoding, after string, body []byte) {
		c := made(t, WithRetryPolicy(RetryPolicy{Attempts: 1}), WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status,
				Header:     http.Header{"Content-Type": {kind}, "Content-Encoding": {encoding}, "Retry-After": {after}, "X-Request-Id": {kind}},
				Body:       io.NopCloser(bytes.NewReader(body)),
				Request:    r,
			}, nil
		})}))
		err := get(t.Context(), c)
		if status >= 200 && status < 300 {
			var e *Error
			if err != nil && (!errors.As(err, &e) || e.Status != status) {
				t.Fatalf("%v lost the status", err)
			}
			return
		}
		e := failure(t, err)
		if e.Status != status || e.Operation != gen.OperationGetSource.ID || e.RetryAfter < 0 || len(e.Body) > maxErrorBytes {
			t.Errorf("%+v", e)
		}
		text := e.Error()
		for _, field := range e.Fields {
			text += field.String()
		}
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("not printable: %q", text)
		}
		if len(e.Message) > maxMessage+8 {
			t.Errorf("a message of %d bytes", len(e.Message))
		}
		if text += fmt.Sprintf("%+v %#v %s", e, e, e.Body); strings.Contains(text, staticToken) {
			t.Errorf("the token is shown: %q", text)
		}
	})
}
