package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

// maxCreate is the largest file that is sent in one request. METI's own limit
// is not published; submit sends any number of features in batches.
const maxCreate = 64 << 20

func (a *app) createCommand() *cobra.Command {
	var format string
	var attributes *attributes
	cmd := &cobra.Command{
		Use:   "create FILE",
		Short: "Register the sources of a file in one request",
		Long: `create sends FILE (- for stdin) in one request, which METI takes whole or not at
all, and prints the created sources in the file's order. FILE is one of

  a GeoJSON FeatureCollection or Feature: each feature has an id (your own, it
  becomes alt_id) and the properties start_at and end_at; others are not sent
  an object with feature_collection beside attributes such as methodology
  one source: alt_id, geometry, start_at, end_at and its attributes

The flags put an attribute in place of the file's. Nothing is repeated when an
answer is lost: that is exit code 8, and the sources may be registered. For many
features, and to have such cases settled, use "meti submit".`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := a.chosen(cmd, format)
			if err != nil {
				return err
			}
			data, err := a.readAll(args[0], maxCreate)
			if err != nil {
				return err
			}
			send, err := request(data, attributes)
			if err != nil {
				if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) && kind.Field != "" {
					err = fmt.Errorf("%s is a %s; METI takes a %s", kind.Field, kind.Value, kind.Type)
				}
				return withCode(exitInvalid, fmt.Errorf("%s: %w", args[0], err))
			}
			client, err := a.client()
			if err != nil {
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
	attributes = attributeFlags(cmd)
	outputFlag(cmd, &format)
	return cmd
}

// readAll reads a file, or stdin for "-", up to a size.
func (a *app) readAll(name string, most int64) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, withCode(exitInvalid, fmt.Errorf("%s is larger than %d MiB; meti submit sends it in batches", name, most>>20))
	}
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil
}

type sender func(context.Context, *api.Client) ([]*api.Source, error)

// request reads the file of create in any of its forms.
func request(data []byte, attributes *attributes) (sender, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	var kind string
	_ = json.Unmarshal(members["type"], &kind)
	var many api.SourceCreateFeatures
	var err error
	switch _, wrapped := members["feature_collection"]; {
	case kind == "FeatureCollection":
		err = json.Unmarshal(data, &many.FeatureCollection)
	case kind == "Feature":
		many.FeatureCollection.Features = make([]api.Feature, 1)
		err = json.Unmarshal(data, &many.FeatureCollection.Features[0])
	case wrapped:
		if err = onlyKnown(members, many); err == nil {
			err = json.Unmarshal(data, &many)
		}
	case members["geometry"] != nil && kind == "":
		var one api.SourceCreate
		if err := onlyKnown(members, one); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &one); err != nil {
			return nil, err
		}
		attributes.applyOne(&one)
		return func(ctx context.Context, client *api.Client) ([]*api.Source, error) {
			source, err := client.Sources.CreateOne(ctx, one)
			return []*api.Source{source}, err
		}, nil
	default:
		return nil, errors.New("neither a FeatureCollection, nor feature_collection with attributes, nor one source with a geometry")
	}
	if err != nil {
		return nil, err
	}
	if len(many.FeatureCollection.Features) == 0 {
		return nil, errors.New("there are no features in it")
	}
	attributes.apply(&many)
	return func(ctx context.Context, client *api.Client) ([]*api.Source, error) {
		return client.Sources.Create(ctx, many)
	}, nil
}

// onlyKnown refuses members that would not be sent.
func onlyKnown(members map[string]json.RawMessage, request any) error {
	known := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeOf(request)) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !known[name] {
			return fmt.Errorf("the member %q is not one that METI is known to take", name)
		}
	}
	return nil
}
