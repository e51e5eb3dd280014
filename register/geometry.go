package register

import (
	"crypto/sha256"
	"math"

	"github.com/peterstace/simplefeatures/geom"

	"github.com/meti-go/meti/ledger"
)

// hash is as much of a SHA-256 as identity needs.
type hash [16]byte

func sum(data []byte) hash {
	full := sha256.Sum256(data)
	return hash(full[:16])
}

// finest is the precision of a form in degrees: a tenth of a millimetre.
const finest = 1e-9

// Decimals of an answer's coordinates: fewer than 6 are taken for numbers that
// happen to be short, for else 10.1 would be the same as 10.14.
const (
	fewestDecimals = 6
	mostDecimals   = 9
)

// sameShape reports whether two boundaries agree once both are rounded to a
// number of decimals.
func sameShape(a, b *ledger.Shape, decimals int) bool {
	if a.Polygons() == nil && b.Polygons() == nil {
		return boxOf(a).like(boxOf(b)) // points and lines, which the rules rarely let through
	}
	within := math.Sqrt2 * (0.5*math.Pow10(-decimals) + finest)
	return geom.ExactEquals(multiPolygon(a), multiPolygon(b), geom.IgnoreOrder, geom.ToleranceXY(within))
}

func multiPolygon(s *ledger.Shape) geom.Geometry {
	var polygons []geom.Polygon
	for _, rings := range s.Polygons() {
		var lines []geom.LineString
		for _, ring := range rings {
			lines = append(lines, geom.NewLineString(geom.NewSequence(ring, geom.DimXY)))
		}
		polygons = append(polygons, geom.NewPolygon(lines))
	}
	return geom.NewMultiPolygon(polygons).AsGeometry()
}

// decimalsOf gives how many decimals the coordinates of an answer have, within
// what is taken for its own precision.
func decimalsOf(geometry []byte) int {
	most, run, counting := 0, 0, false
	for i, c := range geometry {
		switch {
		case c == '.':
			run, counting = 0, true
		case counting && c >= '0' && c <= '9':
			run++
			most = max(most, run)
		case (c == 'e' || c == 'E') && i > 0 && geometry[i-1] >= '0' && geometry[i-1] <= '9':
			return mostDecimals
		default:
			counting = false
		}
	}
	return min(max(most, fewestDecimals), mostDecimals)
}

// sameArea reports whether two areas in hectares agree.
func sameArea(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(math.Abs(a), math.Abs(b)) }

// box4 is a box in few bytes, good to a metre.
type box4 [4]float32

func boxOf(s *ledger.Shape) box4 {
	b, _ := s.Box()
	return box4{float32(b.West), float32(b.South), float32(b.East), float32(b.North)}
}

// like reports whether two boxes may be those of one boundary, rounded.
func (b box4) like(o box4) bool {
	for i := range b {
		if math.Abs(float64(b[i]-o[i])) > 2e-5 {
			return false
		}
	}
	return true
}

// meets reports whether two boxes share a point, or nearly so.
func (b box4) meets(o box4) bool {
	const more = 2e-5
	return b[0]-more <= o[2] && o[0]-more <= b[2] && b[1]-more <= o[3] && o[1]-more <= b[3]
}
