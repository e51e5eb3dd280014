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
	// requestCap is how long one token request may take: a server that hangs
	// must not use up the whole fetch.
	requestCap = 10 * time.Second
	// maxAnswer is the most that is read of an answer, in bytes.
	maxAnswer = 1 << 20
	// unknownLife is how long a token is used that says nothing of its end:
	// METI's page has an hour [A]. If it ends earlier, a 401 tells.
	unknownLife = time.Hour
)

// request makes one token request, as METI's page documents it [A].
func (s *Source) request(ctx context.Context) (*held, *FetchError) {
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
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "meti-go")
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
	var g *Grant
	var failed *FetchError
	switch {
	case safehttp.Redirects(resp.StatusCode):
		failed = s.failure(permanent, redirectError(req, resp, s.secrets()), s.wrongDomain())
	case err != nil:
		failed = s.failure(temporary, err, "")
	case len(text) > maxAnswer:
		failed = s.failure(permanent, fmt.Errorf("the answer has more than %d bytes", maxAnswer), s.wrongDomain())
	default:
		g, failed = s.read(resp, text, start)
	}
	if failed != nil {
		if failed.Status = resp.StatusCode; failed.Temporary() {
			failed.RetryAfter = wait
		}
		return nil, failed
	}
	return s.hold(g, start, g.life), nil
}

// read takes the token from an answer to a request made at start, or says why
// there is none.
func (s *Source) read(resp *http.Response, text []byte, start time.Time) (*Grant, *FetchError) {
	a, status := members(text), resp.StatusCode
	var token string
	_ = json.Unmarshal(a["access_token"], &token)
	secrets := s.secrets()
	secrets.Add(token)
	line := func(name string, size int) string {
		return safehttp.Line(secrets.Redact(claimText(a[name])), size)
	}
	// says is a failure in the words of the answer.
	says := func(c class, hint string) *FetchError {
		e := s.failure(c, nil, hint)
		switch {
		case a != nil:
			e.Code, e.Description = line("error", 60), cmp.Or(line("error_description", 300), line("message", 300))
		case len(text) > 0 || status < 300:
			kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
			e.Err = fmt.Errorf("the answer is %s, not JSON: a proxy or another server speaks here",
				safehttp.Line(secrets.Redact(cmp.Or(kind, "of no stated type")), 60))
		}
		return e
	}
	code, kind := claimText(a["error"]), line("token_type", 60)
	switch {
	case status == http.StatusProxyAuthRequired:
		return nil, says(permanent, safehttp.ProxyAdvice)
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly,
		code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		return nil, says(temporary, "")
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		return nil, says(permanent, "there is no token endpoint: "+s.wrongDomain())
	case a == nil:
		return nil, says(temporary, "")
	case status != http.StatusOK && status != http.StatusCreated, code != "":
		e := says(refused, "")
		e.Hint = s.advice(e, status)
		return nil, e
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
	return newGrant(token, start.Add(life), life, scopes, named), nil
}

// headerSafe reports whether token can stand in a header: visible ASCII.
func headerSafe(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
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

// unanswered sorts a request that got no answer.
func (s *Source) unanswered(err error) *FetchError {
	hint, final := safehttp.Advice(err)
	switch {
	case safehttp.NoSuchHost(err):
		hint = s.wrongDomain()
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %s", requestCap) // not the caller's deadline
	}
	c := temporary
	if final {
		c = permanent
	}
	return s.failure(c, err, hint)
}

// failure makes the error of a request, without secrets: the standard library
// quotes what a server sent.
func (s *Source) failure(c class, err error, hint string) *FetchError {
	if err != nil {
		if text := safehttp.Line(s.secrets().Redact(err.Error()), 500); text != err.Error() {
			err = errors.New(text)
		}
	}
	return &FetchError{Domain: s.config.Domain, Err: err, Hint: hint, class: c}
}

// secrets are the texts that no error may show.
func (s *Source) secrets() safehttp.Secrets {
	s.mu.Lock()
	defer s.mu.Unlock()
	secrets := safehttp.Secrets{s.secret()}
	if s.refused != nil {
		secrets.Add(s.refused.AccessToken())
	}
	if h := s.current.Load(); h != nil {
		secrets.Add(h.grant.AccessToken())
	}
	return secrets
}

// redirectError describes the redirect that resp answers req with.
func redirectError(req *http.Request, resp *http.Response, secrets safehttp.Secrets) *RedirectError {
	return &RedirectError{
		Method: req.Method, Status: resp.StatusCode, From: safehttp.Origin(req.URL),
		To: safehttp.RedirectTarget(req.URL, resp.Header.Get("Location"), secrets),
	}
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

// fetch asks Auth0, and again after temporary failures, unless the old token
// is still valid: then a later call does.
func (s *Source) fetch(f *fetch) (*held, *FetchError) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchCap)
	defer cancel()
	deadline, _ := ctx.Deadline()
	for attempt := 1; ; attempt++ {
		h, failure := s.request(ctx)
		if failure == nil {
			return h, nil
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
