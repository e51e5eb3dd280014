package emulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
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

// claims are those of an access token. METI's own begin with its host,
// whatever the audience [A].
type claims struct {
	jwt.Claims
	Scope      string `json:"scope"`
	Azp        string `json:"azp"`
	Gty        string `json:"gty"`
	AccountID  string `json:"https://api.meti.millpont.com/account_id"`
	Role       string `json:"https://api.meti.millpont.com/role,omitempty"`
	ClientName string `json:"https://api.meti.millpont.com/client_name,omitempty"`
	V1ClientID string `json:"https://api.meti.millpont.com/v1_client_id,omitempty"`
}

// keys sign and verify. One pair serves the whole process, because making it
// takes longer than most tests; emulators tell their tokens apart by issuer.
type keys struct {
	signer jose.Signer
	public jose.JSONWebKey
}

var processKeys = sync.OnceValue(func() keys {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // without randomness nothing works
	}
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.RS256), Use: "sig"}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err) // an RSA key has one
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err) // the key was made for the algorithm
	}
	return keys{signer, public}
})

// issuer is Auth0's form: the domain with a slash at the end.
func (s *Server) issuer() string { return s.URL + "/" }

// sign makes a token for the account with these scopes.
func (s *Server) sign(a Account, scope string) (string, error) {
	now := s.options.Now()
	return jwt.Signed(processKeys().signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer:   s.issuer(),
			Subject:  a.ClientID + "@clients",
			Audience: jwt.Audience{s.options.Audience},
			IssuedAt: jwt.NewNumericDate(now),
			Expiry:   jwt.NewNumericDate(now.Add(s.options.TokenLifetime)),
			ID:       rand.Text(), // two tokens of one second differ
		},
		Scope:      scope,
		Azp:        a.ClientID,
		Gty:        "client-credentials",
		AccountID:  a.AccountID,
		Role:       a.Role,
		ClientName: a.ClientName,
		V1ClientID: a.V1ClientID,
	}).Serialize()
}

// caller is who a valid token belongs to.
type caller struct {
	account string
	admin   bool
	scopes  []string
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
	if err := token.Claims(processKeys().public, &c); err != nil {
		return who, "Invalid token signature"
	}
	switch {
	case c.Issuer != s.issuer():
		return who, "Token has another issuer"
	case !c.Audience.Contains(s.options.Audience):
		return who, "Token has another audience"
	case c.Expiry == nil || !s.options.Now().Before(c.Expiry.Time()):
		return who, "Token has expired"
	}
	return caller{account: c.AccountID, admin: c.Role == admin, scopes: strings.Fields(c.Scope)}, ""
}

// RequestToken is Auth0's token endpoint for the client-credentials grant.
func (sv *service) RequestToken(w http.ResponseWriter, r *http.Request) {
	s := sv.server
	w.Header().Set("Cache-Control", "no-store")
	q, problem := readTokenRequest(w, r)
	switch {
	case problem != "":
		writeTokenError(w, http.StatusBadRequest, "invalid_request", problem)
		return
	case q.GrantType == "":
		writeTokenError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: grant_type")
		return
	case q.GrantType != "client_credentials":
		writeTokenError(w, http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type: "+q.GrantType)
		return
	case q.ClientID == "":
		writeTokenError(w, http.StatusBadRequest, "invalid_request", "Missing required parameter: client_id")
		return
	}
	account, ok := s.authenticate(q.ClientID, q.ClientSecret)
	switch {
	case !ok:
		writeTokenError(w, http.StatusUnauthorized, "access_denied", "Unauthorized")
		return
	case q.Audience == "":
		writeTokenError(w, http.StatusForbidden, "access_denied",
			"No audience parameter was provided, and no default audience has been configured")
		return
	case q.Audience != s.options.Audience:
		writeTokenError(w, http.StatusForbidden, "access_denied",
			fmt.Sprintf("Client is not authorized to access %q", q.Audience))
		return
	}
	if !s.takeFromQuota(w, account.ClientID) {
		writeTokenError(w, http.StatusTooManyRequests, "too_many_requests", "Client quota has been used up")
		return
	}
	granted := account.granted()
	if asked := strings.Fields(q.Scope); len(asked) > 0 {
		granted = slices.DeleteFunc(slices.Clone(granted), func(scope string) bool {
			return !slices.Contains(asked, scope)
		})
	}
	scope := strings.Join(granted, " ")
	token, err := s.sign(account, scope)
	if err != nil {
		writeTokenError(w, http.StatusInternalServerError, "server_error", "The token could not be signed")
		return
	}
	answer := map[string]any{
		"access_token": token,
		"token_type":   "Bearer",
		"expires_in":   int(s.options.TokenLifetime / time.Second),
	}
	if scope != "" {
		answer["scope"] = scope
	}
	writeJSON(w, http.StatusOK, answer)
}

// tokenRequest is what a client sends, in whichever encoding.
type tokenRequest struct {
	GrantType    string `json:"grant_type"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Audience     string `json:"audience"`
	Scope        string `json:"scope"`
}

// readTokenRequest reads JSON or the form encoding, and HTTP Basic beside
// either (golang.org/x/oauth2 tries it first). A problem says nothing of the
// body, which has a secret in it.
func readTokenRequest(w http.ResponseWriter, r *http.Request) (q tokenRequest, problem string) {
	const most = 64 << 10
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		return q, "The body cannot be read"
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return q, "The body is not form encoded"
		}
		q = tokenRequest{
			GrantType:    form.Get("grant_type"),
			ClientID:     form.Get("client_id"),
			ClientSecret: form.Get("client_secret"),
			Audience:     form.Get("audience"),
			Scope:        form.Get("scope"),
		}
	case "application/json":
		if json.Unmarshal(body, &q) != nil {
			return q, "The body is not valid JSON"
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
		q.ClientID, q.ClientSecret = id, secret
	}
	return q, ""
}

func (s *Server) authenticate(clientID, secret string) (Account, bool) {
	i := slices.IndexFunc(s.accounts, func(a Account) bool { return a.ClientID == clientID })
	if i < 0 {
		return Account{}, false
	}
	given, right := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(s.accounts[i].ClientSecret))
	return s.accounts[i], subtle.ConstantTimeCompare(given[:], right[:]) == 1
}

// quotas counts the tokens of each client in the current hour.
type quotas struct {
	mutex sync.Mutex
	hour  time.Time
	taken map[string]int
}

// takeFromQuota counts one token and tells in headers what is left, as Auth0
// does where an owner has set a quota; false when nothing was left.
func (s *Server) takeFromQuota(w http.ResponseWriter, clientID string) bool {
	quota := s.options.TokensPerHour
	if quota <= 0 {
		return true
	}
	now := s.options.Now()
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
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{processKeys().public}})
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
