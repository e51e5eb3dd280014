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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/internal/safehttp"
)

const (
	fetchCap    = 30 * time.Second // of one fetch, repeats and waits included
	requestCap  = 10 * time.Second // of one request, for a server that hangs must not use up the fetch
	maxAnswer   = 1 << 20          // bytes that are read of an answer
	unknownLife = time.Hour        // of a token that says nothing of its end [A]; if it ends earlier, a 401 tells
)

// fetch asks Auth0, and again after temporary failures, unless the old token
// is still valid: then a later call does.
func (s *Source) fetch() (*Grant, *FetchError) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchCap)
	defer cancel()
	defer s.attempt.Store(nil)
	deadline, _ := ctx.Deadline()
	for attempt := 1; ; attempt++ {
		g, failure := s.request(ctx)
		if failure == nil {
			return g, nil
		}
		failure.Attempts = attempt
		wait := failure.RetryAfter
		if wait == 0 {
			wait = 500 * time.Millisecond << (attempt - 1)
			if failure.Status == http.StatusTooManyRequests {
				wait *= 10
			}
			wait -= rand.N(wait / 2)
		}
		if !failure.Temporary() || s.valid(s.current.Load()) || wait >= time.Until(deadline) {
			return nil, failure
		}
		s.attempt.Store(failure)
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
	sent, _ := json.Marshal(body) // strings can always be written
	ctx, cancel := context.WithTimeout(ctx, requestCap)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.Domain+tokenPath, bytes.NewReader(sent))
	if err != nil {
		return nil, s.unanswered(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"meti-go"}}
	start := s.now()
	// The transport is used bare: an http.Client would follow redirects.
	resp, err := s.config.Transport.RoundTrip(req)
	if err != nil {
		return nil, s.unanswered(err)
	}
	defer resp.Body.Close()
	e, failure := s.judge(req, resp)
	if failure != nil {
		return nil, failure
	}
	e.Expiry = start.Add(e.life())
	return newGrant(*e, s.now()), nil
}

// unanswered sorts a request that got no answer.
func (s *Source) unanswered(err error) *FetchError {
	hint, final := safehttp.Advice(err, s.wrongDomain())
	if errors.Is(err, context.DeadlineExceeded) { // not the caller's
		err = fmt.Errorf("no answer within %s", requestCap)
	}
	e := &FetchError{Domain: s.config.Domain, Hint: hint, Err: s.secrets().Clean(err), class: temporary}
	if final {
		e.class = permanent
	}
	return e
}

// judge takes the token from an answer, or says why there is none.
func (s *Source) judge(req *http.Request, resp *http.Response) (*entry, *FetchError) {
	status, wrongDomain := resp.StatusCode, s.wrongDomain()
	now := time.Now()
	quota, wait := readQuota(resp.Header, status, now)
	answer, broken := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	said, _ := safehttp.JSON(answer).(map[string]any)
	token, _ := said["access_token"].(string)
	code, kind := safehttp.Text(said["error"]), safehttp.Text(said["token_type"])
	secrets := s.secrets(token)
	e := &FetchError{
		Domain: s.config.Domain, Status: status, Code: secrets.Line(code, 60),
		Description: secrets.Line(cmp.Or(safehttp.Text(said["error_description"]), safehttp.Text(said["message"])), 300),
	}
	var foreign error
	if said == nil && (len(answer) > 0 || status < 300) {
		contentType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		foreign = fmt.Errorf("the answer is %s, not JSON: a proxy or another server speaks here", cmp.Or(contentType, "of no stated type"))
	}
	is := func(statuses ...int) bool { return slices.Contains(statuses, status) }
	for _, rule := range []struct {
		applies bool
		class   class
		hint    string
		err     error
	}{
		{safehttp.Redirects(status), permanent, wrongDomain, &RedirectError{req.Method, status, s.config.Domain,
			safehttp.RedirectTarget(req.URL, resp.Header.Get("Location"), secrets)}},
		{broken != nil, temporary, "", broken},
		{len(answer) > maxAnswer, permanent, wrongDomain, fmt.Errorf("the answer has more than %d bytes", maxAnswer)},
		{is(407), permanent, safehttp.ProxyAdvice, foreign},
		{is(408, 425, 429) || status >= 500, temporary, "", foreign},
		{is(404, 405, 410), permanent, "there is no token endpoint: " + wrongDomain, foreign},
		{said == nil, temporary, "", foreign},
		{slices.Contains([]string{"temporarily_unavailable", "server_error", "slow_down"}, code), temporary, "", nil},
		{code != "" || !is(200, 201), refused, s.advice(e), nil},
		{token == "", permanent, wrongDomain, errors.New("the answer has no access_token")},
		{kind != "" && !strings.EqualFold(kind, "Bearer"), permanent, "", fmt.Errorf("the answer has a token of type %q, not Bearer", kind)},
		{!headerSafe(token), permanent, "", errors.New("the answer has an access_token that cannot stand in a header")},
	} {
		if !rule.applies {
			continue
		}
		if e.class, e.Hint, e.Err = rule.class, rule.hint, secrets.Clean(rule.err); e.Temporary() {
			e.RetryAfter = wait
		}
		return nil, e
	}
	scopes, named := list(said["scope"]), said["scope"] != nil
	if !named {
		scopes = s.config.Scopes
	}
	life := lifetime(safehttp.Text(said["expires_in"]), token, safehttp.ServerTime(resp.Header, now))
	return &entry{oauth2.Token{AccessToken: token, TokenType: "Bearer", ExpiresIn: life}, scopes, named, quota}, nil
}

