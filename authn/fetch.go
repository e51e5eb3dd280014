package authn

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// attemptCap is how long one token request may take: a server that hangs
	// must not use up the whole fetch.
	attemptCap = 10 * time.Second
	// maxAnswer is the most that is read of an answer, in bytes.
	maxAnswer = 1 << 20
)

// fetch asks Auth0, and again after temporary failures.
func (s *Source) fetch(ctx context.Context, f *flight) (*Grant, *FetchError) {
	left := s.config.MaxWait
	pause := sync.OnceFunc(func() { close(f.paused) })
	for attempt := 1; ; attempt++ {
		g, quota, err := s.asker.ask(ctx, s.secretTokens())
		if quota != nil {
			s.quota.Store(quota)
		}
		if err == nil {
			return g, nil
		}
		err.Attempts = attempt
		if !err.Temporary() {
			return nil, err
		}
		wait := err.Wait
		switch {
		case wait > 0:
		case err.kind == rateLimited: // and no reset named: be slow
			wait = 5 * time.Second << (attempt - 1)
		default:
			wait = backoff(attempt)
		}
		deadline, _ := ctx.Deadline()
		if wait > left || wait >= time.Until(deadline) {
			if err.Wait > 0 {
				err.Hint = fmt.Sprintf("longer than the %s that are left for waiting", left.Round(time.Second))
			}
			return nil, err
		}
		left -= wait
		f.last.Store(err)
		if err.Wait > 0 {
			pause()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

// backoff is the delay after that many attempts: half a second, doubled each
// time up to eight, less a random part of up to a half.
func backoff(attempt int) time.Duration {
	d := min(8*time.Second, 500*time.Millisecond<<min(attempt-1, 10))
	return d - rand.N(d/2)
}

// secretTokens returns the tokens that no error may show.
func (s *Source) secretTokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var tokens []string
	if s.refused != nil {
		tokens = append(tokens, s.refused.AccessToken())
	}
	if h := s.current.Load(); h != nil {
		tokens = append(tokens, h.grant.AccessToken())
	}
	return tokens
}

// asker makes token requests.
type asker struct {
	domain    string
	scopes    []string
	transport http.RoundTripper
	secret    func() (body []byte, secret string) // a func, so that nothing prints it
}

func newAsker(c Config) *asker {
	request := map[string]string{
		"client_id":     c.ClientID,
		"client_secret": string(c.ClientSecret),
		"audience":      c.Audience,
		"grant_type":    "client_credentials",
	}
	if len(c.Scopes) > 0 {
		request["scope"] = strings.Join(c.Scopes, " ")
	}
	body, _ := json.Marshal(request) // strings always marshal
	secret := string(c.ClientSecret)
	return &asker{
		domain:    c.Domain,
		scopes:    c.Scopes,
		transport: c.Transport,
		secret:    func() ([]byte, string) { return body, secret },
	}
}

// answer is what the token endpoint says, good or bad.
type answer map[string]json.RawMessage

// text returns a member that is a string, and "" for any other.
func (a answer) text(name string) string {
	var s string
	if json.Unmarshal(a[name], &s) != nil {
		return ""
	}
	return s
}

// ask makes one token request. Errors show neither the client secret nor one
// of the tokens.
func (a *asker) ask(ctx context.Context, tokens []string) (*Grant, *Quota, *FetchError) {
	ctx, cancel := context.WithTimeout(ctx, attemptCap)
	defer cancel()
	body, secret := a.secret()
	clean := func(text string, limit int) string {
		return printable(scrub(text, append(tokens, secret)...), limit)
	}

	// The transport is used bare, without an http.Client around it: so there
	// is nothing that could follow a redirect or keep a cookie.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.domain+tokenPath, bytes.NewReader(body))
	if err != nil {
		return nil, nil, a.failed(permanent, errors.New("the domain makes no URL"))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "meti-go")
	start := time.Now()
	resp, err := a.transport.RoundTrip(req) //nolint:bodyclose // closed below; the closures hide it
	if err != nil {
		return nil, nil, a.broken(err, clean)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))

	quota, wait := readQuota(resp.Header, time.Now())
	fail := func(k kind, cause error, hint string) (*Grant, *Quota, *FetchError) {
		e := a.failed(k, cause)
		e.Status, e.Hint = resp.StatusCode, hint
		if e.Temporary() && wait > 0 {
			e.Wait, e.RetryAt = wait, time.Now().Add(wait)
		}
		return nil, &quota, e
	}
	switch {
	case redirects(resp.StatusCode):
		return fail(permanent, redirectError(req, resp, append(tokens, secret)...), "wrong domain? check AUTH0_DOMAIN")
	case err != nil:
		return fail(temporary, clearError(err, clean), "")
	case len(text) > maxAnswer:
		return fail(permanent, fmt.Errorf("the answer has more than %d bytes", maxAnswer), "wrong domain? check AUTH0_DOMAIN")
	}

	var ans answer
	isJSON := json.Unmarshal(text, &ans) == nil && ans != nil
	tokens = append(tokens, ans.text("access_token"))
	// refused is for answers that are none: what they say, or that they are
	// not JSON.
	refused := func(k kind, hint string) (*Grant, *Quota, *FetchError) {
		if !isJSON {
			return fail(k, fmt.Errorf("the answer is %s, not JSON: a proxy or another server speaks here", clean(contentType(resp.Header), 60)), hint)
		}
		g, q, e := fail(k, nil, hint)
		e.Code = clean(claimText(ans["error"]), 60)
		e.Description = clean(cmp.Or(claimText(ans["error_description"]), claimText(ans["message"])), 300)
		if hint == "" && k == permanent {
			e.Hint = advice(e)
		}
		return g, q, e
	}
	code, token, tokenType := claimText(ans["error"]), ans.text("access_token"), ans.text("token_type")
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests:
		return refused(rateLimited, "")
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly,
		code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		return refused(temporary, "")
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		return refused(permanent, "there is no token endpoint: wrong domain? check AUTH0_DOMAIN")
	case !isJSON:
		return refused(temporary, "")
	case status != http.StatusOK && status != http.StatusCreated, code != "":
		return refused(permanent, "")
	case token == "":
		return fail(permanent, errors.New("the answer has no access_token"), "wrong domain? check AUTH0_DOMAIN")
	case tokenType != "" && !strings.EqualFold(tokenType, "Bearer"):
		return fail(permanent, fmt.Errorf("the answer has a token of type %q, not Bearer", clean(tokenType, 60)), "")
	case !headerSafe(token):
		return fail(permanent, errors.New("the answer has an access_token that cannot stand in a header"), "")
	}

	scopes, named := a.scopes, false
	if given := ans["scope"]; len(given) > 0 && (given[0] == '"' || given[0] == '[') {
		scopes, named = claimList(given), true
	}
	return newGrant(token, start, lifetime(ans["expires_in"]), scopes, named, quota), &quota, nil
}

