package emulator_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/gen"
	"golang.org/x/oauth2/clientcredentials"
)

// TestToken verifies a token as METI would, with the published keys.
func TestToken(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	server := start(t, emulator.Options{TokenLifetime: 90 * time.Second})
	server.SetClock(now, true)
	got := askToken(t, server.URL, "application/json", tokenBody(south), nil)
	token := got.token(t)
	if token.TokenType != "Bearer" || token.ExpiresIn != 90 || *token.Scope != "read:sources write:sources delete:sources" {
		t.Errorf("%s", got.body)
	}
	if got.header.Get("Cache-Control") != "no-store" {
		t.Error("a token may be cached")
	}
	if again := tokenFor(t, server.URL, south); again == token.AccessToken {
		t.Error("two tokens of one second are the same")
	}

	text := get(t, server.URL+"/.well-known/jwks.json").body
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token.AccessToken, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	key := keys.Key(parsed.Headers[0].KeyID)
	if len(key) != 1 || !key[0].IsPublic() || strings.Contains(string(text), `"d"`) {
		t.Fatalf("keys: %s", text)
	}
	var claims map[string]any
	if err := parsed.Claims(key[0], &claims); err != nil {
		t.Fatal(err)
	}
	delete(claims, "jti")
	want := map[string]any{
		"iss": server.URL + "/", "aud": emulator.DefaultAudience, "sub": "south@clients", "azp": "south",
		"gty": "client-credentials", "scope": "read:sources write:sources delete:sources",
		"iat": float64(now.Unix()), "exp": float64(now.Unix() + 90),
		"https://api.meti.millpont.com/account_id":   south.AccountID,
		"https://api.meti.millpont.com/role":         "custodian",
		"https://api.meti.millpont.com/v1_client_id": "not-a-uuid",
	}
	for name, value := range want {
		if claims[name] != value {
			t.Errorf("claim %s: %v, not %v", name, claims[name], value)
		}
		delete(claims, name)
	}
	if len(claims) > 0 {
		t.Errorf("more claims: %v", claims)
	}
}

