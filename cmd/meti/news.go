package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/meti-go/meti/api"
)

// news collects what METI answers that this version does not know, for -v.
type news struct{ members, values map[string]bool }

// see looks at a source.
func (n *news) see(s *api.Source) {
	if n.members == nil {
		n.members, n.values = map[string]bool{}, map[string]bool{}
	}
	for name := range s.AdditionalProperties {
		n.members[name] = true
	}
	unknown := func(field, value string) { n.values[field+" "+value] = true }
	if s.Methodology != nil && !s.Methodology.Known() {
		unknown("methodology", string(*s.Methodology))
	}
	if s.SourceType != nil && !s.SourceType.Known() {
		unknown("source_type", string(*s.SourceType))
	}
	if s.GeometrySource != nil && !s.GeometrySource.Known() {
		unknown("geometry_source", string(*s.GeometrySource))
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
	}{{"members", n.members}, {"values", n.values}} {
		if len(one.seen) > 0 {
			a.say("METI answered %s that this version does not know: %s", one.what,
				printable(strings.Join(slices.Sorted(maps.Keys(one.seen)), ", ")))
		}
	}
}
