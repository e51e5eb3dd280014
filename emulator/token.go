package emulator

import (
	"cmp"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	"github.com/meti-go/meti/gen"
)

// claims are those of a token that are looked at. METI's own begin with its
// host, whatever the audience [A].
type claims struct {
	jwt.Claims
	Scope     string `json:"scope"`
	ClientID  string `json:"azp"`
	AccountID string `json:"https://api.meti.millpont.com/account_id"`
	Role      string `json:"https://api.meti.millpont.com/role"`
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

// keyOf makes a key with a name of a private one, PKCS #1.
func keyOf(der []byte) (key jose.JSONWebKey, err error) {
	private, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return key, err
	}
	key = jose.JSONWebKey{Key: private, Algorithm: string(jose.RS256), Use: "sig"}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	key.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return key, err
}

// derive gives 32 bytes for one purpose.
func derive(seed uint64, purpose string) []byte {
	mac := hmac.New(sha256.New, binary.LittleEndian.AppendUint64(nil, seed))
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
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
	token, err := s.grant(spec)
	return token.AccessToken, err
}

// grant makes a token, and what Auth0 answers with it.
func (s *Server) grant(spec TokenSpec) (gen.Token, error) {
	account, known := s.account(cmp.Or(spec.ClientID, s.Accounts()[0].ClientID))
	if !known {
		return gen.Token{}, fmt.Errorf("emulator: no account has the client id %q", spec.ClientID)
	}
	if spec.Scopes == nil {
		spec.Scopes = account.Scopes
	}
	issued, lifetime := s.Now(), s.options.TokenLifetime
	if spec.Expired {
		issued = issued.Add(-lifetime - time.Second)
	}
	s.mutex.Lock()
	s.tokens++
	id := derive(s.options.Seed, fmt.Sprint("token ", s.tokens)) // two of one second differ
	s.mutex.Unlock()
	scope := strings.Join(spec.Scopes, " ")
	const own = "https://api.meti.millpont.com/"
	all := map[string]any{
		"iss": s.URL + "/", "sub": account.ClientID + "@clients", "aud": cmp.Or(spec.Audience, s.options.Audience),
		"iat": issued.Unix(), "exp": issued.Add(lifetime).Unix(), "jti": hex.EncodeToString(id[:16]),
		"azp": account.ClientID, "gty": "client-credentials", "scope": scope,
		own + "account_id": account.AccountID, own + "role": account.Role,
		own + "client_name": account.ClientName, own + "v1_client_id": account.V1ClientID,
	}
	maps.DeleteFunc(all, func(name string, value any) bool { return value == "" && strings.HasPrefix(name, own) })
	maps.Copy(all, spec.Claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	token := gen.Token{TokenType: "Bearer"}
	if !spec.Expired {
		token.ExpiresIn = int(lifetime / time.Second)
	}
	if scope != "" {
		token.Scope = &scope
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: s.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err == nil {
		token.AccessToken, err = jwt.Signed(signer).Claims(all).Serialize()
	}
	return token, err
}

// verify judges an Authorization header for an operation that needs these scopes, or
// no token where there are none. The error is an answer; what the claims of a token
// say may then be false.
func (s *Server) verify(header string, scopes []string) (c claims, err error) {
	scheme, text, _ := strings.Cut(header, " ")
	token, malformed := jwt.ParseSigned(strings.TrimSpace(text), []jose.SignatureAlgorithm{jose.RS256})
	var why string
	switch {
	case scopes == nil:
		return c, nil
	case header == "":
		why = "Missing Authorization header"
	case !strings.EqualFold(scheme, "Bearer"):
		why = "Authorization header must be: Bearer token"
	case malformed != nil || token.UnsafeClaimsWithoutVerification(&c) != nil:
		why = "Malformed token"
	case token.Claims(s.key.Public()) != nil:
		why = "Invalid token signature"
	case c.Issuer != s.URL+"/":
		why = "Token has another issuer"
	case !c.Audience.Contains(s.options.Audience):
		why = "Token has another audience"
	case c.Expiry == nil || !s.Now().Before(c.Expiry.Time()):
		why = "Token has expired"
	default:
		for _, scope := range scopes {
			if !slices.Contains(strings.Fields(c.Scope), scope) {
				return c, refuse(http.StatusForbidden, "Missing required scope: "+scope)
			}
		}
		return c, nil
	}
	return c, refuse(http.StatusUnauthorized, why)
}

// RequestToken is Auth0's token endpoint for the client-credentials grant.
func (sv *service) RequestToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	token, err := sv.server.exchangeSecret(r, w.Header())
	sv.server.answer(w, r, token, err)
}

// exchangeSecret gives a token for the secret of a request.
func (s *Server) exchangeSecret(r *http.Request, answered http.Header) (any, error) {
	q, err := readTokenRequest(r, exchangeOf(r).body)
	if err != nil {
		return nil, err
	}
	account, known := s.account(q.Get("client_id"))
	grant, audience := q.Get("grant_type"), q.Get("audience")
	switch {
	case grant == "":
		return nil, refuseToken(http.StatusBadRequest, "invalid_request", "Missing required parameter: grant_type")
	case grant != "client_credentials":
		return nil, refuseToken(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type: "+grant)
	case q.Get("client_id") == "":
		return nil, refuseToken(http.StatusBadRequest, "invalid_request", "Missing required parameter: client_id")
	case !known || subtle.ConstantTimeCompare([]byte(q.Get("client_secret")), []byte(account.ClientSecret)) != 1:
		return nil, refuseToken(http.StatusUnauthorized, "access_denied", "Unauthorized")
	case audience == "":
		return nil, refuseToken(http.StatusForbidden, "access_denied", "No audience parameter was provided, and no default audience has been configured")
	case audience != s.options.Audience:
		return nil, refuseToken(http.StatusForbidden, "access_denied", fmt.Sprintf("Client is not authorized to access %q", audience))
	case !s.takeFromQuota(answered, account.ClientID):
		return nil, refuseToken(http.StatusTooManyRequests, "too_many_requests", "Client quota has been used up")
	}
	granted := slices.Clone(account.Scopes)
	if asked := strings.Fields(q.Get("scope")); len(asked) > 0 {
		granted = slices.DeleteFunc(granted, func(scope string) bool { return !slices.Contains(asked, scope) })
	}
	return s.grant(TokenSpec{ClientID: account.ClientID, Scopes: granted})
}

// readTokenRequest reads JSON or the form encoding, and HTTP Basic beside
// either (golang.org/x/oauth2 tries it first). Its errors say nothing of the
// body, which has a secret in it.
func readTokenRequest(r *http.Request, body []byte) (q url.Values, err error) {
	problem := ""
	switch media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media {
	case "application/x-www-form-urlencoded":
		if q, err = url.ParseQuery(string(body)); err != nil {
			problem = "The body is not form encoded"
		}
	case "application/json":
		var all map[string]any
		if json.Unmarshal(body, &all) != nil {
			problem = "The body is not valid JSON"
		}
		q = make(url.Values)
		for name, value := range all {
			if text, is := value.(string); is {
				q.Set(name, text)
			}
		}
	default:
		problem = "The body must be JSON or form encoded"
	}
	if problem != "" {
		return nil, refuseToken(http.StatusBadRequest, "invalid_request", problem)
	}
	if id, secret, ok := r.BasicAuth(); ok {
		for name, value := range map[string]string{"client_id": id, "client_secret": secret} {
			q.Set(name, value)
			if plain, err := url.QueryUnescape(value); err == nil { // RFC 6749, 2.3.1: they are form encoded before
				q.Set(name, plain)
			}
		}
	}
	return q, nil
}

// takeFromQuota counts one token and tells in headers what is left, as Auth0
// does where an owner has set a quota; false when nothing was left.
func (s *Server) takeFromQuota(answered http.Header, clientID string) bool {
	quota := s.options.TokensPerHour
	if quota <= 0 {
		return true
	}
	now := s.Now()
	reset := now.Truncate(time.Hour).Add(time.Hour)
	wait := int(reset.Sub(now).Round(time.Second) / time.Second)
	defer s.lock()()
	in := fmt.Sprint(clientID, reset)
	left := quota - s.quotas[in]
	if left > 0 {
		s.quotas[in]++
	}
	answered.Set("Auth0-Client-Quota-Limit", fmt.Sprintf("b=per_hour;q=%d;r=%d;t=%d", quota, max(0, left-1), wait))
	if left == 0 {
		rateLimit(answered, quota, reset)
		answered.Set("Retry-After", strconv.Itoa(wait))
	}
	return left > 0
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
