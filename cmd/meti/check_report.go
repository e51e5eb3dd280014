package main

import (
	"fmt"
	"strings"

	"github.com/meti-go/meti/internal/features"
	"github.com/meti-go/meti/ledger"
)

// checkResult is what check says of one feature with -o json.
type checkResult struct {
	File     string          `json:"file"`
	Line     int             `json:"line"`  // from 1
	Index    int             `json:"index"` // among the file's features, from 0
	AltID    string          `json:"alt_id,omitempty"`
	Valid    bool            `json:"valid"`
	Problems ledger.Problems `json:"problems"`
	Hectares *float64        `json:"hectares"` // null where it is not valid
	Country  *string         `json:"country"`  // null where it lies in none
	Conflict bool            `json:"conflict"`
	With     []checkOther    `json:"conflict_with"`
	Overlap  *float64        `json:"percent_overlap"` // 0 to 1
}

// checkOther is what a feature conflicts with: a feature of the files, by file,
// line and index, or a source that was checked against.
type checkOther struct {
	ID    string `json:"id,omitempty"` // SSID
	AltID string `json:"alt_id,omitempty"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Index *int   `json:"index,omitempty"`
}

func (o checkOther) String() string {
	name := printable(strings.TrimSpace(o.ID + " " + o.AltID))
	if o.File == "" {
		return name
	}
	return fmt.Sprintf("%s (%s:%d)", name, o.File, o.Line)
}

// report prints all findings in their order, and fails when there was
// something to find.
func (c *checking) report(verdicts []ledger.Verdict, format string) error {
	out := newRows(c.app.stdout, "json")
	invalid, warned, conflicts, hectares := 0, 0, 0, 0.0
	countries := map[string]bool{}
	for _, f := range c.found {
		r, err := c.result(f, verdicts)
		if err != nil {
			return err
		}
		switch {
		case f.refused:
			invalid++
		case f.noted:
			warned++
		}
		if r.Conflict {
			conflicts++
		}
		hectares += f.hectares
		if f.country != "" {
			countries[f.country] = true
		}
		if format == "json" {
			err = out.add(r, nil)
		} else {
			_, err = out.out.WriteString(r.text())
		}
		if err != nil {
			return err
		}
	}
	if format == "text" {
		out.format = format
	}
	if err := out.end(); err != nil {
		return err
	}
	against := ""
	if c.shapes != nil {
		against = fmt.Sprintf(", checked against %d", len(c.known))
	}
	c.app.say("%d features%s: %d invalid, %d with warnings only, %d in conflict; %.2f hectares, %d countries",
		len(c.found), against, invalid, warned, conflicts, hectares, len(countries))
	switch {
	case invalid > 0:
		return silent{exitInvalid}
	case conflicts > 0:
		return silent{exitConflict}
	}
	return nil
}

// result is all that is known of one feature.
func (c *checking) result(f finding, verdicts []ledger.Verdict) (checkResult, error) {
	r := checkResult{
		File: c.inputs[f.input].name, Line: int(f.line), Index: int(f.index), AltID: f.altID, Valid: !f.refused,
		Problems: ledger.Problems{}, With: []checkOther{},
	}
	switch {
	case f.err != nil:
		r.Problems = ledger.Problems{{Rule: ledger.RuleJSON, Severity: ledger.Error, Message: f.err.Error()}}
	case f.noted:
		raw, err := c.raw(f)
		if err != nil {
			return r, err
		}
		item := features.Item{Raw: raw}
		if f.bare {
			item.Type = "Polygon" // any geometry's will do
		}
		r.Problems = c.judge(item).problems
	}
	if !f.refused {
		r.Hectares = &f.hectares
	}
	if f.country != "" {
		r.Country = &f.country
	}
	if f.entry < 0 {
		return r, nil
	}
	verdict := verdicts[f.entry]
	r.Conflict, r.Overlap = verdict.Conflict(), verdict.PercentOverlap
	for _, ref := range verdict.With {
		if ref.Stored {
			known := c.known[ref.Index]
			r.With = append(r.With, checkOther{ID: known.id, AltID: known.altID})
			continue
		}
		other := c.found[c.candidates[ref.Index]]
		index := int(other.index)
		r.With = append(r.With, checkOther{AltID: other.altID, File: c.inputs[other.input].name, Line: int(other.line), Index: &index})
	}
	return r, nil
}

// text is the result for people: a line, and one below it for each thing that
// is wrong.
func (r checkResult) text() string {
	var b strings.Builder
	state := "ok"
	switch {
	case !r.Valid:
		state = "invalid"
	case r.Conflict:
		state = "conflict"
	}
	name := r.AltID
	if name == "" {
		name = fmt.Sprintf("feature %d", r.Index)
	}
	fmt.Fprintf(&b, "%s:%d: %s: %s", r.File, r.Line, printable(name), state)
	if r.Hectares != nil {
		country := "no country"
		if r.Country != nil {
			country = *r.Country
		}
		fmt.Fprintf(&b, ", %.4f ha, %s", *r.Hectares, printable(country))
	}
	b.WriteByte('\n')
	for _, p := range r.Problems {
		b.WriteString("  " + printable(p.String()))
		if p.Advice != "" {
			b.WriteString("; " + printable(p.Advice))
		}
		b.WriteByte('\n')
	}
	if r.Conflict {
		share := ""
		if r.Overlap != nil {
			share = fmt.Sprintf(", %.2f%% covered", 100**r.Overlap)
		}
		var with []string
		for _, other := range r.With {
			with = append(with, other.String())
		}
		fmt.Fprintf(&b, "  conflicts with %s%s\n", strings.Join(with, ", "), share)
	}
	return b.String()
}
