package register

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/peterstace/simplefeatures/geom"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/wire"
)

// evidence is why a source is taken for a feature's, the best first.
type evidence uint8

const (
	byJournal  evidence = iota // the journal has its SSID
	byBoundary                 // the same boundary
	byArea                     // METI tells no boundary; the hectares are the same
	byDefault                  // it is what the feature is to replace, or the journal has it with another period
	byNothing
)

// compareBoundary says by what a source of an entry's id and period may be its.
func (j *Job) compareBoundary(i int, s *api.Source) evidence {
	e, raw := &j.entries[i], s.Boundary()
	theirs, err := ledger.ParseGeometry(raw)
	switch {
	case raw == nil && j.former(i):
		return byArea // its own is not known any more
	case raw == nil:
		if ours, err := j.shape(i); err == nil && sameArea(ours, s) {
			return byArea
		}
	case err != nil: // what nobody can read is none of ours
	case e.form == fields.FormOf(theirs):
		return byBoundary
	case !e.box.like(boxOf(theirs)):
	case j.former(i):
		return byBoundary
	default:
		if ours, err := j.shape(i); err == nil && sameShape(ours, theirs, decimalsOf(raw)) {
			return byBoundary
		}
	}
	return byNothing
}

// sameArea reports whether a source has a shape's area, or does not say.
func sameArea(shape *ledger.Shape, s *api.Source) bool {
	if s.Hectares == nil {
		return true
	}
	a, b := shape.Hectares(), float64(*s.Hectares)
	return math.Abs(a-b) <= 1e-6*max(math.Abs(a), math.Abs(b))
}

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

// Decimals of an answer's coordinates: fewer than 6 are taken for numbers that
// happen to be short, for else 10.1 would be the same as 10.14.
const (
	fewestDecimals = 6
	mostDecimals   = 9
)

var fraction = regexp.MustCompile(`\.[0-9]+[eE]?|[0-9][eE]`)

// decimalsOf gives how many decimals the coordinates of an answer have, within
// what is taken for its own precision.
func decimalsOf(geometry []byte) int {
	most := fewestDecimals
	for _, digits := range fraction.FindAll(geometry, -1) {
		if last := digits[len(digits)-1]; last == 'e' || last == 'E' {
			return mostDecimals
		}
		most = max(most, len(digits)-1)
	}
	return min(most, mostDecimals)
}

// box is west, south, east and north in degrees, in few bytes: good to a metre.
type box [4]float32

// boxOf gives the box of a shape. It is finite, as JSON wants it, and that of an empty
// shape meets none.
func boxOf(s *ledger.Shape) (narrow box) {
	b, _ := s.Box()
	for i, degrees := range [...]float64{b.West, b.South, b.East, b.North} {
		narrow[i] = float32(min(max(degrees, -math.MaxFloat32), math.MaxFloat32))
	}
	return narrow
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

// together reports whether two periods are those of one group: within a day, for
// a server may write midnight of another time zone.
func together(a, b ledger.Period) bool {
	const day = ledger.Time(24 * 60 * 60 * 1e6)
	near := func(a, b ledger.Time) bool { return a == untold || b == untold || max(a, b)-min(a, b) <= day }
	return near(a.Start, b.Start) && near(a.End, b.End)
}

func periodOf(s *api.Source) ledger.Period {
	of := func(t wire.Time) ledger.Time {
		read, err := ledger.ParseTime(t.Text())
		switch {
		case t.Text() == "" && t.IsZero():
			return untold
		case t.Text() == "":
			return ledger.TimeOf(t.Time)
		case err != nil:
			return noTime
		}
		return read
	}
	return ledger.Period{Start: of(s.StartAt), End: of(s.EndAt)}
}

// otherPeriod says in what a period differs, unless another time zone shifts it as
// a whole.
func otherPeriod(ours, theirs ledger.Period) string {
	const hour = ledger.Time(60 * 60 * 1e6) // that summer time may shift one end by
	start, end := theirs.Start-ours.Start, theirs.End-ours.End
	if theirs.Start == untold || theirs.End == untold || max(start-end, end-start) <= hour {
		return ""
	}
	var list []string
	for name, end := range map[string][2]ledger.Time{"start_at": {theirs.Start, ours.Start}, "end_at": {theirs.End, ours.End}} {
		if end[0] != end[1] {
			list = append(list, fmt.Sprintf("%s is %s there and %s here", name, end[0], end[1]))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// askFor notes which attributes are asked for: those that a source has.
func (j *Job) askFor(attributes any) error {
	text, err := json.Marshal(attributes)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &j.asked); err != nil {
		return err
	}
	for _, name := range []string{"feature_collection", "account_id", "created_by", "updated_by"} {
		delete(j.asked, name)
	}
	j.attributes, err = json.Marshal(j.asked) // in the order of their names
	return err
}

// otherThere says which attributes that were asked for a source has otherwise.
// One that the answer lacks is no difference, and counted.
func (j *Job) otherThere(s *api.Source) string {
	if len(j.asked) == 0 {
		return ""
	}
	bare := *s
	bare.Geometry, bare.GeoJSON = nil, nil
	text, err := json.Marshal(&bare)
	var theirs map[string]json.RawMessage
	if err != nil || json.Unmarshal(text, &theirs) != nil {
		return ""
	}
	var list []string
	for _, name := range sortedKeys(j.asked) {
		ours, have := j.asked[name], theirs[name]
		switch {
		case have == nil || string(have) == "null":
			j.untold[name]++
		case !sameValue(ours, have):
			list = append(list, fmt.Sprintf("%s is %s there and %s here", name, plain(have), plain(ours)))
		}
	}
	return strings.Join(list, "; ")
}

// otherBefore says in which attributes those of an earlier run, as JSON, differ.
func (j *Job) otherBefore(text string) string {
	var before map[string]json.RawMessage
	_ = json.Unmarshal([]byte(text), &before)
	both := maps.Clone(j.asked)
	maps.Copy(both, before)
	var list []string
	for _, name := range sortedKeys(both) {
		had, ours := before[name], j.asked[name]
		switch {
		case had == nil:
			list = append(list, fmt.Sprintf("no %s, and this run has %s", name, plain(ours)))
		case !sameValue(had, ours):
			list = append(list, fmt.Sprintf("%s %s, and this run has %s", name, plain(had), plain(ours)))
		}
	}
	return strings.Join(list, "; ")
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// plain writes a JSON value for people.
func plain(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	var list []string
	if json.Unmarshal(value, &list) == nil {
		return strings.Join(list, ", ")
	}
	return cmp.Or(clip(string(value), 100), "none")
}

// sameValue compares two JSON values, lists as sets.
func sameValue(a, b json.RawMessage) bool {
	var x, y []string
	if json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil {
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(slices.Compact(x), slices.Compact(y))
	}
	return string(a) == string(b)
}
