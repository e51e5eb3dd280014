package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// submitCommand is "meti submit". It is being written; the founder of package
// register replaces this file.
func (a *app) submitCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "submit FILE",
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return errors.New("submit is not there yet") },
	}
}
