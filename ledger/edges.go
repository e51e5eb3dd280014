package ledger

import (
	"cmp"
	"slices"
)

// edge is an edge of a ring or a line with the box around it.
type edge struct {
	Box
	p, q  Point
	of, i int // whose it is, and where there
}

// newEdge gives the edge from p to q.
func newEdge(p, q Point, of, i int) edge {
	return edge{Box{min(p[0], q[0]), min(p[1], q[1]), max(p[0], q[0]), max(p[1], q[1])}, p, q, of, i}
}

// eachPair visits all pairs of edges whose boxes meet, until visit returns
// false. It sorts the edges.
func eachPair(edges []edge, visit func(x, y *edge) bool) {
	slices.SortFunc(edges, func(x, y edge) int { return cmp.Compare(x.West, y.West) })
	for k := range edges {
		x := &edges[k]
		for m := k + 1; m < len(edges) && edges[m].West <= x.East; m++ {
			if y := &edges[m]; y.South <= x.North && x.South <= y.North && !visit(x, y) {
				return
			}
		}
	}
}
