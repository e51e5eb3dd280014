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

// File is an input, open to be read, and to be read again at any place. What is
// no regular file, such as a pipe, is copied into a private temporary file on
// the way.
type File struct {
	Name string
	// Regular says that it is a file of its own, which another file may be put
	// beside; pipes and devices are not.
	Regular bool
	whole
	file   *os.File  // to be read again
	source io.Reader // to be read first
	close  func()
}

// Open opens a file; an empty path or "-" is stdin. Where it has to wait, for a
// pipe that nobody writes to, the end of ctx ends the waiting: then, and with
// the reading of stdin, a goroutine may be left that ends with the pipe.
func Open(ctx context.Context, path string, stdin io.Reader) (*File, error) {
	if path == "" || path == "-" {
		if stdin == nil {
			return nil, errors.New("there is no standard input")
		}
		return copied(ctx, stdinName, io.NopCloser(stdin))
	}
	type opened struct {
		file *os.File
		err  error
	}
	result := make(chan opened)
	go func() {
		file, err := os.Open(path)
		select {
		case result <- opened{file, err}:
		case <-ctx.Done():
			file.Close()
		}
	}()
	var o opened
	select {
	case o = <-result:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if o.err != nil {
		return nil, o.err
	}
	info, err := o.file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", path)
	}
	switch {
	case err != nil:
		o.file.Close()
		return nil, err
	case !info.Mode().IsRegular():
		return copied(ctx, path, o.file)
	}
	device := strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/") // such as /dev/stdin
	return &File{Name: path, Regular: !device, file: o.file, source: io.NewSectionReader(o.file, 0, 1<<62), close: func() { o.file.Close() }}, nil
}

// copied is a File that is copied while it is read.
func copied(ctx context.Context, name string, source io.ReadCloser) (*File, error) {
	file, err := temporaryFile()
	if err != nil {
		source.Close()
		return nil, fmt.Errorf("%s has to be copied to a temporary file: %w", name, err)
	}
	in := interruptible(ctx, source)
	return &File{Name: name, file: file, source: io.TeeReader(in, file), close: func() {
		in.Close()
		source.Close()
		discardFile(file)
	}}, nil
}

// Close closes the file, and removes the copy.
func (f *File) Close() { f.close() }

// At reads a feature again. It may be called from many goroutines.
func (f *File) At(p Place) ([]byte, error) {
	raw := make([]byte, p.Length)
	if _, err := f.file.ReadAt(raw, p.Offset); err != nil {
		return nil, fmt.Errorf("reading %s again: %w", f.Name, err)
	}
	return raw, nil
}

// Section gives what stands from one place on up to another, as far as it was
// read; a negative end is that of the file.
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

// interruptible reads what r reads, until ctx ends or it is closed. A read under
// way is left behind then.
func interruptible(ctx context.Context, r io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(in, r)
		_ = in.CloseWithError(err)
		stop()
	}()
	return out
}
