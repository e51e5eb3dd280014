package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// BenchmarkLoop is what one Get costs through the request loop, beside the
// generated client with the same transport and token. "instant" has no network
// below it, so that nothing but the two themselves is measured; "loopback" is a
// real server on this machine.
func BenchmarkLoop(b *testing.B) {
	server := httptest.NewServer(found)
	defer server.Close()
	loopback := &http.Client{Transport: safehttp.Transport().Clone()}
	defer loopback.CloseIdleConnections()
	quick := &http.Client{Transport: made(b, instant()...).http.Transport}
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

// BenchmarkGzip reads a compressed list through the loop, counted, capped and
// watched, beside compress/gzip alone on the same bytes, and beside the same
// list without compression.
func BenchmarkGzip(b *testing.B) {
	const sources = 20_000
	var plain bytes.Buffer
	plain.WriteByte('[')
	for n := range sources {
		if n > 0 {
			plain.WriteByte(',')
		}
		plain.WriteString(strings.ReplaceAll(oneSource, "field-1", fmt.Sprint("field-", n)))
	}
	plain.WriteByte(']')
	compressed := zipped(b, bytes.NewReader(plain.Bytes()))
	through := func(body []byte, header http.Header) func(*testing.B) {
		c := made(b, WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
		})}))
		return func(b *testing.B) {
			b.SetBytes(int64(plain.Len()))
			for b.Loop() {
				if n, err := list(b.Context(), c, 0); err != nil || n != int64(plain.Len()) {
					b.Fatal(n, err)
				}
			}
		}
	}
	b.Run("api", through(compressed, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}))
	b.Run("compress/gzip", func(b *testing.B) {
		b.SetBytes(int64(plain.Len()))
		buffer := make([]byte, 8<<10)
		for b.Loop() {
			r, err := gzip.NewReader(bytes.NewReader(compressed))
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buffer); err != nil || n != int64(plain.Len()) {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("api, not compressed", through(plain.Bytes(), http.Header{"Content-Type": {"application/json"}}))
}
