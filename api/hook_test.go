package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHooksSeeEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var got []Attempt
		var at []time.Duration
		took := clock()
		hook := func(ctx context.Context, a Attempt) {
			if ctx.Value(key{}) != "the caller's" {
				t.Error("another context")
			}
			got, at = append(got, a), append(at, took())
		}
		slow := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			listed(w, r)
		}
		second := 0
		c := inMemory(t, answers(status(429, "Retry-After", "1"), status(429), slow), WithHook(hook), WithHook(func(context.Context, Attempt) { second++ }))
		if err := create(context.WithValue(t.Context(), key{}, "the caller's"), c); err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 || second != 3 {
			t.Fatalf("%d and %d attempts", len(got), second)
		}
		for i, a := range got {
			if a.Operation != "createSources" || a.Number != i+1 || a.Sent == 0 || a.Received == 0 || a.Repeat != (i < 2) || (a.Err != nil) != (i < 2) {
				t.Errorf("%+v", a)
			}
			if i < 2 && (a.Status != 429 || !errors.Is(a.Err, ErrRateLimited) || at[i+1]-at[i] != a.Wait+got[i+1].Duration) {
				t.Errorf("%+v at %s, the next at %s", a, at[i], at[i+1])
			}
		}
		if a := got[2]; a.Status != 200 || a.Duration != 2*time.Second || a.Received != int64(len(oneSource)+2) || a.Wait != 0 {
			t.Errorf("%+v", a)
		}

		// What is not sent is told as well.
		got = nil
		tokens := &auth0{scope: "read:sources"}
		c = inMemory(t, answers(done), WithAuth(tokens.source(t)), WithHook(func(_ context.Context, a Attempt) { got = append(got, a) }))
		_ = del(t.Context(), c)
		if len(got) != 1 || got[0].Sent != 0 || got[0].Status != 0 || !errors.Is(got[0].Err, ErrForbidden) {
			t.Errorf("%+v", got)
		}
	})
}

// The duration of a listing is the server's, not its consumer's.
func TestDurationLeavesTheConsumerOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got Attempt
		c := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			time.Sleep(3 * time.Second)
			_, _ = w.Write(make([]byte, 100<<10))
		}), WithHook(func(_ context.Context, a Attempt) { got = a }))
		if _, err := list(t.Context(), c, time.Hour); err != nil || got.Duration != 3*time.Second || got.Received != 100<<10 {
			t.Errorf("%v, %+v", err, got)
		}
	})
}

func TestLogAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c := inMemory(t, answers(status(503), found, status(404)), WithHook(LogAttempts(logger)))
		for range 2 {
			_ = get(t.Context(), c)
		}
		var levels []string
		for line := range strings.Lines(out.String()) {
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			if record["operation"] != "getSource" || record["msg"] != "METI request" {
				t.Error(line)
			}
			levels = append(levels, fmt.Sprint(record["level"], " ", record["attempt"], " ", record["status"]))
		}
		if text := strings.Join(levels, ", "); text != "INFO 1 503, DEBUG 2 200, WARN 1 404" {
			t.Error(text)
		}
		out.Reset()
		quiet := inMemory(t, answers(found), WithHook(LogAttempts(slog.New(slog.NewTextHandler(&out, nil)))))
		if err := get(t.Context(), quiet); err != nil || out.Len() != 0 {
			t.Error(err, out.String())
		}
	})
}

// echo answers with the token wherever an answer has room for it.
func echo(code int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		fill := strings.NewReplacer("TOKEN", token, "ESCAPED", `\u0073`+token[1:], "HALF", token[:len(token)/2])
		w.Header().Set("Content-Type", kind)
		for _, name := range []string{"X-Request-Id", "Location", "Retry-After", "Content-Language", "WWW-Authenticate"} {
			w.Header().Set(name, "https://"+token+"/"+token)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, fill.Replace(body))
	}
}

