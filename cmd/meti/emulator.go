package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/ledger"
)

func (a *app) emulatorCommand() *cobra.Command {
	var options emulator.Options
	var accounts, countries string
	var faults []string
	cmd := &cobra.Command{
		Use:   "emulator",
		Short: "Run METI and Auth0 on this machine",
		Long: `emulator serves METI's API, its sandbox and Auth0's token endpoint on one port,
with real tokens, a real database and the ledger's rules. When it is ready it
prints one JSON line on stdout, and nothing else ever:

  {"url": "http://127.0.0.1:PORT", "domain": "http://127.0.0.1:PORT",
   "client_id": "…", "client_secret": "…", "audience": "…"}

They are the values of METI_BASE_URL, AUTH0_DOMAIN, METI_CLIENT_ID,
METI_CLIENT_SECRET and AUTH0_AUDIENCE, those of the first account. Requests are
logged to stderr. SIGINT and SIGTERM end it.

A fault makes requests go wrong, by probability or by count:

  OPERATION:KIND[:PROBABILITY][:xCOUNT][:skip=N][:delay=D][:status=N][:retry-after=D][:digits=N]

OPERATION is an operationId of openapi.yaml or *, KIND is a status, html,
latency, hang, drop, drop-after (the work is done and the answer lost),
late-commit, truncate, drip, stale-read (a read lags by the delay), blind (a
POST and what others commit during the delay find no conflict) or round (the
coordinates of answers, to so many digits). Examples:
listSources:429:x3:retry-after=2s, createSources:drop-after:0.2,
*:latency:delay=50ms, *:stale-read:delay=2s, listSources:round:digits=6.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, text := range faults {
				fault, err := emulator.ParseFault(text)
				if err != nil {
					return usage(cmd, err)
				}
				options.Faults = append(options.Faults, fault)
			}
			if err := load(accounts, func(f *os.File) (err error) {
				options.Accounts, err = emulator.LoadAccounts(f)
				return err
			}); err != nil {
				return err
			}
			if err := load(countries, func(f *os.File) (err error) {
				options.Countries, err = ledger.LoadCountries(f)
				return err
			}); err != nil {
				return err
			}
			options.Log = slog.New(slog.NewTextHandler(a.stderr, nil))
			return a.emulate(cmd.Context(), options)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&options.Listen, "listen", "127.0.0.1:0", "address to listen on; port 0 is a free one")
	flags.StringVar(&options.Data, "data", "", "keep the sources in this file (default: until it stops)")
	flags.StringVar(&accounts, "accounts", "", "file with a JSON array of accounts: client_id, client_secret, account_id, role, client_name, scopes")
	flags.StringVar(&countries, "countries", "", "GeoJSON file of countries, property \"name\", in place of the built-in table")
	flags.StringArrayVar(&faults, "fault", nil, "make requests go wrong; may be repeated")
	flags.Uint64Var(&options.Seed, "seed", 0, "make ids and the choice of faults repeatable (default: random)")
	flags.DurationVar(&options.TokenLifetime, "token-lifetime", time.Hour, "how long a token is valid")
	flags.IntVar(&options.TokensPerHour, "tokens-per-hour", 0, "quota of tokens of each client (default: none)")
	flags.Int64Var(&options.MaxBody, "max-body", 64<<20, "largest request body in bytes; a larger one is answered with 413")
	flags.BoolVar(&options.SandboxConflicts, "sandbox-conflicts", false, "let the sandbox find conflicts, which METI's never does")
	flags.BoolVar(&options.Admin, "admin", false, "serve /_emulator/, where anybody who reaches the port can set faults and delete everything")
	return cmd
}

// emulate serves until ctx ends.
func (a *app) emulate(ctx context.Context, options emulator.Options) (err error) {
	server, err := emulator.Start(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if len(options.Faults) > 0 {
		options.Log.Info("faults are drawn", "seed", server.Seed())
	}
	if err := json.NewEncoder(a.stdout).Encode(server.Ready()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// load opens a file that need not be given.
func load(name string, read func(*os.File) error) error {
	if name == "" {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := read(file); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
