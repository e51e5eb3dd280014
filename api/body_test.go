package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// tests are the tests, and after them the connections that examples leave idle.
type tests struct{ *testing.M }

func (t tests) Run() int {
	code := t.M.Run()
	safehttp.Transport().CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	return code
}

// drip sends a byte a second for as long as anybody listens.
func drip(conn net.Conn, text string) {
	for ; ; time.Sleep(time.Second) {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

// hang waits for the other end to hang up, and reads nothing but that.
func hang(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// Each server here hangs at another place. With the defaults each call ends,
// within the time that the package documentation states.
func TestNeverStuck(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	servers := []struct {
		name   string
		serve  func(net.Conn)
		within time.Duration
		tls    bool
		text   string
	}{
		{"reads nothing", func(conn net.Conn) { time.Sleep(time.Hour) }, answerTime, false, "no answer within 1m0s"},
		{"no TLS handshake", func(conn net.Conn) { time.Sleep(time.Hour) }, 15*time.Second + safehttp.ConnectTimeout, true, "TLS handshake timeout"},
		{"a TLS handshake that drips", func(conn net.Conn) { drip(conn, "\x16") }, 15*time.Second + safehttp.ConnectTimeout, true, "TLS handshake timeout"},
		{"no header", func(conn net.Conn) { readRequest(conn); hang(conn) }, answerTime, false, "no answer within 1m0s"},
		{"half a header", func(conn net.Conn) { readRequest(conn); _, _ = io.WriteString(conn, "HTTP/1.1 200"); hang(conn) }, answerTime, false, "no answer within 1m0s"},
		{"a header that drips", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"X: ")
			drip(conn, "x")
		}, answerTime, false, "no answer within 1m0s"},
		{"interim answers without end", func(conn net.Conn) {
			readRequest(conn)
			drip(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")
		}, answerTime, false, "no answer within 1m0s"},
		{"no body", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Content-Length: 5\r\n\r\n")
			hang(conn)
		}, stallTime, false, "stalled"},
		{"half a body", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Content-Length: 5000\r\n\r\n["+oneSource)
			hang(conn)
		}, stallTime, false, "stalled"},
		{"a body that drips", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Content-Length: 5000000\r\n\r\n[")
			drip(conn, " ")
		}, stallTime, false, "stalled"},
		{"chunks that drip", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n")
			drip(conn, "1\r\n \r\n")
		}, stallTime, false, "stalled"},
		{"a body without an end", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n")
			hang(conn)
		}, stallTime, false, ""},
		{"gzip that drips", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Content-Encoding: gzip\r\nContent-Length: 5000000\r\n\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff")
			drip(conn, "n") // a file name without end
		}, stallTime, false, "stalled"},
		{"an error whose body hangs", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 500 No\r\nContent-Length: 5000\r\n\r\n{")
			hang(conn)
		}, 15*time.Second + 5*time.Second, false, "500"},
		{"an error that drips", func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 422 No\r\nContent-Length: 5000\r\n\r\n{")
			drip(conn, "x")
		}, 5 * time.Second, false, "422"},
	}
	for _, server := range servers {
		for _, operation := range operations {
			t.Run(server.name+"/"+operation.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var options []Option
					if server.tls {
						options = append(options, WithBaseURL("https://example.com"))
					}
					c := raw(t, server.serve, options...)
					took := clock()
					err := operation.call(t.Context(), c)
					if took() > server.within {
						t.Errorf("took %s, want at most %s", took(), server.within)
					}
					if strings.HasPrefix(operation.name, "delete") && !strings.Contains(server.text, "answer") && !strings.Contains(server.text, "TLS") && server.text != "500" && server.text != "422" {
						// The body is not needed, and hardly waited for.
						if err != nil || took() > time.Second {
							t.Errorf("%v after %s", err, took())
						}
						return
					}
					if e := failure(t, err); !strings.Contains(e.Error(), server.text) {
						t.Errorf("%v, want %q", e, server.text)
					}
					if errors.Is(err, ErrOutcomeUnknown) != (operation.name == "createSources" && !server.tls && server.text != "422") {
						t.Error(err)
					}
				})
			})
		}
	}
}