// advice says what to do about a refusal. The descriptions are Auth0's.
func (s *Source) advice(e *FetchError) string {
	about, name := strings.ToLower(e.Description), s.config.name
	switch {
	case strings.Contains(about, "service not") || strings.Contains(about, "audience"):
		return "the audience is unknown there: check " + name("Audience") + ", and " + name("Domain") + " (wrong domain?)"
	case strings.Contains(about, "scope") || e.Code == "invalid_scope":
		return "ask your Auth0 administrator for the scopes"
	case strings.Contains(about, "not authorized"):
		return "ask your Auth0 administrator to authorize this client for the audience"
	case slices.Contains([]string{"invalid_client", "unauthorized_client", "access_denied"}, e.Code) || e.Status == http.StatusUnauthorized:
		return "check " + name("ClientID") + " and " + name("ClientSecret") + ", and " + name("Domain") + " (wrong domain?)"
	}
	return ""
}

func (s *Source) wrongDomain() string { return "wrong domain? check " + s.config.name("Domain") }

// lifetime is how many seconds a token lives: expires_in, or until its own exp
// where that is missing. now is the server's.
func lifetime(expiresIn, token string, now time.Time) int64 {
	n, err := strconv.ParseFloat(strings.TrimSpace(expiresIn), 64)
	if math.IsNaN(n) || err != nil && !math.IsInf(n, 1) {
		n = unknownLife.Seconds()
		if claims, _ := ParseUnverifiedClaims(token); !claims.ExpiresAt.IsZero() {
			n = claims.ExpiresAt.Sub(now).Seconds()
		}
	}
	return int64(min(max(n, 0), safehttp.MaxWait.Seconds()))
}

// bucket matches what is told of one allowance: its name, limit, what remains,
// and when it is reset.
var bucket = regexp.MustCompile(`\bb=([a-z_]{1,24});\s*q=(\d{1,9});\s*r=(\d{1,9});\s*t=(\d{1,10})\b`)

// readQuota reads the quota headers of an answer that arrived at now, and how
// long to wait before the next request if this one failed: the longest of
// Retry-After and the resets of what is used up; 0 when no header says.
func readQuota(header http.Header, status int, now time.Time) (quota []Quota, wait time.Duration) {
	wait = safehttp.RetryAfter(header, now)
	// Every answer has these headers, whatever its status: the reset is a
	// reason to wait only where it says that nothing is left.
	remaining := header.Get("X-Ratelimit-Remaining")
	if status == http.StatusTooManyRequests {
		remaining = "0"
	}
	requests := fmt.Sprintf("b=requests;q=%s;r=%s;t=%s", cmp.Or(header.Get("X-Ratelimit-Limit"), "0"), remaining, header.Get("X-Ratelimit-Reset"))
	buckets := strings.Join(header.Values("Auth0-Client-Quota-Limit"), ",") + "," + requests
	for _, b := range bucket.FindAllStringSubmatch(buckets, 16) {
		limit, _ := strconv.Atoi(b[2])
		remaining, _ := strconv.Atoi(b[3])
		reset, _ := strconv.ParseInt(b[4], 10, 64)
		if reset >= 1e8 { // Auth0 sends seconds since 1970, others what is left
			reset -= safehttp.ServerTime(header, now).Unix()
		}
		left := safehttp.Seconds(reset)
		if remaining == 0 {
			wait = max(wait, left)
		}
		quota = append(quota, Quota{b[1], limit, remaining, now.Add(left)})
	}
	return quota, wait
}
