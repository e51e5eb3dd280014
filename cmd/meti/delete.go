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
	*app
	client      *api.Client
	ask, dryRun bool
	bounded     bool // by --max: what cannot be counted is not deleted
}

// mostAsked is how many sources are deleted upon a question without --max.
const mostAsked = 1000

func (a *app) deleteCommand() *cobra.Command {
	d := &deleting{app: a}
	var altIDs []string
	var yes bool
	var most int
	cmd := describe("delete ID…", cobra.ArbitraryArgs)
	flags := cmd.Flags()
	flags.StringArrayVar(&altIDs, "alt-id", nil, "delete every source that has this id of your own; may be repeated")
	flags.BoolVarP(&yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&d.dryRun, "dry-run", false, "show what would be deleted, and delete nothing")
	flags.IntVar(&most, "max", 0, "delete nothing if there are more sources than this (default: 1000 where it asks, else no limit)")
	format := a.outputFlag(cmd, "table", "ndjson", "json", "csv")
	cmd.RunE = func(cmd *cobra.Command, ids []string) (err error) {
		ctx := cmd.Context()
		switch {
		case altIDs != nil && len(ids) > 0:
			return usage("give SSIDs or --alt-id, not both")
		case slices.Contains(altIDs, ""):
			return usage("--alt-id is empty")
		case altIDs == nil && len(ids) == 0:
			return usage("give the SSIDs of the sources to delete, or --alt-id")
		case flags.Changed("max") && most < 1:
			return usage("--max is a number of sources")
		}
		d.ask, d.bounded = a.asks(yes) && !d.dryRun, flags.Changed("max")
		if at := slices.Index(ids, "-"); at >= 0 {
			d.ask = false // stdin is taken
			text, err := io.ReadAll(interruptible(ctx, a.stdin))
			if err != nil {
				return fmt.Errorf("reading ids from stdin: %w", err)
			}
			ids = slices.Replace(ids, at, at+1, strings.Fields(string(text))...)
		}
		if d.ask {
			most = cmp.Or(most, mostAsked)
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
		for _, altID := range altIDs {
			list = append(list, deletion{AltID: altID})
		}
		if list, err = d.lookUp(ctx, list); err != nil {
			return err
		}
		found := 0
		for _, one := range list {
			if one.Outcome == "" {
				found++
			}
		}
		if most > 0 && found > most {
			return usage("that would delete %d sources, more than --max %d; nothing was deleted", found, most)
		}
		if err := d.announce(ctx, list, found); err != nil {
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
		if one.ID != "" && !d.ask && !d.dryRun {
			list = append(list, one)
			continue
		}
		before := len(list)
		params := api.AllParams{Filter: api.Filter{ID: one.ID, AltID: one.AltID}, OnDrift: d.drift}
		for s, err := range d.client.Sources.All(ctx, params) {
			if errors.Is(err, api.ErrForbidden) && !d.dryRun && !(d.bounded && one.ID == "") {
				list = append(list, one) // it is deleted unseen
				break
			}
			if err != nil {
				return nil, err
			}
			if one.ID != "" && s.ID == one.ID || one.AltID != "" && s.AltID == one.AltID { // a server may pass over a filter
				list = append(list, deletion{ID: s.ID, AltID: s.AltID, StartAt: s.StartAt.String(), EndAt: s.EndAt.String()})
			}
		}
		if len(list) == before {
			one.Outcome, one.Reason = "not found", "no source has this alt_id"
			if one.ID != "" {
				one.Reason = "no source has this id"
			}
			list = append(list, one)
		}
	}
	return list, nil
}

// announce says how many are about to be deleted and where, and asks where there is
// a person to ask.
func (d *deleting) announce(ctx context.Context, list []deletion, found int) error {
	what, doing := plural(found, "source", "sources"), "deleting "
	switch {
	case found == 0:
		doing, what = "there is nothing to delete", ""
	case d.dryRun:
		doing = "would delete "
	}
	if err := d.app.announce(ctx, d.client, doing+what+" at"); err != nil || !d.ask || found == 0 {
		return err
	}
	for _, one := range list {
		fmt.Fprintf(d.stderr, "  %s  %s  %s  %s\n", cmp.Or(one.ID, "-"), printable(cmp.Or(one.AltID, "-")), period(one.StartAt, one.EndAt), one.Outcome)
	}
	return d.confirm(ctx, "Delete "+what+"?")
}

// run deletes one after another, prints what became of each, and fails with the
// first error, or with exitPartly where something was deleted.
func (d *deleting) run(ctx context.Context, list []deletion, format string) error {
	out := newOutput(d.app, format, deletionForm)
	var first error
	deleted, ended := 0, false
	for _, one := range list {
		var err error
		switch ended = ended || ctx.Err() != nil; {
		case ended:
			one.Outcome, err = "not tried", context.Cause(ctx)
		case one.Outcome != "":
			err = fmt.Errorf("%s: %s: %w", cmp.Or(one.ID, one.AltID), one.Reason, api.ErrNotFound)
		case d.dryRun:
			one.Outcome = "would be deleted"
		default:
			if err = d.delete(ctx, one); err == nil {
				one.Outcome = "deleted"
				deleted++
				break
			}
			if one.Outcome, one.Reason = "failed", err.Error(); errors.Is(err, api.ErrNotFound) {
				one.Outcome = "not found"
			}
			ended = errors.Is(err, api.ErrUnauthorized) || errors.Is(err, api.ErrNoToken) || errors.Is(err, api.ErrForbidden)
		}
		first = cmp.Or(first, err)
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

func (d *deleting) delete(ctx context.Context, one deletion) error {
	if one.ID == "" {
		return d.client.Sources.DeleteByAltID(ctx, one.AltID)
	}
	return d.client.Sources.Delete(ctx, one.ID)
}
