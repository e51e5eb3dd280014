package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/peterstace/simplefeatures/geom"
	"github.com/tidwall/rtree"
)

// Countries is a table of countries, to look up in which one a source lies.
// It is immutable and safe for many goroutines.
type Countries struct {
	index rtree.RTreeG[*region]
	count int
}

// region is one polygon of a country.
type region struct {
	order int
	name  string
	shape *Shape
}

// NewCountries returns an empty table, in which every source is of unknown
// country. [Countries.Add] fills it.
func NewCountries() *Countries { return new(Countries) }

// LoadCountries reads a table from GeoJSON: a FeatureCollection, or Features
// one after the other, of Polygons and MultiPolygons in WGS84 degrees with the
// country's name in the property "name". The ledger writes full English names,
// "United States of America".
func LoadCountries(r io.Reader) (*Countries, error) {
	c := NewCountries()
	dec := json.NewDecoder(r)
	type feature struct {
		Type       string
		Features   []json.RawMessage
		Properties struct{ Name string }
		Geometry   json.RawMessage
	}
	var add func(text []byte, n int) error
	add = func(text []byte, n int) error {
		var f feature
		if err := json.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("feature %d: %w", n, err)
		}
		if f.Type == "FeatureCollection" {
			for i, one := range f.Features {
				if err := add(one, i); err != nil {
					return err
				}
			}
			return nil
		}
		if f.Properties.Name == "" {
			return fmt.Errorf(`feature %d: no property "name"`, n)
		}
		shape, err := ParseGeometry(f.Geometry)
		if err != nil {
			return fmt.Errorf("feature %d (%s): %w", n, f.Properties.Name, err)
		}
		if shape.polys == nil {
			return fmt.Errorf("feature %d (%s): neither a Polygon nor a MultiPolygon", n, f.Properties.Name)
		}
		c.Add(f.Properties.Name, shape)
		return nil
	}
	for n := 0; ; n++ {
		var text json.RawMessage
		if err := dec.Decode(&text); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading the table of countries: %w", err)
		}
		if err := add(text, n); err != nil {
			return nil, fmt.Errorf("reading the table of countries: %w", err)
		}
	}
	if c.count == 0 {
		return nil, errors.New("reading the table of countries: there is none in it")
	}
	return c, nil
}

// Add adds a country, or another part of one. It must not be called while the
// table is in use.
func (c *Countries) Add(name string, shape *Shape) {
	for _, poly := range shape.polys {
		lines := make([]geom.LineString, len(poly))
		for i, xy := range poly {
			lines[i] = geom.NewLineString(geom.NewSequence(xy, geom.DimXY))
		}
		part := &Shape{polys: [][][]float64{poly}, box: boxOf(poly[0]), count: len(poly[0]) / 2}
		b := part.box
		c.index.Insert([2]float64{b.West, b.South}, [2]float64{b.East, b.North}, &region{c.count, name, part})
	}
	c.count++
}

// Len is how many countries were added.
func (c *Countries) Len() int { return c.count }

// At gives the name of the country that holds the position strictly inside, as
// ST_Contains does [D], and the empty string when there is none. Where
// countries overlap, the one added first wins.
func (c *Countries) At(p Point) string {
	var best *region
	at := [2]float64(p)
	c.index.Search(at, at, func(_, _ [2]float64, r *region) bool {
		if (best == nil || r.order < best.order) && strictlyInside(p, r.shape.polys[0]) {
			best = r
		}
		return true
	})
	if best == nil {
		return ""
	}
	return best.name
}

// Of gives the country of a shape, which is that of its centroid [D].
func (c *Countries) Of(s *Shape) string {
	if c == nil {
		return ""
	}
	p, ok := s.Centroid()
	if !ok {
		return ""
	}
	return c.At(p)
}
