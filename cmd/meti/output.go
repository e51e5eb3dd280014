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

// outputFlag adds -o, which takes one of the formats.
func outputFlag(cmd *cobra.Command, format *string, formats ...string) {
	last := len(formats) - 1
	cmd.Flags().StringVarP(format, "output", "o", "", fmt.Sprintf("%s or %s (default: table on a terminal, else ndjson)",
		strings.Join(formats[:last], ", "), formats[last]))
	completeWith(cmd, "output", formats...)
}

// chosen completes and checks the value of -o.
func (a *app) chosen(cmd *cobra.Command, format string, formats ...string) (string, error) {
	switch {
	case format == "" && a.terminal:
		return "table", nil
	case format == "":
		return "ndjson", nil
	case !slices.Contains(formats, format):
		return "", usage(cmd, fmt.Errorf("--output is %q, not one of %s", format, strings.Join(formats, ", ")))
	}
	return format, nil
}

// form says how values of a type are written. JSON writes them as they are,
// and CSV the members of their JSON but geometry.
type form[T any] struct {
	columns []column[T]             // of the table
	feature func(T) ([]byte, error) // as GeoJSON
	text    func(T) string          // as lines
}

// column is one of a table's.
type column[T any] struct {
	head  string
	cell  func(T) string
	late  func(T) func() string // in the place of cell: asked when the line is written
	right bool                  // numbers are
	red   func(T) bool          // on a terminal
	least int                   // the width down to which it is cut to fit; 0 is never cut
	drop  int                   // the column of the highest rank is left out first; 0 never
}

// output writes values one after another, in flat memory.
type output[T any] struct {
	form   form[T]
	format string
	out    *bufio.Writer
	csv    *csv.Writer
	width  int  // of the terminal, 0 for none
	colour bool // the terminal's
	hold   bool // all lines of a table until the end
	lines  []line
	widths []int
	count  int
}

// line is one of a table, while it waits for others to be aligned with.
type line struct {
	cells []string
	late  []func() string
	red   []bool
}

