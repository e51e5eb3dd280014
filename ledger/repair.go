package ledger

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/meti-go/meti/internal/scan"
)

// Fix is one change that [Repair] made.
type Fix struct {
	Rule    Rule   `json:"rule"`    // RuleWinding, RuleRingOpen or RuleRepeatedPoint
	Pointer string `json:"pointer"` // the ring, from the text that was given
	Message string `json:"message"`
}

// Repair takes a GeoJSON Feature or geometry, winds shells counter-clockwise
// and holes clockwise (RFC 7946, 3.1.6), closes rings that lack their last
// position, and takes out positions that stand twice in a row, in Polygons and
// MultiPolygons, those of a GeometryCollection too. It never moves a boundary:
// the positions that stay keep their very digits, and so does every other
// member of the text. It returns the text it was given when there is nothing
// to do, and fails only when the text holds no geometry that can be read.
//
// A ring is only closed when it would have enough positions, and nothing else
// is mended: what [JudgeGeometry] still finds is for a person to decide.
func Repair(text []byte) ([]byte, []Fix, error) {
	if fault := jsonFault(text, "text"); fault != "" {
		return nil, nil, &InvalidError{Problems{NewProblem(RuleJSON, "", "%s", fault)}}
	}
	geometry, prefix := text, ""
	if g := members(text, "geometry")[0]; g != nil {
		geometry, prefix = g, "/geometry"
	}
	g, fault := decodeGeometry(geometry)
	if fault != nil {
		return nil, nil, &InvalidError{Problems{*fault}.under(prefix)}
	}
	var fixes []Fix
	var out []byte
	last := 0
	for i := range g.rings {
		r := &g.rings[i]
		mended, fixed := repairRing(r, prefix)
		if len(fixed) == 0 {
			continue
		}
		fixes = append(fixes, fixed...)
		// The ring's text is a slice of the whole, so its place follows from
		// the capacity.
		start := cap(text) - cap(r.text)
		out = append(append(out, text[last:start]...), mended...)
		last = start + len(r.text)
	}
	if len(fixes) == 0 {
		return text, nil, nil
	}
	return append(out, text[last:]...), fixes, nil
}

func repairRing(r *ring, prefix string) (mended []byte, fixes []Fix) {
	clean := r.withoutRepeats()
	if !r.polygonal() || clean.len() < 3 {
		return nil, nil
	}
	done := func(rule Rule, message string) { fixes = append(fixes, Fix{rule, prefix + r.path, message}) }
	var all, texts [][]byte
	scan.Elements(r.text, func(_ int, item []byte) bool {
		all = append(all, item)
		return true
	})
	for _, i := range clean.index {
		texts = append(texts, all[i])
	}
	if n := r.len() - clean.len(); n > 0 {
		done(RuleRepeatedPoint, fmt.Sprintf("took out %d repeated positions", n))
	}
	if first := clean.at(0); first != clean.at(clean.len()-1) {
		texts = append(texts, texts[0])
		clean.xy = append(clean.xy, first[:]...)
		done(RuleRingOpen, "closed the ring with its first position")
	}
	if clean.woundWrong() && !acrossAntimeridian(clean.xy) {
		slices.Reverse(texts)
		if r.hole == 0 {
			done(RuleWinding, "wound the shell counter-clockwise")
		} else {
			done(RuleWinding, "wound the hole clockwise")
		}
	}
	return slices.Concat([]byte{'['}, bytes.Join(texts, []byte{','}), []byte{']'}), fixes
}
