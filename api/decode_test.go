package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/wire"
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

// TestFieldsReachTheirOwn sets one field of gen.Source after another, and
// expects that field and no other to be written and read.
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

// judge reads a source by encoding/json: a loop over the members, each given to
// the field that has its name in its tag. It knows nothing of internal/scan, and
// is nil where the text is no JSON object.
func judge(t testing.TB, data []byte) *gen.Source {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); !json.Valid(data) || start != json.Delim('{') || err != nil {
		return nil
	}
	source := new(gen.Source)
	fields := map[string]reflect.Value{}
	v := reflect.ValueOf(source).Elem()
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "-" {
			fields[name] = v.Field(i)
		}
	}
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err := errors.Join(err, decoder.Decode(&value)); err != nil {
			t.Fatal(err)
		}
		field, known := fields[name.(string)]
		if known {
			field.SetZero()
			if string(value) == "null" || into(field, value) {
				delete(source.AdditionalProperties, name.(string))
				continue
			}
			field.SetZero()
		}
		if source.AdditionalProperties == nil {
			source.AdditionalProperties = map[string]json.RawMessage{}
		}
		source.AdditionalProperties[name.(string)] = value
	}
	if len(source.AdditionalProperties) == 0 {
		source.AdditionalProperties = nil
	}
	return source
}

// into reads a value that is not null into a field, and reports whether it fits.
func into(field reflect.Value, value json.RawMessage) bool {
	switch field.Kind() {
	case reflect.String, reflect.Slice:
		if field.Type() != reflect.TypeFor[json.RawMessage]() {
			value = numbersQuoted(value)
		}
	case reflect.Int, reflect.Pointer: // a number, maybe in quotes
		var text string
		if field.Type() != reflect.TypeFor[*wire.Hectares]() && json.Unmarshal(value, &text) == nil && json.Unmarshal([]byte(text), new(float64)) == nil && text == strings.TrimSpace(text) && text != "null" {
			value = json.RawMessage(text)
		}
		var number float64
		if field.Kind() == reflect.Int && json.Unmarshal(value, &number) == nil { // 2026.0 is one
			field.SetInt(int64(number))
			return number == math.Trunc(number) && math.Abs(number) < 1<<53
		}
	}
	return json.Unmarshal(value, field.Addr().Interface()) == nil
}

// numbersQuoted writes a number, or those of a list, as a text.
func numbersQuoted(value json.RawMessage) json.RawMessage {
	if value[0] == '[' {
		var list []json.RawMessage
		_ = json.Unmarshal(value, &list)
		for i := range list {
			list[i] = numbersQuoted(list[i])
		}
		text := []byte("[")
		return append(append(text, bytes.Join(raws(list), []byte(","))...), ']')
	}
	if json.Unmarshal(value, new(json.Number)) == nil && value[0] != '"' && value[0] != 'n' {
		return fmt.Appendf(nil, "%q", value)
	}
	return value
}

func raws(list []json.RawMessage) (texts [][]byte) {
	for _, text := range list {
		texts = append(texts, text)
	}
	return texts
}

