package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/meti-go/meti/internal/features"
)

// input is a file that can be read again: what is none, such as stdin, is
// copied into a private temporary file on the way.
type input struct {
	name   string
	reader io.Reader
	file   *os.File
	copied bool
	err    error // of reading or copying
}

func (a *app) openInput(name string) (*input, error) {
	in := &input{name: name}
	source := a.stdin
	if name == "-" {
		in.name = "stdin"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, err
		}
		if info.IsDir() {
			file.Close()
			return nil, fmt.Errorf("%s is a folder", name)
		}
		if info.Mode().IsRegular() {
			in.file, in.reader = file, in.watch(file)
			return in, nil
		}
		source = file // a pipe; it is closed with the process
	}
	file, err := privateFile()
	if err != nil {
		return nil, err
	}
	in.file, in.copied = file, true
	in.reader = in.watch(io.TeeReader(source, file))
	return in, nil
}

// watch keeps the error that ends the reading, so that a broken disk is told
// from a broken file.
func (in *input) watch(r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if err != nil && err != io.EOF {
			in.err = err
		}
		return n, err
	})
}

// failure is why the input could not be read to its end, nil if it could.
func (in *input) failure() error { return in.err }

func (in *input) close() {
	if in.copied {
		discardFile(in.file)
		return
	}
	_ = in.file.Close()
}

// privateFile makes a temporary file that only this user can read, and that
// goes with the process where the system allows it.
func privateFile() (*os.File, error) {
	file, err := os.CreateTemp("", "meti-") // mode 0600
	if err == nil && runtime.GOOS != "windows" {
		_ = os.Remove(file.Name())
	}
	return file, err
}

func discardFile(file *os.File) {
	_ = file.Close()
	_ = os.Remove(file.Name()) // again, for Windows, where an open file stays
}

// spool keeps pieces of data out of memory.
type spool struct {
	file *os.File
	end  int64
}

// place is where a piece stands in a spool.
type place struct {
	offset int64
	length int32
}

func newSpool() (*spool, error) {
	file, err := privateFile()
	return &spool{file: file}, err
}

func (s *spool) write(piece []byte) (place, error) {
	at := place{s.end, int32(len(piece))}
	n, err := s.file.WriteAt(piece, s.end)
	s.end += int64(n)
	return at, err
}

func (s *spool) read(at place) ([]byte, error) {
	piece := make([]byte, at.length)
	_, err := s.file.ReadAt(piece, at.offset)
	return piece, err
}

func (s *spool) close() { discardFile(s.file) }

// Features are judged in blocks of this many, and of this many bytes.
const (
	blockFeatures = 512
	blockBytes    = 4 << 20
)

// inParallel judges features on all cores and takes the judgements in the
// features' order. take also gets the reader's errors; one that it returns ends
// the whole.
func inParallel[T any](ctx context.Context, items iter.Seq2[features.Item, error],
	judge func(features.Item) T, take func(features.Item, T, error) error,
) error {
	type job struct {
		item       features.Item
		start, end int
		judgement  T
	}
	var jobs []job
	var text []byte
	flush := func() error {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range min(runtime.GOMAXPROCS(0), len(jobs)) {
			wg.Go(func() {
				for {
					i := int(next.Add(1)) - 1
					if i >= len(jobs) {
						return
					}
					j := &jobs[i]
					j.item.Raw = text[j.start:j.end]
					j.judgement = judge(j.item)
				}
			})
		}
		wg.Wait()
		for i := range jobs {
			if err := take(jobs[i].item, jobs[i].judgement, nil); err != nil {
				return err
			}
		}
		clear(jobs)
		jobs, text = jobs[:0], text[:0]
		return ctx.Err()
	}
	for item, err := range items {
		if err != nil {
			var none T
			if err := flush(); err != nil {
				return err
			}
			if err := take(features.Item{}, none, err); err != nil {
				return err
			}
			continue
		}
		start := len(text)
		text = append(text, item.Raw...)
		jobs = append(jobs, job{item: item, start: start, end: len(text)})
		if len(jobs) == blockFeatures || len(text) >= blockBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
