package authn

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Quota is what Auth0's latest answer said of how many tokens are left. The
// zero value means that it said nothing.
type Quota struct {
	// Buckets are those of the header Auth0-Client-Quota-Limit, which is sent
	// where the tenant's owner has set a token quota for this client.
	Buckets []QuotaBucket `json:"buckets,omitempty"`
	// RateLimit is that of the x-ratelimit headers, nil when there were none.
	RateLimit *RateLimit `json:"rate_limit,omitempty"`
	// Seen is when the answer arrived.
	Seen time.Time `json:"seen,omitzero"`
}

// QuotaBucket is one allowance of tokens.
type QuotaBucket struct {
	Name      string    `json:"name"`      // per_hour, per_day
	Limit     int       `json:"limit"`     // tokens in a full bucket
	Remaining int       `json:"remaining"` // tokens left
	Reset     time.Time `json:"reset"`     // when the bucket is full again
}

// RateLimit says how many more requests the token endpoint takes.
type RateLimit struct {
	Limit     int       `json:"limit"`          // requests in a full bucket
	Remaining int       `json:"remaining"`      // requests left
	Reset     time.Time `json:"reset,omitzero"` // when more are allowed
}

// readQuota reads the quota headers of an answer that arrived at now, and how
// long to wait before the next request if this answer was a refusal for
// asking too often: the longest of Retry-After, x-ratelimit-reset and the
// reset of every empty bucket; 0 when no header says.
func readQuota(header http.Header, now time.Time) (Quota, time.Duration) {
	// Absolute times are the server's: they are read against its own clock.
	server := now
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		server = date
	}
	quota := Quota{Seen: now}
	wait := retryAfter(header.Get("Retry-After"), server)

	for _, text := range header.Values("Auth0-Client-Quota-Limit") {
		for part := range strings.SplitSeq(text, ",") {
			bucket, left, ok := readBucket(part, now)
			if !ok || len(quota.Buckets) == 16 {
				continue
			}
			quota.Buckets = append(quota.Buckets, bucket)
			if bucket.Remaining <= 0 {
				wait = max(wait, left)
			}
		}
	}

	limit, okLimit := headerInt(header, "X-Ratelimit-Limit")
	remaining, okRemaining := headerInt(header, "X-Ratelimit-Remaining")
	reset, okReset := headerInt(header, "X-Ratelimit-Reset")
	if okLimit || okRemaining || okReset {
		rate := &RateLimit{Limit: int(limit), Remaining: int(remaining)}
		if okReset {
			left := seconds(reset)
			if reset >= 1e8 { // Auth0 sends the epoch, others what is left
				left = seconds(reset - server.Unix())
			}
			rate.Reset = now.Add(left)
			wait = max(wait, left)
		}
		quota.RateLimit = rate
	}
	return quota, wait
}

// readBucket reads "b=per_hour;q=10;r=7;t=3540": bucket, quota, remaining and
// seconds until the reset.
func readBucket(text string, now time.Time) (bucket QuotaBucket, left time.Duration, ok bool) {
	for field := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if key == "b" {
			bucket.Name = value
			continue
		}
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 0 {
			return QuotaBucket{}, 0, false
		}
		switch key {
		case "q":
			bucket.Limit = int(n)
		case "r":
			bucket.Remaining = int(n)
		case "t":
			left = seconds(n)
		}
	}
	bucket.Reset = now.Add(left)
	return bucket, left, bucketName(bucket.Name)
}

// bucketName keeps a server from putting text of its choice into our output.
func bucketName(name string) bool {
	if name == "" || len(name) > 24 {
		return false
	}
	for _, r := range name {
		if !('a' <= r && r <= 'z' || r == '_') {
			return false
		}
	}
	return true
}

func headerInt(header http.Header, name string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(header.Get(name)), 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	return n, true
}

// retryAfter reads a Retry-After header, in seconds or as a date (RFC 9110).
func retryAfter(text string, server time.Time) time.Duration {
	if text == "" {
		return 0
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
		return seconds(n)
	}
	if date, err := http.ParseTime(text); err == nil {
		return min(max(0, date.Sub(server)), maxLife)
	}
	return 0
}

// maxLife bounds every number of seconds that a server names, so that none
// can overflow a Duration.
const maxLife = 10 * 365 * 24 * time.Hour

func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(maxLife/time.Second))) * time.Second
}
