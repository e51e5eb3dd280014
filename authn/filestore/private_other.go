//go:build !unix

package filestore

import (
	"fmt"
	"os"
)

// private returns an error unless path is a plain file, or a folder. The user's
// own cache folder is private by its place here, not by modes.
func private(path string, folder bool) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if folder != info.IsDir() || !folder && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not of the expected kind", path)
	}
	return nil
}
