package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/meti-go/meti/bench/internal/way"
)

// account is an account's sources, encoded beforehand: serving a page costs no
// more than sending its bytes.
type account struct {
	text  []byte  // the sources one after the other, a comma behind each
	start []int   // where each one begins, and where the last one ends
	sum   float64 // of the first position of each ring
}

const vertices = 80

// newAccount makes the same sources each time. Every second boundary is
// written as PostGIS writes it, with nine decimals, and the others with all the
// digits of a float64, as JavaScript and Python do.
func newAccount(sources int) *account {
	random := rand.New(rand.NewPCG(1, 2))
	a := &account{text: make([]byte, 0, sources*3600)}
	id := func() string {
		const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		b := []byte("src_")
		for range 13 {
			b = append(b, letters[random.IntN(len(letters))])
		}
		return string(b)
	}
	countries := []string{"United States of America", "Brazil", "Kenya", "France"}
	methodologies := []string{"Agriculture", "Biochar Production", "Reforestation"}
	for i := range sources {
		a.start = append(a.start, len(a.text))
		conflict, others, overlap := "false", "null", "null"
		if i%20 == 0 {
			conflict, others, overlap = "true", `["`+id()+`"]`, "0.0625"
		}
		a.text = fmt.Appendf(a.text, `{"id":"%s","alt_id":"field-%06d","start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z","country":"%s","hectares":%.6f,`+
			`"created_at":"2026-02-03T%02d:%02d:44.%06dZ","updated_at":"2026-02-03T%02d:%02d:44.%06dZ","created_by":null,"updated_by":null,"account_id":"6f1f6d7e-4c3b-4a55-9d5a-0d9f3b0c2a11",`+
			`"conflict":%s,"conflict_with":%s,"percent_overlap":%s,"methodology":"%s","source_type":"FIELD","attribute_type":["CARBON_REMOVAL"],"geometry_source":"CUSTODIAN_DRAWN",`+
			`"tags":["north"],"steward_id":"steward-%d","project_id":"project-2026","outcome_reporting_year":2026,"geometry":{"type":"Polygon","coordinates":[[`,
			id(), i, countries[i%len(countries)], 5+random.Float64()*95, i%24, i%60, i, i%24, i%60, i, conflict, others, overlap, methodologies[i%len(methodologies)], i%50)
		west, south := -120+random.Float64()*40, 30+random.Float64()*15
		decimals := 9
		if i%2 == 1 {
			decimals = -1
		}
		var first float64
		a.text, first = way.AppendRing(a.text, random, vertices, west, south, 0.003, 0.2, decimals)
		a.sum += first
		a.text = append(a.text, `]]},"unep_overlap":false,"pa_name":null,"pa_designation":null,"wdpaid":null,"h3_indexes":null},`...)
	}
	a.start = append(a.start, len(a.text))
	return a
}

func (a *account) sources() int { return len(a.start) - 1 }

// page is the JSON of some of the sources, less the brackets.
func (a *account) page(offset, limit int) []byte {
	from := min(offset, a.sources())
	to := min(from+limit, a.sources())
	if from == to {
		return nil
	}
	return a.text[a.start[from] : a.start[to]-1]
}
