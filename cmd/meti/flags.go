package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

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
	date := func(name string, at *string, what string) {
		flags.Func(name, fmt.Sprintf("the `property` that holds the %s, or a date for all (default: %s_at)", what, name), func(text string) error {
			*at = text
			_, err := fields.NewJudge(fields.Options{Start: text})
			return err
		})
	}
	date("start", &o.Start, "start")
	date("end", &o.End, "end, the first instant that is not part of the period")
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
	var refused, errors, warnings strings.Builder
	for _, info := range ledger.AllRules() {
		text := &warnings
		switch {
		case info.Refused:
			text = &refused
		case info.Severity == ledger.Error:
			text = &errors
		}
		fmt.Fprintf(text, "  %-18s %s\n", info.Rule, info.About)
	}
	cmd := describe("rules", nil)
	cmd.Long = strings.NewReplacer("REFUSED\n", refused.String(), "ERRORS\n", errors.String(), "WARNINGS", warnings.String()).Replace(cmd.Long)
	return cmd
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
	values                   []string // that are known; there may be others
}

// specFlags are what the flags of a table say: pointers, by the fields' names.
type specFlags map[string]any

// attributeFlags adds the flags that say what the sources to register share; they
// go into what is sent, such as an api.SourceCreateFeatures.
func attributeFlags(cmd *cobra.Command) specFlags { return addSpecFlags(cmd, attributeTable) }

func addSpecFlags(cmd *cobra.Command, table []specFlag) specFlags {
	flags, said := cmd.Flags(), specFlags{}
	for _, f := range table {
		if len(f.values) > 0 {
			f.usage += " (" + strings.Join(f.values, ", ") + ")"
		}
		if f.kind == "array" {
			f.usage += "; may be repeated"
		}
		switch f.kind {
		case "integer":
			said[f.field] = flags.Int(f.name, 0, f.usage)
		case "number":
			said[f.field] = flags.Float64(f.name, 0, f.usage)
		case "boolean":
			said[f.field] = flags.Bool(f.name, false, f.usage)
		case "array":
			said[f.field] = flags.StringArray(f.name, nil, f.usage)
		default:
			said[f.field] = flags.String(f.name, "", f.usage)
		}
		completeWith(cmd, f.name, f.values...)
	}
	return said
}

// into puts what the flags say in the place of what a request or a filter says. A
// flag that was left out or is empty says nothing.
func (s specFlags) into(request any) error {
	members := map[string]any{}
	for field, value := range s {
		said := reflect.ValueOf(value).Elem()
		if !utf8.ValidString(fmt.Sprint(said)) {
			return usage("what is given as %s is not UTF-8", field)
		}
		if !said.IsZero() {
			members[field] = value
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, request)
}
