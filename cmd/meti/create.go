package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/wire"
)

// maxCreate is the size of the largest file that is sent in one request. METI's
// own limit is not published; submit sends any number of features in batches.
const maxCreate = 64 << 20

func (a *app) createCommand() *cobra.Command {
	cmd := describe("create FILE", cobra.ExactArgs(1))
	mapping, attributes, format := mappingFlags(cmd), attributeFlags(cmd), a.outputFlag(cmd, formats...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var given api.SourceCreateFeatures
		if err := attributes.into(&given); err != nil {
			return err
		}
		request, err := a.readRequest(cmd.Context(), args[0], *mapping, given)
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		if err := a.announce(cmd.Context(), client, "registering "+filepath.Base(args[0])+" at"); err != nil {
			return err
		}
		sources, err := client.Sources.Create(cmd.Context(), request)
		if err != nil {
			return err
		}
		out, conflicts := a.sourceOutput(*format), 0
		for _, s := range sources {
			if err := out.add(s); err != nil {
				return err
			}
			if s.InConflict() {
				conflicts++
			}
		}
		if conflicts > 0 {
			a.say("registered %d, of which %d in conflict", len(sources), conflicts)
		}
		return out.end()
	}
	return cmd
}

// readRequest makes a file the body of one request. It fails where something in
// it is invalid.
func (a *app) readRequest(ctx context.Context, name string, o fields.Options, given api.SourceCreateFeatures) (request api.SourceCreateFeatures, err error) {
	var features []api.Feature
	size := 0
	r := reading{app: a, options: o, given: given, keep: func(item fields.Item, f fields.Judged) error {
		if size += len(item.Raw); size > maxCreate {
			return withCode(exitInvalid, fmt.Errorf("more than %d MiB; meti submit sends it in batches", maxCreate>>20))
		}
		// Times go as the judge read them: in UTC, to the microsecond.
		when := func(t ledger.Time) wire.Time { return wire.TimeFromText(t.String()) }
		features = append(features, api.Feature{ID: f.AltID, Geometry: f.Geometry,
			Properties: api.FeatureProperties{StartAt: when(f.Period.Start), EndAt: when(f.Period.End)}})
		return nil
	}}
	defer r.close()
	if err := r.read(ctx, name); err != nil {
		return request, err
	}
	in := r.inputs[0]
	switch {
	case in.ended != nil:
		return request, withCode(exitInvalid, in.ended)
	case len(features) == 0:
		return request, withCode(exitInvalid, errors.New(in.Name+": there are no features in it"))
	}
	for _, p := range in.problems {
		a.say("%s: all features: %s", in.Name, problemText(p))
	}
	invalid := 0
	for _, f := range r.features {
		for _, p := range f.Problems {
			a.say("%s:%d: %s: %s", f.File, f.Line, f.name(), problemText(p))
		}
		if !f.Valid {
			invalid++
		}
	}
	if invalid > 0 {
		return request, withCode(exitInvalid, fmt.Errorf("%s: nothing was sent: %d of %s invalid", in.Name, invalid, plural(len(features), "feature", "features")))
	}
	request = in.attributes
	request.FeatureCollection.Features = features
	return request, nil
}
