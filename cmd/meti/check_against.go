package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/features"
	"github.com/meti-go/meti/ledger"
)

// readKnown reads the sources to check against: those of the account, or those
// of a file.
func (c *checking) readKnown(ctx context.Context, against string) (err error) {
	if c.shapes, err = newSpool(); err != nil {
		return err
	}
	if against == "account" {
		return c.readAccount(ctx)
	}
	in, err := c.app.openInput(against)
	if err != nil {
		return err
	}
	defer in.close()
	leftOut := 0
	err = inParallel(ctx, features.NewReader(in.reader).All(), c.parseKnown, func(_ features.Item, k known, err error) error {
		if err == nil && k.err != nil {
			leftOut++
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
		return c.addKnown(k)
	})
	if leftOut > 0 {
		c.app.say("warning: %d of %s left out: not what a ledger could hold", leftOut, in.name)
	}
	return err
}

// known is a source to check against, on its way into the batch.
type known struct {
	id, altID string
	source    ledger.Source
	err       error
}

func (c *checking) addKnown(k known) error {
	wkb, err := k.source.Shape.MarshalBinary()
	if err != nil {
		return err
	}
	at, err := c.shapes.write(wkb)
	if err != nil {
		return err
	}
	c.batch.AddStored(ledger.EntryOf(k.source))
	c.known = append(c.known, knownSource{k.id, k.altID, at})
	return nil
}

// readAccount lists the account.
func (c *checking) readAccount(ctx context.Context) error {
	client, err := c.app.client()
	if err != nil {
		return err
	}
	leftOut := 0
	for s, err := range client.Sources.All(ctx, api.AllParams{OnDrift: c.app.drift}) {
		if err != nil {
			return err
		}
		geometry := s.Geometry
		if len(geometry) == 0 {
			geometry = s.GeoJSON
		}
		k := c.source(s.ID, s.AltID, ledger.Period{Start: ledger.TimeOf(s.StartAt.Time), End: ledger.TimeOf(s.EndAt.Time)}, geometry)
		if k.err != nil {
			leftOut++
			continue
		}
		if err := c.addKnown(k); err != nil {
			return err
		}
	}
	if leftOut > 0 {
		c.app.say("warning: %d of the account's sources left out: METI answered no geometry, or none that can be read", leftOut)
	}
	return nil
}

// source makes a source to check against. Its country is looked up as that of
// the features is, so that both come from the same table.
func (c *checking) source(id, altID string, period ledger.Period, geometry []byte) known {
	shape, err := ledger.ParseGeometry(geometry)
	if err != nil {
		return known{err: err}
	}
	return known{id: id, altID: altID, source: ledger.Source{Shape: shape, Period: period, Country: c.rules.Countries.Of(shape)}}
}

// parseKnown reads a Feature, or a source as METI answers it.
func (c *checking) parseKnown(item features.Item) known {
	if item.Type == "Feature" {
		f, problems := ledger.ParseFeature(item.Raw, ledger.Rules{})
		if err := problems.Err(); err != nil {
			return known{err: err}
		}
		return known{altID: f.AltID, source: ledger.Source{Shape: f.Shape, Period: f.Period, Country: c.rules.Countries.Of(f.Shape)}}
	}
	var s struct {
		ID       string          `json:"id"`
		AltID    string          `json:"alt_id"`
		StartAt  string          `json:"start_at"`
		EndAt    string          `json:"end_at"`
		Geometry json.RawMessage `json:"geometry"`
		GeoJSON  json.RawMessage `json:"geojson"`
	}
	if err := json.Unmarshal(item.Raw, &s); err != nil {
		return known{err: err}
	}
	if len(s.Geometry) == 0 {
		s.Geometry = s.GeoJSON
	}
	start, err := ledger.ParseTime(s.StartAt)
	end, err2 := ledger.ParseTime(s.EndAt)
	if err := errors.Join(err, err2); err != nil {
		return known{err: err}
	}
	return c.source(s.ID, s.AltID, ledger.Period{Start: start, End: end}, s.Geometry)
}
