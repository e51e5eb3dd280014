package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/meti-go/meti/ledger"
)

// checkResult is what check says of one feature with -o json.
type checkResult struct {
	File       string          `json:"file"`
	Line       int             `json:"line"`  // from 1
	Index      int             `json:"index"` // among the file's features, from 0
	AltID      string          `json:"alt_id"`
	Valid      bool            `json:"valid"`
	Problems   ledger.Problems `json:"problems"`
	Hectares   *float64        `json:"hectares"`             // null where it is not valid
	Country    *string         `json:"country"`              // null where it lies in none
	Registered string          `json:"registered,omitempty"` // the SSID that it has already
	Conflict   bool            `json:"conflict"`
	With       []checkOther    `json:"conflict_with"`
	Overlap    *float64        `json:"percent_overlap"` // 0 to 1

	own   int  // how many of the problems are its own, and not its file's
	first bool // of its file
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
	text := printable(name(o.ID, o.AltID))
	if o.File == "" {
		return text
	}
	return fmt.Sprintf("%s (%s:%d)", text, o.File, o.Line)
}

// tally is what all features come to.
type tally struct {
	features, invalid, warned, conflicts, registered int
	hectares                                         float64
	countries                                        map[string]bool
}

// report prints all findings in their order, and fails when there was
// something to find.
func (c *checking) report(verdicts []ledger.Verdict) error {
	out := newOutput(c.app, c.app.stdout, c.format, form[checkResult]{text: c.text})
	sum := tally{countries: map[string]bool{}}
	candidates := c.candidates
	for i := range c.found {
		var verdict ledger.Verdict
		if len(candidates) > 0 && int(candidates[0]) == i {
			verdict = verdicts[0]
			candidates, verdicts = candidates[1:], verdicts[1:]
		}
		r, err := c.result(i, verdict)
		if err != nil {
			return err
		}
		sum.add(&r)
		if err := out.add(r); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	return c.summarise(sum)
}

// summarise says what the features come to, and gives the exit code.
func (c *checking) summarise(sum tally) error {
	for _, in := range c.inputs {
		if in.ended != nil && in.ended.Rest {
			c.app.say("the reading of %s ended in line %d, and the rest was not looked at", in.Name, in.ended.Line)
		}
	}
	text := plural(sum.features, "feature", "features")
	if c.known.file != nil {
		text += fmt.Sprintf(", checked against %d", len(c.known.all))
	}
	text += fmt.Sprintf(": %d invalid, %d with warnings only, %d in conflict", sum.invalid, sum.warned, sum.conflicts)
	if sum.registered > 0 {
		text += fmt.Sprintf(", %d registered already", sum.registered)
	}
	c.app.say("%s; %.2f hectares, %s", text, sum.hectares, plural(len(sum.countries), "country", "countries"))
	switch {
	case sum.invalid > 0:
		return silent(exitInvalid)
	case sum.conflicts > 0:
		return silent(exitConflict)
	case len(c.known.all) == 0 && len(c.known.left) > 0:
		return errors.New("nothing could be compared: none of the sources to check against has a boundary")
	}
	return nil
}

func (t *tally) add(r *checkResult) {
	t.features++
	switch {
	case !r.Valid:
		t.invalid++
	case len(r.Problems) > 0:
		t.warned++
	}
	if r.Conflict {
		t.conflicts++
	}
	if r.Registered != "" {
		t.registered++
	}
	if r.Valid {
		t.hectares += *r.Hectares
		if r.Country != nil {
			t.countries[*r.Country] = true
		}
	}
}

// result is all that is known of one feature. Its verdict is zero where it was
// not compared.
func (c *checking) result(i int, verdict ledger.Verdict) (checkResult, error) {
	f := &c.found[i]
	in := c.inputs[f.input]
	r := checkResult{
		File: in.Name, Line: int(f.line), Index: int(f.index), AltID: f.altID,
		Problems: ledger.Problems{}, With: []checkOther{}, first: i == 0 || c.found[i-1].input != f.input,
	}
	if f.noted {
		judged, err := c.again(i)
		if err != nil {
			return r, err
		}
		r.Problems = append(r.Problems, judged.Problems...)
	}
	r.Problems = append(r.Problems, c.repeats(i)...)
	r.Problems = append(r.Problems, c.rules.Apply(verdict.Problems)...)
	r.own = len(r.Problems)
	r.Problems = append(r.Problems, in.problems...)
	r.Valid = !r.Problems.Invalid()
	for _, ref := range verdict.With {
		r.With = append(r.With, c.other(ref))
	}
	r.Conflict, r.Overlap = verdict.Conflict(), verdict.PercentOverlap
	if r.Valid {
		r.Hectares = &f.hectares
	}
	if f.country != "" {
		r.Country = &f.country
	}
	if f.registered >= 0 {
		r.Registered = c.known.all[f.registered].id
	}
	return r, nil
}

func (c *checking) other(ref ledger.Ref) checkOther {
	if ref.Stored {
		known := c.known.all[c.known.stored[ref.Index]]
		return checkOther{ID: known.id, AltID: known.altID}
	}
	f := &c.found[c.candidates[ref.Index]]
	index := int(f.index)
	return checkOther{AltID: f.altID, File: c.inputs[f.input].Name, Line: int(f.line), Index: &index}
}

func problemText(p ledger.Problem) string {
	text := printable(p.String())
	if p.Advice != "" {
		text += "; " + printable(p.Advice)
	}
	return text
}

// text is a result for people: a line, where there is something to say, and one
// below it for each thing that is wrong; what is wrong with all of a file stands
// before its first feature.
func (c *checking) text(r checkResult) string {
	var b strings.Builder
	if r.first {
		for _, p := range r.Problems[r.own:] {
			fmt.Fprintf(&b, "%s: all features: %s\n", r.File, problemText(p))
		}
	}
	if !c.all && r.own == 0 && !r.Conflict && r.Registered == "" {
		return b.String()
	}
	state := "ok"
	switch {
	case !r.Valid:
		state = "invalid"
	case r.Conflict:
		state = "conflict"
	}
	who := cmp.Or(r.AltID, fmt.Sprintf("feature %d", r.Index))
	fmt.Fprintf(&b, "%s:%d: %s: %s", r.File, r.Line, printable(who), state)
	if r.Registered != "" {
		b.WriteString(", registered already as " + printable(r.Registered))
	}
	if r.Hectares != nil {
		country := "no country"
		if r.Country != nil {
			country = *r.Country
		}
		fmt.Fprintf(&b, ", %.4f ha, %s", *r.Hectares, printable(country))
	}
	b.WriteByte('\n')
	for _, p := range r.Problems[:r.own] {
		b.WriteString("  " + problemText(p) + "\n")
	}
	for i, other := range r.With {
		if i == 0 {
			b.WriteString("  conflicts with ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(other.String())
	}
	if r.Overlap != nil {
		fmt.Fprintf(&b, ", %.2f%% covered", 100**r.Overlap)
	}
	if r.Conflict {
		b.WriteByte('\n')
	}
	return b.String()
}
