package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sync"

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

	once  sync.Once
	bands []bands // of each ring
}

// holds reports whether the position is strictly inside.
func (r *region) holds(p Point) bool {
	r.once.Do(func() {
		for _, xy := range r.rings {
			r.bands = append(r.bands, newBands(xy))
		}
	})
	for i, b := range r.bands {
		where := robust.Locate(p, b.at(p.Lat()))
		if i == 0 && where != robust.Inside || i > 0 && where != robust.Outside {
			return false
		}
	}
	return true
}

// bands cuts a long ring into strips of latitude, so that a look-up sees the
// few edges at its height and not the coast of a continent.
type bands struct {
	south, height float64
	edges         [][]float64 // of each strip: closed runs of positions
}

func newBands(xy []float64) bands {
	const perBand = 64
	b := boxOf(xy)
	n := len(xy) / 2 / perBand
	if n < 2 || b.North <= b.South {
		return bands{south: b.South, height: math.Inf(1), edges: [][]float64{xy}}
	}
	out := bands{south: b.South, height: (b.North - b.South) / float64(n), edges: make([][]float64, n+1)}
	for i := 0; i+3 < len(xy); i += 2 {
		low, high := out.index(min(xy[i+1], xy[i+3])), out.index(max(xy[i+1], xy[i+3]))
		for k := low; k <= high; k++ {
			e := out.edges[k]
			if n := len(e); n == 0 || e[n-2] != xy[i] || e[n-1] != xy[i+1] {
				// A gap: Locate must not take the step across it for an edge.
				if n > 0 {
					e = append(e, math.NaN(), math.NaN())
				}
				e = append(e, xy[i], xy[i+1])
			}
			out.edges[k] = append(e, xy[i+2], xy[i+3])
		}
	}
	return out
}

func (b bands) index(lat float64) int {
	return min(max(int((lat-b.south)/b.height), 0), len(b.edges)-1)
}

// at gives the edges at a latitude.
func (b bands) at(lat float64) []float64 {
	if math.IsInf(b.height, 1) {
		return b.edges[0]
	}
	return b.edges[b.index(lat)]
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

// Add adds a country, or another part of one, by its shape. It must not be
// called while the table is in use.
func (c *Countries) Add(name string, shape *Shape) { c.AddPolygons(name, shape.polys) }

// AddPolygons is [Countries.Add] for polygons as numbers: polygons, rings (the
// shell first), and longitudes and latitudes in turn. It keeps the slices.
func (c *Countries) AddPolygons(name string, polygons [][][]float64) {
	for _, rings := range polygons {
		if len(rings) == 0 {
			continue
		}
		b := boxOf(rings[0])
		c.index.Insert([2]float64{b.West, b.South}, [2]float64{b.East, b.North},
			&region{order: c.count, name: name, rings: rings})
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

// Len is how many countries were added.
func (c *Countries) Len() int { return c.count }

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
