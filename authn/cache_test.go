package authn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// childVariable makes the test binary run as one of many processes that share
// a cache: its value is how many sources it makes, one after another.
const childVariable = "AUTHN_TEST_CHILD"

// child is such a process.
func child(sources string) int {
	n := 0
	_, _ = fmt.Sscan(sources, &n)
	for range n {
		c, err := FromEnv()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		c.Cache, c.Lazy = true, true
		c.Warn = func(err error) { fmt.Println("warning:", err) }
		s, err := New(c)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		g, err := s.Grant(context.Background())
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if g.AccessToken() != numbered(1) {
			fmt.Println("another token")
			return 1
		}
	}
	return 0
}

// countingAuth0 is a token endpoint for other processes.
func countingAuth0(t *testing.T) (*httptest.Server, *atomic.Int64) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1))
		time.Sleep(50 * time.Millisecond) // long enough for every process to come
		grants(3600)(n, w, r)
	}))
	t.Cleanup(server.Close)
	return server, &requests
}

// 20 processes at the same time, each with 50 sources one after another that
// know nothing of each other: 1 token request.
func TestProcessesShareOneToken(t *testing.T) {
	server, requests := countingAuth0(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cacheHome := filepath.Join(t.TempDir(), "not", "there", "yet")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), childVariable+"=50", "XDG_CACHE_HOME="+cacheHome, "AUTH0_DOMAIN="+server.URL,
				"AUTH0_AUDIENCE=", "METI_CLIENT_ID=i", "METI_CLIENT_SECRET="+testSecret, "METI_CLIENT_SECRET_FILE=")
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d token requests", n)
	}
	cacheIsPrivate(t, cacheHome)
}

// cacheIsPrivate walks the cache: modes, no secret, nothing temporary left.
func cacheIsPrivate(t *testing.T, home string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(filepath.Join(home, "meti"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		if d.IsDir() {
			return nil
		}
		files++
		if name := d.Name(); !strings.HasSuffix(name, ".json") && !strings.HasSuffix(name, ".json.lock") {
			t.Errorf("%s was left", path)
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(testSecret)) || strings.Contains(path, testSecret) {
			t.Errorf("%s has the secret in it", path)
		}
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("%v, %d files", err, files)
	}
}

// cached returns a source with the cache in home, and its warnings.
func (a *auth0) cached(t *testing.T, home string, change ...func(*Config)) (*Source, *[]error) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", home)
	var mu sync.Mutex
	var warnings []error
	return a.source(t, append(change, func(c *Config) {
		c.Cache = true
		c.Warn = func(err error) { mu.Lock(); warnings = append(warnings, err); mu.Unlock() }
	})...), &warnings
}

// entryPath returns the one token file under home.
func entryPath(t *testing.T, home string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(home, "meti", "tokens", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

// inBubble runs f with virtual time; Setenv and TempDir belong outside.
func inBubble(t *testing.T, f func(t *testing.T, a *auth0)) {
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		f(t, a)
	})
}

func TestCacheKeepsWhatIsKnown(t *testing.T) {
	home := t.TempDir()
	inBubble(t, func(t *testing.T, a *auth0) {
		a.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Auth0-Client-Quota-Limit", "b=per_hour;q=10;r=7;t=3540")
			grants(3600)(n, w, r)
		}
		s1, w1 := a.cached(t, home)
		first := mustGrant(t, s1)
		time.Sleep(10 * time.Minute)
		s2, w2 := a.cached(t, home)
		second := mustGrant(t, s2)
		if first.AccessToken() != second.AccessToken() || !first.Expiry().Equal(second.Expiry()) {
			t.Errorf("%v %v", first, second)
		}
		if scopes, named := second.Scopes(); len(scopes) != 3 || !named || len(s2.Quota().Buckets) != 1 || s2.Quota().Buckets[0].Remaining != 7 {
			t.Errorf("%v %t %+v", scopes, named, s2.Quota())
		}
		if len(*w1)+len(*w2) > 0 {
			t.Error(*w1, *w2)
		}
		a.expect(t, 1)
	})
	cacheIsPrivate(t, home)
}

