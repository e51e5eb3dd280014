package register

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

// mostClashes is how many conflicts are kept of a feature; a stack of thousands
// would have their square.
const mostClashes = 64

// crowded reports whether a feature may have more of them than are kept: then it
// waits for all before it.
func (j *Job) crowded(i int) bool { return max(len(j.clash[i]), len(j.with[i])) >= mostClashes }

// neighbours are sources of the account that are no feature's: what is sent may
// conflict with them. Their boundaries are in a temporary file.
type neighbours struct {
	shapes  fields.Shapes
	list    []neighbour
	unshown int   // those without a boundary
	failed  error // why a boundary is not among the shapes
}

type neighbour struct {
	Party
	period ledger.Period
	box    box
}

func (n *neighbours) close() {
	n.shapes.Close()
	*n = neighbours{}
}

func (n *neighbours) add(s *api.Source) {
	shape, err := ledger.ParseGeometry(s.Boundary())
	if err != nil || shape.Empty() {
		n.unshown++
		return
	}
	n.failed = cmp.Or(n.failed, n.shapes.Add(s.Boundary()))
	n.list = append(n.list, neighbour{Party{s.ID, s.AltID}, periodOf(s), boxOf(shape)})
}

// findClashes finds what would conflict of what is to be sent: with others of
// the input, and with what was read of the account. Only the newcomer of two is
// shrunk by 9 metres [D], so that it matters which comes first.
func (j *Job) findClashes(ctx context.Context) error {
	j.clash, j.with = map[int][]int{}, map[int][]Party{}
	if err := j.neighbours.failed; err != nil {
		return fmt.Errorf("keeping the boundaries of the account in a temporary file: %w", err)
	}
	open := j.where(func(i int, e *entry) bool { return j.toSend(i) || e.state == Unknown && !j.former(i) })
	if len(open) == 0 {
		return nil
	}
	// The neighbours come first, then entries that METI has, then those to be sent.
	entries := j.where(func(i int, _ *entry) bool { return j.has(i) && !j.toSend(i) && !j.former(i) })
	near := len(j.neighbours.list)
	batch := ledger.Batch{Stored: near + len(entries), Entries: make([]ledger.Entry, 0, near+len(entries)+len(open))}
	entries = append(entries, open...)
	for _, n := range j.neighbours.list {
		batch.Entries = append(batch.Entries, ledger.Entry{Box: n.box.wide(), Period: n.period})
	}
	for _, i := range entries {
		batch.Entries = append(batch.Entries, ledger.Entry{Box: j.entries[i].box.wide(), Period: j.entries[i].period})
	}
	batch.Load = func(n int) (*ledger.Shape, error) {
		if n < near {
			return j.neighbours.shapes.At(n)
		}
		return j.shape(entries[n-near])
	}
	j.progress(Progress{Stage: StageConflicts})
	var mu sync.Mutex
	return batch.EachNear(ctx, func(n int, self *ledger.Shape, before int, other *ledger.Shape) (bool, error) {
		i, k := entries[n-near], -1 // the other one's entry, unless it is a neighbour
		var theirs Party
		if before >= near {
			k = entries[before-near]
			theirs = j.party(k)
		} else {
			theirs = j.neighbours.list[before].Party
		}
		// The order does not depend on a table of countries, which may differ from METI's.
		of := func(s *ledger.Shape) ledger.Source {
			return ledger.Source{Shape: s, Period: j.entries[i].period, Country: "-"}
		}
		conflict := ledger.Conflict(of(self), of(other)) && j.inOneCountry(self, other) &&
			(k >= 0 || theirs.ID != j.willReplace(i)) // that will be deleted
		clash := before >= batch.Stored && (ledger.NearConflict(of(self), of(other)) || ledger.NearConflict(of(other), of(self)))
		mu.Lock()
		defer mu.Unlock()
		if clash {
			j.clash[i] = append(j.clash[i], k)
			j.clash[k] = append(j.clash[k], i)
		}
		if conflict {
			j.with[i] = append(j.with[i], theirs)
			if k >= 0 {
				j.with[k] = append(j.with[k], j.party(i))
			}
		}
		return !j.crowded(i), nil
	})
}

// inOneCountry reports whether two shapes lie in one country, as far as is known.
func (j *Job) inOneCountry(a, b *ledger.Shape) bool {
	if j.CountryOf == nil {
		return true
	}
	country := j.CountryOf(a)
	return country != "" && country == j.CountryOf(b)
}

// party names a feature of the input.
func (j *Job) party(i int) Party {
	p := Party{AltID: j.entries[i].altID}
	if j.has(i) {
		p.ID = j.sources[j.entries[i].source].id
	}
	return p
}
