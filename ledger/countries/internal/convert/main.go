// Command convert turns Natural Earth's countries, as the npm package
// world-atlas carries them (countries-10m.json, TopoJSON), into the table that
// package countries embeds. "make vendor-data" calls it:
//
//	convert countries-10m.json ledger/countries/world.gz
package main

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: convert countries-10m.json world.gz")
	}
	text, err := os.ReadFile(os.Args[1])
	check(err)
	var topology struct {
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
	check(json.Unmarshal(text, &topology))
	// The first line of the table; package countries reads it.
	type country struct {
		Name     string    `json:"name"`
		Polygons [][][]int `json:"polygons"`
	}
	var head struct {
		Scale     [2]float64 `json:"scale"`
		Translate [2]float64 `json:"translate"`
		Lengths   []int      `json:"lengths"`
		Countries []country  `json:"countries"`
	}
	head.Scale, head.Translate = topology.Transform.Scale, topology.Transform.Translate
	var steps []byte
	for _, arc := range topology.Arcs {
		head.Lengths = append(head.Lengths, len(arc))
		for _, p := range arc {
			steps = binary.AppendVarint(binary.AppendVarint(steps, p[0]), p[1])
		}
	}
	for _, g := range topology.Objects.Countries.Geometries {
		c := country{fullName(g.Properties.Name), make([][][]int, 1)}
		if g.Type == "Polygon" {
			check(json.Unmarshal(g.Arcs, &c.Polygons[0]))
		} else {
			check(json.Unmarshal(g.Arcs, &c.Polygons))
		}
		head.Countries = append(head.Countries, c)
	}
	line, err := json.Marshal(head)
	check(err)
	out, err := os.Create(os.Args[2])
	check(err)
	packed, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	check(err)
	_, err = packed.Write(append(append(line, '\n'), steps...))
	check(errors.Join(err, packed.Close(), out.Close()))
}

func check(err error) {
	if err != nil {
		log.Fatal("convert: ", err)
	}
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
