package doctor_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/meti-go/meti/internal/doctor"
)

// otherwise is a METI that answers otherwise in each point.
type otherwise struct {
	mu     sync.Mutex
	prefix string // of ids
	plant  string // a text that is put wherever a server might put one
	stored []map[string]any
	lists  int
	posts  []string
	paths  []string
}

func (o *otherwise) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.paths = append(o.paths, r.Method+" "+r.URL.Path)
	answer := func(status int, value any) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-RateLimit-Remaining", "17")
		w.Header().Set("CF-Ray", o.plant)
		w.Header().Set("Retry-After", o.plant)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(value)
	}
	id, one := strings.CutPrefix(r.URL.Path, "/sandbox/sources/")
	switch {
	case r.URL.Path == "/openapi.json":
		text, err := os.ReadFile("testdata/openapi.json")
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(text)
	case one:
		answer(http.StatusGone, map[string]any{"error": "no " + id + o.plant})
	case r.Method == http.MethodPost:
		o.post(r, answer)
	case r.URL.Path == "/sandbox/sources":
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		page := slices.Clone(o.stored[:min(len(o.stored), max(limit, 2), 100)])
		if o.lists++; o.lists > 3 {
			slices.Reverse(page)
		}
		answer(200, page)
	default:
		answer(500, map[string]any{"errors": []string{o.plant}})
	}
}

func (o *otherwise) post(r *http.Request, answer func(int, any)) {
	var body struct {
		Inside  *struct{ Features []map[string]any } `json:"feature_collection"`
		All     []map[string]any                     `json:"features"`
		AltID   string                               `json:"alt_id"`
		StartAt string                               `json:"start_at"`
		Asks    bool                                 `json:"doctor_asks"`
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil || body.Asks || body.AltID != "" && body.StartAt == "" {
		answer(500, map[string]any{"errors": []string{o.plant}})
		return
	}
	features := body.All
	if body.Inside != nil {
		features = body.Inside.Features
	}
	if body.AltID != "" {
		features = []map[string]any{{"id": body.AltID}}
	}
	made := []map[string]any{}
	for _, feature := range features {
		if geometry, _ := feature["geometry"].(map[string]any); body.AltID == "" && (geometry == nil || geometry["coordinates"] == "none") {
			answer(500, map[string]any{"errors": []string{o.plant}})
			return
		}
		made = append(made, map[string]any{
			"id": fmt.Sprintf("%s%05d", o.prefix, len(o.stored)+len(made)), "alt_id": feature["id"], "hectares": "41.142643914938ha (101.67ac)",
			"geojson":  map[string]any{"type": "Feature", "geometry": map[string]any{"type": "Polygon", "coordinates": [][][]float64{{{11.223344556677, 48.7766554433}}}}},
			"start_at": "2030-01-01T00:00:00", "end_at": "2031-01-01T00:00:00", "conflict_with": nil, "steward_id": o.plant, o.plant: o.plant,
			"created_by": "6f1f6d7e-4c3b-4a55-9d5a-0d9f3b0c2a11",
		})
	}
	slices.Reverse(made)
	o.stored = append(o.stored, made...)
	o.posts = append(o.posts, r.URL.Path)
	answer(201, made)
}

// ask asks a server; what it posts and where is in the handler.
func ask(t *testing.T, handler http.Handler, record string) ([]doctor.Fact, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	return doctor.Questions{
		BaseURL: server.URL, Announce: func(string) {}, Record: record,
		Authorize: func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer planted")
			return nil
		},
	}.Ask(t.Context())
}

const planted = `Jane "O'Neill" s3cr3t-token/æ+42`

func TestWhatDiffersIsTold(t *testing.T) {
	facts, err := ask(t, &otherwise{prefix: "sandbox_", plant: "planted"}, "")
	if err != nil {
		t.Fatal(err)
	}
	// What cannot differ together with the others, for there is nothing to compare.
	holds := []string{"a bare FeatureCollection is taken", "a flat source is taken", "limit is obeyed", "the sandbox lists what was posted", "POST answers an array of the created sources"}
	for _, fact := range facts {
		switch {
		case fact.Name == "limit is obeyed": // this server answers two
			if fact.Verdict != doctor.Differs {
				t.Errorf("%s: %s, %s", fact.Name, fact.Verdict, fact.Seen)
			}
		case slices.Contains(holds, fact.Name):
		case fact.Verdict != doctor.Differs:
			t.Errorf("%s: %s, %s", fact.Name, fact.Verdict, fact.Seen)
		}
		if strings.HasPrefix(fact.Name, "openapi.json") && !strings.Contains(fact.Seen, "soil_type") {
			t.Errorf("the field that is more is not named: %s", fact.Seen)
		}
	}
	if len(facts) < 30 {
		t.Errorf("%d facts", len(facts))
	}
}

