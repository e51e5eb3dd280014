package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// What is sent is held equal to what the client generated from openapi.yaml
// sends, base path and escaping included.
func TestRequestsAreThoseOfTheContract(t *testing.T) {
	const base = "https://example.com/some/where"
	const server = base + "/" // as gen.NewClient makes it
	text := func(s string) *string { return &s }
	number := func(n int) *int { return &n }
	everything := ListParams{
		Filter: Filter{Methodology: "Biochar Production", StewardID: "a&b=c", ProjectID: "ü/ö", OutcomeReportingYear: 2026, ID: theID, AltID: "50%+1", AccountID: "x"},
		Limit:  7, Offset: 14,
	}
	generated := gen.ListSourcesParams{Methodology: text("Biochar Production"), StewardID: text("a&b=c"), ProjectID: text("ü/ö"), OutcomeReportingYear: number(2026), ID: text(theID), AltID: text("50%+1"), AccountID: text("x"), Limit: number(7), Offset: number(14)}
	for _, id := range []string{theID, "a/b", "50%", "sandbox_0", "ü ?#", "..a", "a;b=c,d"} {
		for name, pair := range map[string]struct {
			ours call
			want func() (*http.Request, error)
		}{
			"list": {call{operation: gen.OperationListSources, query: everything.query()}, func() (*http.Request, error) { return gen.NewListSourcesRequest(server, &generated) }},
			"all":  {call{operation: gen.OperationListSources, query: ListParams{}.query()}, func() (*http.Request, error) { return gen.NewListSourcesRequest(server, &gen.ListSourcesParams{}) }},
			"create": {call{operation: gen.OperationCreateSources}, func() (*http.Request, error) {
				return gen.NewCreateSourcesRequestWithBody(server, "application/json", nil)
			}},
			"get":    {ofSource(gen.OperationGetSource, id), func() (*http.Request, error) { return gen.NewGetSourceRequest(server, id) }},
			"delete": {ofSource(gen.OperationDeleteSource, id), func() (*http.Request, error) { return gen.NewDeleteSourceRequest(server, id) }},
		} {
			want, err := pair.want()
			if err != nil {
				t.Fatal(err)
			}
			pair.ours.client = made(t, WithBaseURL(base))
			got, err := url.Parse(pair.ours.address())
			if err != nil {
				t.Fatal(err)
			}
			if got.Query().Encode() != want.URL.Query().Encode() || got.Host != want.URL.Host || got.Path != want.URL.Path || pair.ours.operation.Method != want.Method {
				t.Errorf("%s %q: %s %s, generated %s %s", name, id, pair.ours.operation.Method, got, want.Method, want.URL)
			}
		}
	}
}

func TestEveryOperationSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, operation := range operations {
			server := answers(operation.good)
			c := inMemory(t, server, WithUserAgent("harvest/2.1"))
			if err := operation.call(t.Context(), c); err != nil {
				t.Fatal(operation.name, err)
			}
			got := server.requests()[0]
			i := slices.IndexFunc(gen.Operations(), func(o gen.Operation) bool { return o.ID == operation.name })
			path := "/some/where" + strings.ReplaceAll(gen.Operations()[i].Path, "{source_id}", theID)
			if got.method != gen.Operations()[i].Method || got.path != path || got.token != staticToken {
				t.Errorf("%s: %+v", operation.name, got)
			}
			if ua := got.header.Get("User-Agent"); ua != "harvest/2.1 meti-go/"+Version {
				t.Errorf("User-Agent %q", ua)
			}
			// net/http would repeat POSTs by itself if it saw this header.
			if got.header.Get("Idempotency-Key") != "" || got.header.Get("X-Idempotency-Key") != "" {
				t.Error("an idempotency key was sent")
			}
		}
	})
}

