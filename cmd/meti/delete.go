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

var deletionForm = form[deletion]{columns: []column[deletion]{
	{head: "ID", cell: func(d deletion) string { return d.ID }},
	{head: "ALT ID", cell: func(d deletion) string { return d.AltID }, least: 8},
	{head: "PERIOD", cell: func(d deletion) string { return period(d.StartAt, d.EndAt) }, drop: 1},
	{head: "OUTCOME", cell: func(d deletion) string { return d.Outcome }},
	{head: "REASON", cell: func(d deletion) string { return d.Reason }, least: 10},
}}

// deleting is one run of delete.
type deleting struct {
	app         *app
	client      *api.Client
	altIDs      []string
	yes, dryRun bool
	most        int
	format      string
}

// mostAsked is how many sources are deleted upon a question without --max.
const mostAsked = 1000

func (a *app) deleteCommand() *cobra.Command {
	d := &deleting{app: a}
	var output func() (string, error)
	cmd := &cobra.Command{
		Use:   "delete ID…",
		Short: "Delete sources, by SSID or by your own id",
		Long: `delete deletes the sources with these SSIDs one after another (- reads them from
stdin, separated by white space), or with --alt-id all that have that id of your
own. A line tells what became of each, as soon as it is known.

At a terminal it shows what it will delete and asks first, unless --yes is given
or METI_YES=1 is set. It looks sources up only to show them, and for --alt-id
where the token may read; a token with delete:sources alone deletes, unseen.

Exit code 9 means that some were deleted and others not. A token that is
refused ends it: the rest is not tried.`,
		Example: `  meti sources delete --alt-id punjab-wheat --dry-run
  echo src_9fKQ2mZr7TbVw | meti sources delete - --yes`,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args: func(cmd *cobra.Command, args []string) error {
			switch byAltID := cmd.Flags().Changed("alt-id"); {
			case byAltID && len(args) > 0:
				return usage(cmd, errors.New("give SSIDs or --alt-id, not both"))
			case byAltID && slices.Contains(d.altIDs, ""):
				return usage(cmd, errors.New("--alt-id is empty"))
			case !byAltID && len(args) == 0:
				return usage(cmd, errors.New("give the SSIDs of the sources to delete, or --alt-id"))
			case cmd.Flags().Changed("max") && d.most < 1:
				return usage(cmd, errors.New("--max is a number of sources"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if d.format, err = output(); err != nil {
				return err
			}
			ask := a.asks(d.yes)
			if slices.Contains(args, "-") { // stdin is taken
				ask = false
				if args, err = a.idsFrom(args); err != nil {
					return err
				}
			}
			if d.client, err = a.client(); err != nil {
				return err
			}
			if sandbox(d.client.Server()) {
				return usage(cmd, errors.New("the sandbox keeps nothing, and has nothing to delete"))
			}
			if ask && !cmd.Flags().Changed("max") {
				d.most = mostAsked
			}
			list, err := d.list(cmd.Context(), args, ask)
			if err != nil {
				return err
			}
			if d.most > 0 && len(list) > d.most {
				return usage(cmd, fmt.Errorf("that would delete %d sources, more than --max %d; nothing was deleted", len(list), d.most))
			}
			return d.run(cmd.Context(), list, ask)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&d.altIDs, "alt-id", nil, "delete every source that has this id of your own; may be repeated")
	flags.BoolVarP(&d.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&d.dryRun, "dry-run", false, "show what would be deleted, and delete nothing")
	flags.IntVar(&d.most, "max", 0, "delete nothing if there are more sources than this (default: 1000 where it asks, else no limit)")
	output = a.outputFlag(cmd, "table", "json", "ndjson", "csv")
	return cmd
}

// idsFrom puts the ids on stdin in the place of "-".
func (a *app) idsFrom(args []string) (ids []string, err error) {
	for _, arg := range args {
		found := []string{arg}
		if arg == "-" {
			text, err := io.ReadAll(a.stdin)
			if err != nil {
				return nil, fmt.Errorf("reading ids from stdin: %w", err)
			}
			found = strings.Fields(string(text))
		}
		ids = append(ids, found...)
	}
	return ids, nil
}

// list is what is to be deleted. An alt_id becomes the sources that have it
// where they can be looked up.
func (d *deleting) list(ctx context.Context, ids []string, ask bool) ([]deletion, error) {
	var list []deletion
	for _, id := range ids {
		one := deletion{ID: id}
		if ask || d.dryRun {
			source, err := d.client.Sources.Get(ctx, id)
			switch {
			case d.unseen(err):
			case errors.Is(err, api.ErrNotFound):
				one.Outcome, one.Reason = "not found", err.Error()
			case err != nil:
				return nil, err
			default:
				one = deletionOf(source)
			}
		}
		list = append(list, one)
	}
	for _, altID := range d.altIDs {
		found := 0
		for source, err := range d.client.Sources.All(ctx, api.AllParams{Filter: api.Filter{AltID: altID}, OnDrift: d.app.drift}) {
			if d.unseen(err) {
				list = append(list, deletion{AltID: altID})
				found++
				break
			}
			if err != nil {
				return nil, err
			}
			if source.AltID == altID {
				list = append(list, deletionOf(source))
				found++
			}
		}
		if found == 0 {
			list = append(list, deletion{AltID: altID, Outcome: "not found", Reason: "no source has this alt_id"})
		}
	}
	return list, nil
}

// unseen reports whether a look-up failed because the token may not read, which
// keeps nobody from deleting.
func (d *deleting) unseen(err error) bool {
	return !d.dryRun && errors.Is(err, api.ErrForbidden)
}

func deletionOf(s *api.Source) deletion {
	return deletion{ID: s.ID, AltID: s.AltID, StartAt: s.StartAt.String(), EndAt: s.EndAt.String()}
}

// run deletes one after another, prints what became of each, and fails with the
// first error, or with exitPartly where something was deleted.
func (d *deleting) run(ctx context.Context, list []deletion, ask bool) error {
	a := d.app
	what := plural(len(list), "source", "sources")
	doing := "deleting "
	if d.dryRun {
		doing = "would delete "
	}
	if err := a.announce(ctx, d.client, doing+what+" at"); err != nil {
		return err
	}
	if ask && !d.dryRun {
		for _, one := range list {
			fmt.Fprintf(a.stderr, "  %s  %s  %s  %s\n", cmp.Or(one.ID, "-"), printable(cmp.Or(one.AltID, "-")), period(one.StartAt, one.EndAt), one.Outcome)
		}
		if err := a.confirm(ctx, "Delete "+what+"?"); err != nil {
			return err
		}
	}
	out := newOutput(a, a.stdout, d.format, deletionForm)
	var first error
	deleted, ended := 0, false
	for _, one := range list {
		if ended = ended || ctx.Err() != nil; ended {
			one.Outcome = "not tried"
		} else {
			err := d.remove(ctx, &one)
			if first = cmp.Or(first, err); one.Outcome == "deleted" {
				deleted++
			}
			ended = errors.Is(err, api.ErrUnauthorized) || errors.Is(err, api.ErrNoToken) || errors.Is(err, api.ErrForbidden)
		}
		if err := errors.Join(out.add(one), out.flush()); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	if ended && first == nil {
		first = context.Cause(ctx)
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
