package safehttp

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// A secret is found as it is, and as JSON and URLs write it.
func TestSecretsAreRedacted(t *testing.T) {
	var secrets Secrets
	for _, secret := range []string{`pass/word+"1"`, "sentinel-token", "sentinel-token", "short"} {
		secrets.Add(secret)
	}
	if len(secrets) != 2 || secrets.Longest() != len("sentinel-token") {
		t.Errorf("%q, the longest of %d", secrets, secrets.Longest())
	}
	for text, want := range map[string]string{
		"a sentinel-token b sentinel-token": "a [redacted] b [redacted]",
		`{"secret":"pass/word+\"1\""}`:      `{"secret":"[redacted]"}`,
		"?secret=pass%2Fword%2B%221%22&a=b": "?secret=[redacted]&a=b",
		`pass/word+"1"`:                     Redacted,
		"a short text, and sentinel":        "a short text, and sentinel",
	} {
		if got := secrets.Redact(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got := (Secrets)(nil).Redact("text"); got != "text" {
		t.Error(got)
	}
}

// Whatever a secret is and wherever it stands, it is not shown.
func FuzzRedact(f *testing.F) {
	f.Add("before ", `p"a\s/s+w&o<r>d`, " after")
	f.Fuzz(func(t *testing.T, before, secret, after string) {
		var secrets Secrets
		secrets.Add(secret)
		if len(secrets) == 0 || strings.Contains(Redacted, secret) || strings.Contains(secret, Redacted) {
			return
		}
		quoted, _ := json.Marshal(secret)
		for _, form := range []string{secret, string(quoted), url.QueryEscape(secret)} {
			if got := secrets.Redact(before + form + after); len(form) > 0 && strings.Contains(got, form) && !strings.Contains(before+Redacted+after, form) {
				t.Errorf("%q shows %q", got, form)
			}
		}
	})
}

// An error is left as it is, or says what it may.
func TestClean(t *testing.T) {
	secrets := Secrets{"sentinel-token"}
	harmless := errors.New("no network")
	if err := secrets.Clean(harmless); err != harmless {
		t.Error(err)
	}
	err := secrets.Clean(fmt.Errorf("bad header\r\nsentinel-token: %w", harmless))
	if err == nil || err.Error() != "bad header [redacted]: no network" || errors.Is(err, harmless) {
		t.Error(err)
	}
	if err := secrets.Clean(nil); err != nil {
		t.Error(err)
	}
}

// JSON keeps the digits of numbers, and reads nothing that is not whole.
func TestJSON(t *testing.T) {
	for text, want := range map[string]string{
		`"a"`: "a", "12345678901234567890": "12345678901234567890", "1e2": "1e2", "true": "true",
		"null": "", "[1]": "", `{"a": 1}`: "", "": "", `"a`: "", "1 2": "",
	} {
		if got := Text(JSON([]byte(text))); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if object, is := JSON([]byte(`{"a": [1]}`)).(map[string]any); !is || object["a"] == nil {
		t.Error(object)
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "",
		"  one\r\n\ttwo\x00x": "one two x",
		"\x1b[31mred\u202e":   "[31mred",
		"äöü and more":        "äöü and…",
		"12345678901":         "1234567890…",
	} {
		if got := Line(text, 10); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\nb\xff", 3)
	f.Fuzz(func(t *testing.T, text string, size int) {
		got := Line(text, size)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || len(got) > max(size, 0)+len(" …") {
			t.Errorf("%q of %q, %d bytes at most", got, text, size)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0}, {"0", "", 0}, {"-1", "", 0}, {"1.5", "", 0}, {"soon", "", 0},
		{" 120 ", "", 2 * time.Minute},
		{date(30 * time.Second), "", 30 * time.Second},
		{now.Add(5 * time.Second).Format(time.RFC850), "", 5 * time.Second},
		{date(-time.Hour), "", 0},
		{date(time.Hour + 9*time.Second), date(time.Hour), 9 * time.Second}, // by the server's clock
		{"9223372036854775807", "", MaxWait}, {"99999999999999999999", "", MaxWait},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "", MaxWait},
	} {
		header := http.Header{"Retry-After": {c.after}, "Date": {c.date}}
		if got := RetryAfter(header, now); got != c.want {
			t.Errorf("Retry-After %q, Date %q: %s, want %s", c.after, c.date, got, c.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "Fri, 02 Jan 2026 03:04:05 GMT")
	f.Fuzz(func(t *testing.T, after, date string) {
		if got := RetryAfter(http.Header{"Retry-After": {after}, "Date": {date}}, time.Now()); got < 0 || got > MaxWait {
			t.Errorf("Retry-After %q, Date %q: %s", after, date, got)
		}
	})
}

// Secrets go over https, or to this machine.
func TestBase(t *testing.T) {
	for text, want := range map[string]string{
		" HTTPS://Example.com:443/a%2Fb/ ": "https://example.com/a%2Fb",
		"https://example.com.":             "https://example.com",
		"https://example.com:8443":         "https://example.com:8443",
		"http://127.8.9.1:80/":             "http://127.8.9.1",
		"http://LOCALHOST:8080":            "http://localhost:8080",
		"http://[::1]:8080/sandbox":        "http://[::1]:8080/sandbox",
		"https://[2001:DB8::1]":            "https://[2001:db8::1]",
	} {
		if got, err := Base(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                               "not an https URL",
		"example.com":                    "not an https URL",
		"ftp://sentinel":                 "not an https URL",
		"https://a b:sentinel":           "not a URL",
		"https://me:sentinel@a.example":  "user name",
		"https://a.example?sentinel":     "query",
		"https://a.example/#sentinel":    "fragment",
		"https://a..example":             "no valid host name",
		"https://münchen.example":        "no valid host name",
		"https://[fe80::1%25eth0]":       "no valid host name",
		"https://a.example:":             "empty port",
		"http://a.example":               "plain http",
		"http://127.0.0.1.example.com":   "plain http",
		"http://localhost.example.com":   "plain http",
		"http://0.0.0.0:8080":            "plain http",
		"http://192.168.1.1":             "plain http",
		"http://[::ffff:192.168.1.1]:80": "plain http",
	} {
		if got, err := Base(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("%s: %v, %v, want %q", text, got, err, want)
		}
	}
}

// A redirect is told by its origin: what follows can hold a secret.
func TestRedirectTarget(t *testing.T) {
	from, err := Base("https://a.example/api")
	if err != nil {
		t.Fatal(err)
	}
	secrets := Secrets{"sentinel-token"}
	for location, want := range map[string]string{
		"":                                 "",
		"http://[::1/%zz":                  "",
		"https://b.example/?sentinel=1":    "https://b.example",
		"/elsewhere?t=sentinel-token":      "https://a.example",
		"//b.example:8443/":                "https://b.example:8443",
		"https://b.example/sentinel-token": "https://b.example",
	} {
		if got := RedirectTarget(from, location, secrets); got != want {
			t.Errorf("%s: %s, want %s", location, got, want)
		}
	}
	if got := RedirectTarget(from, "https://sentinel-token/", secrets); strings.Contains(got, "sentinel") {
		t.Error(got)
	}
	for status, want := range map[int]bool{200: false, 300: false, 301: true, 302: true, 303: true, 304: false, 307: true, 308: true, 401: false} {
		if Redirects(status) != want {
			t.Errorf("%d: %v", status, !want)
		}
	}
}

// What failed below HTTP is sorted: what to do, and whether to try again.
func TestAdvice(t *testing.T) {
	proxied := func(err error) error {
		return fmt.Errorf("sent: %w", &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err})
	}
	unknown := &net.DNSError{Err: "no such host", Name: "a.example", IsNotFound: true}
	for name, c := range map[string]struct {
		err    error
		advice string
		final  bool
	}{
		"refused":             {&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}, "", false},
		"no such host":        {&net.OpError{Op: "dial", Net: "tcp", Err: unknown}, "the name?", true},
		"a name server fails": {&net.DNSError{Err: "server misbehaving", IsTemporary: true}, "", false},
		"no such proxy":       {proxied(unknown), ProxyAdvice, false},
		"a proxy's 407":       {proxyError("the proxy answers 407 Proxy Authentication Required"), ProxyAdvice, true},
		"net/http's own 407":  {errors.New("Proxy Authentication Required"), ProxyAdvice, true},
		"no TLS":              {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "does not speak TLS", true},
		"plain http answers":  {http.ErrSchemeMismatch, "does not speak TLS", true},
		"not trusted":         {&tls.CertificateVerificationError{Err: errors.New("unknown authority")}, "not trusted", true},
		"not supported":       {http.ErrNotSupported, "", true},
	} {
		advice, final := Advice(c.err, "the name?")
		if c.advice == "" && advice != "" || !strings.Contains(advice, c.advice) || final != c.final {
			t.Errorf("%s: %q, final %v", name, advice, final)
		}
	}
}

// A proxy that refuses, or has no address, is told as that by the transport.
func TestTransportTellsOfItsProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer proxy.Close()
	own := Transport().Clone()
	defer own.CloseIdleConnections()
	own.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	ask := func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := own.RoundTrip(request)
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	if advice, final := Advice(ask(), ""); advice != ProxyAdvice || !final {
		t.Errorf("%q, final %v", advice, final)
	}
	t.Setenv("HTTPS_PROXY", "http://user:senti nel@[proxy")
	own.Proxy = Transport().Proxy
	err := ask()
	if advice, final := Advice(err, ""); advice != ProxyAdvice || !final || strings.Contains(err.Error(), "senti") {
		t.Errorf("%q, final %v: %v", advice, final, err)
	}
}

func TestEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the reason")
	cancel(cause)
	if err := Ended(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Error(err)
	}
	plain, stop := context.WithCancel(t.Context())
	stop()
	if err := Ended(plain); err != context.Canceled {
		t.Error(err)
	}
}