func TestIDsThatNameNoSourceAreNotSent(t *testing.T) {
	server := answers(done)
	c := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("sent")
		return nil, errors.New("no")
	})}))
	for _, id := range []string{"", ".", ".."} {
		if err := c.Sources.Delete(t.Context(), id); !errors.Is(err, ErrInvalid) {
			t.Errorf("Delete(%q): %v", id, err)
		}
		if _, err := c.Sources.Get(t.Context(), id); !errors.Is(err, ErrInvalid) {
			t.Errorf("Get(%q): %v", id, err)
		}
	}
	if err := c.Sources.DeleteByAltID(t.Context(), ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("DeleteByAltID: %v", err)
	}
	if len(server.requests()) != 0 {
		t.Error("sent")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What is repeated, operation by operation and failure by failure, how often,
// and what the error is in the end.
func TestWhatIsRepeated(t *testing.T) {
	type want struct {
		calls int
		class error // nil: no error
	}
	unread := errors.New("any other error")
	cases := []struct {
		name    string
		answer  http.HandlerFunc
		get     want
		delete  want
		create  want
		unknown bool // what became of the create
	}{
		{"400", status(400), want{1, ErrInvalid}, want{1, ErrInvalid}, want{1, ErrInvalid}, false},
		{"401", status(401), want{1, ErrUnauthorized}, want{1, ErrUnauthorized}, want{1, ErrUnauthorized}, false},
		{"403", status(403), want{1, ErrForbidden}, want{1, ErrForbidden}, want{1, ErrForbidden}, false},
		{"404", status(404), want{1, ErrNotFound}, want{1, ErrNotFound}, want{1, ErrNotFound}, false},
		{"408", status(408), want{1, unread}, want{1, unread}, want{1, ErrOutcomeUnknown}, true},
		{"409", status(409), want{1, unread}, want{1, unread}, want{1, unread}, false},
		{"413", status(413), want{1, ErrTooLarge}, want{1, ErrTooLarge}, want{1, ErrTooLarge}, false},
		{"422", status(422), want{1, ErrInvalid}, want{1, ErrInvalid}, want{1, ErrInvalid}, false},
		{"429", status(429), want{4, ErrRateLimited}, want{4, ErrRateLimited}, want{4, ErrRateLimited}, false},
		{"500", status(500), want{4, ErrServer}, want{4, ErrServer}, want{1, ErrServer}, true},
		{"501", status(501), want{1, ErrServer}, want{1, ErrServer}, want{1, ErrServer}, true},
		{"502", status(502), want{4, ErrServer}, want{4, ErrServer}, want{1, ErrServer}, true},
		{"503", status(503), want{4, ErrServer}, want{4, ErrServer}, want{1, ErrServer}, true},
		{"504", status(504), want{4, ErrServer}, want{4, ErrServer}, want{1, ErrServer}, true},
		{"dropped", dropped, want{4, unread}, want{4, unread}, want{1, ErrOutcomeUnknown}, true},
		{"cut body", cut, want{4, ErrBadAnswer}, want{1, nil}, want{1, ErrBadAnswer}, true},
		{"cut JSON", says(200, "application/json", `[{"id":`), want{4, ErrBadAnswer}, want{1, nil}, want{1, ErrBadAnswer}, true},
		{"broken JSON", says(200, "application/json", `{"id":}`), want{1, ErrBadAnswer}, want{1, nil}, want{1, ErrBadAnswer}, true},
		{"page", says(200, "text/html", `<title>Log in</title>`), want{1, ErrBadAnswer}, want{1, ErrBadAnswer}, want{1, ErrBadAnswer}, true},
		{"text", says(200, "text/plain", oneSource), want{1, ErrBadAnswer}, want{1, nil}, want{1, ErrBadAnswer}, true},
		{"strange encoding", says(200, "application/json", oneSource, "Content-Encoding", "br"), want{1, ErrBadAnswer}, want{1, nil}, want{1, ErrBadAnswer}, true},
		{"no gzip", says(200, "application/json", oneSource, "Content-Encoding", "gzip"), want{1, ErrBadAnswer}, want{1, nil}, want{1, ErrBadAnswer}, true},
		{"three sources for one", says(200, "application/json", "["+oneSource+","+oneSource+","+oneSource+"]"), want{1, ErrBadAnswer}, want{1, nil}, want{1, ErrBadAnswer}, true},
	}
	for _, c := range cases {
		for _, op := range []struct {
			name string
			call func(context.Context, *Client) error
			want want
		}{{"get", get, c.get}, {"delete", del, c.delete}, {"create", create, c.create}} {
			t.Run(c.name+"/"+op.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := answers(c.answer)
					client := inMemory(t, server)
					took := clock()
					err := op.call(t.Context(), client)
					if n := len(server.requests()); n != op.want.calls {
						t.Errorf("%d calls, want %d", n, op.want.calls)
					}
					if took() >= 15*time.Second {
						t.Errorf("took %s", took())
					}
					if op.want.class == nil {
						if err != nil {
							t.Fatal(err)
						}
						return
					}
					e := failure(t, err)
					if !errors.Is(op.want.class, unread) && !errors.Is(err, op.want.class) {
						t.Errorf("%v is not %v", err, op.want.class)
					}
					if errors.Is(err, ErrOutcomeUnknown) != (op.name == "create" && c.unknown) {
						t.Errorf("unknown outcome: %v", err)
					}
					if e.Attempts != op.want.calls {
						t.Errorf("%d attempts, want %d", e.Attempts, op.want.calls)
					}
					for _, request := range server.requests() {
						if request.body != server.requests()[0].body {
							t.Error("the body changed")
						}
					}
				})
			})
		}
	}
}

