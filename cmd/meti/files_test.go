package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/emulator"
)

// fileCase is a file of fields, and what it comes to in every command.
type fileCase struct {
	name           string
	file           string // of testdata/files
	text           string // or this
	flags          string
	valid, invalid int    // features
	rules          string // those that are broken, with their severity
	says           string // on the way, by check
	code           int    // of the check, where it is not 0 or 6
	partly         bool   // the rest of it cannot be read
}

// fileCases is the table of files. Fields of one file do not conflict.
func fileCases() []fileCase {
	field := func(id, more string, lon float64) string {
		return fmt.Sprintf(`{"type":"Feature","id":%s,%s"properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[%[3]v,48],[%[4]v,48],[%[4]v,48.01],[%[3]v,48.01],[%[3]v,48]]]}}`,
			id, more, lon, lon+0.01)
	}
	a, b := field(`"a"`, "", 9), field(`"b"`, "", 10)
	in := func(old, new string) string { return strings.Replace(a, old, new, 1) }
	collection := func(members string, features ...string) string {
		return `{"type":"FeatureCollection",` + members + `"features":[` + strings.Join(features, ",\n") + `]}`
	}
	geometry := func(g string) string { return a[:strings.Index(a, `{"type":"Polygon"`)] + g + "}" }
	crs := func(name string) string { return `"crs":{"type":"name","properties":{"name":"` + name + `"}},` }
	return []fileCase{
		// As programs write them.
		{name: "QGIS", file: "qgis.geojson", flags: "--id-property SCHLAG_NR --start VON --end BIS", valid: 2, rules: "warning time-zone"},
		{name: "QGIS, strictly", file: "qgis.geojson", flags: "--id-property SCHLAG_NR --start VON --end BIS --strict", invalid: 2, rules: "error time-zone"},
		{name: "ArcGIS", file: "arcgis.geojson", flags: "--id-property FIELD_ID --start 2026-04-01 --end 2026-10-01", valid: 2, rules: "warning winding"},
		{name: "ArcGIS, its own id", file: "arcgis.geojson", flags: "--start 2026-04-01 --end 2026-10-01", valid: 2, rules: "warning winding"},
		{name: "ArcGIS, epochs", file: "arcgis.geojson", flags: "--id-property FIELD_ID --start PLANT_DATE --end HARVEST_DATE", invalid: 2,
			rules: "error time-syntax, warning winding", says: "is an epoch, a number of milliseconds"},
		{name: "ArcGIS f=json", file: "arcgis.json", says: "arcgis.json is Esri JSON", code: exitInvalid},
		{name: "Esri JSON", file: "esri.json", says: "esri.json is Esri JSON", code: exitInvalid},
		{name: "geojson.io", file: "geojson.io.geojson", flags: "--start 2026-01-01 --end 2027-01-01", valid: 2},
		{name: "fiboa", file: "fiboa.geojson", flags: "--start determination_datetime --end 2025-05-15", valid: 2},
		{name: "MillPont's front end", file: "millpont.json", valid: 1},
		// What was read wrongly once.
		{name: "Latin-1", file: "latin1.geojson", invalid: 2, rules: "error text", says: "not UTF-8"},
		{name: "half a surrogate pair", file: "half-pair.geojson", invalid: 1, rules: "error text"},
		{name: "days before months", file: "day-first.geojson", invalid: 2, rules: "error time-syntax", says: "may be 2026-04-01 or 2026-01-04"},
		{name: "metres", file: "metres.geojson", invalid: 1, rules: "error range"},
		{name: "metres, allowed", file: "metres.geojson", flags: "--allow range", valid: 1, rules: "warning range"},
		{name: "without its mapping", file: "unmapped.geojson", invalid: 1, rules: "error alt-id-missing, error time-missing", says: "they have PLOT"},
		{name: "with its mapping", file: "unmapped.geojson", flags: "--id-property PLOT --start 2026-01-01 --end 2027-01-01", valid: 1},
		{name: "UTM", file: "utm.geojson", invalid: 1, rules: "error crs", says: "ogr2ogr -f GeoJSONSeq -t_srs EPSG:4326"},
		{name: "UTM, allowed", file: "utm.geojson", flags: "--allow crs", valid: 1, rules: "warning crs"},
		{name: "an EPSG code", file: "epsg-code.geojson", valid: 1},
		{name: "a text sequence", file: "sequence.geojsons", valid: 2},
		{name: "one id, two boundaries", file: "one-id.geojson", valid: 2, rules: "warning repeated-alt-id"},
		{name: "one id, strictly", file: "one-id.geojson", flags: "--strict", invalid: 2, rules: "error repeated-alt-id"},
		{name: "NaN", file: "nan.geojson", invalid: 1, rules: "error json", says: "the rest was not looked at"},
		{name: "across the antimeridian", file: "antimeridian.geojson", valid: 2, rules: "warning antimeridian"},
		{name: "dates without a zone", file: "dates.geojson", valid: 1, rules: "warning time-zone"},
		{name: "parts that touch", file: "touching-parts.geojson", valid: 1, rules: "warning winding"},
		// Forms.
		{name: "collection", text: collection("", a, b), valid: 2},
		{name: "feature", text: a, valid: 1},
		{name: "lines", text: a + "\n" + b + "\n", valid: 2},
		{name: "CRLF", text: a + "\r\n" + b + "\r\n", valid: 2},
		{name: "one after another", text: a + b, valid: 2},
		{name: "byte order mark", text: "\ufeff" + collection("", a), valid: 1},
		{name: "two collections", text: collection("", a) + collection("", b), valid: 2},
		{name: "a broken line", text: a + "\n{\"type\":\n" + b + "\n", valid: 2, invalid: 1, rules: "error json"},
		{name: "a collection cut short", text: collection("", a, `{"type"`), valid: 1, invalid: 1, rules: "error json", says: "rest was not looked at", partly: true},
		{name: "empty", text: "", invalid: 1, rules: "error json", says: "the input is empty"},
		{name: "HTML", text: "<!DOCTYPE html><html></html>", says: "a web page", code: exitInvalid},
		// Attributes.
		{name: "wrapper", text: `{"methodology":"Agriculture","feature_collection":` + collection("", a) + `}`, valid: 1},
		{name: "a DEVICE", text: `{"source_type":"DEVICE","feature_collection":` + collection("", a, b) + `}`, invalid: 2, rules: "error measurement"},
		{name: "a DEVICE by flag", text: collection("", a), flags: "--source-type DEVICE", invalid: 1, rules: "error measurement"},
		{name: "a flag over the file's", text: `{"source_type":"DEVICE","feature_collection":` + collection("", a) + `}`, flags: "--source-type FACILITY", valid: 1},
		{name: "an unknown attribute", text: `{"colour":"green","feature_collection":` + collection("", a) + `}`, invalid: 1, rules: "error attribute"},
		{name: "an attribute of another type", text: `{"tags":"green","feature_collection":` + collection("", a) + `}`, invalid: 1, rules: "error attribute", says: "METI takes an array of strings"},
		{name: "a user that is no UUID", text: `{"created_by":"x@clients","feature_collection":` + collection("", a) + `}`, invalid: 1, rules: "error attribute", says: "METI takes a UUID"},
		{name: "source", text: `{"alt_id":"a","tags":["x"],"start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z","geometry":{"type":"Polygon","coordinates":[[[9,48],[9.01,48],[9.01,48.01],[9,48]]]}}`, valid: 1},
		// Names, ids, crs, geometry.
		{name: "exact names", text: in(`"id":"a"`, `"ID":"x","id":"a","GEOMETRY":null,"Properties":{}`), valid: 1},
		{name: "the last of equal names", text: in(`"id":"a"`, `"id":"x","id":"a"`), valid: 1, rules: "warning repeated-member"},
		{name: "a number as id", text: field("12345678901234567890", "", 9), valid: 1},
		{name: "a number with a point as id", text: field("12324.0", "", 9), valid: 1, rules: "warning alt-id-form"},
		{name: "an object as id", text: field("{}", "", 9), invalid: 1, rules: "error alt-id-type"},
		{name: "no id", text: collection("", field("null", "", 9), b), valid: 1, invalid: 1, rules: "error alt-id-missing"},
		{name: "twice the same", text: collection("", a, b, a), valid: 1, invalid: 2, rules: "error repeated-feature"},
		{name: "crs behind the features", text: `{"features":[` + a + `],` + crs("EPSG:3857") + `"type":"FeatureCollection"}`, invalid: 1, rules: "error crs"},
		{name: "crs of a feature", text: collection("", field(`"a"`, crs("EPSG:3857"), 9), b), valid: 1, invalid: 1, rules: "error crs"},
		{name: "crs of a geometry", text: in(`"type":"Polygon",`, crs("EPSG:3857")+`"type":"Polygon",`), invalid: 1, rules: "error crs"},
		{name: "WGS 84", text: collection(crs("WGS 84"), a), valid: 1},
		{name: "a point", text: geometry(`{"type":"Point","coordinates":[9,48]}`), invalid: 1, rules: "error geometry-type"},
		{name: "nothing drawn", text: geometry(`{"type":"MultiPolygon","coordinates":[]}`), invalid: 1, rules: "error geometry-empty"},
		{name: "no geometry", text: geometry(`null`), invalid: 1, rules: "error geometry-missing"},
		{name: "axes exchanged", text: geometry(`{"type":"Polygon","coordinates":[[[48,-93],[48,-93.01],[48.01,-93.01],[48,-93]]]}`), invalid: 1, rules: "error swapped"},
		{name: "clockwise", text: geometry(`{"type":"Polygon","coordinates":[[[9,48],[9.01,48.01],[9.01,48],[9,48]]]}`), valid: 1, rules: "warning winding"},
		{name: "crossing itself", text: geometry(`{"type":"Polygon","coordinates":[[[9,48],[9.01,48.01],[9.01,48],[9,48.01],[9,48]]]}`), invalid: 1, rules: "error self-intersection"},
	}
}

