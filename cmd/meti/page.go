package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/meti-go/meti/internal/report"
)

// page is the file that --html names.
type page struct {
	path  string
	force bool
}

func (p *page) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.path, "html", "", "write the report as one HTML document to this file, which must not exist")
	cmd.Flags().BoolVar(&p.force, "force", false, "put the document in the place of a file that exists")
}

// check refuses, before anything else is done, what cannot be written.
func (p *page) check() error {
	there, err := os.Lstat(p.path)
	folder, noFolder := os.Stat(filepath.Dir(p.path))
	switch {
	case p.path == "" && p.force:
		return usage("--force is for --html")
	case p.path == "":
		return nil
	case noFolder != nil || !folder.IsDir():
		return usage("there is no folder %s", filepath.Dir(p.path))
	case err == nil && !there.Mode().IsRegular():
		return usage("%s is no regular file", p.path)
	case err == nil && !p.force:
		return usage("%s exists; --force replaces it", p.path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return withCode(exitUsage, err)
	}
	return nil
}

// write writes the document beside its place, and puts it there when it is
// whole.
func (p *page) write(d *report.Document) (err error) {
	if p.path == "" {
		return nil
	}
	name := fmt.Sprintf("%s.%d", p.path, os.Getpid())
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer os.Remove(name) // where it was not renamed
	if err := errors.Join(d.HTML(file), file.Close()); err != nil {
		return err
	}
	if _, err := os.Lstat(p.path); err == nil && !p.force {
		return fmt.Errorf("%s exists now; it did not when this began", p.path)
	}
	return os.Rename(name, p.path)
}
