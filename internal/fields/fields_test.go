package fields

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meti-go/meti/ledger"
)

// one is a feature that is sound, with an id and a longitude.
func one(id string, lon float64) string {
	return fmt.Sprintf(`{"type":"Feature","id":%q,"properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":%s}`, id, square(lon))
}

func square(lon float64) string {
	return fmt.Sprintf(`{"type":"Polygon","coordinates":[[[%[1]v,48],[%[2]v,48],[%[2]v,48.01],[%[1]v,48.01],[%[1]v,48]]]}`, lon, lon+0.01)
}

func collection(members string, features ...string) string {
	return `{"type":"FeatureCollection",` + members + `"features":[` + strings.Join(features, ",") + `]}`
}

// read reads a text, in whole and byte by byte, and writes down what was found.
func read(t *testing.T, text string) string {
	t.Helper()
	var results [2]string
	for i, in := range []any{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		f, err := Open(t.Context(), "-", in.(interface{ Read([]byte) (int, error) }))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var out []string
		err = f.each(func(item Item) error {
			what := string(item.Raw)
			if item.Err != nil {
				what = item.Err.Error()
			} else if again, err := f.At(item.Place); err != nil || string(again) != what {
				t.Errorf("read again: %s, %v, want %s", again, err, what)
			}
			if len(what) > 60 {
				what = what[:60]
			}
			out = append(out, fmt.Sprintf("%d %d:%d %d %s", item.Index, item.Line, item.Column, item.Kind, what))
			return nil
		})
		if err != nil {
			out = append(out, err.Error())
			if !errors.Is(err, ErrInput) {
				t.Errorf("%q is no ErrInput", err)
			}
		}
		for name, value := range f.shared {
			out = append(out, name+"="+string(value))
		}
		results[i] = strings.Join(out, "\n")
	}
	if results[0] != results[1] {
		t.Errorf("byte by byte it is read otherwise:\n%s\n---\n%s", results[0], results[1])
	}
	return results[0]
}

