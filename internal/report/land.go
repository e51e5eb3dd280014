package report

import (
	"iter"
	"math"
)

// Where there are fields, the backdrop is as fine as Natural Earth's 1:10
// million; elsewhere a thirtieth of that does.
const (
	fine   = 0.004 // degrees
	coarse = 0.12
	// The cells in which the backdrop is fine have 2 degrees a side. More than
	// mostCells of them make it coarser: it takes the same room in any report.
	cellSize  = 2
	mostCells = 60
)

// outlines are the countries, drawn with as many positions as the map needs. A
// ring that crosses the antimeridian goes on past 180 degrees.
func (d *Document) outlines() iter.Seq2[string, [][]float64] {
	type cell struct{ x, y int }
	at := func(x, y float64) cell {
		return cell{((int(math.Floor(x/cellSize))+90)%180+180)%180 - 90, int(math.Floor(y / cellSize))}
	}
	cells := map[cell]bool{}
	for _, f := range d.Fields {
		if len(f.Polygons) > 0 && len(f.Polygons[0]) > 0 && len(f.Polygons[0][0]) > 1 {
			for k := range 9 {
				cells[at(f.Polygons[0][0][0]+cellSize*float64(k%3-1), f.Polygons[0][0][1]+cellSize*float64(k/3-1))] = true
			}
		}
	}
	near := min(fine*max(1, float64(len(cells))/mostCells), coarse)
	tolerance := func(x, y float64) float64 {
		if cells[at(x, y)] {
			return near
		}
		return coarse
	}
	return func(yield func(string, [][]float64) bool) {
		if d.World == nil {
			return
		}
		for name, rings := range d.World {
			var kept [][]float64
			for _, ring := range rings {
				if line := simplify(unwrap(ring), tolerance); len(line) >= 8 {
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
func unwrap(ring []float64) []float64 {
	out := make([]float64, 0, len(ring)+8)
	shift := 0.0
	for i := 0; i+1 < len(ring); i += 2 {
		if i > 0 {
			switch step := ring[i] - ring[i-2]; {
			case step > 180:
				shift -= 360
			case step < -180:
				shift += 360
			}
		}
		out = append(out, ring[i]+shift, ring[i+1])
	}
	if shift != 0 {
		pole := math.Copysign(89, out[1])
		out = append(out, out[len(out)-2], pole, out[0], pole, out[0], out[1])
	}
	return out
}

// simplify leaves out the positions of a closed ring that lie within their
// tolerance of the line without them (Douglas and Peucker).
func simplify(ring []float64, tolerance func(x, y float64) float64) []float64 {
	n := len(ring) / 2
	if n < 4 {
		return nil
	}
	far, most := 0, 0.0
	for i := range n {
		if d := math.Hypot(ring[2*i]-ring[0], ring[2*i+1]-ring[1]); d > most {
			far, most = i, d
		}
	}
	keep := make([]bool, n)
	keep[0], keep[far], keep[n-1] = true, true, true
	var walk func(a, b int)
	walk = func(a, b int) {
		worst, at := 1.0, -1
		for i := a + 1; i < b; i++ {
			x, y := ring[2*i], ring[2*i+1]
			if d := offLine(x, y, ring[2*a:], ring[2*b:]) / tolerance(x, y); d > worst {
				worst, at = d, i
			}
		}
		if at >= 0 {
			keep[at] = true
			walk(a, at)
			walk(at, b)
		}
	}
	walk(0, far)
	walk(far, n-1)
	var out []float64
	for i, k := range keep {
		if k {
			out = append(out, ring[2*i], ring[2*i+1])
		}
	}
	return out
}

// offLine is how far a position lies from the line from a to b.
func offLine(x, y float64, a, b []float64) float64 {
	dx, dy := b[0]-a[0], b[1]-a[1]
	t := 0.0
	if l := dx*dx + dy*dy; l > 0 {
		t = min(max(((x-a[0])*dx+(y-a[1])*dy)/l, 0), 1)
	}
	return math.Hypot(x-a[0]-t*dx, y-a[1]-t*dy)
}
