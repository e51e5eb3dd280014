// Package robust answers how points, segments and rings lie to each other,
// exactly: no answer depends on how a computation was rounded. Coordinates are
// finite floating-point numbers, taken as the very numbers they are.
package robust

import (
	"cmp"
	"math"
	"math/big"
)

// Point is x, then y.
type Point = [2]float64

// Orient tells on which side of the line from a to b the point c lies: 1 left,
// -1 right, 0 on it.
func Orient(a, b, c Point) int {
	// Shewchuk's filter (doi:10.1007/PL00009321): mostly the sign is certain
	// at once.
	ax, ay, bx, by := a[0]-c[0], a[1]-c[1], b[0]-c[0], b[1]-c[1]
	left, right := ax*by, ay*bx
	det := left - right
	const bound = 3.3306690738754716e-16
	if limit := bound * (math.Abs(left) + math.Abs(right)); det > limit || -det > limit {
		return cmp.Compare(det, 0)
	}
	if (ax == 0 || by == 0) && (ay == 0 || bx == 0) {
		return 0
	}
	// Numbers that lie near each other, as those of one field do, differ by a
	// number without an error. Then what the products were rounded by tells, but
	// where it may have been rounded itself.
	const smallest, largest = 1e-250, 1e250 // beyond these a product loses its last digits, or overflows
	if size := math.Abs(left); size > smallest && size < largest &&
		exact(a[0], c[0], ax) && exact(a[1], c[1], ay) &&
		exact(b[0], c[0], bx) && exact(b[1], c[1], by) {
		if rest := math.FMA(ay, bx, -right) - math.FMA(ax, by, -left); det != rest || det == 0 {
			return cmp.Compare(det, rest)
		}
	}
	return byFractions(a, b, c)
}

// exact reports whether the difference of x and y is without an error.
func exact(x, y, difference float64) bool {
	back := x - difference
	return back == y && difference+back == x
}

func byFractions(a, b, c Point) int {
	minus := func(x, y float64) *big.Rat {
		return new(big.Rat).Sub(new(big.Rat).SetFloat64(x), new(big.Rat).SetFloat64(y))
	}
	left := new(big.Rat).Mul(minus(a[0], c[0]), minus(b[1], c[1]))
	right := new(big.Rat).Mul(minus(a[1], c[1]), minus(b[0], c[0]))
	return left.Cmp(right)
}

// Contact is how two segments meet.
type Contact int

// The ways in which two segments meet.
const (
	Apart   Contact = iota
	Touch           // in one point, an end of at least one of them
	Cross           // in one point inside both
	Overlap         // in more than one point
)

// Meet tells how the segments a-b and c-d meet, and gives a point that they
// share. Where they touch, it is the very end; where they cross, it is rounded.
func Meet(a, b, c, d Point) (at Point, how Contact) {
	if max(a[0], b[0]) < min(c[0], d[0]) || max(c[0], d[0]) < min(a[0], b[0]) ||
		max(a[1], b[1]) < min(c[1], d[1]) || max(c[1], d[1]) < min(a[1], b[1]) {
		return Point{}, Apart
	}
	sideC, sideD := Orient(a, b, c), Orient(a, b, d)
	if sideC*sideD > 0 {
		return Point{}, Apart
	}
	sideA, sideB := Orient(c, d, a), Orient(c, d, b)
	if sideA*sideB > 0 {
		return Point{}, Apart
	}
	if sideA*sideB < 0 && sideC*sideD < 0 {
		// The share of a-b up to the point, from the distances to c-d.
		along := (a[0]-c[0])*(d[1]-c[1]) - (a[1]-c[1])*(d[0]-c[0])
		whole := (b[1]-a[1])*(d[0]-c[0]) - (b[0]-a[0])*(d[1]-c[1])
		t := along / whole
		return Point{a[0] + t*(b[0]-a[0]), a[1] + t*(b[1]-a[1])}, Cross
	}
	// Otherwise they share an end of one or the other, or nothing.
	end := func(side int, p, q, r Point) {
		if side == 0 && inBox(q, r, p) {
			if how == Apart {
				at, how = p, Touch
			} else if p != at {
				how = Overlap
			}
		}
	}
	end(sideC, c, a, b)
	end(sideD, d, a, b)
	end(sideA, a, c, d)
	end(sideB, b, c, d)
	return at, how
}

// inBox reports whether p lies in the box of a and b.
func inBox(a, b, p Point) bool {
	return min(a[0], b[0]) <= p[0] && p[0] <= max(a[0], b[0]) && min(a[1], b[1]) <= p[1] && p[1] <= max(a[1], b[1])
}

// Between reports whether b, seen from p, lies in the angle that is swept
// counter-clockwise from one point to another. It must lie in the direction of
// neither.
func Between(p, from, to, b Point) bool {
	left := func(x, y Point) bool { return Orient(p, x, y) > 0 }
	switch Orient(p, from, to) {
	case 1:
		return left(from, b) && left(b, to)
	case -1:
		return !(left(to, b) && left(b, from))
	}
	return left(from, b)
}

// SameWay reports whether a and b lie in the same direction from p.
func SameWay(p, a, b Point) bool {
	return Orient(p, a, b) == 0 && (a[0] > p[0]) == (b[0] > p[0]) && (a[0] < p[0]) == (b[0] < p[0]) &&
		(a[1] > p[1]) == (b[1] > p[1]) && (a[1] < p[1]) == (b[1] < p[1])
}

// Side is where a point lies with regard to a ring.
type Side int

// The sides of a ring.
const (
	Outside Side = iota
	OnEdge
	Inside
)

// Locate tells where a point lies with regard to a closed ring, whose coordinates
// stand in turn. Of a part of a ring it tells whether the number of edges to the
// east is odd, as if that were inside: the parts of a ring, and the rings of a
// polygon, add up.
func Locate(p Point, ring []float64) Side {
	x, y := p[0], p[1]
	in := false
	for i := 0; i+3 < len(ring); i += 2 {
		x1, y1, x2, y2 := ring[i], ring[i+1], ring[i+2], ring[i+3]
		if x1 == x && y1 == y || x2 == x && y2 == y {
			return OnEdge
		}
		if y1 > y == (y2 > y) {
			if y1 == y && y2 == y && min(x1, x2) <= x && x <= max(x1, x2) {
				return OnEdge
			}
			// One that comes up to the height of y and goes back is no crossing.
			continue
		}
		if x > max(x1, x2) {
			continue
		}
		side := Orient(Point{x1, y1}, Point{x2, y2}, p)
		if side == 0 {
			return OnEdge
		}
		if (side > 0) == (y2 > y1) {
			in = !in
		}
	}
	if in {
		return Inside
	}
	return Outside
}
