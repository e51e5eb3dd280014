package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
)

// knownSources are those to check against.
type knownSources struct {
	from   string // empty for none
	count  int
	others []*feature // those that no feature is registered as; Registered is their SSID
	left   []string   // those that cannot be compared
}

func nameOf(id, altID string) string { return strings.TrimSpace(id + " " + altID) }

// readKnown reads the sources to check against: those of the account, or those of a
// file.
func (r *reading) readKnown(ctx context.Context, against string) error {
	known := &r.known
	path, stdin := against, r.app.stdin
	if against == "account" {
		client, err := r.app.client()
		if err != nil {
			return err
		}
		path, stdin = "-", r.app.listed(ctx, client)
	}
	file, err := fields.Open(ctx, path, stdin)
	if err != nil {
		return fmt.Errorf("--against: %w", err)
	}
	if against == "account" {
		file.Name = "the account"
	}
	known.from = file.Name
	in := &input{File: file}
	r.inputs = append(r.inputs, in)
	judge, err := fields.NewJudge(fields.Options{})
	if err != nil {
		return err
	}
	read := func(item fields.Item) *feature {
		if item.Kind == fields.Source {
			item.Index = 0 // as if each stood in a file of its own
		}
		j := judge.Item(item)
		if !j.Problems.Refused() {
			j.Problems = nil // what METI holds already is not judged by what it should be
		}
		f := in.featureOf(item, j, r.options.Rules.Countries)
		f.Registered = fields.SSID(item)
		return f
	}
	err = fields.Map(ctx, file, read, func(item fields.Item, f *feature) error {
		switch {
		case item.Err != nil:
			return &fields.InputError{Name: file.Name, Line: item.Line, Column: item.Column, Err: item.Err, Rest: true}
		case f.entry == nil:
			known.left = append(known.left, nameOf(f.Registered, f.AltID))
		default:
			known.others = append(known.others, f)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("--against: %w", err)
	}
	if known.count = len(known.others); len(known.left) > 0 {
		const most = 10
		names := strings.Join(known.left[:min(most, len(known.left))], ", ")
		if more := len(known.left) - most; more > 0 {
			names += fmt.Sprintf(" and %d more", more)
		}
		r.app.say("%d of %s left out, without a boundary that can be compared: %s", len(known.left), known.from, printable(names))
	}
	r.findRegistered()
	return nil
}

// findRegistered takes out of the known sources those that a feature is registered
// as: each would conflict with itself.
func (r *reading) findRegistered() {
	mine := map[string][]*feature{} // by alt_id
	for _, f := range r.features {
		if f.entry != nil {
			mine[f.AltID] = append(mine[f.AltID], f)
		}
	}
	r.known.others = slices.DeleteFunc(r.known.others, func(k *feature) (found bool) {
		for _, f := range mine[k.AltID] {
			if k.Registered != "" && f.Registered == "" && f.same(k) {
				f.Registered, found = k.Registered, true
			}
		}
		return found
	})
}

// listed gives the sources of the account, as "sources list -o json" prints them.
func (a *app) listed(ctx context.Context, client *api.Client) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		out := newOutput(&app{system: system{stdout: writer}}, "json", form[*api.Source]{})
		for source, err := range client.Sources.All(ctx, api.AllParams{OnDrift: a.drift}) {
			if err == nil {
				err = out.add(source)
			}
			if err != nil {
				_ = writer.CloseWithError(err)
				return
			}
		}
		_ = writer.CloseWithError(out.end())
	}()
	return reader
}

// same reports whether a feature is registered as a source that has its id: the
// period, as a server in another time zone may write it, and the box and area of the
// boundary, which METI rounds to 9 decimals.
func (f *feature) same(k *feature) bool {
	const hour = 60 * 60 * 1e6 // microseconds; summer time may shift one end by it
	const near = 1e-6          // degrees
	a, b := f.entry, k.entry
	start, end := a.Period.Start-b.Period.Start, a.Period.End-b.Period.End
	return max(start, -start, end, -end) <= 24*hour && max(start-end, end-start) <= hour &&
		max(math.Abs(a.Box.West-b.Box.West), math.Abs(a.Box.South-b.Box.South), math.Abs(a.Box.East-b.Box.East), math.Abs(a.Box.North-b.Box.North)) < near &&
		math.Abs(*f.Hectares-*k.Hectares) <= 1e-4**f.Hectares
}
