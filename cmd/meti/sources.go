package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

func (a *app) sourcesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "List, show, register and delete sources",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.listCommand(), a.getCommand(), a.createCommand(), a.deleteCommand())
	return cmd
}

// whose tells the account's own sources from others.
type whose struct {
	own   map[string]bool
	whole bool // own holds all of the account's: what is not in it is another custodian's
}

func (w *whose) see(id string) {
	if w.own == nil {
		w.own = map[string]bool{}
	}
	w.own[id] = true
}

// conflict is a conflict in words: "2: 1 own, 1 other, 43 %".
func (w *whose) conflict(s *api.Source) string {
	if !s.InConflict() {
		return "-"
	}
	with, own, parts := s.ConflictWith, 0, []string{}
	for _, id := range with {
		if w.own[id] {
			own++
		}
	}
	if own > 0 {
		parts = append(parts, fmt.Sprintf("%d own", own))
	}
	if other := len(with) - own; other > 0 && w.whole {
		parts = append(parts, fmt.Sprintf("%d other", other))
	} else if other > 0 {
		parts = append(parts, fmt.Sprintf("%d not listed", other))
	}
	if len(parts) == 0 {
		parts = []string{"yes"}
	}
	if s.PercentOverlap != nil {
		parts = append(parts, percent(*s.PercentOverlap))
	}
	text := strings.Join(parts, ", ")
	if len(with) > own && own > 0 {
		text = fmt.Sprintf("%d: %s", len(with), text)
	}
	return text
}

// percent is a share in words.
func percent(share float64) string {
	switch p := 100 * share; {
	case p > 0 && p < 0.1:
		return "<0.1 %"
	case p < 10 && p != math.Trunc(p):
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}

// sourceForm is how sources are written.
func sourceForm(w *whose) form[*api.Source] {
	return form[*api.Source]{
		columns: []column[*api.Source]{
			{head: "SSID", cell: func(s *api.Source) string { return s.ID }},
			{head: "ALT ID", cell: func(s *api.Source) string { return s.AltID }, least: 16},
			{head: "COUNTRY", cell: func(s *api.Source) string { return s.Country }, least: 7, drop: 2},
			{head: "HECTARES", cell: func(s *api.Source) string { return hectares(s.Hectares) }, right: true},
			{head: "START", cell: func(s *api.Source) string { return day(s.StartAt.String()) }, drop: 1},
			{head: "END", cell: func(s *api.Source) string { return day(s.EndAt.String()) }, drop: 3},
			{head: "METHODOLOGY", cell: func(s *api.Source) string { return string(s.Methodology) }, least: 11, drop: 4},
			{head: "CONFLICT", cell: w.conflict, red: (*api.Source).InConflict, least: 20},
		},
		feature: sourceFeature,
	}
}

// sourceFeature is a source as a GeoJSON Feature in the form that METI takes:
// its id is the alt_id. All else that is known stands in its properties.
func sourceFeature(s *api.Source) ([]byte, error) {
	bare := *s
	bare.Geometry, bare.GeoJSON = nil, nil
	properties, err := json.Marshal(bare)
	if err != nil {
		return nil, err
	}
	id, err := json.Marshal(s.AltID)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"type":"Feature","id":%s,"geometry":%s,"properties":%s}`, id, geometryOf(s), properties), nil
}

// geometryOf is a source's geometry as GeoJSON, null without one.
func geometryOf(s *api.Source) []byte {
	for _, geometry := range [][]byte{s.Geometry, s.GeoJSON} {
		if len(geometry) > 0 {
			return geometry
		}
	}
	return []byte("null")
}

// printSources prints sources that are at hand.
func (a *app) printSources(format string, sources []*api.Source) error {
	var seen news
	var w whose
	for _, s := range sources {
		seen.see(s)
		w.see(s.ID)
	}
	out := newOutput(a, a.stdout, format, sourceForm(&w))
	for _, s := range sources {
		if err := out.add(s); err != nil {
			return err
		}
	}
	seen.tell(a)
	return out.end()
}
