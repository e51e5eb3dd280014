package authn

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

func jsonBody(v any) io.ReadCloser {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return io.NopCloser(bytes.NewReader(raw))
}

// ask makes one token request that resp answers, by a source that holds token.
func ask(t testing.TB, resp *http.Response, token string) (*Grant, error) {
	t.Helper()
	c := Config{Domain: "tenant.example", ClientID: testClientID, ClientSecret: testSecret,
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) { resp.Request = r; return resp, nil })}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	g, _, err := newAsker(c).ask(context.Background(), []string{token})
	if err != nil {
		return nil, err
	}
	return g, nil
}

const html = "<html><title>Sign in</title>" + testSecret

// Every way in which a fetch fails: its class, what the text says, and that it
// never shows the secret or the token, though the server echoes both wherever
// it can.
func TestFailures(t *testing.T) {
	token := numbered(7)
	echo := "got " + testSecret + " " + token
	type headers = map[string]string
	oauth := func(code string) map[string]any {
		return map[string]any{"error": code, "error_description": echo, "access_token": token}
	}
	described := func(code, text string) map[string]any {
		return map[string]any{"error": code, "error_description": text}
	}
	for i, tt := range []struct {
		status  int
		headers headers
		body    any // string: as it is
		class   error
		text    string
	}{
		{401, nil, described("access_denied", "Unauthorized"), ErrPermanent, "check METI_CLIENT_ID and METI_CLIENT_SECRET"},
		{401, nil, oauth("invalid_client"), ErrPermanent, "wrong domain?"},
		{403, nil, oauth("unauthorized_client"), ErrPermanent, "METI_CLIENT_SECRET"},
		{403, nil, described("access_denied", "Service not enabled within domain: https://x"), ErrPermanent, "AUTH0_AUDIENCE"},
		{403, nil, described("access_denied", "Service not found: https://x "+testSecret), ErrPermanent, "audience is unknown"},
		{403, nil, described("access_denied", `Client is not authorized to access "https://x".`), ErrPermanent, "authorize this client"},
		{403, nil, described("access_denied", "Client has not been granted scopes: delete:sources"), ErrPermanent, "granted scopes: delete:sources; ask your Auth0 administrator"},
		{400, nil, oauth("invalid_request"), ErrPermanent, "invalid_request"},
		{400, nil, oauth("unsupported_grant_type"), ErrPermanent, "400 Bad Request"},
		{400, nil, oauth("invalid_scope"), ErrPermanent, "scopes"},
		{400, nil, oauth(echo), ErrPermanent, "[redacted]"},
		{400, nil, map[string]any{"statusCode": 400, "error": "Bad Request", "message": echo}, ErrPermanent, "Bad Request"},
		{400, nil, map[string]any{"error": map[string]any{"deep": echo}}, ErrPermanent, "400"},
		{400, nil, map[string]any{"error": 17, "error_description": []string{echo}}, ErrPermanent, "17"},
		{200, nil, oauth("access_denied"), ErrPermanent, "access_denied"},
		{200, nil, map[string]any{}, ErrPermanent, "no access_token"},
		{200, nil, map[string]any{"access_token": nil}, ErrPermanent, "no access_token"},
		{200, nil, map[string]any{"access_token": 17}, ErrPermanent, "no access_token"},
		{200, nil, map[string]any{"access_token": token + "\r\nX: " + testSecret}, ErrPermanent, "cannot stand in a header"},
		{200, nil, map[string]any{"access_token": "gültig"}, ErrPermanent, "cannot stand in a header"},
		{200, nil, map[string]any{"access_token": token, "token_type": "DPoP" + testSecret}, ErrPermanent, "not Bearer"},
		{200, nil, `{"access_token":"` + strings.Repeat("x", maxAnswer) + testSecret, ErrPermanent, "more than 1048576 bytes"},
		{404, nil, html, ErrPermanent, "wrong domain?"},
		{404, nil, map[string]any{"error": echo}, ErrPermanent, "no token endpoint"},
		{405, nil, "", ErrPermanent, "wrong domain?"},
		{410, nil, "", ErrPermanent, "wrong domain?"},

		{200, headers{"Content-Type": "text/html; charset=utf-8"}, html, ErrTemporary, "text/html, not JSON: a proxy"},
		{401, headers{"Content-Type": "text/html"}, html, ErrTemporary, "a proxy"},
		{403, headers{"Content-Type": "text/html"}, html, ErrTemporary, "a proxy"},
		{403, headers{"Content-Type": "text/" + testSecret}, html, ErrTemporary, "a proxy"},
		{403, headers{"Content-Type": strings.Repeat(";", 1000)}, html, ErrTemporary, "of no stated type"},
		{200, nil, "", ErrTemporary, "not JSON"},
		{200, nil, "null", ErrTemporary, "not JSON"},
		{200, nil, "[]", ErrTemporary, "not JSON"},
		{200, nil, `"` + token + `"`, ErrTemporary, "not JSON"},
		{200, nil, `{"access_token":"` + token, ErrTemporary, "not JSON"},
		{200, nil, `access_token=` + token, ErrTemporary, "not JSON"},
		{204, nil, "", ErrTemporary, "204"},
		{407, nil, html, ErrTemporary, "407"},
		{408, nil, "", ErrTemporary, "408"},
		{425, nil, "", ErrTemporary, "425"},
		{500, nil, oauth("access_denied"), ErrTemporary, "500"},
		{502, headers{"Content-Type": "text/html"}, html, ErrTemporary, "502"},
		{503, headers{"Retry-After": "7"}, html, ErrTemporary, "asked to wait 7s"},
		{504, nil, "", ErrTemporary, "504"},
		{400, nil, oauth("temporarily_unavailable"), ErrTemporary, "temporarily_unavailable"},
		{400, nil, oauth("slow_down"), ErrTemporary, "slow_down"},
		{429, headers{"Retry-After": testSecret, "x-ratelimit-reset": testSecret, "Auth0-Client-Quota-Limit": "b=" + testSecret + ";q=1;r=0;t=1"}, oauth("too_many_requests"), ErrRateLimited, "429"},
		{429, headers{"x-ratelimit-reset": "9"}, html, ErrRateLimited, "asked to wait 9s"},
		{301, headers{"Location": "https://other.example/" + testSecret}, "", ErrRedirect, "redirect to https://other.example refused"},
		{308, headers{"Location": "https://" + testSecret + ":" + token + "@other.example/"}, "", ErrRedirect, "unreadable location"},
		{300, nil, "", ErrTemporary, "300"},
	} {
		t.Run(fmt.Sprint(i, " ", tt.status), func(t *testing.T) {
			resp := &http.Response{StatusCode: tt.status, Header: http.Header{}}
			for key, value := range tt.headers {
				resp.Header.Set(key, value)
			}
			if text, ok := tt.body.(string); ok {
				resp.Body = io.NopCloser(strings.NewReader(text))
			} else {
				resp.Body = jsonBody(tt.body)
			}
			g, err := ask(t, resp, token)
			if err == nil {
				t.Fatal("no error:", g)
			}
			if !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("want %v with %q: %v", tt.class, tt.text, err)
			}
			if errors.Is(err, ErrTemporary) == errors.Is(err, ErrPermanent) {
				t.Errorf("neither or both: %v", err)
			}
			if !strings.Contains(err.Error(), "https://tenant.example") {
				t.Errorf("who was asked? %v", err)
			}
			if len(err.Error()) > 1200 || strings.ContainsAny(err.Error(), "\r\n\x1b") {
				t.Errorf("too long, or more than a line: %q", err)
			}
			noSecrets(t, err, testSecret, token)
		})
	}
}

