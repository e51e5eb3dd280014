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

	"github.com/mattn/go-runewidth"

	"github.com/meti-go/meti/internal/scan"
)

// form says how values of a type are written. JSON writes them, or what shape
// makes of them, and CSV the members of that but geometry.
type form[T any] struct {
	shape   func(T) any
	columns []column[T]             // of the table
	feature func(T) ([]byte, error) // as GeoJSON
	text    func(T) string          // as lines
}

// column is one of a table's. An empty cell is a dash, but in the last column.
type column[T any] struct {
	head  string
	cell  func(T) string
	right bool         // numbers are
	red   func(T) bool // on a terminal
	least int          // the width down to which it is cut to fit; 0 is never cut
	drop  int          // the column of the highest rank is left out first; 0 never
}

// output writes values one after another, in flat memory; but a table waits for
// flush, to align its rows.
type output[T any] struct {
	form   form[T]
	format string
	out    *bufio.Writer
	csv    *csv.Writer
	width  int  // of the terminal, 0 for none
	colour bool // the terminal's
	rows   []T  // of the table, which wait
	widths []int
	count  int
}

// newOutput writes to stdout.
func newOutput[T any](a *app, format string, form form[T]) *output[T] {
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	o := &output[T]{form: form, format: format, out: out, csv: csv.NewWriter(out)}
	if a.terminal {
		o.width, o.colour = a.width, a.colour
	}
	return o
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
		_, err = o.out.WriteString(o.form.text(value))
		return err
	case "csv":
		return o.addRecord(value)
	case "geojson":
		text, err = o.form.feature(value)
	default:
		text, err = json.Marshal(o.shape(value))
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

func (o *output[T]) shape(value T) any {
	if o.form.shape == nil {
		return value
	}
	return o.form.shape(value)
}

func (o *output[T]) addRecord(value T) error {
	shaped := o.shape(value)
	names := memberNames(shaped)
	if o.count == 1 {
		_ = o.csv.Write(names)
	}
	members, err := membersOf(shaped)
	if err != nil {
		return err
	}
	record := make([]string, len(names))
	for i, name := range names {
		record[i] = plain(members[name])
		// A spreadsheet must not take a text for a formula; a number is none.
		if text := record[i]; text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) && members[name][0] != '-' {
			record[i] = "'" + text
		}
	}
	return o.csv.Write(record)
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
		_ = o.csv.Write(memberNames(o.shape(*new(T))))
	}
	return o.flush()
}

// flush writes what there is: at once, or after a failure.
func (o *output[T]) flush() error {
	if len(o.rows) > 0 {
		o.align()
	}
	o.csv.Flush()
	if err := o.csv.Error(); err != nil {
		return err
	}
	return o.out.Flush()
}

// A cell is what a table shows of a value in a column.
type cell struct {
	text string
	red  bool
}

// align writes the rows that wait, as wide as their texts or, on a terminal, as
// it is.
func (o *output[T]) align() {
	columns := o.form.columns
	var lines [][]cell
	if o.widths == nil {
		o.widths = make([]int, len(columns))
		if columns[0].head != "" {
			lines = append(lines, cellsOf(columns, func(c column[T]) cell { return cell{text: c.head} }))
		}
	}
	for _, row := range o.rows {
		lines = append(lines, cellsOf(columns, func(c column[T]) cell {
			return cell{printable(c.cell(row)), o.colour && c.red != nil && c.red(row)}
		}))
	}
	o.rows = nil
	for _, line := range lines {
		for i, c := range line {
			if o.widths[i] >= 0 {
				o.widths[i] = max(o.widths[i], runewidth.StringWidth(c.text))
			}
		}
	}
	if o.width > 0 {
		o.fit()
	}
	for _, line := range lines {
		o.writeLine(line)
	}
}

func cellsOf[T any](columns []column[T], of func(column[T]) cell) []cell {
	cells := make([]cell, len(columns))
	for i, c := range columns {
		if cells[i] = of(c); cells[i].text == "" && i < len(columns)-1 {
			cells[i].text = "-"
		}
	}
	return cells
}

// fit makes the columns no wider than the terminal: it cuts the widest, and
// leaves some out where that does not do. A width of -1 is left out.
func (o *output[T]) fit() {
	columns, uncut := o.form.columns, slices.Clone(o.widths)
	for {
		sum, widest, last := -2, -1, -1
		for i, width := range o.widths {
			if width < 0 {
				continue
			}
			sum += width + 2
			if least := columns[i].least; least > 0 && width > least && (widest < 0 || width > o.widths[widest]) {
				widest = i
			}
			if drop := columns[i].drop; drop > 0 && (last < 0 || drop > columns[last].drop) {
				last = i
			}
		}
		switch {
		case sum > o.width && widest >= 0:
			o.widths[widest]--
		case sum > o.width && last >= 0:
			uncut[last] = -1
			copy(o.widths, uncut)
		default:
			return
		}
	}
}

// writeLine writes one line of a table, without blanks at its end.
func (o *output[T]) writeLine(line []cell) {
	var b strings.Builder
	for i, c := range line {
		width, fill := o.widths[i], runewidth.FillRight
		if width < 0 {
			continue
		}
		if o.form.columns[i].right {
			fill = runewidth.FillLeft
		}
		text := runewidth.Truncate(c.text, width, "…")
		filled := fill(text, width)
		if c.red {
			filled = strings.Replace(filled, text, "\x1b[31m"+text+"\x1b[0m", 1)
		}
		b.WriteString(filled + "  ")
	}
	_, _ = o.out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
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

// membersOf are the JSON members of a value.
func membersOf(value any) (map[string][]byte, error) {
	raw, err := json.Marshal(value)
	members := map[string][]byte{}
	scan.Members(raw, func(name, value []byte) bool {
		members[string(name)] = value
		return true
	})
	return members, err
}

// plain is JSON as people write it: a text without quotes, nothing for null, and
// the elements of an array and the values of an object one after another.
func plain(raw []byte) string {
	var parts []string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return ""
	case raw[0] == '"':
		return scan.Unquote(raw)
	case raw[0] == '[':
		scan.Elements(raw, func(_ int, value []byte) bool {
			parts = append(parts, plain(value))
			return true
		})
		return strings.Join(parts, "; ")
	case raw[0] == '{':
		scan.Members(raw, func(_, value []byte) bool {
			parts = append(parts, plain(value))
			return true
		})
		return strings.Join(parts, " ")
	}
	return string(raw)
}

// printPairs prints names, and what stands for each, as a table of two columns.
func (a *app) printPairs(head, title string, lines [][2]string) error {
	out := newOutput(a, "table", form[[2]string]{columns: []column[[2]string]{
		{head: head, cell: func(l [2]string) string { return l[0] }},
		{head: title, cell: func(l [2]string) string { return l[1] }, least: 20,
			red: func(l [2]string) bool { return l == [2]string{"conflict", "true"} }},
	}})
	out.rows = lines
	return out.end()
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

// day writes an RFC 3339 date for people, and the time only where it is not midnight.
func day(date string) string { return strings.TrimSuffix(date, "T00:00:00Z") }

// period writes a time from one date to another for people.
func period(start, end string) string {
	if start == "" && end == "" {
		return ""
	}
	return day(start) + " – " + day(end)
}
