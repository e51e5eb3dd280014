package main

import (
	"context"
	"log/slog"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/authn/filestore"
)

// tokens makes the source of tokens that the environment describes: renewed
// only when it must be, and shared between runs unless told otherwise.
func (a *app) tokens(scopes []string) (*authn.Source, error) {
	config, err := authn.FromEnv()
	if err != nil {
		return nil, err
	}
	if len(scopes) > 0 {
		config.Scopes = scopes
	}
	config.Lazy = true
	if !a.noTokenCache {
		dir, err := filestore.Dir()
		if err != nil {
			a.say("warning: no token is shared between runs: %v", err)
		} else {
			config.Store = filestore.New(dir)
		}
	}
	config.Warn = func(err error) { a.say("warning: %v", err) }
	return authn.New(config)
}

// client makes the client that the environment describes. The hooks are told
// of each attempt.
func (a *app) client(hooks ...func(context.Context, api.Attempt)) (*api.Client, error) {
	source, err := a.tokens(nil)
	if err != nil {
		return nil, err
	}
	return a.clientOf(source, hooks...)
}

// clientOf makes the client that authenticates by a source.
func (a *app) clientOf(source *authn.Source, hooks ...func(context.Context, api.Attempt)) (*api.Client, error) {
	options := []api.Option{api.WithAuth(source), api.WithUserAgent("meti/" + api.Version)}
	for _, hook := range hooks {
		options = append(options, api.WithHook(hook))
	}
	if a.verbose {
		log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		options = append(options, api.WithHook(api.LogAttempts(log)))
	}
	return api.New(options...)
}
