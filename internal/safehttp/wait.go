package safehttp

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxWait bounds every number of seconds that a server names, so that none can
// overflow a Duration: ten years.
const MaxWait = 10 * 365 * 24 * time.Hour

// Seconds is n seconds, between 0 and [MaxWait].
func Seconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(MaxWait/time.Second))) * time.Second
}

// ServerTime is the server's own time, by an answer's Date, and now where it
// does not say. Times that a server names count from there, so that a clock
// which is wrong here does no harm.
func ServerTime(header http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		return date
	}
	return now
}

// RetryAfter reads the Retry-After header (RFC 9110, section 10.2.3), seconds
// or a date. Zero means that nothing was asked.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if n, err := strconv.ParseInt(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return Seconds(n)
	}
	if date, err := http.ParseTime(text); err == nil {
		return min(max(0, date.Sub(ServerTime(header, now))), MaxWait)
	}
	return 0
}
