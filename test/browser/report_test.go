//go:build browser

package browser_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/meti-go/meti/internal/report"
	"github.com/meti-go/meti/ledger/countries"
)

const hostile = `</script><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`

// field is a square.
func field(n int, altID string, lon, lat float64, year int, methodology string) report.Field {
	const size = .01
	return report.Field{
		ID: fmt.Sprintf("src_%013d", n), AltID: altID, Country: "Germany", Year: year, Methodology: methodology,
		Start: fmt.Sprintf("%d-01-01", year), End: fmt.Sprintf("%d-01-01", year+1), Hectares: new(70 + float64(n)/3),
		Polygons: [][][]float64{{{lon, lat, lon + size, lat, lon + size, lat + size, lon, lat + size, lon, lat}}},
	}
}

func conflict(list []report.Field, i, j int, hectares float64) {
	for _, p := range [][2]int{{i, j}, {j, i}} {
		f, other := &list[p[0]], &list[p[1]]
		f.Conflict, f.Share = true, new(hectares / *f.Hectares)
		f.With = append(f.With, report.Partner{Index: p[1], ID: other.ID, AltID: other.AltID, Own: true, Hectares: new(hectares)})
	}
}

func foreign(f *report.Field, id string) {
	f.Conflict, f.Share = true, new(.5)
	f.With = append(f.With, report.Partner{Index: -1, ID: id})
}

// documents are the pages that report.mjs opens, by name.
func documents() map[string]*report.Document {
	base := report.Document{Title: "Example", From: "METI, api.meti.millpont.com (production)", Made: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), Overlap: .02, World: countries.World().All()}
	states := base
	for i := range 40 {
		methodology := "Agriculture"
		if i%4 == 0 {
			methodology = "Reforestation"
		}
		states.Fields = append(states.Fields, field(i, fmt.Sprintf("field-%02d", i), 9+.02*float64(i%8), 48+.02*float64(i/8), 2025+i%2, methodology))
	}
	f := states.Fields
	f[1].Polygons = [][][]float64{{{9.004, 48, 9.014, 48, 9.014, 48.01, 9.004, 48.01, 9.004, 48}}} // over field 0
	conflict(f, 0, 1, 30)
	conflict(f, 2, 3, .5)
	foreign(&f[3], "src_elsewhere0001")
	foreign(&f[4], "src_elsewhere0002")
	f[5].Protected = "A marsh"
	f[6].Invalid, f[6].Hectares, f[6].Problems = true, nil, []string{"the ring crosses itself"}
	f[7].AltID, f[7].Country, f[7].Problems = hostile, hostile, []string{hostile}
	for i := range 30 { // one Tab stop, however many
		conflict(f, 8+i, 9+i, .1)
	}

	fiji := base
	fiji.Fields = []report.Field{field(1, "west", 179.98, -17, 2026, ""), field(2, "east", -179.99, -17, 2026, "")}

	r := rand.New(rand.NewPCG(1, 2))
	large := func(n int) *report.Document {
		d := base
		side := int(math.Ceil(math.Sqrt(float64(n))))
		for i := range n {
			f := field(i, fmt.Sprintf("FARM-%05d", i), 0, 0, 2026, "Agriculture")
			id := []byte("src_")
			for range 13 {
				id = append(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[r.IntN(62)])
			}
			f.ID = string(id)
			var ring []float64
			for k := range 40 {
				a, far := 2*math.Pi*float64(k)/40, .0045*(.9+.1*r.Float64())
				ring = append(ring, -98+.011*float64(i%side)+1.3*far*math.Cos(a), 38+.011*float64(i/side)+far*math.Sin(a))
			}
			f.Polygons = [][][]float64{{append(ring, ring[0], ring[1])}}
			d.Fields = append(d.Fields, f)
		}
		for k := range 272 {
			conflict(d.Fields, k*n/272, k*n/272+1, 1.5)
		}
		return &d
	}
	return map[string]*report.Document{"states": &states, "fiji": &fiji, "large": large(20_000), "largest": large(95_000)}
}

func TestReport(t *testing.T) {
	folder := t.TempDir()
	for name, d := range documents() {
		var text bytes.Buffer
		if err := d.HTML(&text); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d fields, %d bytes", name, len(d.Fields), text.Len())
		if name == "large" && text.Len() >= 4_000_000 {
			t.Errorf("20,000 fields of 40 vertices take %d bytes", text.Len())
		}
		if err := os.WriteFile(filepath.Join(folder, name+".html"), text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", "report.mjs")
	cmd.Env = append(os.Environ(), "PAGES="+folder)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
