package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
	"github.com/meti-go/meti/register"
)

// submitting is one run of plan or submit.
type submitting struct {
	*app
	options    register.Options
	mapping    *fields.Options
	attributes specFlags
	format     *string
	page       page
	progress   *submitProgress

	countries, against, journal             string
	quiet, all, yes, dryRun, failOnConflict bool
	replace, skipExisting, again, skipGone  bool
}

func (a *app) planCommand() *cobra.Command {
	s := &submitting{app: a, dryRun: true}
	cmd := describe("plan FILE", cobra.ExactArgs(1))
	cmd.RunE = s.command
	s.commonFlags(cmd)
	return cmd
}

func (a *app) submitCommand() *cobra.Command {
	s := &submitting{app: a}
	cmd := describe("submit FILE", cobra.ExactArgs(1))
	cmd.RunE = s.command
	s.commonFlags(cmd)
	flags, o := cmd.Flags(), &s.options
	flags.BoolVar(&s.dryRun, "dry-run", false, "plan, and send nothing")
	flags.BoolVarP(&s.yes, "yes", "y", false, "do not ask before sending; METI_YES=1 does the same")
	flags.BoolVar(&s.failOnConflict, "fail-on-conflict", false, "send nothing when what is to be sent would conflict, with FILE or the account, and end with 7; also when METI reports conflicts")
	flags.IntVar(&o.BatchFeatures, "batch", 100, "features in a request, at most; a request has 1 MiB at most")
	flags.IntVar(&o.InFlight, "in-flight", 4, "requests under way at once")
	inGroup(cmd, "Sending", "dry-run", "yes", "fail-on-conflict", "batch", "in-flight")
	s.page.flags(cmd)
	return cmd
}

// commonFlags are those of plan and submit.
func (s *submitting) commonFlags(cmd *cobra.Command) {
	s.mapping, s.attributes = mappingFlags(cmd), attributeFlags(cmd)
	flags, o := cmd.Flags(), &s.options
	flags.BoolVar(&s.replace, "replace", false, "register what changed anew, then delete the old source")
	flags.IntVar(&o.MaxReplace, "max-replace", 100, "how many sources --replace may replace; above it nothing is sent")
	flags.BoolVar(&s.skipExisting, "skip-existing", false, "count what differs or has another boundary as done")
	flags.BoolVar(&s.again, "again", false, "register again what is gone from METI")
	flags.BoolVar(&s.skipGone, "skip-gone", false, "count what is gone from METI as done")
	flags.StringVar(&s.journal, "journal", "", "where the journal is, or none (default: FILE.meti-journal)")
	flags.DurationVar(&o.Settle, "settle", time.Minute, "how long after its connection ended a request may still commit and become visible")
	flags.StringVar(&s.against, "against", "", `"account" looks for conflicts with all sources of the account`)
	flags.StringVar(&s.countries, "countries", "", "GeoJSON file of countries, property \"name\", in place of the built-in table")
	flags.BoolVar(&s.all, "all", false, "on a terminal, show every row")
	flags.BoolVarP(&s.quiet, "quiet", "q", false, "no progress, no summary, and on a terminal no rows")
	completeWith(cmd, "against", "account")
	inGroup(cmd, "What METI has already", "replace", "max-replace", "skip-existing", "again", "skip-gone", "journal", "settle", "against", "countries")
	s.format = s.outputFlag(cmd, formats...)
}

