package register_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// promise keeps for a METI what the settling time rests on, however slow the
// machine is: what a request does is done within that time, and visible, or is not
// done at all. It also commits some requests late, within that.
type promise struct {
	lag  time.Duration // until what was done is visible
	late float64       // the probability of a late commit, of which some are answered by 504

	mu     sync.Mutex
	random *rand.Rand
	open   map[chan struct{}]time.Time // the POSTs that are not done yet, or not visible, by when they were sent
}

// sentAt is a header by which a process tells when it sent a POST.
const sentAt = "X-Sent-At"

// A POST that arrives later than arrival after it was sent is dropped. A reading is
// kept waiting for those that were sent longer ago than patience; where nothing is
// slow, all of these are done and visible.
const arrival, patience = settle * 2 / 3, settle * 9 / 10

// sending is the transport of a process.
type sending struct{ http.RoundTripper }

func (s sending) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(sentAt, strconv.FormatInt(time.Now().UnixNano(), 10))
	return s.RoundTripper.RoundTrip(r)
}

func (p *promise) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := strconv.ParseInt(r.Header.Get(sentAt), 10, 64)
		switch ours := err == nil && strings.HasPrefix(r.URL.Path, "/sources"); {
		case ours && r.Method == http.MethodGet:
			if p.wait(r.Context(), patience) != nil {
				panic(http.ErrAbortHandler)
			}
		case ours && r.Method == http.MethodPost:
			p.post(w, r, time.Unix(0, sent), next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// post carries a POST out in time, or not at all.
func (p *promise) post(w http.ResponseWriter, r *http.Request, sent time.Time, next http.Handler) {
	done := make(chan struct{})
	p.mu.Lock()
	inTime := time.Since(sent) < arrival
	if inTime {
		p.open[done] = sent
	}
	late, delay, status := p.random.Float64() < p.late, time.Duration(p.random.IntN(500))*time.Millisecond, p.random.IntN(4) == 0
	p.mu.Unlock()
	if !inTime {
		panic(http.ErrAbortHandler)
	}
	end := func() {
		time.AfterFunc(p.lag, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.open, done)
			close(done)
		})
	}
	if !late {
		defer end()
		next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), delay+settle) // for what hangs
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	time.AfterFunc(delay, func() {
		defer end()
		defer cancel()
		defer func() { _ = recover() }() // as net/http does; there is nobody to tell
		if err == nil {
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
	})
	if !status {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusGatewayTimeout)
}

func (p *promise) setLate(probability float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = probability
}

// wait waits for the POSTs that were sent longer ago.
func (p *promise) wait(ctx context.Context, longer time.Duration) error {
	p.mu.Lock()
	var list []chan struct{}
	for done, sent := range p.open {
		if time.Since(sent) >= longer {
			list = append(list, done)
		}
	}
	p.mu.Unlock()
	for _, done := range list {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
