//go:build peers

// Package prism_test puts Stoplight's Prism between the client and the
// emulator: it holds each request and each answer against openapi.yaml, and
// this project wrote none of it. It needs node, and "npm ci" in this folder;
// "make test-peers" does both.
package prism_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"golang.org/x/oauth2"

	"github.com/meti-go/meti"
	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/wire"
)

// prism runs Prism before upstream until the test ends and returns its URL.
// Each violation that it logs goes to violation.
func prism(t *testing.T, upstream string, violation func(string)) string {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), "node", "node_modules/@stoplight/prism-cli/dist/index.js", "proxy", "../../../openapi.yaml", upstream, "--errors", "--host", "127.0.0.1", "--port", "0")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(ready)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, url, found := strings.Cut(lines.Text(), "Prism is listening on "); found {
				ready <- strings.TrimSpace(url)
			}
			if strings.Contains(lines.Text(), "Violation") {
				violation(lines.Text())
			}
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		reader.Wait()
		_ = cmd.Wait()
	})
	select {
	case url, ok := <-ready:
		if !ok {
			t.Fatal("prism ended before it was ready")
		}
		return url
	case <-time.After(time.Minute):
		t.Fatal("prism is not ready after a minute")
	}
	return ""
}

// suite is one run of the contract suite.
type suite struct {
	t      *testing.T
	url    string // of prism
	server *emulator.Server

	mu         sync.Mutex
	seen       map[string]int // "operation status": how often
	violations []string
}

// RoundTrip counts what goes through prism, and finds what it says against it.
func (s *suite) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(strings.NewReader(string(body)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[operation(r)+" "+strconv.Itoa(response.StatusCode)]++
	if response.Header.Get("sl-violations") != "" || strings.Contains(string(body), "stoplight.io/prism/errors") {
		s.violations = append(s.violations, fmt.Sprintf("%s %s: %d %s %s", r.Method, r.URL.Path, response.StatusCode, response.Header.Get("sl-violations"), body))
	}
	return response, nil
}

func (s *suite) violation(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, text)
}

