package register_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/register"
)

// A journal that was cut off anywhere, as power loss does, loses what it knew
// and never what it did: nothing is sent twice.
func TestTornJournal(t *testing.T) {
	server := start(t, emulator.Options{})
	path := file(t, collection(squares(4, numbered)...))
	whole := run(t, server, register.Options{Input: path, BatchFeatures: 2, InFlight: 1})
	if whole.err != nil {
		t.Fatal(whole.err)
	}
	journal, err := os.ReadFile(path + ".meti-journal")
	if err != nil {
		t.Fatal(err)
	}
	posts := server.Requests()["createSources"]
	try := func(what string, data []byte) {
		t.Helper()
		write(t, path+".meti-journal", string(data))
		got := run(t, server, register.Options{Input: path, SkipExisting: true, Settle: time.Millisecond})
		if got.err != nil || got.Done() != 4 {
			t.Fatalf("%s: %s %v", what, got.outcomes(), got.err)
		}
		for i, r := range got.results {
			if r.ID != whole.results[i].ID {
				t.Fatalf("%s: %v", what, r)
			}
		}
		if server.Requests()["createSources"] != posts {
			t.Fatalf("%s: sent again", what)
		}
	}
	for cut := 0; cut < len(journal); cut += 17 {
		try(fmt.Sprintf("cut at %d", cut), journal[:cut])
	}
	last := bytes.LastIndexByte(journal[:len(journal)-1], '\n') + 1
	for name, tail := range map[string]string{
		"zeros":         strings.Repeat("\x00", 100),
		"zeros, line":   strings.Repeat("\x00", 100) + "\n",
		"half a line":   string(journal[last : last+60]),
		"a wrong line":  strings.Replace(string(journal[last:]), "src_", "srx_", 1),
		"no line break": string(journal[last : len(journal)-1]),
	} {
		try(name, append(bytes.Clone(journal), tail...))
	}
	try("zeros only", make([]byte, 9))
}

func TestJournalThatCannotBeUsed(t *testing.T) {
	server := start(t, emulator.Options{})
	path := file(t, collection(squares(3, numbered)...))
	if got := run(t, server, register.Options{Input: path, BatchFeatures: 1}); got.err != nil {
		t.Fatal(got.err)
	}
	journal, err := os.ReadFile(path + ".meti-journal")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"damaged in the middle": strings.Replace(string(journal), `"intent"`, `"intens"`, 1),
		"another file":          collection(square("a", 1)),
		"a short file":          "hello\n",
		"a later version":       strings.Replace(string(journal), "meti journal 1", "meti journal 2", 1),
	} {
		write(t, path+".meti-journal", data)
		got := run(t, server, register.Options{Input: path})
		if !errors.Is(got.err, register.ErrJournal) {
			t.Errorf("%s: %v", name, got.err)
		}
		if after, err := os.ReadFile(path + ".meti-journal"); err != nil || string(after) != data {
			t.Errorf("%s: the file was changed", name)
		}
	}
	// The input itself, given by mistake.
	if got := run(t, server, register.Options{Input: path, Journal: path}); !errors.Is(got.err, register.ErrJournal) {
		t.Error(got.err)
	}
	if n := server.Requests()["createSources"]; n != 3 {
		t.Errorf("%d requests", n)
	}
}