// command reads the command line.
func (s *submitting) command(cmd *cobra.Command, args []string) error {
	o := &s.options
	s.all = s.all || !s.terminal || cmd.Flags().Changed("output")
	batch := cmd.Flags().Lookup("batch") == nil || o.BatchFeatures > 0 && o.InFlight > 0
	switch {
	case s.replace && s.skipExisting:
		return usage("give --replace or --skip-existing, not both")
	case s.again && s.skipGone:
		return usage("give --again or --skip-gone, not both")
	case o.Settle <= 0 || o.MaxReplace <= 0 || !batch:
		return usage("--settle, --batch, --in-flight and --max-replace are positive")
	case s.against != "" && s.against != "account":
		return usage("--against is %q, not account", s.against)
	}
	if err := s.page.check(); err != nil {
		return err
	}
	table := countries.World // made only where something may conflict
	if s.countries != "" {
		own, err := countryTable(s.countries)
		if err != nil {
			return err
		}
		table = func() *ledger.Countries { return own }
	}
	o.CountryOf = func(shape *ledger.Shape) string { return table().Of(shape) }
	o.IDProperty, o.StartProperty, o.EndProperty, o.Rules = s.mapping.IDProperty, s.mapping.Start, s.mapping.End, s.mapping.Rules
	o.AgainstAccount = s.against != "" || s.failOnConflict
	if o.NoJournal = s.journal == "none"; !o.NoJournal {
		o.Journal = s.journal
	}
	o.Changed, o.Gone = policy(s.replace, s.skipExisting), policy(s.again, s.skipGone)
	o.Input, o.Stdin, o.LookOnly = args[0], s.stdin, s.dryRun
	if err := s.attributes.into(&o.Attributes); err != nil {
		return err
	}
	return s.run(cmd.Context())
}

func policy(renew, accept bool) register.Policy {
	switch {
	case renew:
		return register.Renew
	case accept:
		return register.Accept
	}
	return register.Report
}

func (s *submitting) run(ctx context.Context) (err error) {
	o := &s.options
	debug.SetGCPercent(18) // of what is kept of each feature: files are large, machines may be small
	p := newSubmitProgress(s.app, s.quiet)
	messages := s.stderr
	s.progress, s.stderr = p, p // a log does not write into the bar
	defer func() {
		p.stop()
		s.stderr = messages
	}()
	if o.Client, err = s.client(p.attempt); err != nil {
		return err
	}
	if sandbox(o.Client.Server()) && (s.replace || s.again) {
		return usage("the sandbox keeps nothing: there is nothing to --replace, and nothing --again")
	}
	o.Progress, o.Notice = p.show, func(text string) { s.say("%s", text) }
	job, err := register.Plan(ctx, *o)
	if err != nil {
		return s.judge(ctx, register.Counts{}, err)
	}
	defer func() { err = errors.Join(err, job.Close()) }()
	counts := job.Counts()
	asks := !s.dryRun && counts.ToSend > 0 && s.asks(s.yes) && o.Input != "-"
	if !s.quiet || asks { // who is asked is told what about
		s.describe(job)
	}
	switch {
	case s.failOnConflict && counts.ConflictsToSend > 0:
		s.say("%s would conflict; nothing was sent", plural(counts.ConflictsToSend, "feature", "features"))
		return cmp.Or(s.write(job), silent(exitConflict))
	case s.dryRun && counts.ToReplace > o.MaxReplace:
		s.say("%v: %d, more than --max-replace %d; nothing would be sent", register.ErrTooMany, counts.ToReplace, o.MaxReplace)
		return cmp.Or(s.write(job), silent(exitPartly))
	case s.dryRun:
		return cmp.Or(s.write(job), s.judgePlan(ctx, counts))
	case asks:
		p.pause()
		if err := s.confirm(ctx, fmt.Sprintf("Register %s?", plural(counts.ToSend, "feature", "features"))); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { s.say("stopping; press again to end at once") })
	summary, err := job.Run(ctx)
	stop()
	failed := s.write(job)
	if s.page.path != "" && summary.Registered > 0 && ctx.Err() == nil {
		failed = errors.Join(failed, s.report(ctx, job))
	}
	s.summarise(summary)
	return s.judge(ctx, summary.Counts, cmp.Or(err, failed))
}

// report writes the document of what is registered of the file.
func (s *submitting) report(ctx context.Context, job *register.Job) error {
	ids := map[string]bool{}
	for row, err := range job.Rows() {
		if err != nil {
			return err
		}
		ids[row.ID] = row.ID != ""
	}
	r := s.newReport(0.02)
	if err := r.readAccount(ctx, s.options.Client, ids); err != nil {
		return err
	}
	r.Title = filepath.Base(s.options.Input)
	return s.page.write(&r.Document)
}

