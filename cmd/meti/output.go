package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/scan"
)

// form says how values of a type are written. JSON writes them, or what shape
// makes of them, and CSV the members of that but geometry.
type form[T any] struct {
	columns []column         // of a table
	cells   func(T) []string // one for each column; an empty one is a dash, but in the last
	red     func(T) bool     // whether a terminal shows the columns that can be red in red
	shape   func(T) any
	feature func(T) ([]byte, error) // as GeoJSON
	text    func(T) string          // as lines
}

// output writes values one after another, in flat memory; but a table waits for
// flush, to align its rows.
type output[T any] struct {
	form[T]
	app    *app
	format string
	out    *bufio.Writer
	csv    *csv.Writer
	count  int
	rows   []T       // of the table, which wait
	shown  []*column // of the table, once it has begun
}

// newOutput writes to stdout.
func newOutput[T any](a *app, format string, form form[T]) *output[T] {
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	return &output[T]{form: form, app: a, format: format, out: out, csv: csv.NewWriter(out)}
}

// printAll writes all that there is.
func printAll[T any](a *app, format string, form form[T], values []T) error {
	out := newOutput(a, format, form)
	for _, value := range values {
		if err := out.add(value); err != nil {
			return err
		}
	}
	return out.end()
}

// frames are what stands before and after the values of an array.
var frames = map[string][2]string{
	"json":    {"[", "]\n"},
	"geojson": {`{"type":"FeatureCollection","features":[`, "]}\n"},
}

// add writes one value.
func (o *output[T]) add(value T) (err error) {
	o.count++
	var text []byte
	switch o.format {
	case "table":
		o.rows = append(o.rows, value)
		return nil
	case "text":
		_, err = o.out.WriteString(o.text(value))
		return err
	case "csv":
		return o.addRecord(value)
	case "geojson":
		text, err = o.feature(value)
	default:
		text, err = json.Marshal(o.shaped(value))
	}
	if err != nil {
		return err
	}
	switch frame, framed := frames[o.format]; {
	case !framed:
		text = append(text, '\n')
	case o.count > 1:
		_, _ = o.out.WriteString(",\n")
	default:
		_, _ = o.out.WriteString(frame[0] + "\n")
	}
	_, err = o.out.Write(text)
	return err
}

func (o *output[T]) shaped(value T) any {
	if o.shape == nil {
		return value
	}
	return o.shape(value)
}

func (o *output[T]) addRecord(value T) error {
	shaped := o.shaped(value)
	names := memberNames(shaped)
	if o.count == 1 {
		_ = o.csv.Write(names)
	}
	record := make([]string, len(names))
	err := eachMember(shaped, func(name string, raw []byte) {
		i := slices.Index(names, name)
		if i < 0 {
			return
		}
		record[i] = plain(raw)
		// A spreadsheet must not take a text for a formula; a number is none.
		if text := record[i]; text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) && raw[0] != '-' {
			record[i] = "'" + text
		}
	})
	_ = o.csv.Write(record) // csv.Error tells
	return err
}

// end completes the output. Without it, after a failure, an array or collection
// stays open: a part must not pass for the whole.
func (o *output[T]) end() error {
	frame, framed := frames[o.format]
	switch {
	case o.count > 0 && framed:
		_, _ = o.out.WriteString("\n" + frame[1])
	case framed:
		_, _ = o.out.WriteString(frame[0] + frame[1])
	case o.count == 0 && o.format == "csv":
		_ = o.csv.Write(memberNames(o.shaped(*new(T))))
	}
	return o.flush()
}

// flush writes what there is: at once, or after a failure.
func (o *output[T]) flush() error {
	if len(o.rows) > 0 {
		o.flushTable()
	}
	o.csv.Flush()
	if err := o.csv.Error(); err != nil {
		return err
	}
	return o.out.Flush()
}

// memberNames are the JSON members of a value's type in their order, but raw JSON,
// which is geometry.
func memberNames(value any) (names []string) {
	t := reflect.TypeOf(value)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "" && name != "-" && f.Type != reflect.TypeFor[json.RawMessage]() {
			names = append(names, name)
		}
	}
	return names
}

// eachMember visits the members that a value has in JSON.
func eachMember(value any, visit func(name string, raw []byte)) error {
	text, err := json.Marshal(value)
	scan.Members(text, func(name, raw []byte) bool {
		visit(string(name), raw)
		return true
	})
	return err
}

// plain is JSON as people write it: a text without quotes, nothing for null, and
// the elements of an array and the values of an object one after another.
func plain(raw []byte) string {
	var parts []string
	add := func(value []byte) bool {
		parts = append(parts, plain(value))
		return true
	}
	switch raw[0] {
	case 'n': // null
		return ""
	case '"':
		return scan.Unquote(raw)
	case '[':
		scan.Elements(raw, func(_ int, value []byte) bool { return add(value) })
		return strings.Join(parts, "; ")
	case '{':
		scan.Members(raw, func(_, value []byte) bool { return add(value) })
		return strings.Join(parts, " ")
	}
	return string(raw)
}

// printPairs prints names, and what stands for each, as a table of two columns.
func (a *app) printPairs(head, title string, lines [][2]string) error {
	return printAll(a, "table", form[[2]string]{
		columns: []column{{head: head}, {head: title, least: 20, red: true}},
		cells:   func(l [2]string) []string { return l[:] },
		red:     func(l [2]string) bool { return l == [2]string{"conflict", "true"} },
	}, lines)
}

// printJSON prints one value, indented.
func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// plural writes a number and what is counted.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// hectares writes an area with four decimals, and nothing where it is not known.
func hectares[T ~float64](area *T) string {
	if area == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*area), 'f', 4, 64)
}

// printable keeps foreign text from steering a terminal or breaking a line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// day writes an RFC 3339 date for people: the time only where it is not midnight,
// and nothing for one that METI did not tell.
func day(date string) string {
	if date == (api.Time{}).String() {
		return ""
	}
	return strings.TrimSuffix(date, "T00:00:00Z")
}

// period writes a time from one date to another for people.
func period(start, end string) string {
	if start == "" && end == "" {
		return ""
	}
	return day(start) + " – " + day(end)
}
