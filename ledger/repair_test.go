package ledger

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestRepair(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		fixes            []Rule
	}{
		{"sound", feature(goodSquare), feature(goodSquare), nil},
		{
			"clockwise shell, number literals kept",
			`{"a":1.50, "type":"Polygon", "coordinates":[[[2.0,47.00],[2.0,47.010],[2.010,47.01, 5],[2.0,47.00]]] , "b":[1e3]}`,
			`{"a":1.50, "type":"Polygon", "coordinates":[[[2.0,47.00],[2.010,47.01, 5],[2.0,47.010],[2.0,47.00]]] , "b":[1e3]}`,
			[]Rule{RuleWinding},
		},
		{
			"counter-clockwise hole",
			`{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,0]],[[5,1],[6,1],[6,2],[5,1]]]}`,
			`{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,0]],[[5,1],[6,2],[6,1],[5,1]]]}`,
			[]Rule{RuleWinding},
		},
		{
			"open, repeated and clockwise, in the second part",
			feature(`{"type":"MultiPolygon","coordinates":[[[[2,47],[2.01,47],[2.01,47.01],[2,47]]],[[[3,47],[3,48],[3.0,48],[4,48]]]]}`),
			feature(`{"type":"MultiPolygon","coordinates":[[[[2,47],[2.01,47],[2.01,47.01],[2,47]]],[[[3,47],[4,48],[3,48],[3,47]]]]}`),
			[]Rule{RuleRepeatedPoint, RuleRingOpen, RuleWinding},
		},
		{
			"in a collection of geometries",
			`{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]},{"type":"Polygon","coordinates":[[[0,0],[9,9],[9,0]]]}]}`,
			`{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]},{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,0]]]}]}`,
			[]Rule{RuleRingOpen, RuleWinding},
		},
		{"what it cannot mend", bowTie, bowTie, nil},
		{"too few positions", `{"type":"Polygon","coordinates":[[[0,0],[1,1]]]}`, `{"type":"Polygon","coordinates":[[[0,0],[1,1]]]}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, fixes, err := Repair([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("became %s\nwant   %s", got, c.want)
			}
			var rules []Rule
			for _, f := range fixes {
				rules = append(rules, f.Rule)
			}
			if !slices.Equal(rules, c.fixes) {
				t.Errorf("fixed %v, want %v", fixes, c.fixes)
			}
			if _, again, _ := Repair(got); len(again) != 0 {
				t.Errorf("a second time it still fixed %v", again)
			}
		})
	}
}

func TestRepairRefusesWhatItCannotRead(t *testing.T) {
	for _, text := range []string{"", "{", "[]", "null", `{"type":"Feature","geometry":null}`, feature(`{"type":"Polygon","coordinates":[[[1]]]}`)} {
		if _, _, err := Repair([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestRepairLeavesTheAntimeridianAlone(t *testing.T) {
	text := feature(`{"type":"Polygon","coordinates":[[[179.99,-16.8],[-179.99,-16.8],[-179.99,-16.79],[179.99,-16.79],[179.99,-16.8]]]}`)
	if got, fixes, err := Repair([]byte(text)); string(got) != text || len(fixes) > 0 || err != nil {
		t.Errorf("%s, %v, %v", got, fixes, err)
	}
}

// Every geometry of the oracle that is sound stays as large and as sound.
func TestRepairMovesNoBoundary(t *testing.T) {
	for _, c := range readOracle[[]areaCase](t, "areas.json") {
		got, _, err := Repair(c.Geometry)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := JudgeGeometry(c.Geometry, Rules{})
		after, problems := JudgeGeometry(got, Rules{})
		if problems.Refused() == c.Valid {
			t.Errorf("%s: %v", c.ID, problems)
		}
		if c.Valid && (!near(after.Hectares(), before.Hectares(), 1e-9) || after.box != before.box) {
			t.Errorf("%s changed from %v to %v ha", c.ID, before.Hectares(), after.Hectares())
		}
		for _, p := range problems {
			if p.Rule == RuleWinding || p.Rule == RuleRingOpen || p.Rule == RuleRepeatedPoint {
				t.Errorf("%s: left %v", c.ID, p)
			}
		}
		if !json.Valid(got) {
			t.Errorf("%s became no JSON", c.ID)
		}
	}
}
