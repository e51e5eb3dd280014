package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// knownSources are those to check against.
type knownSources struct {
	all    []*known
	stored []*known // without those that a feature is registered as
	left   []string // those that cannot be compared
	shapes fields.Shapes
}

// known is a source to check against.
type known struct {
	id, altID string
	entry     ledger.Entry
	number    int  // among all, and of its shape
	ours      bool // a feature is registered as it
}

// add takes a source, unless it has no boundary that can be read. Its country is
// looked up as that of the features is, so that both come from the same table.
func (s *knownSources) add(id, altID string, period ledger.Period, shape *ledger.Shape, geometry []byte, unreadable bool, countries *ledger.Countries) error {
	if unreadable || shape == nil || shape.Empty() {
		s.left = append(s.left, nameOf(id, altID))
		return nil
	}
	entry := ledger.EntryOf(ledger.Source{Shape: shape, Period: period, Country: countries.Of(shape)})
	s.all = append(s.all, &known{id: id, altID: altID, entry: entry, number: len(s.all)})
	return s.shapes.Add(geometry)
}

func nameOf(id, altID string) string { return strings.TrimSpace(id + " " + altID) }

// read reads the sources to check against: those of the account, or those of a
// file. What a feature is registered as is not checked against: each would
// conflict with itself.
func (s *knownSources) read(ctx context.Context, c *checking, against string) (err error) {
	if against == "account" {
		against, err = "the account", s.readAccount(ctx, c)
	} else if err = s.readFile(ctx, c, against); err != nil {
		err = fmt.Errorf("--against: %w", err)
	}
	if err != nil {
		return err
	}
	if left := s.left; len(left) > 0 {
		const most = 10
		more := ""
		if len(left) > most {
			left, more = left[:most], fmt.Sprintf(" and %d more", len(left)-most)
		}
		c.app.say("%d of %s left out, without a boundary that can be compared: %s%s",
			len(s.left), against, printable(strings.Join(left, ", ")), more)
	}
	byAltID := map[string][]*known{}
	for _, k := range s.all {
		if k.id != "" {
			byAltID[k.altID] = append(byAltID[k.altID], k)
		}
	}
	for _, f := range c.candidates {
		for _, k := range byAltID[f.altID] {
			same, err := s.same(k, f)
			if err != nil {
				return err
			}
			if same {
				f.registered, k.ours = k, true
				break
			}
		}
	}
	for _, k := range s.all {
		if !k.ours {
			s.stored = append(s.stored, k)
		}
	}
	return nil
}

func (s *knownSources) readFile(ctx context.Context, c *checking, path string) error {
	file, err := fields.Open(ctx, path, c.app.stdin)
	if err != nil {
		return err
	}
	defer file.Close()
	// What METI holds already is not judged by what it should be.
	judge, err := fields.NewJudge(fields.Options{})
	if err != nil {
		return err
	}
	type source struct {
		fields.Judged
		id string
	}
	read := func(item fields.Item) (s source) {
		if item.Kind == fields.Source {
			s.id = fields.SSID(item)
			item.Index = 0 // as if each stood in a file of its own
		}
		s.Judged = judge.Item(item)
		return s
	}
	return fields.Map(ctx, file, read, func(item fields.Item, one source) error {
		if item.Err != nil {
			return &fields.InputError{Name: file.Name, Line: item.Line, Column: item.Column, Err: item.Err, Rest: true}
		}
		return s.add(one.id, one.AltID, one.Period, one.Shape, one.Geometry, one.Problems.Refused(), c.options.Rules.Countries)
	})
}

func (s *knownSources) readAccount(ctx context.Context, c *checking) error {
	client, err := c.app.client()
	if err != nil {
		return err
	}
	for source, err := range client.Sources.All(ctx, api.AllParams{OnDrift: c.app.drift}) {
		if err != nil {
			return err
		}
		period := ledger.Period{Start: ledger.TimeOf(source.StartAt.Time), End: ledger.TimeOf(source.EndAt.Time)}
		shape, unreadable := ledger.ParseGeometry(source.Boundary())
		if err := s.add(source.ID, source.AltID, period, shape, source.Boundary(), unreadable != nil, c.options.Rules.Countries); err != nil {
			return err
		}
	}
	return nil
}

// same reports whether a feature is registered as a source that has its id: the
// period within a day, and the boundary as METI writes it, which may round.
func (s *knownSources) same(k *known, f *feature) (bool, error) {
	const day = 24 * 60 * 60 * 1e6 // microseconds
	const near = 1e-6              // degrees; METI rounds to 9 decimals
	a, b := k.entry, *f.entry
	if max(a.Period.Start-b.Period.Start, b.Period.Start-a.Period.Start, a.Period.End-b.Period.End, b.Period.End-a.Period.End) > day ||
		max(math.Abs(a.Box.West-b.Box.West), math.Abs(a.Box.South-b.Box.South), math.Abs(a.Box.East-b.Box.East), math.Abs(a.Box.North-b.Box.North)) >= near {
		return false, nil
	}
	known, err := s.shapes.At(k.number)
	if err != nil {
		return false, err
	}
	shape, err := f.shape()
	if err != nil {
		return false, err
	}
	return fields.FormOf(known) == fields.FormOf(shape) || math.Abs(known.Hectares()-f.hectares) < 1e-4*f.hectares, nil
}
