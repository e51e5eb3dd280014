// Command foreign makes testdata/ledger/counties.json: shapes that nobody drew
// for this project, with a verdict that is not ours. The shapes are counties
// of the United States (npm package us-atlas, counties-10m.json, from the
// Census Bureau, in the public domain), each as it is and rounded to coarse
// grids, which makes many of them invalid in ways of their own. The verdict is
// ogr2ogr's (Debian's gdal-bin: SpatiaLite's ST_IsValid, which asks GEOS).
//
//	foreign -o testdata/ledger/counties.json counties-10m.json
package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("o", "counties.json", "the file to write")
	flag.Parse()
	if err := run(flag.Arg(0), *out); err != nil {
		fmt.Fprintln(os.Stderr, "foreign:", err)
		os.Exit(1)
	}
}

type topology struct {
	Transform struct{ Scale, Translate [2]float64 }
	Arcs      [][][2]float64
	Objects   struct {
		Counties struct {
			Geometries []struct {
				Type string
				ID   string
				Arcs json.RawMessage
			}
		}
	}
}

type geometry struct {
	Type        string           `json:"type"`
	Coordinates [][][][2]float64 `json:"coordinates"`
}

// shape is a line of the file.
type shape struct {
	ID       string   `json:"id"`
	Valid    bool     `json:"valid"`
	Geometry geometry `json:"geometry"`
}

const (
	every     = 45 // take one county of so many
	positions = 90 // leave out those with more
)

// grids are what coordinates are rounded to, in parts of a degree
// (all but the last exact in binary).
var grids = []float64{1 << 10, 16, 8, 5}

func run(in, out string) error {
	text, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var t topology
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	var shapes []shape
	for i, g := range t.Objects.Counties.Geometries {
		if i%every != 0 {
			continue
		}
		var polygons [][][]int
		if g.Type == "Polygon" {
			polygons = make([][][]int, 1)
			err = json.Unmarshal(g.Arcs, &polygons[0])
		} else {
			err = json.Unmarshal(g.Arcs, &polygons)
		}
		if err != nil {
			return fmt.Errorf("county %s: %w", g.ID, err)
		}
		for _, grid := range grids {
			s := shape{ID: fmt.Sprintf("%s/%v", g.ID, grid), Geometry: geometry{Type: "MultiPolygon"}}
			n := 0
			for _, rings := range polygons {
				var polygon [][][2]float64
				for _, ring := range rings {
					line := t.ring(ring, grid)
					n += len(line)
					polygon = append(polygon, line)
				}
				s.Geometry.Coordinates = append(s.Geometry.Coordinates, polygon)
			}
			if n <= positions {
				shapes = append(shapes, s)
			}
		}
	}
	if err := judge(shapes); err != nil {
		return err
	}
	var b strings.Builder
	for i, s := range shapes {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		b.WriteString(map[bool]string{true: "[\n", false: ",\n"}[i == 0])
		b.Write(line)
	}
	b.WriteString("\n]\n")
	return os.WriteFile(out, []byte(b.String()), 0o644)
}

// ring joins arcs as TopoJSON does, rounded; positions that fall together once
// rounded stay one.
func (t *topology) ring(arcs []int, grid float64) [][2]float64 {
	var line [][2]float64
	add := func(p [2]float64) {
		for axis := range p {
			p[axis] = math.Round(p[axis]*grid) / grid
		}
		if len(line) == 0 || line[len(line)-1] != p {
			line = append(line, p)
		}
	}
	for _, k := range arcs {
		index := k
		if k < 0 {
			index = ^k
		}
		var arc [][2]float64
		var at [2]float64
		for _, step := range t.Arcs[index] {
			var p [2]float64
			for axis := range p {
				at[axis] += step[axis]
				p[axis] = at[axis]*t.Transform.Scale[axis] + t.Transform.Translate[axis]
			}
			arc = append(arc, p)
		}
		for i := range arc {
			if k < 0 {
				i = len(arc) - 1 - i
			}
			add(arc[i])
		}
	}
	return line
}

// judge asks ogr2ogr.
func judge(shapes []shape) error {
	dir, err := os.MkdirTemp("", "foreign")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	type feature struct {
		Type       string            `json:"type"`
		Properties map[string]string `json:"properties"`
		Geometry   geometry          `json:"geometry"`
	}
	features := make([]feature, len(shapes))
	for i, s := range shapes {
		features[i] = feature{"Feature", map[string]string{"id": s.ID}, s.Geometry}
	}
	text, err := json.Marshal(map[string]any{"type": "FeatureCollection", "features": features})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "shapes.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	answer, err := exec.CommandContext(context.Background(), "ogr2ogr", "-f", "CSV", "/vsistdout/", "-dialect", "SQLite",
		"-sql", "SELECT id, ST_IsValid(geometry) AS valid FROM shapes", file).Output()
	if err != nil {
		return fmt.Errorf("ogr2ogr: %w", err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(answer))).ReadAll()
	if err != nil {
		return err
	}
	if len(rows) != len(shapes)+1 {
		return errors.New("ogr2ogr left shapes out")
	}
	for i, row := range rows[1:] {
		if row[0] != shapes[i].ID {
			return fmt.Errorf("ogr2ogr answered %s for %s", row[0], shapes[i].ID)
		}
		shapes[i].Valid = row[1] == "1"
	}
	return nil
}