// A server that takes a large request slowly is waited for; one that stops
// taking it is not.
func TestUploads(t *testing.T) {
	big := oneFeature
	big.FeatureCollection.Features = []Feature{{ID: strings.Repeat("x", 1<<20), Properties: period(), Geometry: json.RawMessage(golden)}}
	for _, c := range []struct {
		name  string
		pause time.Duration // after each 16 KiB
		fails bool
	}{{"slow", 5 * time.Second, false}, {"stopped", time.Hour, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := raw(t, func(conn net.Conn) {
					buffer := make([]byte, 16<<10)
					for left := 1 << 20; left > 0; {
						n, err := conn.Read(buffer)
						if err != nil {
							return
						}
						left -= n
						time.Sleep(c.pause)
					}
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n[%s]", len(oneSource)+2, oneSource)
					hang(conn)
				})
				took := clock()
				_, err := client.Sources.Create(t.Context(), big)
				if c.fails {
					if !errors.Is(err, ErrOutcomeUnknown) || took() > 4*answerTime {
						t.Errorf("%v after %s", err, took())
					}
					return
				}
				if err != nil || took() < answerTime {
					t.Errorf("%v after %s", err, took())
				}
			})
		})
	}
}

// A request that is read while its answer arrives slowly does not cut that off.
func TestAnEarlyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body, answer := io.Pipe()
			go func() {
				_, _ = io.Copy(io.Discard, r.Body)
				for range 2 * answerTime / (stallTime - time.Second) {
					time.Sleep(stallTime - time.Second)
					if r.Context().Err() != nil {
						_ = answer.CloseWithError(context.Cause(r.Context()))
						return
					}
					_, _ = io.WriteString(answer, strings.Repeat(" ", stallBytes))
				}
				_, _ = io.WriteString(answer, "["+oneSource+"]")
				_ = answer.Close()
			}()
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}, nil
		})}))
		if _, err := c.Sources.Create(t.Context(), oneFeature); err != nil {
			t.Error(err)
		}
	})
}

// list reads all of a list with the given pause between reads.
func list(ctx context.Context, c *Client, pause time.Duration) (n int64, err error) {
	err = c.do(ctx, call{operation: gen.OperationListSources, most: maxListBytes, read: func(body io.Reader) error {
		n = 0
		buffer := make([]byte, 8<<10)
		for {
			got, err := body.Read(buffer)
			n += int64(got)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			time.Sleep(pause)
		}
	}})
	return n, err
}

// The consumer's own time is nobody's fault: neither does the answer stall, nor
// is the time for repeats used up.
func TestASlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		first := true
		c := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if first {
				first = false
				_, _ = w.Write(make([]byte, size/2))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			_, _ = w.Write(make([]byte, size))
		}))
		took := clock()
		n, err := list(t.Context(), c, time.Minute)
		if err != nil || n != size || took() < 2*time.Hour {
			t.Errorf("%d bytes, %v after %s", n, err, took())
		}
	})
}

// A consumer that stops because its caller left is no unreadable answer.
func TestAConsumerThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := inMemory(t, listedTwice)
		err := c.do(ctx, call{operation: gen.OperationListSources, most: maxListBytes, read: func(io.Reader) error {
			cancel()
			return errors.New("stopped")
		}})
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrBadAnswer) {
			t.Error(err)
		}
	})
}

var listedTwice = says(200, "application/json", "["+oneSource+","+oneSource+"]")

// A body that comes slowly but steadily is read to its end.
func TestASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 100 {
				_, _ = w.Write(make([]byte, 16<<10))
				w.(http.Flusher).Flush()
				time.Sleep(stallTime - time.Second)
			}
		}))
		if n, err := list(t.Context(), c, 0); err != nil || n != 100*16<<10 {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

func zipped(t testing.TB, body io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.Copy(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := string(zipped(t, strings.NewReader(oneSource)))
		server := answers(
			says(200, "application/json", whole, "Content-Encoding", "gzip"),
			says(200, "application/json", whole, "Content-Encoding", "GZIP "),
			says(200, "application/json", oneSource, "Content-Encoding", "identity"),
			says(422, "application/json", string(zipped(t, strings.NewReader(`{"detail":"the words"}`))), "Content-Encoding", "gzip"),
			says(200, "application/json", whole[:len(whole)-9], "Content-Encoding", "gzip"),            // cut: repeated
			says(200, "application/json", whole[:len(whole)-8]+"damaged!", "Content-Encoding", "gzip"), // its checksum
		)
		c := inMemory(t, server)
		for range 3 {
			if err := get(t.Context(), c); err != nil {
				t.Error(err)
			}
		}
		if err := get(t.Context(), c); !errors.Is(err, ErrInvalid) || failure(t, err).Message != "the words" {
			t.Error(err)
		}
		if err := get(t.Context(), c); !errors.Is(err, ErrBadAnswer) || !errors.Is(err, gzip.ErrChecksum) || len(server.requests()) != 6 {
			t.Error(err, len(server.requests()))
		}
		if got := server.requests()[0].header.Get("Accept-Encoding"); got != "gzip" {
			t.Errorf("Accept-Encoding %q", got)
		}
	})
}

