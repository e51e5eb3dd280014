package scan

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// sameNumber compares Number with strconv, bit by bit.
func sameNumber(t *testing.T, text string) {
	t.Helper()
	got, end, ok := Number([]byte(text), 0)
	want, err := strconv.ParseFloat(text, 64)
	valid := err == nil && json.Valid([]byte(text)) && strings.TrimSpace(text) == text
	if (ok && end == len(text)) != valid {
		t.Errorf("%q: ok is %v at %d, and strconv %v", text, ok, end, err)
	} else if valid && math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("%q: %v, and strconv %v", text, got, want)
	}
}

// sameCoordinate compares with Number and skipNumber what is made of a number that
// text enough follows to be read by words.
func sameCoordinate(t *testing.T, number string) {
	t.Helper()
	for _, behind := range []string{",42.0300000000000011368683772161602973937988281", "]" + strings.Repeat("9", 40), "\xff" + strings.Repeat("\xff", 40)} {
		text := []byte(number + behind)
		value, end, ok := coordinate(text, 0)
		wantValue, wantEnd, wantOK := Number(text, 0)
		if math.Float64bits(value) != math.Float64bits(wantValue) || end != wantEnd || ok != wantOK {
			t.Errorf("%q: %v %d %v, and plainly %v %d %v", text, value, end, ok, wantValue, wantEnd, wantOK)
		}
		end, ok = skipCoordinate(text, 0)
		if wantEnd, wantOK = skipNumber(text, 0); end != wantEnd || ok != wantOK {
			t.Errorf("%q: to %d %v, and plainly to %d %v", text, end, ok, wantEnd, wantOK)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "0.0", "-0.0", "1", "-1", "10", "00", "01", "-01", "", "-", ".", "1.", "-.5", ".5", ".25e1", "1.e5", "1e", "1e+", "1e5", "1E-5", "1.5e300", "1e400", "1e-400", "+1",
		"12345678", "123456789", "1234567890123456789", "9007199254740992", "9007199254740993", "9007199254740993.0", "18446744073709551615", "18446744073709551616",
		"99999999999999999999", "0.99999999999999999", "0.000000000000000000001", "0.0000000000000000001", "9.999999999999999999", "179.99999999999997", "-179.99999999999998",
		"90071992547409.93", "900719925474099.3", "1.00000000000000011102230246251565", "4503599627370496.5", "4503599627370497.5", "45035996273704965e-1", "05.125", "-05.125", "00.125", "-00.0", "007.5", "0x1p5", "1_0", "inf", "NaN", "1 ",
	} {
		sameNumber(t, text)
		sameCoordinate(t, text)
		got, end, ok := Number([]byte("["+text+","), 1)
		again, end2, ok2 := Number([]byte("["+text+",12345678"), 1) // with eight bytes to read at once
		if got != again || end != end2 || ok != ok2 {
			t.Errorf("%q: %v %v %v and %v %v %v", text, got, end, ok, again, end2, ok2)
		}
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for range 200_000 {
		value := (random.Float64() - 0.5) * 360
		text := strconv.FormatFloat(value, 'f', -1, 64)
		if random.IntN(2) == 0 {
			text = strconv.FormatFloat(value, 'f', random.IntN(20), 64)
		}
		if random.IntN(3) == 0 { // any digits: some are next to the middle of two float64
			text = strconv.FormatUint(1e18+random.Uint64N(9e18), 10)
			point := 1 + random.IntN(18)
			text = text[:point] + "." + text[point:]
		}
		sameNumber(t, text)
		sameCoordinate(t, text)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, text := range []string{"0", "-93.60123456789012", "1e5", "9007199254740993", "0.1234567890123456789", "18446744073709551615"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sameNumber(t, text)
		sameCoordinate(t, text)
	})
}