func TestARepeatThatSucceeds(t *testing.T) {
	for _, first := range []struct {
		name   string
		answer http.HandlerFunc
	}{{"503", status(503)}, {"dropped", dropped}, {"cut", cut}, {"429", status(429)}} {
		t.Run(first.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := answers(first.answer, first.answer, first.answer, found)
				c := inMemory(t, server)
				source, err := c.Sources.Get(t.Context(), theID)
				if err != nil || source.ID != theID {
					t.Fatal(source, err)
				}
			})
		})
	}
}

// A POST that never had a connection is repeated: the server did nothing.
func TestACreateThatNeverConnectedIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		server := &http.Server{Handler: answers(listed)}
		go func() { _ = server.Serve(listener) }()
		dials := 0
		client := defaultOver(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials++; dials < 3 {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
			}
			return listener.DialContext(ctx, network, addr)
		})
		c := made(t, WithHTTPClient(client))
		if err := create(t.Context(), c); err != nil || dials != 3 {
			t.Errorf("%v after %d dials", err, dials)
		}
		_ = server.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		c := made(t, WithHTTPClient(defaultOver(t, func(context.Context, string, string) (net.Conn, error) {
			dials++
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		})))
		err := create(t.Context(), c)
		if e := failure(t, err); errors.Is(err, ErrOutcomeUnknown) || dials != 4 || e.Attempts != 4 || e.Hint != "is http://127.0.0.1/some/where the METI API, and does it run?" {
			t.Errorf("%v after %d dials", err, dials)
		}
	})
}

// otelhttp, and what else hands its context on, lets the proof through.
func TestTracingTransportsProveTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		below := defaultOver(t, func(context.Context, string, string) (net.Conn, error) {
			dials++
			return nil, errors.New("no route")
		})
		c := made(t, WithHTTPClient(&http.Client{Transport: otelhttp.NewTransport(below.Transport)}))
		if err := create(t.Context(), c); errors.Is(err, ErrOutcomeUnknown) || dials != 4 {
			t.Errorf("%v after %d dials", err, dials)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		server := answers(dropped)
		below := inMemory(t, server)
		c := made(t, WithHTTPClient(&http.Client{Transport: otelhttp.NewTransport(below.http.Transport)}))
		if err := create(t.Context(), c); !errors.Is(err, ErrOutcomeUnknown) || len(server.requests()) != 1 {
			t.Errorf("%v after %d requests", err, len(server.requests()))
		}
	})
}

// A transport that does not report its connections proves nothing.
func TestATransportThatTellsNothingProvesNothing(t *testing.T) {
	calls := 0
	c := made(t, WithHTTPClient(&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		calls++
		return nil, errors.New("broken somehow")
	})}))
	if err := create(t.Context(), c); !errors.Is(err, ErrOutcomeUnknown) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// HTTP/2, over a real socket: a server that drops the stream after it read the
