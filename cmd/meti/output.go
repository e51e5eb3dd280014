package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/meti-go/meti/internal/scan"
)

// formats are the values of --output where a command has features to write.
var formats = []string{"table", "json", "ndjson", "csv", "geojson"}

// outputFlag adds -o, which takes one of the formats, and gives its value: a table
// on a terminal and NDJSON elsewhere, or the last format where that is none.
func (a *app) outputFlag(cmd *cobra.Command, formats ...string) func() (string, error) {
	last := len(formats) - 1
	elsewhere := "ndjson"
	if !slices.Contains(formats, elsewhere) {
		elsewhere = formats[last]
	}
	format := cmd.Flags().StringP("output", "o", "", fmt.Sprintf("%s or %s (default: table on a terminal, else %s)",
		strings.Join(formats[:last], ", "), formats[last], elsewhere))
	completeWith(cmd, "output", formats...)
	return func() (string, error) {
		switch {
		case *format == "" && a.terminal:
			return "table", nil
		case *format == "":
			return elsewhere, nil
		case !slices.Contains(formats, *format):
			return "", usage(cmd, fmt.Errorf("--output is %q, not one of %s", *format, strings.Join(formats, ", ")))
		}
		return *format, nil
	}
}

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

// newOutput writes to w. Only on stdout is there a terminal to fit.
func newOutput[T any](a *app, w io.Writer, format string, form form[T]) *output[T] {
	o := &output[T]{form: form, format: format, out: bufio.NewWriterSize(w, 64<<10)}
	if a.terminal && w == a.stdout {
		o.width, o.colour = a.width, a.colour
	}
	if format == "csv" {
		o.csv = csv.NewWriter(o.out)
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
	defer func() { o.count++ }()
	shaped := o.shape(value)
	var text []byte
	switch o.format {
	case "table":
		o.rows = append(o.rows, value)
		return nil
	case "text":
		_, err = o.out.WriteString(o.form.text(value))
		return err
	case "csv":
		return o.addRecord(shaped)
	case "geojson":
		text, err = o.form.feature(value)
	default:
		text, err = json.Marshal(shaped)
	}
	if err != nil {
		return err
	}
	switch {
	case o.format == "ndjson":
		text = append(text, '\n')
	case o.count > 0:
		_, _ = o.out.WriteString(",\n")
	default:
		_, _ = o.out.WriteString(frames[o.format][0] + "\n")
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

func (o *output[T]) addRecord(value any) error {
	names := memberNames(value)
	if o.count == 0 {
		_ = o.csv.Write(names)
	}
	members, err := membersOf(value)
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
	if o.count == 0 && o.csv != nil {
		_ = o.csv.Write(memberNames(o.shape(*new(T))))
	}
	if frame, ok := frames[o.format]; ok {
		if o.count == 0 {
			_, _ = o.out.WriteString(frame[0])
		} else {
			_ = o.out.WriteByte('\n')
		}
		_, _ = o.out.WriteString(frame[1])
	}
	return o.flush()
}

// flush writes what there is: at once, or after a failure.
func (o *output[T]) flush() error {
	if len(o.rows) > 0 {
		o.align()
	}
	if o.csv != nil {
		o.csv.Flush()
		if err := o.csv.Error(); err != nil {
			return err
		}
	}
	return o.out.Flush()
}

// A cell is what a table shows of a value in a column.
type cell struct {
	text string
	red  bool
}

func (o *output[T]) cells(value T) []cell {
	cells := make([]cell, len(o.form.columns))
	for i, c := range o.form.columns {
		text := printable(c.cell(value))
		if text == "" && i < len(cells)-1 {
			text = "-"
		}
		cells[i] = cell{text, o.colour && c.red != nil && c.red(value)}
	}
	return cells
}

// align writes the rows that wait, as wide as their texts or, on a terminal, as
// it is.
func (o *output[T]) align() {
	var lines [][]cell
	if columns := o.form.columns; o.widths == nil {
		o.widths = make([]int, len(columns))
		heads := make([]cell, len(columns))
		for i, c := range columns {
			heads[i].text = c.head
		}
		if columns[0].head != "" {
			lines = append(lines, heads)
		}
	}
	for _, row := range o.rows {
		lines = append(lines, o.cells(row))
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
	gap := 0
	for i, c := range line {
		if o.widths[i] < 0 {
			continue
		}
		text := runewidth.Truncate(c.text, o.widths[i], "…")
		blank := o.widths[i] - runewidth.StringWidth(text)
		if o.form.columns[i].right {
			gap, blank = gap+blank, 0
		}
		if text != "" {
			_, _ = o.out.WriteString(strings.Repeat(" ", gap))
			gap = 0
		}
		if c.red {
			text = "\x1b[31m" + text + "\x1b[0m"
		}
		_, _ = o.out.WriteString(text)
		gap += blank + 2
	}
	_ = o.out.WriteByte('\n')
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

// printRecord prints one value, a line for each member that it has.
func (a *app) printRecord(value any, more ...[2]string) error {
	members, err := membersOf(value)
	if err != nil {
		return err
	}
	var lines [][2]string
	for _, name := range memberNames(value) {
		if text := plain(members[name]); text != "" {
			lines = append(lines, [2]string{name, text})
		}
	}
	return a.printPairs("", "", append(lines, more...))
}

// printPairs prints names, and what stands for each, as a table of two columns.
func (a *app) printPairs(head, title string, lines [][2]string) error {
	out := newOutput(a, a.stdout, "table", form[[2]string]{columns: []column[[2]string]{
		{head: head, cell: func(l [2]string) string { return l[0] }},
		{head: title, cell: func(l [2]string) string { return l[1] }, least: 20,
			red: func(l [2]string) bool { return l == [2]string{"conflict", "true"} }},
	}})
	out.rows = lines
	return out.end()
}

// printMembers prints one object, a line for each member: its coordinates stay
// on one.
func (a *app) printMembers(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text := []byte("{")
	scan.Members(raw, func(name, value []byte) bool {
		key, _ := json.Marshal(string(name))
		text = fmt.Appendf(text, "\n  %s: %s,", key, value)
		return true
	})
	_, err = a.stdout.Write(append(bytes.TrimSuffix(text, []byte(",")), "\n}\n"...))
	return err
}

// plural is a number of things, in words.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// hectares is an area in words.
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
