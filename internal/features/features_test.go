package features

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// read collects the items as "index type line raw", and the errors.
func read(t *testing.T, in io.Reader, text string) (items []string, errs []error) {
	t.Helper()
	for item, err := range NewReader(in).All() {
		if err != nil {
			errs = append(errs, err)
			if len(errs) > 100 {
				t.Fatal("no end of errors")
			}
			continue
		}
		if got := text[item.Offset:][:len(item.Raw)]; got != string(item.Raw) {
			t.Fatalf("item %d: %q stands at offset %d, not %q", item.Index, got, item.Offset, item.Raw)
		}
		if line := 1 + strings.Count(text[:item.Offset], "\n"); line != item.Line {
			t.Fatalf("item %d at offset %d is on line %d, not %d", item.Index, item.Offset, line, item.Line)
		}
		if !json.Valid(item.Raw) {
			t.Fatalf("item %d is not JSON: %q", item.Index, item.Raw)
		}
		items = append(items, fmt.Sprintf("%d %s %d %s", item.Index, item.Type, item.Line, item.Raw))
	}
	return items, errs
}

var shapes = []struct {
	name, in string
	items    []string
	errs     []string
}{
	{"collection", `{"type":"FeatureCollection","features":[{"id":"a"}, {"id":"b"}]}`,
		[]string{`0 Feature 1 {"id":"a"}`, `1 Feature 1 {"id":"b"}`}, nil},
	{"type last", "{\"crs\": null,\r\n \"features\" :\r\n [\r\n{\"id\":\"a\"}\r\n,\r\n{\"id\":\"b\"}],\r\n\"type\":\"FeatureCollection\"}\r\n",
		[]string{`0 Feature 4 {"id":"a"}`, `1 Feature 6 {"id":"b"}`}, nil},
	{"byte order mark", "\ufeff{\"type\":\"Feature\"}", []string{`0 Feature 1 {"type":"Feature"}`}, nil},
	{"geometry", "\n\n{\"coordinates\":[1,2],\"type\":\"Point\"}\n", []string{`0 Point 3 {"coordinates":[1,2],"type":"Point"}`}, nil},
	{"lines", "{\"type\":\"Feature\"}\r\n\r\n{\"type\":\"Polygon\"}\n{\"id\":3}",
		[]string{`0 Feature 1 {"type":"Feature"}`, `1 Polygon 3 {"type":"Polygon"}`, `2  4 {"id":3}`}, nil},
	{"a collection a line", "{\"type\":\"Feature\"}\n{\"type\":\"FeatureCollection\",\"features\":[{\"id\":1},\t{\"id\":2}]}\n{\"type\":\"Feature\"}\n",
		[]string{`0 Feature 1 {"type":"Feature"}`, `1 Feature 2 {"id":1}`, `2 Feature 2 {"id":2}`, `3 Feature 3 {"type":"Feature"}`}, nil},
	{"two collections", `{"type":"FeatureCollection","features":[1]}{"type":"FeatureCollection","features":[2]}`,
		[]string{`0 Feature 1 1`, `1 Feature 1 2`}, nil},
	{"array", `[{"type":"Feature"},{"id":"src_1"}]`, []string{`0 Feature 1 {"type":"Feature"}`, `1  1 {"id":"src_1"}`}, nil},
	{"feature with features", `{"type":"Feature","features":[1]}`, []string{`0 Feature 1 {"type":"Feature","features":[1]}`}, nil},
	{"no features", `{"type":"FeatureCollection","features":[]}`, nil, nil},

	{"broken line", "{\"type\":\"Feature\"}\n{\"type\":\"Feat\n{\"id\":3}\n",
		[]string{`0 Feature 1 {"type":"Feature"}`, `2  3 {"id":3}`}, []string{"line 2, feature 1: not JSON"}},
	{"unclosed line", "{\"id\":0}\n{\"a\":[\n{\"id\":2}\n{\"id\":3}\n",
		[]string{`0  1 {"id":0}`, `2  3 {"id":2}`, `3  4 {"id":3}`}, []string{"line 2, feature 1: not JSON"}},
	{"broken word", "{}\n\x00\n{}\n", []string{`0  1 {}`, `2  3 {}`}, []string{"line 2, feature 1: not JSON"}},
	{"last line cut", "{\"id\":0}\n{\"a\":", []string{`0  1 {"id":0}`}, []string{"line 2, feature 1: the input ends in the middle"}},
	{"collection cut", `{"type":"FeatureCollection","features":[{"id":"a"},{"id":`,
		[]string{`0 Feature 1 {"id":"a"}`}, []string{"line 1, feature 1: the input ends in the middle"}},
	{"broken feature", "{\"type\":\"FeatureCollection\",\"features\":[{\"id\":\"a\"},\n{\"id\":\n01}]}",
		[]string{`0 Feature 1 {"id":"a"}`}, []string{"line 3, feature 1: not JSON: invalid character '1'"}},
	{"empty", " \n", nil, []string{"the input is empty"}},
	{"other type", `{"features":[{"id":"a"}],"type":"Topology"}`,
		[]string{`0 Feature 1 {"id":"a"}`}, []string{`the type "Topology", not "FeatureCollection"`}},
	{"features twice", `{"type":"FeatureCollection","features":[1],"features":[2]}`, []string{`0 Feature 1 1`}, []string{"two members named features"}},
	{"features an object", `{"type":"FeatureCollection","features":{}}`, nil, []string{"features is not an array"}},
	{"features missing", `{"type":"FeatureCollection"}`, nil, []string{"without features"}},
	{"rest", `{"type":"FeatureCollection","features":[1]} ]`, []string{`0 Feature 1 1`}, []string{"not JSON"}},
	{"html", "<html>", nil, []string{"line 1, feature 0: not JSON: invalid character '<'"}},
}

