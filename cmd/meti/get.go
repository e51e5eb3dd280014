package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

func (a *app) getCommand() *cobra.Command {
	cmd := describe("get ID", cobra.ExactArgs(1))
	format := a.outputFlag(cmd, formats...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		source, err := client.Sources.Get(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		out := a.sourceOutput(*format)
		switch *format {
		case "table":
			out.see(source)
			return a.printRecord(source)
		case "json":
			out.see(source)
			return a.printObject(source)
		}
		return errors.Join(out.add(source), out.end())
	}
	return cmd
}

// printRecord prints a source, a line for each thing that is known of it.
func (a *app) printRecord(source *api.Source) error {
	var lines [][2]string
	err := eachMember(withoutGeometry(source), func(name string, raw []byte) {
		if text := plain(raw); text != "" {
			lines = append(lines, [2]string{name, text})
		}
	})
	return errors.Join(err, a.printPairs("", "", append(lines, [2]string{"geometry", string(geometryOf(source))})))
}

// printObject prints a source as one object, a line for each member: its
// coordinates stay on one.
func (a *app) printObject(source *api.Source) error {
	var text strings.Builder
	before := "{"
	err := eachMember(source, func(name string, raw []byte) {
		key, _ := json.Marshal(name)
		fmt.Fprintf(&text, "%s\n  %s: %s", before, key, raw)
		before = ","
	})
	if err == nil {
		_, err = fmt.Fprintln(a.stdout, text.String()+"\n}")
	}
	return err
}
