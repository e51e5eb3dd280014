package main

import (
	"context"
	"io"
	"sync"
)

// interruptible reads what r reads, until ctx ends: somebody who was asked for
// input and presses Ctrl-C is not to be waited for. The read under way is left
// behind; it ends with the process.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	start := sync.OnceFunc(func() {
		context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Cause(ctx)) })
		go func() {
			_, err := io.Copy(in, r)
			_ = in.CloseWithError(err)
		}()
	})
	return readerFunc(func(p []byte) (int, error) {
		start() // not before: a command that asks for no input takes none
		return out.Read(p)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
