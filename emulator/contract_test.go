package emulator_test

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
)

// The contract suite can be run through a proxy that has an opinion of its own:
// the emulator listens on the first, the suite talks to the second.
//
//	prism proxy --errors openapi.yaml http://127.0.0.1:4010 --port 4011 &
//	go test ./emulator -run TestContract -contract.listen 127.0.0.1:4010 -contract.url http://127.0.0.1:4011
var (
	contractListen = flag.String("contract.listen", "", "where the emulator of TestContract listens")
	contractURL    = flag.String("contract.url", "", "where TestContract reaches it, through a proxy")
)

// exchange is one request of the suite and the status it must get.
type exchange struct {
	operation gen.Operation
	form      string // of the request's body, where an operation has several
	path      string // the operation's own if empty
	media     string // application/json if empty
	body      string
	token     string
	status    int
	fault     string // puts the emulator into this state for it
	// broken says that the request itself breaks openapi.yaml, on purpose. Such
	// ones do not go through a proxy.
	broken bool
}

// exchanges is the suite: every operation, status and request form.
func exchanges(t *testing.T, server *emulator.Server, source source, deletable []string) (all []exchange) {
	create, list, get := gen.OperationCreateSources, gen.OperationListSources, gen.OperationGetSource
	remove, removeAlt, token := gen.OperationDeleteSource, gen.OperationDeleteSourcesByAltID, gen.OperationRequestToken
	full := tokenFor(t, server.URL, north)
	weak := tokenFor(t, server.URL, north, "read:sources")
	deaf := tokenFor(t, server.URL, north, "write:sources", "delete:sources")
	add := func(e exchange) { all = append(all, e) }
	next := func() string {
		id := deletable[0]
		deletable = deletable[1:]
		return id
	}

	const more = `,"methodology":"Agriculture","source_type":"FIELD","attribute_type":["CARBON_REMOVAL"],"geometry_source":"CUSTODIAN_DRAWN",
		"tags":["north"],"steward_id":"steward-7","project_id":"project-2026","outcome_reporting_year":2026,
		"account_id":"00000000-0000-4000-8000-00000000000a","created_by":"00000000-0000-4000-8000-0000000000c1",
		"updated_by":"00000000-0000-4000-8000-0000000000c2","constituent_ssids":["src_0000000000000"],"measurement_point_id":"m"`
	collection := squares([]string{"p", "q"}, 100, 10)
	forms := map[string]string{
		"FeatureCollection":    collection,
		"SourceCreateFeatures": `{"feature_collection":` + collection + more + `}`,
		"SourceCreate":         square("flat", 120, 10, more),
	}
	for _, form := range slices.Sorted(maps.Keys(forms)) {
		add(exchange{operation: create, form: form, body: forms[form], token: full, status: 200})
		add(exchange{operation: create, form: form, body: forms[form], token: full, status: 201, fault: "createSources:201:x1"})
	}
	add(exchange{operation: create, body: strings.Replace(collection, "[2.02,47.11]", "[2.02,47.111]", 1), token: full, status: 200})
	add(exchange{operation: create, body: strings.Replace(square("f", 0, 0, ""), "2026-12-31", "2026-01-01", 1), token: full, status: 422})
	bowTie := strings.NewReplacer("[2.01,47.01],[2,47.01]", "[2,47.01],[2.01,47.01]").Replace(square("f", 0, 0, ""))
	add(exchange{operation: create, body: bowTie, token: full, status: 400})
	add(exchange{operation: create, body: `{"type":`, token: full, status: 400, broken: true})
	add(exchange{operation: create, body: `{}`, token: full, status: 400, broken: true})
	add(exchange{operation: create, body: square("f", 0, 0, `,"tags":7`), token: full, status: 422, broken: true})
	add(exchange{operation: create, body: square("f", 0, 0, `,"tags":["`+strings.Repeat("x", 1<<16)+`"]`), token: full, status: 413})
	add(exchange{operation: create, body: collection, token: weak, status: 403})

	for _, filter := range []string{
		"", "?limit=1", "?limit=1&offset=1", "?limit=0", "?methodology=Agriculture", "?steward_id=steward-7", "?project_id=project-2026",
		"?outcome_reporting_year=2026", "?id=" + source.ID, "?alt_id=" + source.AltID, "?account_id=" + north.AccountID,
		"?methodology=Agriculture&limit=10&offset=0&steward_id=s&project_id=p&outcome_reporting_year=2026&id=x&alt_id=y&account_id=z",
	} {
		add(exchange{operation: list, path: "/sources" + filter, token: full, status: 200})
	}
	add(exchange{operation: list, path: "/sources?limit=x", token: full, status: 422, broken: true})
	add(exchange{operation: list, token: deaf, status: 403})

	add(exchange{operation: get, path: "/sources/" + source.ID, token: full, status: 200})
	add(exchange{operation: get, path: "/sources/src_0000000000000", token: full, status: 404})
	add(exchange{operation: get, path: "/sources/" + source.ID, token: deaf, status: 403})

	add(exchange{operation: remove, path: "/sources/" + next(), token: full, status: 204})
	add(exchange{operation: remove, path: "/sources/" + next(), token: full, status: 200, fault: "deleteSource:200:x1"})
	add(exchange{operation: remove, path: "/sources/src_0000000000000", token: full, status: 404})
	add(exchange{operation: remove, path: "/sources/" + source.ID, token: weak, status: 403})
	add(exchange{operation: removeAlt, path: "/sources?alt_id=" + next(), token: full, status: 204})
	add(exchange{operation: removeAlt, path: "/sources?alt_id=" + next(), token: full, status: 200, fault: "deleteSourcesByAltID:200:x1"})
	add(exchange{operation: removeAlt, path: "/sources?alt_id=nothing", token: full, status: 404})
	add(exchange{operation: removeAlt, path: "/sources?alt_id=x", token: weak, status: 403})
	add(exchange{operation: removeAlt, token: full, status: 422, broken: true})

	add(exchange{operation: token, form: "json", body: tokenBody(north), status: 200})
	add(exchange{operation: token, form: "json", body: tokenBody(poor, "read:sources", "write:sources"), status: 200})
	form := url.Values{"client_id": {north.ClientID}, "client_secret": {north.ClientSecret}, "audience": {emulator.DefaultAudience}, "grant_type": {"client_credentials"}}
	// openapi.yaml describes the JSON form alone, as METI's page does.
	add(exchange{operation: token, form: "form", media: "application/x-www-form-urlencoded", body: form.Encode(), status: 200, broken: true})
	add(exchange{operation: token, body: strings.Replace(tokenBody(north), "client_credentials", "password", 1), status: 400, broken: true})
	add(exchange{operation: token, body: strings.Replace(tokenBody(north), "north-secret", "wrong", 1), status: 401})
	add(exchange{operation: token, body: strings.Replace(tokenBody(north), emulator.DefaultAudience, "https://x", 1), status: 403})

	// What the emulator does not come to by itself.
	paths := map[string]string{get.ID: "/sources/" + source.ID, remove.ID: "/sources/" + source.ID, removeAlt.ID: "/sources?alt_id=x"}
	bodies := map[string]string{create.ID: collection, token.ID: tokenBody(north)}
	for _, o := range gen.Operations() {
		e := exchange{operation: o, path: paths[o.ID], body: bodies[o.ID], token: full}
		for _, status := range []int{400, 422, 429, 500, 503} {
			if spec().Paths.Find(o.Path).GetOperation(o.Method).Responses.Status(status) == nil {
				continue
			}
			e.status, e.fault = status, fmt.Sprintf("%s:%d:x1", o.ID, status)
			if status == 429 || status == 503 {
				e.fault += ":retry-after=2s"
			}
			add(e)
		}
		if o.Scopes != nil {
			e.status, e.fault, e.token = 401, "", full+"x"
			add(e)
		}
	}
	return all
}

