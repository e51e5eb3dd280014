package emulator

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/meti-go/meti/ledger"
)

func testStore(t *testing.T) *store {
	t.Helper()
	st, err := openStore("", production, Options{Seed: 1, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// between commits a change of nothing.
func between(t *testing.T, st *store) {
	t.Helper()
	if err := st.write(func(*sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestHeavyPlansStayOutside: a plan that needs much geometry is made outside
// the turn again when another change came between, so that nobody waits for it;
// a light one is made in the turn; and even where others keep coming between,
// it ends.
func TestHeavyPlansStayOutside(t *testing.T) {
	for _, one := range []struct {
		name             string
		vertices         int
		disturbances     int
		outside, in, ran int
	}{
		{"undisturbed", 1 << 20, 0, 1, 0, 1},
		{"light", 100, 1, 1, 1, 1},
		{"heavy", 1 << 20, 1, 2, 1, 1},
		{"heavy and hunted", 1 << 20, 1 << 20, outsideTries + 1, outsideTries + 1, 1},
	} {
		t.Run(one.name, func(t *testing.T) {
			st := testStore(t)
			outside, in, ran := 0, 0, 0
			err := st.change(func(v view, m *memo) (func(*sql.Tx) error, error) {
				if v.tx == nil {
					outside++
					if outside <= one.disturbances {
						between(t, st)
					}
				} else {
					in++
				}
				// Each time something is there that was not the time before.
				key := [2]int64{int64(outside), int64(in)}
				_, err := remember(m, m.meets, key, one.vertices, func() bool { return true })
				return func(*sql.Tx) error { ran++; return nil }, err
			})
			if err != nil || outside != one.outside || in != one.in || ran != one.ran {
				t.Errorf("%d outside, %d in turn, carried out %d times, %v; want %d, %d, %d", outside, in, ran, err, one.outside, one.in, one.ran)
			}
		})
	}
}

// TestMemoInTurn: what was computed outside is not computed again in the turn.
func TestMemoInTurn(t *testing.T) {
	st := testStore(t)
	computed := 0
	err := st.change(func(v view, m *memo) (func(*sql.Tx) error, error) {
		if v.tx == nil {
			between(t, st)
		}
		_, err := remember(m, m.meets, [2]int64{1, 2}, 1<<20, func() bool { computed++; return true })
		return func(*sql.Tx) error { return nil }, err
	})
	if err != nil || computed != 1 {
		t.Errorf("computed %d times, %v", computed, err)
	}
}

// TestPanicsBecomeErrors: a geometry that the library panics over ends its
// request, not the server.
func TestPanicsBecomeErrors(t *testing.T) {
	for _, n := range []int{1, 50} {
		err := parallel(n, func(i int) error {
			if i == n-1 {
				panic("unheard of")
			}
			return nil
		})
		if err == nil {
			t.Errorf("%d: no error", n)
		}
	}
	fail := errors.New("fail")
	if err := parallel(50, func(int) error { return fail }); !errors.Is(err, fail) {
		t.Error(err)
	}
}

// TestShapeCache stays within its bound and keeps what was put last.
func TestShapeCache(t *testing.T) {
	shape, err := ledger.ParseGeometry([]byte(`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	c := newShapeCache()
	const most = cachedVertices / 5
	for id := range int64(2 * most) {
		c.put(id, ledger.Source{Shape: shape})
		c.put(id, ledger.Source{Shape: shape}) // again changes nothing
		if _, ok := c.get(id); !ok {
			t.Fatalf("%d is gone at once", id)
		}
	}
	if len(c.sources) != most || c.vertices != cachedVertices {
		t.Errorf("%d sources, %d vertices", len(c.sources), c.vertices)
	}
}

// TestPlanMeetsDeletion: what a plan outside looks at may be gone before it has
// looked; the plan in the turn knows better.
func TestPlanMeetsDeletion(t *testing.T) {
	st := testStore(t)
	err := st.change(func(v view, m *memo) (func(*sql.Tx) error, error) {
		if v.tx == nil {
			between(t, st)
			return nil, sql.ErrNoRows
		}
		return func(*sql.Tx) error { return nil }, nil
	})
	if err != nil {
		t.Error(err)
	}
	err = st.change(func(view, *memo) (func(*sql.Tx) error, error) { return nil, sql.ErrNoRows })
	if !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("an error of its own became %v", err)
	}
}

// register stores small squares for account a, far from each other.
func registerSquares(t *testing.T, st *store, n int, geometry []byte) {
	t.Helper()
	var news []newcomer
	for range n {
		shape, err := ledger.ParseGeometry([]byte(`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}`))
		if err != nil {
			t.Fatal(err)
		}
		binary, err := shape.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		news = append(news, newcomer{Source: ledger.Source{Shape: shape}, altID: "x", document: []byte(`"a":1`), geometry: geometry, shape: binary})
	}
	if _, err := st.register("a", news, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
}

// TestListIsStreamed: a list comes in chunks of a bounded size, and holds
// nothing of the database between them.
func TestListIsStreamed(t *testing.T) {
	st := testStore(t)
	geometry := []byte(`"` + string(make([]byte, 100_000)) + `"`)
	registerSquares(t, st, 50, geometry)
	chunks, count := 0, 0
	err := st.list(t.Context(), filter{}, 0, -1, 0, func(chunk []byte) error {
		if len(chunk) > listChunk+len(geometry)+1000 {
			t.Errorf("a chunk of %d bytes", len(chunk))
		}
		chunks++
		count += bytes.Count(chunk, []byte(`"a":1`))
		registerSquares(t, st, 1, geometry) // would wait for ever if the list held on
		return nil
	})
	if err != nil || chunks < 5 || count != 50 {
		t.Errorf("%d sources in %d chunks, %v", count, chunks, err)
	}
	stop := errors.New("the client has gone")
	if err := st.list(t.Context(), filter{}, 0, -1, 0, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// TestRollback: a change that fails leaves nothing behind, not even in the
// cache of shapes, whose ids are then given to others.
func TestRollback(t *testing.T) {
	st := testStore(t)
	if _, err := st.db.ExecContext(forever, "CREATE TRIGGER full BEFORE INSERT ON source WHEN new.id = 2 BEGIN SELECT raise(ABORT, 'disk full'); END"); err != nil {
		t.Fatal(err)
	}
	shape, err := ledger.ParseGeometry([]byte(`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	one := newcomer{Source: ledger.Source{Shape: shape}, document: []byte(`"a":1`), geometry: []byte("null"), shape: []byte{0}}
	if _, err := st.register("a", []newcomer{one, one}, math.MaxInt64); err == nil {
		t.Fatal("it was stored")
	}
	if len(st.shapes.sources) > 0 {
		t.Error("shapes of sources that do not exist are cached")
	}
	if err := st.list(t.Context(), filter{}, 0, -1, 0, func([]byte) error { t.Error("a part is stored"); return nil }); err != nil {
		t.Error(err)
	}
	if _, err := st.register("a", []newcomer{one}, math.MaxInt64); err != nil {
		t.Error("the store is stuck:", err)
	}
}

// TestNewConns: those that brought no request are closed, the others are not.
func TestNewConns(t *testing.T) {
	n := newConns{conns: make(map[net.Conn]struct{})}
	closed := func(conn net.Conn) bool {
		_ = conn.SetDeadline(time.Now().Add(-time.Second))
		_, err := conn.Write([]byte{0})
		return errors.Is(err, io.ErrClosedPipe)
	}
	unused, _ := net.Pipe()
	used, _ := net.Pipe()
	late, _ := net.Pipe()
	n.track(unused, http.StateNew)
	n.track(used, http.StateNew)
	n.track(used, http.StateActive)
	n.close()
	n.track(late, http.StateNew)
	if !closed(unused) || closed(used) || !closed(late) {
		t.Error(closed(unused), closed(used), closed(late))
	}
	used.Close()
}
