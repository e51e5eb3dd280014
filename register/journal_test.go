package register_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

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
		got := run(t, server, register.Options{Input: path, Settle: time.Millisecond})
		if got.err != nil || got.Registered != 4 {
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
		"an unreleased version": strings.Replace(string(journal), "meti journal 3", "meti journal 1", 1),
		"a later version":       strings.Replace(string(journal), "meti journal 3", "meti journal 4", 1),
		"a wrong result":        withLine(t, string(journal), `{"at":"2026-01-01T00:00:00Z","intent":1,"result":["src_1","src_2"]}`),
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
	for _, limit := range []uint64{5, 20, 200, 400, 600, 800, 1000, 1200, 1400} {
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
// and says so.
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
	for range 2 {
		got := run(t, server, register.Options{Input: path})
		if got.err != nil || got.outcomes() != "a registered" || got.Journal != "" || !strings.Contains(strings.Join(got.notices, "\n"), "no journal can be kept") {
			t.Fatal(got.outcomes(), got.err, got.notices)
		}
	}
	if n := len(stored(t, server)); n != 1 {
		t.Error(n)
	}
	// A journal that was asked for is not done without.
	if got := run(t, server, register.Options{Input: path, Journal: path + ".j"}); !errors.Is(got.err, os.ErrPermission) {
		t.Fatal(got.err)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for five minutes")
		}
	}
}

// withLine adds a line to a journal, with its sum.
func withLine(t *testing.T, journal, text string) string {
	t.Helper()
	return journal + fmt.Sprintf("%08x %s\n", crc32.ChecksumIEEE([]byte(text)), text)
}

// What registered nothing leaves no journal behind, and a plan changes none.
func TestNoJournalLeftBehind(t *testing.T) {
	server := start(t, emulator.Options{})
	path := file(t, collection(square("a", 1)))
	left := func() bool {
		_, err := os.Stat(path + ".meti-journal")
		return err == nil
	}
	if got := plan(t, server, register.Options{Input: path}); got.err != nil || got.New != 1 || left() {
		t.Error("plan:", got.err, got.Counts, left())
	}
	if err := server.SetFaults([]emulator.Fault{{Operation: "listSources", Kind: emulator.FaultStatus, Status: 404}}); err != nil {
		t.Fatal(err)
	}
	if got := run(t, server, register.Options{Input: path}); got.err == nil || left() {
		t.Error("no account:", got.err, left())
	}
	if err := server.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	write(t, path, collection(bowtie("a")))
	if got := run(t, server, register.Options{Input: path}); got.err != nil || got.Invalid != 1 || left() {
		t.Error("invalid:", got.err, left())
	}
	write(t, path, collection(square("a", 1)))
	reader := emulator.DemoAccount()
	reader.Scopes = []string{"read:sources"}
	if got := run(t, start(t, emulator.Options{Accounts: []emulator.Account{reader}}), register.Options{Input: path}); !strings.Contains(fmt.Sprint(got.err), "write:sources") || got.Pending != 1 || left() {
		t.Error("may not write:", got.err, left())
	}
	if got := run(t, server, register.Options{Input: path}); got.err != nil || !left() {
		t.Error("registered:", got.err, left())
	}
	before, err := os.ReadFile(path + ".meti-journal")
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, collection(square("a", 1), square("b", 2)))
	first := plan(t, server, register.Options{Input: path})
	second := plan(t, server, register.Options{Input: path})
	if first.outcomes() != "a registered, b new" || second.outcomes() != first.outcomes() || first.Counts != second.Counts {
		t.Error(first.outcomes(), second.outcomes())
	}
	if after, err := os.ReadFile(path + ".meti-journal"); err != nil || string(after) != string(before) {
		t.Error("a plan wrote to the journal")
	}
}

// A journal is one by each of its names: a copy only knows what the account
// tells, and registers nothing twice either.
func TestJournalByOtherNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	server := start(t, emulator.Options{Faults: []emulator.Fault{{Operation: "createSources", Kind: emulator.FaultHang, Skip: 1}}})
	path := file(t, collection(squares(3, numbered)...))
	journal, link := path+".meti-journal", path+".link"
	if err := os.Symlink(journal, link); err != nil { // before there is one
		t.Fatal(err)
	}
	o := order{Ready: server.Ready(), Timeout: time.Minute, Input: path, Journal: link, Settle: time.Second, Results: path + ".results", BatchFeatures: 1}
	cmd := command(t, o)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return server.Requests()["createSources"] >= 2 })
	hard := path + ".hard"
	if err := os.Link(journal, hard); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{journal, link, hard} {
		if got := run(t, server, register.Options{Input: path, Journal: name}); !errors.Is(got.err, register.ErrLocked) {
			t.Error(name, got.err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	data, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path+".copy", string(data))
	write(t, path+".empty", "")
	if err := server.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path + ".copy", hard, link, journal, path + ".empty"} {
		if got := run(t, server, register.Options{Input: path, Journal: name, Settle: 300 * time.Millisecond}); got.err != nil || got.Registered != 3 {
			t.Error(name, got.outcomes(), got.err)
		}
	}
	if n := len(stored(t, server)); n != 3 {
		t.Error(n, "sources")
	}
}

// Two files of one account are not sent at the same time: the second waits,
// says for whom, and can be interrupted.
func TestSecondRunWaits(t *testing.T) {
	server := start(t, emulator.Options{Faults: []emulator.Fault{{Operation: "createSources", Kind: emulator.FaultHang}}})
	path, other := file(t, collection(square("a", 1))), file(t, collection(square("b", 2)))
	cmd := command(t, order{Ready: server.Ready(), Timeout: time.Minute, Input: path, Settle: time.Second, Results: path + ".results"})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return server.Requests()["createSources"] == 1 })
	ctx, stop := context.WithCancelCause(t.Context())
	var o register.Options
	var a attempt
	defer ready(&o, server, &a)()
	o.Input = other
	o.Notice = func(text string) {
		if want := fmt.Sprintf("process %d, which registers %s", cmd.Process.Pid, path); strings.Contains(text, want) {
			stop(errors.New("enough"))
		} else {
			t.Error(text)
		}
	}
	if _, err := register.Plan(ctx, o); err == nil || err.Error() != "enough" {
		t.Error(err)
	}
	if err := server.SetFaults(nil); err != nil { // what hangs goes on hanging
		t.Fatal(err)
	}
	done := make(chan attempt)
	go func() { done <- run(t, server, register.Options{Input: other}) }()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := <-done; got.err != nil || got.outcomes() != "b registered" {
		t.Error(got.outcomes(), got.err)
	}
}
