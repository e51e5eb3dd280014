package emulator_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
)

// handled sends a request to a server without a network.
func handled(t *testing.T, server *emulator.Server, method, path, token, body string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	recorder := httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, request)
	return recorder
}

// TestRepeatable: with a seed and a stopped clock the same requests give the
// same bytes in every emulator, and again after a reset: tokens, ids, answers.
func TestRepeatable(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	run := func(server *emulator.Server) string {
		server.SetClock(now, true)
		var all strings.Builder
		send := func(method, path, token, body string) []byte {
			got := handled(t, server, method, path, token, body)
			fmt.Fprintln(&all, got.Code, got.Body)
			return got.Body.Bytes()
		}
		for _, prefix := range []string{"", "/sandbox"} {
			token := answer{body: send("POST", "/oauth/token", "", tokenBody(north))}.token(t).AccessToken
			send("GET", "/sources", token, "")
			first := answer{body: send("POST", prefix+"/sources", token, square("a", 0, 0, ""))}.sources(t)[0]
			send("POST", prefix+"/sources", token, `{"feature_collection":`+squares([]string{"b", "c", "d"}, 0.5, 0)+`,"tags":["x"]}`)
			if prefix == "" {
				send("DELETE", "/sources/"+first.ID, token, "")
			}
			send("GET", prefix+"/sources", token, "")
		}
		return all.String()
	}
	var runs []string
	for range 2 {
		server, err := emulator.New(emulator.Options{
			Seed: 1, URL: "http://emulator.example", Accounts: []emulator.Account{north}, Countries: everywhere(t), Clock: now,
			Sources: []io.Reader{strings.NewReader(squares([]string{"there", "before"}, 0, 0.5))},
			Faults:  []emulator.Fault{mustFault(t, "listSources:503:0.5")},
		})
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run(server))
		if err := server.AddAccount(south); err != nil {
			t.Fatal(err)
		}
		if err := server.SetFaults(nil); err != nil {
			t.Fatal(err)
		}
		server.SetClock(now.Add(time.Hour), true)
		if err := server.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(server.Requests()) > 0 || len(server.LastRequests(10)) > 0 || len(server.Accounts()) != 1 || len(server.Faults()) != 1 || server.Now().Sub(now) > 30*time.Minute {
			t.Errorf("after a reset: %v, %v, %v, %v, %v", server.Requests(), server.LastRequests(10), server.Accounts(), server.Faults(), server.Now())
		}
		runs = append(runs, run(server))
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	for i, again := range runs {
		if again != runs[0] {
			t.Errorf("run %d differs:\n%s\nfrom\n%s", i, again, runs[0])
		}
	}
	if !strings.Contains(runs[0], `"alt_id":"before"`) || !strings.Contains(runs[0], `"conflict":true`) {
		t.Error(runs[0])
	}
}