// request, and one that refuses the stream unread.
func TestHTTP2(t *testing.T) {
	requests := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("%s", r.Proto)
		}
		requests++
		if r.Method == http.MethodPost || requests == 2 {
			panic(http.ErrAbortHandler)
		}
		found(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c := made(t, WithHTTPClient(server.Client()), WithBaseURL(server.URL), WithRetryPolicy(RetryPolicy{Within: time.Minute}))
	if err := create(t.Context(), c); !errors.Is(err, ErrOutcomeUnknown) || requests != 1 {
		t.Errorf("%v after %d requests", err, requests)
	}
	if err := get(t.Context(), c); err != nil || requests != 3 {
		t.Errorf("%v after %d requests", err, requests)
	}
	// The default transport speaks it too.
	own := safehttp.Transport().Clone()
	own.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	defer own.CloseIdleConnections()
	c = made(t, WithHTTPClient(&http.Client{Transport: own}), WithBaseURL(server.URL))
	if err := get(t.Context(), c); err != nil {
		t.Error(err)
	}
	// Nobody is there any more: not connected, whatever the protocol.
	server.Close()
	c = made(t, WithHTTPClient(server.Client()), WithBaseURL(server.URL), WithRetryPolicy(RetryPolicy{Attempts: 2, Within: time.Minute}))
	if err := create(t.Context(), c); errors.Is(err, ErrOutcomeUnknown) || failure(t, err).Attempts != 2 {
		t.Error(err)
	}
}

// A host that does not exist is no use asking again.
func TestAHostThatDoesNotExist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, found := range []bool{false, true} {
			dials := 0
			c := made(t, WithHTTPClient(defaultOver(t, func(context.Context, string, string) (net.Conn, error) {
				dials++
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "example.com", IsNotFound: !found}}
			})))
			err := create(t.Context(), c)
			if errors.Is(err, ErrOutcomeUnknown) || found != (dials == 4) || !found && (dials != 1 || !strings.Contains(err.Error(), "is http://127.0.0.1/some/where the METI API?")) {
				t.Errorf("%v after %d dials", err, dials)
			}
		}
	})
}

// Certificates that are not trusted are final: nothing is sent, nothing repeated.
func TestUntrustedServers(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for base, hint := range map[string]string{
		server.URL: "certificate is not trusted",
		"https" + strings.TrimPrefix(plain.URL, "http"): "does not speak TLS",
	} {
		own := safehttp.Transport().Clone()
		c := made(t, WithHTTPClient(&http.Client{Transport: own}), WithBaseURL(base))
		err := create(t.Context(), c)
		if errors.Is(err, ErrOutcomeUnknown) || failure(t, err).Attempts != 1 || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", hint, err)
		}
		own.CloseIdleConnections()
	}
}

// An idle connection that the server closes just as the next POST is written:
// net/http must not repeat it, and neither do we, for it may have been read.
func TestACreateOnAConnectionThatIsBeingClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := raw(t, func(conn net.Conn) {
			for n := 0; ; n++ {
				if !readRequest(conn) {
					return
				}
				requests++
				if n == 1 { // the second on this connection: read, then closed
					return
				}
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n[%s]", len(oneSource)+2, oneSource)
			}
		})
		if err := create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		err := create(t.Context(), c)
		if !errors.Is(err, ErrOutcomeUnknown) || requests != 2 {
			t.Errorf("%v after %d requests", err, requests)
		}
		// A GET meets the same fate, and is repeated.
		if err := get(t.Context(), c); !errors.Is(err, ErrBadAnswer) { // a list is no source
			t.Error(err)
		}
	})
}

// A connection on which nothing could be written is no lost answer: net/http
// sends the POST on another one.
func TestACreateOnAConnectionThatWasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := raw(t, func(conn net.Conn) {
			if readRequest(conn) {
				requests++
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n[%s]", len(oneSource)+2, oneSource)
			}
		})
		for range 3 {
			if err := create(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if requests != 3 {
			t.Errorf("%d requests", requests)
		}
	})
}

// After an idle time in which common servers close connections, none is kept.
func TestIdleConnectionsAreDroppedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := 0
		c := raw(t, func(conn net.Conn) {
			conns++
			for readRequest(conn) {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n[%s]", len(oneSource)+2, oneSource)
			}
		})
		for range 2 {
			if err := create(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(4500 * time.Millisecond)
		}
		if conns != 2 {
			t.Errorf("%d connections", conns)
		}
	})
}

