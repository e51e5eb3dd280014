package emulator_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/meti-go/meti"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/ledger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The accounts of the tests.
var (
	north = emulator.Account{ClientID: "north", ClientSecret: "north-secret", AccountID: "00000000-0000-4000-8000-00000000000a", Role: "custodian", ClientName: "North"}
	south = emulator.Account{ClientID: "south", ClientSecret: "south-secret", AccountID: "00000000-0000-4000-8000-00000000000b", Role: "custodian", V1ClientID: "not-a-uuid"}
	boss  = emulator.Account{ClientID: "boss", ClientSecret: "boss-secret", AccountID: "00000000-0000-4000-8000-00000000000c", Role: "admin"}
	poor  = emulator.Account{ClientID: "poor", ClientSecret: "poor-secret", AccountID: north.AccountID, Scopes: []string{gen.ScopeReadSources}}
)

// start runs an emulator with those accounts for the length of the test.
func start(t *testing.T, o emulator.Options) *emulator.Server {
	t.Helper()
	if o.Accounts == nil {
		o.Accounts = []emulator.Account{north, south, boss, poor}
	}
	if o.Countries == nil {
		o.Countries = everywhere(t)
	}
	server, err := emulator.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return server
}

// everywhere is a table with one country, so that conflicts are found anywhere.
func everywhere(tb testing.TB) *ledger.Countries {
	tb.Helper()
	shape, err := ledger.ParseGeometry([]byte(`{"type":"Polygon","coordinates":[[[-179,-80],[179,-80],[179,80],[-179,80],[-179,-80]]]}`))
	if err != nil {
		tb.Fatal(err)
	}
	countries := ledger.NewCountries()
	countries.Add("Everywhere", shape)
	return countries
}

// as is a client of one account, at METI's base URL.
func as(t testing.TB, server *emulator.Server, a emulator.Account, scopes ...string) *client {
	t.Helper()
	return &client{t: t, url: server.URL, token: tokenFor(t, server.URL, a, scopes...)}
}

// client sends requests and holds every answer against openapi.yaml.
type client struct {
	t     testing.TB
	url   string // with /sandbox, when that is meant
	token string // none is sent if empty
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (c *client) sandbox() *client { return &client{c.t, c.url + "/sandbox", c.token} }

// do sends a request and expects a status.
func (c *client) do(status int, method, path, body string) answer {
	c.t.Helper()
	got, err := c.try(method, path, "application/json", body)
	if err != nil {
		c.t.Fatal(err)
	}
	if got.status != status {
		c.t.Fatalf("%s %s: %d, not %d: %.500s", method, path, got.status, status, got.body)
	}
	return got
}

// try sends a request; an error is one of the connection.
func (c *client) try(method, path, media, body string) (answer, error) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", media)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{got.StatusCode, got.Header, text}
	if err := conforms(request, a); err != nil {
		c.t.Errorf("%s %s: answer %d breaks openapi.yaml: %v\n%.500s", method, path, a.status, err, a.body)
	}
	return a, nil
}

// source is what the tests look at of an answer.
type source struct {
	ID             string
	AltID          string `json:"alt_id"`
	StartAt        string `json:"start_at"`
	EndAt          string `json:"end_at"`
	Country        *string
	Hectares       *float64
	CreatedAt      string  `json:"created_at"`
	UpdatedAt      string  `json:"updated_at"`
	AccountID      *string `json:"account_id"`
	Conflict       bool
	ConflictWith   []string `json:"conflict_with"`
	PercentOverlap *float64 `json:"percent_overlap"`
	Methodology    *string
	Geometry       json.RawMessage
}

func (a answer) sources(t testing.TB) []source {
	t.Helper()
	var list []source
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatalf("%v: %.300s", err, a.body)
	}
	return list
}

func (a answer) source(t testing.TB) source {
	t.Helper()
	var one source
	if err := json.Unmarshal(a.body, &one); err != nil {
		t.Fatalf("%v: %.300s", err, a.body)
	}
	return one
}

func (c *client) create(body string) []source {
	c.t.Helper()
	return c.do(http.StatusOK, "POST", "/sources", body).sources(c.t)
}

func (c *client) list(query string) []source {
	c.t.Helper()
	return c.do(http.StatusOK, "GET", "/sources"+query, "").sources(c.t)
}

func altIDs(list []source) []string {
	ids := []string{}
	for _, s := range list {
		ids = append(ids, s.AltID)
	}
	return ids
}

// square is a flat source: a square of 0.01 degrees with its south-west corner
// at x, y hundredths of a degree, in 2026.
func square(id string, x, y float64, more string) string {
	return `{"alt_id":"` + id + `","start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z",` +
		`"geometry":` + squareGeometry(x, y) + more + `}`
}

