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
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/internal/safehttp"
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
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	return askBy(t, "tenant.example", roundTrip(func(r *http.Request) (*http.Response, error) { resp.Request = r; return resp, nil }), token)
}

// askBy makes one token request through transport.
func askBy(t testing.TB, domain string, transport http.RoundTripper, token string) (*Grant, error) {
	t.Helper()
	s, err := New(Config{Domain: domain, ClientID: testClientID, ClientSecret: testSecret, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	s.current.Store(newGrant(entry{Token: oauth2.Token{AccessToken: token}}, time.Now()))
	h, failure := s.request(context.Background())
	if failure != nil {
		return nil, failure
	}
	return h, nil
}

const granted class = -1

// classOf is the class of a failure, and granted where there is none.
func classOf(err error) class {
	if e, ok := errors.AsType[*FetchError](err); ok {
		return e.class
	}
	return granted
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
		class   class
		text    string
	}{
		{401, nil, described("access_denied", "Unauthorized"), refused, "check Config.ClientID and Config.ClientSecret"},
		{401, nil, oauth("invalid_client"), refused, "wrong domain?"},
		{403, nil, oauth("unauthorized_client"), refused, "Config.ClientSecret"},
		{403, nil, described("access_denied", "Service not enabled within domain: https://x"), refused, "Config.Audience"},
		{403, nil, described("access_denied", "Service not found: https://x "+testSecret), refused, "audience is unknown"},
		{403, nil, described("access_denied", `Client is not authorized to access "https://x".`), refused, "authorize this client"},
		{403, nil, described("access_denied", "Client has not been granted scopes: delete:sources"), refused, "granted scopes: delete:sources; ask your Auth0 administrator"},
		{400, nil, oauth("invalid_request"), refused, "invalid_request"},
		{400, nil, oauth("unsupported_grant_type"), refused, "400 Bad Request"},
		{400, nil, oauth("invalid_scope"), refused, "scopes"},
		{400, nil, oauth(echo), refused, "[redacted]"},
		{400, nil, map[string]any{"statusCode": 400, "error": "Bad Request", "message": echo}, refused, "Bad Request"},
		{400, nil, map[string]any{"error": map[string]any{"deep": echo}}, refused, "400"},
		{400, nil, map[string]any{"error": 17, "error_description": []string{echo}}, refused, "17"},
		{200, nil, oauth("access_denied"), refused, "access_denied"},
		{200, nil, map[string]any{}, permanent, "no access_token"},
		{200, nil, map[string]any{"access_token": nil}, permanent, "no access_token"},
		{200, nil, map[string]any{"access_token": 17}, permanent, "no access_token"},
		{200, nil, map[string]any{"access_token": token + "\r\nX: " + testSecret}, permanent, "cannot stand in a header"},
		{200, nil, map[string]any{"access_token": "gültig"}, permanent, "cannot stand in a header"},
		{200, nil, map[string]any{"access_token": token, "token_type": "DPoP" + testSecret}, permanent, "not Bearer"},
		{200, nil, `{"access_token":"` + strings.Repeat("x", maxAnswer) + testSecret, permanent, "more than 1048576 bytes"},
		{404, nil, html, permanent, "wrong domain?"},
		{404, nil, map[string]any{"error": echo}, permanent, "no token endpoint"},
		{405, nil, "", permanent, "wrong domain?"},
		{410, nil, "", permanent, "wrong domain?"},

		{200, headers{"Content-Type": "text/html; charset=utf-8"}, html, temporary, "text/html, not JSON: a proxy"},
		{401, headers{"Content-Type": "text/html"}, html, temporary, "a proxy"},
		{403, headers{"Content-Type": "text/html"}, html, temporary, "a proxy"},
		{403, headers{"Content-Type": "text/" + testSecret}, html, temporary, "a proxy"},
		{403, headers{"Content-Type": strings.Repeat(";", 1000)}, html, temporary, "of no stated type"},
		{200, nil, "", temporary, "not JSON"},
		{200, nil, "null", temporary, "not JSON"},
		{200, nil, "[]", temporary, "not JSON"},
		{200, nil, `"` + token + `"`, temporary, "not JSON"},
		{200, nil, `{"access_token":"` + token, temporary, "not JSON"},
		{200, nil, `access_token=` + token, temporary, "not JSON"},
		{204, nil, "", temporary, "204"},
		{407, nil, html, permanent, "check HTTPS_PROXY"},
		{408, nil, "", temporary, "408"},
		{425, nil, "", temporary, "425"},
		{500, nil, oauth("access_denied"), temporary, "500"},
		{502, headers{"Content-Type": "text/html"}, html, temporary, "502"},
		{503, nil, "", temporary, "503 Service Unavailable"},
		{503, headers{"Retry-After": "7"}, html, temporary, "asked to wait 7s"},
		{504, nil, "", temporary, "504"},
		{400, nil, oauth("temporarily_unavailable"), temporary, "temporarily_unavailable"},
		{400, nil, oauth("slow_down"), temporary, "slow_down"},
		{429, headers{"Retry-After": testSecret, "x-ratelimit-reset": testSecret, "Auth0-Client-Quota-Limit": "b=" + testSecret + ";q=1;r=0;t=1"}, oauth("too_many_requests"), temporary, "429"},
		{429, headers{"x-ratelimit-reset": "9"}, html, temporary, "asked to wait 9s"},
		{301, headers{"Location": "https://other.example/" + testSecret}, "", permanent, "redirect to https://other.example refused"},
		{308, headers{"Location": "https://" + testSecret + ":" + token + "@other.example/"}, "", permanent, "unreadable location"},
		{300, nil, "", temporary, "300"},
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
			if classOf(err) != tt.class || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("want %v with %q: %v", tt.class, tt.text, err)
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

// An answer without words is not said to be another server's.
func TestEmptyAnswerIsNoOtherServer(t *testing.T) {
	_, err := ask(t, &http.Response{StatusCode: 503, Body: http.NoBody}, "")
	if want := "authn: no token from https://tenant.example: 503 Service Unavailable"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Hints name what the user set: the variables where the environment was read.
func TestHintsNameTheVariables(t *testing.T) {
	for _, name := range variables {
		t.Setenv(name, "")
	}
	t.Setenv("AUTH0_DOMAIN", "tenant.example")
	t.Setenv("CLIENT_ID", testClientID)
	t.Setenv("METI_CLIENT_SECRET", testSecret)
	c, err := FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 401, Body: jsonBody(map[string]string{"error": "invalid_client"})}, nil
	})
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Token()
	if err == nil || !strings.Contains(err.Error(), "check CLIENT_ID and METI_CLIENT_SECRET, and AUTH0_DOMAIN") {
		t.Error(err)
	}
}

// Broken bodies and connections, by real servers where the standard library
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
		class class
		text  string
	}{
		{"closed at once", raw(""), temporary, "EOF"},
		{"no HTTP", raw(testSecret + " " + numbered(1) + "\r\n\r\n"), temporary, "malformed HTTP"},
		{"bad header", raw("HTTP/1.1 200 OK\r\n" + testSecret + " " + numbered(1) + "\r\n\r\n"), temporary, "malformed"},
		{"bad chunk", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + testSecret + "\r\n"), temporary, "invalid"},
		{"cut", raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"access_token\":\"" + testSecret), temporary, "EOF"},
		{"refused", func(*testing.T) (string, http.RoundTripper) { // nobody is given that port
			return "http://127.0.0.1:1", &http.Transport{DisableKeepAlives: true}
		}, temporary, "refused"},
		{"unknown host", func(t *testing.T) (string, http.RoundTripper) {
			return "tenant.example", roundTrip(func(*http.Request) (*http.Response, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "tenant.example", IsNotFound: true}
			})
		}, permanent, "wrong domain?"},
		{"certificate nobody knows", func(t *testing.T) (string, http.RoundTripper) {
			server := quietTLS(http.NotFoundHandler())
			t.Cleanup(server.Close)
			return server.URL, &http.Transport{DisableKeepAlives: true}
		}, permanent, "not trusted here"},
		{"http on the https port", func(t *testing.T) (string, http.RoundTripper) {
			server := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(server.Close)
			return "https" + strings.TrimPrefix(server.URL, "http"), &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{}}
		}, permanent, "TLS"},
		{"a proxy that asks for a password", func(t *testing.T) (string, http.RoundTripper) {
			return "tenant.example", &http.Transport{DisableKeepAlives: true, Proxy: proxy407(t)}
		}, permanent, "check HTTPS_PROXY"},
		{"a proxy that asks for a password in its own words", func(t *testing.T) (string, http.RoundTripper) {
			own := safehttp.Transport().Clone()
			own.DisableKeepAlives, own.Proxy = true, proxy407(t)
			return "tenant.example", own
		}, permanent, "407 Proxy Authentication Required; check HTTPS_PROXY"},
		{"a proxy that nobody knows", func(t *testing.T) (string, http.RoundTripper) {
			unknown := func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "proxy.example", IsNotFound: true}
			}
			return "tenant.example", &http.Transport{DialContext: unknown, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"})}
		}, temporary, "check HTTPS_PROXY"},
		{"a transport that quotes its request", func(t *testing.T) (string, http.RoundTripper) {
			return "tenant.example", roundTrip(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: errors.New(string(body))}
			})
		}, temporary, "[redacted]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			domain, transport := tt.start(t)
			_, err := askBy(t, domain, transport, numbered(1))
			if err == nil || classOf(err) != tt.class || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("want %v with %q: %v", tt.class, tt.text, err)
			}
			noSecrets(t, err, testSecret, numbered(1))
		})
	}
}

// proxy407 is a proxy that answers every CONNECT with 407, once.
func proxy407(t *testing.T) func(*http.Request) (*url.URL, error) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked > 1 || r.Method != http.MethodConnect {
			t.Errorf("request %d: %s", asked, r.Method)
		}
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return http.ProxyURL(u)
}

// The answers in testdata/token are the shapes that the documentation shows
// and that Auth0 is known to give.
func TestRecordedAnswers(t *testing.T) {
	want := map[string]class{
		"granted.json":           granted,
		"granted-fewer.json":     granted,
		"granted-no-scope.json":  granted,
		"granted-opaque.json":    granted,
		"access-denied.json":     refused,
		"unknown-audience.json":  refused,
		"not-authorized.json":    refused,
		"too-many-requests.json": temporary,
		"proxy.json":             temporary,
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
			if class, ok := want[filepath.Base(file)]; !ok || classOf(err) != class {
				t.Fatalf("want %v: %v", class, err)
			}
			if err == nil && g.entry.life() != time.Hour && g.entry.life() != 24*time.Hour {
				t.Error(g.entry.life())
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
			if err := <-done; !isTemporary(err) {
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
