package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/meti-go/meti/wire"
)

// field is how one member of a source is read and written. A test holds the
// table below equal to gen.Source, and so to openapi.yaml.
type field struct {
	name string
	// read decodes the value at d.i, which is not null.
	read func(d *decoder, s *Source) bool
	// clear empties the field, for a null behind a value.
	clear func(s *Source)
	// append writes the value, or nothing where there is none.
	append func(to []byte, s *Source) ([]byte, error)
}

// fields are in the order in which they are written.
var fields = [...]field{
	textField("account_id", func(s *Source) **string { return &s.AccountID }),
	requiredField("alt_id", func(s *Source) *string { return &s.AltID }),
	listField("attribute_type", func(s *Source) *[]AttributeType { return &s.AttributeType }),
	boolField("conflict", func(s *Source) **bool { return &s.Conflict }),
	listField("conflict_with", func(s *Source) *[]SSID { return &s.ConflictWith }),
	listField("constituent_ssids", func(s *Source) *[]SSID { return &s.ConstituentSSIDs }),
	textField("country", func(s *Source) **string { return &s.Country }),
	optionalTimeField("created_at", func(s *Source) **wire.Time { return &s.CreatedAt }),
	textField("created_by", func(s *Source) **string { return &s.CreatedBy }),
	timeField("end_at", func(s *Source) *wire.Time { return &s.EndAt }),
	rawField("geojson", func(s *Source) *json.RawMessage { return &s.Geojson }),
	rawField("geometry", func(s *Source) *json.RawMessage { return &s.Geometry }),
	textField("geometry_source", func(s *Source) **GeometrySource { return &s.GeometrySource }),
	listField("h3_indexes", func(s *Source) *[]string { return &s.H3Indexes }),
	hectaresField("hectares", func(s *Source) **wire.Hectares { return &s.Hectares }),
	requiredField("id", func(s *Source) *string { return &s.ID }),
	textField("measurement_point_id", func(s *Source) **string { return &s.MeasurementPointID }),
	textField("methodology", func(s *Source) **Methodology { return &s.Methodology }),
	intField("outcome_reporting_year", func(s *Source) **int { return &s.OutcomeReportingYear }),
	textField("pa_designation", func(s *Source) **string { return &s.PaDesignation }),
	textField("pa_name", func(s *Source) **string { return &s.PaName }),
	floatField("percent_overlap", func(s *Source) **float64 { return &s.PercentOverlap }),
	textField("project_id", func(s *Source) **string { return &s.ProjectID }),
	textField("source_type", func(s *Source) **SourceType { return &s.SourceType }),
	timeField("start_at", func(s *Source) *wire.Time { return &s.StartAt }),
	textField("steward_id", func(s *Source) **string { return &s.StewardID }),
	listField("tags", func(s *Source) *[]string { return &s.Tags }),
	boolField("unep_overlap", func(s *Source) **bool { return &s.UNEPOverlap }),
	optionalTimeField("updated_at", func(s *Source) **wire.Time { return &s.UpdatedAt }),
	textField("updated_by", func(s *Source) **string { return &s.UpdatedBy }),
	textField("wdpaid", func(s *Source) **string { return &s.WDPAID }),
}

// requiredField is a text that each source has for itself.
func requiredField(name string, at func(*Source) *string) field {
	return field{
		name: name,
		read: func(d *decoder, s *Source) bool {
			value, ok := d.text()
			if ok {
				*at(s) = string(value)
			}
			return ok
		},
		clear:  func(s *Source) { *at(s) = "" },
		append: func(to []byte, s *Source) ([]byte, error) { return appendText(to, *at(s)), nil },
	}
}

func textField[T ~string](name string, at func(*Source) **T) field {
	return optional(name, at,
		func(d *decoder) (T, bool) {
			value, ok := d.text()
			if !ok {
				return "", false
			}
			return T(d.intern(value)), true
		},
		func(to []byte, value T) ([]byte, error) { return appendText(to, string(value)), nil })
}

func boolField(name string, at func(*Source) **bool) field {
	return optional(name, at,
		func(d *decoder) (value, ok bool) {
			switch d.buf[d.i] {
			case 't':
				d.i, ok = skipWord(d.buf, d.i, "true")
				return true, ok
			case 'f':
				d.i, ok = skipWord(d.buf, d.i, "false")
				return false, ok
			}
			return false, d.wrong("true or false")
		},
		func(to []byte, value bool) ([]byte, error) { return strconv.AppendBool(to, value), nil })
}

