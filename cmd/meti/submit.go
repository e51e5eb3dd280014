package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/register"
)

// submitting is one run of submit.
type submitting struct {
	app            *app
	options        register.Options
	attributes     given
	format         string
	quiet          bool
	failOnConflict bool
}

func (a *app) submitCommand() *cobra.Command {
	s := &submitting{app: a}
	cmd := &cobra.Command{
		Use:   "submit FILE",
		Short: "Register the features of a file, however many, once each",
		Long: `submit registers the features of FILE (- for stdin): a GeoJSON FeatureCollection,
or GeoJSON features one after another, of any size. Each needs an id of your own
and a period; by default the Feature's id and its properties start_at and
end_at. Other properties are not sent.

Features are checked first, by the ledger's rules, and sent in batches. What is
done is written to a journal beside FILE, so that submit may be killed at any
moment and run again: it goes on where it stopped, and registers nothing twice.
Keep the journal as long as you keep the file. Without one, submit looks first
whether the account has the features already. An answer that is lost is settled
by looking the features up, until --settle after its connection ended: no request
may commit later than that.

One line for each feature tells what became of it, in the file's order:
registered, existed, invalid, refused, unknown or pending. The exit code is the
first of these that applies:

  130, 143  interrupted, terminated; run again to go on
  8         some are unknown: run again to look them up
  3, 4      no token, or not permitted
  1         stopped by something else, such as features that exist already
  9         some are done, and others invalid, refused or pending
  6         none is done, and some are invalid or refused
  7         all are done and some conflict, with --fail-on-conflict
  0         all are done; the lines and the last message tell of conflicts`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if s.format, err = a.chosen(cmd, s.format, formats...); err != nil {
				return err
			}
			o := &s.options
			switch {
			case o.SkipExisting && o.AllowExisting:
				return usage(cmd, errors.New("give --skip-existing or --allow-existing, not both"))
			case o.Settle <= 0 || o.InFlight < 1 || o.BatchFeatures < 1:
				return usage(cmd, errors.New("--settle, --batch and --in-flight are positive"))
			}
			o.Input, o.Stdin = args[0], a.stdin
			if err := s.attributes.into(&o.Shared); err != nil {
				return err
			}
			return s.run(cmd.Context())
		},
	}
	s.attributes = attributeFlags(cmd)
	flags, o := cmd.Flags(), &s.options
	flags.StringVar(&o.IDProperty, "id-property", "", "the property that holds your id (default: the Feature's id)")
	flags.StringVar(&o.StartProperty, "start", "", "the property that holds the start, or a date for all (default: start_at)")
	flags.StringVar(&o.EndProperty, "end", "", "the property that holds the end, or a date for all (default: end_at)")
	flags.StringVar(&o.Journal, "journal", "", "where the journal is (default: FILE.meti-journal)")
	flags.BoolVar(&o.Strict, "strict", false, "send nothing if one feature is invalid")
	flags.BoolVar(&o.SkipExisting, "skip-existing", false, "leave out what the account has already, and say what differs")
	flags.BoolVar(&o.AllowExisting, "allow-existing", false, "register again what the account has already")
	flags.BoolVar(&s.failOnConflict, "fail-on-conflict", false, "end with 7 when what was registered conflicts")
	flags.DurationVar(&o.Settle, "settle", time.Minute, "how long after its connection ended a request may still commit")
	flags.IntVar(&o.BatchFeatures, "batch", 100, "features in a request, at most; a request has 1 MiB at most")
	flags.IntVar(&o.InFlight, "in-flight", 4, "requests under way at once; 1 lets METI see all conflicts within the file")
	flags.BoolVarP(&s.quiet, "quiet", "q", false, "no progress and no summary")
	outputFlag(cmd, &s.format, formats...)
	return cmd
}

func (s *submitting) run(ctx context.Context) error {
	a, o := s.app, &s.options
	tokens, err := a.tokens(nil)
	if err != nil {
		return err
	}
	if o.Client, err = a.clientOf(tokens); err != nil {
		return err
	}
	// A token that names nobody is the configured client's.
	if o.Account, err = o.Client.Account(ctx); errors.Is(err, authn.ErrOpaqueToken) {
		config, err := authn.FromEnv()
		if err != nil {
			return err
		}
		o.Account = config.ClientID
	} else if err != nil {
		return err
	}
	o.Server = o.Client.Server()
	progress := newSubmitProgress(a, s.quiet)
	defer progress.stop()
	o.Progress, o.Notice = progress.show, progress.say
	var mine whose
	out := newOutput(a, a.stdout, s.format, resultForm(&mine))
	out.hold = true
	o.Result = func(r register.Result) error {
		progress.stop() // results come last
		mine.see(r.ID)
		return out.add(r)
	}
	summary, err := register.Run(ctx, *o)
	progress.stop()
	if err == nil || out.count > 0 { // a failure without results prints nothing
		if endErr := out.end(); err == nil {
			err = endErr
		}
	}
	if !s.quiet {
		s.summarise(summary)
	}
	return s.judge(ctx, summary, err)
}

// judge gives the error with the exit code that the help promises.
func (s *submitting) judge(ctx context.Context, summary register.Summary, err error) error {
	code := exitCode(ctx, err)
	switch {
	case err != nil && (code == exitInterrupted || code == exitTerminated):
		return err
	case summary.Unknown > 0:
		code = exitUnknown
	case err != nil && (code == exitNoToken || code == exitForbidden):
	case errors.Is(err, register.ErrInput):
		code = exitInvalid
	case err != nil:
		code = exitFailed
	case summary.Done() < summary.Features && summary.Done() > 0:
		code = exitPartly
	case summary.Done() < summary.Features:
		code = exitInvalid
	case summary.Conflicts > 0 && s.failOnConflict:
		code = exitConflict
	default:
		return nil
	}
	if err == nil {
		return silent{code}
	}
	return withCode(code, err)
}

// summarise says what the run came to.
func (s *submitting) summarise(summary register.Summary) {
	if summary.Features == 0 {
		return
	}
	text := fmt.Sprintf("%d features: %d registered", summary.Features, summary.Registered)
	if summary.Sent != summary.Registered {
		text += fmt.Sprintf(" (%d now)", summary.Sent)
	}
	for _, one := range []struct {
		n    int
		what string
	}{
		{summary.Existed, "existed"}, {summary.Invalid, "invalid"}, {summary.Refused, "refused"},
		{summary.Unknown, "unknown"}, {summary.Pending, "pending"}, {summary.Conflicts, "in conflict"},
	} {
		if one.n > 0 {
			text += fmt.Sprintf(", %d %s", one.n, one.what)
		}
	}
	if summary.Journal != "" && summary.Done()+summary.Invalid+summary.Refused < summary.Features {
		text += "; run again to go on from " + summary.Journal
	}
	s.app.say("%s", text)
}
