package authn

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestColdStartMakesOneRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			grants(3600)(n, w, r)
		})
		defer a.close()
		s := a.source(t)
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				if token, err := s.Token(); err != nil || token.AccessToken != numbered(1) {
					t.Error(token, err)
				}
			})
		}
		wg.Wait()
		if n := a.requests.Load(); n != 1 {
			t.Errorf("%d token requests", n)
		}
	})
}

func TestRequestIsThePagesJSON(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got map[string]string
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			if r.Method != "POST" || r.URL.Path != "/oauth/token" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s %s", r.Method, r.URL, r.Header)
			}
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			grants(3600)(n, w, r)
		})
		defer a.close()
		if _, err := a.source(t).Token(); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"client_id": testClientID, "client_secret": testSecret, "audience": DefaultAudience,
			"grant_type": "client_credentials", "scope": "read:sources write:sources delete:sources",
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s = %q, want %q", key, got[key], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("got %v", got)
		}
		synctest.Wait()
	})
}
