//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A command that waits for input ends on the first signal.
func TestSignalWhileWaitingForInput(t *testing.T) {
	for _, one := range []struct {
		args   string
		signal os.Signal
		code   int
	}{
		{"check -", os.Interrupt, 130},
		{"check -", syscall.SIGTERM, 143},
		{"sources create -", os.Interrupt, 130},
		{"sources delete -", syscall.SIGTERM, 143},
	} {
		t.Run(one.args, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "meti", strings.Fields(one.args)...)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// More than a pipe holds: when it is written, it is being read.
			if _, err := stdin.Write([]byte(strings.Repeat(" ", 1<<20))); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(one.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != one.code {
				t.Errorf("exit code %d, want %d", got, one.code)
			}
		})
	}
}

// So does one that reads a pipe.
func TestSignalWhileReadingPipe(t *testing.T) {
	for _, args := range []string{"check", "check --fix", "sources create"} {
		t.Run(args, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "meti", append(strings.Fields(args), path)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pipe, err := os.OpenFile(path, os.O_WRONLY, 0) // waits until it is read
			if err != nil {
				t.Fatal(err)
			}
			defer pipe.Close()
			if _, err := pipe.WriteString(strings.Repeat(" ", 1<<20)); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != exitInterrupted {
				t.Errorf("exit code %d, want %d", got, exitInterrupted)
			}
		})
	}
}

// The emulator ends well on either signal, and its ready line stays alone.
func TestSignalEndsEmulator(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), "meti", "emulator")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(stdout)
		if line, err := out.ReadString('\n'); err != nil || !strings.HasPrefix(line, `{"url":"http://127.0.0.1:`) {
			t.Fatalf("ready line %q, %v", line, err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil || len(rest) > 0 {
			t.Errorf("%v: ended with %v, and more on stdout: %q", signal, err, rest)
		}
	}
}