// startServer starts an emulator for one test.
func startServer(t *testing.T, o emulator.Options) *emulator.Server {
	t.Helper()
	server, err := emulator.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// emulate starts one that commands of this process call.
func emulate(t *testing.T, o emulator.Options) *emulator.Server {
	t.Helper()
	server := startServer(t, o)
	for _, variable := range append(server.Environ(), "XDG_CACHE_HOME="+t.TempDir()) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	return server
}

// sourcesOf starts an emulator, and gives what lists the ids of its sources.
func sourcesOf(t *testing.T) (sources func() []string) {
	t.Helper()
	emulate(t, emulator.Options{})
	return func() (altIDs []string) {
		_, out, problems := command(t, "sources", "list", "-o", "ndjson")
		for line := range strings.Lines(out) {
			var source struct {
				AltID string `json:"alt_id"`
			}
			if err := json.Unmarshal([]byte(line), &source); err != nil {
				t.Error(err, problems)
			}
			altIDs = append(altIDs, source.AltID)
		}
		slices.Sort(altIDs)
		return altIDs
	}
}

// command runs meti in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, system{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: time.Now})
	return code, out.String(), errs.String()
}

// One file has one verdict, whichever command reads it.
func TestOneVerdict(t *testing.T) {
	for _, c := range fileCases() {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file.geojson")
			text := []byte(c.text)
			if c.file != "" {
				path = filepath.Join(filepath.Dir(path), c.file)
				var err error
				if text, err = os.ReadFile(filepath.Join(top, "testdata", "files", c.file)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			flags := strings.Fields(c.flags)
			want := c.code
			if c.invalid > 0 {
				want = exitInvalid
			}

			code, stdout, stderr := command(t, append([]string{"check", "-o", "json", path}, flags...)...)
			if code != want || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("check: exit code %d, want %d, and %q in\n%s%s", code, want, c.says, stdout, stderr)
			}
			var sound []string
			if c.code == 0 {
				valid, invalid, rules := verdicts(t, stdout)
				sound = valid
				if len(valid) != c.valid || invalid != c.invalid || rules != c.rules {
					t.Errorf("check: valid %v, %d invalid, %q; want %d, %d, %q\n%s", valid, invalid, rules, c.valid, c.invalid, c.rules, stdout)
				}
			}

			sources := sourcesOf(t)
			code, stdout, stderr = command(t, append([]string{"submit", path}, flags...)...)
			all, of := want, sound
			if c.partly {
				of = nil // what was not read may hold anything
			} else if c.valid > 0 && c.invalid > 0 {
				all = exitPartly
			}
			if got := sources(); code != all || !slices.Equal(got, of) {
				t.Errorf("submit: exit code %d, want %d, sources %v, want %v\n%s%s", code, all, got, of, stdout, stderr)
			}

			sources = sourcesOf(t)
			code, stdout, stderr = command(t, append([]string{"sources", "create", path}, flags...)...)
			if c.invalid > 0 {
				sound = nil // all or nothing
			}
			if got := sources(); code != want || !slices.Equal(got, sound) {
				t.Errorf("create: exit code %d, want %d, sources %v, want %v\n%s%s", code, want, got, sound, stdout, stderr)
			}
		})
	}
}

