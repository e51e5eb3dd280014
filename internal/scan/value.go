package scan

import (
	"encoding/json"
	"hash/maphash"
	"math"
)

// The functions of this file read the value of a member into its field. They
// report whether it fits: a value of another type that says the same (a number
// for a text, a text for a number) is read, null empties the field, and for all
// else the field is emptied and the value left to [Rest], which keeps it. So one
// member that nobody expected makes nothing unreadable.
//
// Where the JSON is broken or cut short the Decoder knows, and what they report
// means nothing.

// Text reads a string, or the digits of a number.
func Text[T ~string](d *Decoder, to *T) (fits bool) {
	value, fits := d.text()
	*to = T(d.intern(value))
	return fits
}

// Bool reads true or false.
func Bool(d *Decoder, to *bool) (fits bool) {
	switch *to = d.buf[d.i] == 't'; {
	case *to:
		return d.word("true")
	case d.buf[d.i] == 'f':
		return d.word("false")
	}
	return d.null()
}

// Float reads a number, or a text that holds one.
func Float[T ~float64](d *Decoder, to *T) (fits bool) {
	*to = 0
	text, fits := d.text()
	if text == nil {
		return fits
	}
	value, end, fits := Number(text, 0)
	if fits = fits && end == len(text); fits {
		*to = T(value)
	}
	return fits
}

// Int reads a whole number, which 2026.0 is too, or a text that holds one.
func Int(d *Decoder, to *int) (fits bool) {
	var value float64
	fits = Float(d, &value)
	if *to = int(value); value != math.Trunc(value) || math.Abs(value) >= 1<<53 {
		*to, fits = 0, false
	}
	return fits
}

// Texts reads a list of strings.
func Texts[T ~string](d *Decoder, to *[]T) (fits bool) {
	if *to = nil; d.buf[d.i] != '[' {
		return d.null()
	}
	list := []T{}
	for first := true; d.next(first, '[', ']', "a list"); first = false {
		value, fits := d.text()
		if !fits {
			return false
		}
		list = append(list, T(d.intern(value)))
	}
	*to = list
	return true
}

// Raw keeps a copy of a value's text, whatever it is, but null.
func Raw(d *Decoder, to *json.RawMessage) (fits bool) {
	if *to = nil; !d.null() {
		*to = append(*to, d.raw()...)
	}
	return true
}

// JSON reads what encoding/json reads into a type, best one that has an
// UnmarshalJSON.
func JSON[T any](d *Decoder, to *T) (fits bool) {
	if *to = *new(T); d.null() {
		return true
	}
	text := d.raw()
	if d.failed {
		return false
	}
	var err error
	if own, is := any(to).(json.Unmarshaler); is {
		err = own.UnmarshalJSON(text)
	} else {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		*to = *new(T)
	}
	return err == nil
}

// Pointer reads a value by one of the other functions, to a place that the field
// then points to, or to nil.
func Pointer[T any](d *Decoder, field **T, place *T, read func(*Decoder, *T) bool) (fits bool) {
	*field = nil
	if d.null() {
		return true
	}
	if fits = read(d, place); fits {
		*field = place
	}
	return fits
}

// Rest is called behind each member, with what has no field of its own: it keeps
// the value that does not fit, and forgets an earlier one of a name that does.
func Rest(d *Decoder, fits bool, to *map[string]json.RawMessage) {
	switch {
	case d.failed:
	case fits && len(*to) > 0:
		if delete(*to, d.keys.names[d.index]); len(*to) == 0 {
			*to = nil
		}
	case !fits:
		name := d.intern(d.name)
		if d.index >= 0 {
			name = d.keys.names[d.index]
		}
		if *to == nil {
			*to = map[string]json.RawMessage{}
		}
		d.i = d.value
		(*to)[name] = append(json.RawMessage(nil), d.raw()...)
	}
}

// raw reads a value of any kind. Its bytes are good until more is read.
func (d *Decoder) raw() []byte {
	start := d.i
	d.to(skipValue(d.buf, start, valueDepth))
	return d.buf[start:d.i]
}

// null reads null, if it is what begins next.
func (d *Decoder) null() bool {
	if d.buf[d.i] != 'n' {
		return false
	}
	d.word("null")
	return true
}

// text reads a string, or a number as it is written; nil if there is neither. Its
// bytes are good until more is read.
func (d *Decoder) text() (value []byte, fits bool) {
	start := d.i
	switch c := d.buf[start]; {
	case c == '"':
		end, plain, ok := skipText(d.buf, start)
		if !d.to(end, ok) {
			return nil, false
		}
		if plain {
			return d.buf[start+1 : end-1], true
		}
		return unquote(d.buf[start:end]), true
	case c == '-' || c-'0' <= 9:
		if !d.to(skipNumber(d.buf, start)) {
			return nil, false
		}
		return d.buf[start:d.i], true
	}
	return nil, d.null()
}

var hashSeed = maphash.MakeSeed()

// intern gives a text as a string, the same one where it came before: the names
// of countries, methodologies and accounts come with every source.
func (d *Decoder) intern(value []byte) string {
	if len(d.known) == 0 || len(value) > 64 {
		return string(value)
	}
	known := &d.known[maphash.Bytes(hashSeed, value)%uint64(len(d.known))]
	if *known != string(value) {
		*known = string(value)
	}
	return *known
}
