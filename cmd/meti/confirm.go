package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
)

// serverName names a server in words: production, sandbox, or the host of another.
func serverName(server string) string {
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return server
	case sandbox(server):
		return u.Host + " (sandbox)"
	case server == api.Production || server == api.Alternative:
		return u.Host + " (production)"
	}
	return u.Host + " (not METI)"
}

func sandbox(server string) bool {
	return strings.HasSuffix(strings.TrimRight(server, "/"), "/sandbox")
}

// announce says, before anything is changed, what is about to be, where, and in
// whose account.
func (a *app) announce(ctx context.Context, client *api.Client, what string) error {
	account, err := client.Account(ctx)
	switch {
	case errors.Is(err, authn.ErrOpaqueToken):
		account = "an account that the token does not name"
	case err != nil:
		return err
	default:
		account = "account " + printable(account)
	}
	a.say("%s %s", what, serverName(client.Server()))
	a.say("in %s", account)
	return nil
}

// asks reports whether there is a person to ask, who has not said yes before: at
// a terminal that shows the question and takes the answer, in the foreground, and
// not in a job that only looks like it.
func (a *app) asks(yes bool) bool {
	return a.person && os.Getenv("CI") == "" && !yes && os.Getenv("METI_YES") != "1"
}

// confirm asks a question, and takes nothing but y for yes.
func (a *app) confirm(ctx context.Context, question string) error {
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(interruptible(ctx, a.stdin)).ReadString('\n')
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); err == nil && (a == "y" || a == "yes") {
		return nil
	}
	return errors.New("nothing was done")
}
