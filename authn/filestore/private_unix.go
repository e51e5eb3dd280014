//go:build unix

package filestore

import (
	"fmt"
	"os"
	"syscall"
)

// private returns an error unless path is a plain file (or a folder) of this user
// that nobody else can write to, or, for a file, read.
func private(path string, folder bool) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if folder {
		// The folder itself may be reached by a link, its files may not.
		if info, err = os.Stat(path); err != nil {
			return err
		}
	}
	others := os.FileMode(0o077)
	if folder {
		others = 0o022
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case folder != info.IsDir() || !folder && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not of the expected kind", path)
	case ok && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user", path)
	case info.Mode().Perm()&others != 0:
		return fmt.Errorf("%s is open to other users (mode %04o)", path, info.Mode().Perm())
	}
	return nil
}