// verdicts sums up what check wrote: the ids of valid features, and the rules.
func verdicts(t *testing.T, text string) (valid []string, invalid int, rules string) {
	t.Helper()
	var rows []feature
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var broken []string
	for _, r := range rows {
		if r.Valid {
			valid = append(valid, r.AltID)
		} else {
			invalid++
		}
		if r.Conflict { // what is invalid is in nobody's way
			t.Errorf("%s conflicts with %v", r.AltID, r.With)
		}
		for _, p := range r.Problems {
			broken = append(broken, fmt.Sprint(p.Severity, " ", p.Rule))
		}
	}
	slices.Sort(valid)
	slices.Sort(broken)
	return valid, invalid, strings.Join(slices.Compact(broken), ", ")
}

// What a flag says is sent as it stands, or not at all.
func TestFlagThatIsNotUTF8(t *testing.T) {
	for _, name := range []string{"check", "plan", "submit", "sources create"} {
		for _, flag := range []string{"--methodology", "--tag"} {
			args := append(strings.Fields(name), "fields.geojson", flag, "Gr\xf6n")
			if code, _, stderr := command(t, args...); code != exitUsage || !strings.Contains(stderr, "is not UTF-8") {
				t.Errorf("%q: exit code %d: %s", args, code, stderr)
			}
		}
	}
}
