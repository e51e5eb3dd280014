package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meti-go/meti/api"
)

// rootCommand is the whole command tree.
func (a *app) rootCommand() *cobra.Command {
	root := groupCommand("meti")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetErr(a.stderr)
	root.PersistentPreRun = func(*cobra.Command, []string) { a.understood = true }
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false,
		"log each attempt, and name what METI answers that this version does not know")
	root.PersistentFlags().BoolVar(&a.noTokenCache, "no-token-cache", false,
		"get a new token instead of sharing one between runs")
	sources := groupCommand("sources")
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
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
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
	root.SetUsageTemplate(usageTemplate)
	finish(root)
	return root
}

// helpTexts are what help says of each command: a line, all there is to say, and
// examples.
//
//go:embed help.txt
var helpTexts string

// describe makes the command that has this use in helpTexts.
func describe(use string, args cobra.PositionalArgs) *cobra.Command {
	_, text, _ := strings.Cut("\n"+helpTexts, "\n== "+use+"\n")
	text, _, _ = strings.Cut(text, "\n== ")
	short, long, _ := strings.Cut(text, "\n")
	long, example, _ := strings.Cut(long, "\nExamples:\n")
	return &cobra.Command{Use: use, Args: args, Short: short, Long: strings.TrimSpace(long), Example: strings.TrimRight(example, "\n")}
}

// groupCommand is a command that only holds others.
func groupCommand(use string) *cobra.Command {
	cmd := describe(use, func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return fmt.Errorf("unknown command %q; did you mean %s?", args[0], strings.Join(near, ", "))
		}
		return fmt.Errorf("unknown command %q", args[0])
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

func (a *app) versionCommand() *cobra.Command {
	cmd := describe("version", cobra.NoArgs)
	cmd.RunE = func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(a.stdout, versionText())
		return err
	}
	return cmd
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

// finish gives a command and those below it what all have in common: flags stay in
// the order in which they were added, and names of files are completed only where
// there can be one.
func finish(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	files := cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	for _, name := range []string{"journal", "against", "countries", "html", "accounts", "sources", "data", "record"} {
		_ = cmd.RegisterFlagCompletionFunc(name, files) // fails where there is none, or it has another one
	}
	if strings.Contains(cmd.Use, "FILE") {
		cmd.ValidArgsFunction = files
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

// usageTemplate is what help says below a command's description.
const usageTemplate = `Usage:
  {{.UseLine}}
{{if .HasSubCommands}}  {{.CommandPath}} COMMAND
{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{$commands := .Commands}}{{range $group := groupsOf .}}
{{.Title}}:
{{range $commands}}{{if eq .GroupID $group.ID}}  {{rpad .Name .NamePadding}} {{.Short}}
{{end}}{{end}}{{end}}{{flagUsages "Flags" .LocalFlags}}{{flagUsages "Global flags" .InheritedFlags}}{{if .HasSubCommands}}
"{{.Root.Name}} help COMMAND" tells more of one.
{{end}}`

func init() {
	cobra.AddTemplateFuncs(template.FuncMap{"groupsOf": groupsOf, "flagUsages": flagUsages})
}

// groupsOf are the groups of a command's commands.
func groupsOf(cmd *cobra.Command) []*cobra.Group {
	if cmd.HasSubCommands() && len(cmd.Groups()) == 0 {
		return []*cobra.Group{{Title: "Commands"}}
	}
	return cmd.Groups()
}

// flagUsages is what help says of flags; those in no group have the title given.
func flagUsages(title string, flags *pflag.FlagSet) string {
	var titles []string
	groups := map[string]*pflag.FlagSet{}
	flags.VisitAll(func(f *pflag.Flag) {
		title := cmp.Or(strings.Join(f.Annotations["group"], ""), title)
		if groups[title] == nil {
			titles = append(titles, title)
			groups[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
			groups[title].SortFlags = false
		}
		groups[title].AddFlag(f)
	})
	var text strings.Builder
	for _, title := range titles {
		fmt.Fprintf(&text, "\n%s:\n%s", title, groups[title].FlagUsagesWrapped(80))
	}
	return text.String()
}
