package authn

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// lockWait is how long a process waits for another one's fetch before it makes
// its own.
const lockWait = 15 * time.Second

// CacheDir returns the folder in which [Config.Cache] keeps tokens: meti/tokens
// in the user's cache folder (XDG_CACHE_HOME, or else what os.UserCacheDir
// says). One file a configuration, named by the SHA-256 of domain, client id,
// secret, audience and scopes: the secret itself is never stored.
func CacheDir() (string, error) {
	dir := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(dir) {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "meti", "tokens"), nil
}

// cache is the token file that processes share.
type cache struct {
	path string // empty: not to be used
	warn func(error)
	once sync.Once
}

// entry is what the file holds.
type entry struct {
	AccessToken string    `json:"access_token"`
	Scopes      []string  `json:"scopes"`
	Named       bool      `json:"named"`
	Obtained    time.Time `json:"obtained"` // when it was asked for
	Life        int64     `json:"life"`     // seconds
	Quota       Quota     `json:"quota"`
}

func newCache(c Config) *cache {
	k := &cache{warn: c.Warn}
	dir, err := CacheDir()
	if err != nil {
		k.off(err)
		return k
	}
	// Lengths stand before the texts, so that no two configurations make the
	// same bytes.
	h := sha256.New()
	for _, text := range []string{c.Domain, c.ClientID, string(c.ClientSecret), c.Audience, strings.Join(c.Scopes, " ")} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(text)))
		_, _ = io.WriteString(h, text)
	}
	k.path = filepath.Join(dir, hex.EncodeToString(h.Sum(nil))+".json")
	return k
}

// off says once that the cache is not used.
func (k *cache) off(err error) {
	k.once.Do(func() { k.warn(fmt.Errorf("authn: going on without the token cache: %w", err)) })
}

// lock waits until no other process reads, fetches or writes this entry, and
// returns how to let go. When there is no lock to be had, which is warned of,
// ok is false: the cache is not to be used.
func (k *cache) lock(ctx context.Context) (release func(), ok bool) {
	if k.path == "" {
		return nil, false
	}
	dir := filepath.Dir(k.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		k.off(err)
		return nil, false
	}
	if err := ours(dir, true); err != nil {
		k.off(err)
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	l := flock.New(k.path+".lock", flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		_ = l.Close()
		k.off(fmt.Errorf("%s.lock: %w", k.path, err))
		return nil, false
	}
	return func() { _ = l.Close() }, true
}

// read returns the token in the file, or nil. It needs the lock.
func (k *cache) read() *Grant {
	e, err := readEntry(k.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		k.off(err)
		return nil
	}
	// The file's times are the wall clock's. What this process makes of them
	// is a remaining life, on the monotonic clock.
	now := time.Now()
	if e.Obtained.After(now.Add(time.Minute)) {
		return nil // the clock was set back: who knows what is left
	}
	left := min(e.Obtained.Add(time.Duration(e.Life)*time.Second).Sub(now), time.Duration(e.Life)*time.Second)
	g := newGrant(e.AccessToken, now, left, e.Scopes, e.Named, e.Quota)
	g.life = time.Duration(e.Life) * time.Second
	return g
}

func readEntry(path string) (*entry, error) {
	if err := ours(path, false); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxAnswer))
	if err != nil {
		return nil, err
	}
	var e entry
	if json.Unmarshal(raw, &e) != nil || e.AccessToken == "" || !headerSafe(e.AccessToken) || e.Life <= 0 || e.Life > int64(maxLife/time.Second) {
		return nil, fmt.Errorf("%s is corrupt", path)
	}
	return &e, nil
}

// write puts g into the file, whole or not at all. It needs the lock.
func (k *cache) write(g *Grant) {
	if err := writeEntry(k.path, entry{
		AccessToken: g.AccessToken(),
		Scopes:      g.scopes,
		Named:       g.known,
		Obtained:    g.Expiry().Add(-g.life).Round(0),
		Life:        int64(g.life / time.Second),
		Quota:       g.quota,
	}); err != nil {
		k.off(err)
	}
}

func writeEntry(path string, e entry) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	if _, err = f.Write(raw); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
