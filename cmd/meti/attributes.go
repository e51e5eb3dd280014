package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

// specFlag is a flag that openapi.yaml asks for; the tables are generated.
type specFlag struct {
	name, field, kind, usage string
}

// given are the values of such flags, by field; a flag that was left out or is
// empty gives none.
type given map[string]func() any

// specFlags adds the flags of a table to a command.
func specFlags(cmd *cobra.Command, table []specFlag) given {
	values := given{}
	flags := cmd.Flags()
	for _, f := range table {
		switch f.kind {
		case "integer":
			values[f.field] = value(flags.Int(f.name, 0, f.usage))
		case "number":
			values[f.field] = value(flags.Float64(f.name, 0, f.usage))
		case "boolean":
			values[f.field] = value(flags.Bool(f.name, false, f.usage))
		case "array":
			list := flags.StringArray(f.name, nil, f.usage)
			values[f.field] = func() any {
				if len(*list) == 0 {
					return nil
				}
				return *list
			}
		default:
			values[f.field] = value(flags.String(f.name, "", f.usage))
		}
	}
	return values
}

func value[T comparable](at *T) func() any {
	return func() any {
		if *at == *new(T) {
			return nil
		}
		return *at
	}
}

// into puts what was given in place of what a request or a filter says.
func (g given) into(request any) error {
	members := map[string]any{}
	for field, value := range g {
		if v := value(); v != nil {
			members[field] = v
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, request)
}

// attributeFlags adds the flags that say what the sources to register share; they
// go into an api.SourceCreateFeatures or an api.SourceCreate.
func attributeFlags(cmd *cobra.Command) given { return specFlags(cmd, attributeTable) }

// filterFlags adds the flags that narrow a listing.
func filterFlags(cmd *cobra.Command) func() (api.Filter, error) {
	given := specFlags(cmd, filterTable)
	return func() (filter api.Filter, err error) {
		err = given.into(&filter)
		return filter, err
	}
}
