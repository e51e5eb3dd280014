//go:build peers

// Package gdal_test runs the commands that internal/fields prints for files of
// other formats: GDAL writes such a file, the printed command reads it, and what
// comes out is judged. It needs Debian's gdal-bin.
package gdal_test

import (
	"archive/zip"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/meti-go/meti/internal/fields"
)

const source = `{"type":"FeatureCollection","features":[
{"type":"Feature","properties":{"PLOT":"N-40"},"geometry":{"type":"Polygon","coordinates":[[[9.123456789012,48],[9.133456789012,48],[9.133456789012,48.01],[9.123456789012,48.01],[9.123456789012,48]]]}},
{"type":"Feature","properties":{"PLOT":"N-41"},"geometry":{"type":"Polygon","coordinates":[[[9.2,48],[9.21,48],[9.21,48.01],[9.2,48.01],[9.2,48]]]}}]}`

// run runs a command of the shell and gives its output.
func run(t *testing.T, folder, command string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = folder
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, problems.String())
	}
	return out
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// zipped puts files into an archive, within a folder of it.
func zipped(t *testing.T, path, within string, names ...string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	for _, name := range names {
		entry, err := archive.Create(within + filepath.Base(name))
		if err == nil {
			_, err = entry.Write(read(t, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPrintedCommands(t *testing.T) {
	for _, c := range []struct {
		name, file string
		make       func(t *testing.T, folder, path string)
		digits     int // of degrees that come through
		id         string
	}{
		{"a shapefile in UTM", "my fields.shp", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr -t_srs EPSG:25832 'my fields.shp' source.geojson")
		}, 10, "PLOT"},
		{"a zipped shapefile", "fields.zip", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr -t_srs EPSG:25832 one.shp source.geojson")
			parts, _ := filepath.Glob(filepath.Join(folder, "one.*"))
			zipped(t, path, "", parts...)
		}, 10, "PLOT"},
		{"a zipped folder", "my fields.zip", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr -t_srs EPSG:25832 one.shp source.geojson")
			parts, _ := filepath.Glob(filepath.Join(folder, "one.*"))
			zipped(t, path, "some/fields/", parts...)
		}, 10, "PLOT"},
		{"KML", "fields.kml", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr -f KML -dsco NameField=PLOT fields.kml source.geojson")
		}, 12, "Name"},
		{"KMZ", "fields.kmz", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr -f KML -dsco NameField=PLOT doc.kml source.geojson")
			zipped(t, path, "", filepath.Join(folder, "doc.kml"))
		}, 12, "Name"},
		{"GeoPackage", "fields.gpkg", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr fields.gpkg source.geojson")
		}, 12, "PLOT"},
		{"GML", "fields.gml", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr -f GML fields.gml source.geojson")
		}, 12, "PLOT"},
		{"FlatGeobuf", "fields.fgb", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr fields.fgb source.geojson")
		}, 12, "PLOT"},
		{"Esri JSON", "fields.json", func(t *testing.T, folder, path string) {
			write(t, path, []byte(`{"geometryType":"esriGeometryPolygon","spatialReference":{"wkid":4326},"fields":[{"name":"PLOT","type":"esriFieldTypeString"}],"features":[
{"attributes":{"PLOT":"N-40"},"geometry":{"rings":[[[9.123456789012,48],[9.123456789012,48.01],[9.133456789012,48.01],[9.133456789012,48],[9.123456789012,48]]]}},
{"attributes":{"PLOT":"N-41"},"geometry":{"rings":[[[9.2,48],[9.2,48.01],[9.21,48.01],[9.21,48],[9.2,48]]]}}]}`))
		}, 12, "PLOT"},
		{"TopoJSON", "fields.topojson", func(t *testing.T, folder, path string) {
			write(t, path, []byte(`{"type":"Topology","objects":{"fields":{"type":"GeometryCollection","geometries":[
{"type":"Polygon","properties":{"PLOT":"N-40"},"arcs":[[0]]},{"type":"Polygon","properties":{"PLOT":"N-41"},"arcs":[[1]]}]}},"arcs":[
[[9.123456789012,48],[9.133456789012,48],[9.133456789012,48.01],[9.123456789012,48.01],[9.123456789012,48]],
[[9.2,48],[9.21,48],[9.21,48.01],[9.2,48.01],[9.2,48]]]}`))
		}, 12, "PLOT"},
		{"GPX", "fields.gpx", func(t *testing.T, folder, path string) {
			// Its tracks are lines, which nobody can register.
			run(t, folder, "ogr2ogr -f GPX -nlt MULTILINESTRING -dsco GPX_USE_EXTENSIONS=YES fields.gpx source.geojson")
		}, 0, ""},
		{"UTF-16", "fields.geojson", func(t *testing.T, folder, path string) {
			var data []byte
			for _, unit := range utf16.Encode([]rune("\ufeff" + source)) {
				data = binary.LittleEndian.AppendUint16(data, unit)
			}
			write(t, path, data)
		}, 12, "PLOT"},
		{"UTF-16 without a mark", "fields.geojson", func(t *testing.T, folder, path string) {
			var data []byte
			for _, unit := range utf16.Encode([]rune(source)) {
				data = binary.BigEndian.AppendUint16(data, unit)
			}
			write(t, path, data)
		}, 12, "PLOT"},
		{"gzip", "fields.geojson.gz", func(t *testing.T, folder, path string) {
			compressed(t, path, []byte(source))
		}, 12, "PLOT"},
		{"a gzipped KML", "fields.kml.gz", func(t *testing.T, folder, path string) {
			run(t, folder, "ogr2ogr -f KML -dsco NameField=PLOT one.kml source.geojson")
			compressed(t, path, read(t, filepath.Join(folder, "one.kml")))
		}, 12, "Name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, filepath.Join(folder, "source.geojson"), []byte(source))
			path := filepath.Join(folder, c.file)
			c.make(t, folder, path)

			file, err := fields.Open(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = fields.Map(t.Context(), file, func(fields.Item) bool { return true }, func(fields.Item, bool) error { return nil })
			file.Close()
			var other *fields.FormatError
			if !errors.As(err, &other) {
				t.Fatalf("it is read as GeoJSON: %v", err)
			}
			t.Log(err)

			judge, err := fields.NewJudge(fields.Options{IDProperty: c.id, Start: "2026-01-01", End: "2027-01-01"})
			if err != nil {
				t.Fatal(err)
			}
			out, err := fields.Open(t.Context(), "-", strings.NewReader(string(run(t, t.TempDir(), other.Command()))))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			var ids []string
			west := math.Inf(1)
			err = fields.Map(t.Context(), out, judge.Item, func(_ fields.Item, f fields.Judged) error {
				ids = append(ids, f.AltID)
				if f.Invalid() {
					if c.digits > 0 {
						t.Errorf("%s: %v", f.AltID, f.Problems)
					}
				} else if box, ok := f.Shape.Box(); ok {
					west = min(west, box.West)
				}
				return nil
			})
			slices.Sort(ids) // FlatGeobuf has an order of its own
			if got := strings.Join(ids, " "); err != nil || got != "N-40 N-41" && c.digits > 0 {
				t.Errorf("%s, %v", got, err)
			}
			if off := math.Abs(west - 9.123456789012); off > math.Pow10(-c.digits) && c.digits > 0 {
				t.Errorf("off by %v degrees", off)
			}
		})
	}
}

