package authn

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
)

// printings returns v in each of the ways in which it might reach a log.
func printings(v any) map[string]string {
	text := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		text[verb] = fmt.Sprintf(verb, v)
	}
	if raw, err := json.Marshal(v); err == nil {
		text["json"] = string(raw)
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("m", "value", v, "list", []any{v}, "in", struct{ V any }{v})
		text[name] = b.String()
	}
	return text
}

// spellings returns what gives a secret away.
func spellings(secrets []string) []string {
	var list []string
	for _, s := range secrets {
		list = append(list, s, url.QueryEscape(s), strings.ToLower(s), fmt.Sprintf("%x", s), fmt.Sprintf("%X", s), base64.StdEncoding.EncodeToString([]byte(s)))
	}
	return list
}

// noSecrets fails if v, or for an error anything that it wraps, shows one of
// the secrets in any printing.
func noSecrets(t *testing.T, v any, secrets ...string) {
	t.Helper()
	for how, text := range printings(v) {
		for _, spelling := range spellings(secrets) {
			if strings.Contains(text, spelling) {
				t.Errorf("%T shows a secret in %s: %s", v, how, text)
				return
			}
		}
	}
	switch e := v.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			noSecrets(t, inner, secrets...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			noSecrets(t, inner, secrets...)
		}
	}
}

// samples holds a value of every exported type, with the secret and the token
// wherever one can be. A new type has to join.
func samples(t *testing.T) map[string]any {
	token := numbered(1)
	c := Config{Domain: "tenant.example", ClientID: testClientID, ClientSecret: testSecret,
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: jsonBody(map[string]any{"access_token": token, "expires_in": 3600})}, nil
		})}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	g := mustGrant(t, s)
	s.Invalidate(token)
	g2 := mustGrant(t, s)
	claims, err := ParseUnverifiedClaims(token)
	if err != nil {
		t.Fatal(err)
	}
	echo := "you sent " + testSecret + " and " + token
	_, failure := ask(t, &http.Response{StatusCode: 401, Body: jsonBody(map[string]any{"error": echo, "error_description": echo})}, token)
	_, redirect := ask(t, &http.Response{StatusCode: 302, Body: http.NoBody, Header: http.Header{"Location": {"https://" + strings.ToLower(token) + ".example/" + testSecret}}}, strings.ToLower(token))
	redirected, ok := errors.AsType[*RedirectError](redirect)
	if !ok {
		t.Fatal(redirect)
	}
	bad := Config{Domain: "https://" + url.QueryEscape(testSecret) + "@h", ClientID: testSecret + "\nx", ClientSecret: testSecret + "\nx"}
	configErr, ok := errors.AsType[*ConfigError](bad.complete())
	if !ok {
		t.Fatal("no ConfigError")
	}
	return map[string]any{
		"Config":           c,
		"Secret":           Secret(testSecret),
		"Source":           s,
		"Grant":            []*Grant{g, g2},
		"UnverifiedClaims": claims,
		"Quota":            Quota{Name: "per_hour"},
		"Store":            &memory{},
		"FetchError":       failure,
		"RedirectError":    redirected,
		"ScopeError":       &ScopeError{Operation: "Op", Need: []string{"a"}, Have: nil},
		"ConfigError":      configErr,
	}
}

// exportedTypes reads the package's own source for its exported types.
func exportedTypes(t *testing.T) []string {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok && gen.Tok == token.TYPE {
				for _, spec := range gen.Specs {
					if name := spec.(*ast.TypeSpec).Name.Name; ast.IsExported(name) {
						names = append(names, name)
					}
				}
			}
		}
	}
	return names
}

func TestNoExportedTypeShowsASecret(t *testing.T) {
	all := samples(t)
	names := exportedTypes(t)
	if len(names) < 9 {
		t.Fatalf("only %d exported types were found", len(names))
	}
	for _, name := range names {
		sample, ok := all[name]
		if !ok {
			t.Errorf("%s has no sample: add one to samples", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			noSecrets(t, sample, testSecret, numbered(1))
			// The same behind a pointer, and one level down.
			p := reflect.New(reflect.TypeOf(sample))
			p.Elem().Set(reflect.ValueOf(sample))
			noSecrets(t, p.Interface(), testSecret, numbered(1))
			noSecrets(t, struct{ Field any }{sample}, testSecret, numbered(1))
			// And inside a field that fmt may not call methods on, unless the
			// secret is the user's own string.
			if name != "Secret" && name != "Config" {
				noSecrets(t, struct{ field any }{sample}, testSecret, numbered(1))
			}
		})
	}
}

// A secret that could be read back is no use if it cannot be read at all.
func TestSecretConverts(t *testing.T) {
	if s := Secret(testSecret); string(s) != testSecret || s.String() != "[redacted]" || Secret("").String() != "" {
		t.Error(string(s), s.String())
	}
	if v := slog.AnyValue(Secret(testSecret)).Resolve(); v.String() != "[redacted]" {
		t.Error(v)
	}
	var c Config
	if err := json.Unmarshal([]byte(`{"ClientSecret":"x"}`), &c); err != nil || c.ClientSecret != "x" {
		t.Error(err)
	}
}
