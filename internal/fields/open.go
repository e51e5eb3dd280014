package fields

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

const stdinName = "stdin"

// File is an input, open to be read at any place.
type File struct {
	Name string
	// Regular says that it is a file of its own, which another file may be put
	// beside; pipes and devices are not.
	Regular bool
	whole
	file *os.File
	copy bool // file is a temporary one
}

// Open opens a file; an empty path or "-" is stdin. What is no regular file, such
// as a pipe, is copied into a private temporary file first. The end of ctx ends the
// waiting for it: then a goroutine is left that ends with the pipe.
func Open(ctx context.Context, path string, stdin io.Reader) (*File, error) {
	type opened struct {
		file *File
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		file, err := open(path, stdin)
		done <- opened{file, err}
	}()
	select {
	case o := <-done:
		return o.file, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.file != nil {
				o.file.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func open(path string, stdin io.Reader) (*File, error) {
	if path == "" || path == "-" {
		if stdin == nil {
			return nil, errors.New("there is no standard input")
		}
		return copied(stdinName, stdin)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", path)
	}
	if err == nil && info.Mode().IsRegular() {
		device := strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/") // such as /dev/stdin
		return &File{Name: path, Regular: !device, file: file}, nil
	}
	defer file.Close()
	if err != nil {
		return nil, err
	}
	return copied(path, file)
}

// copied is a File that holds what a reader gives.
func copied(name string, in io.Reader) (*File, error) {
	file, err := temporaryFile()
	if err != nil {
		return nil, fmt.Errorf("%s has to be copied to a temporary file: %w", name, err)
	}
	if _, err := io.Copy(file, in); err != nil {
		discardFile(file)
		return nil, err // that of the reader, or one that names the copy
	}
	return &File{Name: name, file: file, copy: true}, nil
}

// Close closes the file, and removes the copy.
func (f *File) Close() {
	if f.copy {
		discardFile(f.file)
	} else {
		f.file.Close()
	}
}

// At reads a feature again. It may be called from many goroutines.
func (f *File) At(p Place) ([]byte, error) {
	raw := make([]byte, p.Length)
	if _, err := f.file.ReadAt(raw, p.Offset); err != nil {
		return nil, fmt.Errorf("reading %s again: %w", f.Name, err)
	}
	return raw, nil
}

// Section gives what stands from one place on up to another; a negative end is
// that of the file.
func (f *File) Section(from, to int64) io.Reader {
	if to < 0 {
		to = 1 << 62
	}
	return io.NewSectionReader(f.file, from, to-from)
}

// temporaryFile makes a file that only this user can read, and that goes with
// the process where the system allows it; see [discardFile].
func temporaryFile() (*os.File, error) {
	file, err := os.CreateTemp("", "meti-") // mode 0600
	if err == nil && runtime.GOOS != "windows" {
		_ = os.Remove(file.Name())
	}
	return file, err
}

// discardFile closes and removes a temporary file.
func discardFile(file *os.File) {
	_ = file.Close()
	_ = os.Remove(file.Name()) // again, for Windows, where an open file stays
}