// broken bodies and connections, by real servers where the standard library
// makes the error.
func TestBrokenConnections(t *testing.T) {
	raw := func(answer string) func(t *testing.T) (string, http.RoundTripper) {
		return func(t *testing.T) (string, http.RoundTripper) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					buf := make([]byte, 4096)
					_, _ = c.Read(buf)
					_, _ = io.WriteString(c, answer)
					_ = c.Close()
				}
			}()
			return "http://" + l.Addr().String(), &http.Transport{DisableKeepAlives: true}
		}
	}
	for _, tt := range []struct {
		name  string
		start func(t *testing.T) (domain string, transport http.RoundTripper)
		class error
		text  string
	}{
		{"closed at once", raw(""), ErrTemporary, "EOF"},
		{"no HTTP", raw(testSecret + " " + numbered(1) + "\r\n\r\n"), ErrTemporary, "malformed HTTP"},
		{"bad header", raw("HTTP/1.1 200 OK\r\n" + testSecret + " " + numbered(1) + "\r\n\r\n"), ErrTemporary, "malformed"},
		{"bad chunk", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + testSecret + "\r\n"), ErrTemporary, "invalid"},
		{"cut", raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"access_token\":\"" + testSecret), ErrTemporary, "EOF"},
		{"refused", func(t *testing.T) (string, http.RoundTripper) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_ = l.Close()
			return "http://" + l.Addr().String(), &http.Transport{DisableKeepAlives: true}
		}, ErrTemporary, "refused"},
		{"unknown host", func(t *testing.T) (string, http.RoundTripper) {
			return "tenant.example", roundTrip(func(*http.Request) (*http.Response, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "tenant.example", IsNotFound: true}
			})
		}, ErrTemporary, "wrong domain?"},
		{"certificate nobody knows", func(t *testing.T) (string, http.RoundTripper) {
			server := quietTLS(http.NotFoundHandler())
			t.Cleanup(server.Close)
			return server.URL, &http.Transport{DisableKeepAlives: true}
		}, ErrPermanent, "cannot be trusted"},
		{"http on the https port", func(t *testing.T) (string, http.RoundTripper) {
			server := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(server.Close)
			return "https" + strings.TrimPrefix(server.URL, "http"), &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{}}
		}, ErrPermanent, "TLS"},
		{"a transport that quotes its request", func(t *testing.T) (string, http.RoundTripper) {
			return "tenant.example", roundTrip(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: errors.New(string(body))}
			})
		}, ErrTemporary, "[redacted]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			domain, transport := tt.start(t)
			c := Config{Domain: domain, ClientID: testClientID, ClientSecret: testSecret, Transport: transport}
			if err := c.check(); err != nil {
				t.Fatal(err)
			}
			_, _, err := newAsker(c).ask(t.Context(), []string{numbered(1)})
			if err == nil || !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("want %v with %q: %v", tt.class, tt.text, err)
			}
			noSecrets(t, err, testSecret, numbered(1))
		})
	}
}

