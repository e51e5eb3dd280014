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

// bucket matches one bucket: its name, limit, what remains, and the seconds
// until its reset.
var bucket = regexp.MustCompile(`\bb=([a-z_]{1,24});\s*q=(\d{1,9});\s*r=(\d{1,9});\s*t=(\d{1,9})\b`)

// readQuota reads the quota headers of an answer that arrived at now, and how
// long to wait before the next request if this one failed: the longest of
// Retry-After and the resets of what is used up; 0 when no header says.
func readQuota(header http.Header, status int, now time.Time) (quota []Quota, wait time.Duration) {
	wait = safehttp.RetryAfter(header, now)
	add := func(name string, limit, remaining int64, left time.Duration, usedUp bool) {
		q := Quota{Name: name, Limit: int(limit), Remaining: int(remaining)}
		if left > 0 {
			q.Reset = now.Add(left)
		}
		if limit >= 0 && remaining >= 0 {
			quota = append(quota, q)
		}
		if usedUp {
			wait = max(wait, left)
		}
	}
	buckets := strings.Join(header.Values("Auth0-Client-Quota-Limit"), ",")
	for _, b := range bucket.FindAllStringSubmatch(buckets, 16) {
		remaining := number(b[3])
		add(b[1], number(b[2]), remaining, safehttp.Seconds(number(b[4])), remaining == 0)
	}
	remaining, reset := number(header.Get("X-Ratelimit-Remaining")), number(header.Get("X-Ratelimit-Reset"))
	if reset >= 1e8 { // Auth0 sends seconds since 1970, others what is left
		reset -= safehttp.ServerTime(header, now).Unix()
	}
	// Every answer has these headers, whatever its status: the reset is a
	// reason to wait only where it says that nothing is left.
	add("requests", number(header.Get("X-Ratelimit-Limit")), remaining, safehttp.Seconds(reset), status == http.StatusTooManyRequests || remaining == 0)
	return quota, wait
}

// number reads a number that is not negative; -1 if text is none.
func number(text string) int64 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}