func newLine(columns int) line {
	return line{make([]string, columns), make([]func() string, columns), make([]bool, columns)}
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

// tableBlock is how many lines of a table are aligned with one another.
const tableBlock = 1000

// add writes one value.
func (o *output[T]) add(value T) (err error) {
	defer func() { o.count++ }()
	var text []byte
	switch o.format {
	case "table":
		l := newLine(len(o.form.columns))
		for i, c := range o.form.columns {
			if c.late != nil {
				l.late[i] = c.late(value)
			} else {
				l.cells[i] = printable(c.cell(value))
			}
			l.red[i] = o.colour && c.red != nil && c.red(value)
		}
		if o.lines = append(o.lines, l); len(o.lines) >= tableBlock && !o.hold {
			o.align()
		}
		return nil
	case "text":
		_, err = o.out.WriteString(o.form.text(value))
		return err
	case "csv":
		return o.addRecord(value)
	case "geojson":
		text, err = o.form.feature(value)
	default:
		text, err = json.Marshal(value)
	}
	if err != nil {
		return err
	}
	switch {
	case o.format == "ndjson":
	case o.count > 0:
		_, _ = o.out.WriteString(",\n")
	default:
		_, _ = o.out.WriteString(o.head())
	}
	if _, err = o.out.Write(text); err == nil && o.format == "ndjson" {
		err = o.out.WriteByte('\n')
	}
	return err
}

func (o *output[T]) head() string {
	switch o.format {
	case "json":
		return "[\n"
	case "geojson":
		return `{"type":"FeatureCollection","features":[` + "\n"
	}
	return ""
}

// end completes the output. Without it, after a failure, an array or collection
// stays open: a part must not pass for the whole.
func (o *output[T]) end() error {
	if o.count == 0 {
		switch o.format {
		case "csv":
			if err := o.addHeader(reflect.TypeFor[T]()); err != nil {
				return err
			}
		case "json":
			_, _ = o.out.WriteString("[]\n")
			return o.out.Flush()
		default:
			_, _ = o.out.WriteString(o.head())
		}
	}
	switch o.format {
	case "json":
		_, _ = o.out.WriteString("\n]\n")
	case "geojson":
		_, _ = o.out.WriteString("\n]}\n")
	}
	return o.flush()
}

// flush writes what there is: at once, or after a failure.
func (o *output[T]) flush() error {
	if o.format == "table" {
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

// align writes the lines that wait, as wide as their texts or, on a terminal,
// as it is.
func (o *output[T]) align() {
	if len(o.lines) == 0 {
		return
	}
	if o.widths == nil {
		head := newLine(len(o.form.columns))
		for i, c := range o.form.columns {
			head.cells[i] = c.head
		}
		o.lines = append([]line{head}, o.lines...)
		o.widths = make([]int, len(o.form.columns))
	}
	for _, l := range o.lines {
		for i, late := range l.late {
			if late != nil {
				l.cells[i] = printable(late())
			}
			if o.widths[i] >= 0 {
				o.widths[i] = max(o.widths[i], runewidth.StringWidth(l.cells[i]))
			}
		}
	}
	if o.width > 0 {
		o.fit()
	}
	for _, l := range o.lines {
		o.writeLine(l)
	}
	o.lines = o.lines[:0]
}

// writeLine writes one line of a table.
func (o *output[T]) writeLine(l line) {
	var text strings.Builder
	gap := 0
	for i, cell := range l.cells {
		if o.widths[i] < 0 {
			continue
		}
		cell = runewidth.Truncate(cell, o.widths[i], "…")
		blank := o.widths[i] - runewidth.StringWidth(cell)
		if o.form.columns[i].right {
			gap, blank = gap+blank, 0
		}
		if cell != "" {
			text.WriteString(strings.Repeat(" ", gap))
			gap = 0
		}
		if l.red[i] {
			cell = "\x1b[31m" + cell + "\x1b[0m"
		}
		text.WriteString(cell)
		gap += blank + 2
	}
	text.WriteByte('\n')
	_, _ = o.out.WriteString(text.String())
}

// fit makes the columns no wider than the terminal: it leaves some out where
// there must be, and cuts the widest of the others.
func (o *output[T]) fit() {
	columns := o.form.columns
	total := func(width func(i int) int) int {
		sum := -2
		for i, w := range o.widths {
			if w >= 0 {
				sum += 2 + width(i)
			}
		}
		return sum
	}
	least := func(i int) int {
		if columns[i].least == 0 {
			return o.widths[i]
		}
		return min(o.widths[i], columns[i].least)
	}
	for total(least) > o.width {
		last := -1
		for i, c := range columns {
			if o.widths[i] >= 0 && c.drop > 0 && (last < 0 || c.drop > columns[last].drop) {
				last = i
			}
		}
		if last < 0 {
			return
		}
		o.widths[last] = -1
	}
	for total(func(i int) int { return o.widths[i] }) > o.width {
		widest := -1
		for i, w := range o.widths {
			if w > least(i) && (widest < 0 || w > o.widths[widest]) {
				widest = i
			}
		}
		o.widths[widest]--
	}
}

// A member is a field of a struct with its name in JSON.
type member struct {
	name string
	at   []int
	omit bool // where it is zero
}

// members are a type's JSON members but raw JSON, which is geometry, in their
// order.
func members(t reflect.Type) []member {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var list []member
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		raw := f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Uint8
		if f.IsExported() && name != "" && name != "-" && !raw {
			list = append(list, member{name, f.Index, strings.HasPrefix(options, "omit")})
		}
	}
	return list
}

// text is a member's value as people write it.
func (m member) text(value any) (text string, isText bool, err error) {
	field := reflect.Indirect(reflect.ValueOf(value)).FieldByIndex(m.at)
	if m.omit && field.IsZero() {
		return "", false, nil
	}
	raw, err := json.Marshal(field.Interface())
	if err != nil {
		return "", false, err
	}
	text, isText = plain(raw)
	return text, isText, nil
}

// plain is JSON as people write it: a text without quotes, nothing for null, and
// the elements of an array and the
// values of an object one after another.
func plain(raw []byte) (text string, isText bool) {
	var list []json.RawMessage
	switch {
	case string(raw) == "null":
		return "", false
	case raw[0] == '"':
		_ = json.Unmarshal(raw, &text)
		return text, true
	case raw[0] == '[' && json.Unmarshal(raw, &list) == nil:
		parts := make([]string, len(list))
		for i, one := range list {
			parts[i], _ = plain(one)
		}
		return strings.Join(parts, "; "), true
	case raw[0] == '{':
		var parts []string
		scan.Members(raw, func(_, value []byte) bool {
			part, _ := plain(value)
			parts = append(parts, part)
			return true
		})
		return strings.Join(parts, " "), true
	}
	return string(raw), false
}

func (o *output[T]) addHeader(t reflect.Type) error {
	var names []string
	for _, m := range members(t) {
		names = append(names, m.name)
	}
	return o.csv.Write(names)
}

func (o *output[T]) addRecord(value T) error {
	if o.count == 0 {
		if err := o.addHeader(reflect.TypeFor[T]()); err != nil {
			return err
		}
	}
	var record []string
	for _, m := range members(reflect.TypeFor[T]()) {
		text, isText, err := m.text(value)
		if err != nil {
			return err
		}
		if isText {
			text = defused(text)
		}
		record = append(record, text)
	}
	return o.csv.Write(record)
}

// defused keeps a spreadsheet from taking a text for a formula.
func defused(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// printRecord prints one value, a line for each member that it has.
func printRecord[T any](a *app, value T, more ...[2]string) error {
	var lines [][2]string
	for _, m := range members(reflect.TypeFor[T]()) {
		text, _, err := m.text(value)
		if err != nil {
			return err
		}
		if text != "" {
			lines = append(lines, [2]string{m.name, text})
		}
	}
	wide := 0
	lines = append(lines, more...)
	for _, l := range lines {
		wide = max(wide, len(l[0]))
	}
	for _, l := range lines {
		text := fmt.Sprintf("%-*s  %s", wide, l[0], printable(l[1]))
		if a.terminal && a.width > 0 {
			text = runewidth.Truncate(text, a.width, "…")
		}
		if a.colour && l[0] == "conflict" && l[1] == "true" {
			text = "\x1b[31m" + text + "\x1b[0m"
		}
		if _, err := fmt.Fprintln(a.stdout, text); err != nil {
			return err
		}
	}
	return nil
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

func orDash[T ~string](text T) string {
	if text == "" {
		return "-"
	}
	return string(text)
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

// period writes a time from one RFC 3339 date to another for people.
func period(start, end string) string {
	if start == "" && end == "" {
		return ""
	}
	return strings.TrimSuffix(start, "T00:00:00Z") + " – " + strings.TrimSuffix(end, "T00:00:00Z")
}
