package register

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/meti-go/meti/ledger"
)

// A boundary is the same however it is written, and however METI rounds it; one
// that was moved is another one.
func TestSameShape(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	write := func(rings [][][2]float64, format string, multi bool) *ledger.Shape {
		text := ""
		for i, ring := range rings {
			if i > 0 {
				text += ","
			}
			text += "["
			for k := range len(ring) + 1 {
				if k > 0 {
					text += ","
				}
				text += fmt.Sprintf("["+format+","+format+"]", ring[k%len(ring)][0], ring[k%len(ring)][1])
			}
			text += "]"
		}
		text = `{"type":"Polygon","coordinates":[` + text + "]}"
		if multi {
			text = `{"type":"MultiPolygon","coordinates":[` + text[len(`{"type":"Polygon","coordinates":`):len(text)-1] + "]}"
		}
		shape, err := ledger.ParseGeometry([]byte(text))
		if err != nil {
			t.Fatal(err, text)
		}
		return shape
	}
	for range 200 {
		rings := make([][][2]float64, 1+random.IntN(4))
		for i := range rings {
			rings[i] = make([][2]float64, 3+random.IntN(10))
			for k := range rings[i] {
				rings[i][k] = [2]float64{random.Float64(), random.Float64()}
			}
		}
		first := write(rings, "%v", false)
		turned := make([][][2]float64, len(rings))
		for i, ring := range rings {
			by := random.IntN(len(ring))
			turned[i] = append(slices.Clone(ring[by:]), ring[:by]...)
			if random.IntN(2) == 0 {
				slices.Reverse(turned[i])
			}
		}
		random.Shuffle(len(turned)-1, func(i, k int) { turned[i+1], turned[k+1] = turned[k+1], turned[i+1] })
		for decimals := 6; decimals <= 9; decimals++ {
			if !sameShape(first, write(turned, fmt.Sprintf("%%.%df", decimals), random.IntN(2) == 0), decimals) {
				t.Fatalf("%d decimals make another one of %v", decimals, turned)
			}
		}
		ring := turned[random.IntN(len(turned))]
		ring[random.IntN(len(ring))][random.IntN(2)] += 2e-6
		if sameShape(first, write(turned, "%v", false), 6) {
			t.Fatal("a shift goes unseen")
		}
	}
}

func TestDecimals(t *testing.T) {
	for text, want := range map[string]int{
		`{"type":"Polygon","coordinates":[[[1,2]]]}`:         6,
		`{"coordinates":[[[1.25,2.1234567]]],"type":"Elle"}`: 7,
		`[0.123456789012,1]`:                                 9,
		`[1e-7]`:                                             9,
		`[0.123456,-0.1]`:                                    6,
	} {
		if got := decimalsOf([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
