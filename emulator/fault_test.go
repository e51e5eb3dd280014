package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meti-go/meti/emulator"
)

func mustFault(t testing.TB, text string) emulator.Fault {
	t.Helper()
	f, err := emulator.ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bubble is an emulator in a testing/synctest bubble, over net.Pipe: waits take
// no time.
type bubble struct {
	t      *testing.T
	server *emulator.Server
	client *http.Client
	token  string
}

// inBubble runs a test with an emulator that has these faults, once a token has
// been fetched.
func inBubble(t *testing.T, faults string, test func(*bubble)) {
	t.Helper()
	countries := everywhere(t)
	synctest.Test(t, func(t *testing.T) {
		server, err := emulator.New(emulator.Options{Accounts: []emulator.Account{north}, Countries: countries, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		pipes := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		serving := &http.Server{Handler: server.Handler()}
		go func() { _ = serving.Serve(pipes) }()
		transport := &http.Transport{DialContext: pipes.dial, DisableKeepAlives: true}
		b := &bubble{t: t, server: server, client: &http.Client{Transport: transport}}
		got, err := b.send(t.Context(), "POST", "/oauth/token", tokenBody(north))
		if err != nil {
			t.Fatal(err)
		}
		b.token = got.token(t).AccessToken
		var list []emulator.Fault
		for _, text := range strings.Fields(faults) {
			list = append(list, mustFault(t, text))
		}
		if err := server.SetFaults(list); err != nil {
			t.Fatal(err)
		}
		test(b)
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
		_ = serving.Close()
	})
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (b *bubble) send(ctx context.Context, method, path, body string) (answer, error) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+b.token)
	got, err := b.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	a := answer{got.StatusCode, got.Header, text}
	if err == nil {
		if err := conforms(request, a); err != nil {
			b.t.Errorf("%s %s: answer %d breaks openapi.yaml: %v\n%s", method, path, a.status, err, a.body)
		}
	}
	return a, err
}

// stored is how many sources there are now.
func (b *bubble) stored() int {
	b.t.Helper()
	got, err := b.send(b.t.Context(), "GET", "/sources", "")
	if err != nil {
		b.t.Fatal(err)
	}
	return len(got.sources(b.t))
}

// after runs do and checks how long it took, to the millisecond.
func (b *bubble) after(want time.Duration, do func()) {
	b.t.Helper()
	start := time.Now()
	do()
	if took := time.Since(start).Truncate(time.Millisecond); took != want {
		b.t.Errorf("it took %v, not %v", took, want)
	}
}

func (b *bubble) post() (answer, error) {
	b.t.Helper()
	return b.send(b.t.Context(), "POST", "/sources", square("a", 0, 0, ""))
}

// TestFaults tries each kind on creating: what the client gets, when, and what
// is stored in the end.
func TestFaults(t *testing.T) {
	broken := func(t *testing.T, _ answer, err error) {
		if err == nil {
			t.Error("an answer came")
		}
	}
	status := func(want int, retryAfter, body string) func(*testing.T, answer, error) {
		return func(t *testing.T, got answer, err error) {
			t.Helper()
			if err != nil || got.status != want || got.header.Get("Retry-After") != retryAfter || !strings.Contains(string(got.body), body) {
				t.Errorf("%d %v %s %v", got.status, got.header, got.body, err)
			}
		}
	}
	for _, one := range []struct {
		faults string
		took   time.Duration
		stored int // as soon as the client knows
		later  int // in the end
		want   func(*testing.T, answer, error)
	}{
		{"createSources:400", 0, 0, 0, status(400, "", `"detail"`)},
		{"createSources:401", 0, 0, 0, status(401, "", `"detail"`)},
		{"createSources:403", 0, 0, 0, status(403, "", `"detail"`)},
		{"createSources:413", 0, 0, 0, status(413, "", `"detail"`)},
		{"createSources:422", 0, 0, 0, status(422, "", `"loc":["body"]`)},
		{"createSources:429:retry-after=2s", 0, 0, 0, status(429, "2", `"detail"`)},
		{"createSources:500", 0, 0, 0, status(500, "", `"status":500`)},
		{"createSources:503:retry-after=1500ms", 0, 0, 0, status(503, "2", `"status":503`)},
		{"createSources:201", 0, 1, 1, status(201, "", `"alt_id":"a"`)},
		{"createSources:html", 0, 0, 0, status(502, "", "<h1>Bad Gateway</h1>")},
		{"createSources:html:status=200", 0, 0, 0, status(200, "", "<h1>OK</h1>")},
		{"createSources:latency:delay=3s", 3 * time.Second, 1, 1, status(200, "", `"alt_id":"a"`)},
		{"*:latency:delay=1s:x1 createSources:latency:delay=2s createSources:503", 3 * time.Second, 0, 0, status(503, "", "")},
		{"createSources:drop", 0, 0, 0, broken},
		{"createSources:drop-after", 0, 1, 1, broken},
		{"createSources:drop-after:delay=5s", 5 * time.Second, 1, 1, broken},
		{"createSources:late-commit", 0, 0, 1, broken},
		{"createSources:late-commit:delay=40s:status=503", 0, 0, 1, status(503, "", `"status":503`)},
		{"createSources:blind:delay=9s createSources:late-commit:delay=40s", 0, 0, 1, broken},
		{"createSources:truncate", 0, 1, 1, func(t *testing.T, got answer, err error) {
			if !errors.Is(err, io.ErrUnexpectedEOF) || got.status != 200 || !strings.HasPrefix(string(got.body), `[{"id":"src_`) {
				t.Errorf("%d %s %v", got.status, got.body, err)
			}
		}},
		{"createSources:hang:delay=9s", 9 * time.Second, 0, 0, broken},
	} {
		t.Run(one.faults, func(t *testing.T) {
			inBubble(t, one.faults, func(b *bubble) {
				b.after(one.took, func() {
					got, err := b.post()
					one.want(b.t, got, err)
				})
				if n := b.stored(); n != one.stored {
					b.t.Errorf("%d stored at once, not %d", n, one.stored)
				}
				time.Sleep(time.Minute)
				if n := b.stored(); n != one.later {
					b.t.Errorf("%d stored later, not %d", n, one.later)
				}
			})
		})
	}
}

func TestFaultHang(t *testing.T) {
	inBubble(t, "createSources:hang", func(b *bubble) {
		b.after(time.Minute, func() {
			ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
			defer cancel()
			if _, err := b.send(ctx, "POST", "/sources", square("a", 0, 0, "")); !errors.Is(err, context.DeadlineExceeded) {
				b.t.Error(err)
			}
		})
		if n := b.stored(); n != 0 {
			b.t.Errorf("%d stored", n)
		}
	})
}

func TestFaultDrip(t *testing.T) {
	inBubble(t, "deleteSource:drip", func(b *bubble) {
		b.after(29*time.Second, func() { // {"detail":"Source not found"}
			got, err := b.send(b.t.Context(), "DELETE", "/sources/src_0000000000000", "")
			if err != nil || got.status != 404 {
				b.t.Error(got, err)
			}
		})
	})
}

// TestFaultStaleRead: a read that lags shows what is old enough, and passes on
// to the faults behind it.
func TestFaultStaleRead(t *testing.T) {
	inBubble(t, "*:stale-read:delay=5s listSources:503:skip=4:x1", func(b *bubble) {
		first, err := b.post()
		if err != nil || first.status != 200 {
			b.t.Fatal(first, err)
		}
		one := func() int {
			got, err := b.send(b.t.Context(), "GET", "/sources/"+first.sources(b.t)[0].ID, "")
			if err != nil {
				b.t.Fatal(err)
			}
			return got.status
		}
		time.Sleep(3 * time.Second)
		if n, status := b.stored(), one(); n != 0 || status != 404 {
			b.t.Error("after 3 s:", n, status)
		}
		if _, err := b.post(); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if n, status := b.stored(), one(); n != 1 || status != 200 {
			b.t.Error("after 5 s:", n, status)
		}
		time.Sleep(3 * time.Second)
		if n := b.stored(); n != 2 {
			b.t.Error("after 8 s:", n)
		}
		if n := b.stored(); n != 2 {
			b.t.Error("after 8 s:", n)
		}
		if got, err := b.send(b.t.Context(), "GET", "/sources", ""); err != nil || got.status != 503 {
			b.t.Error(got, err)
		}
	})
}

// TestFaultBlind: two transactions at the same moment do not see each other.
func TestFaultBlind(t *testing.T) {
	inBubble(t, "createSources:blind:x1:delay=5s", func(b *bubble) {
		slow := make(chan answer)
		go func() {
			got, err := b.post()
			if err != nil {
				b.t.Error(err)
			}
			slow <- got
		}()
		time.Sleep(time.Second)
		quick, err := b.post()
		if err != nil {
			b.t.Fatal(err)
		}
		last := <-slow
		for _, got := range []answer{quick, last} {
			if s := got.sources(b.t)[0]; s.Conflict {
				b.t.Errorf("%s", got.body)
			}
		}
		third, err := b.post()
		if err != nil {
			b.t.Fatal(err)
		}
		if s := third.sources(b.t)[0]; len(s.ConflictWith) != 2 {
			b.t.Errorf("%s", third.body)
		}
	})
}

// TestFaultRound: the coordinates of answers are rounded, and nothing else is.
func TestFaultRound(t *testing.T) {
	inBubble(t, "listSources:round:digits=3:x1 listSources:html:skip=2", func(b *bubble) {
		body := strings.ReplaceAll(square("1.23456", 0, 0, ""), "[2,", "[200.123456e-2,")
		if got, err := b.send(b.t.Context(), "POST", "/sources", body); err != nil || got.status != 200 {
			b.t.Fatalf("%d %s %v", got.status, got.body, err)
		}
		for _, want := range []string{"[2.001,", "[200.123456e-2,"} {
			got, err := b.send(b.t.Context(), "GET", "/sources", "")
			if err != nil || !strings.Contains(string(got.body), want) || !strings.Contains(string(got.body), `"alt_id":"1.23456"`) {
				b.t.Errorf("want %s in %s, %v", want, got.body, err)
			}
		}
	})
}

// TestFaultToken: the token endpoint fails in Auth0's shapes.
func TestFaultToken(t *testing.T) {
	inBubble(t, "requestToken:429:retry-after=30s:x1 requestToken:403:x1 requestToken:503:x1", func(b *bubble) {
		got, err := b.send(b.t.Context(), "POST", "/oauth/token", tokenBody(north))
		if err != nil || got.status != 429 || got.header.Get("X-Ratelimit-Remaining") != "0" || got.header.Get("Retry-After") != "30" {
			b.t.Error(got, err)
		}
		for _, want := range []struct {
			status int
			body   string
		}{{403, `"error":"access_denied"`}, {503, `"status":503`}, {200, `"access_token"`}} {
			got, err = b.send(b.t.Context(), "POST", "/oauth/token", tokenBody(north))
			if err != nil || got.status != want.status || !strings.Contains(string(got.body), want.body) {
				b.t.Errorf("%d %s %v", got.status, got.body, err)
			}
		}
	})
}

// TestFaultChoice: counts, skips and probabilities, and that a seed repeats
// them.
func TestFaultChoice(t *testing.T) {
	statuses := func(server *emulator.Server, n int) (got []int) {
		for range n {
			got = append(got, get(t, server.URL+"/sources").status)
		}
		return got
	}
	server := start(t, emulator.Options{Faults: []emulator.Fault{
		mustFault(t, "listSources:503:x2:skip=1"), mustFault(t, "listSources:500:x1"), mustFault(t, "getSource:404"),
	}})
	same(t, "in order", statuses(server, 5), []int{500, 503, 503, 401, 401})
	var left []string
	for _, f := range server.Faults() {
		left = append(left, f.String())
	}
	same(t, "left", left, []string{"getSource:404"})

	var runs [][]int
	for _, seed := range []uint64{1, 1, 2} {
		server := start(t, emulator.Options{Seed: seed, Faults: []emulator.Fault{mustFault(t, "listSources:503:0.3")}})
		run := statuses(server, 200)
		hits := 0
		for _, status := range run {
			if status == 503 {
				hits++
			}
		}
		if hits < 40 || hits > 80 {
			t.Errorf("%d of 200 at 0.3", hits)
		}
		runs = append(runs, run)
	}
	if !slices.Equal(runs[0], runs[1]) || slices.Equal(runs[0], runs[2]) {
		t.Error("a seed does not repeat the faults, or two seeds do")
	}
}

// TestAdmin sets faults from outside, where that was asked for.
func TestAdmin(t *testing.T) {
	server := start(t, emulator.Options{Admin: true})
	c := as(t, server, north)
	c.create(square("a", 0, 0, ""))
	if got := c.do(200, "PUT", "/_emulator/faults", `["listSources:503:x1"]`); string(got.body) != `["listSources:503:x1"]` {
		t.Errorf("%s", got.body)
	}
	c.do(503, "GET", "/sources", "")
	if got := c.do(200, "GET", "/_emulator/faults", ""); string(got.body) != `[]` {
		t.Errorf("%s", got.body)
	}
	for _, bad := range []string{`{}`, `["x"]`, `[`, `["listSources:503:nonsense=1"]`} {
		c.do(400, "PUT", "/_emulator/faults", bad)
	}
	c.do(200, "PUT", "/_emulator/faults", `["*:500"]`)
	c.do(204, "DELETE", "/_emulator/faults", "")
	c.list("")
	var counts map[string]int
	if err := json.Unmarshal(c.do(200, "GET", "/_emulator/requests", "").body, &counts); err != nil {
		t.Fatal(err)
	}
	if counts["requestToken"] != 1 || counts["createSources"] != 1 || counts["listSources"] != 2 {
		t.Error(counts)
	}
	c.do(204, "POST", "/_emulator/reset", "")
	if got := c.list(""); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	if n := server.Requests()["listSources"]; n != 1 {
		t.Errorf("%d counted since the reset", n)
	}
}

// TestClose: hanging requests and late commits end with the server, and the
// answer under way is finished.
func TestClose(t *testing.T) {
	server, err := emulator.Start(emulator.Options{Accounts: []emulator.Account{north}, Faults: []emulator.Fault{
		mustFault(t, "getSource:hang"), mustFault(t, "createSources:late-commit:delay=1h:status=503"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := as(t, server, north)
	c.do(503, "POST", "/sources", square("a", 0, 0, ""))
	unused, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://")) // opened by a pool, never used
	if err != nil {
		t.Fatal(err)
	}
	defer unused.Close()
	hung := make(chan error)
	go func() {
		_, err := c.try("GET", "/sources/x", "", "")
		hung <- err
	}()
	for server.Requests()["getSource"] == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 2 {
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-hung; err == nil {
		t.Error("a hanging request was answered")
	}
	http.DefaultClient.CloseIdleConnections()
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://")); err == nil {
		conn.Close()
		t.Error("it listens still")
	}
}

func TestParseFault(t *testing.T) {
	f := mustFault(t, "createSources:late-commit:0.25:x3:skip=2:delay=1.5s:status=504")
	want := emulator.Fault{Operation: "createSources", Kind: emulator.FaultLateCommit, Probability: 0.25, Count: 3, Skip: 2, Delay: 1500 * time.Millisecond, Status: 504}
	if f != want {
		t.Errorf("%+v", f)
	}
	for _, bad := range []string{
		"", "createSources", "update:503", "createSources:explode", "createSources:status", "createSources:99", "createSources:600",
		"createSources:503:2", "createSources:503:0", "createSources:503:-1", "createSources:503:NaN", "createSources:503:x0", "createSources:503:x-1", "createSources:503:xx",
		"createSources:503:skip=-1", "createSources:503:delay=1s", "createSources:latency", "createSources:latency:delay=-1s",
		"listSources:round", "listSources:round:digits=0", "listSources:round:digits=16", "listSources:round:digits=6:delay=1s", "createSources:drop:digits=3",
		"createSources:drop:delay=1s", "createSources:drop:status=500", "createSources:hang:retry-after=1s", "createSources:503:what=1", "createSources:503:retry-after=5",
	} {
		if f, err := emulator.ParseFault(bad); err == nil {
			t.Errorf("%q became %+v", bad, f)
		}
		if bad == "" {
			continue
		}
	}
	if err := start(t, emulator.Options{}).SetFaults([]emulator.Fault{{Operation: "x"}}); err == nil {
		t.Error("an unknown operation was taken")
	}
}

// FuzzParseFault: what is read is written so that it is read the same.
func FuzzParseFault(f *testing.F) {
	for _, seed := range []string{
		"createSources:drop-after:0.2", "listSources:429:x3:retry-after=2s", "*:latency:delay=50ms",
		"createSources:late-commit:x1:delay=500ms:status=504", "getSource:html:status=200:1e-3", "*:stale-read:delay=2s",
		"createSources:blind:0.5:delay=1s", "listSources:round:digits=6", "a:b:c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fault, err := emulator.ParseFault(text)
		if err != nil {
			return
		}
		again, err := emulator.ParseFault(fault.String())
		if err != nil || again != fault {
			t.Errorf("%q is %+v, written %q, read %+v %v", text, fault, fault, again, err)
		}
	})
}
