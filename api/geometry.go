package api

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A Ring is a closed line of positions, each the longitude and the latitude in
// degrees (WGS84); the last repeats the first.
type Ring [][2]float64

// A Polygon is its shell, followed by its holes.
type Polygon []Ring

// XY gives a ring's coordinates one after the other, x0, y0, x1, y1 …, as
// libraries such as simplefeatures take them.
func (r Ring) XY() []float64 {
	flat := make([]float64, 0, 2*len(r))
	for _, position := range r {
		flat = append(flat, position[0], position[1])
	}
	return flat
}

// Polygons decodes the source's boundary, from Geometry or else from Geojson;
// see [DecodePolygons]. A source whose boundary METI did not tell has none.
func (s *Source) Polygons() ([]Polygon, error) {
	geometry := s.Geometry
	if geometry == nil {
		geometry = s.Geojson
	}
	polygons, err := DecodePolygons[[]Polygon](geometry)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.ID, err)
	}
	return polygons, nil
}

// DecodePolygons decodes a GeoJSON Polygon or MultiPolygon (RFC 7946) into any
// library's type that is made of lists down to [2]float64, such as
// orb.MultiPolygon:
//
//	boundary, err := api.DecodePolygons[orb.MultiPolygon](source.Geometry)
//
// A Polygon becomes a list of one. All positions stand in one array. Numbers
// are read as strconv.ParseFloat reads them; what a position holds behind
// longitude and latitude is left out, and so are polygons without a ring. It is
// for the ledger, not for this function, to judge whether rings are closed and
// do not cross. No geometry, or null, is no polygons.
//
// Errors say at which byte of the geometry.
func DecodePolygons[M ~[]P, P ~[]R, R ~[]C, C ~[2]float64](geometry json.RawMessage) (M, error) {
	b := []byte(geometry)
	if len(b) == 0 {
		return nil, nil
	}
	i := skipSpace(b, 0)
	if end, ok := skipWord(b, i, "null"); ok && skipSpace(b, end) == len(b) {
		return nil, nil
	}
	if i == len(b) || b[i] != '{' {
		return nil, unexpected(b, i, "a GeoJSON object")
	}
	var (
		polygons M
		kind     string
		found    = -1 // where the coordinates begin
		decoded  bool
		err      error
	)
	for more := true; more; {
		if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' && found < 0 && kind == "" {
			break
		}
		if i >= len(b) || b[i] != '"' {
			return nil, unexpected(b, i, "a member's name")
		}
		start := i
		end, _, ok := skipText(b, start+1)
		if !ok {
			return nil, unexpected(b, end, "a name")
		}
		name := b[start:end]
		if i = skipSpace(b, end); i >= len(b) || b[i] != ':' {
			return nil, unexpected(b, i, "a colon")
		}
		i = skipSpace(b, i+1)
		switch string(name) {
		case `"coordinates"`:
			found = i
			if kind != "" { // as it nearly always is: the type stands first
				decoded = true
				polygons, i, err = decodeCoordinates[M](b, i, kind)
				if err != nil {
					return nil, err
				}
				break
			}
			if i, ok = skipValue(b, i, 1); !ok {
				return nil, unexpected(b, i, "coordinates")
			}
		case `"type"`:
			start = i
			if i, ok = skipValue(b, i, 1); !ok {
				return nil, unexpected(b, i, "a type")
			}
			kind = string(b[start:i])
		default:
			if i, ok = skipValue(b, i, 1); !ok {
				return nil, unexpected(b, i, "a value")
			}
		}
		if i = skipSpace(b, i); i >= len(b) || b[i] != ',' && b[i] != '}' {
			return nil, unexpected(b, i, "a comma or the object's end")
		}
		more = b[i] == ','
	}
	if i = skipSpace(b, i+1); i != len(b) {
		return nil, unexpected(b, i, "the end")
	}
	if found < 0 {
		return nil, fmt.Errorf("geometry: no coordinates")
	}
	if !decoded {
		polygons, _, err = decodeCoordinates[M](b, found, kind)
	}
	return polygons, err
}

