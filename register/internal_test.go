package register

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/meti-go/meti/ledger"
)

// FuzzJournal opens any file as a journal: it is refused and left alone, or
// what was whole in it stays and can be added to.
func FuzzJournal(f *testing.F) {
	line := func(r record) string {
		text, err := encodeLine(r)
		if err != nil {
			f.Fatal(err)
		}
		return string(text)
	}
	account := line(record{Kind: kindAccount, Host: "h", Account: "a"})
	intent := line(record{Kind: kindIntent, At: time.Unix(0, 0), Marks: []mark{{Identity: hash{}.String(), AltID: "x"}}})
	for _, text := range []string{"", journalHead, journalHead[:5], journalHead + account, journalHead + account + intent,
		journalHead + account + intent[:20], journalHead + intent[:20] + account, journalHead + "00000000 \n", journalHead + "\n", journalHead + "\x00\x00", "{}", "\x00\x00\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(path)
		if err != nil {
			if after, _ := os.ReadFile(path); !bytes.Equal(after, data) {
				t.Fatalf("refused (%v) and changed to %q", err, after)
			}
			return
		}
		before, readErr := kinds(j)
		offset, err := j.append(record{Kind: kindNothing, Reason: "new"})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := j.at(offset); err != nil || r.Reason != "new" {
			t.Fatalf("%v %v", r, err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		again, err := openJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		defer again.close()
		after, err := kinds(again)
		if (err == nil) != (readErr == nil) || err == nil && !slices.Equal(after, append(before, kindNothing)) {
			t.Fatalf("%v then %v (%v)", before, after, err)
		}
	})
}

func kinds(j *journal) (list []string, err error) {
	err = j.lines(func(_ int64, line []byte) error {
		r, err := decodeLine(line)
		list = append(list, r.Kind)
		return err
	})
	return list, err
}

// FuzzFeature reads any feature: no panic, and one that is valid has the
// identity that it is loaded by again.
func FuzzFeature(f *testing.F) {
	for _, text := range []string{`{}`, `null`, `[]`, `{"type":"Feature","id":7,"properties":null,"geometry":null}`,
		`{"type":"Feature","id":"a","properties":{"start_at":"2026-01-01","end_at":"2026-12-31"},"geometry":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}}`,
		`{"type":"Feature","id":"a","properties":{"start_at":"now","end_at":"infinity"},"geometry":{"type":"Point","coordinates":[0,0,7]}}`,
		`{"type":"Feature","id":"a","properties":{"start_at":"-infinity","end_at":"2026-12-31"},"geometry":{"type":"GeometryCollection","geometries":[]}}`,
		`{"type":"Feature","id":"a","properties":{"start_at":"2026-01-01","end_at":"2026-12-31"},"geometry":{"type":"MultiPolygon","coordinates":[]}}`,
	} {
		f.Add([]byte(text))
	}
	m := newMapping(Options{})
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := m.read(text)
		if err != nil || !got.valid {
			return
		}
		if got.altID == "" {
			return
		}
		shape, err := ledger.ParseGeometry(got.geometry)
		if err != nil {
			t.Fatalf("valid, and cannot be read again: %v", err)
		}
		again := outlineOf(shape)
		if again.hash() != got.form || !again.same(*got.outline) {
			t.Fatal("read again it is another one")
		}
		_ = got.wire()
	})
}

// The identity of a boundary does not depend on how it is written.
func TestOutline(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	write := func(rings [][][2]float64) []byte {
		text := []byte(`{"type":"Polygon","coordinates":[`)
		for i, ring := range rings {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, '[')
			for k := range len(ring) + 1 {
				p := ring[k%len(ring)]
				if k > 0 {
					text = append(text, ',')
				}
				text = fmt.Appendf(text, "[%v,%v]", p[0], p[1])
			}
			text = append(text, ']')
		}
		return append(text, "]}"...)
	}
	outline := func(rings [][][2]float64) outline {
		shape, err := ledger.ParseGeometry(write(rings))
		if err != nil {
			t.Fatal(err)
		}
		return outlineOf(shape)
	}
	for range 200 {
		rings := make([][][2]float64, 1+random.IntN(4))
		for i := range rings {
			rings[i] = make([][2]float64, 3+random.IntN(10))
			for k := range rings[i] {
				rings[i][k] = [2]float64{random.Float64(), random.Float64()}
			}
		}
		first := outline(rings)
		turned := make([][][2]float64, len(rings))
		for i, ring := range rings {
			by := random.IntN(len(ring))
			turned[i] = append(slices.Clone(ring[by:]), ring[:by]...)
			if random.IntN(2) == 0 {
				slices.Reverse(turned[i])
			}
		}
		random.Shuffle(len(turned)-1, func(i, k int) { turned[i+1], turned[k+1] = turned[k+1], turned[i+1] })
		if o := outline(turned); o.hash() != first.hash() || !o.same(first) {
			t.Fatalf("%v is not %v", turned, rings)
		}
		ring := turned[random.IntN(len(turned))]
		k := random.IntN(len(ring))
		ring[k][0] += 0.9 * tolerance
		if o := outline(turned); !o.same(first) || o.hash() == first.hash() {
			t.Fatal("a rounding makes another boundary")
		}
		ring[k][1] += 2 * tolerance
		if outline(turned).same(first) {
			t.Fatal("a shift goes unseen")
		}
	}
}