// TestTokenRequests sends what Auth0 takes and what it refuses.
func TestTokenRequests(t *testing.T) {
	server := start(t, emulator.Options{})
	form := func(edit func(url.Values)) string {
		v := url.Values{
			"client_id": {north.ClientID}, "client_secret": {north.ClientSecret},
			"audience": {emulator.DefaultAudience}, "grant_type": {"client_credentials"},
		}
		if edit != nil {
			edit(v)
		}
		return v.Encode()
	}
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	wrong := north
	wrong.ClientSecret = "wrong"
	for _, one := range []struct {
		name, media, body string
		edit              func(*http.Request)
		status            int
		want              string // the scopes, or the error
	}{
		{"json", jsonType, tokenBody(north), nil, 200, "read:sources write:sources delete:sources"},
		{"json with charset", jsonType + "; charset=utf-8", tokenBody(north), nil, 200, "read:sources write:sources delete:sources"},
		{"form", formType, form(nil), nil, 200, "read:sources write:sources delete:sources"},
		{"fewer scopes", jsonType, tokenBody(north, "read:sources"), nil, 200, "read:sources"},
		{"more scopes than granted", jsonType, tokenBody(poor, "write:sources", "read:sources", "other"), nil, 200, "read:sources"},
		{"no granted scope", jsonType, tokenBody(poor, "write:sources"), nil, 200, ""},
		{"basic", formType, form(func(v url.Values) { v.Del("client_id"); v.Del("client_secret") }),
			func(r *http.Request) { r.SetBasicAuth(north.ClientID, north.ClientSecret) }, 200, "read:sources write:sources delete:sources"},
		{"wrong basic", formType, form(nil), func(r *http.Request) { r.SetBasicAuth(north.ClientID, "x") }, 401, "access_denied"},
		{"wrong secret", jsonType, tokenBody(wrong), nil, 401, "access_denied"},
		{"unknown client", formType, form(func(v url.Values) { v.Set("client_id", "x") }), nil, 401, "access_denied"},
		{"no client", formType, form(func(v url.Values) { v.Del("client_id") }), nil, 400, "invalid_request"},
		{"other audience", formType, form(func(v url.Values) { v.Set("audience", "https://x") }), nil, 403, "access_denied"},
		{"no audience", formType, form(func(v url.Values) { v.Del("audience") }), nil, 403, "access_denied"},
		{"other grant", formType, form(func(v url.Values) { v.Set("grant_type", "password") }), nil, 400, "unsupported_grant_type"},
		{"no grant", formType, form(func(v url.Values) { v.Del("grant_type") }), nil, 400, "invalid_request"},
		{"no json", jsonType, "{", nil, 400, "invalid_request"},
		{"no form", formType, "%zz", nil, 400, "invalid_request"},
		{"other type", "text/plain", tokenBody(north), nil, 400, "invalid_request"},
		{"too large", jsonType, `{"x":"` + strings.Repeat("x", 1<<17) + `"}`, nil, 400, "invalid_request"},
	} {
		t.Run(one.name, func(t *testing.T) {
			got := askToken(t, server.URL, one.media, one.body, one.edit)
			var answer struct{ Scope, Error string }
			if err := json.Unmarshal(got.body, &answer); err != nil {
				t.Fatal(err)
			}
			if got.status != one.status || answer.Scope+answer.Error != one.want {
				t.Errorf("%d %s, not %d %s", got.status, got.body, one.status, one.want)
			}
			for _, secret := range []string{north.ClientSecret, poor.ClientSecret, "wrong"} {
				if strings.Contains(string(got.body), secret) {
					t.Errorf("the secret is in the answer: %s", got.body)
				}
			}
		})
	}
	if n := server.Requests()["requestToken"]; n != 19 {
		t.Errorf("%d token requests were counted", n)
	}
}

// TestOAuth2Library takes a token with golang.org/x/oauth2, which tries HTTP
// Basic with the secret form encoded.
func TestOAuth2Library(t *testing.T) {
	strange := emulator.Account{ClientID: "a b+c", ClientSecret: "ü%41:&=", AccountID: north.AccountID}
	server := start(t, emulator.Options{Accounts: []emulator.Account{strange}})
	config := clientcredentials.Config{
		ClientID: strange.ClientID, ClientSecret: strange.ClientSecret, TokenURL: server.URL + "/oauth/token",
		EndpointParams: url.Values{"audience": {emulator.DefaultAudience}}, Scopes: []string{"read:sources"},
	}
	token, err := config.Token(context.Background())
	if err != nil || token.Extra("scope") != "read:sources" {
		t.Fatal(token, err)
	}
	if n := server.Requests()["requestToken"]; n != 1 {
		t.Errorf("it took %d requests", n)
	}
}

// TestQuota uses up an hour's tokens.
func TestQuota(t *testing.T) {
	server := start(t, emulator.Options{TokensPerHour: 2})
	server.SetClock(time.Date(2026, 1, 1, 10, 59, 0, 0, time.UTC), true)
	var left []string
	for range 2 {
		got := askToken(t, server.URL, "application/json", tokenBody(north), nil)
		left = append(left, got.header.Get("Auth0-Client-Quota-Limit"))
	}
	same(t, "quota", left, []string{"b=per_hour;q=2;r=1;t=60", "b=per_hour;q=2;r=0;t=60"})
	got := askToken(t, server.URL, "application/json", tokenBody(north), nil)
	if got.status != http.StatusTooManyRequests || got.header.Get("X-Ratelimit-Limit") != "2" ||
		got.header.Get("X-Ratelimit-Remaining") != "0" || got.header.Get("X-Ratelimit-Reset") != "1767265200" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	tokenFor(t, server.URL, south) // has a quota of its own
	server.SetClock(server.Now().Add(time.Minute), true)
	tokenFor(t, server.URL, north)
}

