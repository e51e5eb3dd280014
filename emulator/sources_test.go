package emulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
)

// TestIsolation: an account sees its own sources by no way another's, and an
// admin sees all.
func TestIsolation(t *testing.T) {
	server := start(t, emulator.Options{})
	n, s, all := as(t, server, north), as(t, server, south), as(t, server, boss)
	ours := n.create(square("shared-name", 0, 0, ""))[0]
	theirs := s.create(square("shared-name", 5, 0, ""))[0]
	same(t, "north's", altIDs(n.list("")), []string{"shared-name"})
	for _, query := range []string{"?id=" + theirs.ID, "?account_id=" + south.AccountID, "?offset=1"} {
		if got := n.list(query); len(got) > 0 {
			t.Errorf("%s gives north %+v", query, got)
		}
	}
	n.do(http.StatusNotFound, "GET", "/sources/"+theirs.ID, "")
	n.do(http.StatusNotFound, "DELETE", "/sources/"+theirs.ID, "")
	// The token decides, whatever the body says.
	if got := n.create(square("mine", 7, 0, `,"account_id":"`+south.AccountID+`"`))[0]; *got.AccountID != north.AccountID {
		t.Errorf("registered for %s", *got.AccountID)
	}
	n.do(http.StatusNoContent, "DELETE", "/sources?alt_id=mine", "")
	n.do(http.StatusNoContent, "DELETE", "/sources?alt_id=shared-name", "")
	n.do(http.StatusNotFound, "GET", "/sources/"+ours.ID, "")
	s.do(http.StatusOK, "GET", "/sources/"+theirs.ID, "")

	all.do(http.StatusOK, "GET", "/sources/"+theirs.ID, "")
	if got := all.create(square("for-north", 9, 0, `,"account_id":"`+north.AccountID+`"`))[0]; *got.AccountID != north.AccountID {
		t.Errorf("registered for %s", *got.AccountID)
	}
	same(t, "north's", altIDs(n.list("")), []string{"for-north"})
	same(t, "all", altIDs(all.list("")), []string{"shared-name", "for-north"})
	same(t, "south's", altIDs(all.list("?account_id="+south.AccountID)), []string{"shared-name"})
	all.do(http.StatusNoContent, "DELETE", "/sources/"+theirs.ID, "")
	s.do(http.StatusNotFound, "DELETE", "/sources/"+theirs.ID, "")
}

