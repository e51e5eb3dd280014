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

// FormOf gives the form of a shape.
func FormOf(s *ledger.Shape) Form {
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
	var f Form
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
	seen   []seen
	groups []group            // of several
	first  map[[16]byte]int32 // of an id and a period
	same   map[same]pair      // of groups
}

// seen is a feature; its group is -1 where it has none.
type seen struct {
	form        Form
	group, line int32
}

// group is several features of an id and a period: the first one, and the first
// with another form than that.
type group struct{ first, other int32 }

// same is the features of a group that have one form; pair is the first two.
type same struct {
	group int32
	form  Form
}

type pair struct{ n, first, second int32 }

// Add takes the next feature, whose form is FormOf its shape.
func (r *Repeats) Add(line int, f *Judged, form Form) {
	i := int32(len(r.seen))
	r.seen = append(r.seen, seen{form, -1, int32(line)})
	if f.Shape == nil || f.Problems.Refused() {
		return
	}
	if r.first == nil {
		r.first, r.same = map[[16]byte]int32{}, map[same]pair{}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", f.Period.Start, f.Period.End, f.AltID))
	key := [16]byte(sum[:])
	start, again := r.first[key]
	if !again {
		r.first[key] = i
		return
	}
	k := r.seen[start].group
	if k < 0 {
		k = int32(len(r.groups))
		r.groups = append(r.groups, group{first: start})
		r.seen[start].group = k
		r.same[same{k, r.seen[start].form}] = pair{n: 1, first: start}
	}
	r.seen[i].group = k
	g := &r.groups[k]
	first := r.seen[g.first].form
	if form != first && g.other == 0 {
		g.other = i
	}
	p := r.same[same{k, form}]
	switch p.n++; p.n {
	case 1:
		p.first = i
	case 2:
		p.second = i
	}
	r.same[same{k, form}] = p
}

// Problems says what feature i, in the order of Add, has in common with others;
// known once all were added.
func (r *Repeats) Problems(i int, rules ledger.Rules) ledger.Problems {
	self := r.seen[i]
	if self.group < 0 {
		return nil
	}
	g := r.groups[self.group]
	name := func(other int32) string {
		return fmt.Sprintf("feature %d in line %d", other, r.seen[other].line)
	}
	if p := r.same[same{self.group, self.form}]; p.n > 1 {
		other := p.first
		if int32(i) == other {
			other = p.second
		}
		return rules.Apply(ledger.Problems{ledger.NewProblem(ledger.RuleRepeatedFeature, "",
			name(other)+" has the same id, period and boundary", "take one out")})
	}
	other := g.other
	if self.form != r.seen[g.first].form {
		other = g.first
	}
	return rules.Apply(ledger.Problems{ledger.NewProblem(ledger.RuleRepeatedAltID, "",
		name(other)+" has the same id and period, and another boundary",
		"give each field an id of its own: METI deletes by it, and would delete both")})
}
