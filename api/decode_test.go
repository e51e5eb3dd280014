package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meti-go/meti/gen"
)

// sourceFiles gives the texts of testdata/source.
func sourceFiles(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("../testdata/source/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no testdata/source: %v", err)
	}
	files := make(map[string][]byte, len(names))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = data
	}
	return files
}

// sourceList is the texts of testdata/source as one array.
func sourceList(t testing.TB) []byte {
	var list [][]byte
	for _, data := range sourceFiles(t) {
		list = append(list, data)
	}
	return append(append([]byte("[\n"), bytes.Join(list, []byte(" ,\n"))...), ']')
}

// TestFieldsAreThoseOfTheSpec holds the decoder's table equal to gen.Source,
// which is generated from openapi.yaml.
func TestFieldsAreThoseOfTheSpec(t *testing.T) {
	var want []string
	for i := range reflect.TypeFor[gen.Source]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[gen.Source]().Field(i).Tag.Get("json"), ",")
		if name != "-" {
			want = append(want, name)
		}
	}
	var got []string
	for _, f := range fields {
		got = append(got, f.name)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the table has %v, and gen.Source %v", got, want)
	}
	if len(fields) > maxFields {
		t.Errorf("%d fields, more than a bit each", len(fields))
	}
}

// TestFieldsReachTheirOwn sets one field of gen.Source after another, and
// expects the table to write and read that field and no other.
func TestFieldsReachTheirOwn(t *testing.T) {
	for name, data := range sourceFiles(t) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatal(err)
		}
		for member, value := range members {
			alone := fmt.Appendf(nil, "{%q:%s}", member, value)
			differ(t, name+" "+member, alone)
		}
	}
}

// differ decodes a source with this package and with gen and encoding/json,
// and reports where the two differ. What is meant to differ:
//
//   - null for a boundary is nil, not the text "null";
//   - a whole number may be written 2026.0;
//   - null is no source;
//   - where a member comes twice, both must be sound.
func differ(t testing.TB, name string, data []byte) {
	t.Helper()
	var theirs gen.Source
	theirErr := json.Unmarshal(data, &theirs)
	ours, err := readSource(bytes.NewReader(data))

	if drip, dripErr := readSource(iotest.OneByteReader(bytes.NewReader(data))); !reflect.DeepEqual(drip, ours) || fmt.Sprint(dripErr) != fmt.Sprint(err) {
		t.Errorf("%s: byte by byte %+v %v, at once %+v %v\n%q", name, drip, dripErr, ours, err, data)
	}
	if err != nil {
		if theirErr == nil && !membersRepeat(data) && string(bytes.TrimSpace(data)) != "null" {
			t.Errorf("%s: %v, and encoding/json has no error\n%q", name, err, data)
		}
		// A value of the wrong kind may stand before what breaks the JSON.
		if json.Valid(data) && !strings.Contains(err.Error(), "should be") {
			t.Errorf("%s: json.Valid says %v, and we %v\n%q", name, json.Valid(data), err, data)
		}
		return
	}
	if theirErr != nil {
		if ours.OutcomeReportingYear == nil || !strings.Contains(theirErr.Error(), "outcome_reporting_year") {
			t.Errorf("%s: no error, and encoding/json %v\n%q", name, theirErr, data)
		}
		return
	}
	for _, raw := range []*json.RawMessage{&theirs.Geometry, &theirs.Geojson} {
		if string(*raw) == "null" {
			*raw = nil
		}
	}
	// Two times are equal that mean the same; their zones are both UTC.
	if got, want := dump(&ours.Source), dump(&theirs); got != want {
		t.Errorf("%s\ngot  %s\nwant %s\n%q", name, got, want, data)
	}

	// What was decoded is written so that both read it back.
	text, err := ours.MarshalJSON()
	if err != nil {
		return // a year that RFC 3339 cannot write
	}
	var again Source
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatalf("%s: written as %s, which is not read: %v", name, text, err)
	}
	second, err := again.MarshalJSON()
	if err != nil || !bytes.Equal(second, text) {
		t.Errorf("%s: written as %s, then as %s (%v)", name, text, second, err)
	}
	if !json.Valid(text) {
		t.Errorf("%s: written as %s, which is not JSON", name, text)
	}
}

