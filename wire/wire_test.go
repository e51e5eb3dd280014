package wire_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/meti-go/meti/wire"
)

func TestTimeIsReadLenientlyAndWrittenStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-31T12:30:45Z":             "2026-01-31T12:30:45Z",
		"2026-01-31T12:30:45.120Z":         "2026-01-31T12:30:45.12Z",
		"2026-01-31T12:30:45.123456+02:00": "2026-01-31T10:30:45.123456Z",
		"2026-01-31T23:30:45-0530":         "2026-02-01T05:00:45Z",
		"2026-01-31T12:30:45+02":           "2026-01-31T10:30:45Z",
		"2026-01-31T12:30:45":              "2026-01-31T12:30:45Z",
		"2026-01-31T12:30:45.5":            "2026-01-31T12:30:45.5Z",
		"2026-01-31 12:30:45":              "2026-01-31T12:30:45Z",
		"2026-01-31 12:30:45.25+00":        "2026-01-31T12:30:45.25Z",
		"2026-01-31 12:30:45+01:00":        "2026-01-31T11:30:45Z",
		"2026-01-31T12:30":                 "2026-01-31T12:30:00Z",
		"2026-01-31T12:30Z":                "2026-01-31T12:30:00Z",
		"2026-01-31":                       "2026-01-31T00:00:00Z",
		// No dates: kept as they came.
		"infinity":             "infinity",
		"2026-02-30T00:00:00Z": "2026-02-30T00:00:00Z",
		"31.01.2026":           "31.01.2026",
		" 2026-01-31":          " 2026-01-31",
		`"`:                    `"`,
	} {
		var got wire.Time
		quoted, _ := json.Marshal(text)
		if err := json.Unmarshal(quoted, &got); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		wantJSON, _ := json.Marshal(want)
		if written, err := json.Marshal(got); err != nil || string(written) != string(wantJSON) {
			t.Errorf("%q is written %s, %v", text, written, err)
		}
		if got.String() != want {
			t.Errorf("%q is printed %q", text, got)
		}
		_, err := wire.ParseTime(text)
		if (err != nil) != (got.Text() != "") || got.Text() != "" && (got.Text() != text || !got.IsZero()) {
			t.Errorf("%q: ParseTime says %v, and Text is %q", text, err, got.Text())
		}
		if got.Text() == "" && got.Location() != time.UTC {
			t.Errorf("%q is in %v", text, got.Location())
		}
	}
	if got := wire.Date(2026, time.January, 31); got.String() != "2026-01-31T00:00:00Z" {
		t.Errorf("Date is %v", got)
	}
}

func TestTimeRefuses(t *testing.T) {
	for _, text := range []string{`1767225600`, `true`, `{}`, `["2026-01-31"]`} {
		var got wire.Time
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s is read as %v", text, got)
		}
	}
	before := wire.Date(2026, 1, 31)
	after := before
	if err := json.Unmarshal([]byte("null"), &after); err != nil || after != before {
		t.Errorf("null makes %v, %v", after, err)
	}
	for _, year := range []int{-1, 10_000} {
		if text, err := json.Marshal(wire.Date(year, 1, 1)); err == nil {
			t.Errorf("year %d is written %s", year, text)
		}
	}
}

// FuzzTime expects what is read to be written so that it is read as the same.
func FuzzTime(f *testing.F) {
	for _, text := range []string{"2026-01-31T12:30:45.123456789+02:00", "2026-01-31", "infinity", "", "0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59-12:00", "2026-01-31T24:00:00Z", "2026-01-31T1:00:00Z", "2026-01-31T12:30:45,5Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := wire.TimeFromText(text)
		if again := wire.TimeFromBytes([]byte(text)); again != got {
			t.Errorf("%q is %v, and from bytes %v", text, got, again)
		}
		written, err := json.Marshal(got)
		if err != nil || !utf8.ValidString(text) {
			return // a year that RFC 3339 does not have
		}
		var back wire.Time
		if err := json.Unmarshal(written, &back); err != nil || !back.Equal(got.Time) || back.Text() != got.Text() {
			t.Errorf("%q is written %s, and read as %v, %v", text, written, back, err)
		}
	})
}

func TestHectares(t *testing.T) {
	for text, want := range map[string]wire.Hectares{
		`41.142643914938`:                  41.142643914938,
		`0`:                                0,
		`1e3`:                              1000,
		`"41.142643914938ha (101.67ac)"`:   41.142643914938,
		`"41.142643914938 ha (101.67 ac)"`: 41.142643914938,
		`" 12.5 "`:                         12.5,
		`"12.5\u0068a"`:                    12.5,
	} {
		var got wire.Hectares
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{`""`, `"ha"`, `"101.67ac"`, `"NaN"`, `"Inf"`, `"-Infinity ha"`, `1e999`, `"1e999"`, `true`, `{}`, `[1]`} {
		got := wire.Hectares(7)
		if err := json.Unmarshal([]byte(text), &got); err == nil || got != 7 {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	got := wire.Hectares(7)
	if err := json.Unmarshal([]byte("null"), &got); err != nil || got != 7 {
		t.Errorf("null makes %v, %v", got, err)
	}
}

// FuzzHectares expects a number that JSON has, or an error.
func FuzzHectares(f *testing.F) {
	for _, text := range []string{"41.142643914938ha (101.67ac)", "0x1p-2", "1_000", "nan", "-0", "1e-400"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := wire.ParseHectares(text)
		if err != nil {
			return
		}
		written, err := json.Marshal(got)
		var back wire.Hectares
		if err != nil || math.IsNaN(float64(got)) || json.Unmarshal(written, &back) != nil || back != got {
			t.Errorf("%q is %v, written %s and read as %v, %v", text, got, written, back, err)
		}
	})
}

// A text that is no date survives every way of writing and reading a Time, and
// is forgotten when another is read into it.
func TestTimeKeepsItsText(t *testing.T) {
	for _, kept := range []wire.Time{wire.TimeFromText("infinity"), wire.Date(2026, time.January, 1)} {
		text, err := kept.MarshalText()
		if string(text) != kept.String() || err != nil {
			t.Errorf("%s, %v", text, err)
		}
		read := wire.TimeFromText("-infinity")
		if err := read.UnmarshalText(text); err != nil || read != kept {
			t.Error(read, err)
		}
		if text, err := read.MarshalJSON(); string(text) != `"`+kept.String()+`"` || err != nil {
			t.Errorf("%s, %v", text, err)
		}
		var b bytes.Buffer
		read = wire.TimeFromText("-infinity")
		if err := errors.Join(gob.NewEncoder(&b).Encode(kept), gob.NewDecoder(&b).Decode(&read)); err != nil || read != kept {
			t.Error(read, err)
		}
		binary, err := kept.MarshalBinary()
		read = wire.TimeFromText("-infinity")
		if err := errors.Join(err, read.UnmarshalBinary(binary)); err != nil || read != kept {
			t.Error(read, err)
		}
	}
}