// unexpected says that something else should stand at b[i].
func unexpected(b []byte, i int, want string) error {
	if i >= len(b) {
		return fmt.Errorf("geometry: cut short after %d bytes, before %s", len(b), want)
	}
	return fmt.Errorf("geometry: unexpected %q at byte %d instead of %s", b[i], i, want)
}

// decodeCoordinates decodes the coordinates at b[i] of a geometry of this
// kind, a JSON string.
func decodeCoordinates[M ~[]P, P ~[]R, R ~[]C, C ~[2]float64](b []byte, i int, kind string) (polygons M, end int, err error) {
	// There are at most as many positions as brackets, so that the array is
	// never moved.
	positions := make([]C, 0, bytes.Count(b[i:], []byte{'['}))
	var polygon P
	one := func(i int) (end int, err error) {
		polygon = nil
		end, err = decodeList(b, i, "a ring", func(i int) (end int, err error) {
			start := len(positions)
			positions, end, err = decodeRing(b, i, positions)
			polygon = append(polygon, R(positions[start:len(positions):len(positions)]))
			return end, err
		})
		if len(polygon) > 0 {
			polygons = append(polygons, polygon)
		}
		return end, err
	}
	switch kind {
	case `"Polygon"`:
		end, err = one(i)
	case `"MultiPolygon"`:
		end, err = decodeList(b, i, "a polygon", one)
	default:
		return nil, i, fmt.Errorf("geometry: the type is %s, not Polygon or MultiPolygon", kind)
	}
	if err != nil {
		return nil, end, err
	}
	return polygons, end, nil
}

// decodeList walks over an array whose items are decoded by item.
func decodeList(b []byte, i int, what string, item func(i int) (end int, err error)) (end int, err error) {
	if i >= len(b) || b[i] != '[' {
		return i, unexpected(b, i, "a list")
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		if i, err = item(i); err != nil {
			return i, err
		}
		if i = skipSpace(b, i); i >= len(b) || b[i] != ',' && b[i] != ']' {
			return i, unexpected(b, i, "a comma or a list's end")
		}
		if b[i] == ']' {
			return i + 1, nil
		}
		i = skipSpace(b, i+1)
	}
}

// decodeRing appends a ring's positions.
func decodeRing[C ~[2]float64](b []byte, i int, positions []C) (_ []C, end int, err error) {
	if i >= len(b) || b[i] != '[' {
		return positions, i, unexpected(b, i, "a ring")
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return positions, i + 1, nil
	}
	for east, north := new(axis), new(axis); ; {
		if i >= len(b) || b[i] != '[' {
			return positions, i, unexpected(b, i, "a position")
		}
		x, j, ok := east.decode(b, skipSpace(b, i+1))
		if !ok {
			return positions, j, unexpected(b, j, "a longitude")
		}
		if j = skipSpace(b, j); j >= len(b) || b[j] != ',' {
			return positions, j, unexpected(b, j, "a comma and a latitude")
		}
		y, j, ok := north.decode(b, skipSpace(b, j+1))
		if !ok {
			return positions, j, unexpected(b, j, "a latitude")
		}
		positions = append(positions, C{x, y})
		for j = skipSpace(b, j); j < len(b) && b[j] == ','; j = skipSpace(b, j) {
			if j, ok = skipNumber(b, skipSpace(b, j+1)); !ok {
				return positions, j, unexpected(b, j, "a number")
			}
		}
		if j >= len(b) || b[j] != ']' {
			return positions, j, unexpected(b, j, "a position's end")
		}
		if i = skipSpace(b, j+1); i >= len(b) || b[i] != ',' {
			break
		}
		i = skipSpace(b, i+1)
	}
	if i >= len(b) || b[i] != ']' {
		return positions, i, unexpected(b, i, "a comma or a ring's end")
	}
	return positions, i + 1, nil
}
