package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

// deletion is one line of what delete prints.
type deletion struct {
	ID      string `json:"id,omitempty"`
	AltID   string `json:"alt_id,omitempty"`
	Outcome string `json:"outcome"` // deleted, not found, failed, not tried
	Reason  string `json:"reason,omitempty"`
}

func (a *app) deleteCommand() *cobra.Command {
	var format, altID string
	cmd := &cobra.Command{
		Use:   "delete ID…",
		Short: "Delete sources, by SSID or by your own id",
		Long: `delete deletes the sources with these SSIDs one after another (- reads them from
stdin, separated by white space), or with --alt-id all that have that id of your
own. It prints what became of each.

Exit code 9 means that some were deleted and others not. A token that is
refused ends it: the rest is not tried.`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch byAltID := cmd.Flags().Changed("alt-id"); {
			case byAltID && len(args) > 0:
				return usage(cmd, errors.New("give SSIDs or --alt-id, not both"))
			case byAltID && altID == "":
				return usage(cmd, errors.New("--alt-id is empty"))
			case !byAltID && len(args) == 0:
				return usage(cmd, errors.New("give the SSIDs of the sources to delete, or --alt-id"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := a.chosen(cmd, format)
			if err != nil {
				return err
			}
			if slices.Contains(args, "-") {
				if args, err = a.idsFrom(args); err != nil {
					return err
				}
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			if altID != "" {
				return a.deleteAll(cmd.Context(), format, []deletion{{AltID: altID}}, func(ctx context.Context, d deletion) error {
					return client.Sources.DeleteByAltID(ctx, d.AltID)
				})
			}
			list := make([]deletion, len(args))
			for i, id := range args {
				list[i].ID = id
			}
			return a.deleteAll(cmd.Context(), format, list, func(ctx context.Context, d deletion) error {
				return client.Sources.Delete(ctx, d.ID)
			})
		},
	}
	cmd.Flags().StringVar(&altID, "alt-id", "", "delete every source that has this id of your own")
	outputFlag(cmd, &format)
	return cmd
}

// idsFrom puts the ids on stdin in the place of "-".
func (a *app) idsFrom(args []string) ([]string, error) {
	words := bufio.NewScanner(a.stdin)
	words.Split(bufio.ScanWords)
	var read []string
	for words.Scan() {
		read = append(read, words.Text())
	}
	if err := words.Err(); err != nil {
		return nil, fmt.Errorf("reading ids from stdin: %w", err)
	}
	i := slices.Index(args, "-")
	return slices.Concat(args[:i], read, slices.DeleteFunc(slices.Clone(args[i:]), func(s string) bool { return s == "-" })), nil
}

// deleteAll deletes one after another, prints what became of each, and fails
// with the first error, or with exitPartly where something was deleted.
func (a *app) deleteAll(ctx context.Context, format string, list []deletion, remove func(context.Context, deletion) error) error {
	out := newRows(a.stdout, format, "ID", "OUTCOME", "REASON")
	var first error
	deleted := 0
	stopped := false
	for _, d := range list {
		if stopped = stopped || ctx.Err() != nil; stopped {
			d.Outcome = "not tried"
		} else if err := remove(ctx, d); err == nil {
			d.Outcome = "deleted"
			deleted++
		} else {
			d.Outcome, d.Reason = "failed", err.Error()
			if errors.Is(err, api.ErrNotFound) {
				d.Outcome = "not found"
			}
			if first == nil {
				first = err
			}
			stopped = errors.Is(err, api.ErrUnauthorized) || errors.Is(err, api.ErrForbidden)
		}
		if err := out.add(d, func() []string { return []string{d.ID + d.AltID, d.Outcome, d.Reason} }); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	if ctx.Err() != nil && first == nil && stopped {
		first = context.Cause(ctx)
	}
	if first != nil && deleted > 0 {
		return withCode(exitPartly, fmt.Errorf("%d of %d deleted: %w", deleted, len(list), first))
	}
	return first
}