// A second run on the same journal is locked out while the first lives, by
// whatever name it calls it; a process that is killed leaves no lock.
func TestLock(t *testing.T) {
	server := start(t, emulator.Options{Faults: []emulator.Fault{{Operation: "createSources", Kind: emulator.FaultHang}}})
	path := file(t, collection(square("a", 1)))
	link := filepath.Join(filepath.Dir(path), "link")
	o := order{Ready: server.Ready(), Timeout: time.Minute, Input: path, Settle: time.Second, Results: path + ".results"}
	cmd := command(t, o)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return server.Requests()["createSources"] == 1 })
	if runtime.GOOS != "windows" {
		if err := os.Symlink(path+".meti-journal", link); err != nil {
			t.Fatal(err)
		}
		if got := run(t, server, register.Options{Input: path, Journal: link}); !errors.Is(got.err, register.ErrLocked) {
			t.Error("by a link:", got.err)
		}
	}
	if got := run(t, server, register.Options{Input: path}); !errors.Is(got.err, register.ErrLocked) {
		t.Error(got.err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := server.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	got := run(t, server, register.Options{Input: path})
	if got.err != nil || got.outcomes() != "a registered" || len(stored(t, server)) != 1 {
		t.Fatal(got.outcomes(), got.err)
	}
}

// A disk that fills up: what cannot be journaled is not sent, and what was
// sent is found by the next run.
func TestFullDisk(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // no limit to set there
	}
	var total int
	for _, limit := range []uint64{5, 20, 300, 700, 1000, 1300, 1700, 2000} {
		server := start(t, emulator.Options{})
		path := file(t, collection(squares(6, numbered)...))
		o := order{Ready: server.Ready(), Timeout: time.Minute, Input: path, Settle: 50 * time.Millisecond, BatchFeatures: 2,
			InFlight: 2, Results: os.DevNull, MaxJournal: limit}
		code, log := inProcess(t, o, -1, false)
		if code != 1 || !strings.Contains(log, "journal") {
			t.Errorf("%d bytes: %d %s", limit, code, log)
		}
		some := len(stored(t, server))
		total += some
		o.MaxJournal = 0
		if code, log := inProcess(t, o, -1, false); code != 0 {
			t.Errorf("%d bytes: %d %s", limit, code, log)
		}
		if n := len(stored(t, server)); n != 6 {
			t.Errorf("%d bytes: %d sources, %d of them before the disk was full", limit, n, some)
		}
	}
	if total == 0 {
		t.Error("the disk was always full before anything was sent")
	}
}

// In a folder where nothing can be written the run goes on without a journal,
// and says so; what is there already stops the next one.
func TestReadOnlyFolder(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() == 0 {
		return // the permissions of the folder mean nothing there
	}
	server := start(t, emulator.Options{})
	path := file(t, collection(square("a", 1)))
	if err := os.Chmod(filepath.Dir(path), 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o700) })
	got := run(t, server, register.Options{Input: path})
	if got.err != nil || got.outcomes() != "a registered" || got.Journal != "" || !strings.Contains(strings.Join(got.notices, "\n"), "no journal can be kept") {
		t.Fatal(got.outcomes(), got.err, got.notices)
	}
	if got := run(t, server, register.Options{Input: path}); !errors.Is(got.err, register.ErrExists) {
		t.Fatal(got.outcomes(), got.err)
	}
	// A journal that was asked for is not done without.
	if got := run(t, server, register.Options{Input: path, Journal: path + ".j"}); !errors.Is(got.err, os.ErrPermission) {
		t.Fatal(got.err)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for a minute")
		}
	}
}

// A journal lives as long as its input: what version 1 wrote is read by every
// later one, and means that nothing is left to send.
func TestJournalOfVersion1(t *testing.T) {
	folder := t.TempDir()
	for from, to := range map[string]string{"fields.geojson": "fields.geojson", "journal-1.txt": "journal"} {
		data, err := os.ReadFile(filepath.Join("..", "testdata", "register", from))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, to), string(data))
	}
	client, err := api.New(
		api.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "x"})), api.WithBaseURL("https://meti.example"),
		api.WithHTTPClient(&http.Client{Transport: nobody{t}}))
	if err != nil {
		t.Fatal(err)
	}
	year := 2026
	o := register.Options{
		Client: client, Server: "https://meti.example/", Account: "demo",
		Input: filepath.Join(folder, "fields.geojson"), Journal: filepath.Join(folder, "journal"),
		Shared: api.SourceCreateFeatures{OutcomeReportingYear: &year},
	}
	var got []string
	o.Result = func(r register.Result) error {
		got = append(got, fmt.Sprintf("%s %s %s %v", r.AltID, r.Outcome, r.ID, r.ConflictWith))
		return nil
	}
	if _, err := register.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"north registered src_JmxY7puFuxP1U []", "south registered src_yO7RaMpXVYNjw [src_JmxY7puFuxP1U]", "bad refused  []",
		"old existed src_4XA7UZw3OB3rH []", "crossed invalid  []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// nobody answers.
type nobody struct{ t *testing.T }

func (n nobody) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s", r.Method, r.URL)
	return nil, errBroken
}
