package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/meti-go/meti/gen"
)

// BenchmarkLoop is what one Get costs through the request loop, beside the
// generated client with the same transport and token. "instant" has no network
// below it, so that nothing but the two themselves is measured; "loopback" is a
// real server on this machine.
func BenchmarkLoop(b *testing.B) {
	server := httptest.NewServer(found)
	defer server.Close()
	loopback := &http.Client{Transport: sharedTransport().Clone()}
	defer loopback.CloseIdleConnections()
	quick := &http.Client{Transport: made(b, instant()...).transport}
	tokens := (&auth0{scope: allScopes}).source(b)
	hook := func(context.Context, Attempt) {}
	for _, network := range []struct {
		name, url string
		client    *http.Client
	}{{"instant", "http://127.0.0.1", quick}, {"loopback", server.URL, loopback}} {
		ours := func(options ...Option) func(*testing.B) {
			c := made(b, append(options, WithAuth(tokens), WithBaseURL(network.url), WithHTTPClient(network.client))...)
			return func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := get(b.Context(), c); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		b.Run(network.name+"/api", ours())
		b.Run(network.name+"/api with a hook", ours(WithHook(hook)))
		b.Run(network.name+"/generated", func(b *testing.B) {
			client, err := gen.NewClientWithResponses(network.url, gen.WithHTTPClient(network.client), gen.WithRequestEditorFn(tokens.Edit))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				result, err := client.GetSourceWithResponse(b.Context(), theID)
				if err != nil || result.JSON200 == nil {
					b.Fatal(err)
				}
			}
		})
	}
}
