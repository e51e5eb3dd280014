package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// mapping is the flags that say what of a file's features is sent, and how they
// are judged. They are the same in every command that reads fields.
type mapping struct {
	idProperty, start, end string
	strict                 bool
	allow                  []string
}

func mappingFlags(cmd *cobra.Command) *mapping {
	m := new(mapping)
	flags := cmd.Flags()
	flags.StringVar(&m.idProperty, "id-property", "", "the property that holds your id (default: the Feature's id)")
	flags.StringVar(&m.start, "start", "", "the property that holds the start, or a date for all (default: start_at)")
	flags.StringVar(&m.end, "end", "", "the property that holds the end, or a date for all (default: end_at)")
	flags.BoolVar(&m.strict, "strict", false, "make warnings invalid")
	flags.StringArrayVar(&m.allow, "allow", nil, `let through what breaks this rule, see "meti help rules"; may be repeated`)
	_ = cmd.RegisterFlagCompletionFunc("allow", cobra.FixedCompletions(allowable(), cobra.ShellCompDirectiveNoFileComp))
	return m
}

// allowable lists the rules that --allow takes.
func allowable() (names []string) {
	for _, info := range ledger.AllRules() {
		if !info.Refused {
			names = append(names, string(info.Rule))
		}
	}
	slices.Sort(names)
	return names
}

// options are what the flags say. An error is one of the command line.
func (m *mapping) options(cmd *cobra.Command) (fields.Options, error) {
	o := fields.Options{IDProperty: m.idProperty, Start: m.start, End: m.end, Rules: ledger.Rules{Strict: m.strict}}
	for _, name := range m.allow {
		switch info, ok := ledger.Rule(name).Info(); {
		case !ok:
			return o, usage(cmd, fmt.Errorf("--allow %s is no rule; the rules are %s", name, strings.Join(allowable(), ", ")))
		case info.Refused:
			return o, usage(cmd, fmt.Errorf("--allow %s lets nothing through: METI's database refuses %s", name, info.About))
		}
		o.Rules.Allow = append(o.Rules.Allow, ledger.Rule(name))
	}
	if _, err := fields.NewJudge(o); err != nil {
		return o, usage(cmd, fmt.Errorf("--start and --end take a property or a date: %w", err))
	}
	return o, nil
}

// rulesTopic is "meti help rules".
func rulesTopic() *cobra.Command {
	var text strings.Builder
	text.WriteString(`Each thing that may be wrong with a feature has a rule, with one severity in every
command. What is invalid is never sent.
`)
	for _, group := range []struct {
		title string
		has   func(ledger.RuleInfo) bool
	}{
		{"Invalid, because METI's database refuses it", func(i ledger.RuleInfo) bool { return i.Refused }},
		{"Invalid, unless --allow RULE lets it through", func(i ledger.RuleInfo) bool { return !i.Refused && i.Severity == ledger.Error }},
		{"Warnings; with --strict they are invalid too", func(i ledger.RuleInfo) bool { return i.Severity == ledger.Warning }},
	} {
		fmt.Fprintf(&text, "\n%s:\n\n", group.title)
		for _, info := range ledger.AllRules() {
			if group.has(info) {
				fmt.Fprintf(&text, "  %-18s %s\n", info.Rule, info.About)
			}
		}
	}
	return &cobra.Command{Use: "rules", Short: "What is checked before anything is sent", Long: text.String()}
}
