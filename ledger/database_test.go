package ledger

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// The files read here hold what PostgreSQL 15 and PostGIS 3.3 with open-meti's
// functions made of texts beyond the oracle's: forms of times, and random
// changes to them (a timestamptz in a session set to UTC, in microseconds of
// Unix time); geometries of every kind and nesting; collections, ids and
// properties, without those that no API passes on: coordinates as text, names in
// another case, geometry within a string, ids that are objects, numbers beyond
// floating point. counties.json comes from make foreign-shapes.

// TestTimesOfTheDatabase: nothing is taken that the database refuses, and what is
// taken is read as it reads it.
func TestTimesOfTheDatabase(t *testing.T) {
	type timeCase struct {
		Text   string
		UnixUS any `json:"unix_us"`
	}
	taken := 0
	for _, c := range readOracle[[]timeCase](t, "times.json") {
		got, err := ParseTime(c.Text)
		if err != nil {
			continue
		}
		taken++
		if want, ok := c.UnixUS.(float64); !ok || float64(got)+pgEpoch*1e6 != want {
			t.Errorf("%q is %v, want %v", c.Text, got, c.UnixUS)
		}
	}
	if taken < 15 {
		t.Errorf("only %d of the texts are taken", taken)
	}
}

func TestGeometriesOfTheDatabase(t *testing.T) {
	type geometryCase struct {
		Accepted bool
		Geometry string
	}
	for _, c := range readOracle[[]geometryCase](t, "geometries.json") {
		text := `{"type":"FeatureCollection","features":[{"type":"Feature","id":"x","properties":{"start_at":"2024-01-01","end_at":"2025-01-01"},"geometry":` + c.Geometry + `}]}`
		_, problems := ParseCollection([]byte(text), Rules{})
		if problems.Refused() == c.Accepted {
			t.Errorf("%s: %v, want accepted: %v", c.Geometry, problems, c.Accepted)
		}
	}
}

func TestCollectionsOfTheDatabase(t *testing.T) {
	const square = `{"type":"Polygon","coordinates":[[[2.0,47.0],[2.00390625,47.0],[2.00390625,47.00390625],[2.0,47.00390625],[2.0,47.0]]]}`
	type collectionCase struct {
		Accepted bool
		AltID    string `json:"alt_id"`
		Text     string
	}
	for _, c := range readOracle[[]collectionCase](t, "collections.json") {
		features, problems := ParseCollection([]byte(strings.ReplaceAll(c.Text, "GEOMETRY", square)), Rules{})
		switch {
		case problems.Refused() == c.Accepted:
			t.Errorf("%s: %v, want accepted: %v", c.Text, problems, c.Accepted)
		case c.Accepted && len(features) > 0 && features[0].AltID != c.AltID:
			t.Errorf("%s: alt_id %q, want %q", c.Text, features[0].AltID, c.AltID)
		}
	}
}

// differences are texts on which this package disagrees with the database, one of
// each kind, and what the database says. No API passes any of them on; what is
// laxer here is what the database's JSON and numbers cannot hold, in members that
// nobody looks at.
var differences = []struct {
	reason   string
	accepted bool // by the database
	geometry string
	member   string // of the collection, when it is not empty
}{
	{"laxer: a crs without a name", false, `{"type":"Point","coordinates":[1,2],"crs":{}}`, ""},
	{"laxer: a hole of an empty position", false, `{"type":"Polygon","coordinates":[[[2,47],[2.01,47],[2.01,47.01],[2,47]],[[]]]}`, ""},
	{"laxer: nested deeper than 32 levels", false, `{"type":"Point","coordinates":[1,2],"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "}", ""},
	{"laxer: a number too large for numeric", false, `{"type":"Point","coordinates":[1,2]}`, `"x":1e131072,`},
	{"laxer: a number too small for numeric", false, `{"type":"Point","coordinates":[1,2]}`, `"x":1e-16384,`},
	{"laxer: a name in another case, which the database takes for the same", false, `{"type":"Point","Coordinates":5,"coordinates":[1,2]}`, ""},
	{"stricter: a name in another case", true, `{"Type":"Point","Coordinates":[1,2]}`, ""},
	{"stricter: a coordinate as text", true, `{"type":"Point","coordinates":["2.01",47]}`, ""},
	{"stricter: a coordinate that is null", true, `{"type":"Point","coordinates":[2,null]}`, ""},
	{"stricter: positions nested too deep", true, `{"type":"Point","coordinates":[[2,3],[4,5]]}`, ""},
	{"stricter: parts that are no polygons", true, `{"type":"MultiPolygon","coordinates":[null]}`, ""},
	{"stricter: geometries that are no array", true, `{"type":"GeometryCollection","geometries":5}`, ""},
	{"stricter: a geometry within a string", true, `"{\"type\":\"Point\",\"coordinates\":[1,2]}"`, ""},
}

func TestKnownDifferences(t *testing.T) {
	for _, c := range differences {
		text := `{"type":"FeatureCollection",` + c.member + `"features":[{"type":"Feature","id":"x","properties":{"start_at":"2024-01-01","end_at":"2025-01-01"},"geometry":` + c.geometry + `}]}`
		if _, problems := ParseCollection([]byte(text), Rules{}); problems.Refused() != c.accepted {
			t.Errorf("%s: it agrees with the database, and is listed as a difference: %v", c.reason, problems)
		}
	}
}

// pairs.json holds random pairs, most of them a few centimetres or decimetres
// from the 9 metres, up to 88 degrees of latitude and 1,000 km of size, and
// points and needles held into inner corners and under bumps, where the shrunk shape is an arc
// of chords. None is within 5 millimetres.
func TestPairsOfTheDatabase(t *testing.T) {
	type pair struct {
		Newcomer, Stored json.RawMessage
		Hit              bool
		Share            *float64
	}
	for _, c := range readOracle[[]pair](t, "pairs.json") {
		n, err1 := ParseGeometry(c.Newcomer)
		s, err2 := ParseGeometry(c.Stored)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if got := Conflict(Source{n, allTime, "x"}, Source{s, allTime, "x"}); got != c.Hit {
			t.Errorf("%s against %s: %v, want %v", c.Newcomer, c.Stored, got, c.Hit)
		}
		if share, _ := Overlap(n, []*Shape{s}); c.Share == nil || math.Abs(share-min(*c.Share, 1)) > 1e-7 {
			t.Errorf("%s under %s: %v, want %v", c.Newcomer, c.Stored, share, show(c.Share))
		}
	}
}

func TestCountiesOfStrangers(t *testing.T) {
	type collection struct {
		Features []struct {
			Properties struct {
				ID    string
				Valid int
			}
			Geometry json.RawMessage
		}
	}
	var count [2]int
	for _, c := range readOracle[collection](t, "counties.json").Features {
		valid := c.Properties.Valid
		count[valid]++
		if _, problems := JudgeGeometry(c.Geometry, Rules{}); problems.Refused() == (valid == 1) {
			t.Errorf("county %s: %v, want valid: %d", c.Properties.ID, problems, valid)
		}
	}
	if min(count[0], count[1]) < 50 {
		t.Errorf("%d invalid and %d valid shapes prove little", count[0], count[1])
	}
}
