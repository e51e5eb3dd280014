package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/meti-go/meti/emulator"
)

// freeAddress gives an address of this machine at which nobody listens. Its port is
// below those that systems choose from, so that nobody gets it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000)))
		if err == nil {
			listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// TestEmulatorSurvivesKill: what was acknowledged is there after kill -9, each
// collection whole or not at all, and its token is still good.
func TestEmulatorSurvivesKill(t *testing.T) {
	var token string
	data, listen := t.TempDir()+"/meti.db", freeAddress(t)
	run := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "meti", "emulator", "--data", data, "--listen", listen, "--admin")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var ready emulator.Ready
		if err := json.Unmarshal([]byte(line), &ready); err != nil || ready.URL != "http://"+listen {
			t.Fatal(line, err)
		}
		return cmd
	}
	send := func(method, path, body string, to any) error {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+listen+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s: %s", method, path, answer.Status)
		}
		return json.NewDecoder(answer.Body).Decode(to)
	}
	collection := func(batch int) string {
		var features []string
		for i := range 100 {
			w, s := float64(i)/50, 44+float64(batch)/50
			features = append(features, fmt.Sprintf(`{"type":"Feature","id":"b%d-%d","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},
				"geometry":{"type":"Polygon","coordinates":[[[%[3]v,%[4]v],[%[5]v,%[4]v],[%[5]v,%[6]v],[%[3]v,%[6]v],[%[3]v,%[4]v]]]}}`, batch, i, w, s, w+0.01, s+0.01))
		}
		return `{"type":"FeatureCollection","features":[` + strings.Join(features, ",") + `]}`
	}
	type source struct {
		AltID string `json:"alt_id"`
	}
	const batches = 50

	first := run()
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	if err := send("POST", "/_emulator/token", "{}", &granted); err != nil {
		t.Fatal(err)
	}
	token = granted.AccessToken
	for batch := range batches {
		var created []source
		if err := send("POST", "/sources", collection(batch), &created); err != nil || len(created) != 100 {
			t.Fatal(len(created), err)
		}
	}
	cut := make(chan error, 1)
	go func() { var created []source; cut <- send("POST", "/sources", collection(batches), &created) }()
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	acknowledged := batches
	if err := <-cut; err == nil {
		acknowledged++
	}

	second := run()
	defer func() { _ = second.Process.Kill(); _ = second.Wait() }()
	var listed []source
	if err := send("GET", "/sources", "", &listed); err != nil {
		t.Fatal(err)
	}
	if n := len(listed) / 100; len(listed)%100 != 0 || n < acknowledged || n > batches+1 || listed[4999].AltID != "b49-99" {
		t.Errorf("%d sources are left of %d", len(listed), 100*acknowledged)
	}
}
