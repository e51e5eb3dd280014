package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// feature wraps a geometry into a feature that is sound otherwise.
func feature(geometry string) string {
	return `{"type":"Feature","id":"a","properties":{"start_at":"2024-01-01T00:00:00Z","end_at":"2025-01-01T00:00:00Z"},"geometry":` + geometry + `}`
}

const (
	goodSquare = `{"type":"Polygon","coordinates":[[[2,47],[2.01,47],[2.01,47.01],[2,47.01],[2,47]]]}`
	bowTie     = `{"type":"Polygon","coordinates":[[[2,47],[2.01,47.01],[2.01,47],[2,47.01],[2,47]]]}`
)

func TestProblemsNameRuleAndPlace(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // severity, rule, pointer
	}{
		{"nothing", feature(goodSquare), nil},
		{"no JSON", `{"type":`, []string{"error json "}},
		{
			"whatever stands in third place",
			feature(`{"type":"Polygon","coordinates":[[[2,47,null],[2.01,47,"x"],[2.01,47.01,[3]],[2,47,null]]]}`),
			[]string{"warning dimensions /geometry/coordinates/0"},
		},
		{"bow-tie", feature(bowTie), []string{"error self-intersection /geometry/coordinates/0/2"}},
		{
			"every problem, not the first",
			`{"type":"Feature","id":5,"properties":{"start_at":"2024-01-01","end_at":"2024-13-01"},"geometry":{"type":"MultiPolygon","coordinates":[` +
				`[[[2,47],[2.01,47.01],[2.01,47],[2,47.01],[2,47]]],[[[3,47],[3,48],[4,48]]],[[[5,47],[5.1,47],[5.1,47.1],[5.1,47.1],[5,47]]]]}}`,
			[]string{
				"warning time-zone /properties/start_at", "error time-syntax /properties/end_at",
				"error self-intersection /geometry/coordinates/0/0/2", "error ring-open /geometry/coordinates/1/0/2",
				"error too-few-points /geometry/coordinates/1/0",
				"warning repeated-point /geometry/coordinates/2/0/3",
			},
		},
		{
			"holes",
			feature(`{"type":"Polygon","coordinates":[[[0,0],[10,0],[10,10],[0,10],[0,0]],[[1,1],[1,5],[5,5],[5,1],[1,1]],[[2,2],[2,3],[3,3],[3,2],[2,2]],[[20,1],[20,2],[21,1],[20,1]],[[9,8],[9,9],[11,9],[11,8],[9,8]]]}`),
			[]string{
				"error holes-nested /geometry/coordinates/2", "error hole-outside /geometry/coordinates/3", "error rings-cross /geometry/coordinates/4",
			},
		},
		{
			"interior cut", // a diamond hole that touches the shell twice
			feature(`{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]],[[2,0],[1,2],[2,4],[3,2],[2,0]]]}`),
			[]string{"error interior-cut /geometry/coordinates/0"},
		},
		{
			"parts overlap",
			feature(`{"type":"MultiPolygon","coordinates":[[[[0,0],[4,0],[4,4],[0,4],[0,0]]],[[[3,3],[5,3],[5,5],[3,5],[3,3]]]]}`),
			[]string{"error parts-overlap /geometry/coordinates/1"},
		},
		{
			"parts share an edge",
			feature(`{"type":"MultiPolygon","coordinates":[[[[0,0],[4,0],[4,4],[0,4],[0,0]]],[[[4,0],[8,0],[8,4],[4,4],[4,0]]]]}`),
			[]string{"error parts-overlap /geometry/coordinates/1"},
		},
		{
			"places count what is left out",
			feature(`{"type":"Polygon","coordinates":[[[],[2,47],[],[2.01,47.01],[2.01,47],[2,47.01],[2,47]]]}`),
			[]string{"warning geometry-text /geometry/coordinates/0/0", "error self-intersection /geometry/coordinates/0/4"},
		},
		{
			"too many", feature(`{"type":"LineString","coordinates":[` + strings.Repeat("[1,2],", MaxVertices) + `[3,4]]}`),
			[]string{"error too-many-vertices /geometry"},
		},
		{
			"opposite ends of the globe", feature(`{"type":"Polygon","coordinates":[[[0,10],[180,-10],[180,10],[0,10]]]}`),
			[]string{"error antipodal-edge /geometry/coordinates/0/1"},
		},
		{
			"far out, and swapped", feature(`{"type":"Polygon","coordinates":[[[-1.3,100],[-1.2,100],[-1.2,100.1],[-1.3,100]]]}`),
			[]string{"error swapped /geometry/coordinates"},
		},
		{
			"far out, either way", feature(`{"type":"Polygon","coordinates":[[[200,100],[201,100],[201,101],[200,100]]]}`),
			[]string{"error range /geometry/coordinates/0/0"},
		},
		{
			"across the antimeridian", feature(`{"type":"Polygon","coordinates":[[[179.9,1],[-179.9,1],[-179.9,1.1],[179.9,1.1],[179.9,1]]]}`),
			[]string{"warning antimeridian /geometry/coordinates/0"},
		},
		{
			"numbers as ids", strings.Replace(feature(goodSquare), `"a"`, "12324.0", 1),
			[]string{"warning alt-id-form /id"},
		},
		{"a whole number as id", strings.Replace(feature(goodSquare), `"a"`, "12324", 1), nil},
		{"a blank id", strings.Replace(feature(goodSquare), `"a"`, `" "`, 1), []string{"error alt-id-blank /id"}},
		{"an object as id", strings.Replace(feature(goodSquare), `"a"`, `{}`, 1), []string{"error alt-id-type /id"}},
		{
			"a period of one day", strings.Replace(feature(goodSquare), "2025-01-01", "2024-01-02", 1),
			[]string{"error period /properties/end_at"},
		},
		{
			"bare", `{"geometry":null}`,
			[]string{
				"warning feature-type /type", "error alt-id-missing /id", "error time-missing /properties/start_at",
				"error time-missing /properties/end_at", "error geometry-missing /geometry",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := ParseFeature([]byte(c.text), Rules{})
			var got []string
			for _, p := range problems {
				got = append(got, string(p.Severity)+" "+string(p.Rule)+" "+p.Pointer)
				if p.Message == "" || p.Advice == "" {
					t.Errorf("%s says %q and advises %q", p.Rule, p.Message, p.Advice)
				}
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("found:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
		})
	}
}

// TestBrokenCollections are no JSON, or none that METI's database holds.
func TestBrokenCollections(t *testing.T) {
	good, bad := feature(goodSquare), strings.Replace(feature(goodSquare), `"a"`, `a`, 1)
	for text, want := range map[string]string{
		`{"type":"FeatureCollection","features":[` + good + `,` + good + `]}`:                           "",
		` {"features":[` + good + `,` + bad + `],"type":"FeatureCollection"}`:                           "unexpected 'a'",
		`{"type":"FeatureCollection","features":[` + bad + `],"features":[]}`:                           "no JSON",
		`{"type":"FeatureCollection","features":[` + good + good + `]}`:                                 "no JSON",
		`{"type":"FeatureCollection","features":[` + good + `,]}`:                                       "no JSON",
		`{"type":"FeatureCollection","features":[` + good + `}`:                                         "no JSON",
		`{"type":"FeatureCollection","features":[` + good + `]`:                                         "no JSON",
		`{"type":"FeatureCollection","features":[` + good + `]}x`:                                       "no JSON",
		`{"type":"FeatureCollection","name":"\u0000","features":[` + good + `]}`:                        "holds",
		`{"type":"FeatureCollection","features":[` + strings.Replace(good, `"a"`, `"\u0000"`, 1) + `]}`: "/features/0",
	} {
		_, problems := ParseCollection([]byte(text), Rules{})
		if !problems.Refused() {
			if want != "" {
				t.Errorf("%s is taken", text)
			}
			continue
		}
		if p := problems[0]; len(problems) > 1 || p.Rule != RuleJSON || want == "" || want != p.Pointer && !strings.Contains(p.Message, want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func TestCrossingIsLocated(t *testing.T) {
	_, problems := JudgeGeometry([]byte(bowTie), Rules{})
	want := Point{2.005, 47.005}
	if c := problems[0].Coordinate; c == nil || !near(c[0], want[0], 1e-12) || !near(c[1], want[1], 1e-12) {
		t.Errorf("the bow-tie crosses at %v, want %v", c, want)
	}
}

// TestTableOfRules holds that each rule has a name of its own, and that those which
// the database refuses cannot be allowed.
func TestTableOfRules(t *testing.T) {
	known := map[Rule]bool{}
	for _, info := range AllRules() {
		if known[info.Rule] || info.About == "" || info.Advice == "" {
			t.Errorf("%s is known: %v, %q, %q", info.Rule, known[info.Rule], info.About, info.Advice)
		}
		known[info.Rule] = true
		p := Rules{Allow: []Rule{info.Rule}}.Apply(Problems{NewProblem(info.Rule, "", "")})
		if p.Invalid() != info.Refused || p.Refused() != info.Refused || info.Refused && info.Severity != Error {
			t.Errorf("%s, which the database refuses: %v, is invalid though allowed: %v", info.Rule, info.Refused, p.Invalid())
		}
	}
}

func TestStrictAndAllow(t *testing.T) {
	text := []byte(strings.Replace(feature(`{"type":"Point","coordinates":[2,47]}`), "-01-01T00:00:00Z", "-01-01", 2))
	for _, c := range []struct {
		rules Rules
		want  string
	}{
		{Rules{}, "time-zone warning, time-zone warning, geometry-type error"},
		{Rules{Strict: true}, "time-zone error, time-zone error, geometry-type error"},
		{Rules{Allow: []Rule{RuleGeometryType}}, "time-zone warning, time-zone warning, geometry-type warning"},
		{Rules{Strict: true, Allow: []Rule{RuleGeometryType}}, "time-zone error, time-zone error, geometry-type warning"},
		{Rules{Strict: true, Allow: []Rule{RuleGeometryType, RuleTimeZone}}, "time-zone warning, time-zone warning, geometry-type warning"},
	} {
		_, problems := ParseFeature(text, c.rules)
		var got []string
		for _, p := range problems {
			got = append(got, fmt.Sprint(p.Rule, " ", p.Severity))
		}
		if list := strings.Join(got, ", "); list != c.want || problems.Refused() || problems.Invalid() != strings.Contains(c.want, "error") {
			t.Errorf("%+v: %s, want %s", c.rules, list, c.want)
		}
	}
	_, problems := ParseFeature(text, Rules{})
	if advice := problems[1].Advice; advice != "write it as 2025-01-01T00:00:00Z" {
		t.Errorf("of a date it is advised to %s", advice)
	}
	if err := problems.Err(); err == nil || !strings.Contains(err.Error(), "/geometry/type") {
		t.Errorf("the error: %v", err)
	}
}

func TestSwapIsSuspectedByCountry(t *testing.T) {
	kenya := NewCountries()
	kenya.Add("Kenya", rectangle(t, [4]float64{34, -5, 42, 5}))
	swapped := feature(`{"type":"Polygon","coordinates":[[[-1.3,37.1],[-1.29,37.1],[-1.29,37.11],[-1.3,37.11],[-1.3,37.1]]]}`)
	_, problems := ParseFeature([]byte(swapped), Rules{Countries: kenya})
	if len(problems) != 1 || problems[0].Rule != RuleMaybeSwapped || problems[0].Severity != Warning || !strings.Contains(problems[0].Message, "Kenya") {
		t.Errorf("a swapped field gives %v", problems)
	}
	if _, problems := ParseFeature([]byte(swapped), Rules{}); len(problems) != 0 {
		t.Errorf("without countries nothing can be suspected, but: %v", problems)
	}
}

func TestAttributes(t *testing.T) {
	for _, c := range []struct {
		a    Attributes
		want []Rule
	}{
		{Attributes{}, nil},
		{Attributes{SourceType: "FACILITY"}, nil},
		{Attributes{SourceType: "DEVICE"}, []Rule{RuleMeasurement}},
		{Attributes{SourceType: "DEVICE", MeasurementPointID: "m"}, nil},
		{Attributes{SourceType: "PROGRAM"}, []Rule{RuleConstituents}},
		{Attributes{SourceType: "JURISDICTIONAL"}, []Rule{RuleConstituents, RuleGeometrySource}},
		{Attributes{SourceType: "JURISDICTIONAL", ConstituentSSIDs: []string{"src_"}, GeometrySource: "AUTHORITATIVE_GIS"}, nil},
		{Attributes{SourceType: "ZZZ"}, []Rule{RuleSourceType}},
	} {
		var got []Rule
		for _, p := range CheckAttributes(c.a) {
			got = append(got, p.Rule)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v gives %v, want %v", c.a, got, c.want)
		}
	}
}

// TestTimes has what people write: ISO 8601 is read, and of anything else the
// message says what it may mean.
func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		"2024-02-28":                        "2024-02-28T00:00:00Z",
		"2024-02-29 12:30":                  "2024-02-29T12:30:00Z",
		"2024-02-28T12:30:45.1234567+05":    "2024-02-28T07:30:45.123457Z",
		"2024-02-28t12:30:45-0530":          "2024-02-28T18:00:45Z",
		"2024-02-28 24:00:00+00:00":         "2024-02-29T00:00:00Z",
		"2024-12-31T23:59:60z":              "2025-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z":              "0001-01-01T00:00:00Z",
		"01/04/2026":                        "may be 2026-04-01 or 2026-01-04",
		"01.04.2026 12:00":                  "may be 2026-04-01 or 2026-01-04",
		"4-4-2026":                          "write it as 2026-04-04",
		"13/04/2026":                        "write it as 2026-04-13",
		"04/13/2026":                        "write it as 2026-04-13",
		"2026/04/01":                        "write it as 2026-04-01",
		"20260401":                          "write it as 2026-04-01",
		"2026-4-1T00:00:00Z":                "write it as 2026-04-01",
		"1767225600":                        "is an epoch, a number of seconds since 1970: write it as 2026-01-01T00:00:00Z",
		"1767225600000":                     "is an epoch, a number of milliseconds since 1970: write it as 2026-01-01T00:00:00Z",
		"today":                             "is not ISO 8601: write a date such as",
		"Jan 8 1999":                        "is not ISO 8601",
		"2023-02-29":                        "there is not",
		"2024-01-01T24:00:01Z":              "there is not",
		"2024-01-01T12:60:00Z":              "there is not",
		"2024-01-01T12:00:00+16:00":         "there is not",
		"0000-01-01":                        "there is not",
		"10000-01-01":                       "is not ISO 8601",
		"2024-01-01T12:00:00,5Z":            "is not ISO 8601",
		"2024-W01-1":                        "is not ISO 8601",
		"2024-01-01T00:00:00Z\n":            "is not ISO 8601",
		"":                                  "is not ISO 8601",
		strings.Repeat("31/02/2026 ", 1000): "is not ISO 8601",
	} {
		got, err := ParseTime(text)
		if err == nil {
			if got.String() != want {
				t.Errorf("%q is %v, want %s", text, got, want)
			}
			continue
		}
		if !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// A panic reaches the caller, who can recover.
func TestParseCollectionPanics(t *testing.T) {
	broken := NewCountries()
	broken.index.Insert([2]float64{-180, -90}, [2]float64{180, 90}, nil)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	ParseCollection([]byte(`{"type":"FeatureCollection","features":[{"type":"Feature","id":"a",
		"properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},
		"geometry":{"type":"Polygon","coordinates":[[[1,1],[1.01,1],[1.01,1.01],[1,1]]]}}]}`), Rules{Countries: broken})
}
