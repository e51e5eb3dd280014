package emulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
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
)

// claimsOf begins METI's own claims, whatever the audience [A].
const claimsOf = "https://api.meti.millpont.com/"

// claims are those of a token that are looked at.
type claims struct {
	jwt.Claims
	Scope     string `json:"scope"`
	Azp       string `json:"azp"`
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
var processKey = sync.OnceValue(func() []byte { return newKey(rand.Reader) })

// newKey makes a private key, PKCS #1. Unlike rsa.GenerateKey it makes the same
// one of the same random bytes.
func newKey(random io.Reader) []byte {
	prime := func() *big.Int {
		for {
			b := make([]byte, 128)
			_, _ = io.ReadFull(random, b) // never fails
			b[0] |= 0xC0                  // so that the product has 2048 bits
			b[127] |= 1
			p := new(big.Int).SetBytes(b)
			if new(big.Int).Mod(p, big.NewInt(exponent)).Cmp(big.NewInt(1)) != 0 && p.ProbablyPrime(20) {
				return p
			}
		}
	}
	p, q := prime(), prime()
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	return x509.MarshalPKCS1PrivateKey(&rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent},
		D:         new(big.Int).ModInverse(big.NewInt(exponent), phi),
		Primes:    []*big.Int{p, q},
	})
}

// exponent is the public one.
const exponent = 65537

// keysOf makes keys of a private one.
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

// issuer is Auth0's form: the domain with a slash at the end.
func (s *Server) issuer() string { return s.URL + "/" }

// TokenSpec is what a token is to be, where it differs from one that
// [TokenSpec.ClientID] would get.
type TokenSpec struct {
	// ClientID is the account's, the first one's if empty.
	ClientID string `json:"client_id"`
	// Scopes are those granted, whatever they are; the account's if nil.
	Scopes []string `json:"scopes"`
	// Audience is the server's own if empty.
	Audience string `json:"audience"`
	// Expired makes one that expired a second ago.
	Expired bool `json:"expired"`
	// Claims come on top, in place of those of the same name; null leaves one
	// out.
	Claims map[string]any `json:"claims"`
}

// Token signs what is asked for: it is as genuine as one that was requested, and
// counts for nothing.
func (s *Server) Token(spec TokenSpec) (string, error) {
	token, _, err := s.sign(spec)
	return token, err
}

// sign makes a token, and says what is granted.
func (s *Server) sign(spec TokenSpec) (token, scope string, err error) {
	account, ok := s.account(spec.ClientID)
	if !ok {
		return "", "", fmt.Errorf("emulator: no account has the client id %q", spec.ClientID)
	}
	granted := spec.Scopes
	if granted == nil {
		granted = account.granted()
	}
	if spec.Audience == "" {
		spec.Audience = s.options.Audience
	}
	now := s.Now()
	if spec.Expired {
		now = now.Add(-s.options.TokenLifetime - time.Second)
	}
	scope = strings.Join(granted, " ")
	all := map[string]any{
		"iss": s.issuer(), "sub": account.ClientID + "@clients", "aud": spec.Audience, "azp": account.ClientID,
		"iat": now.Unix(), "exp": now.Add(s.options.TokenLifetime).Unix(), "jti": hex.EncodeToString(derive(s.options.Seed, fmt.Sprint("token ", s.tokens.Add(1)))[:16]), // two of one second differ
		"gty": "client-credentials", "scope": scope, claimsOf + "account_id": account.AccountID,
	}
	for name, value := range map[string]string{"role": account.Role, "client_name": account.ClientName, "v1_client_id": account.V1ClientID} {
		if value != "" {
			all[claimsOf+name] = value
		}
	}
	maps.Copy(all, spec.Claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	token, err = jwt.Signed(s.keys.signer).Claims(all).Serialize()
	return token, scope, err
}

// caller is who a valid token belongs to.
type caller struct {
	client, account string
	admin           bool
	scopes          []string
}

// verify judges an Authorization header. Where it is not good, refused says why,
// for the client to read.
func (s *Server) verify(header string) (who caller, refused string) {
	if header == "" {
		return who, "Missing Authorization header"
	}
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return who, "Authorization header must be: Bearer token"
	}
	token, err := jwt.ParseSigned(strings.TrimSpace(text), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return who, "Malformed token"
	}
	var c claims
	if err := token.Claims(s.keys.public, &c); err != nil {
		return who, "Invalid token signature"
	}
	switch {
	case c.Issuer != s.issuer():
		return who, "Token has another issuer"
	case !c.Audience.Contains(s.options.Audience):
		return who, "Token has another audience"
	case c.Expiry == nil || !s.Now().Before(c.Expiry.Time()):
		return who, "Token has expired"
	}
	return caller{client: c.Azp, account: c.AccountID, admin: c.Role == admin, scopes: strings.Fields(c.Scope)}, ""
}

