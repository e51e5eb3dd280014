package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/scan"
)

func (a *app) getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show one source",
		Long: `get shows the source with this SSID: on a terminal a line for each thing that
METI knows of it.`,
		Example: "  meti sources get src_9fKQ2mZr7TbVw -o json",
		Args:    cobra.ExactArgs(1),
	}
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
		out.see(source)
		out.tellNews()
		switch *format {
		case "table":
			return a.printRecord(source)
		case "json":
			return a.printMembers(source)
		}
		return errors.Join(out.add(source), out.end())
	}
	return cmd
}

// printRecord prints a source, a line for each thing that is known of it.
func (a *app) printRecord(source *api.Source) error {
	members, err := membersOf(source)
	if err != nil {
		return err
	}
	var lines [][2]string
	for _, name := range memberNames(source) {
		if text := plain(members[name]); text != "" {
			lines = append(lines, [2]string{name, text})
		}
	}
	return a.printPairs("", "", append(lines, [2]string{"geometry", string(geometryOf(source))}))
}

// printMembers prints a source as one object, a line for each member: its
// coordinates stay on one.
func (a *app) printMembers(source *api.Source) error {
	raw, err := json.Marshal(source)
	if err != nil {
		return err
	}
	text := []byte("{")
	scan.Members(raw, func(name, value []byte) bool {
		key, _ := json.Marshal(string(name))
		text = fmt.Appendf(text, "\n  %s: %s,", key, value)
		return true
	})
	_, err = a.stdout.Write(append(bytes.TrimSuffix(text, []byte(",")), "\n}\n"...))
	return err
}