// headerSafe reports whether token is visible ASCII.
func headerSafe(token string) bool {
	return !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func (a *asker) failed(k kind, err error) *FetchError {
	return &FetchError{Domain: a.domain, Err: err, kind: k}
}

// broken sorts a request that got no answer.
func (a *asker) broken(err error, clean func(string, int) string) *FetchError {
	k, hint := temporary, ""
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		dns         *net.DNSError
	)
	switch {
	case errors.As(err, &certificate), errors.As(err, &record):
		k, hint = permanent, "the TLS connection cannot be trusted: wrong domain, or a proxy whose certificate this machine does not know?"
	case errors.As(err, &dns) && dns.IsNotFound:
		hint = "wrong domain? check AUTH0_DOMAIN"
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %s", attemptCap) // not the caller's deadline
	}
	e := a.failed(k, clearError(err, clean))
	e.Hint = hint
	return e
}

// clearError returns err, or its cleaned text alone where that differs: the
// standard library quotes what a server sent.
func clearError(err error, clean func(string, int) string) error {
	if text := clean(err.Error(), 500); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// redirects reports whether an http.Client would follow an answer of status.
func redirects(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// redirectError describes the redirect that resp answers req with, by its
// origins alone: what follows the host in a Location can hold anything.
func redirectError(req *http.Request, resp *http.Response, secrets ...string) *RedirectError {
	e := &RedirectError{Method: req.Method, Status: resp.StatusCode, From: req.URL.Scheme + "://" + req.URL.Host}
	// A secret is taken out before the parser can cut it into parts.
	if location := scrub(resp.Header.Get("Location"), secrets...); location != "" {
		if to, err := req.URL.Parse(location); err == nil {
			e.To = printable(to.Scheme+"://"+to.Host, 300)
		}
	}
	return e
}

// lifetime reads expires_in: a number, or a number in a string. Everything
// else, and everything below one second, is no usable lifetime.
func lifetime(raw json.RawMessage) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(claimText(raw)), 64)
	if math.IsInf(n, 1) {
		n, err = math.MaxInt64, nil
	}
	if err != nil || math.IsNaN(n) || n <= 0 {
		return 0
	}
	return seconds(int64(min(n, maxLife.Seconds())))
}

func contentType(header http.Header) string {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || kind == "" {
		return "of no stated type"
	}
	return kind
}

// advice says what to do about a refusal. The descriptions are Auth0's.
func advice(e *FetchError) string {
	about := strings.ToLower(e.Description)
	switch {
	case strings.Contains(about, "service not") || strings.Contains(about, "audience"):
		return "the audience is unknown there: check AUTH0_AUDIENCE, and AUTH0_DOMAIN (wrong domain?)"
	case strings.Contains(about, "scope") || e.Code == "invalid_scope":
		return "ask your Auth0 administrator for the scopes"
	case strings.Contains(about, "not authorized"):
		return "ask your Auth0 administrator to authorize this client for the audience"
	case e.Code == "invalid_client" || e.Code == "unauthorized_client" || e.Code == "access_denied" || e.Status == http.StatusUnauthorized:
		return "check METI_CLIENT_ID and METI_CLIENT_SECRET, and AUTH0_DOMAIN (wrong domain?)"
	}
	return ""
}
