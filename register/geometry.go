package register

import (
	"crypto/sha256"
	"math"

	"github.com/meti-go/meti/ledger"
)

// hash is as much of a SHA-256 as identity needs.
type hash [16]byte

func sum(data []byte) hash {
	full := sha256.Sum256(data)
	return hash(full[:16])
}

// finest is the precision of a form in degrees: a tenth of a millimetre.
const finest = 1e-9

// Decimals of an answer's coordinates: fewer than 6 are taken for numbers that
// happen to be short, for else 10.1 would be the same as 10.14.
const (
	fewestDecimals = 6
	mostDecimals   = 9
)

// open leaves out the last position of a closed ring, which repeats the first.
func open(ring []float64) []float64 {
	if n := len(ring); n > 2 && ring[0] == ring[n-2] && ring[1] == ring[n-1] {
		return ring[:n-2]
	}
	return ring
}

// sameShape reports whether two boundaries agree once both are rounded to a
// number of decimals.
func sameShape(a, b *ledger.Shape, decimals int) bool {
	if a.Polygons() == nil && b.Polygons() == nil {
		return boxOf(a).like(boxOf(b)) // points and lines, which the rules rarely let through
	}
	within := 0.5*math.Pow10(-decimals) + finest
	ring := func(a, b []float64) bool { return sameRing(open(a), open(b), within) }
	return len(a.Polygons()) > 0 && pairUp(a.Polygons(), b.Polygons(), func(a, b [][]float64) bool {
		if len(a) == 0 || len(b) == 0 {
			return len(a) == len(b)
		}
		return ring(a[0], b[0]) && pairUp(a[1:], b[1:], ring)
	})
}

// pairUp reports whether each of a has a partner of its own in b.
func pairUp[T any](a, b []T, same func(T, T) bool) bool {
	if len(a) != len(b) {
		return false
	}
	taken := make([]bool, len(b))
	for i, x := range a {
		found := false
		for k := range b {
			// The order is kept by most answers: try the same place first.
			j := (i + k) % len(b)
			if !taken[j] && same(x, b[j]) {
				taken[j], found = true, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// sameRing reports whether two rings hold the same positions, wherever they
// start and whichever way they run.
func sameRing(a, b []float64, within float64) bool {
	n := len(a) / 2
	if len(a) != len(b) {
		return false
	}
	near := func(i, k int) bool {
		return math.Abs(a[2*i]-b[2*k]) <= within && math.Abs(a[2*i+1]-b[2*k+1]) <= within
	}
	for start := range n {
		if !near(0, start) {
			continue
		}
		for _, step := range [2]int{1, n - 1} {
			at, i := start, 0
			for i < n && near(i, at) {
				i, at = i+1, (at+step)%n
			}
			if i == n {
				return true
			}
		}
	}
	return n == 0
}

// decimalsOf gives how many decimals the coordinates of an answer have, within
// what is taken for its own precision.
func decimalsOf(geometry []byte) int {
	most, run, counting := 0, 0, false
	for i, c := range geometry {
		switch {
		case c == '.':
			run, counting = 0, true
		case counting && c >= '0' && c <= '9':
			run++
			most = max(most, run)
		case (c == 'e' || c == 'E') && i > 0 && geometry[i-1] >= '0' && geometry[i-1] <= '9':
			return mostDecimals
		default:
			counting = false
		}
	}
	return min(max(most, fewestDecimals), mostDecimals)
}

// sameArea reports whether two areas in hectares agree.
func sameArea(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(math.Abs(a), math.Abs(b)) }

// box4 is a box in few bytes, good to a metre.
type box4 [4]float32

func boxOf(s *ledger.Shape) box4 {
	b, _ := s.Box()
	return box4{float32(b.West), float32(b.South), float32(b.East), float32(b.North)}
}

// like reports whether two boxes may be those of one boundary, rounded.
func (b box4) like(o box4) bool {
	for i := range b {
		if math.Abs(float64(b[i]-o[i])) > 2e-5 {
			return false
		}
	}
	return true
}

// meets reports whether two boxes share a point, or nearly so.
func (b box4) meets(o box4) bool {
	const more = 2e-5
	return b[0]-more <= o[2] && o[0]-more <= b[2] && b[1]-more <= o[3] && o[1]-more <= b[3]
}
