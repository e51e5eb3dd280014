package register

import (
	"strings"
	"testing"
	"time"
)

// EditJournal changes the times of a journal's records.
func EditJournal(t *testing.T, journal string, change func(time.Time) time.Time) string {
	t.Helper()
	out := journalHead
	for line := range strings.Lines(strings.TrimPrefix(journal, journalHead)) {
		r, ok := decodeLine([]byte(line))
		if !ok {
			t.Fatal(line)
		}
		r.At = change(r.At)
		again, err := encodeLine(r)
		if err != nil {
			t.Fatal(err)
		}
		out += string(again)
	}
	return out
}