// forge makes a token that differs from a good one.
func forge(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestGuard tries tokens that must not be taken.
func TestGuard(t *testing.T) {
	server := start(t, emulator.Options{})
	elsewhere := start(t, emulator.Options{})
	otherAudience := start(t, emulator.Options{URL: server.URL, Audience: "https://other"})
	for _, one := range []*emulator.Server{server, elsewhere, otherAudience} {
		one.SetClock(time.Unix(1_800_000_000, 0), true)
	}
	good := tokenFor(t, server.URL, north)
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	raised := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "custodian", "admin", 1)))
	// Its URL is the first one's, so that the issuer agrees: it is asked directly.
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), "POST", "/oauth/token", strings.NewReader(strings.Replace(tokenBody(north), emulator.DefaultAudience, "https://other", 1)))
	request.Header.Set("Content-Type", "application/json")
	otherAudience.Handler().ServeHTTP(recorder, request)
	wrongAudience := answer{body: recorder.Body.Bytes()}.token(t).AccessToken
	if wrongAudience == "" {
		t.Fatal(recorder.Body)
	}

	for name, header := range map[string]string{
		"none":            "",
		"empty":           "Bearer ",
		"other scheme":    "Basic " + good,
		"opaque":          "Bearer 0123456789abcdef",
		"raised role":     "Bearer " + parts[0] + "." + raised + "." + parts[2],
		"no algorithm":    "Bearer " + none + "." + parts[1] + ".",
		"symmetric":       "Bearer " + forge(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))}, claims),
		"other domain":    "Bearer " + tokenFor(t, elsewhere.URL, north),
		"other audience":  "Bearer " + wrongAudience,
		"cut":             "Bearer " + good[:len(good)-8],
		"with line break": "Bearer " + parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
	} {
		t.Run(name, func(t *testing.T) {
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/sources", nil)
			if header != "" {
				request.Header.Set("Authorization", header)
			}
			got, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(got.Body)
			got.Body.Close()
			if got.StatusCode != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%d %s", got.StatusCode, body)
			}
			if err := conforms(request, answer{got.StatusCode, got.Header, body}); err != nil {
				t.Error(err)
			}
		})
	}

	c := &client{t, server.URL, good}
	c.do(http.StatusOK, "GET", "/sources", "")
	server.SetClock(server.Now().Add(3599*time.Second), true)
	c.do(http.StatusOK, "GET", "/sources", "")
	server.SetClock(server.Now().Add(time.Second), true)
	c.do(http.StatusUnauthorized, "GET", "/sources", "")
}

// TestScopes holds every operation against the scopes that openapi.yaml names.
func TestScopes(t *testing.T) {
	server := start(t, emulator.Options{})
	all := []string{gen.ScopeReadSources, gen.ScopeWriteSources, gen.ScopeDeleteSources}
	for _, o := range gen.Operations() {
		if o.Scopes == nil {
			continue
		}
		path := strings.Replace(o.Path, "{source_id}", "src_0000000000000", 1)
		if o.ID == gen.OperationDeleteSourcesByAltID.ID {
			path += "?alt_id=x"
		}
		for _, scope := range all {
			for _, base := range []*client{as(t, server, north, scope), as(t, server, north, scope).sandbox()} {
				got, err := base.try(o.Method, path, "application/json", "{}")
				if err != nil {
					t.Fatal(err)
				}
				if o.Method == http.MethodDelete && strings.HasSuffix(base.url, "/sandbox") {
					if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, HEAD" && got.header.Get("Allow") != "GET, HEAD, POST" {
						t.Errorf("%s in the sandbox: %d %v", o.ID, got.status, got.header)
					}
					continue
				}
				if refused := got.status == http.StatusForbidden; refused == slices.Contains(o.Scopes, scope) {
					t.Errorf("%s with %s: %d %s", o.ID, scope, got.status, got.body)
				}
			}
		}
	}
}
