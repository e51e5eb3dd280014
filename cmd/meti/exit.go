package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
)

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

// exits says what the exit codes mean, and which errors end with one when
// nothing else was said of them. The first that fits counts.
var exits = []struct {
	code  int
	means string
	fits  func(error) bool
}{
	{exitDone, "done", nil},
	{exitFailed, "failed: a redirect, an unreadable answer, the network, a file", nil},
	{exitUsage, "the command line is wrong", nil},
	{exitNoToken, "no token to be had, for whatever reason, or 401 for good", func(err error) bool {
		return errors.Is(err, api.ErrNoToken) || errors.Is(err, api.ErrUnauthorized) || as[*authn.FetchError](err) || as[*authn.ConfigError](err)
	}},
	{exitForbidden, "not permitted: 403, or the token lacks a scope", func(err error) bool {
		return errors.Is(err, api.ErrForbidden) || as[*authn.ScopeError](err)
	}},
	{exitNotFound, "not found", func(err error) bool { return errors.Is(err, api.ErrNotFound) }},
	{exitInvalid, "refused as invalid: 400, 422, or a failed check", func(err error) bool { return errors.Is(err, api.ErrInvalid) }},
	{exitConflict, "conflicts found", nil},
	{exitUnknown, "outcome unknown: METI may have done it, or not", func(err error) bool { return errors.Is(err, api.ErrOutcomeUnknown) }},
	{exitPartly, "partly done", nil},
	{exitInterrupted, "interrupted (SIGINT)", nil},
	{exitTerminated, "terminated (SIGTERM)", nil},
}

func as[E error](err error) bool { return errors.As(err, new(E)) }

// exitCodesTopic is "meti help exit-codes".
func exitCodesTopic() *cobra.Command {
	var table strings.Builder
	for _, e := range exits {
		fmt.Fprintf(&table, "  %3d  %s\n", e.code, e.means)
	}
	cmd := describe("exit-codes", nil)
	cmd.Long = strings.Replace(cmd.Long, "CODES\n", table.String(), 1)
	return cmd
}

// coded is an error with an exit code of its own. It has no words where the
// output has said it all.
type coded struct {
	code int
	err  error
}

func (e coded) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
func (e coded) Unwrap() error { return e.err }

func withCode(code int, err error) error { return coded{code, err} }

// silent is an exit code without words.
func silent(code int) error { return coded{code: code} }

// usage is an error in the command line itself.
func usage(format string, args ...any) error { return withCode(exitUsage, fmt.Errorf(format, args...)) }

// exitCode sorts an error. What a signal cut short ends with that signal's code,
// whatever it says: the signal is why ctx ended.
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	if own := new(coded); errors.As(context.Cause(ctx), own) || errors.As(err, own) {
		return own.code
	}
	for _, e := range exits {
		if e.fits != nil && e.fits(err) {
			return e.code
		}
	}
	return exitFailed
}
