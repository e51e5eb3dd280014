package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// mended is what became of a feature.
type mended struct {
	fields.Judged
	text []byte // nil where nothing was to be done
	said string // what was done
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
	type change struct {
		fields.Place
		text []byte
	}
	var changes []change
	var total, invalid, warned int
	mend := func(item fields.Item) mended { return mend(judge, item) }
	err = fields.Map(ctx, file, mend, func(item fields.Item, m mended) error {
		total++
		at := fmt.Sprintf("%s:%d: %s", file.Name, item.Line, nameOrPlace(m.AltID, item.Index))
		switch {
		case m.Invalid():
			invalid++
			a.say("%s: still invalid: %s", at, printable(m.Problems.Err().Error()))
		case len(m.Problems) > 0:
			warned++
		}
		if m.text != nil {
			changes = append(changes, change{item.Place, m.text})
			a.say("%s: %s", at, m.said)
		}
		return nil
	})
	if err != nil {
		return unreadable(file, err) // a part must not pass for the whole
	}
	var parts []io.Reader
	end := int64(0)
	for _, c := range changes {
		parts = append(parts, file.Section(end, c.Offset), bytes.NewReader(c.text))
		end = c.Offset + int64(c.Length)
	}
	if _, err := io.Copy(a.stdout, io.MultiReader(append(parts, file.Section(end, -1))...)); err != nil {
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
	var done []string
	for _, fix := range fixes {
		done = append(done, fix.Message)
	}
	slices.Sort(done)
	before, after := m.Shape.Hectares(), 0.0
	// A geometry is a piece of the item's text, so its place follows from capacity.
	start := cap(item.Raw) - cap(m.Geometry)
	item.Raw = slices.Concat(item.Raw[:start], geometry, item.Raw[start+len(m.Geometry):])
	m.text = item.Raw
	if m.Judged = judge.Item(item); m.Shape != nil {
		after = m.Shape.Hectares()
	}
	m.said = fmt.Sprintf("%s; %.4f ha before, %.4f ha after (%+.6f)", strings.Join(slices.Compact(done), ", "), before, after, after-before)
	return m
}
