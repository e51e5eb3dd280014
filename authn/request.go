package authn

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/meti-go/meti/internal/safehttp"
)

const (
	// fetchCap is the longest that one fetch takes, repeats and waits included.
	fetchCap = 30 * time.Second
	// requestCap is how long one token request may take: a server that hangs
	// must not use up the whole fetch.
	requestCap = 10 * time.Second
	// maxAnswer is the most that is read of an answer, in bytes.
	maxAnswer = 1 << 20
	// unknownLife is how long a token is used that says nothing of its end:
	// METI's page has an hour [A]. If it ends earlier, a 401 tells.
	unknownLife = time.Hour
)

// fetch asks Auth0, and again after temporary failures, unless the old token
// is still valid: then a later call does.
func (s *Source) fetch(f *fetch) (*Grant, *FetchError) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchCap)
	defer cancel()
	deadline, _ := ctx.Deadline()
	for attempt := 1; ; attempt++ {
		g, failure := s.request(ctx)
		if failure == nil {
			return g, nil
		}
		failure.Attempts = attempt
		wait := failure.RetryAfter
		switch {
		case wait > 0:
		case failure.Status == http.StatusTooManyRequests: // and no reset named: be slow
			wait = 5 * time.Second << (attempt - 1)
		default:
			wait = min(8*time.Second, 500*time.Millisecond<<(attempt-1))
			wait -= rand.N(wait / 2)
		}
		if !failure.Temporary() || s.valid(f.old) || wait >= time.Until(deadline) {
			return nil, failure
		}
		f.last.Store(failure)
		time.Sleep(wait)
	}
}

// request makes one token request, as METI's page documents it [A].
func (s *Source) request(ctx context.Context) (*Grant, *FetchError) {
	body := map[string]string{
		"client_id":     s.config.ClientID,
		"client_secret": s.secret(),
		"audience":      s.config.Audience,
		"grant_type":    "client_credentials",
	}
	if len(s.config.Scopes) > 0 {
		body["scope"] = strings.Join(s.config.Scopes, " ")
	}
	text, _ := json.Marshal(body) // strings can always be written
	ctx, cancel := context.WithTimeout(ctx, requestCap)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.Domain+tokenPath, bytes.NewReader(text))
	if err != nil {
		return nil, s.failure(permanent, err, "")
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"meti-go"}}
	start := s.now()
	// The transport is used bare: an http.Client would follow redirects.
	resp, err := s.config.Transport.RoundTrip(req)
	if err != nil {
		return nil, s.unanswered(err)
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	quota, wait := readQuota(resp.Header, resp.StatusCode, time.Now())
	s.quota.Store(&quota)
	var e *entry
	var failed *FetchError
	switch {
	case safehttp.Redirects(resp.StatusCode):
		failed = s.failure(permanent, redirectError(req, resp, s.secrets()), s.wrongDomain())
	case err != nil:
		failed = s.failure(temporary, err, "")
	case len(text) > maxAnswer:
		failed = s.failure(permanent, fmt.Errorf("the answer has more than %d bytes", maxAnswer), s.wrongDomain())
	default:
		e, failed = s.read(resp, text)
	}
	if failed != nil {
		if failed.Status = resp.StatusCode; failed.Temporary() {
			failed.RetryAfter = wait
		}
		return nil, failed
	}
	e.Obtained = start
	return newGrant(*e, s.now()), nil
}

// unanswered sorts a request that got no answer.
func (s *Source) unanswered(err error) *FetchError {
	hint, final := safehttp.Advice(err)
	switch {
	case safehttp.NoSuchHost(err):
		hint = s.wrongDomain()
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %s", requestCap) // not the caller's deadline
	}
	e := s.failure(temporary, err, hint)
	if final {
		e.class = permanent
	}
	return e
}

