//go:build peers

// Package authn_test holds authn and the emulator against token servers and
// token clients that this project did not write. It needs node, and "npm ci"
// in this folder; "make test-peers" does both.
package authn_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/meti-go/meti/authn"
)

// start runs a command until the test ends, and reads its first line of stdout
// into ready. The rest of stdout goes to lines.
func start(t *testing.T, ready any, lines func(string), command string, args ...string) {
	t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	scanner := bufio.NewScanner(stdout)
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		_ = cmd.Wait()
	})
	if !scanner.Scan() {
		close(done)
		t.Fatal("no ready line from ", command)
	}
	if err := json.Unmarshal(scanner.Bytes(), ready); err != nil {
		close(done)
		t.Fatalf("%v in %q", err, scanner.Text())
	}
	go func() {
		defer close(done)
		for scanner.Scan() {
			lines(scanner.Text())
		}
	}()
}

// node runs a script of this folder with input on stdin and decodes its stdout.
func node(t *testing.T, script string, env []string, input, output any) {
	t.Helper()
	raw, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(raw), t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, output); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
}

// The client runs through several renewals of oauth2-mock-server's tokens,
// after a first answer of 429: every call gets a token that is still valid.
func TestRenewalsAgainstOAuth2MockServer(t *testing.T) {
	var ready struct{ URL string }
	var mu sync.Mutex
	var requests []struct{ At, Status int64 }
	start(t, &ready, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, struct{ At, Status int64 }{})
		if err := json.Unmarshal([]byte(line), &requests[len(requests)-1]); err != nil {
			t.Errorf("%v in %q", err, line)
		}
	}, "node", "token-server.mjs")

	source, err := authn.New(authn.Config{Domain: ready.URL, ClientID: "peer", ClientSecret: "peer's secret"})
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]bool{}
	var waited time.Duration
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		before := time.Now()
		g, err := source.Grant(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(tokens) > 0 {
			waited = max(waited, time.Since(before))
		}
		tokens[g.AccessToken()] = true
		claims, err := authn.ParseUnverifiedClaims(g.AccessToken())
		if err != nil {
			t.Fatal(err)
		}
		if !time.Now().Before(claims.ExpiresAt) {
			t.Errorf("a token was handed out %s after its end", time.Since(claims.ExpiresAt))
		}
		if claims.ClientName != "peer" || len(claims.Audience) != 1 || claims.Audience[0] != authn.DefaultAudience {
			t.Errorf("%+v", claims)
		}
		if err := g.Require("DeleteSource", "delete:sources"); err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d tokens, %d requests, longest wait after the first token %s", len(tokens), len(requests), waited)
	if len(tokens) < 4 || len(requests) < len(tokens) || len(requests) > len(tokens)+2 {
		t.Errorf("%d tokens from %d requests in 20 seconds", len(tokens), len(requests))
	}
	// The reset was 2 seconds ahead, in whole seconds.
	if requests[0].Status != 429 || requests[1].Status != 200 || requests[1].At-requests[0].At < 1000 {
		t.Errorf("%+v", requests[:2])
	}
}

// x/oauth2 and npm auth0 get tokens from the emulator, and npm jose verifies
// them, and ours, against its keys.
func TestEmulatorServesForeignClients(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "meti")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/meti-go/meti/cmd/meti").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var emulator struct {
		URL, Domain, Audience string
		ClientID              string `json:"client_id"`
		ClientSecret          string `json:"client_secret"`
	}
	start(t, &emulator, func(line string) { t.Errorf("a second line on stdout: %s", line) }, binary, "emulator", "--listen", "127.0.0.1:0")

	var tokens []string
	for name, style := range map[string]oauth2.AuthStyle{
		"Basic or form, as x/oauth2 finds out": oauth2.AuthStyleAutoDetect,
		"Basic":                                oauth2.AuthStyleInHeader,
		"form":                                 oauth2.AuthStyleInParams,
	} {
		token, err := (&clientcredentials.Config{
			ClientID: emulator.ClientID, ClientSecret: emulator.ClientSecret, TokenURL: emulator.Domain + "/oauth/token",
			EndpointParams: url.Values{"audience": {emulator.Audience}}, AuthStyle: style,
		}).Token(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if token.Type() != "Bearer" || !token.Valid() {
			t.Errorf("%s: %s until %s", name, token.Type(), token.Expiry)
		}
		tokens = append(tokens, token.AccessToken)
	}
	source, err := authn.New(authn.Config{Domain: emulator.Domain, ClientID: emulator.ClientID, ClientSecret: authn.Secret(emulator.ClientSecret), Audience: emulator.Audience})
	if err != nil {
		t.Fatal(err)
	}
	ours, err := source.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens = append(tokens, ours.AccessToken())

	// npm auth0 has no way to say http: it gets https, by a proxy whose
	// certificate it is told to trust.
	target, err := url.Parse(emulator.URL)
	if err != nil {
		t.Fatal(err)
	}
	tls := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	defer tls.Close()
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}

	var out struct {
		Auth0    struct{ Scope, Token_type string }
		Verified []map[string]any
		Forged   string
	}
	node(t, "clients.mjs", []string{"NODE_EXTRA_CA_CERTS=" + certificate}, map[string]any{
		"url": emulator.URL, "tls": strings.TrimPrefix(tls.URL, "https://"), "client_id": emulator.ClientID,
		"client_secret": emulator.ClientSecret, "audience": emulator.Audience, "tokens": tokens,
	}, &out)
	if len(out.Verified) != 1+len(tokens) || out.Forged != "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" {
		t.Errorf("%d tokens verified; a forged one: %q", len(out.Verified), out.Forged)
	}
	for i, claims := range out.Verified {
		if claims["https://api.meti.millpont.com/account_id"] == nil {
			t.Errorf("token %d has no account: %v", i, claims)
		}
	}
	// And the API takes what they got.
	for i, token := range tokens {
		req, err := http.NewRequestWithContext(t.Context(), "GET", emulator.URL+"/sources", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("token %d: %s", i, resp.Status)
		}
	}
}
