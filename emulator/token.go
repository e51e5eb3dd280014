package emulator

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	"github.com/meti-go/meti/gen"
)

// Account is one client that may ask for tokens, and the METI account that its
// tokens belong to. Several clients may share an account.
type Account struct {
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	AccountID    string   `json:"account_id"`             // METI's, a UUID; the profile that creates its sources follows from it
	Role         string   `json:"role,omitempty"`         // told in the tokens; "admin" sees every account's sources
	ClientName   string   `json:"client_name,omitempty"`  // told in the tokens
	V1ClientID   string   `json:"v1_client_id,omitempty"` // told in the tokens, where it is given
	Scopes       []string `json:"scopes"`                 // those granted; all three if absent, none if empty
}

// admin is the role that sees every account.
const admin = "admin"

// allScopes are granted where an account names none.
var allScopes = []string{gen.ScopeReadSources, gen.ScopeWriteSources, gen.ScopeDeleteSources}

// String names the account without its secret.
func (a Account) String() string {
	return fmt.Sprintf("account %s of client %s", a.AccountID, a.ClientID)
}

// GoString is String: no formatting verb shows the secret.
func (a Account) GoString() string { return a.String() }

// DemoAccount is the account of an emulator that was given none. Its secret is
// public, of course.
func DemoAccount() Account {
	return Account{
		ClientID: "demo-client", ClientSecret: "demo-secret", AccountID: "00000000-0000-4000-8000-000000000001",
		Role: "custodian", ClientName: "Demo Custodian", Scopes: slices.Clone(allScopes),
	}
}

// LoadAccounts reads a JSON array of accounts, with the members of [Account].
// No member but v1_client_id, role, client_name and scopes may be left out.
func LoadAccounts(r io.Reader) (accounts []Account, err error) {
	decoder := json.NewDecoder(io.LimitReader(r, 16<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&accounts); err != nil {
		return nil, fmt.Errorf("emulator: accounts: %w", err)
	}
	if len(accounts) == 0 {
		return nil, errors.New("emulator: accounts: the array is empty")
	}
	return accounts, checkAccounts(accounts)
}

func checkAccounts(accounts []Account) error {
	seen := make(map[string]bool)
	for i, a := range accounts {
		switch {
		case a.ClientID == "", a.ClientSecret == "", a.AccountID == "":
			return fmt.Errorf("emulator: account %d lacks client_id, client_secret or account_id", i+1)
		case seen[a.ClientID]:
			return fmt.Errorf("emulator: client_id %s is given twice", a.ClientID)
		}
		for _, scope := range a.Scopes {
			if !slices.Contains(allScopes, scope) {
				return fmt.Errorf("emulator: account %d has the scope %q, which METI does not know", i+1, scope)
			}
		}
		seen[a.ClientID] = true
	}
	return nil
}

// profile is the UUID of the profile that an account's sources are created by.
func profile(accountID string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("profile of "+accountID)).String()
}

// Accounts are those that may ask for tokens, secrets included.
func (s *Server) Accounts() []Account {
	defer s.lock()()
	return slices.Clone(s.accounts)
}

// AddAccount lets one more client ask for tokens, until [Server.Reset].
func (s *Server) AddAccount(a Account) error {
	defer s.lock()()
	more := append(slices.Clip(s.accounts), a)
	if err := checkAccounts(more); err != nil {
		return err
	}
	s.accounts = more
	return nil
}

// account is the one with this client id, or the first one if that is empty,
// with the scopes that it is granted.
func (s *Server) account(clientID string) (Account, bool) {
	for _, a := range s.Accounts() {
		if clientID == "" || a.ClientID == clientID {
			if a.Scopes == nil {
				a.Scopes = allScopes
			}
			return a, true
		}
	}
	return Account{}, false
}

// claims are those of a token that are looked at. METI's own begin with its
// host, whatever the audience [A].
type claims struct {
	jwt.Claims
	Scope     string `json:"scope"`
	ClientID  string `json:"azp"`
	AccountID string `json:"https://api.meti.millpont.com/account_id"`
	Role      string `json:"https://api.meti.millpont.com/role"`
}

// keys sign and verify.
type keys struct {
	signer jose.Signer
	public jose.JSONWebKey
}

// processKey serves all emulators that were given no seed and no file: making
// one takes longer than most tests. They tell their tokens apart by issuer.
var processKey = sync.OnceValue(func() []byte {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // without randomness nothing works
	}
	return x509.MarshalPKCS1PrivateKey(private)
})