// TestForms posts the three forms and looks at every field of the answers.
func TestForms(t *testing.T) {
	now := time.Date(2026, 2, 3, 9, 12, 44, 123456789, time.UTC)
	server := start(t, emulator.Options{Seed: 7})
	server.SetClock(now, true)
	c := as(t, server, north)
	const shared = `,"methodology":"Agriculture","source_type":"DEVICE","attribute_type":["CARBON_REMOVAL","ZZZ"],
		"geometry_source":"AUTHORITATIVE_GIS","tags":["a","<b>"],"steward_id":"s","project_id":"p","outcome_reporting_year":2026,
		"created_by":"00000000-0000-4000-8000-0000000000c1","updated_by":"00000000-0000-4000-8000-0000000000c2",
		"constituent_ssids":["src_0000000000000"],"measurement_point_id":"m","something_new":{"x":1}`
	want := `,"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z","country":"Everywhere","hectares":0,
		"created_at":"2026-02-03T09:12:44.123456Z","updated_at":"2026-02-03T09:12:44.123456Z",
		"created_by":"00000000-0000-4000-8000-0000000000c1","updated_by":"00000000-0000-4000-8000-0000000000c2",
		"account_id":"` + north.AccountID + `","conflict":false,"conflict_with":[],"percent_overlap":null,
		"methodology":"Agriculture","source_type":"DEVICE","attribute_type":["CARBON_REMOVAL","ZZZ"],
		"geometry_source":"AUTHORITATIVE_GIS","tags":["a","<b>"],"steward_id":"s","project_id":"p","outcome_reporting_year":2026,
		"constituent_ssids":["src_0000000000000"],"measurement_point_id":"m",
		"unep_overlap":false,"pa_name":null,"pa_designation":null,"wdpaid":null,"h3_indexes":null`
	const bare = `,"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z","country":"Everywhere","hectares":0,
		"created_at":"2026-02-03T09:12:44.123456Z","updated_at":"2026-02-03T09:12:44.123456Z","created_by":"ff6b19f2-156e-5406-a8f9-e97367f10e26","updated_by":null,
		"account_id":"00000000-0000-4000-8000-00000000000a","conflict":false,"conflict_with":[],"percent_overlap":null,
		"methodology":null,"source_type":"FIELD","attribute_type":null,"geometry_source":null,"tags":null,"steward_id":null,
		"project_id":null,"outcome_reporting_year":null,"constituent_ssids":null,"measurement_point_id":null,
		"unep_overlap":false,"pa_name":null,"pa_designation":null,"wdpaid":null,"h3_indexes":null`

	hectares := regexp.MustCompile(`"hectares":([0-9.]+)`)
	id := regexp.MustCompile(`"id":"(src_[A-Za-z0-9]{13})"`)
	compare := func(got answer, ids []string, want, geometry string) {
		t.Helper()
		list := got.sources(t)
		same(t, "order", altIDs(list), ids)
		var raw []json.RawMessage
		if err := json.Unmarshal(got.body, &raw); err != nil {
			t.Fatal(err)
		}
		for i, text := range raw {
			area := list[i].Hectares
			if area == nil || *area < 80 || *area > 86 {
				t.Errorf("hectares: %s", text)
			}
			text = hectares.ReplaceAll(text, []byte(`"hectares":0`))
			if !id.Match(text) {
				t.Errorf("id: %s", text)
			}
			text = id.ReplaceAll(text, []byte(`"id":"src_"`))
			if geometry != "" && !bytes.Contains(text, []byte(geometry)) {
				t.Errorf("geometry %s is not in %s", geometry, text)
			}
			var g, w map[string]any
			if err := json.Unmarshal(text, &g); err != nil {
				t.Fatal(err)
			}
			delete(g, "geometry")
			if err := json.Unmarshal([]byte(`{"id":"src_","alt_id":"`+ids[i]+`"`+want+`}`), &w); err != nil {
				t.Fatal(err)
			}
			for _, f := range gen.Attributes() {
				if _, given := w[f.Name]; !given {
					w[f.Name] = nil
				}
			}
			gText, _ := json.Marshal(g)
			wText, _ := json.Marshal(w)
			if !bytes.Equal(gText, wText) {
				t.Errorf("got  %s\nwant %s", gText, wText)
			}
		}
	}
	// Numbers stay as they were written, also those that no float64 holds.
	geometry := `{"type":"Polygon","coordinates":[[[2.0500,47.0],[2.060000000000000001,47.0],[2.06,47.01],[2.05,4.701e1],[2.0500,47.0]]],"extra":[1.10]}`
	flat := strings.Replace(square("flat", 0, 0, shared), squareGeometry(0, 0), strings.ReplaceAll(geometry, ",", " ,\n "), 1)
	compare(c.do(http.StatusOK, "POST", "/sources", flat), []string{"flat"}, want, geometry)
	compare(c.do(http.StatusOK, "POST", "/sources", squares([]string{"z", "a", "m"}, 10, 0)), []string{"z", "a", "m"}, bare, "")
	compare(c.do(http.StatusOK, "POST", "/sources", `{"feature_collection":`+squares([]string{"w2", "w1"}, 20, 0)+shared+`}`), []string{"w2", "w1"}, want, "")
	compare(c.do(http.StatusOK, "GET", "/sources?alt_id=flat", ""), []string{"flat"}, want, geometry)
	one := c.do(http.StatusOK, "GET", "/sources/"+c.list("?alt_id=flat")[0].ID, "")
	compare(answer{one.status, one.header, slices.Concat([]byte("["), one.body, []byte("]"))}, []string{"flat"}, want, geometry)
	same(t, "all", altIDs(c.list("")), []string{"flat", "z", "a", "m", "w2", "w1"})

	// Every field that openapi.yaml knows is answered, but the other name of
	// the geometry and the columns that may appear.
	rare := []string{"geojson", "to_delete", "centroid", "encrypted_geometry"}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(one.body, &members); err != nil {
		t.Fatal(err)
	}
	for name := range spec().Components.Schemas["Source"].Value.Properties {
		if _, ok := members[name]; !ok && !slices.Contains(rare, name) {
			t.Errorf("openapi.yaml has %s, and it is not answered: see newcomer in emulator/create.go", name)
		}
	}
}