func TestShapes(t *testing.T) {
	for _, shape := range shapes {
		for _, way := range []struct {
			name string
			wrap func(io.Reader) io.Reader
		}{{"whole", func(r io.Reader) io.Reader { return r }}, {"bytewise", iotest.OneByteReader}} {
			t.Run(shape.name+"/"+way.name, func(t *testing.T) {
				items, errs := read(t, way.wrap(strings.NewReader(shape.in)), shape.in)
				if fmt.Sprint(items) != fmt.Sprint(shape.items) {
					t.Errorf("items\n got %q\nwant %q", items, shape.items)
				}
				if len(errs) != len(shape.errs) {
					t.Fatalf("errors %q, want %q", errs, shape.errs)
				}
				for i, err := range errs {
					if !strings.Contains(err.Error(), shape.errs[i]) {
						t.Errorf("error %q, want %q in it", err, shape.errs[i])
					}
				}
			})
		}
	}
}

// Many broken lines: each is reported, none of the good ones is lost.
func TestBrokenLines(t *testing.T) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "{\"id\":%d}\n{\"id\":%d,}\n", i, i)
	}
	good, bad := 0, 0
	for item, err := range NewReader(strings.NewReader(text.String())).All() {
		var e *Error
		switch {
		case err == nil && string(item.Raw) == fmt.Sprintf(`{"id":%d}`, good) && item.Index == 2*good && item.Line == 2*good+1:
			good++
		case errors.As(err, &e) && e.Index == 2*bad+1 && e.Line == 2*bad+2:
			bad++
		default:
			t.Fatalf("after %d good and %d broken ones: %+v %v", good, bad, item, err)
		}
	}
	if good != 20_000 || bad != 20_000 {
		t.Errorf("%d good and %d broken ones", good, bad)
	}
}

// A beginning too long to tell what it is changes nothing.
func TestLongBeginning(t *testing.T) {
	name := strings.Repeat("x", 200<<10)
	for _, text := range []string{
		`{"name":"` + name + `","features":[{"id":"a"}],"type":"FeatureCollection"}`,
		`{"name":"` + name + `","type":"FeatureCollection","features":[{"id":"a"}]}`,
	} {
		items, errs := read(t, strings.NewReader(text), text)
		if len(errs) > 0 || len(items) != 1 || items[0] != `0 Feature 1 {"id":"a"}` {
			t.Errorf("got %q, %v", items, errs)
		}
	}
}

func TestMembers(t *testing.T) {
	r := NewReader(strings.NewReader(`{"type":"FeatureCollection","crs":{"a":1},"features":[],"name":"n"}`))
	var got []string
	r.Member = func(name string, value []byte) { got = append(got, name+"="+string(value)) }
	for _, err := range r.All() {
		t.Error(err)
	}
	if fmt.Sprint(got) != `[crs={"a":1} name="n"]` {
		t.Errorf("members %q", got)
	}
}

