//go:build browser

// Package browser_test shows in headless Chromium what only a browser can show.
// It needs node, Chromium (in /usr/bin/chromium, or where CHROMIUM says), and
// "npm ci" in this folder; "make test-browser" does the last.
package browser_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/meti-go/meti/emulator"
)

// result is what a page got for one fetch.
type result struct {
	Status int
	Text   string
	Error  string
}

// fetch has a page fetch addresses: method, URL and token of each.
func fetch(t *testing.T, page string, requests ...string) (results []result) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"fetch.mjs", page}, requests...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatal(err)
	}
	return results
}

// TestCORS: a page of another origin reads the emulator's answers where --cors
// names it, and nowhere else; the admin paths are no page's.
func TestCORS(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>A page</title>"))
	}))
	defer page.Close()
	for _, origins := range [][]string{nil, {page.URL}, {"*"}, {"http://other.example"}} {
		server, err := emulator.Start(emulator.Options{CORS: origins, Admin: true})
		if err != nil {
			t.Fatal(err)
		}
		token, err := server.Token(emulator.TokenSpec{})
		if err != nil {
			t.Fatal(err)
		}
		got := fetch(t, page.URL,
			"GET", server.URL+"/sources", token,
			"DELETE", server.URL+"/sources?alt_id=x", token,
			"GET", server.URL+"/sources", "",
			"GET", server.URL+"/_emulator/requests", "",
			"POST", server.URL+"/_emulator/reset", "")
		may := len(origins) > 0 && !strings.Contains(origins[0], "other")
		for i, want := range []int{200, 404, 401} {
			if may && got[i].Status != want || !may && got[i].Error == "" {
				t.Errorf("with %v, request %d: %+v", origins, i, got[i])
			}
		}
		if may && got[0].Text != "[]" {
			t.Errorf("with %v: %+v", origins, got[0])
		}
		for _, one := range got[3:] {
			if one.Status != 403 && one.Error == "" {
				t.Errorf("with %v a page reached the admin paths: %+v", origins, one)
			}
		}
		if n := server.Requests()["listSources"]; may && n != 2 {
			t.Errorf("with %v: %d lists", origins, n)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}
