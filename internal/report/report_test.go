package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

// square is a field of about a hundred hectares.
func square(id, altID string, lon, lat float64) Field {
	hectares := 75.0
	return Field{
		ID: id, AltID: altID, Country: "Germany", Start: "2026-01-01", End: "2027-01-01", Methodology: "Agriculture", Hectares: &hectares,
		Polygons: [][][]float64{{{lon, lat, lon + .01, lat, lon + .01, lat + .01, lon, lat + .01, lon, lat}}},
	}
}

// example has a field of each state.
func example() *Document {
	d := &Document{Title: "Example", From: "METI", Made: time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC), Overlap: .02}
	for i, altID := range []string{"clear", "own", "both", "other", "invalid"} {
		d.Fields = append(d.Fields, square(fmt.Sprintf("src_%013d", i), altID, 9+.004*float64(i), 48))
	}
	f := d.Fields
	shared, share := 1.5, .5
	f[1].Conflict, f[1].Share, f[1].With = true, &share, []Partner{{Index: 2, ID: f[2].ID, AltID: f[2].AltID, Own: true, Hectares: &shared}}
	f[2].Conflict, f[2].Share = true, &share
	f[2].With = []Partner{{Index: 1, ID: f[1].ID, AltID: f[1].AltID, Own: true, Hectares: &shared}, {Index: -1, ID: "src_elsewhere0001"}}
	f[3].Conflict, f[3].Share, f[3].With = true, &share, []Partner{{Index: -1, ID: "src_elsewhere0002"}}
	f[4].Invalid, f[4].Hectares, f[4].Problems = true, nil, []string{"the ring crosses itself"}
	return d
}

func write(t testing.TB, d *Document) string {
	t.Helper()
	var out bytes.Buffer
	if err := d.HTML(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A conflict of two own fields is one pair, though both name it; the sum of
// hectares is that of the fields whose hectares are known.
func TestSummary(t *testing.T) {
	s := example().Summary()
	if s.Fields != 5 || s.Clear != 1 || s.Conflict != 3 || s.Own != 2 || *s.Other != 2 || s.Both != 1 || s.Invalid != 1 ||
		s.Pairs != 1 || s.OverlapPairs != 1 || s.Shared != 1.5 || s.Hectares != 300 || math.Abs(s.Acres-741.316) > .001 {
		t.Errorf("%+v", s)
	}
	if len(s.Countries) != 1 || *s.Countries[0] != (Count{"Germany", 5, 300, s.Acres, 3}) {
		t.Errorf("%+v", s.Countries)
	}
	d := example()
	d.Overlap, d.Offline = .021, true
	if s := d.Summary(); s.OverlapPairs != 0 || s.Other != nil || s.Protected != nil {
		t.Errorf("%+v", s)
	}
}

// The document's policy allows its own styles and scripts, as they stand, and
// nothing else.
func TestPolicyHoldsTheHashes(t *testing.T) {
	text := write(t, example())
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(text)[1]
	policy = strings.NewReplacer("&#39;", "'", "&#43;", "+").Replace(policy)
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %s", policy)
	}
	found := regexp.MustCompile(`(?s)<(?:style|script)>(.*?)</(?:style|script)>`).FindAllStringSubmatch(text, -1)
	if len(found) != 4 || strings.Contains(text, "\r") {
		t.Fatalf("%d styles and scripts", len(found))
	}
	for _, one := range found {
		sum := sha256.Sum256([]byte(one[1]))
		if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(policy, "'sha256-"+hash+"'") {
			t.Errorf("the policy has no hash of %.60q", one[1])
		}
	}
	for _, notice := range []string{"Volodymyr Agafonkin", "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS", "Leaflet 1.9.4"} {
		if !strings.Contains(text, notice) {
			t.Errorf("Leaflet's notice %q is gone", notice)
		}
	}
}

// Foreign text is text, wherever it stands in the document.
func TestHostileText(t *testing.T) {
	d := example()
	const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(1)>"'`
	d.Title, d.From = hostile, hostile
	for i := range d.Fields {
		f := &d.Fields[i]
		f.ID, f.AltID, f.Country, f.Methodology, f.Protected, f.Problems = hostile, hostile, hostile, hostile, hostile, []string{hostile}
		for k := range f.With {
			f.With[k].ID, f.With[k].AltID = hostile, hostile
		}
	}
	text := write(t, d)
	if strings.Contains(text, "<img") || strings.Contains(text, "alert(1)</script>") || strings.Count(text, "<script") != 3 {
		t.Error("foreign text became HTML")
	}
}

// What is not known is not none, and a large account is not listed whole.
func TestDocumentSaysWhatItLeavesOut(t *testing.T) {
	d := example()
	d.Offline = true
	if text := write(t, d); strings.Count(text, "only registering tells of those") != 2 {
		t.Error("a report of a file does not say what it cannot know")
	}
	d = example()
	for i := range mostListed {
		d.Fields = append(d.Fields, square(fmt.Sprintf("src_x%012d", i), fmt.Sprintf("more-%d", i), 20, 10))
	}
	text := write(t, d)
	if !strings.Contains(text, "1,001 of 1,005 fields have nothing to say") || !strings.Contains(text, "-o csv") || strings.Contains(text, ">more-7<") || !strings.Contains(text, ">both<") {
		t.Error("a report of 1,005 fields does not say which it lists")
	}
}

// Large is an account of n fields of 40 vertices, 272 pairs of them in conflict.
func Large(n int) *Document {
	d := &Document{Title: "Large", From: "METI", Made: time.Unix(0, 0), Overlap: .02}
	r := rand.New(rand.NewPCG(1, 2))
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	side := int(math.Ceil(math.Sqrt(float64(n))))
	for i := range n {
		id := []byte("src_")
		for range 13 {
			id = append(id, letters[r.IntN(len(letters))])
		}
		f := square(string(id), fmt.Sprintf("FARM-%05d", i), 0, 0)
		x, y, radius := -98+.011*float64(i%side), 38+.011*float64(i/side), .0045*(.7+.3*r.Float64())
		var ring []float64
		for k := range 40 {
			a, far := 2*math.Pi*float64(k)/40, radius*(.9+.1*r.Float64())
			ring = append(ring, x+far*math.Cos(a)*1.3, y+far*math.Sin(a))
		}
		f.Polygons = [][][]float64{{append(ring, ring[0], ring[1])}}
		d.Fields = append(d.Fields, f)
	}
	shared, share := 1.5, .02
	for k := range 272 {
		i, j := k*n/272, k*n/272+1
		d.Fields[i].With = []Partner{{Index: j, ID: d.Fields[j].ID, AltID: d.Fields[j].AltID, Own: true, Hectares: &shared}}
		d.Fields[i].Conflict, d.Fields[i].Share = true, &share
	}
	return d
}

func TestSize(t *testing.T) {
	if size := len(write(t, Large(20_000))); size >= 4_000_000 {
		t.Errorf("20,000 fields of 40 vertices take %d bytes", size)
	}
}