// readRequest reads one request's header and its body, whose length is stated.
func readRequest(conn net.Conn) bool {
	var text []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return false
		}
		text = append(text, buffer[:n]...)
		head, body, whole := strings.Cut(string(text), "\r\n\r\n")
		if !whole {
			continue
		}
		length := 0
		for line := range strings.SplitSeq(head, "\r\n") {
			_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
		}
		if len(body) >= length {
			return true
		}
	}
}

// A DELETE whose answer was lost and whose repeat finds nothing has succeeded.
func TestADeleteThatIsFoundDone(t *testing.T) {
	for _, c := range []struct {
		name  string
		first http.HandlerFunc
		class error
	}{
		{"dropped", dropped, nil},
		{"503", status(503), nil},
		{"429", status(429), ErrNotFound}, // the server did nothing
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := answers(c.first, gone)
				client := inMemory(t, server)
				if err := del(t.Context(), client); !errors.Is(err, c.class) {
					t.Errorf("%v, want %v", err, c.class)
				}
				if err := get(t.Context(), client); !errors.Is(err, ErrNotFound) {
					t.Error("a GET that finds nothing has failed:", err)
				}
			})
		})
	}
}

func TestUnauthorizedIsRepeatedOnce(t *testing.T) {
	for _, operation := range operations {
		t.Run(operation.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tokens := &auth0{scope: allScopes}
				server := answers(status(401), operation.good)
				c := inMemory(t, server, WithAuth(tokens.source(t)))
				if err := operation.call(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				got := server.requests()
				if len(got) != 2 || got[0].token != tokenName(1) || got[1].token != tokenName(2) || got[0].body != got[1].body || tokens.count() != 2 {
					t.Errorf("%d tokens, requests %+v", tokens.count(), got)
				}

				// A second 401 surfaces, after exactly two calls, and names no token.
				server = answers(says(401, "application/json", `{"detail":"no: sentinel-token-number-1 \u0073entinel-token-number-2"}`))
				tokens = &auth0{scope: allScopes}
				c = inMemory(t, server, WithAuth(tokens.source(t)))
				err := operation.call(t.Context(), c)
				e := failure(t, err)
				if !errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrOutcomeUnknown) || e.Attempts != 2 || len(server.requests()) != 2 || tokens.count() != 2 {
					t.Errorf("%v after %d calls and %d tokens", err, len(server.requests()), tokens.count())
				}
				if strings.Contains(fmt.Sprintf("%v %+v %#v %s", e, e, e, e.Body), "sentinel-token") {
					t.Errorf("the error shows a token: %v %s", e, e.Body)
				}
			})
		})
	}
}

// A token that was refused is not sent a second time: Auth0 may have no other.
func TestARefusedTokenIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		source, err := authn.New(authn.Config{Domain: "tenant.example.com", ClientID: "id", ClientSecret: "sentinel-secret", Warn: func(error) {},
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				_ = r.Body.Close()
				fetches++
				return recorded(says(200, "application/json", `{"access_token":"`+staticToken+`","expires_in":3600,"scope":"`+allScopes+`"}`), r), nil
			})})
		if err != nil {
			t.Fatal(err)
		}
		server := answers(status(401))
		err = get(t.Context(), inMemory(t, server, WithAuth(source)))
		if e := failure(t, err); !errors.Is(err, ErrUnauthorized) || e.Status != 401 || e.Attempts != 1 || len(server.requests()) != 1 || fetches != 2 {
			t.Errorf("%v after %d calls and %d fetches", err, len(server.requests()), fetches)
		}
	})
}

