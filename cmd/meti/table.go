package main

import (
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// column is one of a table's.
type column struct {
	head  string
	right bool // numbers are
	red   bool // can be
	least int  // the width down to which it is cut to fit; 0 is never cut
	drop  int  // the column of the highest rank is left out first; 0 never

	at, width int // in a line: which cell, and how wide
}

// flushTable writes the rows that wait, as wide as their texts or, on a terminal,
// as it is.
func (o *output[T]) flushTable() {
	type line struct {
		cells []string
		red   bool
	}
	var lines []line
	if o.shown == nil {
		var heads []string
		for i, c := range o.columns {
			c.at = i
			o.shown = append(o.shown, &c)
			heads = append(heads, c.head)
		}
		if heads[0] != "" {
			lines = append(lines, line{heads, false})
		}
	}
	for _, row := range o.rows {
		lines = append(lines, line{o.cells(row), o.app.colour && o.red != nil && o.red(row)})
	}
	o.rows = nil
	for _, line := range lines {
		for i, text := range line.cells {
			if line.cells[i] = printable(text); text == "" && i < len(line.cells)-1 {
				line.cells[i] = "-"
			}
		}
		for _, c := range o.shown {
			c.width = max(c.width, runewidth.StringWidth(line.cells[c.at]))
		}
	}
	if o.app.width > 0 {
		o.shown = fit(o.shown, o.app.width)
	}
	for _, line := range lines {
		var b strings.Builder
		for _, c := range o.shown {
			text := runewidth.Truncate(line.cells[c.at], c.width, "…")
			blank := strings.Repeat(" ", c.width-runewidth.StringWidth(text))
			if line.red && c.red {
				text = "\x1b[31m" + text + "\x1b[0m"
			}
			if c.right {
				text, blank = blank+text, ""
			}
			b.WriteString(text + blank + "  ")
		}
		_, _ = o.out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
}

// fit makes columns no wider than a terminal: it leaves some out where cutting does
// not do, and cuts the widest.
func fit(columns []*column, room int) []*column {
	over := func(width func(*column) int) bool {
		sum := -2
		for _, c := range columns {
			sum += width(c) + 2
		}
		return sum > room
	}
	least := func(c *column) int {
		if c.least == 0 {
			return c.width
		}
		return min(c.width, c.least)
	}
	for over(least) {
		last := slices.MaxFunc(columns, func(a, b *column) int { return a.drop - b.drop })
		if last.drop == 0 {
			break
		}
		columns = slices.DeleteFunc(columns, func(c *column) bool { return c == last })
	}
	for over(func(c *column) int { return c.width }) {
		var widest *column
		for _, c := range columns {
			if c.width > least(c) && (widest == nil || c.width > widest.width) {
				widest = c
			}
		}
		if widest == nil {
			break
		}
		widest.width--
	}
	return columns
}