// differ decodes a source as it is listed and by the judge, and reports where
// the two differ.
func differ(t testing.TB, name string, data []byte) {
	t.Helper()
	ours, err := readSource(bytes.NewReader(data))
	if drip, dripErr := readSource(iotest.OneByteReader(bytes.NewReader(data))); !reflect.DeepEqual(drip, ours) || fmt.Sprint(dripErr) != fmt.Sprint(err) {
		t.Errorf("%s: byte by byte %+v %v, at once %+v %v\n%q", name, drip, dripErr, ours, err, data)
	}
	theirs := judge(t, data)
	if (theirs == nil) != (err != nil) {
		t.Errorf("%s: we say %v, and encoding/json has %v\n%q", name, err, theirs, data)
	}
	if err != nil {
		// A value of the wrong kind may stand before what breaks the JSON.
		if json.Valid(data) && !strings.Contains(err.Error(), "should be") {
			t.Errorf("%s: json.Valid says %v, and we %v\n%q", name, json.Valid(data), err, data)
		}
		return
	}
	// Two times are equal that mean the same; their zones are both UTC.
	if got, want := dump(&ours.Source), dump(theirs); got != want {
		t.Errorf("%s\ngot  %s\nwant %s\n%q", name, got, want, data)
	}

	// What was decoded is written so that both read it back.
	text, err := ours.MarshalJSON()
	if err != nil {
		return // a year that RFC 3339 cannot write
	}
	if !json.Valid(text) {
		t.Fatalf("%s: written as %s, which is not JSON", name, text)
	}
	if got, want := dump(judge(t, text)), dump(&ours.Source); got != want {
		t.Errorf("%s: written as %s, which is read as\n%s\nand was\n%s", name, text, got, want)
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

// TestDeepNesting expects deep answers to be read or refused, not to overflow.
func TestDeepNesting(t *testing.T) {
	for _, brackets := range []string{"[]", "{}"} {
		for _, depth := range []int{9_000, 10_002, 1_000_000} {
			opening, closing := brackets[:1], brackets[1:]
			if opening == "{" {
				opening = `{"a":`
			}
			text := []byte(`{"x":` + strings.Repeat(opening, depth) + "1" + strings.Repeat(closing, depth) + "}")
			ours, err := readSource(bytes.NewReader(text))
			if (err == nil) != json.Valid(text) {
				t.Errorf("%d %s: %v, and json.Valid says %v", depth, brackets, err, json.Valid(text))
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

// TestWrongKinds gives each field a value that it cannot hold: the listing goes
// on, and the value is kept, and written again, where unknown ones are.
func TestWrongKinds(t *testing.T) {
	v := reflect.TypeFor[gen.Source]()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Field(i).Tag.Get("json"), ",")
		if name == "-" || v.Field(i).Type == reflect.TypeFor[json.RawMessage]() { // these hold anything
			continue
		}
		for _, value := range []string{`{"a": 1}`, `[[]]`, `[{}]`} {
			one := `{"id":"src_2","` + name + `":` + value + `}`
			sources, err := readSources(strings.NewReader(`[{"id":"src_1"},` + one + `,{"id":"src_3"}]`))
			if err != nil || len(sources) != 3 {
				t.Errorf("%s: %d sources, %v", one, len(sources), err)
				continue
			}
			s := sources[1]
			if got := string(s.AdditionalProperties[name]); got != value || !s.HasField(name) || s.HasField("soil_type") {
				t.Errorf("%s: kept as %s", one, got)
			}
			text, err := s.MarshalJSON()
			if err != nil || !strings.Contains(string(text), `"`+name+`":`+value) || bytes.Count(text, []byte(`"`+name+`"`)) != 1 {
				t.Errorf("%s: written as %s, %v", one, text, err)
			}
			// A field that was set since goes before what was kept.
			if s.ID = "src_4"; name == "id" {
				if text, err = s.MarshalJSON(); err != nil || !strings.HasPrefix(string(text), `{"alt_id":"","id":"src_4"}`) {
					t.Errorf("%s, %v", text, err)
				}
			}
		}
	}
	for _, text := range []string{`{"sources":[]}`, `"x"`, `1`, `[1]`, `["x"]`, `[null]`, `[{"id":"src_1"},7]`} {
		if _, err := readSources(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "should be") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestOtherKinds reads values of another kind that say the same.
func TestOtherKinds(t *testing.T) {
	var s Source
	const text = `{"id":"a","alt_id":7,"wdpaid":17.50,"tags":["a",1,null],"percent_overlap":"0.25","hectares":"41.5ha (101.67ac)","outcome_reporting_year":"2026"}`
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.AltID != "7" || s.WDPAID != "17.50" || !reflect.DeepEqual(s.Tags, []string{"a", "1", ""}) || *s.PercentOverlap != 0.25 || *s.Hectares != 41.5 || s.OutcomeReportingYear != 2026 || s.AdditionalProperties != nil {
		t.Errorf("%+v", s)
	}
}

// TestNothing tells null, absent and empty apart where that matters.
func TestNothing(t *testing.T) {
	const text = `{"id":"a","alt_id":null,"tags":[],"country":null,"geometry":null,"pa_name":"","wdpaid":"1","wdpaid":null,"steward_id":null,"steward_id":"s","end_at":null,"conflict":false,"unep_overlap":null,"hectares":0}`
	s := Source{Source: gen.Source{Country: "Brazil", AdditionalProperties: map[string]json.RawMessage{"x": nil}}} // forgotten
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.Tags == nil || s.Country != "" || s.Geometry != nil || s.WDPAID != "" || s.StewardID != "s" || s.Conflict == nil || s.InConflict() || s.UNEPOverlap != nil || *s.Hectares != 0 {
		t.Errorf("%+v", s)
	}
	const want = `{"alt_id":"","conflict":false,"hectares":0,"id":"a","steward_id":"s","tags":[]}`
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
	if s.Methodology != "ZZZ" || s.SourceType != "ZZZ" || s.GeometrySource != "ZZZ" || s.AttributeType[0] != "ZZZ" || s.Methodology.Known() || s.AttributeType[0].Known() {
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
			known := source.HasField(member)
			_, there := went[member]
			switch {
			case !there:
				if string(value) != "null" && string(value) != `""` && string(value) != "0" {
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

// TestKeptSourceIsItsOwn decodes other texts by the same decoder, and expects the
// sources decoded before to be as they were.
func TestKeptSourceIsItsOwn(t *testing.T) {
	kept, err := readSources(bytes.NewReader(sourceList(t)))
	if err != nil {
		t.Fatal(err)
	}
	var before []string
	for _, source := range kept {
		before = append(before, dump(&source.Source))
	}
	other := string(sourceList(t))
	for _, letter := range []string{"x", "y"} {
		text := regexp.MustCompile(`[a-z0-9]`).ReplaceAllString(other, letter) // as long, and nothing alike
		_, _ = readSources(strings.NewReader(`[{"x":"` + strings.Repeat(letter, len(text)) + `","tags":["` + letter + `","` + letter + `"]},` + text))
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
