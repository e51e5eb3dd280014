package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/meti-go/meti/internal/scan"
)

// A Ring is a closed line of positions, each the longitude and the latitude in
// degrees (WGS84); the last repeats the first.
type Ring [][2]float64

// A Polygon is its shell, followed by its holes.
type Polygon []Ring

// Boundary is the source's boundary as METI wrote it, a GeoJSON geometry: Geometry
// or else GeoJSON, and of a Feature its geometry. It is nil where METI told none.
func (s *Source) Boundary() json.RawMessage {
	text := s.Geometry
	if text == nil {
		text = s.GeoJSON
	}
	feature, geometry := false, text[:0:0]
	scan.Members(text, func(name, value []byte) bool {
		switch string(name) {
		case "type":
			feature = string(value) == `"Feature"`
			return feature
		case "geometry":
			geometry = value
		}
		return true
	})
	if feature {
		text = geometry
	}
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	return text
}

// Polygons decodes the source's [Source.Boundary], a Polygon or MultiPolygon
// (RFC 7946). A Polygon becomes a list of one. A source whose boundary METI did
// not tell has none.
//
// Numbers are read as strconv.ParseFloat reads them; what a position holds
// behind longitude and latitude is left out, and so are polygons without a ring.
// It is for the ledger, not for this method, to judge whether rings are closed
// and do not cross.
func (s *Source) Polygons() ([]Polygon, error) {
	text := s.Boundary()
	if text == nil {
		return nil, nil
	}
	polygons, err := decodePolygons(text)
	if err != nil {
		return nil, fmt.Errorf("source %s: geometry: %w", s.ID, err)
	}
	return polygons, nil
}

func decodePolygons(text []byte) ([]Polygon, error) {
	// Nearly all are written like this, and need not be walked over first.
	for _, kind := range []string{`"Polygon"`, `"MultiPolygon"`} {
		start := len(`{"type":`) + len(kind) + len(`,"coordinates":`)
		if len(text) > start && string(text[:start]) == `{"type":`+kind+`,"coordinates":` {
			if polygons, end, err := decodeCoordinates(text, start, kind); err == nil && string(text[end:]) == "}" {
				return polygons, nil
			}
		}
	}
	var kind string
	start := -1
	end, ok := scan.Members(text, func(name, value []byte) bool {
		switch string(name) {
		case "type":
			kind = string(value)
		case "coordinates":
			start = cap(text) - cap(value)
		}
		return true
	})
	if ok {
		end = scan.SkipSpace(text, end)
	}
	switch {
	case !ok || end < len(text):
		return nil, unexpected(text, end, "a GeoJSON object")
	case start < 0:
		return nil, errors.New("no coordinates")
	}
	polygons, _, err := decodeCoordinates(text, start, kind)
	return polygons, err
}

// decodeCoordinates decodes the coordinates at text[i] of a geometry of this
// kind, a JSON string.
func decodeCoordinates(text []byte, i int, kind string) (polygons []Polygon, end int, err error) {
	depth := map[string]int{`"Polygon"`: 1, `"MultiPolygon"`: 2}[kind]
	if depth == 0 {
		return nil, i, fmt.Errorf("the type is %s, not Polygon or MultiPolygon", kind)
	}
	// There are at most as many positions as brackets, so that the array is
	// never moved.
	c := coordinates{text: text, positions: make([][2]float64, 0, bytes.Count(text[i:], []byte{'['}))}
	if end, err = c.list(i, depth); err != nil {
		return nil, end, err
	}
	return c.polygons, end, nil
}

// coordinates are what is decoded of a text so far.
type coordinates struct {
	text      []byte
	positions [][2]float64 // of all rings
	polygon   Polygon      // that is not whole yet
	polygons  []Polygon
}

// list decodes the list at text[i]: of polygons at depth 2, of rings at depth 1,
// of positions at depth 0.
func (c *coordinates) list(i, depth int) (end int, err error) {
	if depth == 0 {
		start, want := len(c.positions), ""
		if c.positions, end, want = scan.Positions(c.text, i, c.positions); want != "" {
			return end, unexpected(c.text, end, want)
		}
		c.polygon = append(c.polygon, c.positions[start:len(c.positions):len(c.positions)])
		return end, nil
	}
	if i >= len(c.text) || c.text[i] != '[' {
		return i, unexpected(c.text, i, "a list")
	}
	if i = scan.SkipSpace(c.text, i+1); i < len(c.text) && c.text[i] == ']' {
		return i + 1, nil
	}
	for {
		if i, err = c.list(i, depth-1); err != nil {
			return i, err
		}
		if i = scan.SkipSpace(c.text, i); i >= len(c.text) || c.text[i] != ',' {
			break
		}
		i = scan.SkipSpace(c.text, i+1)
	}
	if i >= len(c.text) || c.text[i] != ']' {
		return i, unexpected(c.text, i, "a comma or a list's end")
	}
	if depth == 1 {
		c.polygons, c.polygon = append(c.polygons, c.polygon), nil
	}
	return i + 1, nil
}

// unexpected says that something else should stand at text[i].
func unexpected(text []byte, i int, want string) error {
	if i >= len(text) {
		return fmt.Errorf("cut short after %d bytes, before %s", len(text), want)
	}
	return fmt.Errorf("unexpected %q at byte %d instead of %s", text[i], i, want)
}
