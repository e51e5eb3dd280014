//go:build unix

package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/testdata"
)

// screen is a real terminal, by tmux.
type screen struct {
	t      *testing.T
	folder string // where the socket is
	env    []string
	runs   int
}

// newScreen opens a terminal of a width in which meti runs in an environment, and
// a folder with the example fields. A machine without tmux has none: the test passes.
func newScreen(t *testing.T, width int, environment func(*testing.T) []string) *screen {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Log("there is no tmux here, so nothing was tested")
		return nil
	}
	folder := t.TempDir()
	s := &screen{t: t, folder: folder, env: append(environment(t), "CI=", "NO_COLOR=", "PS1=$ ")}
	if err := os.WriteFile(filepath.Join(folder, "fields.geojson"), testdata.Fields, 0o600); err != nil {
		t.Fatal(err)
	}
	start := s.tmux("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", "60", "-c", folder, "sh")
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = s.tmux("kill-server").Run() })
	return s
}

func (s *screen) tmux(args ...string) *exec.Cmd {
	cmd := exec.Command("tmux", append([]string{"-S", "tmux"}, args...)...) // a longer path may be too long
	cmd.Dir, cmd.Env = s.folder, s.env
	return cmd
}

// text is what the screen shows, with its colours where they are asked for.
func (s *screen) text(colours bool) string {
	args := []string{"capture-pane", "-p"}
	if colours {
		args = append(args, "-e")
	}
	out, err := s.tmux(args...).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

// ask types a command; its exit code is to be shown behind "code-N=".
func (s *screen) ask(command, until string) string {
	s.t.Helper()
	s.runs++
	line := fmt.Sprintf("clear; echo run-%d; %s; echo code-%[1]d=$?", s.runs, command)
	if err := s.tmux("send-keys", line, "Enter").Run(); err != nil {
		s.t.Fatal(err)
	}
	return s.wait(until)
}

// run types a command and waits for its end.
func (s *screen) run(command string) string {
	s.t.Helper()
	return s.ask(command, fmt.Sprintf(`(?m)^code-%d=\d+$`, s.runs+1))
}

func (s *screen) done() string { return fmt.Sprintf(`(?m)^code-%d=\d+$`, s.runs) }

// wait gives what the last command that was typed shows, once that matches.
func (s *screen) wait(until string) string {
	s.t.Helper()
	want := regexp.MustCompile(until)
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		text := s.text(false)
		if _, shown, ran := strings.Cut(text, fmt.Sprintf("run-%d\n", s.runs)); ran && want.MatchString(shown) {
			return shown
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the screen never showed %s:\n%s", until, text)
		}
	}
}

// On a terminal a table is as wide as it, however narrow: no row wraps.
func TestTablesFitTheTerminal(t *testing.T) {
	for _, c := range []struct {
		width  int
		header string
	}{
		{80, `(?m)^SSID +ALT ID +COUNTRY +HECTARES +START +CONFLICT$`},
		{200, `(?m)^SSID +ALT ID +COUNTRY +HECTARES +START +END +METHODOLOGY +CONFLICT$`},
	} {
		s := newScreen(t, c.width, emulated)
		if s == nil {
			return
		}
		text := s.run("meti sources list")
		rows := regexp.MustCompile(`(?m)^src_\w{13} .*$`).FindAllString(text, -1)
		if len(rows) != 26 || !regexp.MustCompile(c.header).MatchString(text) {
			t.Errorf("%d columns: %d rows in\n%s", c.width, len(rows), text)
		}
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > c.width {
				t.Errorf("%d columns: a line of %d: %s", c.width, n, line)
			}
		}
		if !regexp.MustCompile(`(?m)boerde-schlag-6\S* .* 1 own, 44 %$`).MatchString(text) {
			t.Errorf("%d columns: no conflict in\n%s", c.width, text)
		}
	}
}

// Red marks a conflict, and never where NO_COLOR is set.
func TestConflictsAreRed(t *testing.T) {
	s := newScreen(t, 120, emulated)
	if s == nil {
		return
	}
	s.run("meti sources list --conflict")
	if text := s.text(true); strings.Count(text, "\x1b[31m1 own, ") != 2 {
		t.Errorf("not red: %q", text)
	}
	s.run("NO_COLOR=1 meti sources list --conflict")
	if text := s.text(true); strings.Contains(text, "\x1b[31m") {
		t.Errorf("red although NO_COLOR is set: %q", text)
	}
	text := s.run("meti sources get $(meti sources list --conflict --limit 1 | sed 's/.*\"id\":\"\\(src_[^\"]*\\).*/\\1/')")
	if !regexp.MustCompile(`(?m)^geometry +\{"type":"Polygon".*…$`).MatchString(text) || !strings.Contains(text, "alt_id           boerde-schlag-6") {
		t.Errorf("the record of a source is\n%s", text)
	}
}