// The answers in testdata/token are the shapes that the documentation shows
// and that Auth0 is known to give.
func TestRecordedAnswers(t *testing.T) {
	want := map[string]error{
		"granted.json":           nil,
		"granted-fewer.json":     nil,
		"granted-no-scope.json":  nil,
		"granted-opaque.json":    nil,
		"access-denied.json":     ErrPermanent,
		"unknown-audience.json":  ErrPermanent,
		"not-authorized.json":    ErrPermanent,
		"too-many-requests.json": ErrRateLimited,
		"proxy.json":             ErrTemporary,
	}
	files, err := filepath.Glob("../testdata/token/*.json")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%v: %d files, want %d", err, len(files), len(want))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var recorded struct {
				Status  int
				Headers map[string]string
				Body    json.RawMessage
			}
			if err := json.Unmarshal(raw, &recorded); err != nil {
				t.Fatal(err)
			}
			resp := &http.Response{StatusCode: recorded.Status, Header: http.Header{}}
			for key, value := range recorded.Headers {
				resp.Header.Set(key, value)
			}
			var text string
			if json.Unmarshal(recorded.Body, &text) != nil {
				text = string(recorded.Body)
			}
			resp.Body = io.NopCloser(strings.NewReader(text))
			g, err := ask(t, resp, "")
			if class, ok := want[filepath.Base(file)]; !ok || class == nil && err != nil || class != nil && !errors.Is(err, class) {
				t.Fatalf("want %v: %v", class, err)
			}
			if err == nil && g.life != 3600e9 && g.life != 86400e9 {
				t.Error(g.life)
			}
		})
	}
}

// 1,000 goroutines start cold on a server that answers 429: one request.
func TestColdStartOn429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("x-ratelimit-reset", strconv.Itoa(3600))
			w.WriteHeader(429)
		})
		defer a.close()
		s := a.source(t)
		done := make(chan error)
		for range 1000 {
			go func() { _, err := s.Token(); done <- err }()
		}
		for range 1000 {
			if err := <-done; !errors.Is(err, ErrRateLimited) {
				t.Error(err)
			}
		}
		a.expect(t, 1)
	})
}

// Whatever a server answers: no panic, no secret in the error, and a token only
// if it can stand in a header.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"a.b.c","expires_in":3600}`, "", "")
	f.Add(200, "", `{"access_token":"`+testSecret+`","token_type":"x","expires_in":"1e9","scope":["a"]}`, "", "")
	f.Add(401, "text/html", testSecret, "", "")
	f.Add(401, "application/json", `{"error":"`+testSecret+`","error_description":"`+testSecret+`"}`, "", "")
	f.Add(307, "", "", "https://"+testSecret+"/", "")
	f.Add(429, "", "", "", "b=per_hour;q=10;r=0;t=99999999999")
	f.Fuzz(func(t *testing.T, status int, contentType, body, location, quota string) {
		resp := &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{
			"Content-Type": {contentType}, "Location": {location}, "Auth0-Client-Quota-Limit": {quota}, "X-Ratelimit-Reset": {quota}, "Retry-After": {quota}, "Date": {quota},
		}}
		g, err := ask(t, resp, "")
		if err != nil {
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, testSecret) {
				t.Error(text)
			}
			return
		}
		req, err := http.NewRequest("GET", "https://api.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Authorization"] = g.Header()
		if err := req.Write(io.Discard); err != nil {
			t.Error(err)
		}
	})
}
