package emulator

import (
	"strings"
	"testing"
)

// TestNoPlaceForFiles has a store without a file be all in memory where no
// temporary file can be made.
func TestNoPlaceForFiles(t *testing.T) {
	if strings.Contains(temporary(), "memory:") {
		t.Fatal("it is in memory though there is a place for files")
	}
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	t.Setenv("TMP", t.TempDir()+"/missing") // on Windows
	st, err := openStore("", production, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.close(); err != nil {
			t.Error(err)
		}
	}()
	var file string
	if err := st.db.QueryRowContext(t.Context(), "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file); err != nil || file != "" {
		t.Errorf("the file is %q, %v", file, err)
	}
	if !strings.Contains(temporary(), ":memory:") {
		t.Error("it is not in memory")
	}
}