func TestForms(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"collection", "{\"type\":\"FeatureCollection\",\n\"features\":[\n {\"a\":1},{\"b\":2}\n]}\n", "0 3:2 0 {\"a\":1}\n1 3:10 0 {\"b\":2}"},
		{"features first", `{"features":[{"a":1}],"type":"FeatureCollection"}`, `0 1:14 0 {"a":1}`},
		{"empty collection", `{"type":"FeatureCollection","features":[]}`, ""},
		{"feature", `{"type":"Feature"}`, `0 1:1 0 {"type":"Feature"}`},
		{"byte order mark", "\ufeff{\"type\":\"Feature\"}", `0 1:1 0 {"type":"Feature"}`},
		{"lines", "{\"a\":1}\n{\"b\":2}\n", "0 1:1 0 {\"a\":1}\n1 2:1 0 {\"b\":2}"},
		{"CRLF", "{\"a\":1}\r\n\r\n{\"b\":2}\r\n", "0 1:1 0 {\"a\":1}\n1 3:1 0 {\"b\":2}"},
		{"one after another", "{\n\"a\":1}{\"b\":2}  {\"c\":3}", "0 1:1 0 {\n\"a\":1}\n1 2:7 0 {\"b\":2}\n2 2:16 0 {\"c\":3}"},
		{"sequence", "\x1e{\"a\":\n1}\n\x1e{\"b\":2}\n", "0 1:2 0 {\"a\":\n1}\n1 3:2 0 {\"b\":2}"},
		{"array", `[{"a":1}, {"type":"Point"}]`, "0 1:2 0 {\"a\":1}\n1 1:11 1 {\"type\":\"Point\"}"},
		{"geometry", `{"type":"Polygon","coordinates":[]}`, `0 1:1 1 {"type":"Polygon","coordinates":[]}`},
		{"source", `{"alt_id":"a","geometry":{}}`, "0 1:1 2 {\"alt_id\":\"a\",\"geometry\":{}}"},
		{"wrapper", `{"tags":["x"],"feature_collection":{"type":"FeatureCollection","features":[{"a":1}]}}`, "0 1:76 0 {\"a\":1}\ntags=[\"x\"]"},
		{"two collections", collection("", `{"a":1}`) + "\n" + collection("", `{"b":2}`), "0 1:41 0 {\"a\":1}\n1 2:41 0 {\"b\":2}"},
		{"other members", `{"name":"features","x":{"features":[{}]},"type":"FeatureCollection","features":[{"a":1}]}`, `0 1:81 0 {"a":1}`},

		{"empty", "", "stdin: the input is empty"},
		{"space", " \n", "stdin: the input is empty"},
		{"text", "id,start\n", `stdin:1:1: not JSON: unexpected 'i'; reading ended there, and the rest was not looked at`},
		{"NaN", "{\"type\":\"FeatureCollection\",\"features\":[\n{\"a\":NaN},{}]}", "stdin:2:6: not JSON: NaN is no number in JSON; write null; reading ended there, and the rest was not looked at"},
		{"minus infinity", "{\"features\":[{\"a\":-Infinity}]}", "stdin:1:20: not JSON: Infinity is no number in JSON; write null; reading ended there, and the rest was not looked at"},
		{"after one", collection("", `{"a":1}`, `{"a":}`), "0 1:41 0 {\"a\":1}\nstdin:1:54: not JSON: unexpected '}'; reading ended there, and the rest was not looked at"},
		{"cut short", `{"type":"FeatureCollection","features":[{"a":1},`, "0 1:41 0 {\"a\":1}\nstdin:1:49: not JSON: it is cut short"},
		{"comma at the end", `{"features":[{"a":1},]}`, "0 1:14 0 {\"a\":1}\nstdin:1:22: not JSON: unexpected ']'; reading ended there, and the rest was not looked at"},
		{"something behind", collection("") + "x", "stdin:1:43: not JSON: unexpected 'x'; reading ended there, and the rest was not looked at"},
		{"other type", `{"type":"Feature","features":[{"a":1}]}`, `0 1:1 0 {"type":"Feature","features":[{"a":1}]}`},
		{"no type", `{"features":[{"a":1}]}`, "0 1:14 0 {\"a\":1}\n" + `stdin:1:22: the type of an object with features is "", not "FeatureCollection"`},
		{"no features", `{"type":"FeatureCollection"}`, `stdin:1:28: a FeatureCollection without an array of features`},
		{"features twice", `{"features":[],"features":[],"type":"FeatureCollection"}`, `stdin:1:27: the collection has two members named features; reading ended there, and the rest was not looked at`},

		{"a broken line", "{\"a\":1}\n{\"b\":}\n{\"c\":3}", "0 1:1 0 {\"a\":1}\n1 2:6 0 not JSON: unexpected '}'\n2 3:1 0 {\"c\":3}"},
		{"a broken line before an indented one", "{\"a\":1}\n{\"b\":}\n  {\"c\":3}", "0 1:1 0 {\"a\":1}\n1 2:6 0 not JSON: unexpected '}'\n2 3:3 0 {\"c\":3}"},
		{"a broken feature over several lines", "{\n\"a\":1}\n{\n\"b\":}\n{\"c\":3}", "0 1:1 0 {\n\"a\":1}\n1 3:1 0 not JSON: the line ends before it does\n2 5:1 0 {\"c\":3}"},
		{"the first line", "{\"a\":1\n{\"b\":2}\n{\"c\":3}", "0 1:1 0 not JSON: the line ends before it does\n1 2:1 0 {\"b\":2}\n2 3:1 0 {\"c\":3}"},
		{"a line cut short", "{\"a\":1}\n{\"b\":\n{\"c\":3}\n{\"d\":4}", "0 1:1 0 {\"a\":1}\n1 2:1 0 not JSON: the line ends before it does\n2 3:1 0 {\"c\":3}\n3 4:1 0 {\"d\":4}"},
		{"the last line", "{\"a\":1}\n{\"b\":", "0 1:1 0 {\"a\":1}\n1 2:6 0 not JSON: it is cut short"},
		{"broken lines one after another", "{\"a\":1}\n\"b\":2}\n;{\"c\":3}\n{\"d\":4}", "0 1:1 0 {\"a\":1}\n1 2:1 0 not JSON: unexpected '\"'\n2 3:1 0 not JSON: unexpected ';'\n3 4:1 0 {\"d\":4}"},
		{"no object", "{\"a\":1}\n7\n{\"c\":3}", "0 1:1 0 {\"a\":1}\n1 2:1 0 not JSON: unexpected '7'\n2 3:1 0 {\"c\":3}"},
		{"a broken record", "\x1e{\"a\":1}\n\x1e{\"b\":\n\x1e{\"c\":3}\n", "0 1:2 0 {\"a\":1}\n1 2:2 0 not JSON: unexpected '\\x1e'\n2 3:2 0 {\"c\":3}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := read(t, c.text); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

// judged reads and judges a text, and gives a line for each feature: its id, and
// its problems' severities, rules and pointers.
func judged(t *testing.T, text string, o Options) (lines []string, f *File, j *Judge) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a file.geojson")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if j, err = NewJudge(o); err != nil {
		t.Fatal(err)
	}
	var repeats Repeats
	var found []Judged
	err = Map(t.Context(), f, j.Item, func(item Item, one Judged) error {
		repeats.Add(item.Place, &one, FormOf(one.Shape))
		found = append(found, one)
		return nil
	})
	repeated := repeats.Problems(o.Rules)
	for i, one := range found {
		line := one.AltID
		for _, p := range append(append(one.Problems, repeated[i]...), f.Problems(o.Rules)...) {
			line += fmt.Sprintf(" %s:%s%s", p.Severity, p.Rule, p.Pointer)
			if p.Message == "" || p.Advice == "" {
				t.Errorf("%s says %q and advises %q", p.Rule, p.Message, p.Advice)
			}
		}
		lines = append(lines, line)
	}
	if err != nil {
		lines = append(lines, err.Error())
	}
	return lines, f, j
}

