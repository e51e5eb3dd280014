package ledger

import (
	"bytes"
	"fmt"

	"github.com/meti-go/meti/internal/jsonwalk"
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
// is mended: what [CheckGeometry] still finds is for a person to decide.
func Repair(text []byte) ([]byte, []Fix, error) {
	if !jsonValid(text) {
		return nil, nil, jsonProblem("the text is no JSON that the ledger can hold").Err()
	}
	geometry, prefix := bytes.TrimSpace(text), ""
	if g, ok := field(geometry, "geometry"); ok {
		geometry, prefix = g, "/geometry"
	}
	if isNull(geometry) || geometry[0] != '{' {
		return nil, nil, badShape("there is no geometry in the text")
	}
	if _, fail := decodeGeometry(geometry); fail != nil {
		fail.pointer = prefix + fail.pointer
		return nil, nil, fail
	}
	var r repairer
	r.geometry(geometry, prefix)
	if len(r.fixes) == 0 {
		return text, nil, nil
	}
	// Pieces of text are slices of it, so their places follow from capacity.
	var out []byte
	last := 0
	for _, e := range r.edits {
		start := cap(text) - cap(e.old)
		out = append(out, text[last:start]...)
		out = append(out, e.new...)
		last = start + len(e.old)
	}
	return append(out, text[last:]...), r.fixes, nil
}

type edit struct{ old, new []byte }

type repairer struct {
	fixes []Fix
	edits []edit
}

func (r *repairer) geometry(value []byte, path string) {
	typ, _ := member(value, "type")
	kind, _ := asText(typ)
	if list, ok := member(value, "geometries"); ok && equalFold(kind, "GeometryCollection") && list[0] == '[' {
		jsonwalk.Elements(list, func(i int, item []byte) bool {
			r.geometry(item, fmt.Sprintf("%s/geometries/%d", path, i))
			return true
		})
		return
	}
	coords, _ := member(value, "coordinates")
	path += "/coordinates"
	switch {
	case equalFold(kind, "Polygon"):
		r.polygon(coords, path)
	case equalFold(kind, "MultiPolygon"):
		jsonwalk.Elements(coords, func(i int, item []byte) bool {
			if item[0] == '[' {
				r.polygon(item, fmt.Sprintf("%s/%d", path, i))
			}
			return true
		})
	}
}

func (r *repairer) polygon(rings []byte, path string) {
	jsonwalk.Elements(rings, func(i int, item []byte) bool {
		r.ring(item, fmt.Sprintf("%s/%d", path, i), i == 0)
		return true
	})
}

func (r *repairer) ring(value []byte, path string, shell bool) {
	var texts [][]byte
	var xy []float64
	var rd reader
	repeated := 0
	jsonwalk.Elements(value, func(_ int, item []byte) bool {
		before := len(xy)
		if rd.position(item, path, &xy) != nil || len(xy) == before {
			return true // an empty position counts for nothing
		}
		if n := len(xy); n >= 4 && xy[n-2] == xy[n-4] && xy[n-1] == xy[n-3] {
			repeated++
			xy = xy[:before]
			return true
		}
		texts = append(texts, item)
		return true
	})
	if len(texts) < 3 {
		return
	}
	done := func(rule Rule, message string) {
		r.fixes = append(r.fixes, Fix{rule, path, message})
	}
	before := len(r.fixes)
	if repeated > 0 {
		done(RuleRepeatedPoint, fmt.Sprintf("took out %d repeated positions", repeated))
	}
	if n := len(xy); xy[0] != xy[n-2] || xy[1] != xy[n-1] {
		texts = append(texts, texts[0])
		xy = append(xy, xy[0], xy[1])
		done(RuleRingOpen, "closed the ring with its first position")
	}
	// A ring across the antimeridian tells which way it runs only once it is cut.
	if area := signedArea(xy); !acrossAntimeridian(xy) && (area < 0 && shell || area > 0 && !shell) {
		for i, j := 0, len(texts)-1; i < j; i, j = i+1, j-1 {
			texts[i], texts[j] = texts[j], texts[i]
		}
		if shell {
			done(RuleWinding, "wound the shell counter-clockwise")
		} else {
			done(RuleWinding, "wound the hole clockwise")
		}
	}
	if len(r.fixes) > before {
		mended := append([]byte{'['}, bytes.Join(texts, []byte{','})...)
		r.edits = append(r.edits, edit{value, append(mended, ']')})
	}
}
