package register

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzJournal opens any file as a journal: it is refused and left alone, or
// what was whole in it stays and can be added to.
func FuzzJournal(f *testing.F) {
	line := func(r record) string {
		text, err := encodeLine(r)
		if err != nil {
			f.Fatal(err)
		}
		return string(text)
	}
	account := line(record{To: "h a", Intent: 2, Void: "x"})
	intent := line(record{Intent: 1, To: "h a", At: time.Unix(0, 0), Features: []featureRecord{{AltID: "x", Form: make([]byte, 16)}}})
	for _, text := range []string{"", journalHead, journalHead[:5], journalHead + account, journalHead + account + intent,
		journalHead + account + intent[:20], journalHead + intent[:20] + account, journalHead + "00000000 \n", journalHead + "\n", journalHead + "\x00\x00", "{}", "\x00\x00\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		records := 0
		count := func(record) error { records++; return nil }
		j, err := openJournal(path, false, count)
		if err != nil {
			if after, _ := os.ReadFile(path); !bytes.Equal(after, data) {
				t.Fatalf("refused (%v) and changed to %q", err, after)
			}
			return
		}
		if err := j.append(record{Intent: 7, Void: "new"}); err != nil {
			t.Fatal(err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		before := records
		records = 0
		again, err := openJournal(path, false, count)
		if err != nil {
			t.Fatal(err)
		}
		defer again.close()
		if records != before+1 {
			t.Fatalf("%d records, then %d", before, records)
		}
	})
}
