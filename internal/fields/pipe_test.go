//go:build unix

package fields

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe that nobody writes to, or nobody goes on writing to, is waited for
// until the context ends.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if _, err := Open(ctx, path, nil); !errors.Is(err, enough) {
		t.Errorf("opening gave %v", err)
	}

	// Here it is opened for both, so that it neither waits nor ends.
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	ctx, cancel = context.WithCancelCause(t.Context())
	if _, err := pipe.WriteString(one("a", 9) + "\n" + one("b", 10)); err != nil {
		t.Fatal(err)
	}
	go cancel(enough)
	if _, err := Open(ctx, path, nil); !errors.Is(err, enough) {
		t.Errorf("reading gave %v", err)
	}
}

// The copy of a pipe is this user's alone, and does not outlive the program.
func TestCopyIsPrivate(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	file, err := Open(t.Context(), "-", strings.NewReader(one("a", 9)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.file.Stat()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
