package ledger

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file reads times as PostgreSQL 15 reads a timestamptz under its default
// DateStyle (ISO, MDY) and in UTC. The steps follow the manual's appendix B.1,
// "Date/Time Input Interpretation": cut the text into fields, then give each
// field its meaning from its form and from what is known already.

// ParseTime reads a time as leniently as the ledger's database does: RFC 3339,
// a space for the T, a date alone, "Jan 8 1999", "today", "infinity" and more
// [D]. A time without a zone is UTC. now is what the words refer to.
func ParseTime(s string, now time.Time) (Time, error) {
	t, _, err := parseTime(s, now)
	return t, err
}

// parseTime also tells whether the text named its zone.
func parseTime(s string, now time.Time) (t Time, zone bool, err error) {
	// The common form needs no interpretation.
	if len(s) == len("2006-01-02T15:04:05Z") && s[19] == 'Z' {
		if p, err := time.Parse(time.RFC3339, s); err == nil && p.Year() > 0 {
			return TimeOf(p), true, nil
		}
	}
	p := timeParser{now: now.UTC()}
	if err := p.read(s); err != nil {
		return 0, false, fmt.Errorf("%s is no time that PostgreSQL reads: %w", clip(strconv.AppendQuote(nil, s)), err)
	}
	t, err = p.result()
	if err != nil {
		return 0, false, fmt.Errorf("%s is no time that PostgreSQL reads: %w", clip(strconv.AppendQuote(nil, s)), err)
	}
	return t, p.have&hasZone != 0, nil
}

// timeFault is why a text is no time.
type timeFault string

func (f timeFault) Error() string { return string(f) }

const (
	badTime   timeFault = "invalid syntax"
	timeRange timeFault = "a field is out of range"
	badZone   timeFault = "time zone not known"
)

// fieldKind is the form of a piece of the text.
type fieldKind int

const (
	fieldNumber fieldKind = iota // digits, perhaps with a fraction
	fieldDate                    // digits and letters with - / or .
	fieldTime                    // digits with :
	fieldWord                    // letters
	fieldSigned                  // a sign and letters
	fieldZone                    // a sign and digits
)

type timeField struct {
	kind fieldKind
	text string
}

// What is known of a time so far.
const (
	hasYear = 1 << iota
	hasMonth
	hasDay
	hasHour
	hasMinute
	hasSecond
	hasZone
	hasDayOfYear
	hasSummer
	hasHalf // AM or PM
	hasEra
	hasWeekday
	hasWord

	hasDate = hasYear | hasMonth | hasDay
	hasTime = hasHour | hasMinute | hasSecond
)

