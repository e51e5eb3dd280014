package register

import (
	"math"

	"github.com/peterstace/simplefeatures/geom"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/wire"
)

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
	const finest = 1e-9 // degrees, a tenth of a millimetre
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

// sameArea reports whether a source has a shape's area, or does not say.
func sameArea(shape *ledger.Shape, s *api.Source) bool {
	if s.Hectares == nil {
		return true
	}
	a, b := shape.Hectares(), float64(*s.Hectares)
	return math.Abs(a-b) <= 1e-6*max(math.Abs(a), math.Abs(b))
}

// sameBoundary compares a shape with a source. What the source does not tell
// does not tell them apart.
func sameBoundary(shape *ledger.Shape, s *api.Source) bool {
	raw := s.Boundary()
	if raw == nil {
		return sameArea(shape, s)
	}
	theirs, err := ledger.ParseGeometry(raw)
	return err == nil && sameShape(shape, theirs, decimalsOf(raw))
}

// box is west, south, east and north in degrees, in few bytes: good to a metre.
type box [4]float32

func boxOf(s *ledger.Shape) box {
	b, _ := s.Box()
	return box{float32(b.West), float32(b.South), float32(b.East), float32(b.North)}
}

func (b box) wide() ledger.Box {
	return ledger.Box{West: float64(b[0]), South: float64(b[1]), East: float64(b[2]), North: float64(b[3])}
}

// like reports whether two boxes may be those of one boundary, rounded.
func (b box) like(o box) bool {
	for i := range b {
		if math.Abs(float64(b[i]-o[i])) > 2e-5 {
			return false
		}
	}
	return true
}

// meets reports whether two boxes share a point, or nearly so.
func (b box) meets(o box) bool {
	const more = 2e-5
	return b[0]-more <= o[2] && o[0]-more <= b[2] && b[1]-more <= o[3] && o[1]-more <= b[3]
}

// What METI does not say of a time does not tell two apart; what is no time is
// none of ours.
const (
	untold = ledger.Time(math.MinInt64)
	noTime = ledger.Time(math.MaxInt64 / 2)
)

// day is how far the periods of one group may be apart: a server may write
// midnight of another time zone.
const day = ledger.Time(24 * 60 * 60 * 1e6)

// together reports whether two periods are those of one group.
func together(a, b ledger.Period) bool { return near(a.Start, b.Start) && near(a.End, b.End) }

func near(a, b ledger.Time) bool {
	return a == untold || b == untold || max(a, b)-min(a, b) <= day
}

func periodOf(s *api.Source) ledger.Period {
	of := func(t wire.Time) ledger.Time {
		switch {
		case t.Text() != "":
			if read, err := ledger.ParseTime(t.Text()); err == nil {
				return read
			}
			return noTime
		case t.IsZero():
			return untold
		}
		return ledger.TimeOf(t.Time)
	}
	return ledger.Period{Start: of(s.StartAt), End: of(s.EndAt)}
}
