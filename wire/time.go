package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// Time is a date and time as METI answers it: with or without a zone, a
// fraction or a time of day. Without a zone it is UTC.
//
// It is written as RFC 3339 in UTC. A text that is no date at all, such as the
// "infinity" that the ledger's database accepts, is kept and written again as
// it came; the Time is then zero and [Time.Text] holds it.
type Time struct {
	time.Time
	text string // what was received, where it is not a date
}

// Date is the start of a day in UTC: a short way to write a period's ends.
func Date(year int, month time.Month, day int) Time {
	return Time{Time: time.Date(year, month, day, 0, 0, 0, 0, time.UTC)}
}

// layouts are tried in turn; each also reads a fraction of a second.
var layouts = [...]string{
	time.RFC3339,
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05Z07",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05Z07",
	"2006-01-02T15:04",
	time.DateOnly,
}

// ParseTime reads one date, in any of the forms that Time reads.
func ParseTime(text string) (Time, error) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return Time{Time: t.UTC()}, nil
		}
	}
	return Time{}, fmt.Errorf("wire: %q is not a date such as 2026-01-31T00:00:00Z", text)
}

// TimeFromText is ParseTime for answers: a text that is no date is kept
// instead of refused.
func TimeFromText(text string) Time {
	t, err := ParseTime(text)
	if err != nil && text != "" {
		t.text = text
	}
	return t
}

// TimeFromBytes is TimeFromText for a text that is not a string yet.
func TimeFromBytes(text []byte) Time {
	var t time.Time
	if t.UnmarshalText(text) == nil {
		return Time{Time: t.UTC()}
	}
	return TimeFromText(string(text))
}

// Text is the received text where it is not a date, and empty otherwise.
func (t Time) Text() string { return t.text }

// UnmarshalJSON reads a JSON string. null leaves the Time as it is.
func (t *Time) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	if n := len(data) - 1; n > 0 && data[0] == '"' && bytes.IndexByte(data[1:], '"') == n-1 && bytes.IndexByte(data, '\\') < 0 && utf8.Valid(data) {
		*t = TimeFromBytes(data[1:n])
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("wire: a date is a text such as 2026-01-31, not %.40s", data)
	}
	*t = TimeFromText(text)
	return nil
}

// MarshalJSON writes RFC 3339 in UTC, with as many digits of a second as there
// are, or the received text where it is not a date.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.text != "" {
		return json.Marshal(t.text)
	}
	utc := t.UTC()
	if year := utc.Year(); year < 0 || year > 9999 {
		return nil, fmt.Errorf("wire: RFC 3339 has no year %d", year)
	}
	return utc.AppendFormat(nil, `"`+time.RFC3339Nano+`"`), nil
}

// String is the date as it is written.
func (t Time) String() string {
	if t.text != "" {
		return t.text
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// What follows stands before the methods of the time.Time inside, which know
// nothing of a text that is no date: every way of writing a Time writes the same.

// AppendText appends what [Time.MarshalText] returns.
func (t Time) AppendText(b []byte) ([]byte, error) {
	text, err := t.MarshalText()
	return append(b, text...), err
}

// MarshalText writes as MarshalJSON does, without the quotes.
func (t Time) MarshalText() ([]byte, error) {
	if t.text != "" {
		return []byte(t.text), nil
	}
	text, err := t.MarshalJSON()
	return bytes.Trim(text, `"`), err
}

// UnmarshalText reads as UnmarshalJSON does.
func (t *Time) UnmarshalText(text []byte) error { *t = TimeFromText(string(text)); return nil }

// AppendBinary appends the text.
func (t Time) AppendBinary(b []byte) ([]byte, error) { return t.AppendText(b) }

// MarshalBinary writes the text.
func (t Time) MarshalBinary() ([]byte, error) { return t.MarshalText() }

// UnmarshalBinary reads the text.
func (t *Time) UnmarshalBinary(text []byte) error { return t.UnmarshalText(text) }

// GobEncode writes the text.
func (t Time) GobEncode() ([]byte, error) { return t.MarshalText() }

// GobDecode reads the text.
func (t *Time) GobDecode(text []byte) error { return t.UnmarshalText(text) }