func compressed(t *testing.T, path string, data []byte) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packed := gzip.NewWriter(file)
	if _, err := io.Copy(packed, strings.NewReader(string(data))); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
}

// The command for GeoJSON of another system converts it.
func TestForeignCRS(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "source.geojson"), []byte(source))
	path := filepath.Join(folder, "utm.geojson")
	run(t, folder, "ogr2ogr -t_srs EPSG:25832 utm.geojson source.geojson")
	judge, err := fields.NewJudge(fields.Options{IDProperty: "PLOT", Start: "2026-01-01", End: "2027-01-01"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := fields.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := fields.Map(t.Context(), file, judge.Item, func(fields.Item, fields.Judged) error { return nil }); err != nil {
		t.Fatal(err)
	}
	problems := file.Problems(fields.Options{}.Rules)
	if len(problems) != 1 {
		t.Fatal(problems)
	}
	_, command, _ := strings.Cut(problems[0].Advice, ": ")
	command, _, _ = strings.Cut(command, " | meti")
	out, err := fields.Open(t.Context(), "-", strings.NewReader(string(run(t, folder, command))))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	n := 0
	err = fields.Map(t.Context(), out, judge.Item, func(_ fields.Item, f fields.Judged) error {
		n++
		if f.Invalid() {
			t.Errorf("%s: %v", f.AltID, f.Problems)
		}
		return nil
	})
	if n != 2 || err != nil || out.Problems(fields.Options{}.Rules) != nil {
		t.Errorf("%d features, %v, %v", n, err, out.Problems(fields.Options{}.Rules))
	}
}