func TestJudge(t *testing.T) {
	dates := func(start, end string) string {
		return strings.NewReplacer("2026-01-01T00:00:00Z", start, "2027-01-01T00:00:00Z", end).Replace(one("a", 9))
	}
	in := func(old, new string) string { return strings.Replace(one("a", 9), old, new, 1) }
	plot := func(id string) string { return in(`"id":"a","properties":{`, `"properties":{"PLOT":`+id+`,`) }
	for _, c := range []struct {
		name, text string
		o          Options
		want       []string
	}{
		{"sound", collection("", one("a", 9), one("b", 9.1)), Options{}, []string{"a", "b"}},
		{"id by property", plot(`"N-40"`), Options{IDProperty: "PLOT"}, []string{"N-40"}},
		{"id by property, long", plot(`"` + strings.Repeat("x", 50) + `"`), Options{IDProperty: "PLOT"},
			[]string{strings.Repeat("x", 50) + " error:alt-id-long/properties/PLOT"}},
		{"name to be escaped", strings.Replace(plot(`null`), "PLOT", "a/b~c", 1), Options{IDProperty: "a/b~c"}, []string{" error:alt-id-missing/properties/a~1b~0c"}},
		{"one property says two things", plot(`"2026-06-01"`), Options{IDProperty: "PLOT", Start: "PLOT"}, []string{"2026-06-01 warning:time-zone/properties/PLOT"}},
		{"dates for all", in(`"start_at"`, `"x"`), Options{Start: "2026-02-01T00:00:00Z", End: "2026-03-01T00:00:00Z"}, []string{"a"}},
		{"numbers keep their digits", plot("12345678901234567890"), Options{IDProperty: "PLOT"}, []string{"12345678901234567890"}},
		{"a number with a point", plot("12324.0"), Options{IDProperty: "PLOT"}, []string{"12324.0 warning:alt-id-form/properties/PLOT"}},
		{"exact names", in(`"id":"a"`, `"ID":"x","Id":"y","id":"a","Properties":{},"GEOMETRY":null`), Options{}, []string{"a"}},
		{"last of equal names", in(`"id":"a"`, `"id":"x","id":"a"`), Options{}, []string{"a warning:repeated-member/id"}},
		{"last of equal properties", in(`"start_at"`, `"start_at":"2025-01-01T00:00:00Z","start_at"`), Options{}, []string{"a warning:repeated-member/properties/start_at"}},
		{"day and month", dates("01/04/2026", "30/09/2026"), Options{}, []string{"a error:time-syntax/properties/start_at error:time-syntax/properties/end_at"}},
		{"not UTF-8", in(`"a"`, "\"Gr\xf6n\""), Options{}, []string{" error:text/id"}},
		{"half a pair", in(`"a"`, `"a\ud83c"`), Options{}, []string{" error:text/id"}},
		{"a whole pair", in(`"a"`, `"a\ud83c\udf3e"`), Options{}, []string{"a🌾"}},
		{"not UTF-8 where it is not sent", in(`"start_at"`, "\"x\":\"Gr\xf6n\",\"start_at\""), Options{}, []string{"a"}},
		{"crs of the collection", collection(`"crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::25832"}},`, one("a", 9)), Options{}, []string{"a error:crs/crs"}},
		{"crs behind the features", strings.Replace(collection("", one("a", 9), one("b", 10)), "]}}]", `]}}],"crs":{"type":"EPSG","properties":{"code":3857}}`, 1), Options{}, []string{"a error:crs/crs", "b error:crs/crs"}},
		{"crs of a Feature", in(`"id":"a"`, `"id":"a","crs":{"type":"name","properties":{"name":"EPSG:3857"}}`), Options{}, []string{"a error:crs/crs"}},
		{"crs of a geometry", in(`"type":"Polygon"`, `"crs":{"type":"name","properties":{"name":"EPSG:3857"}},"type":"Polygon"`), Options{}, []string{"a error:crs/geometry/crs"}},
		{"crs allowed", in(`"id":"a"`, `"id":"a","crs":{"type":"name","properties":{"name":"EPSG:3857"}}`), Options{Rules: ledger.Rules{Allow: []ledger.Rule{ledger.RuleCRS}}}, []string{"a warning:crs/crs"}},
		{"an attribute twice", `{"tags":["x"],"tags":["y"],"feature_collection":` + collection("", one("a", 9)) + "}", Options{}, []string{"a warning:repeated-member/tags"}},
		{"crs twice", collection(`"crs":null,"crs":null,`, one("a", 9)), Options{}, []string{"a warning:repeated-member/crs"}},
		{"two collections, each with its crs", collection(`"crs":null,`, one("a", 9)) + collection(`"crs":null,`, one("b", 9)), Options{}, []string{"a", "b"}},
		{"twice the same", one("a", 9) + one("b", 9) + one("a", 9), Options{}, []string{"a error:repeated-feature", "b", "a error:repeated-feature"}},
		{"one id, two boundaries", one("a", 9) + one("a", 10) + one("a", 11), Options{}, []string{"a warning:repeated-alt-id", "a warning:repeated-alt-id", "a warning:repeated-alt-id"}},
		{"one id, two boundaries, one of them twice", one("a", 9) + one("a", 10) + one("a", 10), Options{},
			[]string{"a warning:repeated-alt-id", "a error:repeated-feature", "a error:repeated-feature"}},
		{"one id, another period", one("a", 9) + strings.Replace(one("a", 9), "2026-01", "2026-02", 1), Options{}, []string{"a", "a"}},
		{"turned and reversed", one("a", 9) + in(square(9), `{"type":"Polygon","coordinates":[[[9.01,48.01],[9.01,48],[9,48],[9,48.01],[9.01,48.01]]]}`), Options{},
			[]string{"a error:repeated-feature", "a warning:winding/geometry/coordinates/0 error:repeated-feature"}},
		{"bare geometry", square(9), Options{}, []string{" error:alt-id-missing/id error:time-missing/properties/start_at error:time-missing/properties/end_at"}},
		{"bare geometry alone", square(9), Options{Bare: true}, []string{""}},
		{"source", `{"alt_id":"a","start_at":"2026-01-01T00:00:00Z","end_at":"2026","geometry":` + square(9) + `}`, Options{}, []string{"a error:time-syntax/end_at"}},
		{"sources", strings.Repeat(`{"alt_id":"a","start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z","geometry":`+square(9)+"}\n", 2), Options{}, []string{"a", "a error:collection"}},
		{"no Feature", `{"x":1}`, Options{}, []string{" warning:feature-type/type error:alt-id-missing/id error:time-missing/properties/start_at error:time-missing/properties/end_at error:geometry-missing/geometry"}},
		{"a broken line", one("a", 9) + "\n{\"x\":]\n" + one("b", 9), Options{}, []string{"a", " error:json", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _, _ := judged(t, c.text, c.o); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
