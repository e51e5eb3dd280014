package authn

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// benchSource returns a source that holds a token.
func benchSource(b *testing.B) *Source {
	b.Helper()
	s, err := New(Config{Domain: "a.example", ClientID: "i", ClientSecret: "s", BaseURL: "https://api.example", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r,
			Body: jsonBody(map[string]any{"access_token": numbered(1), "token_type": "Bearer", "expires_in": 86400})}, nil
	})})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Token(); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkCached is the cost of authenticating one request with a token at
// hand, ours beside x/oauth2's and the reading of the clocks that all of them
// need, alone and from 8 goroutines.
func BenchmarkCached(b *testing.B) {
	ctx := context.Background()
	s := benchSource(b)
	reuse := oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: numbered(1), Expiry: time.Now().Add(24 * time.Hour)}, nil)
	request := func() *http.Request {
		r, err := http.NewRequestWithContext(ctx, "GET", "https://api.example/sources?limit=100", nil)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Accept", "application/json")
		return r
	}
	for _, bb := range []struct {
		name string
		call func(r *http.Request) error
	}{
		{"time.Now", func(*http.Request) error { _ = time.Now(); return nil }},
		{"Grant", func(*http.Request) error { _, err := s.Grant(ctx); return err }},
		{"Edit", func(r *http.Request) error { return s.Edit(ctx, r) }},
		{"Token", func(*http.Request) error { _, err := s.Token(); return err }},
		{"oauth2.ReuseTokenSource", func(*http.Request) error { _, err := reuse.Token(); return err }},
	} {
		b.Run(bb.name+"/alone", func(b *testing.B) {
			b.ReportAllocs()
			r := request()
			for b.Loop() {
				if err := bb.call(r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+"/8-goroutines", func(b *testing.B) {
			b.ReportAllocs()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					r := request()
					for range b.N / 8 {
						if err := bb.call(r); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkColdOn429 starts 1,000 goroutines on a server that refuses them all
// until an hour later, and counts what reaches it.
func BenchmarkColdOn429(b *testing.B) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("x-ratelimit-reset", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":"too_many_requests"}`)
	}))
	defer server.Close()
	for name, newSource := range map[string]func() oauth2.TokenSource{
		"authn": func() oauth2.TokenSource {
			s, err := New(Config{Domain: server.URL, ClientID: "i", ClientSecret: "s"})
			if err != nil {
				b.Fatal(err)
			}
			return s
		},
		"oauth2": func() oauth2.TokenSource {
			return (&clientcredentials.Config{ClientID: "i", ClientSecret: "s", TokenURL: server.URL, AuthStyle: oauth2.AuthStyleInParams}).TokenSource(context.Background())
		},
	} {
		b.Run(name, func(b *testing.B) {
			requests.Store(0)
			for b.Loop() {
				s := newSource()
				var wg sync.WaitGroup
				for range 1000 {
					wg.Go(func() {
						if _, err := s.Token(); err == nil || !strings.Contains(err.Error(), "429") {
							b.Error(err)
						}
					})
				}
				wg.Wait()
			}
			b.ReportMetric(float64(requests.Load())/float64(b.N), "requests/op")
		})
	}
}
