package fields

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// FuzzFile holds that no file makes the reader or the judge panic, that it is
// read alike in whole and byte by byte, from a pipe and from a file, once and
// again, and that what is valid can be sent: its text is JSON in UTF-8, and stands
// in the file.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		collection("", one("a", 9), one("b", 10)), one("a", 9) + "\n" + one("b", 10), "\x1e" + one("a", 9) + "\n\x1e" + one("b", 10),
		`{"tags":["x"],"feature_collection":` + collection("", one("a", 9)) + `}`, square(9), "[" + one("a", 9) + "]",
		`{"alt_id":"a","start_at":"2026-01-01","end_at":"2027-01-01","geometry":` + square(9) + `}`,
		one("a", 9) + "\n{\"x\":\n" + one("b", 10), collection(`"crs":{"type":"name","properties":{"name":"EPSG:3857"}},`, one("a", 9)),
		"\ufeff{}", "{\"a\":NaN}", "\x1f\x8b", "PK\x03\x04", "<kml", "\xff\xfe", `{"features":[{"attributes":{},"geometry":{"rings":[]}}]}`,
	} {
		f.Add([]byte(text))
	}
	files, err := filepath.Glob("../../testdata/files/*.*json*")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		judge, err := NewJudge(Options{})
		if err != nil {
			t.Fatal(err)
		}
		var readings [][]string
		for pass := range 3 {
			in := strings.NewReader(string(text))
			file, err := Open(t.Context(), path, nil)
			switch pass {
			case 1:
				file.Close()
				file, err = Open(t.Context(), "-", in)
			case 2:
				file.Close()
				file, err = Open(t.Context(), "-", iotest.OneByteReader(in))
			}
			if err != nil {
				t.Fatal(err)
			}
			file.Name = "x"
			var found []string
			err = Map(t.Context(), file, judge.Item, func(item Item, one Judged) error {
				if item.Index != len(found) {
					t.Errorf("feature %d comes as %d", item.Index, len(found))
				}
				found = append(found, fmt.Sprint(item.Place, item.Err, one.AltID, one.Period, one.Problems))
				if item.Err != nil {
					return nil
				}
				again, err := file.At(item.Place)
				if err != nil || string(again) != string(item.Raw) {
					t.Errorf("%v reads as %q, %v, and was %q", item.Place, again, err, item.Raw)
				}
				second := judge.Item(Item{Place: item.Place, Kind: item.Kind, Raw: again})
				if !reflect.DeepEqual(one.Problems, second.Problems) {
					t.Errorf("judged again it is %v, and was %v", second.Problems, one.Problems)
				}
				if !json.Valid(item.Raw) {
					t.Errorf("no JSON: %q", item.Raw)
				}
				if !one.Invalid() && (!utf8.ValidString(one.AltID) || one.AltID == "" || !utf8.Valid(one.Geometry) || !json.Valid(one.Geometry) ||
					!strings.Contains(string(item.Raw), string(one.Geometry))) {
					t.Errorf("it cannot be sent: %q, %s", one.AltID, one.Geometry)
				}
				return nil
			})
			if err != nil && !errors.Is(err, ErrInput) {
				t.Fatal(err)
			}
			readings = append(readings, append(found, fmt.Sprint(err, file.Problems(Options{}.Rules), len(file.shared))))
			file.Close()
		}
		if !reflect.DeepEqual(readings[0], readings[1]) || !reflect.DeepEqual(readings[0], readings[2]) {
			t.Errorf("from a file:\n%s\nfrom a pipe:\n%s\nbyte by byte:\n%s", strings.Join(readings[0], "\n"), strings.Join(readings[1], "\n"), strings.Join(readings[2], "\n"))
		}
	})
}
