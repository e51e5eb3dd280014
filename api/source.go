package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/wire"
)

// The types of openapi.yaml that hold one value; types.gen.go has those with fields.
type (
	Time           = wire.Time          // a date and time as METI writes it
	SSID           = gen.SSID           // a Secure Source ID
	Methodology    = gen.Methodology    // how an outcome is produced; an open set
	SourceType     = gen.SourceType     // what kind of source one is; an open set
	AttributeType  = gen.AttributeType  // what kind of outcome is claimed; an open set
	GeometrySource = gen.GeometrySource // where a boundary comes from; an open set
)

// Date is the start of a day in UTC: a short way to write a period's ends.
func Date(year int, month time.Month, day int) Time { return wire.Date(year, month, day) }

// InConflict reports whether METI said that the source is in conflict. It is
// false where METI did not say; look at Conflict to tell the two apart.
func (s *Source) InConflict() bool { return s.Conflict != nil && *s.Conflict }

// String tells a source from others in a line of text:
//
//	src_9fKQ2mZr7TbVw "north-40" 2026-01-01 to 2027-01-01, 25.25 ha, in conflict
//
// A date that METI did not tell is a question mark.
func (s Source) String() string {
	text := fmt.Sprintf("%s %q %s to %s", s.ID, s.AltID, day(s.StartAt), day(s.EndAt))
	if s.Hectares != nil {
		text += fmt.Sprintf(", %.2f ha", float64(*s.Hectares))
	}
	if s.InConflict() {
		text += ", in conflict"
	}
	return text
}

// day is a date without a time of day, where it is a date.
func day(date Time) string {
	switch {
	case date.Text() != "":
		return strconv.Quote(date.Text())
	case date.IsZero():
		return "?"
	}
	return date.UTC().Format(time.DateOnly)
}

// A Ring is a closed line of positions: longitude and latitude in degrees (WGS84).
type Ring [][2]float64

// A Polygon is its shell, followed by its holes.
type Polygon []Ring

// Boundary is the source's boundary as METI wrote it, a GeoJSON geometry: Geometry
// or else GeoJSON, and of a Feature its geometry; nil where METI told none.
func (s *Source) Boundary() json.RawMessage {
	text := s.Geometry
	if text == nil {
		text = s.GeoJSON
	}
	var kind string
	var geometry json.RawMessage
	scan.Members(text, func(name, value []byte) bool {
		switch string(name) {
		case "type":
			kind = string(value)
		case "geometry":
			geometry = value
		}
		return kind == "" || kind == `"Feature"`
	})
	if kind == `"Feature"` {
		text = geometry
	}
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	return text
}

// Polygons decodes the source's [Source.Boundary], a Polygon, which becomes a list
// of one, or a MultiPolygon (RFC 7946). Without a boundary there are none. Numbers
// are read as strconv.ParseFloat reads them; heights are left out, and polygons
// without a ring. Whether rings are closed and do not cross is for the ledger.
func (s *Source) Polygons() ([]Polygon, error) {
	text := s.Boundary()
	if text == nil {
		return nil, nil
	}
	// Nearly all are written like this, and need not be walked over twice.
	for i, begins := range []string{`{"type":"Polygon","coordinates":`, `{"type":"MultiPolygon","coordinates":`} {
		if bytes.HasPrefix(text, []byte(begins)) && text[len(text)-1] == '}' {
			if polygons, err := decodeCoordinates(text[len(begins):], i+1); err == nil {
				return polygons, nil
			}
		}
	}
	var geometry struct {
		Type        string          `json:"type"`
		Coordinates json.RawMessage `json:"coordinates"`
	}
	err := json.Unmarshal(text, &geometry)
	depth := map[string]int{"Polygon": 1, "MultiPolygon": 2}[geometry.Type]
	var polygons []Polygon
	switch {
	case err != nil:
	case depth == 0:
		err = fmt.Errorf("the type is %.40q, not Polygon or MultiPolygon", geometry.Type)
	case geometry.Coordinates == nil:
		err = errors.New("no coordinates")
	default:
		polygons, err = decodeCoordinates(append(geometry.Coordinates, '}'), depth)
	}
	if err != nil {
		return nil, fmt.Errorf("source %s: geometry: %w", s.ID, err)
	}
	return polygons, nil
}

// decodeCoordinates decodes the coordinates of a Polygon, of depth 1, or of a
// MultiPolygon, of depth 2. Behind them text ends with a brace, so that nothing is
// looked for behind the end.
func decodeCoordinates(text []byte, depth int) ([]Polygon, error) {
	// There are at most as many positions as brackets: the array is never moved.
	c := coordinates{text: text, positions: make([][2]float64, 0, bytes.Count(text, []byte{'['}))}
	end, err := c.list(0, depth)
	if err == nil && end < len(text)-1 {
		err = c.unexpected(end, "the end")
	}
	return c.polygons, err
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
		var want string
		start := len(c.positions)
		if c.positions, end, want = scan.Positions(c.text, i, c.positions); want != "" {
			return end, c.unexpected(end, want)
		}
		c.polygon = append(c.polygon, c.positions[start:len(c.positions):len(c.positions)])
		return end, nil
	}
	if c.text[i] != '[' {
		return i, c.unexpected(i, "a list")
	}
	i = scan.SkipSpace(c.text, i+1)
	for more := c.text[i] != ']'; more; {
		if i, err = c.list(i, depth-1); err != nil {
			return i, err
		}
		i = scan.SkipSpace(c.text, i)
		if more = c.text[i] == ','; more {
			i = scan.SkipSpace(c.text, i+1)
		}
	}
	if c.text[i] != ']' {
		return i, c.unexpected(i, "a comma or a list's end")
	}
	if c.polygon != nil && depth == 1 {
		c.polygons, c.polygon = append(c.polygons, c.polygon), nil
	}
	return i + 1, nil
}

// unexpected says that something else should stand at text[i].
func (c *coordinates) unexpected(i int, want string) error {
	return fmt.Errorf("unexpected %q at byte %d of the coordinates instead of %s", c.text[i], i, want)
}
