package register

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"github.com/meti-go/meti/ledger"
)

// tolerance is how far a coordinate of an answer may be from what was sent, in
// degrees: PostGIS writes nine decimals.
const tolerance = 1e-8

// hash is as much of a SHA-256 as identity needs.
type hash [16]byte

func sum(data []byte) hash {
	full := sha256.Sum256(data)
	return hash(full[:16])
}

// ring is a closed line without its last position, which repeats the first.
type ring [][2]float64

// outline is a geometry as it is compared: polygons of rings, shell first.
// What is not made of polygons is compared by its well-known binary alone.
type outline struct {
	polygons [][]ring
	other    []byte
}

func outlineOf(shape *ledger.Shape) outline {
	wkb, err := shape.MarshalBinary()
	if err != nil {
		return outline{}
	}
	r := wkbReader{rest: wkb}
	if polygons := r.polygons(); polygons != nil && len(r.rest) == 0 && !r.short {
		return outline{polygons: polygons}
	}
	return outline{other: wkb}
}

// wkbReader reads little-endian polygons without Z (OGC 06-103r4).
type wkbReader struct {
	rest  []byte
	short bool
}

func (r *wkbReader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.short, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *wkbReader) count() int {
	if b := r.take(4); b != nil {
		return int(binary.LittleEndian.Uint32(b))
	}
	return 0
}

func (r *wkbReader) polygons() [][]ring {
	const polygon, multiPolygon = 3, 6
	if order := r.take(1); order == nil || order[0] != 1 {
		return nil
	}
	switch r.count() {
	case polygon:
		rings := []ring{}
		for n := r.count(); n > 0 && !r.short; n-- {
			rings = append(rings, r.ring())
		}
		return [][]ring{rings}
	case multiPolygon:
		all := [][]ring{}
		for n := r.count(); n > 0 && !r.short; n-- {
			one := r.polygons()
			if len(one) != 1 {
				return nil
			}
			all = append(all, one[0])
		}
		return all
	}
	return nil
}

func (r *wkbReader) ring() ring {
	n := r.count()
	data := r.take(n * 16)
	if data == nil {
		return nil
	}
	line := make(ring, n)
	for i := range line {
		line[i][0] = math.Float64frombits(binary.LittleEndian.Uint64(data[i*16:]))
		line[i][1] = math.Float64frombits(binary.LittleEndian.Uint64(data[i*16+8:]))
	}
	if n > 1 && line[0] == line[n-1] {
		line = line[:n-1]
	}
	return line
}

// hash names the geometry, wherever its rings start, whichever way they run
// and in whichever order its holes and parts stand.
func (o outline) hash() hash {
	if o.polygons == nil {
		return sum(append([]byte("other\n"), o.other...))
	}
	var parts [][]byte
	for _, polygon := range o.polygons {
		var rings [][]byte
		for _, line := range polygon {
			h := sum(line.canonical())
			rings = append(rings, h[:])
		}
		if len(rings) > 1 {
			slices.SortFunc(rings[1:], bytes.Compare)
		}
		h := sum(bytes.Join(rings, nil))
		parts = append(parts, h[:])
	}
	slices.SortFunc(parts, bytes.Compare)
	return sum(bytes.Join(parts, nil))
}

func comparePositions(a, b [2]float64) int {
	return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
}

// canonical writes the ring from its smallest position on, towards the smaller
// of that one's neighbours.
func (line ring) canonical() []byte {
	n := len(line)
	if n == 0 {
		return nil
	}
	first := 0
	for i := range line {
		if comparePositions(line[i], line[first]) < 0 {
			first = i
		}
	}
	step := 1
	if comparePositions(line[(first+n-1)%n], line[(first+1)%n]) < 0 {
		step = n - 1
	}
	out := make([]byte, 0, n*16)
	for i, at := 0, first; i < n; i, at = i+1, (at+step)%n {
		for _, v := range line[at] {
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v+0)) // +0 makes -0 a 0
		}
	}
	return out
}

// same reports whether two outlines agree within the tolerance.
func (o outline) same(p outline) bool {
	if o.polygons == nil || p.polygons == nil {
		return o.polygons == nil && p.polygons == nil && bytes.Equal(o.other, p.other)
	}
	return pairUp(o.polygons, p.polygons, func(a, b []ring) bool {
		if len(a) == 0 || len(b) == 0 {
			return len(a) == len(b)
		}
		return a[0].same(b[0]) && pairUp(a[1:], b[1:], ring.same)
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

func (line ring) same(other ring) bool {
	n := len(line)
	if n != len(other) {
		return false
	}
	if n == 0 {
		return true
	}
	near := func(a, b [2]float64) bool {
		return math.Abs(a[0]-b[0]) <= tolerance && math.Abs(a[1]-b[1]) <= tolerance
	}
	for start := range other {
		if !near(line[0], other[start]) {
			continue
		}
		for _, step := range [2]int{1, n - 1} {
			at, i := start, 0
			for i < n && near(line[i], other[at]) {
				i, at = i+1, (at+step)%n
			}
			if i == n {
				return true
			}
		}
	}
	return false
}

// sameArea reports whether two areas in hectares agree within a share of them.
func sameArea(a, b, share float64) bool {
	return math.Abs(a-b) <= share*max(math.Abs(a), math.Abs(b))
}