// When the answer was 401 and there is no new token, both are told.
func TestNoNewTokenAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		source, err := authn.New(authn.Config{Domain: "tenant.example.com", ClientID: "id", ClientSecret: "sentinel-secret",
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				_ = r.Body.Close()
				if fetches++; fetches == 1 {
					return recorded(says(200, "application/json", `{"access_token":"`+staticToken+`","expires_in":3600,"scope":"`+allScopes+`"}`), r), nil
				}
				return recorded(says(403, "application/json", `{"error":"access_denied","error_description":"the client was locked"}`), r), nil
			}), Warn: func(error) {}})
		if err != nil {
			t.Fatal(err)
		}
		server := answers(status(401, "X-Request-Id", "req-1"))
		c := inMemory(t, server, WithAuth(source))
		err = get(t.Context(), c)
		var fetch *authn.FetchError
		if e := failure(t, err); !errors.Is(err, ErrUnauthorized) || !errors.As(err, &fetch) || e.Status != 401 || e.RequestID != "req-1" || e.Attempts != 1 || len(server.requests()) != 1 ||
			!strings.Contains(err.Error(), "the words of status; and then: ") || !strings.Contains(err.Error(), "the client was locked") {
			t.Error(err)
		}
	})
}

func TestForbiddenFetchesNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := &auth0{scope: allScopes}
		server := answers(status(403))
		c := inMemory(t, server, WithAuth(tokens.source(t)))
		err := del(t.Context(), c)
		if !errors.Is(err, ErrForbidden) || len(server.requests()) != 1 || tokens.count() != 1 {
			t.Errorf("%v after %d calls and %d tokens", err, len(server.requests()), tokens.count())
		}

		// What is not known to lack is sent, and the service refuses.
		c = inMemory(t, server)
		err = del(t.Context(), c)
		if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "ask your Auth0 administrator for delete:sources") || len(server.requests()) != 2 {
			t.Error(err)
		}
	})
}

func TestAMissingScopeIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := &auth0{scope: "read:sources"}
		server := answers(listed)
		c := inMemory(t, server, WithAuth(tokens.source(t)))
		if _, err := c.Sources.List(t.Context(), ListParams{}); err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string]func(context.Context, *Client) error{"write:sources": create, "delete:sources": del} {
			err := call(t.Context(), c)
			var scope *authn.ScopeError
			if !errors.Is(err, ErrForbidden) || !errors.As(err, &scope) || !slices.Equal(scope.Need, []string{name}) || !slices.Equal(scope.Have, []string{"read:sources"}) ||
				!strings.Contains(err.Error(), "needs the scope "+name+", the token has read:sources: ask your Auth0 administrator for "+name) {
				t.Error(err)
			}
			if failure(t, err).Attempts != 0 {
				t.Error("attempts were counted")
			}
		}
		if n := len(server.requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// tokenFunc is a caller's own source of tokens.
type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }

func TestWithoutATokenNothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("the vault is sealed")
		for name, source := range map[string]tokenFunc{
			"error":    func() (*oauth2.Token, error) { return nil, cause },
			"nil":      func() (*oauth2.Token, error) { return nil, nil },
			"no token": func() (*oauth2.Token, error) { return &oauth2.Token{}, nil },
		} {
			server := answers(listed)
			c := inMemory(t, server, WithTokenSource(source))
			for _, operation := range operations {
				err := operation.call(t.Context(), c)
				if !errors.Is(err, ErrNoToken) || errors.Is(err, ErrUnauthorized) || len(server.requests()) != 0 || errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("%s: %s: %v", name, operation.name, err)
				}
				if name == "error" && !errors.Is(err, cause) {
					t.Error("the cause is lost:", err)
				}
			}
		}

		// The authn error is there for errors.As.
		source, err := authn.New(authn.Config{Domain: "tenant.example.com", ClientID: "id", ClientSecret: "sentinel-secret",
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				_ = r.Body.Close()
				w := says(401, "application/json", `{"error":"access_denied","error_description":"Unauthorized"}`)
				return recorded(w, r), nil
			})})
		if err != nil {
			t.Fatal(err)
		}
		server := answers(listed)
		c := inMemory(t, server, WithAuth(source))
		err = get(t.Context(), c)
		var fetch *authn.FetchError
		if !errors.Is(err, ErrUnauthorized) || !errors.As(err, &fetch) || fetch.Code != "access_denied" || len(server.requests()) != 0 {
			t.Error(err)
		}
	})
}

