package ledger

import (
	"errors"
	"math"
	"regexp"
	"slices"
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

// ParseTime reads a date or a time as ISO 8601 writes it: a date, or a date and a
// time with "T" or a space between them, with a fraction of the second or without
// one. A time without a zone, and a date, are UTC. Each is read as METI's database
// reads it, which takes other forms too. The error says what to write in its place,
// and guesses nothing: where day and month can be taken for each other, it names
// both readings.
func ParseTime(s string) (Time, error) {
	t, _, wrong := parseTime(s)
	if wrong != nil {
		return 0, errors.New(wrong.about + ": " + wrong.advice)
	}
	return t, nil
}

// notTime says why a text is no time, and what to write.
type notTime struct{ about, advice string }

func noTime(s, why, advice string) *notTime {
	return &notTime{clip(strconv.Quote(s)) + " " + why, advice}
}

var isoForm = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(?:([Zz])|([+-]\d\d)(?::?(\d\d))?)?)?$`)

// parseTime also tells whether the text named its zone.
func parseTime(s string) (t Time, zone bool, wrong *notTime) {
	form := isoForm.FindStringSubmatch(s)
	if form == nil {
		return 0, false, notISO(s)
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(form[i])
		return n
	}
	date, err := time.Parse(time.DateOnly, form[1])
	minute, second, offsetHours, offsetMinutes := number(3), number(4), number(7), number(8)
	fraction, _ := strconv.ParseFloat("0"+form[5], 64)
	// 24:00:00 is the end of a day; a second 60 counts on.
	inDay := Time((number(2)*60+minute)*60+second)*1e6 + Time(math.RoundToEven(fraction*1e6))
	if err != nil || date.Year() == 0 || minute > 59 || second > 60 || inDay > day || max(offsetHours, -offsetHours) > 15 || offsetMinutes > 59 {
		return 0, false, noTime(s, "is a day, a time or a zone that there is not", "write one that there is")
	}
	if strings.HasPrefix(form[7], "-") {
		offsetMinutes = -offsetMinutes
	}
	return TimeOf(date) + inDay - Time(offsetHours*60+offsetMinutes)*60e6, form[6]+form[7] != "", nil
}

var (
	epochForm = regexp.MustCompile(`^(\d{10}|\d{13})(?:\.\d*)?$`)
	yearFirst = regexp.MustCompile(`^(\d{4})[-/.]?(\d\d?)[-/.]?(\d\d?)(?:\D.*)?$`)
	yearLast  = regexp.MustCompile(`^(\d\d?)[-/.](\d\d?)[-/.](\d{4})(?:\D.*)?$`)
)

// notISO says what a text that is not ISO 8601 may mean.
func notISO(s string) *notTime {
	if form := epochForm.FindStringSubmatch(s); form != nil {
		n, _ := strconv.ParseInt(form[1], 10, 64)
		at, unit := time.Unix(n, 0), "seconds"
		if len(form[1]) == 13 {
			at, unit = time.UnixMilli(n), "milliseconds"
		}
		return noTime(s, "is an epoch, a number of "+unit+" since 1970", "write it as "+TimeOf(at).String())
	}
	var readings []string
	read := func(year, month, day string) {
		date, err := time.Parse("2006-1-2", year+"-"+month+"-"+day)
		if text := date.Format(time.DateOnly); err == nil && date.Year() > 0 && !slices.Contains(readings, text) {
			readings = append(readings, text)
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
		return noTime(s, "is not ISO 8601", "write it as "+readings[0])
	case 2:
		return noTime(s, "may be "+readings[0]+" or "+readings[1], "write the one that is meant")
	}
	return noTime(s, "is not ISO 8601", isoTime)
}