func TestTooLarge(t *testing.T) {
	for _, text := range []string{
		`{"type":"FeatureCollection","features":[{"id":1},{"id":"` + strings.Repeat("x", 1<<20) + `"}]}`,
		"{\"id\":1}\n{\"id\":\"" + strings.Repeat("x", 1<<20) + "\"}\n",
	} {
		r := NewReader(strings.NewReader(text))
		r.MaxSize = 100 << 10
		count, last := 0, error(nil)
		for _, err := range r.All() {
			if last = err; err == nil {
				count++
			}
		}
		if count != 1 || !errors.Is(last, ErrTooLarge) {
			t.Errorf("%d features, then %v", count, last)
		}
	}
}

// The size is that of one feature, not of all.
func TestManySmall(t *testing.T) {
	one := `{"id":"` + strings.Repeat("x", 1000) + `"}`
	for _, text := range []string{
		`{"type":"FeatureCollection","features":[` + strings.Repeat(one+",", 999) + one + `]}`,
		strings.Repeat(one+"\n", 1000),
	} {
		r := NewReader(strings.NewReader(text))
		r.MaxSize = 100 << 10
		count := 0
		for _, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
			count++
		}
		if count != 1000 {
			t.Errorf("%d features", count)
		}
	}
}

func TestReadErrorIsKept(t *testing.T) {
	broken := errors.New("the disk is on fire")
	in := io.MultiReader(strings.NewReader("{\"id\":1}\n{\"id\":"), iotest.ErrReader(broken))
	var last error
	for _, err := range NewReader(in).All() {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Errorf("got %v", last)
	}
}

// A hundred thousand features pass through in the memory of a few.
func TestFlatMemory(t *testing.T) {
	feature := `{"type":"Feature","id":"f","geometry":{"type":"Polygon","coordinates":[[` + strings.Repeat("[1.25,2.5],", 90) + `[1,2]]]}}`
	for _, form := range []struct{ name, head, between, tail string }{
		{"collection", `{"type":"FeatureCollection","features":[`, ",", "]}"},
		{"lines", "", "\n", "\n"},
	} {
		t.Run(form.name, func(t *testing.T) {
			const n = 20_000
			pr, pw := io.Pipe()
			defer pr.Close()
			go func() {
				_, _ = io.WriteString(pw, form.head)
				for i := range n {
					if i > 0 {
						_, _ = io.WriteString(pw, form.between)
					}
					_, _ = io.WriteString(pw, feature)
				}
				_, _ = io.WriteString(pw, form.tail)
				pw.Close()
			}()
			count := 0
			var most uint64
			var m runtime.MemStats
			for _, err := range NewReader(pr).All() {
				if err != nil {
					t.Fatal(err)
				}
				if count++; count%5000 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
			}
			if count != n || most > 8<<20 {
				t.Errorf("%d features, %d bytes of heap in use", count, most)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	for _, shape := range shapes {
		f.Add([]byte(shape.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 2048 {
			return // read checks each item against the whole
		}
		text := string(in)
		items, errs := read(t, bytes.NewReader(in), text)
		slow, slowErrs := read(t, iotest.OneByteReader(bytes.NewReader(in)), text)
		if fmt.Sprint(items, errs) != fmt.Sprint(slow, slowErrs) {
			t.Fatalf("read whole: %q %v\nbyte by byte: %q %v", items, errs, slow, slowErrs)
		}
		// What encoding/json calls one collection holds the same features.
		var whole struct {
			Type     string            `json:"type"`
			Features []json.RawMessage `json:"features"`
		}
		keys := strings.Count(strings.ToLower(text), "features\"")
		if keys == 1 && !strings.Contains(text, `\`) && json.Unmarshal(in, &whole) == nil &&
			whole.Type == "FeatureCollection" && whole.Features != nil && strings.Count(text, `"type"`) == 1 && strings.Contains(text, `"features"`) &&
			len(text) > 0 && text[0] == '{' && len(items) != len(whole.Features) {
			t.Fatalf("%d features (%v), encoding/json finds %d", len(items), errs, len(whole.Features))
		}
	})
}
