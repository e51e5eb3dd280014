package main

import (
	"bufio"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// mended is what became of a feature.
type mended struct {
	place fields.Place
	text  []byte // nil where nothing was to be done
	what  []string
	fields.Judged
	before, after float64 // hectares
}

// fix writes a file to stdout with what Repair mends mended, and every other
// byte as it stands.
func (a *app) fix(ctx context.Context, name string, o fields.Options) error {
	judge, err := fields.NewJudge(o)
	if err != nil {
		return err
	}
	file, err := fields.Open(ctx, name, a.stdin)
	if err != nil {
		return err
	}
	defer file.Close()
	var changes []mended
	var total, invalid, warned int
	mend := func(item fields.Item) mended { return mend(judge, item) }
	err = fields.Map(ctx, file, mend, func(item fields.Item, m mended) error {
		total++
		switch {
		case m.Invalid():
			invalid++
			a.say("%s:%d: %s: still invalid: %s", file.Name, item.Line, printable(m.AltID), printable(m.Problems.Err().Error()))
		case len(m.Problems) > 0:
			warned++
		}
		if m.text != nil {
			m.place, m.Shape = item.Place, nil
			changes = append(changes, m)
		}
		return nil
	})
	if err != nil {
		return unreadable(file, err) // a part must not pass for the whole
	}
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	at := int64(0)
	for _, m := range changes {
		if _, err := io.Copy(out, file.Section(at, m.place.Offset)); err != nil {
			return err
		}
		_, _ = out.Write(m.text)
		at = m.place.Offset + int64(m.place.Length)
		a.say("%s:%d: %s: %s; %.4f ha before, %.4f ha after (%+.6f)",
			file.Name, m.place.Line, printable(m.AltID), strings.Join(m.what, ", "), m.before, m.after, m.after-m.before)
	}
	if _, err := io.Copy(out, file.Section(at, -1)); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	a.say("mended %d of %s; now %d invalid, %d with warnings only", len(changes), plural(total, "feature", "features"), invalid, warned)
	if invalid > 0 {
		return silent(exitInvalid)
	}
	return nil
}

// mend mends a feature and judges what came of it.
func mend(judge *fields.Judge, item fields.Item) (m mended) {
	m.Judged = judge.Item(item)
	if m.Shape == nil {
		return m
	}
	geometry, fixes, err := ledger.Repair(m.Geometry)
	if err != nil || len(fixes) == 0 {
		return m
	}
	for _, fix := range fixes {
		if !slices.Contains(m.what, fix.Message) {
			m.what = append(m.what, fix.Message)
		}
	}
	m.before = m.Shape.Hectares()
	// A geometry is a piece of the item's text, so its place follows from capacity.
	start := cap(item.Raw) - cap(m.Geometry)
	m.text = slices.Concat(item.Raw[:start], geometry, item.Raw[start+len(m.Geometry):])
	item.Raw = m.text
	if m.Judged = judge.Item(item); m.Shape != nil {
		m.after = m.Shape.Hectares()
	}
	return m
}
