package report

import (
	"iter"
	"math"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/simplify"
)

// A ring of the backdrop near fields is as fine as Natural Earth's 1:10 million;
// for the others a thirtieth of that does.
const (
	fine   = 0.004 // degrees
	coarse = 0.12
	// Near is up to so many degrees away. Where the fields lie in more than mostCells
	// squares of this size the backdrop is coarser: it takes the same room in any
	// report.
	cellSize  = 2
	mostCells = 60
)

// outlines are the countries, drawn with as many positions as the map needs. A
// ring that crosses the antimeridian goes on past 180 degrees.
func (d *Document) outlines() iter.Seq2[string, [][]float64] {
	cells := map[orb.Point]bool{} // where fields begin
	for _, f := range d.Fields {
		if len(f.Polygons) > 0 && len(f.Polygons[0]) > 0 && len(f.Polygons[0][0]) > 1 {
			at := f.Polygons[0][0]
			cells[orb.Point{cellSize * math.Floor(at[0]/cellSize), cellSize * math.Floor(at[1]/cellSize)}] = true
		}
	}
	near := min(fine*max(1, float64(len(cells))/mostCells), coarse)
	tolerance := func(ring orb.Ring) float64 {
		bound := ring.Bound().Pad(cellSize)
		for cell := range cells {
			for _, turn := range []float64{-360, 0, 360} {
				if bound.Contains(orb.Point{cell[0] + turn, cell[1]}) {
					return near
				}
			}
		}
		return coarse
	}
	return func(yield func(string, [][]float64) bool) {
		if d.World == nil {
			return
		}
		for name, rings := range d.World {
			var kept [][]float64
			for _, flat := range rings {
				ring := unwrap(flat)
				if ring = simplify.DouglasPeucker(tolerance(ring)).Ring(ring); len(ring) >= 4 {
					line := make([]float64, 0, 2*len(ring))
					for _, p := range ring {
						line = append(line, p[0], p[1])
					}
					kept = append(kept, line)
				}
			}
			if len(kept) > 0 && !yield(name, kept) {
				return
			}
		}
	}
}

// unwrap makes a ring's longitudes go on where they jump from 180 to -180. One
// that goes round a pole is closed along the edge of the map.
func unwrap(flat []float64) orb.Ring {
	var ring orb.Ring
	shift := 0.0
	for i := 0; i+1 < len(flat); i += 2 {
		if i > 0 {
			shift -= 360 * math.Round((flat[i]-flat[i-2])/360)
		}
		ring = append(ring, orb.Point{flat[i] + shift, flat[i+1]})
	}
	if shift != 0 {
		first, last := ring[0], ring[len(ring)-1]
		pole := math.Copysign(89, first[1])
		ring = append(ring, orb.Point{last[0], pole}, orb.Point{first[0], pole}, first)
	}
	return ring
}