func intField(name string, at func(*Source) **int) field {
	return optional(name, at,
		func(d *decoder) (int, bool) {
			start := d.i
			value, ok := d.float("a whole number")
			// 2026.0 is one, too.
			if ok && (value != math.Trunc(value) || math.Abs(value) >= 1<<53) {
				d.i = start
				return 0, d.wrong("a whole number")
			}
			return int(value), ok
		},
		func(to []byte, value int) ([]byte, error) { return strconv.AppendInt(to, int64(value), 10), nil })
}

func floatField(name string, at func(*Source) **float64) field {
	return optional(name, at,
		func(d *decoder) (float64, bool) { return d.float("a number") },
		func(to []byte, value float64) ([]byte, error) { return appendFloat(to, value) })
}

func hectaresField(name string, at func(*Source) **wire.Hectares) field {
	return optional(name, at,
		func(d *decoder) (wire.Hectares, bool) {
			start := d.i
			if d.buf[d.i] != '"' {
				value, ok := d.float("an area in hectares")
				return wire.Hectares(value), ok
			}
			text, ok := d.text()
			if !ok {
				return 0, false
			}
			value, err := wire.ParseHectares(string(text))
			if err != nil {
				d.i = start
				return 0, d.wrong("an area in hectares")
			}
			return value, true
		},
		func(to []byte, value wire.Hectares) ([]byte, error) { return appendFloat(to, float64(value)) })
}

func timeField(name string, at func(*Source) *wire.Time) field {
	return field{
		name: name,
		read: func(d *decoder, s *Source) (ok bool) {
			*at(s), ok = d.time()
			return ok
		},
		clear: func(s *Source) { *at(s) = wire.Time{} },
		append: func(to []byte, s *Source) ([]byte, error) {
			if value := *at(s); value != (wire.Time{}) {
				return appendTime(to, value)
			}
			return to, nil
		},
	}
}

func optionalTimeField(name string, at func(*Source) **wire.Time) field {
	return optional(name, at, (*decoder).time, appendTime)
}

// rawField keeps a copy of the text.
func rawField(name string, at func(*Source) *json.RawMessage) field {
	return field{
		name: name,
		read: func(d *decoder, s *Source) (ok bool) {
			*at(s), ok = d.raw()
			return ok
		},
		clear: func(s *Source) { *at(s) = nil },
		append: func(to []byte, s *Source) ([]byte, error) {
			if *at(s) == nil {
				return to, nil
			}
			return appendRaw(to, *at(s))
		},
	}
}

func listField[T ~string](name string, at func(*Source) *[]T) field {
	return field{
		name: name,
		read: func(d *decoder, s *Source) bool {
			if !d.texts() {
				return false
			}
			list := room[T](d, len(d.list))
			for i, value := range d.list {
				list[i] = T(value)
			}
			*at(s) = list
			return true
		},
		clear: func(s *Source) { *at(s) = nil },
		append: func(to []byte, s *Source) ([]byte, error) {
			list := *at(s)
			if list == nil {
				return to, nil
			}
			to = append(to, '[')
			for i, value := range list {
				if i > 0 {
					to = append(to, ',')
				}
				to = appendText(to, string(value))
			}
			return append(to, ']'), nil
		},
	}
}

// optional is a field that is nil where METI does not tell.
func optional[T any](name string, at func(*Source) **T, read func(*decoder) (T, bool), write func([]byte, T) ([]byte, error)) field {
	return field{
		name: name,
		read: func(d *decoder, s *Source) bool {
			value, ok := read(d)
			if ok {
				place := room[T](d, 1)
				place[0] = value
				*at(s) = &place[0]
			}
			return ok
		},
		clear: func(s *Source) { *at(s) = nil },
		append: func(to []byte, s *Source) ([]byte, error) {
			if value := *at(s); value != nil {
				return write(to, *value)
			}
			return to, nil
		},
	}
}

// shelf is where values of one field stand together, those of a few sources: an
// allocation for each would cost more than to read it. A source that is kept
// keeps no more of others than these.
type shelf[T any] struct{ free []T }

const shelfSize = 8

// room gives a place for n values of the field that is being read.
func room[T any](d *decoder, n int) []T {
	s, _ := d.shelves[d.field].(*shelf[T])
	if s == nil {
		s = new(shelf[T])
		d.shelves[d.field] = s
	}
	if n > shelfSize {
		return make([]T, n)
	}
	if n >= len(s.free) {
		s.free = make([]T, shelfSize)
	}
	values := s.free[:n:n]
	s.free = s.free[n:]
	return values
}

