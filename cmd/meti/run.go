package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/meti-go/meti/authn"
)

// system is what surrounds a run.
type system struct {
	stdin  io.Reader
	stdout io.Writer // data only
	stderr io.Writer // messages
	// terminal says whether a person reads stdout, and progress whether one
	// reads stderr. person says that one reads stderr and answers on stdin.
	terminal, progress, person bool
	width                      int  // of the terminal, in columns; 0 where not known
	colour                     bool // whether the terminal is to show colours
	now                        func() time.Time
}

// standard is the system of a process. Credentials come from the process's
// environment, which package authn reads itself.
func standard() system {
	sys := system{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		terminal: isTerminal(os.Stdout), progress: isTerminal(os.Stderr), now: time.Now,
	}
	sys.person = sys.progress && isTerminal(os.Stdin) && foreground(os.Stdin)
	if sys.terminal {
		sys.width, _, _ = term.GetSize(int(os.Stdout.Fd()))
		sys.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return sys
}

func isTerminal(file *os.File) bool {
	return isatty.IsTerminal(file.Fd()) || isatty.IsCygwinTerminal(file.Fd())
}

// app is one run: the system and the global flags.
type app struct {
	system
	verbose      bool
	noTokenCache bool
}

// run carries out one command line and returns the exit code. The first SIGINT
// or SIGTERM ends ctx, and with it the work; the second one ends the process.
func run(ctx context.Context, args []string, sys system) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(signalled{s})
		case <-ctx.Done():
		}
	}()

	sys.stdin = interruptible(ctx, sys.stdin)
	a := &app{system: sys}
	help := &remembering{w: a.stdout}
	root := a.rootCommand()
	root.SetOut(help)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = help.err // cobra drops it
	}
	if err != nil {
		a.complain(err)
	}
	return exitCode(ctx, err)
}

// rootCommand is the whole command tree.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "meti",
		Short: "The METI API on the command line",
		Long: `meti lists, registers and deletes sources in METI, MillPont's ledger of field
boundaries, and tells before registering what the ledger would say.

Credentials come from the environment, never from arguments:

  AUTH0_DOMAIN             the Auth0 domain that MillPont gave you
  METI_CLIENT_ID           the client id (or CLIENT_ID)
  METI_CLIENT_SECRET       the client secret (or CLIENT_SECRET)
  METI_CLIENT_SECRET_FILE  a file that holds the secret, instead
  AUTH0_AUDIENCE           https://api.meti.millpont.com unless set
  METI_BASE_URL            https://api.meti.millpont.com unless set; end it in
                           /sandbox for METI's sandbox

Without credentials, "meti demo" shows everything on an emulator.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.stdin)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false,
		"log each attempt, and name what METI answers that this version does not know")
	root.PersistentFlags().BoolVar(&a.noTokenCache, "no-token-cache", false,
		"get a new token instead of sharing one between runs")
	a.addCommands(root)
	polish(root)
	return root
}

func (a *app) addCommands(root *cobra.Command) {
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"sources", "Sources", []*cobra.Command{a.sourcesCommand(), a.planCommand(), a.submitCommand(), a.checkCommand(), a.reportCommand()}},
		{"trying", "Without credentials", []*cobra.Command{a.demoCommand(), a.emulatorCommand()}},
		{"more", "More", []*cobra.Command{a.tokenCommand(), a.doctorCommand(), a.versionCommand(), exitCodesTopic(), rulesTopic()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title + ":"})
		for _, cmd := range group.commands {
			cmd.GroupID = group.id
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommand(helpCommand())
	root.SetHelpCommandGroupID("more")
	root.SetCompletionCommandGroupID("more")
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}\n")
}

// knownCommand refuses arguments to a command that only holds others.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	err := fmt.Errorf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, ", "))
	}
	return usage(cmd, err)
}

// arguments makes a check of cobra's a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage(cmd, err)
		}
		return nil
	}
}

// usage is an error in the command line itself.
func usage(cmd *cobra.Command, err error) error {
	return withCode(exitUsage, fmt.Errorf("%w\nSee: %s --help", err, cmd.CommandPath()))
}

// complain writes an error for people to read.
func (a *app) complain(err error) {
	var own coded
	if errors.As(err, &own) && own.err == nil {
		return
	}
	fmt.Fprintf(a.stderr, "meti: %v\n", err)
	if config := (*authn.ConfigError)(nil); errors.As(err, &config) {
		fmt.Fprintln(a.stderr, `Without credentials, "meti demo" shows everything, and "meti emulator" is METI on this machine.`)
	}
}

// remembering keeps the error of a write.
type remembering struct {
	w   io.Writer
	err error
}

func (r *remembering) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// say writes a message for people to read.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, "meti: "+format+"\n", args...)
}