// spaces is n bytes of white space, which is JSON that never begins.
func spaces(n int64) io.Reader { return io.LimitReader(blank{}, n) }

type blank struct{}

func (blank) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestAGzipBombFails(t *testing.T) {
	bomb := string(zipped(t, io.MultiReader(strings.NewReader("["), spaces(24<<20))))
	synctest.Test(t, func(t *testing.T) {
		server := answers(says(200, "application/json", bomb, "Content-Encoding", "gzip"))
		for _, call := range operations[:2] {
			err := call.call(t.Context(), inMemory(t, server))
			if !errors.Is(err, ErrBadAnswer) || !strings.Contains(err.Error(), "256 times") || failure(t, err).Attempts != 1 {
				t.Error(call.name, err)
			}
		}
		// In an error, no more than is kept is decompressed.
		server = answers(says(400, "text/plain", bomb, "Content-Encoding", "gzip"))
		if e := failure(t, get(t.Context(), inMemory(t, server))); e.Status != 400 || len(e.Body) != maxErrorBytes {
			t.Error(e, len(e.Body))
		}
	})
}

func TestABodyLargerThanTheCapFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, compressed := range []bool{false, true} {
			for _, extra := range []int{0, 1} {
				body := oneSource + strings.Repeat(" ", 1000-len(oneSource)+extra)
				headers := []string{}
				if compressed {
					body, headers = string(zipped(t, strings.NewReader(body))), []string{"Content-Encoding", "gzip"}
				}
				server := answers(says(200, "application/json", body, headers...))
				c := inMemory(t, server)
				err := c.do(t.Context(), call{operation: gen.OperationGetSource, most: 1000, read: func(body io.Reader) error {
					_, err := readSource(body)
					return err
				}})
				if extra == 0 && err != nil || extra == 1 && (!errors.Is(err, ErrBadAnswer) || !strings.Contains(err.Error(), "more than 1000 bytes") || len(server.requests()) != 1) {
					t.Errorf("compressed %v, %d bytes over the cap: %v", compressed, extra, err)
				}
			}
		}
	})
}

// A transport that decompresses by itself is as good.
func TestATransportThatDecompresses(t *testing.T) {
	c := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		response := recorded(says(200, "application/json", oneSource, "Content-Encoding", "gzip"), r)
		response.Uncompressed = true
		return response, nil
	})}))
	if err := get(t.Context(), c); err != nil {
		t.Error(err)
	}
}

// What the caller's client says is respected, and the client is not changed.
func TestACallersClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inMemory(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		own := &http.Client{Transport: c.http.Transport, Timeout: 2 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
		c = made(t, WithHTTPClient(own))
		took := clock()
		err := get(t.Context(), c)
		// Four attempts of 2 seconds.
		if err == nil || !errors.Is(err, context.DeadlineExceeded) || failure(t, err).Attempts != 4 || took() > 12*time.Second {
			t.Errorf("%v after %s", err, took())
		}
		// Its cookies are kept and sent.
		server := answers(says(200, "application/json", oneSource, "Set-Cookie", "sticky=7; Path=/"), found)
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c = made(t, WithHTTPClient(&http.Client{Transport: inMemory(t, server).http.Transport, Jar: jar}))
		for range 2 {
			if err := get(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if got := server.requests()[1].header.Get("Cookie"); got != "sticky=7" {
			t.Errorf("Cookie %q", got)
		}
		if own.Timeout != 2*time.Second || own.CheckRedirect == nil || own.Jar != nil {
			t.Errorf("the caller's client was changed: %+v", own)
		}
	})
}

// JSON goes by several names, and by none.
func TestContentTypes(t *testing.T) {
	for kind, good := range map[string]bool{
		"": true, "application/json": true, "Application/JSON; charset=utf-8": true, "text/json": true, "application/geo+json": true, "application/json; broken=": true,
		"text/html": false, "text/plain": false, "application/octet-stream": false, "application/jsonish": false,
	} {
		c := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(oneSource)), Request: r}, nil
		})}))
		if err := get(t.Context(), c); (err == nil) != good || !good && !errors.Is(err, ErrBadAnswer) {
			t.Errorf("%q: %v", kind, err)
		}
	}
}
