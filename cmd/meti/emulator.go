package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/meti-go/meti/emulator"
)

func (a *app) emulatorCommand() *cobra.Command {
	var options emulator.Options
	var accounts, countries string
	var sources []string
	cmd := describe("emulator [flags] [-- COMMAND ARG…]", func(cmd *cobra.Command, args []string) error {
		if dash := cmd.ArgsLenAtDash(); dash > 0 || dash < 0 && len(args) > 0 {
			return fmt.Errorf("unexpected argument %q; a command comes after --", args[0])
		}
		return nil
	})
	flags := cmd.Flags()
	flags.StringVar(&options.Listen, "listen", "127.0.0.1:0", "address to listen on; port 0 is a free one")
	flags.StringVar(&options.URL, "url", "", "URL that others reach it at, such as http://emulator:8484 for other containers (default: where it listens)")
	flags.StringVar(&options.Data, "data", "", "keep the sources, and the keys of tokens, in this file (default: until it stops)")
	flags.StringArrayVar(&sources, "sources", nil, "file with sources to begin with, GeoJSON or what \"sources list -o ndjson\" prints; account_id says whose; may be repeated")
	flags.StringVar(&accounts, "accounts", "", "file with a JSON array of accounts: client_id, client_secret, account_id, role, client_name, scopes")
	flags.StringVar(&countries, "countries", "", "GeoJSON file of countries, property \"name\", in place of the built-in table")
	flags.Func("fault", "make requests go wrong by this `fault`; may be repeated", func(text string) error {
		fault, err := emulator.ParseFault(text)
		options.Faults = append(options.Faults, fault)
		return err
	})
	flags.Uint64Var(&options.Seed, "seed", 0, "make ids, tokens and the choice of faults repeatable (default: random)")
	flags.Func("now", "`time` at which the clock starts, to run on from there (default: the present)", func(text string) (err error) {
		if options.Clock, err = time.Parse(time.RFC3339, text); err != nil {
			return errors.New("not a time such as 2026-01-01T00:00:00Z")
		}
		return nil
	})
	flags.DurationVar(&options.TokenLifetime, "token-lifetime", time.Hour, "how long a token is valid")
	flags.IntVar(&options.TokensPerHour, "tokens-per-hour", 0, "quota of tokens of each client (default: none)")
	flags.Int64Var(&options.MaxBody, "max-body", 64<<20, "largest request body in bytes; a larger one is answered with 413")
	flags.BoolVar(&options.SandboxConflicts, "sandbox-conflicts", false, "let the sandbox find conflicts, which METI's never does")
	flags.StringArrayVar(&options.CORS, "cors", nil, "origin whose pages may read the answers in a browser, or *; may be repeated")
	flags.BoolVar(&options.Admin, "admin", false, "serve /_emulator/, where any program that reaches the port can set faults and delete everything")
	cmd.RunE = func(cmd *cobra.Command, command []string) (err error) {
		if accounts != "" {
			if options.Accounts, err = load(accounts, emulator.LoadAccounts); err != nil {
				return err
			}
		}
		if countries != "" {
			if options.Countries, err = countryTable(countries); err != nil {
				return err
			}
		}
		for _, name := range sources {
			file, err := os.Open(name)
			if err != nil {
				return err
			}
			defer file.Close()
			options.Sources = append(options.Sources, file)
		}
		options.Log = slog.New(slog.NewTextHandler(a.stderr, nil))
		return a.emulate(cmd.Context(), options, command)
	}
	return cmd
}

// emulate serves until ctx ends, or while a command runs.
func (a *app) emulate(ctx context.Context, options emulator.Options, command []string) (err error) {
	server, err := emulator.Start(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if len(options.Faults) > 0 {
		options.Log.Info("faults are drawn", "seed", server.Seed())
	}
	ready := a.stdout
	if len(command) > 0 {
		ready = a.stderr
	}
	if err := json.NewEncoder(ready).Encode(server.Ready()); err != nil {
		return err
	}
	if len(command) > 0 {
		return a.wrap(command, server.Environ())
	}
	<-ctx.Done()
	return nil
}

// wrap runs a command to its end, whatever signals come: they are the
// command's.
func (a *app) wrap(command, environ []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	signal.Stop(a.signals)
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), environ...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, a.stdout, a.stderr
	if err := cmd.Start(); err != nil {
		return withCode(exitNoCommand, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			// A terminal has sent it to the command already.
			if s != os.Interrupt || !isatty.IsTerminal(os.Stdin.Fd()) {
				_ = cmd.Process.Signal(s)
			}
		case err := <-ended:
			exit := new(exec.ExitError)
			if err == nil || !errors.As(err, &exit) {
				return err
			}
			code := exit.ExitCode()
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				code = 128 + int(status.Signal())
			}
			return silent(code)
		}
	}
}
