package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/meti-go/meti/api"
)

// news collects what METI answers that this version does not know, for -v.
type news struct{ members, fields, values map[string]bool }

// see looks at a source.
func (n *news) see(s *api.Source) {
	if n.members == nil {
		n.members, n.fields, n.values = map[string]bool{}, map[string]bool{}, map[string]bool{}
	}
	for name := range s.AdditionalProperties {
		if s.HasField(name) {
			n.fields[name] = true
		} else {
			n.members[name] = true
		}
	}
	seeValues(n, "methodology", s.Methodology)
	seeValues(n, "source_type", s.SourceType)
	seeValues(n, "geometry_source", s.GeometrySource)
	seeValues(n, "attribute_type", s.AttributeType...)
}

func seeValues[T interface {
	~string
	Known() bool
}](n *news, field string, values ...T) {
	for _, value := range values {
		if value != "" && !value.Known() {
			n.values[field+" "+string(value)] = true
		}
	}
}

// tell says what was seen.
func (n *news) tell(a *app) {
	if !a.verbose {
		return
	}
	for _, one := range []struct {
		what string
		seen map[string]bool
	}{
		{"members that this version does not know", n.members},
		{"fields of another type than expected", n.fields},
		{"values that this version does not know", n.values},
	} {
		if len(one.seen) > 0 {
			a.say("METI answered %s: %s", one.what, printable(strings.Join(slices.Sorted(maps.Keys(one.seen)), ", ")))
		}
	}
}