// clientOf is the client that a token says it is, whether that is true or not.
func clientOf(header string) string {
	_, text, _ := strings.Cut(header, " ")
	var c claims
	token, err := jwt.ParseSigned(strings.TrimSpace(text), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || token.UnsafeClaimsWithoutVerification(&c) != nil {
		return ""
	}
	return c.Azp
}

// RequestToken is Auth0's token endpoint for the client-credentials grant.
func (sv *service) RequestToken(w http.ResponseWriter, r *http.Request) {
	s := sv.server
	w.Header().Set("Cache-Control", "no-store")
	q, problem := readTokenRequest(r, exchangeOf(r).body)
	switch {
	case problem != "":
		writeTokenError(w, http.StatusBadRequest, "invalid_request", problem)
		return
	case q["grant_type"] == "":
		writeTokenError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: grant_type")
		return
	case q["grant_type"] != "client_credentials":
		writeTokenError(w, http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type: "+q["grant_type"])
		return
	case q["client_id"] == "":
		writeTokenError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: client_id")
		return
	}
	account, ok := s.authenticate(q["client_id"], q["client_secret"])
	switch {
	case !ok:
		writeTokenError(w, http.StatusUnauthorized, "access_denied", "Unauthorized")
		return
	case q["audience"] == "":
		writeTokenError(w, http.StatusForbidden, "access_denied",
			"No audience parameter was provided, and no default audience has been configured")
		return
	case q["audience"] != s.options.Audience:
		writeTokenError(w, http.StatusForbidden, "access_denied",
			fmt.Sprintf("Client is not authorized to access %q", q["audience"]))
		return
	}
	if !s.takeFromQuota(w, account.ClientID) {
		writeTokenError(w, http.StatusTooManyRequests, "too_many_requests", "Client quota has been used up")
		return
	}
	granted := slices.Clone(account.granted())
	if asked := strings.Fields(q["scope"]); len(asked) > 0 {
		granted = slices.DeleteFunc(granted, func(scope string) bool { return !slices.Contains(asked, scope) })
	}
	s.answerToken(w, TokenSpec{ClientID: account.ClientID, Scopes: granted})
}

// answerToken signs a token and answers it as Auth0 does.
func (s *Server) answerToken(w http.ResponseWriter, spec TokenSpec) {
	token, scope, err := s.sign(spec)
	if err != nil {
		writeTokenError(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	answer := map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int(s.options.TokenLifetime / time.Second),
	}
	if spec.Expired {
		answer["expires_in"] = 0
	}
	if scope != "" {
		answer["scope"] = scope
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
		// RFC 6749, section 2.3.1: both are form encoded before Basic is.
		if text, err := url.QueryUnescape(id); err == nil {
			id = text
		}
		if text, err := url.QueryUnescape(secret); err == nil {
			secret = text
		}
		q["client_id"], q["client_secret"] = id, secret
	}
	return q, ""
}

func (s *Server) authenticate(clientID, secret string) (Account, bool) {
	account, ok := s.account(clientID)
	given, right := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(account.ClientSecret))
	return account, ok && clientID != "" && subtle.ConstantTimeCompare(given[:], right[:]) == 1
}

// quotas counts the tokens of each client in the current hour.
type quotas struct {
	mutex sync.Mutex
	hour  time.Time
	taken map[string]int
}

func (q *quotas) clear() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.taken = nil
}

// takeFromQuota counts one token and tells in headers what is left, as Auth0
// does where an owner has set a quota; false when nothing was left.
func (s *Server) takeFromQuota(w http.ResponseWriter, clientID string) bool {
	quota := s.options.TokensPerHour
	if quota <= 0 {
		return true
	}
	now := s.Now()
	hour := now.Truncate(time.Hour)
	reset := hour.Add(time.Hour)
	s.quotas.mutex.Lock()
	defer s.quotas.mutex.Unlock()
	if s.quotas.taken == nil || !hour.Equal(s.quotas.hour) {
		s.quotas.hour, s.quotas.taken = hour, make(map[string]int)
	}
	ok := s.quotas.taken[clientID] < quota
	if ok {
		s.quotas.taken[clientID]++
	}
	left := quota - s.quotas.taken[clientID]
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

// serveKeys publishes what tokens are verified with.
func (s *Server) serveKeys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.keys.public}})
}

// serveConfiguration is OpenID Connect Discovery, as far as it applies.
func (s *Server) serveConfiguration(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                s.issuer(),
		"token_endpoint":                        s.URL + "/oauth/token",
		"jwks_uri":                              s.URL + "/.well-known/jwks.json",
		"scopes_supported":                      allScopes,
		"grant_types_supported":                 []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported":              []string{},
		"subject_types_supported":               []string{"public"},
	})
}
