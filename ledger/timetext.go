package ledger

import (
	"fmt"
	"time"
)

// ParseTime reads a time as PostgreSQL reads a timestamptz in a session that is
// set to UTC.
func ParseTime(s string, now time.Time) (Time, error) {
	t, _, err := parseTime(s, now)
	return t, err
}

func parseTime(s string, now time.Time) (t Time, zone bool, err error) {
	p, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, false, fmt.Errorf("%q is no time", s)
	}
	return TimeOf(p), true, nil
}
