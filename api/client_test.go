package api

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/gen"
)

func TestOptions(t *testing.T) {
	token := WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: staticToken}))
	for _, c := range []struct {
		name    string
		options []Option
		text    string
	}{
		{"nothing", nil, "no credentials"},
		{"nil", []Option{WithAuth(nil)}, "source of tokens is nil"},
		{"nil source", []Option{WithTokenSource(nil)}, "source of tokens is nil"},
		{"nil client", []Option{token, WithHTTPClient(nil)}, "WithHTTPClient(nil)"},
		{"nil hook", []Option{token, WithHook(nil)}, "WithHook(nil)"},
		{"two credentials", []Option{token, token}, "twice"},
		{"user agent", []Option{token, WithUserAgent(" ")}, "product name"},
		{"user agent with a line", []Option{token, WithUserAgent("a\r\nX: y")}, "product name"},
		{"plain http", []Option{token, WithBaseURL("http://example.com")}, "is plain http"},
		{"plain http to a lookalike", []Option{token, WithBaseURL("http://127.0.0.1.example.com")}, "is plain http"},
		{"other scheme", []Option{token, WithBaseURL("ftp://example.com")}, "not an https URL"},
		{"no host", []Option{token, WithBaseURL("example.com")}, "not an https URL"},
		{"user info", []Option{token, WithBaseURL("https://me:sentinel@example.com")}, "user name"},
		{"query", []Option{token, WithBaseURL("https://example.com?key=sentinel")}, "query"},
		{"no URL", []Option{token, WithBaseURL("https://exa mple.com:sentinel")}, "not a URL"},
	} {
		_, err := New(c.options...)
		if err == nil || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("%s: %v, want %q", c.name, err, c.text)
		}
	}
	for base, want := range map[string]string{
		"":                                     Production,
		Sandbox:                                Sandbox,
		" https://api.millpont.com/ ":          Alternative,
		"http://127.0.0.1:8080":                "http://127.0.0.1:8080",
		"http://localhost:8080/sandbox/":       "http://localhost:8080/sandbox",
		"http://[::1]:8080":                    "http://[::1]:8080",
		"https://example.com/with%2Fslash/and": "https://example.com/with%2Fslash/and",
	} {
		options := []Option{token}
		if base != "" {
			options = append(options, WithBaseURL(base))
		}
		c, err := New(options...)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&call{client: c, operation: gen.Operation{Path: "/sources/a%2Fb"}}).address(); got != want+"/sources/a%2Fb" {
			t.Errorf("%q: %s", base, got)
		}
	}
}

func TestFromEnv(t *testing.T) {
	for _, name := range []string{"AUTH0_DOMAIN", "AUTH0_AUDIENCE", "METI_CLIENT_ID", "CLIENT_ID", "METI_CLIENT_SECRET", "METI_CLIENT_SECRET_FILE", "CLIENT_SECRET", "METI_BASE_URL"} {
		t.Setenv(name, "")
	}
	if _, err := New(FromEnv()); err == nil {
		t.Error("no credentials, and no error")
	}
	t.Setenv("AUTH0_DOMAIN", "tenant.example.com")
	t.Setenv("METI_CLIENT_ID", "id")
	t.Setenv("METI_CLIENT_SECRET", "sentinel-secret")
	base := func(options ...Option) string {
		c, err := New(options...)
		if err != nil {
			t.Fatal(err)
		}
		return c.Server()
	}
	if got := base(FromEnv()); got != Production {
		t.Error(got)
	}
	t.Setenv("METI_BASE_URL", " http://127.0.0.1:1234/ ")
	if got := base(FromEnv()); got != "http://127.0.0.1:1234" {
		t.Error(got)
	}
	// What the program says goes before what its surroundings say.
	if got := base(FromEnv(), WithBaseURL(Sandbox)); got != Sandbox {
		t.Error(got)
	}
	if got := base(WithBaseURL(Sandbox), FromEnv()); got != Sandbox {
		t.Error(got)
	}
	t.Setenv("METI_BASE_URL", "http://example.com")
	if _, err := New(FromEnv()); err == nil || !strings.Contains(err.Error(), "METI_BASE_URL is plain http") {
		t.Error(err)
	}
}

// An authn.Source is recognised as what it is, wherever it is given.
func TestATokenSourceThatIsAnAuthnSource(t *testing.T) {
	c := made(t, WithTokenSource((&auth0{}).source(t)))
	if c.tokens.drop == nil {
		t.Error(c.tokens.name)
	}
}

// A client tells its server and its account, by what its token says.
func TestServerAndAccount(t *testing.T) {
	part := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	jwt := func(claims string) string { return part(`{"alg":"none"}`) + "." + part(claims) + ".c2ln" }
	for token, want := range map[string]string{
		jwt(`{"https://api.meti.millpont.com/account_id":"7c9e6679-7425-40de-944b-e07fc1f90ae7","sub":"x@clients"}`): "7c9e6679-7425-40de-944b-e07fc1f90ae7",
		jwt(`{"sub":"x@clients"}`): "x@clients",
	} {
		c := made(t, WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})), WithBaseURL(Sandbox+"/"))
		if got, err := c.Account(t.Context()); got != want || err != nil || c.Server() != Sandbox {
			t.Errorf("%q, %v, at %s", got, err, c.Server())
		}
	}
	if _, err := made(t).Account(t.Context()); !errors.Is(err, authn.ErrOpaqueToken) {
		t.Error(err)
	}
	none := made(t, WithTokenSource(oauth2.StaticTokenSource(nil)))
	if got, err := none.Account(t.Context()); err == nil {
		t.Errorf("an account without a token: %q", got)
	}
}
