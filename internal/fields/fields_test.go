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
		err = f.Each(func(item Item) error {
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
		for name, value := range f.Shared() {
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
		{"cut short", `{"type":"FeatureCollection","features":[{"a":1},`, "0 1:41 0 {\"a\":1}\nstdin:1:49: the JSON is cut short"},
		{"comma at the end", `{"features":[{"a":1},]}`, "0 1:14 0 {\"a\":1}\nstdin:1:22: not JSON: unexpected ']'; reading ended there, and the rest was not looked at"},
		{"something behind", collection("") + "x", "stdin:1:43: not JSON: unexpected 'x'; reading ended there, and the rest was not looked at"},
		{"other type", `{"type":"Feature","features":[{"a":1}]}`, `0 1:1 0 {"type":"Feature","features":[{"a":1}]}`},
		{"no type", `{"features":[{"a":1}]}`, "0 1:14 0 {\"a\":1}\n" + `stdin:1:22: the type of an object with features is "", not "FeatureCollection"`},
		{"no features", `{"type":"FeatureCollection"}`, `stdin:1:28: a FeatureCollection without an array of features`},
		{"features twice", `{"features":[],"features":[],"type":"FeatureCollection"}`, `stdin:1:27: the collection has two members named features; reading ended there, and the rest was not looked at`},

		{"a broken line", "{\"a\":1}\n{\"b\":}\n{\"c\":3}", "0 1:1 0 {\"a\":1}\n1 2:6 0 not JSON: unexpected '}'\n2 3:1 0 {\"c\":3}"},
		{"the first line", "{\"a\":1\n{\"b\":2}\n{\"c\":3}", "0 1:1 0 the line ends before its JSON does\n1 2:1 0 {\"b\":2}\n2 3:1 0 {\"c\":3}"},
		{"a line cut short", "{\"a\":1}\n{\"b\":\n{\"c\":3}\n{\"d\":4}", "0 1:1 0 {\"a\":1}\n1 2:1 0 the line ends before its JSON does\n2 3:1 0 {\"c\":3}\n3 4:1 0 {\"d\":4}"},
		{"the last line", "{\"a\":1}\n{\"b\":", "0 1:1 0 {\"a\":1}\n1 2:6 0 the JSON is cut short"},
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
	err = f.Judge(t.Context(), j, func(item Item, one Judged) error {
		var form Form
		if one.Shape != nil {
			form = FormOf(one.Shape)
		}
		repeats.Add(item.Line, &one, form)
		found = append(found, one)
		return nil
	})
	for i, one := range found {
		line := one.AltID
		for _, p := range append(append(one.Problems, repeats.Problems(i, o.Rules)...), f.Problems(o.Rules)...) {
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

var _ = ledger.Rules{}