// TestContract sends the suite and holds requests and answers against
// openapi.yaml, and the suite itself against the operations, statuses and forms
// that it names.
func TestContract(t *testing.T) {
	server := start(t, emulator.Options{Listen: *contractListen, MaxBody: 1 << 16})
	base := server.URL
	if *contractURL != "" {
		base = strings.TrimRight(*contractURL, "/")
	}
	c := as(t, server, north)
	first := c.create(square("first", 0, 0, ""))[0]
	c.create(square("over", 0.5, 0, "")) // so that a conflict is answered too
	ids := c.create(squares([]string{"d1", "d2", "d3", "d4"}, 10, 0))
	deletable := []string{ids[0].ID, ids[1].ID, "d3", "d4"}

	seen := make(map[string]bool)
	for i, e := range exchanges(t, server, first, deletable) {
		path := e.path
		if path == "" {
			path = e.operation.Path
		}
		media := e.media
		if media == "" {
			media = "application/json"
		}
		seen[fmt.Sprint(e.operation.ID, " ", e.status)] = true
		if e.form != "" {
			seen[e.operation.ID+" "+e.form] = true
		}
		if e.broken && base != server.URL {
			continue
		}
		t.Run(fmt.Sprintf("%02d %s %s %d", i, e.operation.ID, e.form, e.status), func(t *testing.T) {
			if e.fault != "" {
				if err := server.SetFaults([]emulator.Fault{mustFault(t, e.fault)}); err != nil {
					t.Fatal(err)
				}
			}
			request, err := http.NewRequestWithContext(t.Context(), e.operation.Method, base+path, strings.NewReader(e.body))
			if err != nil {
				t.Fatal(err)
			}
			if e.body != "" {
				request.Header.Set("Content-Type", media)
			}
			if found, _, ok := operationOf(request); !ok || found.ID != e.operation.ID {
				t.Fatalf("%s is for %s", path, found.ID)
			}
			if err := conformingRequest(request, e.body); (err != nil) != e.broken {
				t.Errorf("the request: %v", err)
			}
			via := &client{t, base, e.token}
			got, err := via.try(e.operation.Method, path, media, e.body)
			if err != nil || got.status != e.status {
				t.Errorf("%d %s %v", got.status, got.body, err)
			}
			if violations := got.header.Get("Sl-Violations"); violations != "" {
				t.Errorf("the proxy complains: %s", violations)
			}
		})
	}
	if left := server.Faults(); len(left) > 0 {
		t.Errorf("faults were not used: %v", left)
	}

	// Is the suite complete?
	for _, o := range gen.Operations() {
		for status := range spec().Paths.Find(o.Path).GetOperation(o.Method).Responses.Map() {
			if !seen[o.ID+" "+status] {
				t.Errorf("%s is never answered with %s", o.ID, status)
			}
		}
	}
	for _, form := range spec().Components.Schemas["SourceCreateRequest"].Value.OneOf {
		if name := form.Ref[strings.LastIndexByte(form.Ref, '/')+1:]; !seen["createSources "+name] {
			t.Errorf("the form %s is never sent", name)
		}
	}
}

// TestFrontEnd sends what MillPont's own client does [L]: a token request
// without a scope, the account in every list, and 9,000 fields in one body, in
// the wrapper form with account_id.
func TestFrontEnd(t *testing.T) {
	server := start(t, emulator.Options{})
	token := askToken(t, server.URL, "application/json", tokenBody(north), nil).token(t)
	c := &client{t, server.URL, token.AccessToken}
	ids := make([]string, 9000)
	for i := range ids {
		ids[i] = fmt.Sprint("field-", i)
	}
	body := `{"feature_collection":` + squares(ids, 0, 0) + `,"methodology":"Agriculture","source_type":"FIELD",
		"attribute_type":["CARBON_REMOVAL"],"geometry_source":"CUSTODIAN_DRAWN","tags":["north"],
		"account_id":"` + north.AccountID + `","created_by":"00000000-0000-4000-8000-0000000000c1"}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/sources", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if err := conformingRequest(request, body); err != nil {
		t.Error(err)
	}
	same(t, "registered", altIDs(c.create(body)), ids)
	same(t, "listed", altIDs(c.list("?account_id="+north.AccountID)), ids)
}
