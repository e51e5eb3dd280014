package fields

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/meti-go/meti/ledger"
)

// Form is what a boundary is, wherever a ring starts, in whichever direction it
// runs and in whichever order holes and parts stand: the sum of its edges. It
// takes positions within half of 1e-9 degrees, a tenth of a millimetre, for one.
type Form [16]byte

// FormOf gives the form of a shape, zero for nil.
func FormOf(s *ledger.Shape) (f Form) {
	if s == nil {
		return f
	}
	var low, high uint64
	for _, rings := range s.Polygons() {
		for _, ring := range rings {
			for i := 2; i+1 < len(ring); i += 2 {
				a, b := position(ring[i-2:]), position(ring[i:])
				switch bytes.Compare(a[:], b[:]) {
				case 0:
					continue
				case 1:
					a, b = b, a
				}
				edge := sha256.Sum256(append(a[:], b[:]...))
				low += binary.LittleEndian.Uint64(edge[:])
				high += binary.LittleEndian.Uint64(edge[8:])
			}
		}
	}
	binary.LittleEndian.PutUint64(f[:], low)
	binary.LittleEndian.PutUint64(f[8:], high)
	return f
}

func position(xy []float64) (at [16]byte) {
	for axis := range 2 {
		binary.LittleEndian.PutUint64(at[8*axis:], uint64(int64(math.RoundToEven(xy[axis]*1e9))))
	}
	return at
}

// Repeats finds features that have the same id and period, and those that have
// the same boundary too. It keeps some forty bytes of each, and is for one
// goroutine.
type Repeats struct {
	seen     []seen
	sorted   []int32 // all of seen, like beside like
	isSorted bool
}

// seen is what there is to compare of a feature.
type seen struct {
	same [16]byte // a hash of its id and period, zero where it has none
	form Form
	line int32
}

// Add takes the next feature, whose form is FormOf its shape.
func (r *Repeats) Add(line int, f *Judged, form Form) {
	one := seen{form: form, line: int32(line)}
	if f.Shape != nil && !f.Problems.Refused() {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", f.Period.Start, f.Period.End, f.AltID))
		one.same = [16]byte(sum[:])
	}
	r.seen = append(r.seen, one)
	r.sorted = append(r.sorted, int32(len(r.sorted)))
	r.isSorted = false
}

func (r *Repeats) compare(x, y int32) int {
	a, b := &r.seen[x], &r.seen[y]
	return cmp.Or(bytes.Compare(a.same[:], b.same[:]), bytes.Compare(a.form[:], b.form[:]), cmp.Compare(x, y))
}

// Problems says what feature i, in the order of Add, has in common with others;
// known once all were added.
func (r *Repeats) Problems(i int, rules ledger.Rules) (problems ledger.Problems) {
	if !r.isSorted {
		slices.SortFunc(r.sorted, r.compare)
		r.isSorted = true
	}
	at, _ := slices.BinarySearchFunc(r.sorted, int32(i), r.compare)
	for _, k := range r.sorted[max(at-1, 0):min(at+2, len(r.sorted))] {
		one, other := &r.seen[i], &r.seen[k]
		if int(k) == i || one.same != other.same || one.same == [16]byte{} {
			continue
		}
		name := fmt.Sprintf("feature %d in line %d", k, other.line)
		if one.form == other.form {
			problems = ledger.Problems{ledger.NewProblem(ledger.RuleRepeatedFeature, "", "%s has the same id, period and boundary", name)}
			break
		}
		problems = ledger.Problems{ledger.NewProblem(ledger.RuleRepeatedAltID, "", "%s has the same id and period, and another boundary", name)}
	}
	return rules.Apply(problems)
}
