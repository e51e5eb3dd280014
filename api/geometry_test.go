package api

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geojson"
)

func TestPolygons(t *testing.T) {
	square := []Polygon{{{{0, 0}, {1, 0}, {1, 1}, {0, 0}}}}
	for text, want := range map[string][]Polygon{
		``:     nil,
		`null`: nil,
		`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}`:                                    square,
		`{"coordinates":[[[0,0],[1,0],[1,1],[0,0]]],"type":"Polygon"}`:                                    square,
		` { "type" : "Polygon" , "coordinates" : [ [ [ 0 , 0 ] , [1, 0], [1,1 ],[0,0] ] ] } `:             square,
		`{"type":"Polygon","bbox":[0,0,1,1],"coordinates":[[[0,0,5],[1,0,5,6],[1.0,1e0],[-0.0,0]]]}`:      square,
		`{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,0]]]],"crs":{"a":[1]}}`:             square,
		`{"type":"Polygon","coordinates":[]}`:                                                             nil,
		`{"type":"MultiPolygon","coordinates":[[],[[[0,0],[1,0],[1,1],[0,0]]],[]]}`:                       square,
		`{"type":"Polygon","coordinates":[[]]}`:                                                           {{{}}},
		`{"type":"MultiPolygon","coordinates":[[[[0,0]],[[1,1],[2,2]]],[[[3,3]]]]}`:                       {{{{0, 0}}, {{1, 1}, {2, 2}}}, {{{3, 3}}}},
		`{"type":"Polygon","coordinates":[[[-93.60123456789012,42.030123456789012345678],[1e-7,-1E+2]]]}`: {{{{-93.60123456789012, 42.030123456789012345678}, {1e-7, -100}}}},
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
		s.Geojson = json.RawMessage(geometry)
	}
	return s
}

func TestPolygonsErrors(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: "byte 0", `"x"`: "byte 0", `{}`: "no coordinates", `{"type":"Polygon"}`: "no coordinates", `{"type":"Polygon",}`: "byte 18",
		`{"type":"Point","coordinates":[1,2]}`:                                "Point",
		`{"coordinates":[]}`:                                                  "type",
		`{"type":null,"coordinates":[]}`:                                      "type is null",
		`{"type":"Polygon","coordinates":[[[1,2]]`:                            "cut short after 40 bytes",
		`{"type":"Polygon","coordinates":[[[1,2],[3]]]}`:                      "byte 42",
		`{"type":"Polygon","coordinates":[[[1,2],[3,"4"]]]}`:                  "byte 43",
		`{"type":"Polygon","coordinates":[[[1,2],[3,04]]]}`:                   "byte 44",
		`{"type":"Polygon","coordinates":[[[1,2],[3,NaN]]]}`:                  "byte 43",
		`{"type":"Polygon","coordinates":[[[1,2],[3,1e999]]]}`:                "latitude",
		`{"type":"Polygon","coordinates":[[[1,2],null]]}`:                     "byte 40",
		`{"type":"Polygon","coordinates":[[1,2]]}`:                            "byte 34",
		`{"type":"Polygon","coordinates":[[[[1,2]]]]}`:                        "byte 35",
		`{"type":"MultiPolygon","coordinates":[[[1,2]]]}`:                     "byte 40",
		`{"type":"Polygon","coordinates":[[[1,2]]]}}`:                         "byte 42",
		`{"type":"Polygon","coordinates":[[[1,2],]]}`:                         "byte 40",
		`{"type":"Polygon","coordinates":[[[1,2]],]}`:                         "byte 41",
		`{"type":"Polygon" "coordinates":[[[1,2]]]}`:                          "byte 18",
		`{"type":"Polygon","coordinates":null}`:                               "byte 32",
		`{"type":"Polygon","coordinates":[[[1,2]]],"bbox":[}`:                 "byte 50",
		`{"coordinates":[[[1,2],[3,4],"x"]],"type":"Polygon"}`:                "byte 29",
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
	if xy := polygons[0][1].XY(); !reflect.DeepEqual(xy, []float64{1, 1, 2, 1, 2, 2, 1, 1}) {
		t.Errorf("XY is %v", xy)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Polygons() }); n > 6 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPolygons holds DecodePolygons equal to orb's GeoJSON, where both read.
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
		ours, err := DecodePolygons[orb.MultiPolygon](data)
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
func slicesEqual(a, b orb.MultiPolygon) bool {
	var kept orb.MultiPolygon
	for _, polygon := range b {
		if len(polygon) > 0 {
			kept = append(kept, polygon)
		}
	}
	return fmt.Sprint(a) == fmt.Sprint(kept)
}

