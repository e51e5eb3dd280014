package ledger

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Time is an instant as PostgreSQL keeps it: microseconds since 2000-01-01
// UTC, from 4713 BC to 294276, and the two infinities. Times compare with <.
// It fits an integer column as it is.
type Time int64

// The two ends of all time, written "infinity" and "-infinity".
const (
	Forever Time = math.MaxInt64
	Always  Time = math.MinInt64
)

// The first instant that a timestamp can hold, and the first that it cannot.
const (
	firstTime Time = -211813488000000000
	afterTime Time = 9223371331200000000
)

// pgEpoch is 2000-01-01 in seconds of Unix time.
const pgEpoch = 946684800

const day Time = 24 * 60 * 60 * 1e6

// TimeOf converts t, dropping what is finer than a microsecond.
func TimeOf(t time.Time) Time {
	return Time((t.Unix()-pgEpoch)*1e6 + int64(t.Nanosecond())/1000)
}

// IsFinite reports whether t is neither of the infinities.
func (t Time) IsFinite() bool { return t != Forever && t != Always }

// Std converts t to a [time.Time] in UTC. The infinities become the first and
// the last instant that a timestamp can hold.
func (t Time) Std() time.Time {
	switch t {
	case Forever:
		t = afterTime - 1
	case Always:
		t = firstTime
	}
	seconds, micros := int64(t)/1e6, int64(t)%1e6
	return time.Unix(seconds+pgEpoch, micros*1000).UTC()
}

// String gives RFC 3339 in UTC with as many digits as are needed, or
// "infinity" or "-infinity". Years past 9999 have five digits or six, and
// years before 1 are written as astronomers do (0000 is 1 BC).
func (t Time) String() string {
	switch t {
	case Forever:
		return "infinity"
	case Always:
		return "-infinity"
	}
	return t.Std().Format("2006-01-02T15:04:05.999999Z07:00")
}

// MarshalJSON writes what [Time.String] gives.
func (t Time) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads a string as [ParseTime] does.
func (t *Time) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("a time must be a string: %w", err)
	}
	parsed, err := ParseTime(s, time.Now())
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// Period is the range of time [Start, End) that a source is registered for.
type Period struct {
	Start Time `json:"start_at"`
	End   Time `json:"end_at"`
}

// Overlaps reports whether the two ranges share an instant. [Start, End)
// holds its start but not its end, so one that ends when the other starts
// does not overlap it.
func (p Period) Overlaps(q Period) bool {
	return p.Start < q.End && q.Start < p.End && p.Start < p.End && q.Start < q.End
}
