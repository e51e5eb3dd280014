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
	var coordinates []byte
	end, ok := scan.Members(text, func(name, value []byte) bool {
		switch string(name) {
		case "type":
			kind = string(value)
		case "coordinates":
			coordinates = value
		}
		return true
	})
	if ok {
		end = scan.SkipSpace(text, end)
	}
	switch {
	case !ok || end < len(text):
		return nil, unexpected(text, end, "a GeoJSON object")
	case coordinates == nil:
		return nil, errors.New("no coordinates")
	}
	polygons, _, err := decodeCoordinates(text, cap(text)-cap(coordinates), kind)
	return polygons, err
}

// unexpected says that something else should stand at b[i].
func unexpected(b []byte, i int, want string) error {
	if i >= len(b) {
		return fmt.Errorf("cut short after %d bytes, before %s", len(b), want)
	}
	return fmt.Errorf("unexpected %q at byte %d instead of %s", b[i], i, want)
}

// decodeCoordinates decodes the coordinates at b[i] of a geometry of this
// kind, a JSON string.
func decodeCoordinates(b []byte, i int, kind string) (polygons []Polygon, end int, err error) {
	// There are at most as many positions as brackets, so that the array is
	// never moved.
	positions := make([][2]float64, 0, bytes.Count(b[i:], []byte{'['}))
	var polygon Polygon
	ring := func(i int) (end int, err error) {
		start := len(positions)
		var want string
		if positions, end, want = scan.Positions(b, i, positions); want != "" {
			return end, unexpected(b, end, want)
		}
		polygon = append(polygon, positions[start:len(positions):len(positions)])
		return end, nil
	}
	one := func(i int) (end int, err error) {
		polygon = nil
		end, err = decodeList(b, i, ring)
		if len(polygon) > 0 {
			polygons = append(polygons, polygon)
		}
		return end, err
	}
	switch kind {
	case `"Polygon"`:
		end, err = one(i)
	case `"MultiPolygon"`:
		end, err = decodeList(b, i, one)
	default:
		return nil, i, fmt.Errorf("the type is %s, not Polygon or MultiPolygon", kind)
	}
	if err != nil {
		return nil, end, err
	}
	return polygons, end, nil
}

// decodeList walks over an array whose items are decoded by item.
func decodeList(b []byte, i int, item func(i int) (end int, err error)) (end int, err error) {
	if i >= len(b) || b[i] != '[' {
		return i, unexpected(b, i, "a list")
	}
	if i = scan.SkipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		if i, err = item(i); err != nil {
			return i, err
		}
		if i = scan.SkipSpace(b, i); i >= len(b) || b[i] != ',' && b[i] != ']' {
			return i, unexpected(b, i, "a comma or a list's end")
		}
		if b[i] == ']' {
			return i + 1, nil
		}
		i = scan.SkipSpace(b, i+1)
	}
}
