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
	var output func() (string, error)
	var mapped *mapping
	var attributes given
	cmd := &cobra.Command{
		Use:   "create FILE",
		Short: "Register the sources of a file in one request",
		Long: `create sends FILE (- for stdin) in one request, which METI takes whole or not at
all, and prints the created sources in the file's order. FILE is what "meti check"
reads, or one source: alt_id, geometry, start_at, end_at and its attributes. What
check calls invalid is not sent, and nothing else either.

The flags put an attribute in place of the file's. Nothing is repeated when an
answer is lost: that is exit code 8, and the sources may be registered. For many
features, and to have such cases settled, use "meti submit".`,
		Example: "  meti sources create fields.geojson --methodology Agriculture",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := output()
			if err != nil {
				return err
			}
			options, err := mapped.options(cmd)
			if err != nil {
				return err
			}
			send, err := a.request(cmd.Context(), args[0], options, attributes)
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
			sources, err := send(cmd.Context(), client)
			if err != nil {
				return err
			}
			conflicts := 0
			for _, s := range sources {
				if s.InConflict() {
					conflicts++
				}
			}
			if conflicts > 0 {
				a.say("registered %d, of which %d in conflict", len(sources), conflicts)
			}
			return a.printSources(format, sources)
		},
	}
	mapped = mappingFlags(cmd)
	attributes = attributeFlags(cmd)
	output = a.outputFlag(cmd, formats...)
	return cmd
}

type sender func(context.Context, *api.Client) ([]*api.Source, error)

// request reads and judges the file of create.
func (a *app) request(ctx context.Context, path string, options fields.Options, attributes given) (sender, error) {
	judge, err := fields.NewJudge(options)
	if err != nil {
		return nil, err
	}
	file, err := fields.Open(ctx, path, a.stdin)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	type feature struct {
		fields.Judged
		place fields.Place
	}
	var found []feature
	var repeats fields.Repeats
	size, source := 0, false
	err = file.Judge(ctx, judge, func(item fields.Item, f fields.Judged) error {
		if size += len(item.Raw); size > maxCreate {
			return withCode(exitInvalid, fmt.Errorf("more than %d MiB; meti submit sends it in batches", maxCreate>>20))
		}
		repeats.Add(item.Line, &f, fields.FormOf(f.Shape))
		source = item.Kind == fields.Source
		f.Shape = nil
		found = append(found, feature{f, item.Place})
		return nil
	})
	if err != nil {
		return nil, unreadable(file, err)
	}
	if len(found) == 0 {
		return nil, withCode(exitInvalid, fmt.Errorf("%s: there are no features in it", file.Name))
	}

	var many api.SourceCreateFeatures
	var one api.SourceCreate
	var problems ledger.Problems
	if err := errors.Join(attributes.into(&one), attributes.into(&many)); err != nil {
		return nil, err
	}
	if source {
		one, problems = fields.Share(file, one, options.Rules)
	} else {
		many, problems = fields.Share(file, many, options.Rules)
	}
	problems = append(problems, file.Problems(options.Rules)...)
	for _, p := range problems {
		a.say("%s: all features: %s", file.Name, problemText(p))
	}
	invalid := 0
	for i, f := range found {
		own := append(f.Problems, repeats.Problems(i, options.Rules)...)
		for _, p := range own {
			a.say("%s:%d: %s: %s", file.Name, f.place.Line, printable(f.AltID), problemText(p))
		}
		if own.Invalid() || problems.Invalid() {
			invalid++
		}
	}
	if invalid > 0 {
		if missing := judge.Missing(); missing != nil && !source {
			a.say("%s: %s", file.Name, printable(missing.Error()))
		}
		return nil, withCode(exitInvalid, fmt.Errorf("%s: nothing was sent: %d of %s invalid", file.Name, invalid, plural(len(found), "feature", "features")))
	}

	// Times go as the judge read them: in UTC, to the microsecond.
	when := func(t ledger.Time) wire.Time { return wire.TimeFromText(t.String()) }
	if source {
		f := found[0]
		one.AltID, one.Geometry = f.AltID, f.Geometry
		start, end := when(f.Period.Start), when(f.Period.End)
		one.StartAt, one.EndAt = &start, &end
		return func(ctx context.Context, client *api.Client) ([]*api.Source, error) {
			source, err := client.Sources.CreateOne(ctx, one)
			return []*api.Source{source}, err
		}, nil
	}
	for _, f := range found {
		many.FeatureCollection.Features = append(many.FeatureCollection.Features, api.Feature{
			ID: f.AltID, Geometry: f.Geometry,
			Properties: api.FeatureProperties{StartAt: when(f.Period.Start), EndAt: when(f.Period.End)},
		})
	}
	return func(ctx context.Context, client *api.Client) ([]*api.Source, error) {
		return client.Sources.Create(ctx, many)
	}, nil
}
