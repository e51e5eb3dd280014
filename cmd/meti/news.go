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
	unknown := func(field, value string) { n.values[field+" "+value] = true }
	if s.Methodology != "" && !s.Methodology.Known() {
		unknown("methodology", string(s.Methodology))
	}
	if s.SourceType != "" && !s.SourceType.Known() {
		unknown("source_type", string(s.SourceType))
	}
	if s.GeometrySource != "" && !s.GeometrySource.Known() {
		unknown("geometry_source", string(s.GeometrySource))
	}
	for _, kind := range s.AttributeType {
		if !kind.Known() {
			unknown("attribute_type", string(kind))
		}
	}
}

// tell says what was seen.
func (n *news) tell(a *app) {
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