type timeParser struct {
	now time.Time

	have                 int
	year, month, day     int
	dayOfYear            int
	hour, minute, second int
	micros               int
	zone                 int            // seconds east of Greenwich
	place                *time.Location // of a zone that is named by its place
	named                bool           // the zone was not an abbreviation
	textMonth, twoDigits bool
	julian               bool
	bc                   bool
	half                 string // "am" or "pm"
	word                 string // "infinity", "-infinity", "epoch"
	label                string // a unit that names the next field
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isPunct(c byte) bool { return c > ' ' && c < 127 && !isDigit(c) && !isAlpha(c) }

// timeFields cuts the text into fields.
func timeFields(s string) ([]timeField, error) {
	const most = 25 // fields, as in PostgreSQL
	var fields []timeField
	for i := 0; i < len(s); {
		start := i
		run := func(ok func(byte) bool) {
			for i < len(s) && ok(s[i]) {
				i++
			}
		}
		at := func(c byte) bool { return i < len(s) && s[i] == c }
		var kind fieldKind
		switch c := s[i]; {
		case isSpace(c):
			i++
			continue
		case isDigit(c):
			run(isDigit)
			switch {
			case at(':'):
				kind = fieldTime
				run(func(c byte) bool { return isDigit(c) || c == ':' || c == '.' })
			case at('-') || at('/') || at('.'):
				mark := s[i]
				i++
				if i < len(s) && isDigit(s[i]) {
					if mark == '.' {
						kind = fieldNumber
					} else {
						kind = fieldDate
					}
					run(isDigit)
					if at(mark) {
						kind = fieldDate
						run(func(c byte) bool { return isDigit(c) || c == mark })
					}
				} else {
					kind = fieldDate
					run(func(c byte) bool { return isDigit(c) || isAlpha(c) || c == mark })
				}
			default:
				kind = fieldNumber
			}
		case c == '.':
			kind = fieldNumber
			i++
			run(isDigit)
		case isAlpha(c):
			kind = fieldWord
			run(isAlpha)
			date := at('-') || at('/') || at('.')
			if at('+') || i < len(s) && isDigit(s[i]) {
				_, known := timeWords[cut(strings.ToLower(s[start:i]))]
				date = !known
			}
			if date {
				kind = fieldDate
				run(func(c byte) bool { return isDigit(c) || isAlpha(c) || strings.IndexByte("+-/_.:", c) >= 0 })
			}
		case c == '+' || c == '-':
			i++
			run(isSpace)
			switch {
			case i < len(s) && isDigit(s[i]):
				kind = fieldZone
				digits := i
				run(func(c byte) bool { return isDigit(c) || c == ':' || c == '.' || c == '-' })
				fields = append(fields, timeField{kind, string(c) + s[digits:i]})
				continue
			case i < len(s) && isAlpha(s[i]):
				kind = fieldSigned
				letters := i
				run(isAlpha)
				fields = append(fields, timeField{kind, string(c) + strings.ToLower(s[letters:i])})
				continue
			}
			return nil, badTime
		case isPunct(c):
			i++
			continue
		default:
			return nil, badTime
		}
		fields = append(fields, timeField{kind, strings.ToLower(s[start:i])})
		if len(fields) > most {
			return nil, badTime
		}
	}
	return fields, nil
}

// cut shortens a word to the ten letters that PostgreSQL looks at.
func cut(word string) string { return word[:min(len(word), 10)] }

// timeWords are the words with a meaning. Months and days may be cut to three
// letters; a few have other short forms.
var timeWords = func() map[string]string {
	words := map[string]string{
		"infinity": "infinity", "-infinity": "-infinity", "epoch": "epoch",
		"now": "now", "today": "today", "tomorrow": "tomorrow", "yesterday": "yesterday", "allballs": "zulu",
		"am": "half", "pm": "half", "ad": "era", "bc": "era", "at": "filler", "on": "filler", "dst": "summer",
		"t": "time", "y": "year", "m": "month", "d": "day", "h": "hour", "mm": "minute", "s": "second",
		"j": "julian", "jd": "julian", "julian": "julian",
		"dow": "unit", "doy": "unit", "isodow": "unit", "isoyear": "unit",
		"sept": "9", "tues": "weekday", "weds": "weekday", "thur": "weekday", "thurs": "weekday",
	}
	for m := time.January; m <= time.December; m++ {
		name := strings.ToLower(m.String())
		words[name], words[name[:3]] = strconv.Itoa(int(m)), strconv.Itoa(int(m))
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		name := strings.ToLower(d.String())
		words[name], words[name[:3]] = "weekday", "weekday"
	}
	return words
}()

// units are the words that say what the next field is.
var units = []string{"time", "year", "month", "day", "hour", "minute", "second", "julian", "unit"}

// set marks what has become known; nothing may become known twice.
func (p *timeParser) set(what int) error {
	if p.have&what != 0 {
		return badTime
	}
	p.have |= what
	return nil
}

func (p *timeParser) knows(what int) bool { return p.have&what == what }

func (p *timeParser) read(s string) error {
	fields, err := timeFields(s)
	if err != nil {
		return err
	}
	for i, f := range fields {
		switch f.kind {
		case fieldDate:
			err = p.date(f.text)
		case fieldTime:
			if p.label != "" && p.label != "time" {
				return badTime
			}
			p.label = ""
			err = p.clock(f.text)
		case fieldZone:
			if p.zone, err = zoneOffset(f.text); err == nil {
				err = p.set(hasZone)
			}
		case fieldNumber:
			err = p.number(f.text)
		default:
			err = p.meaning(f.text, fields[i+1:])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// date reads a field of a date's form, which may be a zone, or a time with a
// zone, once there is a date.
func (p *timeParser) date(text string) error {
	if p.label == "julian" {
		p.label = ""
		n := leadingDigits(text)
		value, err := strconv.Atoi(text[:n])
		if err != nil {
			return timeRange
		}
		p.setJulian(value)
		if p.zone, err = zoneOffset(text[n:]); err != nil {
			return err
		}
		return p.set(hasDate | hasTime | hasZone)
	}
	if p.label == "" && !p.knows(hasMonth|hasDay) {
		return p.calendar(text)
	}
	if p.label == "" && !isDigit(text[0]) {
		return p.namedZone(text)
	}
	if p.label != "" && p.label != "time" {
		return badTime
	}
	p.label = ""
	if p.knows(hasTime) {
		return badTime
	}
	dash := strings.IndexByte(text, '-')
	if dash < 0 {
		return badTime
	}
	offset, err := zoneOffset(text[dash:])
	if err != nil {
		return err
	}
	p.zone = offset
	what, err := p.runTogether(text[:dash], p.have)
	if err != nil {
		return err
	}
	return p.set(what | hasZone)
}

func leadingDigits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// calendar reads year, month and day with marks between them.
func (p *timeParser) calendar(text string) error {
	var parts []string
	for i := 0; i < len(text); {
		for i < len(text) && !isDigit(text[i]) && !isAlpha(text[i]) {
			i++
		}
		if i == len(text) {
			return badTime // it ends with a mark
		}
		start := i
		same := isDigit
		if isAlpha(text[i]) {
			same = isAlpha
		}
		for i < len(text) && same(text[i]) {
			i++
		}
		parts = append(parts, text[start:i])
		if i < len(text) && !isDigit(text[i]) && !isAlpha(text[i]) {
			i++ // the mark that ends the part
		} else if i < len(text) {
			// What follows at once is swallowed like a mark: "8jan" loses its j.
			i++
		}
	}
	// A month's name counts here only when it stands within the field.
	before := p.textMonth
	p.textMonth = false
	defer func() { p.textMonth = before }()
	known := p.have
	numbers := parts[:0:0]
	for _, part := range parts {
		if isDigit(part[0]) {
			numbers = append(numbers, part)
			continue
		}
		meaning := timeWords[cut(part)]
		month, err := strconv.Atoi(meaning)
		if err != nil || known&hasMonth != 0 {
			return badTime
		}
		p.month, p.textMonth = month, true
		known |= hasMonth
	}
	for _, part := range numbers {
		what, err := p.calendarNumber(part, known)
		if err != nil {
			return err
		}
		if known&what != 0 {
			return badTime
		}
		known |= what
	}
	if known&^(hasDayOfYear|hasZone) != hasDate {
		return badTime
	}
	return p.set(known &^ p.have)
}

// number reads a field of digits, perhaps with a fraction.
func (p *timeParser) number(text string) error {
	if p.label != "" {
		return p.labelled(text)
	}
	dot := strings.IndexByte(text, '.')
	var what int
	var err error
	switch {
	case dot >= 0 && p.have&hasDate == 0:
		return p.calendar(text)
	case dot > 2, len(text) >= 6 && (p.have&hasDate == 0 || p.have&hasTime == 0):
		what, err = p.runTogether(text, p.have)
	default:
		what, err = p.calendarNumber(text, p.have)
	}
	if err != nil {
		return err
	}
	return p.set(what)
}

// labelled reads the number after a unit, as in "y2001m02d04" or "J2451187".
func (p *timeParser) labelled(text string) error {
	label := p.label
	p.label, p.word = "", ""
	n := leadingDigits(text)
	value, err := strconv.ParseInt("0"+text[:n], 10, 32)
	if err != nil {
		return timeRange
	}
	rest := text[n:]
	if rest != "" && label != "julian" && label != "time" && label != "second" {
		return badTime
	}
	v := int(value)
	switch label {
	case "year":
		p.year = v
		return p.set(hasYear)
	case "month":
		if p.knows(hasMonth | hasHour) {
			p.minute = v
			return p.set(hasMinute)
		}
		p.month = v
		return p.set(hasMonth)
	case "day":
		p.day = v
		return p.set(hasDay)
	case "hour":
		p.hour = v
		return p.set(hasHour)
	case "minute":
		p.minute = v
		return p.set(hasMinute)
	case "second":
		p.second = v
		if rest != "" {
			if p.micros, err = fraction(rest); err != nil {
				return err
			}
		}
		return p.set(hasSecond)
	case "julian":
		p.setJulian(v)
		if rest == "" {
			return p.set(hasDate)
		}
		part, err := strconv.ParseFloat("0"+rest, 64)
		if err != nil {
			return badTime
		}
		micros := int(part * float64(day))
		p.hour, p.minute, p.second, p.micros = micros/3600e6, micros/60e6%60, micros/1e6%60, micros%1e6
		return p.set(hasDate | hasTime)
	case "time":
		what, err := p.runTogether(text, p.have|hasDate)
		if err != nil {
			return err
		}
		if what != hasTime {
			return badTime
		}
		return p.set(what)
	}
	return badTime
}

// setJulian sets the date from a Julian day number (Richards 2013, in the
// Explanatory Supplement to the Astronomical Almanac, 15.11.3).
func (p *timeParser) setJulian(n int) {
	f := n + 1401 + (4*n+274277)/146097*3/4 - 38
	e := 4*f + 3
	h := 5*(e%1461/4) + 2
	p.day = h%153/5 + 1
	p.month = (h/153+2)%12 + 1
	p.year = e/1461 - 4716 + (14-p.month)/12
	p.julian = true
}

// calendarNumber gives a number of a date its meaning from what is known, and
// returns what it was.
func (p *timeParser) calendarNumber(text string, known int) (what int, err error) {
	n := leadingDigits(text)
	if n == 0 {
		return 0, badTime
	}
	value, err := strconv.ParseInt(text[:n], 10, 32)
	if err != nil {
		return 0, timeRange
	}
	v := int(value)
	if n < len(text) { // a fraction
		if n > 2 {
			return p.runTogether(text, known|hasDate)
		}
		if p.micros, err = fraction(text[n:]); err != nil {
			return 0, err
		}
	}
	size := len(text)
	if size == 3 && known&hasDate == hasYear && v >= 1 && v <= 366 {
		p.dayOfYear = v
		return hasDayOfYear | hasMonth | hasDay, nil
	}
	switch known & hasDate {
	case 0:
		what = hasMonth
		if size >= 3 {
			what = hasYear
		}
	case hasYear, hasDay:
		what = hasMonth
	case hasMonth:
		what = hasDay
		if p.textMonth && size >= 3 {
			what = hasYear
		}
	case hasYear | hasMonth:
		what = hasDay
		if p.textMonth && size >= 3 && p.twoDigits {
			// The first number was the day after all.
			p.day, p.year, p.twoDigits = p.year, v, false
			return hasDay, nil
		}
	case hasMonth | hasDay:
		what = hasYear
	case hasDate:
		return p.runTogether(text, known)
	default:
		return 0, badTime
	}
	switch what {
	case hasYear:
		p.year, p.twoDigits = v, size <= 2
	case hasMonth:
		p.month = v
	case hasDay:
		p.day = v
	}
	return what, nil
}

// runTogether reads a date without marks (20240131) or a time (235959, 2359).
func (p *timeParser) runTogether(text string, known int) (what int, err error) {
	if dot := strings.IndexByte(text, '.'); dot >= 0 {
		n := leadingDigits(text[dot+1:])
		part, _ := strconv.ParseFloat("0"+text[dot:dot+1+n], 64)
		p.micros = int(math.RoundToEven(part * 1e6))
		text = text[:dot]
	} else if known&hasDate != hasDate && len(text) >= 6 {
		n := len(text)
		p.day, _ = strconv.Atoi(text[n-2:])
		p.month, _ = strconv.Atoi(text[n-4 : n-2])
		year, err := strconv.ParseInt(text[:n-4], 10, 32)
		if err != nil {
			return 0, timeRange
		}
		p.year, p.twoDigits = int(year), n-4 == 2
		return hasDate, nil
	}
	if known&hasTime == hasTime || len(text) != 6 && len(text) != 4 {
		return 0, badTime
	}
	p.hour, _ = strconv.Atoi(text[:2])
	p.minute, _ = strconv.Atoi(text[2:4])
	p.second = 0
	if len(text) == 6 {
		p.second, _ = strconv.Atoi(text[4:])
	}
	return hasTime, nil
}

// clock reads hh:mm, hh:mm:ss or hh:mm:ss.ffffff.
func (p *timeParser) clock(text string) error {
	take := func() (int, error) {
		n := leadingDigits(text)
		v, err := strconv.ParseInt("0"+text[:n], 10, 32)
		text = text[n:]
		if err != nil {
			return 0, timeRange
		}
		return int(v), nil
	}
	var err error
	if p.hour, err = take(); err != nil {
		return err
	}
	text = text[1:] // the first colon, by the field's form
	if p.minute, err = take(); err != nil {
		return err
	}
	p.second, p.micros = 0, 0
	switch {
	case text == "":
	case text[0] == '.': // minutes and seconds
		p.hour, p.minute, p.second = 0, p.hour, p.minute
		if p.micros, err = fraction(text); err != nil {
			return err
		}
	case text[0] == ':':
		text = text[1:]
		if p.second, err = take(); err != nil {
			return err
		}
		if text != "" {
			if p.micros, err = fraction(text); err != nil {
				return err
			}
		}
	}
	if p.timeOverflows() {
		return timeRange
	}
	return p.set(hasTime)
}

// timeOverflows reports a time past 24:00:00; a second 60 counts on.
func (p *timeParser) timeOverflows() bool {
	return p.hour > 24 || p.minute > 59 || p.second > 60 || p.micros > 1e6 ||
		((p.hour*60+p.minute)*60+p.second)*1e6+p.micros > int(day)
}

// fraction reads a fraction of a second, rounded to microseconds.
func fraction(text string) (int, error) {
	if text[0] != '.' || leadingDigits(text[1:]) != len(text)-1 {
		return 0, badTime
	}
	v, _ := strconv.ParseFloat("0"+text, 64)
	return int(math.RoundToEven(v * 1e6)), nil
}

// zoneOffset reads +hh, +hhmm, +hh:mm or +hh:mm:ss into seconds east.
func zoneOffset(text string) (int, error) {
	if text == "" || text[0] != '+' && text[0] != '-' {
		return 0, badTime
	}
	rest := text[1:]
	take := func() (int, error) {
		n := leadingDigits(rest)
		v, err := strconv.ParseInt("0"+rest[:n], 10, 32)
		rest = rest[n:]
		if err != nil {
			return 0, timeRange
		}
		return int(v), nil
	}
	hours, err := take()
	if err != nil {
		return 0, err
	}
	minutes, seconds := 0, 0
	switch {
	case strings.HasPrefix(rest, ":"):
		rest = rest[1:]
		if minutes, err = take(); err != nil {
			return 0, err
		}
		if strings.HasPrefix(rest, ":") {
			rest = rest[1:]
			if seconds, err = take(); err != nil {
				return 0, err
			}
		}
	case rest == "" && len(text) > 3:
		hours, minutes = hours/100, hours%100
	}
	if hours > 15 || minutes > 59 || seconds > 59 {
		return 0, timeRange
	}
	if rest != "" {
		return 0, badTime
	}
	offset := (hours*60+minutes)*60 + seconds
	if text[0] == '-' {
		offset = -offset
	}
	return offset, nil
}

// meaning gives a word its meaning.
func (p *timeParser) meaning(word string, following []timeField) error {
	if minutes, ok := zoneNames[cut(word)]; ok {
		p.zone = minutes * 60
		return p.set(hasZone)
	}
	what := timeWords[cut(word)]
	switch what {
	case "filler":
		return nil
	case "infinity", "-infinity", "epoch":
		// It wins over a date beside it, unless a word for a day follows.
		p.word = what
		return p.set(hasWord)
	case "now":
		p.word = ""
		p.setDay(p.now)
		p.hour, p.minute, p.second = p.now.Clock()
		p.micros = p.now.Nanosecond() / 1000
		return p.set(hasDate | hasTime | hasZone)
	case "today":
		p.word = ""
		p.setDay(p.now)
		return p.set(hasDate)
	case "tomorrow":
		p.word = ""
		p.setDay(p.now.AddDate(0, 0, 1))
		return p.set(hasDate)
	case "yesterday":
		p.word = ""
		p.setDay(p.now.AddDate(0, 0, -1))
		return p.set(hasDate)
	case "zulu":
		p.word = ""
		p.hour, p.minute, p.second, p.zone = 0, 0, 0, 0
		return p.set(hasTime | hasZone)
	case "half":
		p.half = word
		return p.set(hasHalf)
	case "era":
		p.bc = word == "bc"
		return p.set(hasEra)
	case "weekday":
		return p.set(hasWeekday)
	case "summer":
		p.zone += 3600
		return p.set(hasSummer)
	case "":
		return p.namedZone(word)
	}
	if month, err := strconv.Atoi(what); err == nil {
		// A number before it that was taken for the month was the day.
		became := hasMonth
		if p.knows(hasMonth) && !p.textMonth && !p.knows(hasDay) && p.month >= 1 && p.month <= 31 {
			p.day = p.month
			became = hasDay
		}
		p.textMonth, p.month = true, month
		return p.set(became)
	}
	if !slices.Contains(units, what) {
		return badTime
	}
	if what == "time" {
		ok := p.knows(hasDate) && len(following) > 0 &&
			(following[0].kind == fieldNumber || following[0].kind == fieldTime || following[0].kind == fieldDate)
		if !ok {
			return badTime
		}
	}
	p.label = what
	return nil
}

func (p *timeParser) setDay(t time.Time) {
	year, month, dayOfMonth := t.Date()
	p.year, p.month, p.day = year, int(month), dayOfMonth
}

// namedZone reads the name of a place ("America/New_York") or an offset with a
// name of its own, see posixZone.
func (p *timeParser) namedZone(name string) error {
	p.named = true
	// Places are spelled with capitals after each mark.
	place := []byte(name)
	for i := range place {
		if isAlpha(place[i]) && (i == 0 || !isAlpha(place[i-1])) {
			place[i] -= 'a' - 'A'
		}
	}
	for _, spelling := range []string{string(place), strings.ToUpper(name)} {
		if strings.Contains(spelling, "..") || spelling == "LOCAL" || spelling == "Local" {
			continue
		}
		if location, err := time.LoadLocation(spelling); err == nil {
			p.place = location
			return p.set(hasZone)
		}
	}
	offset, ok := posixZone(name)
	if !ok {
		return badZone
	}
	p.zone = offset
	return p.set(hasZone)
}

// posixZone reads a zone of POSIX's form, such as UTC+3 or EST5EDT: a name, an
// offset west of Greenwich, and perhaps the same for summer. Summer time is
// not applied.
func posixZone(text string) (seconds int, ok bool) {
	isName := func(c byte) bool { return !isDigit(c) && c != ',' && c != '+' && c != '-' }
	name := func() bool {
		n := 0
		for n < len(text) && isName(text[n]) {
			n++
		}
		text = text[n:]
		return n > 0
	}
	offset := func() (total int, ok bool) {
		sign := -1
		if text != "" && (text[0] == '+' || text[0] == '-') {
			if text[0] == '-' {
				sign = 1
			}
			text = text[1:]
		}
		for i, unit := range [...]struct{ most, seconds int }{{167, 3600}, {59, 60}, {60, 1}} {
			if i > 0 {
				if text == "" || text[0] != ':' {
					break
				}
				text = text[1:]
			}
			n := leadingDigits(text)
			v, err := strconv.Atoi(text[:n])
			if err != nil || v > unit.most {
				return 0, false
			}
			text = text[n:]
			total += v * unit.seconds
		}
		return sign * total, true
	}
	if !name() {
		return 0, false
	}
	if seconds, ok = offset(); !ok {
		return 0, false
	}
	if name() && text != "" {
		if _, ok := offset(); !ok {
			return 0, false
		}
	}
	return seconds, text == ""
}

// result checks the fields against each other and gives the time.
func (p *timeParser) result() (Time, error) {
	if p.have&hasYear != 0 && !p.julian {
		switch {
		case p.bc:
			if p.year <= 0 {
				return 0, timeRange
			}
			p.year = 1 - p.year
		case p.twoDigits && p.year < 70:
			p.year += 2000
		case p.twoDigits && p.year < 100:
			p.year += 1900
		case p.year <= 0:
			return 0, timeRange
		}
	}
	if p.have&hasDayOfYear != 0 {
		p.setDay(time.Date(p.year, 1, p.dayOfYear, 0, 0, 0, 0, time.UTC))
	}
	if p.have&hasMonth != 0 && (p.month < 1 || p.month > 12) || p.have&hasDay != 0 && (p.day < 1 || p.day > 31) {
		return 0, timeRange
	}
	if p.knows(hasDate) && p.day > time.Date(p.year, time.Month(p.month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return 0, timeRange
	}
	if p.half != "" {
		if p.hour > 12 {
			return 0, timeRange
		}
		p.hour %= 12
		if p.half == "pm" {
			p.hour += 12
		}
	}
	switch p.word {
	case "infinity":
		return Forever, nil
	case "-infinity":
		return Always, nil
	case "epoch":
		return -pgEpoch * 1e6, nil
	}
	if !p.knows(hasDate) || p.have&hasSummer != 0 && (p.named || p.have&hasZone == 0) {
		return 0, badTime
	}
	if p.year > 300000 {
		return 0, timeRange
	}
	location := p.place
	if location == nil {
		location = time.FixedZone("", p.zone)
	}
	at := time.Date(p.year, time.Month(p.month), p.day, p.hour, p.minute, p.second, 0, location)
	seconds := at.Unix() - pgEpoch
	if seconds < int64(firstTime/1e6)-1 || seconds > int64(afterTime/1e6) {
		return 0, timeRange
	}
	t := Time(seconds*1e6 + int64(p.micros))
	if t < firstTime || t >= afterTime {
		return 0, timeRange
	}
	return t, nil
}

// zoneNames are the abbreviations that PostgreSQL knows by default, in minutes
// east of Greenwich.
var zoneNames = func() map[string]int {
	const table = `
acdt 630 acsst 630 acst 570 act -300 acwst 525 adt -180 aedt 660 aesst 660 aest 600 aft 270 akdt -480 akst
-540 almst 420 almt 360 amst 240 amt -240 anast 720 anat 720 arst -180 art -180 ast -240 awsst 540 awst 480
azost 0 azot -60 azst 240 azt 240 bdst 120 bdt 360 bnt 480 bort 480 bot -240 bra -180 brst -120 brt -180 bst
60 btt 360 cadt 630 cast 570 cct 480 cdt -300 cest 120 cet 60 cetdst 120 chadt 825 chast 765 chut 600 ckt -600
clst -180 clt -180 cot -300 cst -360 cxt 420 davt 420 ddut 600 easst -300 east -300 eat 180 edt -240 eest 180
eet 120 eetdst 180 egst 0 egt -60 est -300 fet 180 fjst 780 fjt 720 fkst -180 fkt -180 fnst -60 fnt -120 galt
-360 gamt -540 gest 240 get 240 gft -180 gilt 720 gmt 0 gyt -240 hkt 480 hst -600 ict 420 idt 180 iot 360
irkst 480 irkt 480 irt 210 ist 120 jayt 540 jst 540 kdt 600 kgst 360 kgt 360 kost 660 krast 420 krat 420 kst
540 lhdt 660 lhst 630 ligt 600 lint 840 lkt 330 magst 660 magt 660 mart -570 mawt 300 mdt -360 mest 120 mesz
120 met 60 metdst 120 mez 60 mht 720 mmt 390 mpt 600 msd 240 msk 180 mst -420 must 300 mut 240 mvt 300 myt 480
ndt -150 nft -210 novst 420 novt 420 npt 345 nst -210 nut -660 nzdt 780 nzst 720 nzt 720 omsst 360 omst 360
pdt -420 pet -300 petst 720 pett 720 pgt 600 pht 480 pkst 360 pkt 300 pmdt -120 pmst -180 pont 660 pst -480
pwt 540 pyst -180 pyt -180 ret 240 sadt 630 sast 120 sct 240 sgt 480 taht -600 tft 300 tjt 300 tkt 780 tmt 300
tot 780 trut 600 tvt 720 uct 0 ulast 540 ulat 480 ut 0 utc 0 uyst -120 uyt -180 uzst 360 uzt 300 vet -240
vlast 600 vlat 600 volt 180 vut 660 wadt 480 wakt 720 wast 420 wat 60 wdt 540 wet 0 wetdst 60 wft 720 wgst
-120 wgt -180 xjt 360 yakst 540 yakt 540 yapt 600 yekst 360 yekt 300 z 0 zulu 0`
	names := make(map[string]int)
	words := strings.Fields(table)
	for i := 0; i < len(words); i += 2 {
		names[words[i]], _ = strconv.Atoi(words[i+1])
	}
	return names
}()