// inWords lists the counts that are not zero.
func inWords(c register.Counts) string {
	var parts []string
	for _, count := range []struct {
		n    int
		what string
	}{
		{c.New, "new"}, {c.Registered, "registered"}, {c.Differs, "with other attributes or another period"}, {c.Boundary, "with another boundary"},
		{c.Gone, "gone"}, {c.Invalid, "invalid"}, {c.Refused, "refused"}, {c.Unknown, "unknown"}, {c.Pending, "pending"},
	} {
		if count.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count.n, count.what))
		}
	}
	return strings.Join(parts, ", ")
}

// describe says where the job goes, and what it is, on one line.
func (s *submitting) describe(job *register.Job) {
	target, c := job.Target(), job.Counts()
	text := fmt.Sprintf("to %s, account %s: %s", serverName(target.Server), printable(target.Account), cmp.Or(inWords(c), "no features"))
	if replacing := c.ToSend - c.New; replacing > 0 {
		text += fmt.Sprintf("; %d to be registered anew", replacing)
	}
	s.say("%s", text)
	var warnings []string
	for rule, n := range job.Warnings() {
		warnings = append(warnings, fmt.Sprintf("%s in %d", rule, n))
	}
	if slices.Sort(warnings); len(warnings) > 0 {
		s.say("warnings: %s; \"meti check\" says where", strings.Join(warnings, ", "))
	}
	where := "the account"
	switch whole, hidden := job.Compared(); {
	case c.ToSend == 0 || target.Sandbox:
		return
	case !whole:
		where = "the file and with what METI has under its ids (--against account looks at all of it)"
	case hidden > 0:
		where = fmt.Sprintf("the account, but for %s without a boundary", plural(hidden, "source", "sources"))
	}
	s.say("conflicts were looked for in %s; those with other custodians show only after registering", where)
}

// judgePlan gives the exit code of a plan: what can be sent is as good as done.
func (s *submitting) judgePlan(ctx context.Context, c register.Counts) error {
	c.Done += c.ToSend + c.Unknown
	c.Unknown, c.Conflicts = 0, 0
	return s.judge(ctx, c, nil)
}

// judge gives the error with the exit code that the help promises.
func (s *submitting) judge(ctx context.Context, c register.Counts, err error) error {
	code, undone := exitCode(ctx, err), c.Features-c.Done
	switch {
	case err != nil && (code == exitInterrupted || code == exitTerminated):
		return err
	case c.Unknown > 0:
		code = exitUnknown
	case err != nil && (code == exitNoToken || code == exitForbidden):
	case errors.Is(err, register.ErrInput):
		code = exitInvalid
	case err != nil && !errors.Is(err, register.ErrRefused):
		code = exitFailed
	case undone > 0 && c.Done+c.Gone+c.Differs+c.Boundary > 0:
		code = exitPartly
	case undone > 0:
		code = exitInvalid
	case c.Conflicts > 0 && s.failOnConflict:
		code = exitConflict
	default:
		return nil
	}
	return coded{code: code, err: err}
}

// summarise says what the run came to.
func (s *submitting) summarise(summary register.Summary) {
	if summary.Features == 0 || s.quiet {
		return
	}
	done, counts := summary.Registered, summary.Counts
	text := fmt.Sprintf("%s: %d registered", plural(summary.Features, "feature", "features"), done)
	if summary.Sent != done {
		text += fmt.Sprintf(" (%d now)", summary.Sent)
	}
	if summary.Deleted > 0 {
		text += fmt.Sprintf(", %d replaced", summary.Deleted)
	}
	if counts.Registered = 0; inWords(counts) != "" {
		text += ", " + inWords(counts)
	}
	if summary.Conflicts > 0 {
		text += fmt.Sprintf(", %d in conflict", summary.Conflicts)
	}
	if summary.Gone > 0 && s.options.Gone == register.Report {
		text += "; --again registers again what is gone"
	}
	if summary.Differs+summary.Boundary > 0 && s.options.Changed == register.Report {
		text += "; --replace registers anew what changed"
	}
	if summary.Journal != "" && summary.Unknown+summary.Pending > 0 {
		text += "; run again to go on from " + summary.Journal
	}
	s.say("%s", text)
}