// What differs in domain, client, secret, audience or scopes never finds
// another's token.
func TestCacheKey(t *testing.T) {
	home := t.TempDir()
	inBubble(t, func(t *testing.T, a *auth0) {
		changes := []func(*Config){
			func(c *Config) {},
			func(c *Config) { c.Domain = "http://127.0.0.1:8081" },
			func(c *Config) { c.ClientID = "other" },
			func(c *Config) { c.ClientSecret = "other" },
			func(c *Config) { c.Audience = "urn:other" },
			func(c *Config) { c.Scopes = []string{"read:sources"} },
			func(c *Config) { c.Scopes = []string{} },
			// The same text, divided otherwise.
			func(c *Config) { c.ClientID, c.ClientSecret = testClientID+"s", Secret(testSecret[1:]) },
		}
		for i, change := range changes {
			for range 2 {
				s, _ := a.cached(t, home, change)
				if g := mustGrant(t, s); g.AccessToken() != numbered(i+1) {
					t.Errorf("configuration %d found another's token", i)
				}
			}
		}
		a.expect(t, len(changes))
	})
}

// An entry that is over, or nearly, is no token.
func TestCacheEntryThatIsOver(t *testing.T) {
	home := t.TempDir()
	inBubble(t, func(t *testing.T, a *auth0) {
		for i := range 3 {
			s, warnings := a.cached(t, home)
			if g := mustGrant(t, s); g.AccessToken() != numbered(i+1) || len(*warnings) > 0 {
				t.Error(g, *warnings)
			}
			time.Sleep(3600*time.Second - 5*time.Second + time.Duration(i)*time.Hour)
		}
	})
}

// A refused token is not taken from the cache again, by nobody who was refused;
// its successor is.
func TestCacheAndRefusals(t *testing.T) {
	home := t.TempDir()
	inBubble(t, func(t *testing.T, a *auth0) {
		s1, _ := a.cached(t, home)
		s2, _ := a.cached(t, home)
		for _, s := range []*Source{s1, s2} {
			s.Invalidate(mustGrant(t, s).AccessToken())
		}
		for _, s := range []*Source{s1, s2} {
			if g := mustGrant(t, s); g.AccessToken() != numbered(2) {
				t.Error("not the new token")
			}
		}
		a.expect(t, 2)
	})
}

