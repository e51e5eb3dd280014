// Package filestore shares access tokens between the processes of one user on
// one machine, such as the runs of a command: in files that only this user can
// read.
//
//	dir, err := filestore.Dir()
//	...
//	config.Store = filestore.New(dir)
package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/meti-go/meti/authn"
)

// Dir returns the folder in which the command meti keeps tokens: meti/tokens in
// the user's cache folder (XDG_CACHE_HOME, or else what os.UserCacheDir says).
func Dir() (string, error) {
	dir := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(dir) {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "meti", "tokens"), nil
}

// Store keeps one file a key, and one to lock it by, in a folder. It refuses
// what other users could have written or, of a file, could read.
type Store struct{ dir string }

var _ authn.Store = (*Store)(nil)

// New returns a Store in a folder, which is made when it is needed.
func New(dir string) *Store { return &Store{dir} }

// Load reads the file of key; nil where there is none.
func (s *Store) Load(_ context.Context, key string) ([]byte, error) {
	path := s.path(key)
	err := private(s.dir, true)
	if err == nil {
		err = private(path, false)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2<<20))
}

// Save replaces the file of key, whole or not at all.
func (s *Store) Save(_ context.Context, key string, value []byte, _ time.Time) error {
	if err := s.prepare(); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, ".token-*") // readable by this user alone
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(value)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path(key))
}

// Lock locks the file beside that of key. The system unlocks it when the
// process ends.
func (s *Store) Lock(ctx context.Context, key string) (func(), error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	path := s.path(key) + ".lock"
	l := flock.New(path, flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func() { _ = l.Close() }, nil
}

func (s *Store) path(key string) string { return filepath.Join(s.dir, key+".json") }

// prepare makes the folder, and checks that it is this user's.
func (s *Store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return private(s.dir, true)
}

// private returns an error unless path is a plain file of this user that nobody
// else can write to or read, or a folder that nobody else can write to. The folder
// may be reached by a link, its files may not.
func private(path string, folder bool) error {
	look, others := os.Lstat, os.FileMode(0o077)
	if folder {
		look, others = os.Stat, 0o022
	}
	info, err := look(path)
	if err != nil {
		return err
	}
	if folder != info.IsDir() || !folder && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not of the expected kind", path)
	}
	return reached(path, info, others)
}