// operation finds the operationId of a request.
func operation(r *http.Request) string {
	for _, o := range gen.Operations() {
		path := regexp.MustCompile("^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(o.Path, "[^/]+") + "$")
		if o.Method == r.Method && path.MatchString(r.URL.Path) {
			return o.ID
		}
	}
	return "none"
}

// client calls through prism as the account of that client id, once a call.
func (s *suite) client(id string, options ...api.Option) *api.Client {
	s.t.Helper()
	return s.with(append(options, api.WithAuth(s.tokens(id, id+"'s secret", "")))...)
}

func (s *suite) with(options ...api.Option) *api.Client {
	s.t.Helper()
	c, err := api.New(append(options,
		api.WithBaseURL(s.url),
		api.WithHTTPClient(&http.Client{Transport: s}),
		api.WithRetryPolicy(api.RetryPolicy{Attempts: 1}),
	)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *suite) tokens(id, secret, audience string) *authn.Source {
	s.t.Helper()
	source, err := authn.New(authn.Config{Domain: s.url, ClientID: id, ClientSecret: authn.Secret(secret), Audience: audience, Transport: s})
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

// is fails the test unless err is of that class; nil is no error.
func (s *suite) is(what string, err, class error) {
	s.t.Helper()
	if !errors.Is(err, class) {
		s.t.Errorf("%s: %v, want %v", what, err, class)
	}
}

const (
	square = `{"type":"Polygon","coordinates":[[[-93.6012,42.0301],[-93.5951,42.0301],[-93.5951,42.0346],[-93.6012,42.0346],[-93.6012,42.0301]]]}`
	bowtie = `{"type":"Polygon","coordinates":[[[0,0],[1,1],[1,0],[0,1],[0,0]]]}`
	both   = `{"type":"MultiPolygon","coordinates":[[[[-93.6012,42.0301],[-93.5951,42.0301],[-93.5951,42.0346],[-93.6012,42.0301]]],[[[10,50],[10.1,50],[10.1,50.1],[10,50]]]]}`
)

func feature(id, geometry string, days int) api.Feature {
	return api.Feature{ID: id, Geometry: []byte(geometry), Properties: api.FeatureProperties{
		StartAt: wire.Date(2026, time.January, 1),
		EndAt:   wire.Date(2026, time.January, 1+days),
	}}
}

func collection(features ...api.Feature) api.SourceCreateFeatures {
	return api.SourceCreateFeatures{FeatureCollection: api.FeatureCollection{Features: features}}
}

// calls are one call of each operation, which deletes what it created before.
var calls = map[string]func(context.Context, *api.Client) error{
	"listSources": func(ctx context.Context, c *api.Client) error {
		_, err := c.Sources.List(ctx, api.ListParams{})
		return err
	},
	"createSources": func(ctx context.Context, c *api.Client) error {
		_, err := c.Sources.Create(ctx, collection(feature("again", square, 100)))
		return err
	},
	"getSource": func(ctx context.Context, c *api.Client) error {
		_, err := c.Sources.Get(ctx, "src_0000000000000")
		return err
	},
	"deleteSource": func(ctx context.Context, c *api.Client) error {
		created, err := c.Sources.Create(ctx, collection(feature("to be deleted", square, 100)))
		if err != nil { // an account that may not create either
			return c.Sources.Delete(ctx, "src_0000000000000")
		}
		return c.Sources.Delete(ctx, created[0].ID)
	},
	"deleteSourcesByAltID": func(ctx context.Context, c *api.Client) error {
		_, _ = c.Sources.Create(ctx, collection(feature("theirs", square, 100)))
		return c.Sources.DeleteByAltID(ctx, "theirs")
	},
}

// Every operation, every status and every request form goes through Prism
// without a violation, on the way there and on the way back.
func TestContract(t *testing.T) {
	accounts := []emulator.Account{
		{ClientID: "full", ClientSecret: "full's secret", AccountID: "00000000-0000-4000-8000-000000000001", Role: "admin"},
		{ClientID: "none", ClientSecret: "none's secret", AccountID: "00000000-0000-4000-8000-000000000002", Scopes: []string{}},
	}
	server, err := emulator.Start(emulator.Options{Accounts: accounts, MaxBody: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	s := &suite{t: t, server: server, seen: map[string]int{}}
	s.url = prism(t, server.URL, s.violation)
	ctx := t.Context()
	full := s.client("full")

	// The three request forms, with and without all that they may hold.
	created, err := full.Sources.Create(ctx, collection(feature("a", square, 100), feature("b", both, 200)))
	s.is("bare collection", err, nil)
	shared := collection(feature("c", square, 300))
	shared.Methodology = new(gen.MethodologyAgriculture)
	shared.SourceType = new(gen.SourceTypeField)
	shared.AttributeType = gen.AttributeTypeValues()
	shared.GeometrySource = new(gen.GeometrySourceAuthoritativeGIS)
	shared.Tags = []string{"north", "2026"}
	shared.StewardID, shared.ProjectID = new("steward-7"), new("project-2026")
	shared.OutcomeReportingYear = new(2026)
	shared.AccountID = &accounts[0].AccountID
	shared.CreatedBy, shared.UpdatedBy = &accounts[0].AccountID, &accounts[0].AccountID
	_, err = full.Sources.Create(ctx, shared)
	s.is("features with attributes", err, nil)
	_, err = full.Sources.CreateOne(ctx, api.SourceCreate{AltID: "d", Geometry: []byte(square), StartAt: new(wire.Date(2027, time.January, 1)), EndAt: new(wire.Date(2027, time.June, 1))})
	s.is("one source", err, nil)
	_, err = full.Sources.CreateOne(ctx, api.SourceCreate{
		AltID: "e", Geometry: []byte(both), StartAt: new(wire.Date(2027, time.January, 1)), EndAt: new(wire.Date(2027, time.June, 1)),
		SourceType: new(gen.SourceTypeDevice), MeasurementPointID: new("point-1"), Tags: []string{"x"}, Methodology: new(api.Methodology("Something New")),
	})
	s.is("a device", err, nil)
	if t.Failed() {
		t.Fatal(s.violations)
	}
	_, err = full.Sources.CreateOne(ctx, api.SourceCreate{
		AltID: "f", Geometry: []byte(square), StartAt: new(wire.Date(2028, time.January, 1)), EndAt: new(wire.Date(2028, time.June, 1)),
		SourceType: new(gen.SourceTypeProgram), ConstituentSSIDs: []api.SSID{created[0].ID, created[1].ID},
	})
	s.is("a program", err, nil)

	// Every filter, by itself and all together; pages.
	filters := map[string]api.Filter{
		"nothing":     {},
		"methodology": {Methodology: gen.MethodologyAgriculture},
		"steward":     {StewardID: "steward-7"},
		"project":     {ProjectID: "project-2026"},
		"year":        {OutcomeReportingYear: 2026},
		"id":          {ID: created[0].ID},
		"alt_id":      {AltID: "a"},
		"account":     {AccountID: accounts[0].AccountID},
		"all":         {Methodology: gen.MethodologyAgriculture, StewardID: "steward-7", ProjectID: "project-2026", OutcomeReportingYear: 2026, AltID: "c", AccountID: accounts[0].AccountID},
	}
	for name, filter := range filters {
		found, err := full.Sources.List(ctx, api.ListParams{Filter: filter, Limit: 10, Offset: 0})
		s.is(name, err, nil)
		if len(found) == 0 {
			t.Errorf("%s: nothing found", name)
		}
	}
	n := 0
	for _, err := range full.Sources.All(ctx, api.AllParams{PageSize: 2}) {
		s.is("all", err, nil)
		n++
	}
	if n != 6 {
		t.Errorf("%d sources, want 6", n)
	}
	_, err = full.Sources.Get(ctx, created[0].ID)
	s.is("get", err, nil)

	// Refusals as the emulator gives them by itself.
	_, err = full.Sources.Create(ctx, collection(feature("bad", bowtie, 100)))
	s.is("bowtie", err, api.ErrInvalid)
	_, err = full.Sources.Create(ctx, collection(feature("bad", square, 1)))
	s.is("one day", err, api.ErrInvalid)
	_, err = full.Sources.Create(ctx, collection(slices.Repeat([]api.Feature{feature("many", square, 100)}, 1000)...))
	s.is("too large", err, api.ErrTooLarge)
	s.is("delete", full.Sources.Delete(ctx, created[0].ID), nil)
	s.is("delete again", full.Sources.Delete(ctx, created[0].ID), api.ErrNotFound)
	s.is("delete by alt_id", full.Sources.DeleteByAltID(ctx, "b"), nil)
	stranger := s.with(api.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "no-such-token"})))
	// As a source of the caller's own, of which it is not known what was granted.
	bare := s.with(api.WithTokenSource(struct{ oauth2.TokenSource }{s.tokens("none", "none's secret", "")}))
	for name, call := range calls {
		s.is(name, call(ctx, stranger), api.ErrUnauthorized)
		s.is(name, call(ctx, bare), api.ErrForbidden)
	}
	for _, source := range []*authn.Source{s.tokens("full", "wrong", ""), s.tokens("full", "full's secret", "https://elsewhere.example.com")} {
		if _, err := source.Token(); err == nil {
			t.Error("a token for nothing")
		}
	}

	// The statuses that openapi.yaml declares and nothing has caused so far.
	document, err := openapi3.NewLoader().LoadFromData(meti.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, o := range gen.Operations() {
		for status := range document.Paths.Value(o.Path).GetOperation(o.Method).Responses.Map() {
			declared = append(declared, o.ID+" "+status)
		}
	}
	slices.Sort(declared)
	for _, pair := range declared {
		if s.count(pair) > 0 {
			continue
		}
		id, text, _ := strings.Cut(pair, " ")
		status, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(pair)
		}
		fault := emulator.Fault{Operation: id, Kind: emulator.FaultStatus, Status: status, Count: 1}
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			fault.RetryAfter = time.Second
		}
		if err := server.SetFaults([]emulator.Fault{fault}); err != nil {
			t.Fatal(err)
		}
		if id == gen.OperationRequestToken.ID {
			_, _ = s.tokens("full", "full's secret", "").Token()
		} else {
			_ = calls[id](ctx, full)
		}
		if s.count(pair) == 0 {
			t.Errorf("%s was not seen", pair)
		}
	}

	for _, violation := range s.violations {
		t.Error(violation)
	}
	for pair := range s.seen {
		if !slices.Contains(declared, pair) {
			t.Errorf("%s is not declared in openapi.yaml", pair)
		}
	}
	t.Logf("%d pairs of operation and status: %v", len(declared), slices.Sorted(maps.Keys(s.seen)))
}

func (s *suite) count(pair string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[pair]
}

// Prism does find what is wrong, in requests and in answers.
func TestPrismFindsViolations(t *testing.T) {
	server, err := emulator.Start(emulator.Options{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.URL.Path == "/sources" {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"sources":7}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	s := &suite{t: t, server: server, seen: map[string]int{}}
	s.url = prism(t, server.URL, s.violation)
	for _, request := range []struct{ method, path, body string }{
		{"GET", "/sources", ""},                              // answered with an object
		{"DELETE", "/sources", ""},                           // without alt_id
		{"GET", "/sources?limit=many", ""},                   // no integer
		{"POST", "/sources", `{"type":"FeatureCollection"}`}, // no features
	} {
		r, err := http.NewRequestWithContext(t.Context(), request.method, s.url+request.path, strings.NewReader(request.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		before := len(s.violations)
		response, err := s.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		s.mu.Lock()
		if len(s.violations) == before {
			t.Errorf("%v: no violation found; answered %d", request, response.StatusCode)
		}
		s.mu.Unlock()
	}
}