// read takes the token from an answer, or says why there is none.
func (s *Source) read(resp *http.Response, text []byte) (*entry, *FetchError) {
	a, status := members(text), resp.StatusCode
	var token string
	_ = json.Unmarshal(a["access_token"], &token)
	secrets := s.secrets()
	secrets.Add(token)
	line := func(text string, size int) string { return safehttp.Line(secrets.Redact(text), size) }
	code, kind := claimText(a["error"]), line(claimText(a["token_type"]), 60)
	// What the answer says of a failure.
	e := s.failure(temporary, nil, "")
	e.Code, e.Description = line(code, 60), line(cmp.Or(claimText(a["error_description"]), claimText(a["message"])), 300)
	if a == nil && (len(text) > 0 || status < 300) {
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		e.Err = fmt.Errorf("the answer is %s, not JSON: a proxy or another server speaks here", line(cmp.Or(kind, "of no stated type"), 60))
	}
	says := func(c class, hint string) (*entry, *FetchError) {
		e.class, e.Hint = c, hint
		return nil, e
	}
	switch {
	case status == http.StatusProxyAuthRequired:
		return says(permanent, safehttp.ProxyAdvice)
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly,
		code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		return says(temporary, "")
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		return says(permanent, "there is no token endpoint: "+s.wrongDomain())
	case a == nil:
		return says(temporary, "")
	case status != http.StatusOK && status != http.StatusCreated, code != "":
		return says(refused, s.advice(e, status))
	case token == "":
		return nil, s.failure(permanent, errors.New("the answer has no access_token"), s.wrongDomain())
	case kind != "" && !strings.EqualFold(kind, "Bearer"):
		return nil, s.failure(permanent, fmt.Errorf("the answer has a token of type %q, not Bearer", kind), "")
	case !headerSafe(token):
		return nil, s.failure(permanent, errors.New("the answer has an access_token that cannot stand in a header"), "")
	}
	scopes := claimList(a["scope"])
	named := scopes != nil
	if !named {
		scopes = s.config.Scopes
	}
	life := lifetime(a["expires_in"], token, safehttp.ServerTime(resp.Header, time.Now()))
	return &entry{AccessToken: token, Scopes: scopes, Named: named, Life: int64(life / time.Second)}, nil
}

// lifetime is how long a token lives: expires_in (a number, or a number in a
// string), or until the token's own exp where that is missing. now is the
// server's.
func lifetime(expiresIn json.RawMessage, token string, now time.Time) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(claimText(expiresIn)), 64)
	if (err == nil || errors.Is(err, strconv.ErrRange)) && !math.IsNaN(n) {
		return safehttp.Seconds(int64(max(0, min(n, safehttp.MaxWait.Seconds()))))
	}
	if claims, err := ParseUnverifiedClaims(token); err == nil && !claims.ExpiresAt.IsZero() {
		return min(max(0, claims.ExpiresAt.Sub(now)), safehttp.MaxWait)
	}
	return unknownLife
}

func (s *Source) wrongDomain() string { return "wrong domain? check " + s.config.name("Domain") }

// advice says what to do about a refusal. The descriptions are Auth0's.
func (s *Source) advice(e *FetchError, status int) string {
	about, name := strings.ToLower(e.Description), s.config.name
	switch {
	case strings.Contains(about, "service not") || strings.Contains(about, "audience"):
		return "the audience is unknown there: check " + name("Audience") + ", and " + name("Domain") + " (wrong domain?)"
	case strings.Contains(about, "scope") || e.Code == "invalid_scope":
		return "ask your Auth0 administrator for the scopes"
	case strings.Contains(about, "not authorized"):
		return "ask your Auth0 administrator to authorize this client for the audience"
	case e.Code == "invalid_client" || e.Code == "unauthorized_client" || e.Code == "access_denied" || status == http.StatusUnauthorized:
		return "check " + name("ClientID") + " and " + name("ClientSecret") + ", and " + name("Domain") + " (wrong domain?)"
	}
	return ""
}

// redirectError describes the redirect that resp answers req with.
func redirectError(req *http.Request, resp *http.Response, secrets safehttp.Secrets) *RedirectError {
	return &RedirectError{
		Method: req.Method, Status: resp.StatusCode, From: safehttp.Origin(req.URL),
		To: safehttp.RedirectTarget(req.URL, resp.Header.Get("Location"), secrets),
	}
}
