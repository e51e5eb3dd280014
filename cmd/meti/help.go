package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fileFlags take a path; the values of all other flags are not names of files.
var fileFlags = []string{"journal", "against", "countries", "html", "config", "database", "tls-cert", "tls-key"}

// completeWith completes a flag with the values that are known.
func completeWith(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// polish gives a command and those below it what all have in common: flags in
// groups, and no names of files where there can be none.
func polish(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.SetUsageFunc(usageText)
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if _, known := cmd.GetFlagCompletionFunc(f.Name); !known && !slices.Contains(fileFlags, f.Name) {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	})
	if !strings.Contains(cmd.Use, "FILE") && cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		polish(sub)
	}
}

// inGroup puts flags under a title of their own.
func inGroup(cmd *cobra.Command, title string, names ...string) {
	for _, name := range names {
		_ = cmd.Flags().SetAnnotation(name, "group", []string{title})
	}
}

// usageText is what help says below a command's description.
func usageText(cmd *cobra.Command) error {
	out := cmd.OutOrStderr()
	fmt.Fprintf(out, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.HasAvailableSubCommands() && cmd.Runnable() {
		fmt.Fprintf(out, "  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	list := func(title string, takes func(*cobra.Command) bool) {
		for _, sub := range cmd.Commands() {
			if takes(sub) {
				fmt.Fprintf(out, "%s  %-*s %s\n", title, sub.NamePadding(), sub.Name(), sub.Short)
				title = ""
			}
		}
	}
	for _, group := range append(cmd.Groups(), &cobra.Group{Title: "Commands:"}) {
		list("\n"+group.Title+"\n", func(sub *cobra.Command) bool {
			return sub.GroupID == group.ID && (sub.IsAvailableCommand() || sub.Name() == "help")
		})
	}
	list("\nTopics:\n", (*cobra.Command).IsAdditionalHelpTopicCommand)
	var titles []string
	sets := map[string]*pflag.FlagSet{}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		title := "Flags"
		if group := f.Annotations["group"]; len(group) > 0 {
			title = group[0]
		}
		if sets[title] == nil {
			titles = append(titles, title)
			sets[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
			sets[title].SortFlags = false
		}
		sets[title].AddFlag(f)
	})
	for _, title := range titles {
		fmt.Fprintf(out, "\n%s:\n%s", title, sets[title].FlagUsagesWrapped(80))
	}
	if cmd.HasAvailableInheritedFlags() {
		fmt.Fprintf(out, "\nGlobal flags:\n%s", cmd.InheritedFlags().FlagUsagesWrapped(80))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\n\"%s help COMMAND\" tells more of one.\n", cmd.Root().Name())
	}
	return nil
}

// helpCommand is "meti help", which does not take an unknown topic for a reason
// to show everything.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Tell more of a command",
		Example: "  meti help exit-codes",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if found, _, err := cmd.Root().Find(args); err == nil {
				for _, sub := range found.Commands() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage(cmd.Root(), fmt.Errorf("there is no help on %q", strings.Join(args, " ")))
			}
			return found.Help()
		},
	}
}
