package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
)

// The exit codes. exitCodesTopic tells users what they mean.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNoToken     = 3
	exitForbidden   = 4
	exitNotFound    = 5
	exitInvalid     = 6
	exitConflict    = 7
	exitUnknown     = 8
	exitPartly      = 9
	exitNoCommand   = 127
	exitInterrupted = 130
	exitTerminated  = 143
)

// exitCodesTopic is "meti help exit-codes".
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Every command ends with one of these:

    0  done
    1  failed: a redirect, an unreadable answer, the network, a file
    2  the command line is wrong
    3  no token to be had, for whatever reason, or 401 for good
    4  not permitted: 403, or the token lacks a scope
    5  not found
    6  refused as invalid: 400, 422, or a failed check
    7  conflicts found
    8  outcome unknown: METI may have done it, or not
    9  partly done
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)

"sources create" ends with 0 also when what it registered conflicts; its output
says so. "emulator" ends with 0 when a signal stops it; with a command it ends
with that one's code, 128 and the number of the signal that killed it, or 127
where it cannot be run.`,
	}
}

// coded is an error with an exit code of its own; without err, the output has
// said it all. A final one counts whatever signals came.
type coded struct {
	code  int
	err   error
	final bool
}

func (e coded) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e coded) Unwrap() error { return e.err }

func withCode(code int, err error) error { return coded{code: code, err: err} }

// silent is an exit code without words.
func silent(code int) error { return coded{code: code} }

// signalled is why the context ended when a signal came.
type signalled struct{ signal os.Signal }

func (e signalled) Error() string {
	if e.signal == syscall.SIGTERM {
		return "terminated"
	}
	return "interrupted"
}

// exitCode sorts an error. What a signal cut short ends with that signal's
// code, whatever it says.
func exitCode(ctx context.Context, err error) int {
	var own coded
	if errors.As(err, &own) && own.final {
		return own.code
	}
	var signal signalled
	if err != nil && errors.As(context.Cause(ctx), &signal) {
		if signal.signal == syscall.SIGTERM {
			return exitTerminated
		}
		return exitInterrupted
	}
	var fetch *authn.FetchError
	var config *authn.ConfigError
	var scope *authn.ScopeError
	switch {
	case err == nil:
		return exitDone
	case own.code != 0:
		return own.code
	case errors.Is(err, api.ErrOutcomeUnknown):
		return exitUnknown
	case errors.As(err, &fetch), errors.As(err, &config), errors.Is(err, api.ErrUnauthorized), errors.Is(err, api.ErrNoToken):
		return exitNoToken
	case errors.Is(err, api.ErrForbidden), errors.As(err, &scope):
		return exitForbidden
	case errors.Is(err, api.ErrNotFound):
		return exitNotFound
	case errors.Is(err, api.ErrInvalid):
		return exitInvalid
	}
	return exitFailed
}