// No failure shows a token, in no text that can be made of it.
func TestNoFailureShowsAToken(t *testing.T) {
	filler := strings.Repeat("x", maxErrorBytes-10)
	failures := map[string]http.HandlerFunc{
		"page":        echo(200, "text/html", "<title>TOKEN</title>"),
		"entities":    echo(500, "text/html", "<title>&#115;entinel-token-0123456789</title>"),
		"type":        echo(200, "TOKEN/TOKEN", oneSource),
		"broken JSON": echo(200, "application/json", `TOKEN`),
		"bad value":   echo(200, "application/json", `{"id":"TOKEN","hectares":"TOKEN","start_at":5}`),
		"fields":      echo(422, "application/json", `{"detail":[{"loc":["body","TOKEN","ESCAPED"],"msg":"TOKEN","type":"TOKEN"},"ESCAPED"]}`),
		"long":        echo(400, "text/plain", filler+"TOKEN"),
		"long JSON":   echo(400, "application/json", `{"detail":"`+strings.Repeat("x", maxMessage-10)+`ESCAPED"}`),
		"dropped":     dropped,
		"cut":         cut,
		"encoding": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", staticToken)
			found(w, r)
		},
	}
	for _, code := range []int{300, 301, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503} {
		failures[fmt.Sprint(code)] = echo(code, "application/json", `{"detail":"TOKEN","message":"ESCAPED"}`)
		failures[fmt.Sprint(code, " text")] = echo(code, "text/plain", "TOKEN TOKEN")
	}
	for name, answer := range failures {
		for _, operation := range operations {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
				var attempts []Attempt
				c := inMemory(t, answers(answer), WithHook(LogAttempts(logger)), WithHook(func(_ context.Context, a Attempt) { attempts = append(attempts, a) }))
				err := operation.call(t.Context(), c)
				if err == nil {
					return
				}
				e := failure(t, err)
				logger.Error("failed", "error", err, "value", e)
				record, _ := json.Marshal(e)
				for _, text := range []string{out.String(), string(record), string(e.Body), fmt.Sprintf("%v %+v %#v %s %q", err, err, err, err, err), fmt.Sprintf("%+v %#v", attempts, attempts), fmt.Sprintf("%#v", e.cause)} {
					if strings.Contains(text, staticToken) || strings.Contains(text, staticToken[:len(staticToken)-2]) {
						t.Errorf("%s, %s: %s", name, operation.name, text)
					}
				}
				if strings.Contains(err.Error(), "sentinel-query") {
					t.Errorf("%s, %s: the query is shown: %v", name, operation.name, err)
				}
			})
		}
	}
	// An http.Client below names the URL.
	below := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, &url.Error{Op: "Get", URL: "https://example.com/?key=sentinel-elsewhere", Err: io.ErrClosedPipe}
	})}), WithRetryPolicy(RetryPolicy{Attempts: 1}))
	if err := get(t.Context(), below); strings.Contains(err.Error(), "sentinel") || !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	// A transport may quote what it sent.
	c := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("Get %q with %q failed", r.URL, r.Header)
	})}), WithRetryPolicy(RetryPolicy{Attempts: 1}))
	for _, operation := range operations {
		if err := operation.call(t.Context(), c); strings.Contains(err.Error(), "sentinel") {
			t.Error(err)
		}
	}
}

// What the loop costs beside the service: no network, and an answer at once.
func instant(options ...Option) []Option {
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK,
			Header:     http.Header{"Content-Type": {"application/json"}},
			Body:       io.NopCloser(strings.NewReader(oneSource)),
			Request:    r,
		}, nil
	})
	return append(options, WithHTTPClient(&http.Client{Transport: transport}))
}

func TestAHookAllocatesNothing(t *testing.T) {
	cost := func(c *Client) float64 {
		return testing.AllocsPerRun(500, func() {
			if err := get(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		})
	}
	without := cost(made(t, instant()...))
	with := cost(made(t, instant(WithHook(func(context.Context, Attempt) {}))...))
	// A pooled decoder may be dropped by a collection in between.
	if with > without+0.5 {
		t.Errorf("%v allocations with a hook, %v without", with, without)
	}
}
