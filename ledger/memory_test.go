package ledger_test

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/meti-go/meti/ledger"
)

// A batch holds few of its shapes at a time, however many of them conflict. It is
// judged on one core, for each further one has shapes of its own in hand.
func TestBatchMemory(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const n, corners = 3000, 100
	shape := func(i int) *ledger.Shape {
		// Pairs, each of them 30 metres beside the other, far from the next pair.
		west, south := float64(i/2%50)*0.02, 44+float64(i/2/50)*0.02
		west += float64(i%2) * 0.0004
		text := []byte(`{"type":"Polygon","coordinates":[[`)
		for k := range corners {
			sin, cos := math.Sincos(2 * math.Pi * float64(k%(corners-1)) / (corners - 1))
			text = fmt.Appendf(text, "[%v,%v],", west+0.004*cos, south+0.004*sin)
		}
		s, err := ledger.ParseGeometry(append(text[:len(text)-1], "]]}"...))
		if err != nil {
			t.Error(err)
		}
		return s
	}
	var b ledger.Batch
	for i := range n {
		b.Entries = append(b.Entries, ledger.EntryOf(ledger.Source{Shape: shape(i), Country: "France", Period: ledger.Period{End: 1}}))
	}
	// What others allocate between the two steps is not in use for long: the least
	// of some looks is without it.
	inUse := func() uint64 {
		least := uint64(math.MaxUint64)
		for range 4 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			least = min(least, m.HeapAlloc)
		}
		return least
	}
	before := inUse()
	var loads, most atomic.Uint64
	b.Load = func(i int) (*ledger.Shape, error) {
		if loads.Add(1)%200 == 0 {
			if used := inUse(); used > most.Load() {
				most.Store(used)
			}
		}
		return shape(i), nil
	}
	verdicts, err := b.Judge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		if len(v.With) != 1 || v.With[0] != i^1 || v.PercentOverlap == nil {
			t.Fatalf("%d: %+v", i, v)
		}
	}
	grown := int64(most.Load()) - int64(before)
	t.Logf("%d loads, %d KB", loads.Load(), grown>>10)
	if grown > 6<<20 { // all of them would take 10 MB
		t.Errorf("judging %d sources took %d KB more than it began with", n, grown>>10)
	}
}
