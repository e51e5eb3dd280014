// Package way is what the ways of listing have in common: what they are asked
// to do, and how it is measured what that takes.
package way

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Listing is what a way is asked to do.
type Listing struct {
	Base        string
	Page        int // sources a request
	InFlight    int
	Coordinates bool // decode every coordinate, where that is not done anyway
	Client      *http.Client
}

// Count is what a way has seen.
type Count struct {
	Sources  int     `json:"sources"`
	Vertices int     `json:"vertices"`
	Sum      float64 `json:"sum"` // of the first position of each ring
}

func (c *Count) Ring(ring [][2]float64) {
	c.Vertices += len(ring)
	c.Sum += ring[0][0] + ring[0][1]
}

func (c *Count) Lists(rings [][][]float64) {
	for _, ring := range rings {
		c.Vertices += len(ring)
		c.Sum += ring[0][0] + ring[0][1]
	}
}

// Result is what a way did and what it took.
type Result struct {
	Count
	Wall float64 `json:"wall"` // seconds
	CPU  float64 `json:"cpu"`  // user and system, seconds
	Peak int64   `json:"peak"` // resident bytes at most
}

// Main carries out the way that the command line names.
func Main(ways map[string]func(Listing) (Count, error)) {
	var (
		l           Listing
		name        = flag.String("way", "", "the way")
		certificate = flag.String("certificate", "", "the server's certificate")
	)
	flag.StringVar(&l.Base, "base", "", "the server")
	flag.IntVar(&l.Page, "page", 1000, "sources a request")
	flag.IntVar(&l.InFlight, "in-flight", 1, "requests under way at once")
	flag.BoolVar(&l.Coordinates, "coordinates", false, "decode every coordinate")
	flag.Parse()
	if ways[*name] == nil {
		fatal(fmt.Errorf("there is no way %q", *name))
	}
	child(ways[*name], l, *certificate)
}

// child carries out one way in this process, and prints its result.
func child(run func(Listing) (Count, error), l Listing, certificate string) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if certificate != "" {
		text, err := os.ReadFile(certificate)
		if err != nil {
			fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(text)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	transport.MaxIdleConnsPerHost = 64
	l.Client = &http.Client{Transport: transport}
	cpu, begin := cpuTime(), time.Now()
	c, err := run(l)
	if err != nil {
		fatal(err)
	}
	r := Result{Count: c, Wall: time.Since(begin).Seconds(), CPU: cpuTime() - cpu, Peak: peak()}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fatal(err)
	}
}

func cpuTime() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// peak is the most memory that was resident. Linux tells it of the program
// alone; ru_maxrss starts from what the parent held.
func peak() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Maxrss << 10
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Floor reads the bodies and discards them.
func Floor(l Listing) (c Count, err error) {
	var (
		next     atomic.Int64
		workers  sync.WaitGroup
		mu       sync.Mutex
		failed   error
		finished atomic.Bool
	)
	for range max(1, l.InFlight) {
		workers.Go(func() {
			buffer := make([]byte, 128<<10)
			for !finished.Load() {
				offset := int(next.Add(int64(l.Page))) - l.Page
				read := 0
				body, err := Get(l, offset)
				if err == nil {
					for err == nil {
						var n int
						n, err = body.Read(buffer)
						read += n
					}
					body.Close()
				}
				if err != io.EOF {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
				if err != io.EOF || read <= 2 {
					finished.Store(true)
				}
			}
		})
	}
	workers.Wait()
	return c, failed
}

// Get requests a page as every way does that brings no client of its own.
func Get(l Listing, offset int) (io.ReadCloser, error) {
	request, err := http.NewRequest(http.MethodGet, l.Base+"/sources?limit="+strconv.Itoa(l.Page)+"&offset="+strconv.Itoa(offset), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer token")
	answer, err := l.Client.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("status %s", answer.Status)
	}
	return answer.Body, nil
}

// Pages walks over the pages, one after the other.
func Pages(list func(offset int) (sources int, err error)) error {
	for offset := 0; ; {
		n, err := list(offset)
		if err != nil || n == 0 {
			return err
		}
		offset += n
	}
}