// decode reads a source at d.i.
func (d *decoder) decode(s *Source) bool {
	d.field = -1
	if d.buf[d.i] != '{' {
		return d.wrong("an object")
	}
	d.i++
	if !d.skipSpace() {
		return false
	}
	if d.buf[d.i] == '}' {
		d.i++
		return true
	}
	for seen := uint64(0); ; {
		name, ok := d.key()
		if !ok || !d.skipSpace() {
			return false
		}
		if d.field < 0 {
			raw, ok := d.raw()
			if !ok {
				return false
			}
			if s.AdditionalProperties == nil {
				s.AdditionalProperties = make(map[string]json.RawMessage)
			}
			s.AdditionalProperties[name] = raw
		} else if f, bit := &fields[d.field], uint64(1)<<d.field; d.buf[d.i] == 'n' {
			if d.i, ok = skipWord(d.buf, d.i, "null"); !ok {
				return false
			}
			if s.nulls |= bit; seen&bit != 0 {
				f.clear(s)
			}
		} else {
			if !f.read(d, s) {
				if d.problem != nil {
					d.problem = fmt.Errorf("%s %w", f.name, d.problem)
				}
				return false
			}
			s.nulls &^= bit
			seen |= bit
		}
		if !d.skipSpace() {
			return false
		}
		switch d.buf[d.i] {
		case ',':
			d.i++
			if !d.skipSpace() {
				return false
			}
		case '}':
			d.i++
			return true
		default:
			return false
		}
	}
}

// key reads a member's name and the colon behind it. It sets d.field, to -1
// where the name is not in the table, and returns the name there.
func (d *decoder) key() (name string, ok bool) {
	previous := d.field + 1
	guess := d.after[previous]
	if quoted := quotedNames[guess]; bytes.HasPrefix(d.buf[d.i:], quoted) {
		d.field = int(guess)
		d.i += len(quoted)
		return "", true
	}
	if d.buf[d.i] != '"' {
		return "", false
	}
	text, ok := d.text()
	if !ok {
		return "", false
	}
	field, known := fieldIndex[string(text)]
	if known {
		d.field = field
		d.after[previous] = uint8(field)
	} else {
		d.field = -1
		name = d.intern(text)
	}
	if !d.skipSpace() || d.buf[d.i] != ':' {
		return "", false
	}
	d.i++
	return name, true
}

// text reads a string. Its bytes are good until the next one is read.
func (d *decoder) text() (value []byte, ok bool) {
	if d.buf[d.i] != '"' {
		return nil, d.wrong("a text")
	}
	start := d.i
	end, plain, ok := skipText(d.buf, start+1)
	d.i = end
	if !ok {
		return nil, false
	}
	if plain {
		return d.buf[start+1 : end-1], true
	}
	return d.unquote(d.buf[start:end]), true
}

// texts reads an array of strings into d.list.
func (d *decoder) texts() bool {
	d.list = d.list[:0]
	if d.buf[d.i] != '[' {
		return d.wrong("a list of texts")
	}
	d.i++
	if !d.skipSpace() {
		return false
	}
	if d.buf[d.i] == ']' {
		d.i++
		return true
	}
	for {
		if d.buf[d.i] == 'n' { // as encoding/json reads it
			end, ok := skipWord(d.buf, d.i, "null")
			d.list = append(d.list, "")
			if d.i = end; !ok {
				return false
			}
		} else {
			value, ok := d.text()
			if !ok {
				return false
			}
			d.list = append(d.list, d.intern(value))
		}
		if !d.skipSpace() {
			return false
		}
		switch d.buf[d.i] {
		case ',':
			d.i++
			if !d.skipSpace() {
				return false
			}
		case ']':
			d.i++
			return true
		default:
			return false
		}
	}
}

func (d *decoder) time() (wire.Time, bool) {
	value, ok := d.text()
	if !ok {
		return wire.Time{}, false
	}
	return wire.TimeFromBytes(value), true
}

func (d *decoder) float(want string) (float64, bool) {
	start := d.i
	if c := d.buf[start]; c != '-' && c-'0' > 9 {
		return 0, d.wrong(want)
	}
	end, ok := skipNumber(d.buf, start)
	if d.i = end; !ok {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(d.buf[start:end]), 64)
	if err != nil {
		d.i = start
		return 0, d.wrong(want)
	}
	return value, true
}

// raw reads a value of any kind, and keeps a copy of its text.
func (d *decoder) raw() (json.RawMessage, bool) {
	start := d.i
	end, ok := skipValue(d.buf, start, sourceDepth)
	if d.i = end; !ok {
		return nil, false
	}
	return append(json.RawMessage(nil), d.buf[start:end]...), true
}

// quotedNames are the names of the fields as they are commonly written before
// a value; fieldIndex finds a field by its name.
var (
	quotedNames = func() (quoted [len(fields)][]byte) {
		for i, f := range fields {
			quoted[i] = fmt.Appendf(nil, "%q:", f.name)
		}
		return quoted
	}()
	fieldIndex = func() map[string]int {
		index := make(map[string]int, len(fields))
		for i, f := range fields {
			index[f.name] = i
		}
		return index
	}()
)