// delete shows what it will delete and asks; anything but y deletes nothing.
// With --yes, METI_YES, CI or another stdin it does not ask.
func TestDeleteAsks(t *testing.T) {
	s := newScreen(t, 120, emulated)
	if s == nil {
		return
	}
	s.ask("meti sources delete --alt-id punjab-wheat", `Delete 1 source\? \[y/N\]`)
	if text := s.text(false); !regexp.MustCompile(`(?m)^  src_\w{13}  punjab-wheat  2026-05-15 – 2026-10-31`).MatchString(text) || !strings.Contains(text, "(not METI)") {
		t.Errorf("it does not show what it will delete:\n%s", text)
	}
	answer := func(word string) string {
		if err := s.tmux("send-keys", word, "Enter").Run(); err != nil {
			t.Fatal(err)
		}
		return s.wait(s.done())
	}
	if text := answer("no"); !strings.Contains(text, "nothing was done") || !strings.Contains(text, "=1") {
		t.Errorf("answered no:\n%s", text)
	}
	s.ask("meti sources delete --alt-id punjab-wheat", `\[y/N\]`)
	if text := answer("y"); !regexp.MustCompile(`punjab-wheat .* deleted`).MatchString(text) || !strings.Contains(text, "=0") {
		t.Errorf("answered y:\n%s", text)
	}
	for _, command := range []string{
		"meti sources delete --alt-id seeland-moos --yes",
		"METI_YES=1 meti sources delete --alt-id dakota-pond",
		"CI=true meti sources delete --alt-id nakuru-shamba",
		"meti sources delete --alt-id lombardia-risaia </dev/null",
	} {
		if text := s.run(command + ""); strings.Contains(text, "[y/N]") || !strings.Contains(text, "deleted") {
			t.Errorf("%s asks:\n%s", command, text)
		}
	}
	// Above a thousand it does not even ask without --max.
	if text := s.run("meti sources delete --alt-id hokkaido-tokachi --max 1 --dry-run"); !strings.Contains(text, "would be deleted") {
		t.Errorf("a dry run:\n%s", text)
	}
}

// On a terminal submit has a bar, which no message breaks and which is gone at
// the end; it never wraps.
func TestBar(t *testing.T) {
	for _, width := range []int{50, 80, 200} {
		var posts atomic.Int32
		seen := make(chan struct{}) // that there is a bar; some features wait for that
		s := newScreen(t, width, func(t *testing.T) []string {
			return environmentOf(t, emulator.Options{Middleware: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost && r.URL.Path == "/sources" && posts.Add(1) > 10 {
						select {
						case <-seen:
						case <-r.Context().Done():
						}
					}
					next.ServeHTTP(w, r)
				})
			}})
		})
		if s == nil {
			return
		}
		s.ask("meti submit fields.geojson --batch 1 --in-flight 1 --yes", `(?m)^\[=+-+\] registering: 10 of 26`)
		close(seen)
		text := s.wait(s.done())
		if strings.Contains(text, "[=") || strings.Contains(text, "[-") || !strings.Contains(text, "26 features: 26 registered") {
			t.Errorf("%d columns: at the end\n%s", width, text)
		}
	}
}

// Every example of the help runs as it stands, on an emulator.
func TestExamplesOfHelp(t *testing.T) {
	environment := emulated(t)
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "fields.geojson"), testdata.Fields, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(line string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir, cmd.Env = folder, environment
		return cmd.CombinedOutput()
	}
	root := (&app{system: system{now: time.Now}}).rootCommand()
	commands := root.Commands()
	for len(commands) > 0 {
		cmd := commands[0]
		commands = append(commands[1:], cmd.Commands()...)
		if !cmd.Runnable() || cmd.HasSubCommands() || cmd.Name() == "completion" {
			continue
		}
		if cmd.Example == "" {
			t.Errorf("the help of %s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			listed, _ := run("meti sources list --limit 1")
			if id := regexp.MustCompile(`src_\w{13}`).Find(listed); id != nil {
				line = regexp.MustCompile(`src_\w{13}`).ReplaceAllString(strings.TrimSpace(line), string(id))
			}
			if strings.Contains(line, "https://") {
				continue // it asks METI itself
			}
			out, err := run(line)
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == exitConflict && cmd.Name() == "check" {
				err = nil // two of the example fields are made to conflict
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		}
	}
}
