package ledger

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Time is an instant as METI's database keeps it: microseconds since
// 2000-01-01 UTC. Times compare with <. It fits an integer column as it is.
type Time int64

// pgEpoch is 2000-01-01 in seconds of Unix time.
const pgEpoch = 946684800

const day Time = 24 * 60 * 60 * 1e6

// TimeOf converts t, dropping what is finer than a microsecond.
func TimeOf(t time.Time) Time {
	return Time((t.Unix()-pgEpoch)*1e6 + int64(t.Nanosecond())/1000)
}

// Std converts t to a [time.Time] in UTC.
func (t Time) Std() time.Time {
	seconds, micros := int64(t)/1e6, int64(t)%1e6
	return time.Unix(seconds+pgEpoch, micros*1000).UTC()
}

// String gives RFC 3339 in UTC with as many digits as are needed.
func (t Time) String() string { return t.Std().Format("2006-01-02T15:04:05.999999Z07:00") }

// MarshalText writes what [Time.String] gives.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what [ParseTime] does.
func (t *Time) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTime(string(text))
	return err
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

// TimeError says why a text is no time, and what to write in its place. It
// guesses nothing: where day and month can be taken for each other, the advice
// names both readings.
type TimeError struct {
	Text   string
	Why    string // as in "is not ISO 8601"
	Advice string
}

func (e *TimeError) Error() string { return e.about() + ": " + e.Advice }

func (e *TimeError) about() string { return clip(strconv.AppendQuote(nil, e.Text)) + " " + e.Why }

// ParseTime reads a time as ISO 8601 writes it: a date, or a date and a time
// with "T" or a space between them, with a fraction of the second or without
// one. A time without a zone, and a date, are UTC. Each is read as METI's
// database reads it, which takes other forms too. The error is a [*TimeError].
func ParseTime(s string) (Time, error) {
	t, _, err := parseTime(s)
	return t, err
}

var isoForm = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?([Zz]|[+-]\d\d(?::?\d\d)?)?)?$`)

// parseTime also tells whether the text named its zone.
func parseTime(s string) (t Time, zone bool, err error) {
	if len(s) == len("2006-01-02T15:04:05Z") { // nearly all are written so
		if p, err := time.Parse(time.RFC3339, s); err == nil && p.Year() > 0 {
			return TimeOf(p), true, nil
		}
	}
	form := isoForm.FindStringSubmatch(s)
	if form == nil {
		return 0, false, notISO(s)
	}
	number := func(text string) int {
		n, _ := strconv.Atoi(text)
		return n
	}
	date, ok := calendar(number(form[1]), number(form[2]), number(form[3]))
	hour, minute, second := number(form[4]), number(form[5]), number(form[6])
	micros := 0
	if form[7] != "" {
		fraction, _ := strconv.ParseFloat(form[7], 64)
		micros = int(math.RoundToEven(fraction * 1e6))
	}
	// 24:00:00 is the end of a day; a second 60 counts on.
	inDay := Time(((hour*60+minute)*60+second)*1e6 + micros)
	var offset int
	if text := strings.ReplaceAll(form[8], ":", ""); len(text) >= 3 {
		hours, minutes := number(text[1:3]), number(text[3:])
		ok = ok && hours <= 15 && minutes <= 59
		if offset = (hours*60 + minutes) * 60; text[0] == '-' {
			offset = -offset
		}
	}
	if !ok || minute > 59 || second > 60 || inDay > day {
		return 0, false, &TimeError{s, "is a day, a time or a zone that there is not", "write one that there is"}
	}
	return TimeOf(date) + inDay - Time(offset)*1e6, form[8] != "", nil
}

// calendar gives a day; ok is false where there is none.
func calendar(year, month, dayOfMonth int) (date time.Time, ok bool) {
	date = time.Date(year, time.Month(month), dayOfMonth, 0, 0, 0, 0, time.UTC)
	return date, year > 0 && date.Year() == year && int(date.Month()) == month && date.Day() == dayOfMonth
}

var (
	epochForm      = regexp.MustCompile(`^(\d{10}|\d{13})(?:\.\d*)?$`)
	yearFirst      = regexp.MustCompile(`^(\d{4})[-/.]?(\d\d?)[-/.]?(\d\d?)(?:\D.*)?$`)
	yearLast       = regexp.MustCompile(`^(\d\d?)[-/.](\d\d?)[-/.](\d{4})(?:\D.*)?$`)
	timeForExample = "write a date such as 2024-01-31, or a time such as 2024-01-31T00:00:00Z"
)

// notISO says what a text that is not ISO 8601 may mean.
func notISO(s string) error {
	if form := epochForm.FindStringSubmatch(s); form != nil {
		n, _ := strconv.ParseInt(form[1], 10, 64)
		at, unit := time.Unix(n, 0), "seconds"
		if len(form[1]) == 13 {
			at, unit = time.UnixMilli(n), "milliseconds"
		}
		return &TimeError{s, "is an epoch, a number of " + unit + " since 1970", "write it as " + TimeOf(at).String()}
	}
	var readings []string
	read := func(year, month, day string) {
		y, _ := strconv.Atoi(year)
		m, _ := strconv.Atoi(month)
		d, _ := strconv.Atoi(day)
		if date, ok := calendar(y, m, d); ok && (readings == nil || m != d) {
			readings = append(readings, date.Format(time.DateOnly))
		}
	}
	if form := yearFirst.FindStringSubmatch(s); form != nil {
		read(form[1], form[2], form[3])
	} else if form := yearLast.FindStringSubmatch(s); form != nil {
		read(form[3], form[2], form[1])
		read(form[3], form[1], form[2])
	}
	switch len(readings) {
	case 1:
		return &TimeError{s, "is not ISO 8601", "write it as " + readings[0]}
	case 2:
		return &TimeError{s, "may be " + readings[0] + " or " + readings[1], "write the one that is meant"}
	}
	return &TimeError{s, "is not ISO 8601", timeForExample}
}
