// Package countries holds the world's countries, to tell in which one a source
// lies without a file from elsewhere.
//
// The boundaries are Natural Earth's, 1:10 million, version 4.1.0, in the
// public domain (naturalearthdata.com), as the npm package world-atlas 2.0.2
// carries them: rounded to 0.0036 degrees of longitude and 0.0017 of latitude,
// 400 and 190 metres at the equator. That is finer than the map is true, but
// a field within a kilometre of a border may be put on its other side. The
// ledger's own table is not public. Names are in full
// ("United States of America", "Bosnia and Herzegovina"). "make vendor-data"
// writes world.gz anew.
//
// The table takes 0.7 MB of a program and, once it is asked for, some 20 MB of
// memory. Programs that do without it do not import this package.
package countries

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/meti-go/meti/ledger"
)

//go:embed world.gz
var packed []byte

// World gives the built-in table. It is unpacked when it is first asked for,
// and then kept.
func World() *ledger.Countries { return world() }

var world = sync.OnceValue(func() *ledger.Countries {
	table, err := unpack(packed)
	if err != nil {
		panic(fmt.Sprintf("countries: the built-in table is damaged: %v", err))
	}
	return table
})

// unpack reads what internal/convert writes: packed by gzip, a line of JSON,
// and then the arcs that the countries share, each as steps from position to
// position in units of scale. A ring lists its arcs by number, and those that
// it runs along backwards by the number's complement, as in TopoJSON.
func unpack(packed []byte) (*ledger.Countries, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(zipped)
	if err != nil {
		return nil, err
	}
	line, deltas, _ := bytes.Cut(text, []byte{'\n'})
	var head struct {
		Scale, Translate [2]float64
		Lengths          []int
		Countries        []struct {
			Name     string
			Polygons [][][]int
		}
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, err
	}
	arcs := make([][]float64, len(head.Lengths))
	for i, n := range head.Lengths {
		arc := make([]float64, 0, 2*n)
		var at [2]int64
		for range n {
			for axis := range at {
				step, size := binary.Varint(deltas)
				if size <= 0 {
					return nil, errors.New("the arcs end too soon")
				}
				deltas = deltas[size:]
				at[axis] += step
				arc = append(arc, float64(at[axis])*head.Scale[axis]+head.Translate[axis])
			}
		}
		arcs[i] = arc
	}
	table := ledger.NewCountries()
	for _, c := range head.Countries {
		polygons := make([][][]float64, len(c.Polygons))
		for i, rings := range c.Polygons {
			for _, ring := range rings {
				polygons[i] = append(polygons[i], join(arcs, ring))
			}
		}
		table.AddPolygons(c.Name, polygons)
	}
	return table, nil
}

// join lays arcs end to end; each starts where the one before it ended.
func join(arcs [][]float64, ring []int) []float64 {
	var xy []float64
	for _, k := range ring {
		if len(xy) > 0 {
			xy = xy[:len(xy)-2]
		}
		if k >= 0 {
			xy = append(xy, arcs[k]...)
			continue
		}
		arc := arcs[^k]
		for i := len(arc) - 2; i >= 0; i -= 2 {
			xy = append(xy, arc[i], arc[i+1])
		}
	}
	return xy
}
