package main

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// handler serves an account: /sources as METI does, /slow/sources with a
// latency, /whole/sources without heed to limit.
type handler struct {
	account *account
	latency time.Duration
	gzip    bool

	mu     sync.Mutex
	zipped map[string][]byte
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	offset, _ := strconv.Atoi(query.Get("offset"))
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || strings.HasPrefix(r.URL.Path, "/whole/") {
		limit = h.account.sources()
	}
	if strings.HasPrefix(r.URL.Path, "/slow/") {
		time.Sleep(h.latency)
	}
	page := h.account.page(offset, limit)
	w.Header().Set("Content-Type", "application/json")
	if h.gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		text := h.compressed(r.URL.RawQuery, page)
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write(text)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(page)+2))
	_, _ = w.Write([]byte("["))
	_, _ = w.Write(page)
	_, _ = w.Write([]byte("]"))
}

// compressed keeps what it has compressed: that is no client's work.
func (h *handler) compressed(key string, page []byte) []byte {
	h.mu.Lock()
	text := h.zipped[key]
	h.mu.Unlock()
	if text != nil {
		return text
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = z.Write([]byte("["))
	_, _ = z.Write(page)
	_, _ = z.Write([]byte("]"))
	_ = z.Close()
	h.mu.Lock()
	h.zipped[key] = b.Bytes()
	h.mu.Unlock()
	return b.Bytes()
}

// serve starts a server: plain, "gzip", "tls" or "h2".
func serve(account *account, latency time.Duration, kind string) *httptest.Server {
	server := httptest.NewUnstartedServer(&handler{account: account, latency: latency, gzip: kind == "gzip", zipped: map[string][]byte{}})
	switch kind {
	case "h2":
		server.EnableHTTP2 = true
		server.StartTLS()
	case "tls":
		server.StartTLS()
	default:
		server.Start()
	}
	return server
}
