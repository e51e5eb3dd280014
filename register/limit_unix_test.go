//go:build unix

package register_test

import (
	"os/signal"
	"syscall"
)

// limitFiles keeps this process from making a file larger: what a full disk does.
func limitFiles(bytes uint64) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: bytes}); err != nil {
		panic(err)
	}
}