// TestResetOfFile: what a file held at the start is there again after a reset,
// and so is the id that comes next.
func TestResetOfFile(t *testing.T) {
	o := emulator.Options{Data: t.TempDir() + "/meti.db", Seed: 3, Sources: []io.Reader{strings.NewReader(square("seeded", 30, 0, ""))}}
	o.Accounts, o.Countries = []emulator.Account{north}, everywhere(t)
	first, err := emulator.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	as(t, first, north).create(squares([]string{"a", "b"}, 0, 0))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	o.Sources = []io.Reader{strings.NewReader(square("not again", 30, 0, ""))}
	server := start(t, o)
	c := as(t, server, north)
	before := string(c.do(200, "GET", "/sources", "").body)
	next := c.create(square("over", 0.5, 0, ""))[0]
	c.do(204, "DELETE", "/sources?alt_id=b", "")
	c.do(204, "DELETE", "/sources?alt_id=seeded", "")
	if err := server.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := string(c.do(200, "GET", "/sources", "").body); after != before || !strings.Contains(after, "seeded") {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	if again := c.create(square("over", 0.5, 0, ""))[0]; again.ID != next.ID || !slices.Equal(again.ConflictWith, next.ConflictWith) {
		t.Errorf("%+v, not %+v", again, next)
	}
}

// TestDataKeepsKeys: a token outlives a restart on the same address, and nobody
// else may read the file that the key is in.
func TestDataKeepsKeys(t *testing.T) {
	path := t.TempDir() + "/meti.db"
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o := emulator.Options{Data: path, URL: "http://emulator.example", Accounts: []emulator.Account{north}}
	var token string
	for range 2 {
		server, err := emulator.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		if token == "" {
			if token, err = server.Token(emulator.TokenSpec{}); err != nil {
				t.Fatal(err)
			}
		}
		if got := handled(t, server, "GET", "/sources", token, ""); got.Code != 200 {
			t.Errorf("%d %s", got.Code, got.Body)
		}
		files, err := os.ReadDir(strings.TrimSuffix(path, "/meti.db"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if info, err := file.Info(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", file.Name(), info.Mode(), err)
			}
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAsTheServiceAnswers holds what is known of METI's answers beyond
// openapi.yaml.
func TestAsTheServiceAnswers(t *testing.T) {
	server := start(t, emulator.Options{})
	c, admin := as(t, server, north), as(t, server, boss)
	one := c.create(square("untouched", 0, 0, ""))[0]
	if one.CreatedAt != one.UpdatedAt || one.ConflictWith == nil {
		t.Errorf("%+v", one)
	}
	for more, want := range map[string]string{
		`,"created_by":""`:                `"loc":["body","created_by"]`,
		`,"created_by":"auth0|x@clients"`: `"loc":["body","created_by"]`,
		`,"updated_by":"7"`:               `"loc":["body","updated_by"]`,
	} {
		if got := c.do(422, "POST", "/sources", square("x", 9, 0, more)); !strings.Contains(string(got.body), want) {
			t.Errorf("%s: %s", more, got.body)
		}
	}
	if got := c.create(square("x", 9, 0, `,"created_by":"{AAAAAAAA-0000-4000-8000-00000000000C}","account_id":"whatever"`)); *got[0].AccountID != north.AccountID {
		t.Errorf("%+v", got)
	}
	if got := c.do(200, "GET", "/sources?alt_id=x", ""); !strings.Contains(string(got.body), `"created_by":"aaaaaaaa-0000-4000-8000-00000000000c"`) {
		t.Errorf("%s", got.body)
	}
	admin.do(422, "POST", "/sources", square("x", 12, 0, `,"account_id":"whatever"`))

	// Where a path without slashes at its end is.
	follow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range map[string]string{
		"/sources/?limit=1": "/sources?limit=1", "/sources//": "/sources", "/sources/" + one.ID + "/": "/sources/" + one.ID, "/sandbox/sources/": "/sandbox/sources",
		"//sources": "", "/oauth/token/": "", "/healthz/": "", "/sources/a/b/": "", "/sources/a%2F%2Fb": "", "/sources/a%2F..%2Fb": "",
	} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := follow.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if want == "" && got.StatusCode != 404 || want != "" && (got.StatusCode != 307 || got.Header.Get("Location") != server.URL+want) {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.Header.Get("Location"))
		}
	}
}

// TestSandboxExample posts the example of the sandbox's page, which has no
// dates.
func TestSandboxExample(t *testing.T) {
	var log bytes.Buffer
	server := start(t, emulator.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	box := as(t, server, north).sandbox()
	example := `{"alt_id":"field-001","methodology":"Agriculture","geometry":` + squareGeometry(0, 0) + `}`
	posted := box.do(200, "POST", "/sources", example)
	if text := string(posted.body); strings.Contains(text, "start_at") || strings.Contains(text, "end_at") || !strings.Contains(text, `"conflict":false`) {
		t.Error(text)
	}
	if !strings.Contains(log.String(), "the ledger would refuse this") {
		t.Error(log.String())
	}
	id := posted.sources(t)[0].ID
	if got := box.do(200, "GET", "/sources/"+id, ""); "["+string(got.body)+"]" != string(posted.body) {
		t.Errorf("%s\n%s", got.body, posted.body)
	}
	if got := box.do(200, "GET", "/sources", ""); string(got.body) != string(posted.body) {
		t.Errorf("%s\n%s", got.body, posted.body)
	}
	box.do(422, "POST", "/sources", strings.Replace(example, `"alt_id"`, `"start_at":"2026-01-01T00:00:00Z","alt_id"`, 1))
	as(t, server, north).do(422, "POST", "/sources", example)
	for _, path := range []string{"/sources/" + id, "/sources?alt_id=field-001"} {
		if got, err := box.try("DELETE", path, "", ""); err != nil || got.status != 405 {
			t.Errorf("%s: %d %v", path, got.status, err)
		}
	}
}

// TestRequestLog: what is remembered of a request, and no secret or token.
func TestRequestLog(t *testing.T) {
	server := start(t, emulator.Options{Admin: true})
	c := as(t, server, south)
	c.do(404, "GET", "/sources/"+c.token, "")
	c.do(200, "GET", "/sources?alt_id="+south.ClientSecret+"&id="+c.token+"&limit=1", "")
	get(t, server.URL+"/_emulator/requests")
	last := server.LastRequests(3)
	if len(last) != 3 || last[0].ClientID != "south" || last[0].Path != "/oauth/token" || last[0].Status != 200 ||
		last[2].Query != "alt_id=REDACTED&id=REDACTED&limit=1" || last[1].Path != "/sources/REDACTED" || last[1].Status != 404 || last[2].ClientID != "south" {
		t.Errorf("%+v", last)
	}
	for range 1100 {
		handled(t, server, "GET", "/healthz", "", "")
	}
	if n := len(server.LastRequests(5000)); n != 1000 {
		t.Errorf("%d are remembered", n)
	}
	if got := get(t, server.URL+"/_emulator/requests?last=100000"); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	c.do(200, "GET", "/sources?limit=1&client_secret=mistyped&access_token=of-another&alt_id=my-token", "")
	if q := server.LastRequests(1)[0].Query; q != "limit=1&client_secret=REDACTED&access_token=REDACTED&alt_id=my-token" {
		t.Error(q)
	}
	if text := string(get(t, server.URL+"/_emulator/requests?last=x").body); !strings.Contains(text, "last=10") {
		t.Error(text)
	}
}

// TestClock: created_at and tokens follow the clock, and waits do not.
func TestClock(t *testing.T) {
	start2030 := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	server := start(t, emulator.Options{Clock: start2030, Faults: []emulator.Fault{mustFault(t, "listSources:latency:delay=1ms")}})
	c := as(t, server, north)
	if got := c.create(square("a", 0, 0, ""))[0]; !strings.HasPrefix(got.CreatedAt, "2030-01-01T00:0") {
		t.Errorf("%+v", got)
	}
	server.SetClock(start2030.Add(59*time.Minute), true)
	c.list("") // waits, though the clock stands still
	if got := c.create(square("b", 5, 0, ""))[0]; got.CreatedAt != "2030-01-01T00:59:00Z" {
		t.Errorf("%+v", got)
	}
	server.SetClock(start2030.Add(2*time.Hour), false)
	c.do(401, "GET", "/sources", "")
}

// TestTokenOnDemand: a token is what was asked for.
func TestTokenOnDemand(t *testing.T) {
	server := start(t, emulator.Options{})
	use := func(spec emulator.TokenSpec, method, path string, want int) {
		t.Helper()
		token, err := server.Token(spec)
		if err != nil {
			t.Fatal(err)
		}
		(&client{t, server.URL, token}).do(want, method, path, "")
	}
	use(emulator.TokenSpec{}, "GET", "/sources", 200)
	use(emulator.TokenSpec{Expired: true}, "GET", "/sources", 401)
	use(emulator.TokenSpec{Audience: "https://other"}, "GET", "/sources", 401)
	use(emulator.TokenSpec{Scopes: []string{}}, "GET", "/sources", 403)
	use(emulator.TokenSpec{Claims: map[string]any{"iss": "https://other/"}}, "GET", "/sources", 401)
	use(emulator.TokenSpec{ClientID: "poor", Scopes: []string{"delete:sources"}}, "DELETE", "/sources?alt_id=x", 404)
	use(emulator.TokenSpec{Claims: map[string]any{"https://api.meti.millpont.com/role": "admin"}}, "GET", "/sources?account_id=x", 200)
	if _, err := server.Token(emulator.TokenSpec{ClientID: "nobody"}); err == nil {
		t.Error("a token for nobody")
	}
	if n := server.Requests()["requestToken"]; n != 0 {
		t.Errorf("%d count as requests", n)
	}
}

// TestNarrowFaults: by client and by alt_id, on every kind of request.
func TestNarrowFaults(t *testing.T) {
	server := start(t, emulator.Options{})
	n, s := as(t, server, north), as(t, server, south)
	field := n.create(square("a:b", 0, 0, ""))[0]
	other := n.create(square("other", 5, 0, ""))[0]
	set := func(text string) {
		t.Helper()
		f := mustFault(t, text)
		if err := server.SetFaults([]emulator.Fault{f}); err != nil || f.String() != text {
			t.Fatal(f, err)
		}
	}
	set("*:503:client=south")
	n.list("")
	s.do(503, "GET", "/sources", "")
	askToken(t, server.URL, "application/json", tokenBody(south), func(*http.Request) {})
	if got := askToken(t, server.URL, "application/json", tokenBody(south), nil); got.status != 503 {
		t.Errorf("%d", got.status)
	}
	tokenFor(t, server.URL, north)

	set("*:503:alt_id=a%3Ab")
	n.do(503, "GET", "/sources/"+field.ID, "")
	n.do(200, "GET", "/sources/"+other.ID, "")
	n.do(503, "GET", "/sources?alt_id=a:b", "")
	n.list("?alt_id=other")
	n.do(503, "POST", "/sources", squares([]string{"c", "a:b"}, 20, 0))
	n.do(503, "POST", "/sources", square("a:b", 20, 0, ""))
	n.do(200, "POST", "/sources", squares([]string{"c", "d"}, 20, 0))
	n.do(503, "DELETE", "/sources?alt_id=a:b", "")
	n.do(503, "DELETE", "/sources/"+field.ID, "")
	n.do(204, "DELETE", "/sources/"+other.ID, "")

	set("listSources:503:x1:client=south:skip=1")
	n.list("")
	s.list("")
	s.do(503, "GET", "/sources", "")
	s.list("")
}

// TestSlowBody: a body that does not arrive is ended, and one that takes its
// time is not.
func TestSlowBody(t *testing.T) {
	inBubble(t, "", func(b *bubble) {
		// Before it answers on a connection that is to be kept, net/http reads the
		// rest of the body: that must end too.
		kept := b.client.Transport.(*http.Transport).Clone()
		kept.DisableKeepAlives = false
		defer kept.CloseIdleConnections()
		b.client.Transport = kept
		post := func(body io.Reader, length int64) (*http.Response, error) {
			request, err := http.NewRequestWithContext(b.t.Context(), "POST", b.server.URL+"/sources", body)
			if err != nil {
				b.t.Fatal(err)
			}
			request.ContentLength = length
			request.Header.Set("Authorization", "Bearer "+b.token)
			return b.client.Do(request)
		}
		for _, length := range []int64{1000, -1} { // -1: in chunks
			b.after(2*time.Minute, func() {
				reader, writer := io.Pipe()
				defer writer.Close()
				go func() { _, _ = io.WriteString(writer, `{"alt_id":`) }()
				if got, err := post(reader, length); err == nil {
					got.Body.Close()
					if got.StatusCode != 400 {
						b.t.Error(got.Status)
					}
				}
			})
		}
		b.after(time.Minute, func() {
			reader, writer := io.Pipe()
			go func() {
				text := square("slow", 0, 0, "")
				_, _ = io.WriteString(writer, text[:20])
				time.Sleep(time.Minute)
				_, _ = io.WriteString(writer, text[20:])
				writer.Close()
			}()
			got, err := post(reader, -1)
			if err != nil {
				b.t.Fatal(err)
			}
			got.Body.Close()
			if got.StatusCode != 200 {
				b.t.Error(got.Status)
			}
		})
	})
}

// TestManyBodies: more large bodies than are held at a time are all taken, one
// after another.
func TestManyBodies(t *testing.T) {
	server := start(t, emulator.Options{MaxBody: 1 << 12})
	c := as(t, server, north)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			body := square(fmt.Sprint("f", i), float64(2*i), 0, `,"tags":["`+strings.Repeat("x", 3000)+`"]`)
			if got, err := c.try("POST", "/sources", "application/json", body); err != nil || got.status != 200 {
				t.Errorf("%d %v", got.status, err)
			}
		})
	}
	group.Wait()
}

// TestOwnContract: no tool that reads the contract sends anything to the real
// servers.
func TestOwnContract(t *testing.T) {
	server := start(t, emulator.Options{URL: "http://emulator.example:8484/"})
	doc, err := openapi3.NewLoader().LoadFromData(handled(t, server, "GET", "/openapi.yaml", "", "").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	lists := []openapi3.Servers{doc.Servers}
	for _, item := range doc.Paths.Map() {
		lists = append(lists, item.Servers)
		for _, operation := range item.Operations() {
			if operation.Servers != nil {
				lists = append(lists, *operation.Servers)
			}
		}
	}
	for _, list := range lists {
		for _, one := range list {
			if one.URL != "http://emulator.example:8484" {
				t.Errorf("it names %s", one.URL)
			}
		}
	}
	if len(doc.Servers) != 1 {
		t.Errorf("%d servers", len(doc.Servers))
	}
	for name, scheme := range doc.Components.SecuritySchemes {
		if flows := scheme.Value.Flows; flows == nil || flows.ClientCredentials.TokenURL != "http://emulator.example:8484/oauth/token" {
			t.Errorf("%s: %+v", name, scheme.Value)
		}
	}
	if got := handled(t, server, "GET", "/.well-known/openid-configuration", "", ""); !strings.Contains(got.Body.String(), `"issuer":"http://emulator.example:8484/"`) {
		t.Error(got.Body)
	}
	for _, bad := range []string{"emulator:8484", "ftp://x", "http://u:p@x", "http://x?y"} {
		if server, err := emulator.Start(emulator.Options{URL: bad}); err == nil {
			server.Close()
			t.Errorf("%s was taken", bad)
		}
	}
}

// TestAdminIsForPrograms: no page in a browser reaches the admin paths, by no
// name of this machine.
func TestAdminIsForPrograms(t *testing.T) {
	server := start(t, emulator.Options{Admin: true, URL: "http://emulator.example:8484", CORS: []string{"http://app.example"}})
	for _, one := range []struct {
		header, value string
		want          int
	}{
		{"Accept", "*/*", 200}, {"Host", "emulator.example", 200}, {"Host", "emulator.example:8484", 200}, {"Host", "localhost:1", 200}, {"Host", "[::1]", 200}, {"Host", "127.9.9.9", 200},
		{"Host", "rebound.example", 403}, {"Host", "10.0.0.1", 403}, {"Host", "", 403},
		{"Origin", "http://app.example", 403}, {"Origin", "null", 403},
		{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403}, {"Sec-Fetch-Site", "same-origin", 200}, {"Sec-Fetch-Site", "none", 200},
	} {
		request := httptest.NewRequestWithContext(t.Context(), "GET", "/_emulator/faults", nil)
		request.Host = "127.0.0.1:1"
		if request.Header.Set(one.header, one.value); one.header == "Host" {
			request.Host = one.value
		}
		recorder := httptest.NewRecorder()
		server.Handler().ServeHTTP(recorder, request)
		if recorder.Code != one.want {
			t.Errorf("%s %q: %d, not %d", one.header, one.value, recorder.Code, one.want)
		}
	}
}

// TestAttributesOfTheContract: every attribute of openapi.yaml is kept as it
// came.
func TestAttributesOfTheContract(t *testing.T) {
	server := start(t, emulator.Options{})
	c := as(t, server, north)
	values := map[string]string{"string": `"x-1"`, "integer": "2031", "number": "1.50", "boolean": "true", "array": `["src_0000000000000"]`}
	for i, field := range gen.Attributes() {
		value := values[field.Type]
		if strings.HasSuffix(field.Name, "_by") || field.Name == "account_id" {
			value = `"` + north.AccountID + `"`
		}
		got := c.do(200, "POST", "/sources", square("a", float64(2*i), 0, fmt.Sprintf(`,%q: %s`, field.Name, value)))
		if want := fmt.Sprintf(`%q:%s`, field.Name, value); !bytes.Contains(got.body, []byte(want)) {
			t.Errorf("no %s in %s", want, got.body)
		}
		if field.Type != "string" {
			c.do(422, "POST", "/sources", square("a", 0, 0, fmt.Sprintf(`,%q:{}`, field.Name)))
		}
	}
}

// TestEnviron names what a program reads.
func TestEnviron(t *testing.T) {
	server := start(t, emulator.Options{})
	want := []string{
		"METI_BASE_URL=" + server.URL, "AUTH0_DOMAIN=" + server.URL, "AUTH0_AUDIENCE=" + emulator.DefaultAudience,
		"METI_CLIENT_ID=north", "METI_CLIENT_SECRET=north-secret", "METI_CLIENT_SECRET_FILE=",
	}
	same(t, "environment", server.Environ(), want)
}