// Processes that live on share the renewals too.
func TestCacheAndRenewal(t *testing.T) {
	home := t.TempDir()
	inBubble(t, func(t *testing.T, a *auth0) {
		var sources []*Source
		for range 5 {
			s, _ := a.cached(t, home)
			sources = append(sources, s)
		}
		for range 2 * 3600 {
			for _, s := range sources {
				if g := mustGrant(t, s); !time.Now().Before(g.Expiry()) {
					t.Fatal("used after its end")
				}
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		a.expect(t, 3)
	})
}

// Whatever is wrong with the cache: one warning, and on without it.
func TestUnusableCache(t *testing.T) {
	fill := func(t *testing.T, home string) string { // with a good entry
		inBubble(t, func(t *testing.T, a *auth0) {
			s, _ := a.cached(t, home)
			mustGrant(t, s)
		})
		return entryPath(t, home)
	}
	do := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, home string) (xdg string)
		healed  bool // the next source finds a good entry
	}{
		{"corrupt", func(t *testing.T, home string) string {
			do(t, os.WriteFile(fill(t, home), []byte("{\x00"), 0o600))
			return home
		}, true},
		{"empty", func(t *testing.T, home string) string { do(t, os.Truncate(fill(t, home), 0)); return home }, true},
		{"cut", func(t *testing.T, home string) string { do(t, os.Truncate(fill(t, home), 60)); return home }, true},
		{"a token that would break the header", func(t *testing.T, home string) string {
			raw, err := json.Marshal(entry{AccessToken: "a\r\nX: y", Life: 3600, Obtained: time.Now()})
			do(t, err)
			do(t, os.WriteFile(fill(t, home), raw, 0o600))
			return home
		}, true},
		{"huge", func(t *testing.T, home string) string {
			do(t, os.WriteFile(fill(t, home), bytes.Repeat([]byte("x"), 5<<20), 0o600))
			return home
		}, true},
		{"readable by others", func(t *testing.T, home string) string { do(t, os.Chmod(fill(t, home), 0o644)); return home }, true},
		{"a link", func(t *testing.T, home string) string {
			path := fill(t, home)
			do(t, os.Rename(path, filepath.Join(home, "moved")))
			do(t, os.Symlink(filepath.Join(home, "moved"), path))
			return home
		}, true},
		{"a folder in its place", func(t *testing.T, home string) string {
			path := fill(t, home)
			do(t, os.Remove(path))
			do(t, os.MkdirAll(filepath.Join(path, "x"), 0o700))
			return home
		}, false},
		{"a folder that others can write to", func(t *testing.T, home string) string {
			do(t, os.Chmod(filepath.Dir(fill(t, home)), 0o777))
			return home
		}, false},
		{"a file where the folder should be", func(t *testing.T, home string) string {
			do(t, os.WriteFile(filepath.Join(home, "meti"), nil, 0o600))
			return home
		}, false},
		{"a read-only root", func(t *testing.T, home string) string { return "/proc/meti-cannot-be-made" }, false},
		{"no HOME", func(t *testing.T, home string) string {
			t.Setenv("HOME", "")
			return ""
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := t.TempDir()
			xdg := tt.prepare(t, home)
			inBubble(t, func(t *testing.T, a *auth0) {
				s, warnings := a.cached(t, xdg)
				for range 3 {
					s.Invalidate(mustGrant(t, s).AccessToken())
				}
				last := mustGrant(t, s)
				if len(*warnings) != 1 || !strings.Contains((*warnings)[0].Error(), "without the token cache") {
					t.Errorf("warnings: %v", *warnings)
				}
				noSecrets(t, (*warnings)[0], testSecret, numbered(1))
				a.expect(t, 4)
				again, _ := a.cached(t, xdg)
				if left, err := filepath.Glob(filepath.Join(xdg, "meti", "tokens", ".token-*")); err != nil || len(left) > 0 {
					t.Error("left behind:", left, err)
				}
				if g := mustGrant(t, again); (g.AccessToken() == last.AccessToken()) != tt.healed {
					t.Errorf("healed: %t, want %t", !tt.healed, tt.healed)
				}
			})
		})
	}
}

// Another user's file is left alone. Only root can make one; for others the
// system's files are another user's already.
func TestForeignFileIsNotUsed(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	path := "/etc/passwd"
	if os.Geteuid() == 0 {
		path = filepath.Join(t.TempDir(), "entry")
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readEntry(path); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Error(err)
	}
}

// A process that hangs with the lock holds the others up for a while, not for
// ever: then they go on without the cache.
func TestLockThatIsNeverLeft(t *testing.T) {
	home := t.TempDir()
	inBubble(t, func(t *testing.T, a *auth0) {
		holder, _ := a.cached(t, home)
		release, ok := holder.cache.lock(t.Context())
		if !ok {
			t.Fatal("no lock")
		}
		defer release()
		s, warnings := a.cached(t, home)
		start := time.Now()
		mustGrant(t, s)
		if waited := time.Since(start); waited < lockWait || waited > lockWait+time.Second || len(*warnings) != 1 {
			t.Error(waited, *warnings)
		}
	})
}

// An entry from the future means that the clock was set back: nobody knows how
// long it lives.
func TestEntryFromTheFuture(t *testing.T) {
	home := t.TempDir()
	inBubble(t, func(t *testing.T, a *auth0) {
		time.Sleep(time.Hour)
		s, _ := a.cached(t, home)
		mustGrant(t, s)
	})
	inBubble(t, func(t *testing.T, a *auth0) { // an hour earlier
		s, warnings := a.cached(t, home)
		mustGrant(t, s)
		a.expect(t, 1)
		if len(*warnings) != 0 {
			t.Error(*warnings)
		}
	})
}
