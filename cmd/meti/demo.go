package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/testdata"
)

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Register, list, show and delete sources on an emulator; needs no credentials",
		Args:  arguments(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context()) },
	}
}

// demo does the main job from end to end. What it does goes to stderr, what
// came of it to stdout.
func (a *app) demo(ctx context.Context) (err error) {
	// With a seed the SSIDs are the same each time.
	server, err := emulator.Start(emulator.Options{Seed: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	ready := server.Ready()
	a.step("An emulator of METI and Auth0 runs at %s.", ready.URL)

	source, err := authn.New(authn.Config{
		Domain: ready.Domain, Audience: ready.Audience,
		ClientID: ready.ClientID, ClientSecret: authn.Secret(ready.ClientSecret),
	})
	if err != nil {
		return err
	}
	grant, err := source.Grant(ctx)
	if err != nil {
		return err
	}
	scopes, _ := grant.Scopes()
	a.step("Got a token for %s, valid until %s.", strings.Join(scopes, " "), grant.Expiry().UTC().Format(time.RFC3339))
	client, err := api.New(api.WithAuth(source), api.WithBaseURL(ready.URL))
	if err != nil {
		return err
	}

	created, err := a.demoRegister(ctx, client)
	if err != nil {
		return err
	}
	var disputed []*api.Source
	for _, s := range created {
		if s.InConflict() {
			disputed = append(disputed, s)
		}
	}

	const methodology = api.Methodology("Agriculture")
	a.step("The sources with methodology %s:", methodology)
	list := a.sourceRows("table")
	for s, err := range client.Sources.All(ctx, api.AllParams{Filter: api.Filter{Methodology: methodology}}) {
		if err != nil {
			return err
		}
		if err := list.add(s, sourceCells(s)); err != nil {
			return err
		}
	}
	if err := list.end(); err != nil {
		return err
	}

	a.step("One of them, without its geometry:")
	one, err := client.Sources.Get(ctx, created[0].ID)
	if err != nil {
		return err
	}
	one.Geometry, one.GeoJSON = nil, nil
	if err := a.printJSON(one); err != nil {
		return err
	}

	if len(disputed) == 0 {
		return errors.New("the demo's fields were to conflict, and do not")
	}
	last := disputed[len(disputed)-1]
	a.step("%s lies over a field registered before it, so both are in conflict:", last.AltID)
	if err := a.printAgain(ctx, client, append([]string{last.ID}, last.ConflictWith...)); err != nil {
		return err
	}
	if err := client.Sources.Delete(ctx, last.ID); err != nil {
		return err
	}
	a.step("Deleted it; that clears the conflict of the other:")
	if err := a.printAgain(ctx, client, last.ConflictWith); err != nil {
		return err
	}
	requests := server.Requests()
	total := 0
	for _, n := range requests {
		total += n
	}
	a.step("%d requests, of which %d for a token. Nothing was kept.", total, requests["requestToken"])
	return nil
}

// demoRegister registers the example fields, in one request for each
// methodology.
func (a *app) demoRegister(ctx context.Context, client *api.Client) ([]*api.Source, error) {
	var fields struct {
		Features []struct {
			Properties struct{ Methodology api.Methodology }
		}
	}
	var collection api.FeatureCollection
	if err := errors.Join(json.Unmarshal(testdata.Fields, &fields), json.Unmarshal(testdata.Fields, &collection)); err != nil {
		return nil, err
	}
	byMethodology := map[api.Methodology][]api.Feature{}
	var order []api.Methodology
	for i, f := range fields.Features {
		m := f.Properties.Methodology
		if byMethodology[m] == nil {
			order = append(order, m)
		}
		byMethodology[m] = append(byMethodology[m], collection.Features[i])
	}
	var created []*api.Source
	for _, m := range order {
		sources, err := client.Sources.Create(ctx, api.SourceCreateFeatures{
			Methodology:       &m,
			FeatureCollection: api.FeatureCollection{Features: byMethodology[m]},
		})
		if err != nil {
			return nil, err
		}
		created = append(created, sources...)
	}
	var parts []string
	for _, m := range order {
		parts = append(parts, fmt.Sprintf("%d %s", len(byMethodology[m]), m))
	}
	a.step("Registered %d fields: %s.", len(created), strings.Join(parts, ", "))
	return created, nil
}

// printAgain gets sources and prints them.
func (a *app) printAgain(ctx context.Context, client *api.Client, ids []string) error {
	var sources []*api.Source
	for _, id := range ids {
		s, err := client.Sources.Get(ctx, id)
		if err != nil {
			return err
		}
		sources = append(sources, s)
	}
	return a.printSources("table", sources)
}

// step tells what the demo does.
func (a *app) step(format string, args ...any) { fmt.Fprintf(a.stderr, "\n"+format+"\n", args...) }
