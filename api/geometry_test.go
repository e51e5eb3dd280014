package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geojson"

	"github.com/meti-go/meti/gen"
)

func TestPolygons(t *testing.T) {
	square := []Polygon{{{{0, 0}, {1, 0}, {1, 1}, {0, 0}}}}
	for text, want := range map[string][]Polygon{
		``:     nil,
		`null`: nil,
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}`:                                                            square,
		`{"coordinates":[[[0,0],[1,0],[1,1],[0,0]]],"type":"Polygon"}`:                                                            square,
		` { "type" : "Polygon" , "coordinates" : [ [ [ 0 , 0 ] , [1, 0], [1,1 ],[0,0] ] ] } `:                                     square,
		`{"type":"Polygon","bbox":[0,0,1,1],"coordinates":[[[0,0,5],[1,0,5,6],[1.0,1e0],[-0.0,0]]]}`:                              square,
		`{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,0]]]],"crs":{"a":[1]}}`:                                     square,
		`{"type":"Feature","properties":{"geometry":[]},"geometry":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}}`: square,
		`{"geometry":{"coordinates":[[[0,0],[1,0],[1,1],[0,0]]],"type":"Polygon"},"type":"Feature"}`:                              square,
		`{"type":"Feature","geometry":null}`:                                                                                      nil,
		`{"type":"Feature"}`:                                                                                                      nil,
		`{"type":"Polygon","coordinates":[]}`:                                                                                     nil,
		`{"type":"MultiPolygon","coordinates":[[],[[[0,0],[1,0],[1,1],[0,0]]],[]]}`:                                               square,
		`{"type":"Polygon","coordinates":[[]]}`:                                                                                   {{{}}},
		`{"type":"MultiPolygon","coordinates":[[[[0,0]],[[1,1],[2,2]]],[[[3,3]]]]}`:                                               {{{{0, 0}}, {{1, 1}, {2, 2}}}, {{{3, 3}}}},
		`{"type":"Polygon","coordinates":[[[-93.60123456789012,42.030123456789012345678],[1e-7,-1E+2]]]}`:                         {{{{-93.60123456789012, 42.030123456789012345678}, {1e-7, -100}}}},
	} {
		got, err := (&Source{}).with(text).Polygons()
		if err != nil || !reflect.DeepEqual(got, want) && (len(got) > 0 || len(want) > 0) {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
}

func (s *Source) with(geometry string) *Source {
	s.ID = "src_1"
	if geometry != "" {
		s.GeoJSON = json.RawMessage(geometry)
	}
	return s
}

func TestPolygonsErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"Feature","geometry":{"type":"Feature","geometry":null}}`: `type is "Feature"`,
		`[]`: "cannot unmarshal array", `"x"`: "cannot unmarshal string", `{}`: `type is ""`, `{"type":"Polygon"}`: "no coordinates", `{"type":"Polygon",}`: "invalid character",
		`{"type":"Point","coordinates":[1,2]}`:                                `type is "Point"`,
		`{"coordinates":[]}`:                                                  "type",
		`{"type":null,"coordinates":[]}`:                                      `type is ""`,
		`{"type":"Polygon","coordinates":[[[1,2]]`:                            "unexpected end",
		`{"type":"Polygon","coordinates":[[[1,2],[3]]]}`:                      "byte 10 of the coordinates instead of a comma and a second number",
		`{"type":"Polygon","coordinates":[[[1,2],[3,"4"]]]}`:                  "byte 11",
		`{"type":"Polygon","coordinates":[[[1,2],[3,04]]]}`:                   "invalid character",
		`{"type":"Polygon","coordinates":[[[1,2],[3,NaN]]]}`:                  "invalid character",
		`{"type":"Polygon","coordinates":[[[1,2],[3,1e999]]]}`:                "byte 11 of the coordinates instead of a number",
		`{"type":"Polygon","coordinates":[[[1,2],null]]}`:                     "byte 8",
		`{"type":"Polygon","coordinates":[[1,2]]}`:                            "byte 2",
		`{"type":"Polygon","coordinates":[[[[1,2]]]]}`:                        "byte 3",
		`{"type":"MultiPolygon","coordinates":[[[1,2]]]}`:                     "byte 3",
		`{"type":"Polygon","coordinates":[[[1,2]]]}}`:                         "invalid character",
		`{"type":"Polygon","coordinates":[[[1,2],]]}`:                         "invalid character",
		`{"type":"Polygon","coordinates":[[[1,2]],]}`:                         "invalid character",
		`{"type":"Polygon" "coordinates":[[[1,2]]]}`:                          "invalid character",
		`{"type":"Polygon","coordinates":null}`:                               "byte 0",
		`{"type":"Polygon","coordinates":[[[1,2]]],"bbox":[}`:                 "invalid character",
		`{"coordinates":[[[1,2],[3,4],"x"]],"type":"Polygon"}`:                "byte 14",
		`{"type":"GeometryCollection","geometries":[],"coordinates":[[[1]]]}`: "GeometryCollection",
	} {
		polygons, err := (&Source{}).with(text).Polygons()
		if err == nil || polygons != nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "src_1") {
			t.Errorf("%s: %v, %v, want %q", text, polygons, err, want)
		}
	}
}

// TestPolygonsShareOneArray expects appending to a ring to leave the next one
// alone, and allocations to be few.
func TestPolygonsShareOneArray(t *testing.T) {
	s := (&Source{}).with(`{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,0]],[[1,1],[2,1],[2,2],[1,1]]]}`)
	polygons, err := s.Polygons()
	if err != nil {
		t.Fatal(err)
	}
	_ = append(polygons[0][0], [2]float64{7, 7})
	if polygons[0][1][0] != [2]float64{1, 1} {
		t.Error("the shell was written over the hole")
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Polygons() }); n > 6 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPolygons holds Polygons equal to orb's GeoJSON, where both read.
func FuzzPolygons(f *testing.F) {
	for _, data := range sourceFiles(f) {
		var s Source
		if err := json.Unmarshal(data, &s); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(s.Geometry))
	}
	f.Add([]byte(`{"type":"MultiPolygon","coordinates":[[[[1,2],[3,4]],[[5,6]]],[[[7,8]]]]}`))
	f.Add([]byte(" "))
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, err := (&Source{Source: gen.Source{Geometry: data}}).Polygons()
		if err == nil && len(data) > 0 && !json.Valid(data) {
			t.Errorf("no error, and it is not JSON\n%q", data)
		}
		theirs, theirErr := geojson.UnmarshalGeometry(data)
		if theirErr != nil || theirs == nil {
			return
		}
		var want orb.MultiPolygon
		switch g := theirs.Coordinates.(type) {
		case orb.Polygon:
			want = orb.MultiPolygon{g}
		case orb.MultiPolygon:
			want = g
		default:
			return
		}
		if err != nil {
			return // orb reads a position of one number, null for a ring and the like
		}
		if !slicesEqual(ours, want) {
			t.Errorf("got  %v\nwant %v\n%q", ours, want, data)
		}
	})
}

// slicesEqual leaves out polygons without a ring.
func slicesEqual(a []Polygon, b orb.MultiPolygon) bool {
	var kept orb.MultiPolygon
	for _, polygon := range b {
		if len(polygon) > 0 {
			kept = append(kept, polygon)
		}
	}
	return fmt.Sprint(a) == fmt.Sprint(kept)
}
