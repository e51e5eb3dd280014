package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meti-go/meti/api"
)

// rootCommand is the whole command tree.
func (a *app) rootCommand() *cobra.Command {
	root := a.groupCommand("meti", "The METI API on the command line")
	root.Long = `meti lists, registers and deletes sources in METI, MillPont's ledger of field
boundaries, and tells before registering what the ledger would say.

Credentials come from the environment, never from arguments:

  AUTH0_DOMAIN             the Auth0 domain that MillPont gave you
  METI_CLIENT_ID           the client id (or CLIENT_ID)
  METI_CLIENT_SECRET       the client secret (or CLIENT_SECRET)
  METI_CLIENT_SECRET_FILE  a file that holds the secret, instead
  AUTH0_AUDIENCE           https://api.meti.millpont.com unless set
  METI_BASE_URL            https://api.meti.millpont.com unless set; end it in
                           /sandbox for METI's sandbox

Without credentials, "meti demo" shows everything on an emulator.`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return withCode(exitUsage, err) })
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false,
		"log each attempt, and name what METI answers that this version does not know")
	root.PersistentFlags().BoolVar(&a.noTokenCache, "no-token-cache", false,
		"get a new token instead of sharing one between runs")
	sources := a.groupCommand("sources", "List, show, register and delete sources")
	sources.AddCommand(a.listCommand(), a.getCommand(), a.createCommand(), a.deleteCommand())
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Sources", []*cobra.Command{sources, a.planCommand(), a.submitCommand(), a.checkCommand(), a.reportCommand()}},
		{"Without credentials", []*cobra.Command{a.demoCommand(), a.emulatorCommand()}},
		{"More", []*cobra.Command{a.tokenCommand(), a.doctorCommand(), a.versionCommand()}},
		{"Topics", []*cobra.Command{exitCodesTopic(), rulesTopic()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, cmd := range group.commands {
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommandGroupID("More")
	root.SetCompletionCommandGroupID("More")
	root.InitDefaultHelpCmd()
	help, _, _ := root.Find([]string{"help"})
	help.Use, help.Short, help.Long, help.Example = "help [COMMAND]", "Tell more of a command", "", "  meti help exit-codes"
	help.Args = func(_ *cobra.Command, args []string) error {
		if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
			return fmt.Errorf("there is no help on %q", strings.Join(args, " "))
		}
		return nil
	}
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}\n")
	finish(root)
	return root
}

// groupCommand is a command that only holds others.
func (a *app) groupCommand(name, short string) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			cmd.SuggestionsMinimumDistance = 2
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return fmt.Errorf("unknown command %q; did you mean %s?", args[0], strings.Join(near, ", "))
			}
			return fmt.Errorf("unknown command %q", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  meti version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, versionText())
			return err
		},
	}
}

// version is that of a release, which the linker sets.
var version = api.Version

// versionText names this build.
func versionText() string {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " " + s.Value
			}
		}
	}
	return fmt.Sprintf("meti %s%s %s %s/%s", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// fileFlags take a path; the values of all other flags are not names of files.
var fileFlags = []string{"journal", "against", "countries", "html", "accounts", "sources", "data", "record"}

// finish gives a command and those below it what all have in common: wrong
// arguments end with exitUsage, help shows flags in groups, and names of files
// are completed only where there can be one.
func finish(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return withCode(exitUsage, err)
			}
			return nil
		}
	}
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
		finish(sub)
	}
}

// completeWith completes a flag with the values that are known.
func completeWith(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
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
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "  %s COMMAND\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	groups := cmd.Groups()
	if len(groups) == 0 && cmd.HasAvailableSubCommands() {
		groups = []*cobra.Group{{Title: "Commands"}}
	}
	for _, group := range groups {
		fmt.Fprintf(out, "\n%s:\n", group.Title)
		for _, sub := range cmd.Commands() {
			if sub.GroupID == group.ID {
				fmt.Fprintf(out, "  %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
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