// seededKey is what emulators with a seed sign with. It is as secret as a seed:
// not at all.
//
//go:embed seeded.der
var seededKey []byte

// keysOf makes keys of a private one, PKCS #1.
func keysOf(der []byte) (k keys, err error) {
	private, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return k, err
	}
	k.public = jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.RS256), Use: "sig"}
	thumbprint, err := k.public.Thumbprint(crypto.SHA256)
	if err != nil {
		return k, err
	}
	k.public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	k.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: k.public.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	return k, err
}

// TokenSpec is what a token is to be, where it differs from one that its client
// would get.
type TokenSpec struct {
	ClientID string         `json:"client_id"` // the first account's if empty
	Scopes   []string       `json:"scopes"`    // any; those granted to the account if nil
	Audience string         `json:"audience"`  // the server's if empty
	Expired  bool           `json:"expired"`   // a second ago
	Claims   map[string]any `json:"claims"`    // in place of others of the same name; null leaves one out
}

// Token signs what is asked for: it is as genuine as one that was requested, and
// counts for nothing.
func (s *Server) Token(spec TokenSpec) (string, error) {
	answer, err := s.grant(spec)
	if err != nil {
		return "", err
	}
	return answer["access_token"].(string), nil
}

// grant makes a token, and what Auth0 answers with it.
func (s *Server) grant(spec TokenSpec) (map[string]any, error) {
	account, ok := s.account(spec.ClientID)
	if !ok {
		return nil, fmt.Errorf("emulator: no account has the client id %q", spec.ClientID)
	}
	if spec.Scopes == nil {
		spec.Scopes = account.Scopes
	}
	now, lifetime := s.Now(), s.options.TokenLifetime
	if spec.Expired {
		lifetime = -time.Second
	}
	s.mutex.Lock()
	s.tokens++
	id := derive(s.options.Seed, fmt.Sprint("token ", s.tokens)) // two of one second differ
	s.mutex.Unlock()
	scope := strings.Join(spec.Scopes, " ")
	const own = "https://api.meti.millpont.com/"
	all := map[string]any{
		"iss": s.URL + "/", "sub": account.ClientID + "@clients", "aud": cmp.Or(spec.Audience, s.options.Audience),
		"iat": now.Add(lifetime - s.options.TokenLifetime).Unix(), "exp": now.Add(lifetime).Unix(), "jti": hex.EncodeToString(id[:16]),
		"azp": account.ClientID, "gty": "client-credentials", "scope": scope,
		own + "account_id": account.AccountID, own + "role": account.Role,
		own + "client_name": account.ClientName, own + "v1_client_id": account.V1ClientID,
	}
	maps.DeleteFunc(all, func(name string, value any) bool { return value == "" && strings.HasPrefix(name, own) })
	maps.Copy(all, spec.Claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	token, err := jwt.Signed(s.keys.signer).Claims(all).Serialize()
	answer := map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": max(0, int(lifetime/time.Second))}
	if scope != "" {
		answer["scope"] = scope
	}
	return answer, err
}

// verify judges an Authorization header. Where it is not good, refused says why,
// for the client to read; what it claims may be false then.
func (s *Server) verify(header string) (c claims, refused string) {
	if header == "" {
		return c, "Missing Authorization header"
	}
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return c, "Authorization header must be: Bearer token"
	}
	token, err := jwt.ParseSigned(strings.TrimSpace(text), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || token.UnsafeClaimsWithoutVerification(&c) != nil {
		return c, "Malformed token"
	}
	switch {
	case token.Claims(s.keys.public) != nil:
		return c, "Invalid token signature"
	case c.Issuer != s.URL+"/":
		return c, "Token has another issuer"
	case !c.Audience.Contains(s.options.Audience):
		return c, "Token has another audience"
	case c.Expiry == nil || !s.Now().Before(c.Expiry.Time()):
		return c, "Token has expired"
	}
	return c, ""
}

// RequestToken is Auth0's token endpoint for the client-credentials grant.
func (sv *service) RequestToken(w http.ResponseWriter, r *http.Request) {
	s := sv.server
	w.Header().Set("Cache-Control", "no-store")
	q, problem := readTokenRequest(r, exchangeOf(r).body)
	account, known := s.account(q["client_id"])
	given, right := sha256.Sum256([]byte(q["client_secret"])), sha256.Sum256([]byte(account.ClientSecret))
	for _, refusal := range []struct {
		when       bool
		status     int
		code, text string
	}{
		{problem != "", 400, "invalid_request", problem},
		{q["grant_type"] == "", 400, "invalid_request", "Missing required parameter: grant_type"},
		{q["grant_type"] != "client_credentials", 400, "unsupported_grant_type", "Unsupported grant type: " + q["grant_type"]},
		{q["client_id"] == "", 400, "invalid_request", "Missing required parameter: client_id"},
		{!known || subtle.ConstantTimeCompare(given[:], right[:]) != 1, 401, "access_denied", "Unauthorized"},
		{q["audience"] == "", 403, "access_denied", "No audience parameter was provided, and no default audience has been configured"},
		{q["audience"] != s.options.Audience, 403, "access_denied", fmt.Sprintf("Client is not authorized to access %q", q["audience"])},
	} {
		if refusal.when {
			writeTokenError(w, refusal.status, refusal.code, refusal.text)
			return
		}
	}
	if !s.takeFromQuota(w, account.ClientID) {
		writeTokenError(w, http.StatusTooManyRequests, "too_many_requests", "Client quota has been used up")
		return
	}
	granted := slices.Clone(account.Scopes)
	if asked := strings.Fields(q["scope"]); len(asked) > 0 {
		granted = slices.DeleteFunc(granted, func(scope string) bool { return !slices.Contains(asked, scope) })
	}
	answer, err := s.grant(TokenSpec{ClientID: account.ClientID, Scopes: granted})
	if err != nil {
		sv.answer(w, r, nil, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// readTokenRequest reads JSON or the form encoding, and HTTP Basic beside
// either (golang.org/x/oauth2 tries it first). A problem says nothing of the
// body, which has a secret in it.
func readTokenRequest(r *http.Request, body []byte) (q map[string]string, problem string) {
	q = make(map[string]string)
	switch media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return q, "The body is not form encoded"
		}
		for name := range form {
			q[name] = form.Get(name)
		}
	case "application/json":
		var all map[string]any
		if json.Unmarshal(body, &all) != nil {
			return q, "The body is not valid JSON"
		}
		for name, value := range all {
			q[name], _ = value.(string)
		}
	default:
		return q, "The body must be JSON or form encoded"
	}
	if id, secret, ok := r.BasicAuth(); ok {
		for name, value := range map[string]string{"client_id": id, "client_secret": secret} {
			q[name] = value
			if text, err := url.QueryUnescape(value); err == nil { // RFC 6749, 2.3.1: they are form encoded before
				q[name] = text
			}
		}
	}
	return q, ""
}

// takeFromQuota counts one token and tells in headers what is left, as Auth0
// does where an owner has set a quota; false when nothing was left.
func (s *Server) takeFromQuota(w http.ResponseWriter, clientID string) bool {
	quota := s.options.TokensPerHour
	if quota <= 0 {
		return true
	}
	now := s.Now()
	reset := now.Truncate(time.Hour).Add(time.Hour)
	s.mutex.Lock()
	if !reset.Equal(s.quotaReset) {
		s.quotaReset, s.taken = reset, make(map[string]int)
	}
	ok := s.taken[clientID] < quota
	if ok {
		s.taken[clientID]++
	}
	left := quota - s.taken[clientID]
	s.mutex.Unlock()
	wait := int(reset.Sub(now).Round(time.Second) / time.Second)
	w.Header().Set("Auth0-Client-Quota-Limit", fmt.Sprintf("b=per_hour;q=%d;r=%d;t=%d", quota, left, wait))
	if !ok {
		rateLimit(w.Header(), quota, reset)
		w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	return ok
}

// rateLimit sets the headers of Auth0's 429.
func rateLimit(h http.Header, limit int, reset time.Time) {
	h.Set("X-Ratelimit-Limit", strconv.Itoa(limit))
	h.Set("X-Ratelimit-Remaining", "0")
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(reset.Unix(), 10))
}

// configuration is OpenID Connect Discovery, as far as it applies.
func (s *Server) configuration() map[string]any {
	return map[string]any{
		"issuer": s.URL + "/", "token_endpoint": s.URL + "/oauth/token", "jwks_uri": s.URL + "/.well-known/jwks.json",
		"scopes_supported": allScopes, "grant_types_supported": []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "subject_types_supported": []string{"public"},
		"response_types_supported": []string{},
	}
}
