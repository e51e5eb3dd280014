package ledger

import (
	"math"
	"math/big"
)

// orient tells on which side of the line from a to b the point c lies: 1 left,
// -1 right, 0 on it. The sign is exact: where rounding could change it, the
// computation is repeated with as many digits as it takes (the filter is
// Shewchuk's, doi:10.1007/PL00009321).
func orient(ax, ay, bx, by, cx, cy float64) int {
	left := (ax - cx) * (by - cy)
	right := (ay - cy) * (bx - cx)
	det := left - right
	const bound = 3.3306690738754716e-16
	if limit := bound * (math.Abs(left) + math.Abs(right)); det > limit || -det > limit {
		if det > 0 {
			return 1
		}
		return -1
	}
	return orientExact(ax, ay, bx, by, cx, cy)
}

func orientExact(ax, ay, bx, by, cx, cy float64) int {
	for _, v := range [...]float64{ax, ay, bx, by, cx, cy} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0
		}
	}
	sub := func(a, b float64) *big.Rat {
		return new(big.Rat).Sub(new(big.Rat).SetFloat64(a), new(big.Rat).SetFloat64(b))
	}
	left := new(big.Rat).Mul(sub(ax, cx), sub(by, cy))
	right := new(big.Rat).Mul(sub(ay, cy), sub(bx, cx))
	return left.Cmp(right)
}

// Where a point lies with regard to a ring.
const (
	outside = iota
	onEdge
	inside
)

// locate tells where a point lies with regard to a closed ring, exactly.
func locate(p Point, xy []float64) int {
	x, y := p[0], p[1]
	in := false
	for i := 0; i+3 < len(xy); i += 2 {
		x1, y1, x2, y2 := xy[i], xy[i+1], xy[i+2], xy[i+3]
		if x1 == x && y1 == y || x2 == x && y2 == y {
			return onEdge
		}
		if math.IsNaN(y1 + y2) {
			continue // a gap, see bands
		}
		if y1 > y == (y2 > y) {
			if y1 == y && y2 == y && min(x1, x2) <= x && x <= max(x1, x2) {
				return onEdge
			}
			// Touching the height of y from below is no crossing, but may be
			// the point itself, which was seen above.
			continue
		}
		if x > max(x1, x2) {
			continue
		}
		side := orient(x1, y1, x2, y2, x, y)
		if side == 0 {
			return onEdge
		}
		if (side > 0) == (y2 > y1) {
			in = !in
		}
	}
	if in {
		return inside
	}
	return outside
}

// signedArea is positive for a counter-clockwise ring, in square degrees.
func signedArea(xy []float64) float64 {
	if len(xy) < 8 {
		return 0
	}
	// Relative to the first position, so that small rings keep their digits.
	x0, y0 := xy[0], xy[1]
	sum := 0.0
	for i := 2; i+3 < len(xy); i += 2 {
		sum += (xy[i]-x0)*(xy[i+3]-y0) - (xy[i+2]-x0)*(xy[i+1]-y0)
	}
	return sum / 2
}
