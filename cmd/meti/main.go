// Command meti is the METI API on the command line: sources, tokens, checks,
// and an emulator to try it all on.
//
// Each command has a file of its own; what they share stands in
//
//	main.go      one run: streams, signals, what is said of an error
//	exit.go      exit codes
//	commands.go  the tree of commands, and help: help.txt has what it says
//	flags.go     flags of several commands
//	client.go    tokens and the client, as the environment describes them
//	confirm.go   what is said and asked before anything is changed
//	output.go    rows as a table, JSON, CSV or GeoJSON
//	table.go     a table, as wide as the terminal
//	sources.go   METI's sources as such rows
//	read.go      files, read and judged for check, report and create
package main

import (
	"bytes"
	"cmp"
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
	"golang.org/x/term"

	"github.com/meti-go/meti/authn"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], standard()))
}

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
	signals               chan os.Signal // those that end the run
	understood            bool           // the command line was
	verbose, noTokenCache bool
}

// run carries out one command line and returns the exit code. The first SIGINT
// or SIGTERM ends ctx, and with it the work; the second one ends the process.
func run(ctx context.Context, args []string, sys system) int {
	a := &app{system: sys, signals: make(chan os.Signal, 1)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signal.Notify(a.signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(a.signals)
	go func() {
		select {
		case s := <-a.signals:
			signal.Stop(a.signals)
			if s == os.Interrupt {
				cancel(withCode(exitInterrupted, errors.New("interrupted")))
			} else {
				cancel(withCode(exitTerminated, errors.New("terminated")))
			}
		case <-ctx.Done():
		}
	}()

	var help bytes.Buffer // cobra drops the error of a write
	root := a.rootCommand()
	root.SetOut(&help)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.understood {
		err = withCode(exitUsage, err)
	}
	if help.Len() > 0 {
		_, failed := a.stdout.Write(help.Bytes())
		err = cmp.Or(err, failed)
	}
	code := exitCode(ctx, err)
	if err != nil {
		if text := strings.TrimSpace(err.Error()); text != "" { // else the output has said it all
			a.say("%s", text)
		}
		if code == exitUsage {
			fmt.Fprintf(a.stderr, "See: %s --help\n", cmd.CommandPath())
		}
	}
	if as[*authn.ConfigError](err) {
		fmt.Fprintln(a.stderr, `Without credentials, "meti demo" shows everything, and "meti emulator" is METI on this machine.`)
	}
	return code
}

// say writes a message for people to read.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, "meti: "+format+"\n", args...)
}

// interruptible reads what r reads, until ctx ends: somebody who was asked for
// input and presses Ctrl-C is not to be waited for. The read under way is left
// behind; it ends with the process.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(in, r)
		_ = in.CloseWithError(err)
	}()
	return out
}
