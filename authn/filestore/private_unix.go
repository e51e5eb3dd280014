//go:build unix

package filestore

import (
	"fmt"
	"os"
	"syscall"
)

// reached returns an error if path is another user's, or its mode lets others do
// some of what those bits say.
func reached(path string, info os.FileInfo, others os.FileMode) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user", path)
	}
	if info.Mode().Perm()&others != 0 {
		return fmt.Errorf("%s is open to other users (mode %04o)", path, info.Mode().Perm())
	}
	return nil
}
