package fields

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

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
// the same boundary too. It keeps some seventy bytes of each.
type Repeats struct {
	seen  []seen
	first map[[16]byte]int32 // with an id and a period, or also with a form that is not the first one's
}

// seen is a feature, with two others that have its id and period, -1 for none:
// same has its boundary too, other does not.
type seen struct {
	form              Form
	line, same, other int32
}

// Add takes the next feature, whose form is FormOf its shape.
func (r *Repeats) Add(line int, f *Judged, form Form) {
	i := int32(len(r.seen))
	r.seen = append(r.seen, seen{form, int32(line), -1, -1})
	if f.Shape == nil || f.Problems.Refused() {
		return
	}
	if r.first == nil {
		r.first = map[[16]byte]int32{}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", f.Period.Start, f.Period.End, f.AltID))
	first, known := r.first[[16]byte(sum[:])]
	if !known {
		r.first[[16]byte(sum[:])] = i
		return
	}
	twin := first
	if form != r.seen[first].form {
		link(&r.seen[first].other, first, &r.seen[i].other, i)
		sum = sha256.Sum256(append(sum[:], form[:]...))
		if twin, known = r.first[[16]byte(sum[:])]; !known {
			r.first[[16]byte(sum[:])] = i
			return
		}
	}
	link(&r.seen[twin].same, twin, &r.seen[i].same, i)
}

// link tells a feature of an earlier one, and that one of it unless it knows of
// another already.
func link(ofEarlier *int32, earlier int32, ofLater *int32, later int32) {
	if *ofLater = earlier; *ofEarlier < 0 {
		*ofEarlier = later
	}
}

// Problems says what feature i, in the order of Add, has in common with others;
// known once all were added.
func (r *Repeats) Problems(i int, rules ledger.Rules) ledger.Problems {
	name := func(other int32) string {
		return fmt.Sprintf("feature %d in line %d", other, r.seen[other].line)
	}
	var p ledger.Problem
	switch f := r.seen[i]; {
	case f.same >= 0:
		p = ledger.NewProblem(ledger.RuleRepeatedFeature, "", name(f.same)+" has the same id, period and boundary", "take one out")
	case f.other >= 0:
		p = ledger.NewProblem(ledger.RuleRepeatedAltID, "", name(f.other)+" has the same id and period, and another boundary",
			"give each field an id of its own: METI deletes by it, and would delete both")
	default:
		return nil
	}
	return rules.Apply(ledger.Problems{p})
}
