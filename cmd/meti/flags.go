package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
)

// formats are the values of --output where a command has sources or features to
// write.
var formats = []string{"table", "ndjson", "json", "csv", "geojson"}

// outputFlag adds -o, which takes one of the formats: unless it is given, the first
// on a terminal and the second elsewhere.
func (a *app) outputFlag(cmd *cobra.Command, formats ...string) *string {
	format, usage := formats[1], ""
	if a.terminal {
		format = formats[0]
	}
	if formats[0] != formats[1] {
		usage = fmt.Sprintf(" (default: %s on a terminal, else %s)", formats[0], formats[1])
	}
	formats = slices.Compact(formats)
	cmd.Flags().FuncP("output", "o", "`format`: "+strings.Join(formats, ", ")+usage, func(text string) error {
		if !slices.Contains(formats, text) {
			return fmt.Errorf("not one of %s", strings.Join(formats, ", "))
		}
		format = text
		return nil
	})
	completeWith(cmd, "output", formats...)
	return &format
}

// mappingFlags adds the flags that say what of a file's features is sent, and how
// they are judged. They are the same in every command that reads fields.
func mappingFlags(cmd *cobra.Command) *fields.Options {
	o := new(fields.Options)
	flags := cmd.Flags()
	flags.StringVar(&o.IDProperty, "id-property", "", "the property that holds your id (default: the Feature's id)")
	date := func(name string, at *string) {
		flags.Func(name, fmt.Sprintf("the `property` that holds the %s, or a date for all (default: %[1]s_at)", name), func(text string) error {
			*at = text
			_, err := fields.NewJudge(fields.Options{Start: text})
			return err
		})
	}
	date("start", &o.Start)
	date("end", &o.End)
	flags.BoolVar(&o.Rules.Strict, "strict", false, "make warnings invalid")
	var allowable []string
	for _, info := range ledger.AllRules() {
		if !info.Refused {
			allowable = append(allowable, string(info.Rule))
		}
	}
	slices.Sort(allowable)
	flags.Func("allow", "let through what breaks this `rule`, see \"meti help rules\"; may be repeated", func(name string) error {
		switch info, ok := ledger.Rule(name).Info(); {
		case !ok:
			return fmt.Errorf("no rule; the rules are %s", strings.Join(allowable, ", "))
		case info.Refused:
			return fmt.Errorf("METI's database refuses %s", info.About)
		}
		o.Rules.Allow = append(o.Rules.Allow, ledger.Rule(name))
		return nil
	})
	completeWith(cmd, "allow", allowable...)
	return o
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

// countryTable is the built-in table of countries, or that of a file.
func countryTable(name string) (*ledger.Countries, error) {
	if name == "" {
		return countries.World(), nil
	}
	return load(name, ledger.LoadCountries)
}

// load reads what a file holds.
func load[T any](name string, read func(io.Reader) (T, error)) (loaded T, err error) {
	file, err := os.Open(name)
	if err != nil {
		return loaded, err
	}
	defer file.Close()
	if loaded, err = read(file); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return loaded, err
}

// specFlag is a flag that openapi.yaml asks for; the tables are generated.
type specFlag struct {
	name, field, kind, usage string
}

// specFlags are the flags of a table, which a command has.
type specFlags struct {
	flags *pflag.FlagSet
	table []specFlag
}

// attributeFlags adds the flags that say what the sources to register share; they
// go into what is sent, such as an api.SourceCreateFeatures.
func attributeFlags(cmd *cobra.Command) specFlags { return addSpecFlags(cmd, attributeTable) }

func addSpecFlags(cmd *cobra.Command, table []specFlag) specFlags {
	flags := cmd.Flags()
	for _, f := range table {
		switch f.kind {
		case "integer":
			flags.Int(f.name, 0, f.usage)
		case "number":
			flags.Float64(f.name, 0, f.usage)
		case "boolean":
			flags.Bool(f.name, false, f.usage)
		case "array":
			flags.StringArray(f.name, nil, f.usage)
		default:
			flags.String(f.name, "", f.usage)
		}
	}
	return specFlags{flags, table}
}

// into puts what the flags say in the place of what a request or a filter says. A
// flag that was left out or is empty says nothing.
func (s specFlags) into(request any) error {
	members := map[string]any{}
	for _, f := range s.table {
		value := s.flags.Lookup(f.name).Value
		list, isList := value.(pflag.SliceValue)
		switch text := value.String(); {
		case isList && len(list.GetSlice()) > 0:
			members[f.field] = list.GetSlice()
		case isList || text == s.flags.Lookup(f.name).DefValue:
		case value.Type() == "string":
			members[f.field] = text
		default:
			members[f.field] = json.RawMessage(text)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, request)
}
