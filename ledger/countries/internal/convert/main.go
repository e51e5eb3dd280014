// Command convert turns Natural Earth's countries, as the npm package
// world-atlas carries them (countries-10m.json, TopoJSON), into the table that
// package countries embeds. "make vendor-data" calls it:
//
//	convert -o ledger/countries/world.gz countries-10m.json
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	out := flag.String("o", "world.gz", "the file to write")
	flag.Parse()
	if err := run(flag.Arg(0), *out); err != nil {
		fmt.Fprintln(os.Stderr, "convert:", err)
		os.Exit(1)
	}
}

// topology is as much of TopoJSON as is needed.
type topology struct {
	Transform struct{ Scale, Translate [2]float64 }
	Arcs      [][][2]int64
	Objects   struct {
		Countries struct {
			Geometries []struct {
				Type       string
				Arcs       json.RawMessage
				Properties struct{ Name string }
			}
		}
	}
}

// head is the first line of the table; package countries reads it.
type head struct {
	Scale     [2]float64 `json:"scale"`
	Translate [2]float64 `json:"translate"`
	Lengths   []int      `json:"lengths"`
	Countries []country  `json:"countries"`
}

type country struct {
	Name     string    `json:"name"`
	Polygons [][][]int `json:"polygons"`
}

func run(in, out string) error {
	text, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var t topology
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	h := head{Scale: t.Transform.Scale, Translate: t.Transform.Translate}
	var deltas []byte
	for _, arc := range t.Arcs {
		h.Lengths = append(h.Lengths, len(arc))
		for _, p := range arc {
			deltas = binary.AppendVarint(deltas, p[0])
			deltas = binary.AppendVarint(deltas, p[1])
		}
	}
	for _, g := range t.Objects.Countries.Geometries {
		c := country{Name: fullName(g.Properties.Name)}
		switch g.Type {
		case "Polygon":
			c.Polygons = make([][][]int, 1)
			err = json.Unmarshal(g.Arcs, &c.Polygons[0])
		case "MultiPolygon":
			err = json.Unmarshal(g.Arcs, &c.Polygons)
		default:
			err = fmt.Errorf("a %s", g.Type)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", g.Properties.Name, err)
		}
		h.Countries = append(h.Countries, c)
	}
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(append(line, '\n'), deltas...)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(out, packed.Bytes(), 0o644)
}

// fullNames are the names that Natural Earth shortens or spells in a way of its
// own (its field NAME), in full.
var fullNames = map[string]string{
	"Ashmore and Cartier Is.": "Ashmore and Cartier Islands",
	"Dem. Rep. Congo":         "Democratic Republic of the Congo",
	"Congo":                   "Republic of the Congo",
	"Macedonia":               "North Macedonia",
	"eSwatini":                "Eswatini",
	"N. Cyprus":               "Northern Cyprus",
	"N. Mariana Is.":          "Northern Mariana Islands",
	"S. Sudan":                "South Sudan",
	"W. Sahara":               "Western Sahara",
	"St-Barthélemy":           "Saint Barthélemy",
	"St-Martin":               "Saint Martin",
	"St. Vin. and Gren.":      "Saint Vincent and the Grenadines",
	"S. Geo. and the Is.":     "South Georgia and the South Sandwich Islands",
	"Fr. S. Antarctic Lands":  "French Southern and Antarctic Lands",
	"Fr. Polynesia":           "French Polynesia",
	"Br. Indian Ocean Ter.":   "British Indian Ocean Territory",
	"Indian Ocean Ter.":       "Australian Indian Ocean Territories",
	"U.S. Virgin Is.":         "United States Virgin Islands",
	"U.S. Minor Outlying Is.": "United States Minor Outlying Islands",
	"Cyprus U.N. Buffer Zone": "Cyprus United Nations Buffer Zone",
	"Faeroe Is.":              "Faroe Islands",
	"São Tomé and Principe":   "São Tomé and Príncipe",
	"Eq. Guinea":              "Equatorial Guinea",
	"Vatican":                 "Vatican City",
	"USNB Guantanamo Bay":     "Guantanamo Bay Naval Base",
}

// shortForms are what is left to write out.
var shortForms = strings.NewReplacer(
	"Herz.", "Herzegovina", "Barb.", "Barbuda", "Rep.", "Republic", "Is.", "Islands", "I. ", "Island ", "St. ", "Saint ",
)

func fullName(name string) string {
	if full, ok := fullNames[name]; ok {
		return full
	}
	name = shortForms.Replace(name)
	if strings.HasSuffix(name, " I.") {
		name = strings.TrimSuffix(name, "I.") + "Island"
	}
	return name
}
