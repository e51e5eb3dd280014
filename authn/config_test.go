package authn

import (
	"errors"
	"strings"
	"testing"
)

func TestDomain(t *testing.T) {
	const tenant = "https://tenant.eu.auth0.com"
	for in, want := range map[string]string{
		"tenant.eu.auth0.com":                        tenant,
		"https://tenant.eu.auth0.com":                tenant,
		"https://tenant.eu.auth0.com/":               tenant,
		"tenant.eu.auth0.com/":                       tenant,
		"//tenant.eu.auth0.com":                      tenant,
		"TENANT.EU.Auth0.com":                        tenant,
		"HTTPS://Tenant.eu.auth0.com":                tenant,
		"  tenant.eu.auth0.com\r\n":                  tenant,
		"tenant.eu.auth0.com.":                       tenant,
		"tenant.eu.auth0.com:443":                    tenant,
		"https://tenant.eu.auth0.com:443/":           tenant,
		"https://tenant.eu.auth0.com/oauth/token":    tenant,
		"tenant.eu.auth0.com/oauth/token/":           tenant,
		"https://tenant.eu.auth0.com/OAuth/Token":    tenant,
		`"tenant.eu.auth0.com"`:                      tenant,
		"'https://tenant.eu.auth0.com/'":             tenant,
		"<tenant.eu.auth0.com>":                      tenant,
		"tenant.eu.auth0.com:8443":                   tenant + ":8443",
		"https://tenant.eu.auth0.com:8443/":          tenant + ":8443",
		"localhost":                                  "https://localhost",
		"127.0.0.1:8443":                             "https://127.0.0.1:8443",
		"http://127.0.0.1:8080":                      "http://127.0.0.1:8080",
		"http://127.0.0.1:8080/oauth/token":          "http://127.0.0.1:8080",
		"http://127.8.9.1:8080":                      "http://127.8.9.1:8080",
		"http://localhost:80":                        "http://localhost",
		"http://[::1]:8080/":                         "http://[::1]:8080",
		"https://[2001:DB8::1]":                      "https://[2001:db8::1]",
		"custom-domain.example":                      "https://custom-domain.example",
		"xn--mnchen-3ya.example":                     "https://xn--mnchen-3ya.example",
		"":                                           "",
		"   ":                                        "",
		"http://tenant.eu.auth0.com":                 "",
		"http://127.0.0.1.example.com":               "",
		"http://localhost.example.com":               "",
		"http://0.0.0.0:8080":                        "",
		"http://192.168.1.1":                         "",
		"https://user:hunter2@tenant.eu.auth0.com":   "",
		"hunter2@tenant.eu.auth0.com":                "",
		"https://tenant.eu.auth0.com/api/v2/":        "",
		"tenant.eu.auth0.com/oauth":                  "",
		"https://tenant.eu.auth0.com?secret":         "",
		"https://tenant.eu.auth0.com/#x":             "",
		"ftp://tenant.eu.auth0.com":                  "",
		"file:///etc/passwd":                         "",
		"tenant.eu.auth0.com:":                       "",
		"tenant.eu.auth0.com:http":                   "",
		"tenant eu":                                  "",
		"tenant..auth0.com":                          "",
		"-tenant.auth0.com":                          "",
		"münchen.example":                            "",
		"https://":                                   "",
		"https://tenant.eu.auth0.com\nevil.example":  "",
		"https://" + strings.Repeat("a.", 200) + "b": "",
	} {
		got, err := parseDomain(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q is repeated: %v", in, err)
		}
		if err == nil {
			if again, err := parseDomain(got); again != got || err != nil {
				t.Errorf("%q is not stable: %q, %v", got, again, err)
			}
		}
	}
}

func FuzzDomain(f *testing.F) {
	for _, seed := range []string{"tenant.eu.auth0.com", "http://127.0.0.1:1/oauth/token", "https://[::1%25lo]:1", "//a@b:c/d?e#f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := parseDomain(in)
		if err != nil {
			return
		}
		if strings.ContainsAny(got, "@?# \r\n") || strings.Count(got, "/") != 2 {
			t.Errorf("%q became %q", in, got)
		}
		if !strings.HasPrefix(got, "https://") && !strings.HasPrefix(got, "http://127.") && !strings.HasPrefix(got, "http://localhost") && !strings.HasPrefix(got, "http://[") {
			t.Errorf("%q became %q", in, got)
		}
		if again, err := parseDomain(got); again != got || err != nil {
			t.Errorf("%q became %q, and that %q, %v", in, got, again, err)
		}
	})
}

func TestNewSaysAllThatIsWrong(t *testing.T) {
	_, err := New(Config{BaseURL: "http://api.example"})
	for _, want := range []string{"Config.Domain is missing", "Config.ClientID", "Config.ClientSecret", "Config.BaseURL is plain http"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
	if e, ok := errors.AsType[*ConfigError](err); !ok || e.Name != "Config.Domain" {
		t.Errorf("%#v", e)
	}
	for _, secret := range []Secret{"two\nlines", "a\x00b"} {
		if _, err := New(Config{Domain: "a.example", ClientID: "i", ClientSecret: secret}); err == nil || strings.Contains(err.Error(), string(secret)) {
			t.Error(err)
		}
	}
	s, err := New(Config{Domain: "a.example", ClientID: " i ", ClientSecret: "\ts\n"})
	if err != nil || s.String() != "tokens from https://a.example for https://api.meti.millpont.com" {
		t.Error(s, err)
	}
}

func TestBaseURL(t *testing.T) {
	for base, want := range map[string]string{
		"":                                      DefaultBaseURL,
		"https://api.meti.millpont.com":         "https://api.meti.millpont.com",
		"https://api.meti.millpont.com/sandbox": "https://api.meti.millpont.com/sandbox",
		" HTTPS://API.meti.millpont.com:443/":   "https://api.meti.millpont.com",
		"http://127.0.0.1:8080":                 "http://127.0.0.1:8080",
		"http://api.meti.millpont.com":          "",
		"https://me:pw@api.meti.millpont.com":   "",
		"api.meti.millpont.com":                 "",
		"ftp://api.meti.millpont.com":           "",
		"https://a b/":                          "",
	} {
		s, err := New(Config{Domain: "a.example", ClientID: "i", ClientSecret: "s", BaseURL: base})
		if (err == nil) != (want != "") || err == nil && s.BaseURL() != want {
			t.Errorf("%q: %v, %v", base, s, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Error(err)
		}
	}
}
