//go:build unix

package filestore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What others could have written or can read is told by modes and owners, which
// only Unix has; elsewhere the user's cache folder is private by its place. A
// link needs a privilege on Windows.
func TestFilesThatOthersReach(t *testing.T) {
	goOnWithout(t, []unusable{
		{"readable by others", func(t *testing.T, dir string) (string, error) { return dir, os.Chmod(fill(t, dir), 0o644) }, true},
		{"a folder that others can write to", func(t *testing.T, dir string) (string, error) {
			return dir, os.Chmod(filepath.Dir(fill(t, dir)), 0o777)
		}, false},
		{"a link", func(t *testing.T, dir string) (string, error) {
			path, moved := fill(t, dir), filepath.Join(t.TempDir(), "moved")
			return dir, errors.Join(os.Rename(path, moved), os.Symlink(moved, path))
		}, true},
	})
}

// Another user's file is left alone. Only root can make one.
func TestForeignFileIsNotUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tokens")
	path := fill(t, dir)
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Logf("not as root, and so without a file of another user: %v", err)
		return
	}
	var u user
	token(t, u.source(t, dir))
	if u.requests != 1 || len(u.warnings) != 1 || !strings.Contains(u.warnings[0], "belongs to another user") {
		t.Error(u)
	}
}