// dump writes every field, with the kinds of nothing told apart.
func dump(source *gen.Source) string {
	var b strings.Builder
	v := reflect.ValueOf(source).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		fmt.Fprintf(&b, "%s:", v.Type().Field(i).Name)
		switch {
		case f.Kind() == reflect.Pointer && !f.IsNil():
			f = f.Elem()
		case f.Kind() == reflect.Pointer || f.Kind() == reflect.Slice && f.IsNil():
			b.WriteString("nil ")
			continue
		}
		fmt.Fprintf(&b, "%#v ", f.Interface())
	}
	return b.String()
}

// membersRepeat reports whether an object has a member twice.
func membersRepeat(data []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if t, err := decoder.Token(); t != json.Delim('{') || err != nil {
		return false
	}
	seen := map[json.Token]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || seen[name] || decoder.Decode(&value) != nil {
			return err == nil && seen[name]
		}
		seen[name] = true
	}
	return false
}

func FuzzSource(f *testing.F) {
	for _, data := range sourceFiles(f) {
		f.Add(data)
	}
	for _, text := range []string{
		``, ` `, `null`, `[]`, `{}`, ` { } `, `{,}`, `{"id"}`, `{"id":}`, `{"id":"a",}`, `{"id":"a"}x`, `{"id":"a"`, `{"id":"a`, `{"id":"\`, `{"id":"\u12`,
		`{"id":"a","id":null}`, `{"id":1}`, `{"tags":["a"],"tags":null}`, `{"tags":null,"tags":["a"]}`, `{"tags":["a",null]}`, `{"tags":[null`, `{"tags":["a" "b"]}`,
		`{"tags":{}}`, `{"tags":"a"}`, `{"tags":[1]}`, `{"conflict":"true"}`, `{"conflict":truE}`, `{"conflict":nul}`, `{"percent_overlap":NaN}`, `{"percent_overlap":-0}`,
		`{"percent_overlap":1e999}`, `{"percent_overlap":01}`, `{"percent_overlap":1.}`, `{"percent_overlap":.5}`, `{"percent_overlap":"0.5"}`, `{"hectares":"12"}`,
		`{"hectares":"NaN"}`, `{"hectares":"ha"}`, `{"hectares":-1E-7}`, `{"hectares":[]}`, `{"outcome_reporting_year":2026.0}`, `{"outcome_reporting_year":2026.5}`,
		`{"outcome_reporting_year":1e400}`, `{"outcome_reporting_year":-0}`, `{"start_at":1}`, `{"start_at":"2026-02-30"}`, `{"start_at":"2026-01-01T24:00:00Z"}`,
		`{"start_at":"2026-01-01T00:00:00,5Z"}`, `{"start_at":"0000-01-01T00:00:00+23:59"}`, `{"x":{"y":[[[[1,2],[3,4]]]]}}`, `{"x":[1,2,]}`, `{"x":[[1,2],[3,]]}`, `{"x":[[1,2],[3,4] ,[5,6,7], [8, 9]]}`,
		"{\"id\":\"\xff\"}", "{\"id\":\"12345\xff78, 12345678\"}", "{\"\xff\":1}", "{\"id\":\"\x01\"}", "{\"id\":\"é\"}", "\ufeff{}", `{"geometry":null,"geojson":"{}"}`, `{"":1}`, `{"x":1,"x":2}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { differ(t, "fuzz", data) })
}

// FuzzSources cuts a list into pieces of every size, and expects what
// encoding/json makes of the whole.
func FuzzSources(f *testing.F) {
	f.Add(sourceList(f), uint64(1))
	for _, text := range []string{``, `null`, `nul`, `nulls`, `[]`, `[`, `[ ] `, `[] x`, `[null]`, `[{}]`, `[{},]`, `[,{}]`, `[{} {}]`, `[{}]]`, `{}`, `[1]`, `"x"`, `[{},{`, `[{},{"id":"a"}`} {
		f.Add([]byte(text), uint64(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		var theirs []json.RawMessage
		theirErr := json.Unmarshal(data, &theirs)
		random := rand.New(rand.NewPCG(seed, seed))
		var ours []*Source
		err := streamSources(&piecewise{data: data, random: random}, func(source *Source) error {
			ours = append(ours, source)
			return nil
		})
		if theirErr != nil && err == nil {
			t.Errorf("no error, and encoding/json %v\n%q", theirErr, data)
		}
		if json.Valid(data) && err != nil && (errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "broken")) {
			t.Errorf("%v, and json.Valid is true\n%q", err, data)
		}
		if err == nil && len(ours) != len(theirs) {
			t.Errorf("%d sources, and encoding/json has %d\n%q", len(ours), len(theirs), data)
		}
		for i := range min(len(ours), len(theirs)) {
			alone, err := readSource(bytes.NewReader(theirs[i]))
			if err != nil || !reflect.DeepEqual(alone, ours[i]) {
				t.Errorf("source %d: %+v, and alone %+v (%v)", i, ours[i], alone, err)
			}
		}
	})
}

// piecewise reads in pieces of random sizes, sometimes of none.
type piecewise struct {
	data   []byte
	random *rand.Rand
}

func (r *piecewise) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), r.random.IntN(1<<r.random.IntN(12)))], r.data)
	if r.data = r.data[n:]; len(r.data) == 0 && r.random.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// FuzzJSON holds the grammar equal to encoding/json's.
func FuzzJSON(f *testing.F) {
	f.Add(sourceList(f))
	for _, text := range []string{
		`0`, `-`, `-0`, `00`, `-01`, `1.`, `1.0`, `1e`, `1e+`, `1e+5`, `1E-05`, `+1`, `.1`, `123456789`, `1234567890123456`, `1234567:`, `"`, `"a`, `"12345678"`, `"1234567\"`, `"\u12G4"`, `"\x"`,
		"\"\x1f\"", "\"\x7f\"", "\"\xff\"", "\"12345\x00678\"", `[[1,2],[3,4]]`, `[[1, 2], [3,4]]`, `[[1 ,2]]`, `[[-1.5e3,2],[3]]`, `[[1,2],]`, `[[1,2]`, `[[1,2],[`, `[[1,`, `[[01,2]]`, `[[1,02]]`,
		`true`, `tru`, `nulll`, `{"a":[{"b":{}}]}`, `{"a" : 1 , "b":2 }`, `{a:1}`, `{"a":1 "b":2}`, " \t\r\n1", "\v1", `[1]]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := checkJSON(data); (err == nil) != json.Valid(data) {
			t.Errorf("json.Valid says %v, and we %v\n%q", json.Valid(data), err, data)
		}
	})
}

// TestDeepNesting expects deep answers to be read or refused, not to overflow.
func TestDeepNesting(t *testing.T) {
	for _, brackets := range []string{"[]", "{}"} {
		for _, depth := range []int{9_000, 10_002, 1_000_000} {
			opening, closing := brackets[:1], brackets[1:]
			if opening == "{" {
				opening = `{"a":`
			}
			text := []byte(`{"x":` + strings.Repeat(opening, depth) + "1" + strings.Repeat(closing, depth) + "}")
			var theirs gen.Source
			theirErr := json.Unmarshal(text, &theirs)
			ours, err := readSource(bytes.NewReader(text))
			if (err == nil) != (theirErr == nil) {
				t.Errorf("%d %s: %v, and encoding/json %v", depth, brackets, err, theirErr)
			}
			if err == nil && len(ours.AdditionalProperties["x"]) != len(text)-6 {
				t.Errorf("%d %s: not kept", depth, brackets)
			}
		}
	}
}

// TestBrokenAnswer cuts and damages a list at every byte.
func TestBrokenAnswer(t *testing.T) {
	list := sourceList(t)
	for end := range list {
		if _, err := readSources(bytes.NewReader(list[:end])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d bytes: %v", end, err)
		}
		broken := errors.New("connection reset")
		if _, err := readSources(io.MultiReader(bytes.NewReader(list[:end]), iotest.ErrReader(broken))); err != broken {
			t.Fatalf("connection broken after %d bytes: %v", end, err)
		}
	}
	// What came together with the error counts first.
	n := 0
	broken := errors.New("connection reset")
	err := streamSources(iotest.DataErrReader(io.MultiReader(bytes.NewReader(list[:len(list)-1]), iotest.ErrReader(broken))), func(*Source) error { n++; return nil })
	if err != broken || n != len(sourceFiles(t)) {
		t.Errorf("%d sources, %v", n, err)
	}
	const damage = "\x00\",:}]x\\\xff"
	for i := range list {
		damaged := bytes.Clone(list)
		damaged[i] = damage[i%len(damage)]
		_, err := readSources(bytes.NewReader(damaged))
		said := err != nil && (strings.Contains(err.Error(), "broken JSON") || errors.Is(err, io.ErrUnexpectedEOF))
		if json.Valid(damaged) == said {
			// What comes first counts: a value of the wrong kind may stand before the damage.
			if err == nil || !strings.Contains(err.Error(), "should be") {
				t.Fatalf("byte %d turned into %q: %v, and json.Valid says %v", i, damaged[i], err, json.Valid(damaged))
			}
		}
	}
}

// TestWrongKinds expects an error that says where.
func TestWrongKinds(t *testing.T) {
	for _, f := range fields {
		if f.name == "geometry" || f.name == "geojson" {
			continue // kept as they are, whatever they are
		}
		for _, value := range []string{`{"a":1}`, `[[]]`, `[1]`} {
			list := `[{"id":"src_1"},{"id":"src_2","` + f.name + `":` + value + `}]`
			_, err := readSources(strings.NewReader(list))
			if err == nil || !strings.Contains(err.Error(), "source 2 of the answer") || !strings.Contains(err.Error(), f.name) {
				t.Errorf("%s: %v", list, err)
			}
			if f.name != "id" && !strings.Contains(err.Error(), "src_2") {
				t.Errorf("%s: %v", list, err)
			}
		}
	}
	for _, text := range []string{`{"sources":[]}`, `"x"`, `1`, `[1]`, `["x"]`, `[null]`} {
		if _, err := readSources(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "should be") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestIsNull tells null, absent and empty apart.
func TestIsNull(t *testing.T) {
	const text = `{"id":"a","alt_id":null,"tags":[],"country":null,"geometry":null,"pa_name":"","wdpaid":"1","wdpaid":null,"steward_id":null,"steward_id":"s","end_at":null}`
	var s Source
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"alt_id": true, "tags": false, "country": true, "geometry": true, "geojson": false, "pa_name": false, "wdpaid": true, "steward_id": false, "end_at": true, "start_at": false, "nonsense": false} {
		if s.IsNull(name) != want {
			t.Errorf("IsNull(%q) = %v", name, !want)
		}
	}
	if s.Tags == nil || s.Country != nil || s.Geometry != nil || s.WDPAID != nil || *s.PaName != "" || *s.StewardID != "s" {
		t.Errorf("%+v", s)
	}
	const want = `{"alt_id":"","country":null,"end_at":null,"geometry":null,"id":"a","pa_name":"","steward_id":"s","tags":[],"wdpaid":null}`
	if got, err := json.Marshal(s); err != nil || string(got) != want {
		t.Errorf("%s %v\nwant %s", got, err, want)
	}
	before := s
	if err := json.Unmarshal([]byte("null"), &s); err != nil || !reflect.DeepEqual(s, before) {
		t.Errorf("null changed it: %v", err)
	}
}

// TestUnknownValues expects enumerations to be open.
func TestUnknownValues(t *testing.T) {
	var s Source
	if err := json.Unmarshal(sourceFiles(t)["enums.json"], &s); err != nil {
		t.Fatal(err)
	}
	if *s.Methodology != "ZZZ" || *s.SourceType != "ZZZ" || *s.GeometrySource != "ZZZ" || s.AttributeType[0] != "ZZZ" || s.Methodology.Known() || s.AttributeType[0].Known() {
		t.Errorf("%+v", s)
	}
}

// TestRoundTripKeepsEveryMember decodes and encodes, and compares member by
// member with what came, number literals as texts.
func TestRoundTripKeepsEveryMember(t *testing.T) {
	for name, data := range sourceFiles(t) {
		var source Source
		if err := json.Unmarshal(data, &source); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := source.MarshalJSON()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var came, went map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(data, &came), json.Unmarshal(text, &went)); err != nil {
			t.Fatal(err)
		}
		for member, value := range came {
			lenient := strings.HasSuffix(member, "_at") || member == "hectares" && value[0] == '"'
			_, known := fieldIndex[member]
			_, there := went[member]
			switch {
			case !there:
				if name != "odd-dates.json" {
					t.Errorf("%s: %s is lost", name, member)
				}
			case lenient: // written strictly
			case known && member != "geometry" && member != "geojson":
				var a, b any
				if err := errors.Join(json.Unmarshal(value, &a), json.Unmarshal(went[member], &b)); err != nil || !reflect.DeepEqual(a, b) {
					t.Errorf("%s: %s came as %s and went as %s", name, member, value, went[member])
				}
			case !bytes.Equal(went[member], value):
				t.Errorf("%s: %s came as %s and went as %s", name, member, value, went[member])
			}
		}
		if len(went) > len(came) {
			t.Errorf("%s: members were added: %s", name, text)
		}
	}
}

// TestKeptSourceIsItsOwn scribbles over the decoder's buffers, and expects the
// decoded sources to be as they were.
func TestKeptSourceIsItsOwn(t *testing.T) {
	list := sourceList(t)
	d := newDecoder(bytes.NewReader(list))
	if err := d.whole((*decoder).open); err != nil {
		t.Fatal(err)
	}
	var kept []*Source
	var before []string
	for {
		if err := d.whole((*decoder).element); err != nil {
			t.Fatal(err)
		}
		if d.closed {
			break
		}
		d.count++
		kept = append(kept, d.source)
		before = append(before, dump(&d.source.Source))
	}
	for _, buffer := range [][]byte{d.buf[:cap(d.buf)], d.plain[:cap(d.plain)]} {
		for i := range buffer {
			buffer[i] = 'x'
		}
	}
	for i, source := range kept {
		if after := dump(&source.Source); after != before[i] {
			t.Errorf("was  %s\nis now %s", before[i], after)
		}
		if cap(source.Geometry) > 2*len(source.Geometry) {
			t.Errorf("%d bytes of geometry keep %d", len(source.Geometry), cap(source.Geometry))
		}
	}
}

// TestHugeSource reads a source many times the size of the buffer, and then
// small ones.
func TestHugeSource(t *testing.T) {
	var list bytes.Buffer
	list.WriteString(`[{"id":"small"},{"id":"huge","geometry":{"type":"Polygon","coordinates":[[`)
	for i := range 200_000 {
		if i > 0 {
			list.WriteByte(',')
		}
		fmt.Fprintf(&list, "[%d.5,%d]", i%180, i%90)
	}
	list.WriteString(`]]}},{"id":"small again"}]`)
	sources, err := readSources(iotest.HalfReader(&list))
	if err != nil || len(sources) != 3 || sources[2].ID != "small again" {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	if d := newDecoder(nil); cap(d.buf) != bufferSize {
		t.Errorf("a huge source is remembered by a buffer of %d bytes", cap(d.buf))
	}
}

// TestNeighboursStandApart changes what one source holds in every way that there
// is, and expects the sources read before and after it to be as they were.
func TestNeighboursStandApart(t *testing.T) {
	one := bytes.TrimSpace(sourceFiles(t)["full.json"])
	sources, err := readSources(strings.NewReader("[" + strings.Repeat(string(one)+",", 20) + string(one) + "]"))
	if err != nil {
		t.Fatal(err)
	}
	want := dump(&sources[0].Source)
	scribble := reflect.ValueOf(&sources[10].Source).Elem()
	for i := range scribble.NumField() {
		switch field := scribble.Field(i); field.Kind() {
		case reflect.Pointer:
			if !field.IsNil() {
				field.Elem().SetZero()
			}
		case reflect.Slice:
			_ = reflect.Append(field, reflect.Zero(field.Type().Elem()))
			for j := range field.Len() {
				field.Index(j).SetZero()
			}
		}
	}
	for i, source := range sources {
		if got := dump(&source.Source); i != 10 && got != want {
			t.Fatalf("source %d is\n%s\nand was\n%s", i, got, want)
		}
	}
}

// TestAllocations counts them; no time is asserted.
func TestAllocations(t *testing.T) {
	one := bytes.TrimSpace(sourceFiles(t)["full.json"])
	const n = 500
	list := []byte("[" + strings.TrimSuffix(strings.Repeat(string(one)+",", n), ",") + "]")
	total := testing.AllocsPerRun(10, func() {
		if err := streamSources(bytes.NewReader(list), func(*Source) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
	if each := total / n; each > 20 {
		t.Errorf("%.1f allocations a source", each)
	}
}