func squareGeometry(x, y float64) string {
	w, s, e, n := 2+x/100, 47+y/100, 2+(x+1)/100, 47+(y+1)/100
	text, err := json.Marshal(map[string]any{"type": "Polygon", "coordinates": [][][2]float64{{{w, s}, {e, s}, {e, n}, {w, n}, {w, s}}}})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// squares is a FeatureCollection of such squares in a row from x on.
func squares(ids []string, x, y float64) string {
	var features []string
	for i, id := range ids {
		features = append(features, `{"type":"Feature","id":"`+id+`","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},"geometry":`+
			squareGeometry(x+2*float64(i), y)+`}`)
	}
	return `{"type":"FeatureCollection","features":[` + strings.Join(features, ",") + `]}`
}

// spec is openapi.yaml.
var spec = sync.OnceValue(func() *openapi3.T {
	doc, err := openapi3.NewLoader().LoadFromData(meti.OpenAPI)
	if err != nil {
		panic(err)
	}
	return doc
})

// operationOf finds the operation that a request is for.
func operationOf(r *http.Request) (o gen.Operation, parameters map[string]string, found bool) {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/sandbox"); ok && rest != gen.OperationRequestToken.Path && r.Method != http.MethodDelete {
		path = rest
	}
	for _, o := range gen.Operations() {
		if o.Method != r.Method {
			continue
		}
		prefix, parameter, templated := strings.Cut(o.Path, "{")
		if !templated && path == o.Path {
			return o, nil, true
		}
		if rest, ok := strings.CutPrefix(path, prefix); templated && ok && rest != "" {
			return o, map[string]string{strings.TrimSuffix(parameter, "}"): rest}, true
		}
	}
	return gen.Operation{}, nil, false
}

// inputOf is a request as kin-openapi wants it.
func inputOf(r *http.Request) *openapi3filter.RequestValidationInput {
	o, parameters, found := operationOf(r)
	if !found {
		return nil
	}
	item := spec().Paths.Find(o.Path)
	return &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: parameters,
		Route: &routers.Route{
			Spec: spec(), Path: o.Path, PathItem: item, Method: o.Method, Operation: item.GetOperation(o.Method),
		},
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true, // a status that the spec does not name is an error
			AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
		},
	}
}

// conforms holds an answer against openapi.yaml. Paths that are not METI's, and
// what a proxy might answer, are left alone.
func conforms(r *http.Request, a answer) error {
	input := inputOf(r)
	if input == nil || strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		return nil
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input,
		Status:                 a.status,
		Header:                 a.header,
		Body:                   io.NopCloser(bytes.NewReader(a.body)),
		Options:                input.Options,
	})
}

// conformingRequest holds a request against openapi.yaml.
func conformingRequest(r *http.Request, body string) error {
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(strings.NewReader(body))
	return openapi3filter.ValidateRequest(r.Context(), inputOf(r))
}

// askToken sends a token request and does not judge the answer.
func askToken(tb testing.TB, base, media, body string, edit func(*http.Request)) answer {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, base+"/oauth/token", strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	request.Header.Set("Content-Type", media)
	if edit != nil {
		edit(request)
	}
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		tb.Fatal(err)
	}
	a := answer{got.StatusCode, got.Header, text}
	if err := conforms(request, a); err != nil {
		tb.Errorf("token answer %d breaks openapi.yaml: %v\n%s", a.status, err, a.body)
	}
	return a
}

// get is a plain request, without a token.
func get(tb testing.TB, url string) answer {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, text}
}

// tokenBody is a token request in JSON.
func tokenBody(a emulator.Account, scopes ...string) string {
	members := map[string]string{
		"client_id": a.ClientID, "client_secret": a.ClientSecret, "audience": emulator.DefaultAudience,
		"grant_type": "client_credentials",
	}
	if scopes != nil {
		members["scope"] = strings.Join(scopes, " ")
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// tokenFor asks for a token.
func tokenFor(tb testing.TB, base string, a emulator.Account, scopes ...string) string {
	tb.Helper()
	got := askToken(tb, base, "application/json", tokenBody(a, scopes...), nil)
	if got.status != http.StatusOK {
		tb.Fatalf("token: %d %s", got.status, got.body)
	}
	return got.token(tb).AccessToken
}

func (a answer) token(tb testing.TB) (t gen.Token) {
	tb.Helper()
	if err := json.Unmarshal(a.body, &t); err != nil {
		tb.Fatalf("%v: %s", err, a.body)
	}
	return t
}

// oracle reads what the real ledger computed.
func oracle(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../testdata/ledger/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, not %v", what, got, want)
	}
}

var query = url.QueryEscape
