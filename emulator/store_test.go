package emulator

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/meti-go/meti/ledger"
)

func testStore(t *testing.T) *store {
	t.Helper()
	st, err := openStore("", production, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// TestNoPlaceForFiles has a store without a file be all in memory where no
// temporary file can be made.
func TestNoPlaceForFiles(t *testing.T) {
	if temporary() != "" {
		t.Fatal("it is in memory though there is a place for files")
	}
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	t.Setenv("TMP", t.TempDir()+"/missing") // on Windows
	st := testStore(t)
	registerSquares(t, st, 1)
	if err := errors.Join(st.remember(), st.reset()); err != nil {
		t.Error(err)
	}
	files, err := st.db.QueryContext(t.Context(), "SELECT name, file FROM pragma_database_list")
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for files.Next() {
		var name, file string
		if err := files.Scan(&name, &file); err != nil || file != "" || temporary() != ":memory:" {
			t.Errorf("%s is in %q, %v", name, file, err)
		}
	}
	if err := files.Err(); err != nil {
		t.Error(err)
	}
}

// registerSquares stores small squares, one on another.
func registerSquares(t *testing.T, st *store, n int) {
	t.Helper()
	shape, err := ledger.ParseGeometry([]byte(`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	news := make([]*source, n)
	for i := range news {
		news[i] = &source{Source: ledger.Source{Shape: shape}, account: "a", altID: "x", document: `{"a":1}`, geometry: "null"}
	}
	if _, err := st.register(news, time.Now, -1); err != nil {
		t.Fatal(err)
	}
}

// TestListIsStreamed: a list comes in chunks of a bounded size, and holds
// nothing of the database between them.
func TestListIsStreamed(t *testing.T) {
	st := testStore(t)
	registerSquares(t, st, 10*listChunk+1)
	chunks, count := 0, 0
	err := st.list(t.Context(), filter{}, nil, nil, func(chunk string) error {
		chunks++
		count += strings.Count(chunk, `"a":1`)
		registerSquares(t, st, 1) // would wait for ever if the list held on
		return nil
	})
	if err != nil || chunks != 11 || count != 10*listChunk+1 {
		t.Errorf("%d sources in %d chunks, %v", count, chunks, err)
	}
	stop := errors.New("the client has gone")
	if err := st.list(t.Context(), filter{}, nil, nil, func(string) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// TestRollback: a change that fails leaves nothing behind.
func TestRollback(t *testing.T) {
	st := testStore(t)
	if _, err := st.db.ExecContext(forever, "CREATE TRIGGER full BEFORE INSERT ON source WHEN new.id = 2 BEGIN SELECT raise(ABORT, 'disk full'); END"); err != nil {
		t.Fatal(err)
	}
	shape, err := ledger.ParseGeometry([]byte(`{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1],[0,0]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	one := func() *source {
		return &source{Source: ledger.Source{Shape: shape}, document: `{"a":1}`, geometry: "null"}
	}
	if _, err := st.register([]*source{one(), one()}, time.Now, math.MaxInt64); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Fatal("it was stored: ", err)
	}
	if err := st.list(t.Context(), filter{}, nil, nil, func(string) error { t.Error("a part is stored"); return nil }); err != nil {
		t.Error(err)
	}
	if _, err := st.register([]*source{one()}, time.Now, math.MaxInt64); err != nil {
		t.Error("the store is stuck:", err)
	}
}