// sameNumber compares decodeNumber with strconv, bit by bit.
func sameNumber(t *testing.T, text string) {
	t.Helper()
	got, end, ok := decodeNumber([]byte(text), 0)
	want, err := strconv.ParseFloat(text, 64)
	valid := err == nil && json.Valid([]byte(text)) && strings.TrimSpace(text) == text
	if (ok && end == len(text)) != valid {
		t.Errorf("%q: ok is %v at %d, and strconv %v", text, ok, end, err)
	} else if valid && math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("%q: %v, and strconv %v", text, got, want)
	}
}

// axisLike is an axis that has learned from a number, if that is sound.
func axisLike(example string) *axis {
	a := new(axis)
	if _, ok := skipNumber([]byte(example), 0); ok {
		a.learn([]byte(example), 0)
	}
	return a
}

// sameOnAxis compares what an axis makes of a number, whichever it has learned
// from, with decodeNumber and skipNumber. Text enough to be read by words
// follows.
func sameOnAxis(t *testing.T, number string) {
	t.Helper()
	for _, example := range []string{number, "-93.6", "-179.5", "42.25", "101.75", "7.5", "-0.5", "0.5", "1234.5", "12", ""} {
		for _, behind := range []string{",42.0300000000000011368683772161602973937988281", "]" + strings.Repeat("9", 40)} {
			text := []byte(number + behind)
			value, end, ok := axisLike(example).decode(text, 0)
			wantValue, wantEnd, wantOK := decodeNumber(text, 0)
			if math.Float64bits(value) != math.Float64bits(wantValue) || end != wantEnd || ok != wantOK {
				t.Errorf("%q after %q: %v %d %v, and alone %v %d %v", number, example, value, end, ok, wantValue, wantEnd, wantOK)
			}
			end, ok = axisLike(example).skip(text, 0)
			if wantEnd, wantOK = skipNumber(text, 0); end != wantEnd || ok != wantOK {
				t.Errorf("%q after %q: to %d %v, and alone to %d %v", number, example, end, ok, wantEnd, wantOK)
			}
		}
	}
}

// TestAxisGoesByWords expects plain numbers to be like themselves: else all go
// the slow way, and no other test can tell.
func TestAxisGoesByWords(t *testing.T) {
	for _, number := range []string{"-93.60125", "-93.601234567", "42.0312345678901", "-179.99999999999997", "0.123456789012345", "7.5"} {
		a := axisLike(number)
		text := number + "," + strings.Repeat(" ", axisBytes)
		if word, ok := a.begins((*[axisBytes]byte)([]byte(text))); !ok {
			t.Errorf("%s begins with %x, which is not like itself: %+v", number, word, a)
		}
	}
}

func TestDecodeNumber(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "0.0", "-0.0", "1", "-1", "10", "00", "01", "-01", "", "-", ".", "1.", "-.5", "1.e5", "1e", "1e+", "1e5", "1E-5", "1.5e300", "1e400", "1e-400", "+1",
		"12345678", "123456789", "1234567890123456789", "9007199254740992", "9007199254740993", "9007199254740993.0", "18446744073709551615", "18446744073709551616",
		"99999999999999999999", "0.99999999999999999", "0.000000000000000000001", "0.0000000000000000001", "9.999999999999999999", "179.99999999999997", "-179.99999999999998",
		"90071992547409.93", "900719925474099.3", "1.00000000000000011102230246251565", "4503599627370496.5", "4503599627370497.5", "45035996273704965e-1", "05.125", "-05.125", "00.125", "-00.0", "007.5", "0x1p5", "1_0", "inf", "NaN", "1 ",
	} {
		sameNumber(t, text)
		sameOnAxis(t, text)
		got, end, ok := decodeNumber([]byte("["+text+","), 1)
		again, end2, ok2 := decodeNumber([]byte("["+text+",12345678"), 1) // with eight bytes to read at once
		if got != again || end != end2 || ok != ok2 {
			t.Errorf("%q: %v %v %v and %v %v %v", text, got, end, ok, again, end2, ok2)
		}
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for range 200_000 {
		value := (random.Float64() - 0.5) * 360
		text := strconv.FormatFloat(value, 'f', -1, 64)
		if random.IntN(2) == 0 {
			text = strconv.FormatFloat(value, 'f', random.IntN(20), 64)
		}
		if random.IntN(3) == 0 { // any digits: some are next to the middle of two float64
			text = strconv.FormatUint(1e18+random.Uint64N(9e18), 10)
			point := 1 + random.IntN(18)
			text = text[:point] + "." + text[point:]
		}
		sameNumber(t, text)
		if sameOnAxis(t, text); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, text := range []string{"0", "-93.60123456789012", "1e5", "9007199254740993", "0.1234567890123456789", "18446744073709551615"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sameNumber(t, text)
		sameOnAxis(t, text)
	})
}
