package authn

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/meti-go/meti/internal/safehttp"
)

// Quota is one allowance of tokens, or of token requests, that Auth0 told of.
type Quota struct {
	// Name is that of a bucket of the header Auth0-Client-Quota-Limit, such as
	// per_hour or per_day, which is sent where the tenant's owner has set a
	// token quota for this client; or "requests", for the x-ratelimit headers.
	Name      string    `json:"name"`
	Limit     int       `json:"limit"`
	Remaining int       `json:"remaining"`
	Reset     time.Time `json:"reset,omitzero"` // when there are more; zero where that was not told
}

// bucketName keeps a server from putting text of its choice into our output.
var bucketName = regexp.MustCompile(`^[a-z_]{1,24}$`)

// readQuota reads the quota headers of an answer that arrived at now, and how
// long to wait before the next request if this one failed: the longest of
// Retry-After and the resets of what is used up; 0 when no header says.
func readQuota(header http.Header, status int, now time.Time) (quota []Quota, wait time.Duration) {
	wait = safehttp.RetryAfter(header, now)
	add := func(q Quota, left time.Duration, over bool) {
		if left > 0 {
			q.Reset = now.Add(left)
		}
		if over {
			wait = max(wait, left)
		}
		quota = append(quota, q)
	}
	for _, text := range header.Values("Auth0-Client-Quota-Limit") {
		for part := range strings.SplitSeq(text, ",") {
			if q, left, ok := readBucket(part); ok && len(quota) < 16 {
				add(q, left, q.Remaining == 0)
			}
		}
	}
	limit, okLimit := headerInt(header, "X-Ratelimit-Limit")
	remaining, okRemaining := headerInt(header, "X-Ratelimit-Remaining")
	reset, okReset := headerInt(header, "X-Ratelimit-Reset")
	if okLimit || okRemaining || okReset {
		if reset >= 1e8 { // Auth0 sends seconds since 1970, others what is left
			reset -= safehttp.ServerTime(header, now).Unix()
		}
		// Every answer has these headers, whatever its status: the reset is a
		// reason to wait only where it says that nothing is left.
		over := status == http.StatusTooManyRequests || okRemaining && remaining == 0
		add(Quota{Name: "requests", Limit: int(limit), Remaining: int(remaining)}, safehttp.Seconds(reset), over)
	}
	return quota, wait
}

// readBucket reads "b=per_hour;q=10;r=7;t=3540": bucket, quota, remaining and
// seconds until the reset.
func readBucket(text string) (q Quota, left time.Duration, ok bool) {
	for field := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if key == "b" {
			q.Name = value
			continue
		}
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 0 {
			return Quota{}, 0, false
		}
		switch key {
		case "q":
			q.Limit = int(n)
		case "r":
			q.Remaining = int(n)
		case "t":
			left = safehttp.Seconds(n)
		}
	}
	return q, left, bucketName.MatchString(q.Name)
}

func headerInt(header http.Header, name string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(header.Get(name)), 10, 64)
	return max(n, 0), err == nil && n >= 0
}
