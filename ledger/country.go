package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/meti-go/meti/ledger/internal/robust"
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
	rings [][]float64
	runs  []run
}

// run is a part of a ring, short enough to be looked at edge by edge: a look-up
// sees those at its height, and not the coast of a continent, which would take it
// twenty times as long.
type run struct {
	box Box
	xy  []float64
}

// holds reports whether the position is strictly inside: on none of the edges,
// and with an odd number of them to one side.
func (r *region) holds(p Point) bool {
	inside := false
	for _, run := range r.runs {
		if run.box.North < p.Lat() || run.box.South > p.Lat() || run.box.East < p.Lon() {
			continue
		}
		switch robust.Locate(p, run.xy) {
		case robust.OnEdge:
			return false
		case robust.Inside:
			inside = !inside
		}
	}
	return inside
}

// NewCountries returns an empty table, in which every source is of unknown
// country. [Countries.Add] fills it.
func NewCountries() *Countries { return new(Countries) }

// LoadCountries reads a table from GeoJSON: a FeatureCollection, or Features
// one after the other, of Polygons and MultiPolygons in WGS84 degrees with the
// country's name in the property "name". The ledger writes full English names,
// "United States of America".
func LoadCountries(r io.Reader) (*Countries, error) {
	type feature struct {
		Properties struct{ Name string }
		Geometry   json.RawMessage
	}
	c := NewCountries()
	for decoder := json.NewDecoder(r); ; {
		var text struct {
			Type     string
			Features []feature
			feature
		}
		if err := decoder.Decode(&text); errors.Is(err, io.EOF) && c.count > 0 {
			return c, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the table of countries: %w", err)
		}
		if text.Type != "FeatureCollection" {
			text.Features = []feature{text.feature}
		}
		for _, f := range text.Features {
			shape, err := ParseGeometry(f.Geometry)
			switch {
			case f.Properties.Name == "":
				err = errors.New(`no property "name"`)
			case err == nil && shape.polys == nil:
				err = errors.New("neither a Polygon nor a MultiPolygon")
			}
			if err != nil {
				return nil, fmt.Errorf("reading the table of countries: country %d, %q: %w", c.count, f.Properties.Name, err)
			}
			c.Add(f.Properties.Name, shape)
		}
	}
}

// Add adds a country, or another part of one, by its shape. It must not be
// called while the table is in use.
func (c *Countries) Add(name string, shape *Shape) { c.AddPolygons(name, shape.polys) }

// AddPolygons is [Countries.Add] for polygons as numbers: polygons, rings (the
// shell first), and longitudes and latitudes in turn. It keeps the slices.
func (c *Countries) AddPolygons(name string, polygons [][][]float64) {
	const perRun = 64 // edges
	for _, rings := range polygons {
		r := &region{order: c.count, name: name, rings: rings}
		b := noBox
		for _, xy := range rings {
			for i := 0; i+2 < len(xy); i += 2 * perRun {
				part := xy[i:min(i+2*perRun+2, len(xy))]
				r.runs = append(r.runs, run{boxOf(part), part})
				b = b.union(boxOf(part))
			}
		}
		c.index.Insert([2]float64{b.West, b.South}, [2]float64{b.East, b.North}, r)
	}
	c.count++
}

// All yields the table's polygons, each with the name of its country, as
// [Countries.AddPolygons] takes them. They must not be changed.
func (c *Countries) All() iter.Seq2[string, [][]float64] {
	return func(yield func(string, [][]float64) bool) {
		c.index.Scan(func(_, _ [2]float64, r *region) bool { return yield(r.name, r.rings) })
	}
}

// At gives the name of the country that holds the position strictly inside, as
// ST_Contains does [D], and the empty string when there is none. Where
// countries overlap, the one added first wins.
func (c *Countries) At(p Point) string {
	var best *region
	at := [2]float64(p)
	c.index.Search(at, at, func(_, _ [2]float64, r *region) bool {
		if (best == nil || r.order < best.order) && r.holds(p) {
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