func TestAnIDThatIsNoSandboxIDEndsIt(t *testing.T) {
	server := &otherwise{prefix: "src_9fKQ2mZr", plant: "planted"}
	_, err := ask(t, server, "")
	if err == nil || !strings.Contains(err.Error(), "src_9fKQ2mZr00000") {
		t.Errorf("the error does not name the source: %v", err)
	}
	if len(server.posts) != 1 || server.paths[len(server.paths)-1] != "POST /sandbox/sources" {
		t.Errorf("more was sent: %v", server.paths)
	}
}

func TestNothingIsPostedOutsideOfASandbox(t *testing.T) {
	for _, base := range []string{"https://meti.example.com", "http://api.meti.millpont.com", "https://api.meti.millpont.com.example.com", "https://api.meti.millpont.com:8443"} {
		_, err := doctor.Questions{
			BaseURL: base, Announce: func(text string) { t.Errorf("%s was asked: %s", base, text) },
		}.Ask(t.Context())
		if !errors.Is(err, doctor.ErrHarm) {
			t.Errorf("%s: %v", base, err)
		}
	}
	server := &otherwise{prefix: "sandbox_", plant: "planted"}
	if _, err := ask(t, server, ""); err != nil {
		t.Fatal(err)
	}
	for _, path := range server.paths {
		if method, path, _ := strings.Cut(path, " "); method != http.MethodGet && path != "/sandbox/sources" {
			t.Errorf("%s %s was sent", method, path)
		}
	}
	if len(server.paths) > 40 {
		t.Errorf("%d requests", len(server.paths))
	}
}

// What a server tells must not be in a recording, in whatever form.
func TestARecordingTellsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recording")
	if _, err := ask(t, &otherwise{prefix: "sandbox_", plant: planted}, dir); err != nil {
		t.Fatal(err)
	}
	quoted, _ := json.Marshal(planted)
	secrets := []string{
		planted, "Jane", "O'Neill", "s3cr3t-token", "11.223344556677", "48.7766554433", "41.142643914938", "101.67",
		"6f1f6d7e-4c3b-4a55-9d5a-0d9f3b0c2a11", "6f1f6d7e", strings.Trim(string(quoted), `"`), url.QueryEscape(planted), url.PathEscape(planted),
		base64.StdEncoding.EncodeToString([]byte(planted)), base64.RawURLEncoding.EncodeToString([]byte(planted)), "127.0.0.1",
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 20 {
		t.Errorf("%d files were recorded", len(entries))
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds %q", entry.Name(), secret)
			}
		}
	}
	if _, err := ask(t, &otherwise{prefix: "sandbox_"}, dir); err == nil {
		t.Error("a folder that holds something was written to")
	}
}

// A sandbox that shows nothing leaves reading to production, of which no more
// than a thousand sources are asked for in all.
func TestProductionIsReadSparingly(t *testing.T) {
	server := &otherwise{prefix: "sandbox_", plant: "planted"}
	asked := 0
	facts, err := ask(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/sandbox/sources" {
			_, _ = w.Write([]byte("[]"))
			return
		}
		if r.URL.Path == "/sources" {
			limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
			if err != nil || r.Method != http.MethodGet {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			asked += limit
			_, _ = w.Write([]byte(`[{"id": "src_1"}, {"id": "src_2"}, {"id": "src_3"}, {"id": "src_4"}]`))
			return
		}
		server.ServeHTTP(w, r)
	}), "")
	if err != nil {
		t.Fatal(err)
	}
	if asked == 0 || asked > 1000 {
		t.Errorf("%d sources of production were asked for", asked)
	}
	if !slices.ContainsFunc(facts, func(f doctor.Fact) bool { return f.Name == "the order is stable" && f.Verdict == doctor.Holds }) {
		t.Error("production was not looked at")
	}
}
