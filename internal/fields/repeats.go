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
			var before [16]byte
			for i := 0; i < len(ring); i += 2 {
				at := position(ring[i:])
				a, b := before, at
				if before = at; i == 0 || a == b {
					continue
				}
				if bytes.Compare(a[:], b[:]) > 0 {
					a, b = b, a
				}
				var edge [32]byte
				copy(edge[:], a[:])
				copy(edge[16:], b[:])
				sum := sha256.Sum256(edge[:])
				low += binary.LittleEndian.Uint64(sum[:])
				high += binary.LittleEndian.Uint64(sum[8:])
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
	seen []seen
}

// seen is what there is to compare of a feature.
type seen struct {
	same        [16]byte // a hash of its id and period
	form        Form
	index, line int32
}

// Add takes a feature, whose form is FormOf its shape.
func (r *Repeats) Add(p Place, f *Judged, form Form) {
	if f.Shape != nil && !f.Problems.Refused() {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", f.Period.Start, f.Period.End, f.AltID))
		r.seen = append(r.seen, seen{[16]byte(sum[:]), form, int32(p.Index), int32(p.Line)})
	}
}

// Problems says what features have in common with others, by their indexes.
func (r *Repeats) Problems(rules ledger.Rules) map[int]ledger.Problems {
	slices.SortFunc(r.seen, func(a, b seen) int {
		return cmp.Or(bytes.Compare(a.same[:], b.same[:]), bytes.Compare(a.form[:], b.form[:]), cmp.Compare(a.index, b.index))
	})
	found := map[int]ledger.Problems{}
	note := func(one, other seen) {
		problem := ledger.NewProblem(ledger.RuleRepeatedAltID, "", "feature %d in line %d has the same id and period, and another boundary", other.index, other.line)
		if one.form == other.form {
			problem = ledger.NewProblem(ledger.RuleRepeatedFeature, "", "feature %d in line %d has the same id, period and boundary", other.index, other.line)
		}
		if known := found[int(one.index)]; known == nil || known[0].Rule == ledger.RuleRepeatedAltID {
			found[int(one.index)] = rules.Apply(ledger.Problems{problem})
		}
	}
	for k := 1; k < len(r.seen); k++ {
		if a, b := r.seen[k-1], r.seen[k]; a.same == b.same {
			note(a, b)
			note(b, a)
		}
	}
	return found
}
