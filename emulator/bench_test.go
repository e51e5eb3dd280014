package emulator_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/meti-go/meti/emulator"
)

// The benchmarks measure over HTTP, one client, collections of 100, with the
// store in memory and in a file:
//
//	clear      where nothing overlaps
//	overlap    where each new source lies over four stored ones
//	delete     one source that four others conflict with
//
// on 10,000 and on 95,000 stored sources, of 4 vertices (squares), 40 and 130.
// sources/s is the metric to read, and for deletions ms/p95.

// field appends a feature: a wobbly disc around a grid point, whose radius is a
// share of the grid's width.
func field(b []byte, id string, x, y, share float64, vertices int, random *rand.Rand) []byte {
	const width = 0.01 // degrees
	b = fmt.Appendf(b, `{"type":"Feature","id":%q,"properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[`, id)
	var first []byte
	for i := range vertices {
		angle := 2 * math.Pi * (float64(i) + 0.5) / float64(vertices)
		radius := width * share * (1 - 0.06*random.Float64())
		point := fmt.Appendf(nil, "[%.9f,%.9f]", -4+width*x+radius*math.Cos(angle), 43+width*y+radius*math.Sin(angle))
		b = append(append(b, point...), ',')
		if i == 0 {
			first = point
		}
	}
	b = append(b, first...)
	return append(b, "]]}}"...)
}

func collection(features [][]byte) []byte {
	return slices.Concat([]byte(`{"type":"FeatureCollection","features":[`), bytes.Join(features, []byte(",")), []byte("]}"))
}

// fields gives n features at successive grid points from number first on,
// shifted by a share of the grid's width.
func fields(first, n, columns int, shift, share float64, vertices int, random *rand.Rand) []byte {
	features := make([][]byte, n)
	for i := range features {
		at := first + i
		features[i] = field(nil, fmt.Sprintf("f%d-%v", at, shift), float64(at%columns)+shift, float64(at/columns)+shift, share, vertices, random)
	}
	return collection(features)
}

type benchClient struct {
	b     *testing.B
	url   string
	token string
}

func (c benchClient) do(method, path string, body []byte) []byte {
	c.b.Helper()
	request, err := http.NewRequestWithContext(c.b.Context(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		c.b.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		c.b.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		c.b.Fatalf("%s %s: %d %.300s %v", method, path, answer.StatusCode, text, err)
	}
	return text
}

func BenchmarkHTTP(b *testing.B) {
	for _, where := range []string{"memory", "file"} {
		for _, vertices := range []int{4, 40, 130} {
			for _, stored := range []int{10_000, 95_000} {
				b.Run(fmt.Sprintf("%s/vertices=%d/stored=%d", where, vertices, stored), func(b *testing.B) {
					benchmarkHTTP(b, where == "file", stored, vertices)
				})
			}
		}
	}
}

func benchmarkHTTP(b *testing.B, file bool, stored, vertices int) {
	o := emulator.Options{Seed: 1, Countries: everywhere(b)}
	if file {
		o.Data = b.TempDir() + "/meti.db"
	}
	server, err := emulator.Start(o)
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	c := benchClient{b, server.URL, tokenFor(b, server.URL, emulator.DemoAccount())}
	columns := int(math.Sqrt(float64(stored))) + 1
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Now()
	for at := 0; at < stored; at += 100 {
		c.do("POST", "/sources", fields(at, 100, columns, 0, 0.45, vertices, random))
	}
	b.Logf("filled %d at %.0f sources/s", stored, float64(stored)/time.Since(start).Seconds())

	post := func(b *testing.B, from int, shift float64) {
		bodies := make([][]byte, b.N)
		for i := range bodies {
			bodies[i] = fields(from+100*i, 100, columns, shift, 0.45, vertices, random)
		}
		b.ResetTimer()
		for _, body := range bodies {
			c.do("POST", "/sources", body)
		}
		b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "sources/s")
	}
	next := stored
	b.Run("clear", func(b *testing.B) {
		next += 2 * columns
		post(b, next, 0)
		next += 100 * b.N
	})
	corner := 0
	b.Run("overlap", func(b *testing.B) {
		if corner+100*b.N > stored {
			b.Skip("not enough room")
		}
		post(b, corner, 0.5)
		corner += 100 * b.N
	})
	gone := 0
	b.Run("delete", func(b *testing.B) {
		if gone+b.N > corner {
			b.Skip("not enough left")
		}
		took := make([]time.Duration, b.N)
		for i := range b.N {
			at := gone
			gone++
			start := time.Now()
			c.do("DELETE", fmt.Sprintf("/sources?alt_id=f%d-0.5", at), nil)
			took[i] = time.Since(start)
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[b.N*95/100].Microseconds())/1000, "ms/p95")
	})
}

// BenchmarkMemory registers 95,000 fields of 40 vertices, and reports how much
// memory the process took at most, the client's part included, where the system
// tells.
func BenchmarkMemory(b *testing.B) {
	server, err := emulator.Start(emulator.Options{Seed: 1, Countries: everywhere(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	c := benchClient{b, server.URL, tokenFor(b, server.URL, emulator.DemoAccount())}
	random := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		for at := 0; at < 95_000; at += 100 {
			c.do("POST", "/sources", fields(at, 100, 310, 0, 0.45, 40, random))
		}
		status, _ := os.ReadFile("/proc/self/status")
		if found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status); found != nil {
			kB, _ := strconv.Atoi(string(found[1]))
			b.ReportMetric(float64(kB)/1000, "MB")
		}
	}
}
