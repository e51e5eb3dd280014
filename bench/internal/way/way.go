// Package way is what the ways of listing have in common: what they are asked to
// do, and how it is measured what that takes; and what the benchmarks share.
package way

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
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

// Ring counts a ring.
func (c *Count) Ring(ring [][2]float64) {
	c.Vertices += len(ring)
	c.Sum += ring[0][0] + ring[0][1]
}

// Lists counts rings whose positions are lists.
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
	run := ways[*name]
	if run == nil {
		Fatal(fmt.Errorf("there is no way %q", *name))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if *certificate != "" {
		text, err := os.ReadFile(*certificate)
		if err != nil {
			Fatal(err)
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
		Fatal(err)
	}
	r := Result{Count: c, Wall: time.Since(begin).Seconds(), CPU: cpuTime() - cpu, Peak: Peak(os.Getpid())}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		Fatal(err)
	}
}

func cpuTime() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// Peak is the most memory of a process that was resident, in bytes; 0 where the
// system is not Linux. What Getrusage says begins with what the parent held.
func Peak(process int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// AppendRing appends the positions of a ring round a place, closed, and gives the
// sum of its first position. The numbers have so many decimals, or all the digits
// of a float64 where decimals is -1.
func AppendRing(text []byte, random *rand.Rand, positions int, west, south, radius, spread float64, decimals int) ([]byte, float64) {
	ring, first, sum := len(text), 0, 0.0
	for v := range positions - 1 {
		angle := 2 * math.Pi * float64(v) / float64(positions-1)
		r := radius * (1 - spread + 2*spread*random.Float64())
		x, y := west+r*math.Cos(angle), south+r*math.Sin(angle)
		text = append(text, '[')
		text = strconv.AppendFloat(text, x, 'f', decimals, 64)
		text = append(text, ',')
		text = strconv.AppendFloat(text, y, 'f', decimals, 64)
		text = append(text, ']')
		if v == 0 {
			first, sum = len(text), x+y
		}
		text = append(text, ',')
	}
	return append(text, text[ring:first]...), sum
}

// Fatal ends the program with an error.
func Fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Floor reads the bodies and discards them.
func Floor(l Listing) (c Count, err error) {
	var next atomic.Int64
	var group errgroup.Group
	for range max(1, l.InFlight) {
		group.Go(func() error {
			buffer := make([]byte, 128<<10)
			for {
				body, err := Get(l, int(next.Add(int64(l.Page)))-l.Page)
				if err != nil {
					return err
				}
				// As a mere Writer, for io.Discard reads with a small buffer of its own.
				read, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, buffer)
				body.Close()
				if err != nil || read <= int64(len("[]")) {
					return err
				}
			}
		})
	}
	return c, group.Wait()
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

// Walk goes over the pages, one after the other, until one is empty.
func Walk(read func(offset int) (sources int, err error)) error {
	for offset := 0; ; {
		n, err := read(offset)
		if err != nil || n == 0 {
			return err
		}
		offset += n
	}
}

// Pages is Walk for a client that gives each page as a list.
func Pages[Source any](list func(offset int) ([]Source, error), see func(*Source, *Count) error) (c Count, err error) {
	err = Walk(func(offset int) (int, error) {
		page, err := list(offset)
		if err != nil {
			return 0, err
		}
		for i := range page {
			if err := see(&page[i], &c); err != nil {
				return 0, err
			}
		}
		c.Sources += len(page)
		return len(page), nil
	})
	return c, err
}
