package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// knownSources are those to check against. Their shapes are kept in a file.
type knownSources struct {
	all     []known
	byAltID map[string][]int32 // those with an SSID
	stored  []int32            // the batch's, as places in all
	left    []string           // those that cannot be compared
	file    *os.File
	end     int64
}

// known is a source to check against.
type known struct {
	id, altID string
	entry     ledger.Entry
	offset    int64
	length    int32
}

func (k *knownSources) close() {
	if k.file != nil {
		fields.DiscardFile(k.file)
	}
}

func (k *knownSources) shape(i int32) (*ledger.Shape, error) {
	wkb := make([]byte, k.all[i].length)
	if _, err := k.file.ReadAt(wkb, k.all[i].offset); err != nil {
		return nil, err
	}
	return ledger.ShapeFromBinary(wkb)
}

// addKnown takes a source, unless it has no boundary that can be read.
func (c *checking) addKnown(id, altID string, period ledger.Period, shape *ledger.Shape, err error) error {
	k := &c.known
	if err != nil || shape == nil || shape.Empty() {
		k.left = append(k.left, name(id, altID))
		return nil
	}
	wkb, err := shape.MarshalBinary()
	if err != nil {
		return err
	}
	if k.byAltID == nil {
		k.byAltID = map[string][]int32{}
	}
	if id != "" {
		k.byAltID[altID] = append(k.byAltID[altID], int32(len(k.all)))
	}
	// The country is looked up as that of the features is, so that both come from
	// the same table.
	entry := ledger.EntryOf(ledger.Source{Shape: shape, Period: period, Country: c.rules.Countries.Of(shape)})
	k.all = append(k.all, known{id: id, altID: altID, entry: entry, offset: k.end, length: int32(len(wkb))})
	n, err := k.file.WriteAt(wkb, k.end)
	k.end += int64(n)
	return err
}

func name(id, altID string) string { return strings.TrimSpace(id + " " + altID) }

// readKnown reads the sources to check against: those of the account, or those
// of a file.
func (c *checking) readKnown(ctx context.Context, against string) (err error) {
	if c.known.file, err = fields.TemporaryFile(); err != nil {
		return err
	}
	if against == "account" {
		against, err = "the account", c.readAccount(ctx)
	} else {
		err = c.readKnownFile(ctx, against)
	}
	if err != nil {
		return err
	}
	if left := c.known.left; len(left) > 0 {
		const most = 10
		more := ""
		if len(left) > most {
			left, more = left[:most], fmt.Sprintf(" and %d more", len(left)-most)
		}
		c.app.say("%d of %s left out, without a boundary that can be compared: %s%s",
			len(c.known.left), against, printable(strings.Join(left, ", ")), more)
	}
	return c.recognise()
}

func (c *checking) readKnownFile(ctx context.Context, path string) error {
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
		id  string
		err error
	}
	read := func(item fields.Item) (s source) {
		if s.err = item.Err; item.Kind == fields.Source {
			s.id = fields.SSID(item)
			item.Index = 0 // as if each stood in a file of its own
		}
		s.Judged = judge.Item(item)
		if s.err == nil && s.Problems.Refused() {
			s.err = s.Problems.Err()
		}
		return s
	}
	err = fields.Map(ctx, file, read, func(item fields.Item, s source) error {
		if item.Err != nil {
			return &fields.InputError{Name: file.Name, Line: item.Line, Column: item.Column, Err: item.Err, Rest: true}
		}
		return c.addKnown(s.id, s.AltID, s.Period, s.Shape, s.err)
	})
	if err != nil {
		return fmt.Errorf("--against: %w", err)
	}
	return nil
}

// readAccount lists the account.
func (c *checking) readAccount(ctx context.Context) error {
	client, err := c.app.client()
	if err != nil {
		return err
	}
	for s, err := range client.Sources.All(ctx, api.AllParams{OnDrift: c.app.drift}) {
		if err != nil {
			return err
		}
		period := ledger.Period{Start: ledger.TimeOf(s.StartAt.Time), End: ledger.TimeOf(s.EndAt.Time)}
		shape, err := ledger.ParseGeometry(s.Boundary())
		if err := c.addKnown(s.ID, s.AltID, period, shape, err); err != nil {
			return err
		}
	}
	return nil
}

// recognise finds features that are registered already. What they are registered
// as is not checked against: each would conflict with itself.
func (c *checking) recognise() error {
	isOurs := make([]bool, len(c.known.all))
	for _, i := range c.candidates {
		f := &c.found[i]
		if c.known.byAltID[f.altID] == nil {
			continue
		}
		one, err := c.again(int(i))
		if err != nil {
			return err
		}
		if f.registered, err = c.known.find(one); err != nil {
			return err
		}
		if f.registered >= 0 {
			isOurs[f.registered] = true
		}
	}
	for i, k := range c.known.all {
		if !isOurs[i] {
			c.batch.AddStored(k.entry)
			c.known.stored = append(c.known.stored, int32(i))
		}
	}
	return nil
}

// find finds the source that a feature is registered as, -1 where there is none:
// the same id, the period within a day, and the boundary as METI writes it, which
// may round.
func (k *knownSources) find(f fields.Judged) (int32, error) {
	box, _ := f.Shape.Box()
	for _, i := range k.byAltID[f.AltID] {
		at := k.all[i].entry
		apart := max(at.Period.Start-f.Period.Start, f.Period.Start-at.Period.Start, at.Period.End-f.Period.End, f.Period.End-at.Period.End)
		if apart > 24*60*60*1e6 || !sameBox(at.Box, box) {
			continue
		}
		shape, err := k.shape(i)
		if err != nil {
			return -1, err
		}
		if hectares := f.Shape.Hectares(); fields.FormOf(shape) == fields.FormOf(f.Shape) || math.Abs(shape.Hectares()-hectares) < 1e-4*hectares {
			return i, nil
		}
	}
	return -1, nil
}

func sameBox(a, b ledger.Box) bool {
	const near = 1e-6 // degrees; METI rounds to 9 decimals
	return max(math.Abs(a.West-b.West), math.Abs(a.South-b.South), math.Abs(a.East-b.East), math.Abs(a.North-b.North)) < near
}