// The token is asked for at each attempt: one that ended during a wait is not
// used again.
func TestEachAttemptHasACurrentToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := tokenFunc(func() (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "token-of-" + time.Now().Format("05.000000")}, nil
		})
		server := answers(status(503, "Retry-After", "2"), found)
		c := inMemory(t, server, WithTokenSource(source))
		if err := get(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := server.requests(); got[0].token == got[1].token {
			t.Error("the old token was sent again")
		}
	})
}

// A token source that hangs does not hang the call.
func TestATokenSourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		server := answers(found)
		c := inMemory(t, server, WithTokenSource(tokenFunc(func() (*oauth2.Token, error) {
			<-release
			return nil, errors.New("too late")
		})))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := get(ctx, c); !errors.Is(err, context.DeadlineExceeded) || len(server.requests()) != 0 {
			t.Error(err)
		}
		close(release)
	})
}

func TestContextsAreObeyed(t *testing.T) {
	stage := map[string]http.HandlerFunc{
		"headers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("[" + oneSource + ","))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"backoff": status(503),
	}
	reason := errors.New("the reason")
	for name, answer := range stage {
		for _, operation := range operations {
			if name == "backoff" && operation.name == "createSources" || name == "body" && strings.HasPrefix(operation.name, "delete") {
				continue // no wait, no body
			}
			t.Run(name+"/"+operation.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := inMemory(t, answers(answer), WithRetryPolicy(RetryPolicy{Within: 1e6 * time.Hour}))
					ctx, cancel := context.WithCancelCause(t.Context())
					stop := time.AfterFunc(100*time.Millisecond, func() { cancel(reason) })
					defer stop.Stop()
					took := clock()
					err := operation.call(ctx, c)
					if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || took() != 100*time.Millisecond {
						t.Errorf("%v after %s", err, took())
					}
					if errors.Is(err, ErrOutcomeUnknown) != (operation.name == "createSources") {
						t.Error(err)
					}
					if e := failure(t, err); name == "backoff" && e.Status != 503 {
						t.Errorf("the last answer is lost: %v", e)
					}

					ctx, stopped := context.WithTimeout(t.Context(), 100*time.Millisecond)
					defer stopped()
					took = clock()
					err = operation.call(ctx, c)
					if name != "backoff" && !errors.Is(err, context.DeadlineExceeded) || took() > 100*time.Millisecond {
						t.Errorf("%v after %s", err, took())
					}
				})
			})
		}
	}
	// A context that ended before the call sends nothing.
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		server := answers(listed)
		c := inMemory(t, server)
		for _, operation := range operations {
			err := operation.call(ctx, c)
			if !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, ErrUnauthorized) || failure(t, err).Attempts != 0 {
				t.Error(err)
			}
		}
		// With a token at hand too.
		tokens := (&auth0{scope: allScopes}).source(t)
		if _, err := tokens.Token(); err != nil {
			t.Fatal(err)
		}
		c = inMemory(t, server, WithAuth(tokens))
		if err := create(ctx, c); !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) || failure(t, err).Attempts != 0 {
			t.Error(err)
		}
		if len(server.requests()) != 0 {
			t.Error("sent")
		}
	})
	// A caller who leaves while the token is fetched is not unauthorized.
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		source, err := authn.New(authn.Config{Domain: "tenant.example.com", ClientID: "id", ClientSecret: "sentinel-secret",
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				<-release
				return nil, errors.New("too late")
			})})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		c := inMemory(t, answers(listed), WithAuth(source))
		err = create(ctx, c)
		var fetch *authn.FetchError
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrNoToken) || errors.Is(err, ErrOutcomeUnknown) || !errors.As(err, &fetch) {
			t.Error(err)
		}
		close(release)
		time.Sleep(time.Minute) // the fetch belongs to the source, and ends
	})
}

// The client prints without what a token source of the caller's may hold.
func TestTheClientPrintsNoToken(t *testing.T) {
	c := made(t, WithTokenSource(plainToken(staticToken)))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{c, *c} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, staticToken) {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
	if text, err := json.Marshal(c); err == nil && strings.Contains(string(text), staticToken) {
		t.Error(string(text))
	}
}

type plainToken string

func (p plainToken) Token() (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: string(p)}, nil
}
