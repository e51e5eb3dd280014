package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

// deletion is one line of what delete prints: a source, or all that have an id
// of one's own.
type deletion struct {
	ID      string `json:"id,omitempty"`
	AltID   string `json:"alt_id,omitempty"`
	StartAt string `json:"start_at,omitempty"` // the period, where it was looked up
	EndAt   string `json:"end_at,omitempty"`
	Outcome string `json:"outcome"` // deleted, would be deleted, not found, failed, not tried
	Reason  string `json:"reason,omitempty"`
}

var deletionForm = form[deletion]{
	columns: []column{{head: "ID"}, {head: "ALT ID", least: 8}, {head: "PERIOD", drop: 1}, {head: "OUTCOME"}, {head: "REASON", least: 10}},
	cells: func(d deletion) []string {
		return []string{d.ID, d.AltID, period(d.StartAt, d.EndAt), d.Outcome, d.Reason}
	},
}

// deleting is one run of delete.
type deleting struct {
	app         *app
	client      *api.Client
	altIDs      []string
	ask, dryRun bool
}

// mostAsked is how many sources are deleted upon a question without --max.
const mostAsked = 1000

func (a *app) deleteCommand() *cobra.Command {
	d := &deleting{app: a}
	var yes bool
	var most int
	cmd := describe("delete ID…", cobra.ArbitraryArgs)
	flags := cmd.Flags()
	flags.StringArrayVar(&d.altIDs, "alt-id", nil, "delete every source that has this id of your own; may be repeated")
	flags.BoolVarP(&yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&d.dryRun, "dry-run", false, "show what would be deleted, and delete nothing")
	flags.IntVar(&most, "max", 0, "delete nothing if there are more sources than this (default: 1000 where it asks, else no limit)")
	format := a.outputFlag(cmd, "table", "ndjson", "json", "csv")
	cmd.RunE = func(cmd *cobra.Command, ids []string) (err error) {
		ctx, limited := cmd.Context(), flags.Changed("max")
		switch {
		case d.altIDs != nil && len(ids) > 0:
			return usage("give SSIDs or --alt-id, not both")
		case slices.Contains(d.altIDs, ""):
			return usage("--alt-id is empty")
		case d.altIDs == nil && len(ids) == 0:
			return usage("give the SSIDs of the sources to delete, or --alt-id")
		case limited && most < 1:
			return usage("--max is a number of sources")
		}
		d.ask = a.asks(yes) && !d.dryRun
		if at := slices.Index(ids, "-"); at >= 0 {
			d.ask = false // stdin is taken
			text, err := io.ReadAll(interruptible(ctx, a.stdin))
			if err != nil {
				return fmt.Errorf("reading ids from stdin: %w", err)
			}
			ids = slices.Replace(ids, at, at+1, strings.Fields(string(text))...)
		}
		if d.client, err = a.client(); err != nil {
			return err
		}
		if sandbox(d.client.Server()) {
			return usage("the sandbox keeps nothing, and has nothing to delete")
		}
		var list []deletion
		for _, id := range ids {
			list = append(list, deletion{ID: id})
		}
		for _, altID := range d.altIDs {
			list = append(list, deletion{AltID: altID})
		}
		if list, err = d.lookUp(ctx, list); err != nil {
			return err
		}
		if d.ask && !limited {
			limited, most = true, mostAsked
		}
		if limited && len(list) > most {
			return usage("that would delete %d sources, more than --max %d; nothing was deleted", len(list), most)
		}
		if err := d.announce(ctx, list); err != nil {
			return err
		}
		return d.run(ctx, list, *format)
	}
	return cmd
}

// lookUp puts the sources that are to be deleted in the place of their ids: where
// they are shown, or an id of one's own names them, and the token may read.
func (d *deleting) lookUp(ctx context.Context, ids []deletion) (list []deletion, err error) {
	for _, one := range ids {
		var found []deletion
		add := func(s *api.Source) {
			found = append(found, deletion{ID: s.ID, AltID: s.AltID, StartAt: s.StartAt.String(), EndAt: s.EndAt.String()})
		}
		switch {
		case one.AltID != "":
			params := api.AllParams{Filter: api.Filter{AltID: one.AltID}, OnDrift: d.app.drift}
			for s, wrong := range d.client.Sources.All(ctx, params) {
				if err = wrong; err == nil && s.AltID == one.AltID {
					add(s)
				}
			}
			if err == nil && found == nil {
				one.Outcome, one.Reason = "not found", "no source has this alt_id"
			}
		case d.ask || d.dryRun:
			var s *api.Source
			if s, err = d.client.Sources.Get(ctx, one.ID); err == nil {
				add(s)
			} else if errors.Is(err, api.ErrNotFound) {
				one.Outcome, one.Reason, err = "not found", err.Error(), nil
			}
		}
		if err != nil && (d.dryRun || !errors.Is(err, api.ErrForbidden)) {
			return nil, err
		}
		if err != nil || found == nil { // it is deleted unseen, or not found
			found = []deletion{one}
		}
		list = append(list, found...)
	}
	return list, nil
}

// announce says what is about to be deleted and where, and asks where there is a
// person to ask.
func (d *deleting) announce(ctx context.Context, list []deletion) error {
	what, doing := plural(len(list), "source", "sources"), "deleting "
	if d.dryRun {
		doing = "would delete "
	}
	if err := d.app.announce(ctx, d.client, doing+what+" at"); err != nil || !d.ask {
		return err
	}
	for _, one := range list {
		fmt.Fprintf(d.app.stderr, "  %s  %s  %s  %s\n", cmp.Or(one.ID, "-"), printable(cmp.Or(one.AltID, "-")), period(one.StartAt, one.EndAt), one.Outcome)
	}
	return d.app.confirm(ctx, "Delete "+what+"?")
}

// run deletes one after another, prints what became of each, and fails with the
// first error, or with exitPartly where something was deleted.
func (d *deleting) run(ctx context.Context, list []deletion, format string) error {
	out := newOutput(d.app, format, deletionForm)
	var first error
	deleted, ended := 0, false
	for _, one := range list {
		if ended = ended || ctx.Err() != nil; ended {
			one.Outcome = "not tried"
			first = cmp.Or(first, context.Cause(ctx))
		} else {
			err := d.remove(ctx, &one)
			first = cmp.Or(first, err)
			ended = errors.Is(err, api.ErrUnauthorized) || errors.Is(err, api.ErrNoToken) || errors.Is(err, api.ErrForbidden)
		}
		if one.Outcome == "deleted" {
			deleted++
		}
		if err := errors.Join(out.add(one), out.flush()); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	if first != nil && deleted > 0 {
		return withCode(exitPartly, fmt.Errorf("%d of %d deleted: %w", deleted, len(list), first))
	}
	return first
}

// remove deletes what one names, and says in it what became of that.
func (d *deleting) remove(ctx context.Context, one *deletion) (err error) {
	switch {
	case one.Outcome != "":
		return fmt.Errorf("%s: %s: %w", cmp.Or(one.ID, one.AltID), one.Reason, api.ErrNotFound)
	case d.dryRun:
		one.Outcome = "would be deleted"
		return nil
	case one.ID == "":
		err = d.client.Sources.DeleteByAltID(ctx, one.AltID)
	default:
		err = d.client.Sources.Delete(ctx, one.ID)
	}
	switch {
	case err == nil:
		one.Outcome = "deleted"
	case errors.Is(err, api.ErrNotFound):
		one.Outcome, one.Reason = "not found", err.Error()
	default:
		one.Outcome, one.Reason = "failed", err.Error()
	}
	return err
}
