package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/wire"
)

// formats are the values of --output.
var formats = []string{"table", "json", "ndjson"}

// outputFlag adds -o: a table for people, one JSON object a line for programs.
func outputFlag(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", "", "table, json or ndjson (default: table on a terminal, else ndjson)")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// chosen completes and checks the value of -o.
func (a *app) chosen(cmd *cobra.Command, format string) (string, error) {
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

// rows writes values one after another, in flat memory.
type rows struct {
	format string
	out    *bufio.Writer
	table  *tabwriter.Writer
	header []string
	count  int
}

// newRows prints to w. header is that of the table.
func newRows(w io.Writer, format string, header ...string) *rows {
	r := &rows{format: format, out: bufio.NewWriterSize(w, 64<<10), header: header}
	if format == "table" {
		r.table = tabwriter.NewWriter(r.out, 0, 8, 2, ' ', 0)
	}
	return r
}

// tableBlock is how many lines of a table are aligned with one another.
const tableBlock = 1000

// add writes one value: as JSON, or as the cells of a line.
func (r *rows) add(value any, cells func() []string) error {
	defer func() { r.count++ }()
	if r.format == "table" {
		if r.count%tableBlock == 0 {
			if err := r.table.Flush(); err != nil {
				return err
			}
			if r.count == 0 {
				fmt.Fprintln(r.table, strings.Join(r.header, "\t"))
			}
		}
		line := cells()
		for i := range line {
			line[i] = printable(line[i])
		}
		_, err := fmt.Fprintln(r.table, strings.Join(line, "\t"))
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if r.format == "json" {
		if r.count == 0 {
			text = append([]byte("[\n"), text...)
		} else {
			text = append([]byte(",\n"), text...)
		}
	} else {
		text = append(text, '\n')
	}
	_, err = r.out.Write(text)
	return err
}

// end completes the output. Without it, after a failure, a JSON array stays
// open: a part must not pass for the whole.
func (r *rows) end() error {
	switch {
	case r.table != nil && r.count > 0:
		if err := r.table.Flush(); err != nil {
			return err
		}
	case r.format == "json" && r.count == 0:
		_, _ = r.out.WriteString("[]\n")
	case r.format == "json":
		_, _ = r.out.WriteString("\n]\n")
	}
	return r.out.Flush()
}

// cut writes what there is, after a failure.
func (r *rows) cut() {
	if r.table != nil {
		_ = r.table.Flush()
	}
	_ = r.out.Flush()
}

// sourceHeader is the head of a table of sources.
var sourceHeader = []string{"SSID", "ALT ID", "COUNTRY", "HECTARES", "START", "END", "METHODOLOGY", "CONFLICT"}

// sourceCells is a source as a line of a table.
func sourceCells(s *api.Source) func() []string {
	return func() []string {
		conflict := "-"
		switch {
		case s.InConflict() && s.PercentOverlap != nil:
			conflict = fmt.Sprintf("%s (%.1f%%)", strings.Join(s.ConflictWith, ","), 100**s.PercentOverlap)
		case s.InConflict():
			conflict = "yes " + strings.Join(s.ConflictWith, ",")
		}
		hectares := "-"
		if s.Hectares != nil {
			hectares = strconv.FormatFloat(float64(*s.Hectares), 'f', 4, 64)
		}
		return []string{s.ID, s.AltID, orDash(s.Country), hectares, day(s.StartAt), day(s.EndAt), orDash(s.Methodology), conflict}
	}
}

func orDash[T ~string](text T) string {
	if text == "" {
		return "-"
	}
	return string(text)
}

// day writes a date, and the time only where it is not midnight.
func day(t wire.Time) string {
	switch {
	case t.Text() != "":
		return t.Text()
	case t.Truncate(24 * time.Hour).Equal(t.Time):
		return t.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
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