// TestRefusals: each answer says where the mistake is, and nothing is stored.
func TestRefusals(t *testing.T) {
	server := start(t, emulator.Options{MaxBody: 4096})
	c := as(t, server, north)
	good := squares([]string{"good", "bad"}, 0, 0)
	for name, one := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"no json":            {`{"type":`, 400, `{"detail":"`},
		"nothing":            {``, 400, `{"detail":"`},
		"no json within":     {strings.Replace(good, `"bad"`, `bad`, 1), 400, `unexpected 'b'`},
		"no json beside":     {`{"feature_collection":` + good + `,"tags":}`, 400, `{"detail":"`},
		"no collection":      {`[]`, 400, `{"detail":"`},
		"a feature":          {`{"type":"Feature","geometry":null}`, 400, `{"detail":"`},
		"bow-tie":            {strings.Replace(good, `[2.03,47.01],[2.02,47.01]`, `[2.02,47.01],[2.03,47.01]`, 1), 400, `feature 1`},
		"no geometry":        {strings.Replace(good, squareGeometry(2, 0), "null", 1), 400, `feature 1`},
		"period":             {strings.Replace(good, "2026-12-31", "2026-01-01", 1), 422, `{"detail":[{"loc":["body","features",0,"properties","end_at"],"msg":`},
		"long id":            {strings.Replace(good, `"bad"`, `"`+strings.Repeat("x", 50)+`"`, 1), 422, `{"loc":["body","features",1,"id"],`},
		"wrapped":            {`{"feature_collection":` + strings.Replace(good, "2026-12-31", "2026-01-01", 1) + `}`, 422, `"loc":["body","feature_collection","features",0,"properties","end_at"]`},
		"flat period":        {strings.Replace(square("f", 0, 0, ""), "2026-12-31", "x", 1), 422, `"loc":["body","end_at"]`},
		"flat without dates": {`{"alt_id":"f","geometry":` + squareGeometry(0, 0) + `}`, 422, `"loc":["body","start_at"]`},
		"flat without id":    {strings.Replace(square("f", 0, 0, ""), `"alt_id":"f",`, "", 1), 422, `"loc":["body","alt_id"]`},
		"wrong type":         {square("f", 0, 0, `,"tags":"x"`), 422, `"loc":["body","tags"]`},
		"wrong year":         {`{"feature_collection":` + good + `,"outcome_reporting_year":"x"}`, 422, `"loc":["body","outcome_reporting_year"]`},
		"long methodology":   {square("f", 0, 0, `,"methodology":"`+strings.Repeat("é", 256)+`"`), 422, `"loc":["body","methodology"]`},
		"too large":          {good + strings.Repeat(" ", 4096), 413, `{"detail":"Request body too large"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.do(one.status, "POST", "/sources", one.body)
			if !strings.Contains(string(got.body), one.want) {
				t.Errorf("%s holds no %s", got.body, one.want)
			}
		})
	}
	if got := c.list(""); len(got) > 0 {
		t.Errorf("stored: %+v", got)
	}
	for path, want := range map[string]string{
		"/sources?limit=x":                    `"loc":["query","limit"]`,
		"/sources?limit=-1":                   `"loc":["query","limit"]`,
		"/sources?offset=-1":                  `"loc":["query","offset"]`,
		"/sources?outcome_reporting_year=20x": `"loc":["query","outcome_reporting_year"]`,
	} {
		if got := c.do(422, "GET", path, ""); !strings.Contains(string(got.body), want) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	for _, path := range []string{"/sources", "/sources?alt_id="} {
		if got := c.do(422, "DELETE", path, ""); !strings.Contains(string(got.body), `"loc":["query","alt_id"]`) {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	for path, want := range map[string]int{"/source": 404, "//sources": 404, "/x/../sources": 404, "/oauth/token/": 404, "/": 404, "/_emulator/faults": 404, "/sandbox/oauth/token": 404} {
		c.do(want, "POST", path, "")
	}
	if got := c.do(405, "PUT", "/sources", ""); !strings.Contains(got.header.Get("Allow"), "POST") {
		t.Errorf("Allow: %s", got.header.Get("Allow"))
	}
}

// TestFilters tries each filter alone and all together.
func TestFilters(t *testing.T) {
	server := start(t, emulator.Options{})
	c := as(t, server, north)
	bodies := []string{
		square("a", 0, 0, `,"methodology":"Agriculture","steward_id":"s1","project_id":"p1","outcome_reporting_year":2025`),
		square("b", 2, 0, `,"methodology":"Agriculture","steward_id":"s2","project_id":"p1","outcome_reporting_year":2026`),
		square("c", 4, 0, `,"methodology":"Reforestation","steward_id":"s1","project_id":"p2","outcome_reporting_year":2026`),
		square("a", 6, 0, ``),
	}
	var ids []string
	for _, body := range bodies {
		ids = append(ids, c.create(body)[0].ID)
	}
	for filter, want := range map[string][]int{
		"":                              {0, 1, 2, 3},
		"methodology=Agriculture":       {0, 1},
		"methodology=agriculture":       {},
		"steward_id=s1":                 {0, 2},
		"project_id=p1":                 {0, 1},
		"outcome_reporting_year=2026":   {1, 2},
		"alt_id=a":                      {0, 3},
		"id=" + ids[2]:                  {2},
		"account_id=" + north.AccountID: {0, 1, 2, 3},
		"account_id=other":              {},
		"methodology=Agriculture&steward_id=s1&project_id=p1&outcome_reporting_year=2025&alt_id=a&id=" + ids[0]: {0},
		"alt_id=a&offset=1":             {3},
		"limit=2":                       {0, 1},
		"limit=2&offset=3":              {3},
		"limit=1000000&offset=1":        {1, 2, 3},
		"limit=0":                       {},
		"offset=4":                      {},
		"offset=99":                     {},
		"alt_id=" + query("' OR 1=1--"): {},
	} {
		var got, expected []string
		for _, s := range c.list("?" + filter) {
			got = append(got, s.ID)
		}
		for _, i := range want {
			expected = append(expected, ids[i])
		}
		same(t, filter, got, expected)
	}
	if got := string(c.do(200, "GET", "/sources?limit=0", "").body); got != "[]" {
		t.Errorf("nothing is %q", got)
	}
	c.do(204, "DELETE", "/sources?alt_id=a", "")
	c.do(404, "DELETE", "/sources?alt_id=a", "")
	same(t, "left", altIDs(c.list("")), []string{"b", "c"})
}

// TestEveryFilterIsApplied asks by each filter of the contract for what no source
// has.
func TestEveryFilterIsApplied(t *testing.T) {
	c := as(t, start(t, emulator.Options{}), north)
	c.create(square("a", 0, 0, ""))
	for _, f := range gen.Filters() {
		value := "nothing"
		if f.Type == "integer" {
			value = "7"
		}
		if got := c.list("?" + f.Name + "=" + value); len(got) != 0 {
			t.Errorf("openapi.yaml has the filter %s, and it is not applied: see columns in emulator/sources.go", f.Name)
		}
	}
}

// TestPaging lists more than is read from the database at a time, in pages of
// every kind of size.
func TestPaging(t *testing.T) {
	server := start(t, emulator.Options{})
	c := as(t, server, north)
	var ids []string
	for i := range 2500 {
		ids = append(ids, fmt.Sprint("f", i))
	}
	c.create(squares(ids, 0, 0))
	same(t, "all", altIDs(c.list("")), ids)
	for _, size := range []int{1, 7, 999, 1000, 1001, 2499, 2500, 2501} {
		var got []string
		for offset := 0; size > 1 || offset < 10; offset += size {
			page := c.list(fmt.Sprintf("?limit=%d&offset=%d", size, offset))
			got = append(got, altIDs(page)...)
			if len(page) < size {
				break
			}
		}
		same(t, fmt.Sprint("in pages of ", size), got, ids[:len(got)])
		if size > 1 && len(got) != len(ids) {
			t.Errorf("in pages of %d: %d", size, len(got))
		}
	}
}

// TestSandbox: nothing conflicts, nothing crosses over, and a flag changes that.
func TestSandbox(t *testing.T) {
	server := start(t, emulator.Options{})
	c := as(t, server, north)
	box := c.sandbox()
	first := box.create(square("a", 0, 0, ""))[0]
	second := box.create(square("a", 0, 0, ""))[0]
	if !regexp.MustCompile(`^sandbox_[0-9a-f]{32}$`).MatchString(first.ID) || second.Conflict || second.ConflictWith == nil || len(second.ConflictWith) > 0 {
		t.Errorf("%+v %+v", first, second)
	}
	if first.Country == nil || first.Hectares == nil {
		t.Errorf("%+v", first)
	}
	if got := c.list(""); len(got) > 0 {
		t.Errorf("the ledger holds %+v", got)
	}
	c.do(404, "GET", "/sources/"+first.ID, "")
	box.do(200, "GET", "/sources/"+first.ID, "")
	same(t, "sandbox", altIDs(as(t, server, boss).sandbox().list("")), []string{"a", "a"})
	box.do(400, "POST", "/sources", `{}`)

	open := start(t, emulator.Options{SandboxConflicts: true})
	box = as(t, open, north).sandbox()
	first = box.create(square("a", 0, 0, ""))[0]
	if second := box.create(square("a", 0, 0, ""))[0]; !second.Conflict || second.ConflictWith[0] != first.ID {
		t.Errorf("%+v", second)
	}
}

// TestRestart: a file keeps everything, and ids are never given twice.
func TestRestart(t *testing.T) {
	name := "a b#%.db"
	if runtime.GOOS != "windows" { // which has no such names
		name = "a b#?%.db"
	}
	o := emulator.Options{Data: filepath.Join(t.TempDir(), name), Seed: 3, Accounts: []emulator.Account{north, south}, Countries: everywhere(t)}
	first, err := emulator.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	c := as(t, first, north)
	c.create(squares([]string{"a", "b"}, 0, 0))
	c.create(square("a", 0.5, 0, `,"methodology":"Agriculture"`))
	last := c.create(square("gone", 50, 0, ""))[0]
	c.do(204, "DELETE", "/sources/"+last.ID, "")
	c.sandbox().create(square("x", 0, 0, ""))
	before := c.do(200, "GET", "/sources", "").body
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	server := start(t, o)
	c = as(t, server, north)
	if after := c.do(200, "GET", "/sources", "").body; !bytes.Equal(before, after) {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	if got := c.sandbox().list(""); len(got) > 0 {
		t.Errorf("the sandbox kept %+v", got)
	}
	if next := c.create(square("next", 50, 0, ""))[0]; next.ID == last.ID {
		t.Error("an id was given twice")
	}
	if got := c.create(square("over", 2.5, 0, ""))[0]; len(got.ConflictWith) != 1 {
		t.Errorf("%+v", got)
	}
	if _, err := emulator.Start(o); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second emulator on the file: %v", err)
	}
}

// TestSeed: the same seed gives the same ids.
func TestSeed(t *testing.T) {
	var ids []string
	for _, seed := range []uint64{5, 5, 6, 0, 0} {
		server := start(t, emulator.Options{Seed: seed})
		if server.Seed() == 0 || seed != 0 && server.Seed() != seed {
			t.Errorf("seed %d became %d", seed, server.Seed())
		}
		ids = append(ids, as(t, server, north).create(square("a", 0, 0, ""))[0].ID)
	}
	if ids[0] != ids[1] || ids[1] == ids[2] || ids[3] == ids[4] {
		t.Error(ids)
	}
}

// TestAccountFile reads and refuses account files.
func TestAccountFile(t *testing.T) {
	accounts, err := emulator.LoadAccounts(strings.NewReader(`[{"client_id":"a","client_secret":"s","account_id":"x"},
		{"client_id":"b","client_secret":"hidden","account_id":"y","role":"admin","client_name":"B","scopes":["read:sources"]}]`))
	if err != nil || len(accounts) != 2 || accounts[1].Role != "admin" || accounts[0].Scopes != nil {
		t.Fatal(accounts, err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, accounts); strings.Contains(text, "hidden") {
			t.Errorf("%s shows the secret: %s", format, text)
		}
	}
	for name, text := range map[string]string{
		"empty":         `[]`,
		"no json":       `[`,
		"no secret":     `[{"client_id":"a","account_id":"x"}]`,
		"twice":         `[{"client_id":"a","client_secret":"hidden","account_id":"x"},{"client_id":"a","client_secret":"hidden","account_id":"y"}]`,
		"unknown scope": `[{"client_id":"a","client_secret":"hidden","account_id":"x","scopes":["update:sources"]}]`,
		"unknown":       `[{"client_id":"a","client_secret":"hidden","account_id":"x","secret":"hidden"}]`,
	} {
		if _, err := emulator.LoadAccounts(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLog: a record for each request, and nothing secret in it.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	server, err := emulator.Start(emulator.Options{Accounts: []emulator.Account{north}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	c := as(t, server, north)
	c.list("?alt_id=private")
	c.do(404, "GET", "/sources/src_0000000000000", "")
	askToken(t, server.URL, "application/json", strings.Replace(tokenBody(north), "north-secret", "other-secret", 1), nil)
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	for _, want := range []string{"path=/oauth/token status=200", "path=/sources status=200", "path=/sources/src_0000000000000 status=404", "path=/oauth/token status=401"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in\n%s", want, log.String())
		}
	}
	for _, secret := range []string{"north-secret", "other-secret", c.token, "private"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// TestOpenAPI serves the contract itself.
func TestOpenAPI(t *testing.T) {
	server := start(t, emulator.Options{})
	c := &client{t: t, url: server.URL}
	if got := c.do(200, "GET", "/openapi.yaml", ""); !bytes.Contains(got.body, []byte(gen.OperationListSources.ID)) {
		t.Errorf("%.200s", got.body)
	}
	if got := c.do(200, "GET", "/.well-known/openid-configuration", ""); !bytes.Contains(got.body, []byte(server.URL+"/.well-known/jwks.json")) {
		t.Errorf("%s", got.body)
	}
}

// TestCommitOutlivesClient: a request that was read is carried out, also when
// its client has gone.
func TestCommitOutlivesClient(t *testing.T) {
	server := start(t, emulator.Options{})
	c := as(t, server, north)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, send := range []struct{ method, path, body string }{
		{"POST", "/sources", square("a", 0, 0, "")}, {"POST", "/sources", square("b", 3, 0, "")}, {"DELETE", "/sources?alt_id=a", ""},
	} {
		request := httptest.NewRequestWithContext(ctx, send.method, send.path, strings.NewReader(send.body))
		request.Header.Set("Authorization", "Bearer "+c.token)
		server.Handler().ServeHTTP(httptest.NewRecorder(), request)
	}
	same(t, "stored", altIDs(c.list("")), []string{"b"})
}

// TestMiddleware lies around everything, and can misbehave.
func TestMiddleware(t *testing.T) {
	var paths []string
	server := start(t, emulator.Options{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			paths = append(paths, r.URL.Path)
			if r.URL.Path == "/teapot" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	c := as(t, server, north)
	c.do(http.StatusTeapot, "GET", "/teapot", "")
	same(t, "paths", paths, []string{"/oauth/token", "/teapot"})
}

// TestWorld: without a table of the caller's, countries are the world's.
func TestWorld(t *testing.T) {
	server, err := emulator.Start(emulator.Options{Accounts: []emulator.Account{north}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	field := `{"alt_id":"iowa","start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z","geometry":{"type":"Polygon","coordinates":[[[-93.62,42.05],[-93.61,42.05],[-93.61,42.06],[-93.62,42.06],[-93.62,42.05]]]}}`
	c := as(t, server, north)
	c.create(field)
	again := c.create(field)[0]
	if again.Country == nil || *again.Country != "United States of America" || !again.Conflict {
		t.Errorf("%+v", again)
	}
}
