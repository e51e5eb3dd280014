package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// result is what a way did and what it took.
type result struct {
	count
	Wall float64 `json:"wall"` // seconds
	CPU  float64 `json:"cpu"`  // user and system, seconds
	Peak int64   `json:"peak"` // resident bytes at most
}

// child carries out one way in this process, and prints its result.
func child(way string, l listing, certificate string) {
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
	l.client = &http.Client{Transport: transport}
	cpu, begin := cpuTime(), time.Now()
	c, err := ways[way](l)
	if err != nil {
		fatal(fmt.Errorf("%s: %w", way, err))
	}
	r := result{count: c, Wall: time.Since(begin).Seconds(), CPU: cpuTime() - cpu, Peak: peak()}
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
