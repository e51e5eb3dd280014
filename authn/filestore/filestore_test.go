package filestore_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
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

	"go.uber.org/goleak"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/authn/filestore"
)

const testSecret = "s3cret/Sentinel+Value"

// childVariable makes the test binary run as one of many processes that share
// a folder: its value is how many sources it makes, one after another.
const childVariable = "FILESTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if n := os.Getenv(childVariable); n != "" {
		if err := child(n); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child is such a process.
func child(sources string) error {
	n := 0
	_, _ = fmt.Sscan(sources, &n)
	for range n {
		c, err := authn.FromEnv()
		if err != nil {
			return err
		}
		dir, err := filestore.Dir()
		if err != nil {
			return err
		}
		c.Store, c.Lazy = filestore.New(dir), true
		c.Warn = func(err error) { fmt.Println("warning:", err) }
		s, err := authn.New(c)
		if err != nil {
			return err
		}
		token, err := s.Token()
		if err != nil {
			return err
		}
		if token.AccessToken != numbered(1) {
			return errors.New("another token")
		}
	}
	return nil
}

// numbered is the nth token.
func numbered(n int) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte("{}")) + "." + part(fmt.Appendf(nil, `{"jti":%d}`, n)) + ".c2ln"
}

func answer(n int) string {
	return fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, numbered(n))
}

// 20 processes at the same time, each with 50 sources one after another that
// know nothing of each other, as 1,000 runs of a command: 1 token request.
func TestProcessesShareOneToken(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(requests.Add(1))
		time.Sleep(50 * time.Millisecond) // long enough for every process to come
		_, _ = io.WriteString(w, answer(n))
	}))
	defer server.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cacheHome := filepath.Join(t.TempDir(), "not", "there", "yet")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), childVariable+"=50", "XDG_CACHE_HOME="+cacheHome, "AUTH0_DOMAIN="+server.URL, "METI_BASE_URL=",
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
	isPrivate(t, filepath.Join(cacheHome, "meti"))
}

// isPrivate walks a folder: modes, no secret, nothing temporary left.
func isPrivate(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
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

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// user is whoever uses a folder, and Auth0 in memory.
type user struct {
	requests int
	warnings []string
}

// source returns a source that shares dir.
func (u *user) source(t *testing.T, dir string) *authn.Source {
	t.Helper()
	s, err := authn.New(authn.Config{
		Domain: "tenant.example", ClientID: "i", ClientSecret: testSecret, Store: filestore.New(dir),
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			u.requests++
			return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(answer(u.requests)))}, nil
		}),
		Warn: func(err error) { u.warnings = append(u.warnings, err.Error()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func token(t *testing.T, s *authn.Source) string {
	t.Helper()
	g, err := s.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return g.AccessToken()
}

// fill puts a token into dir, and returns the path of its file.
func fill(t *testing.T, dir string) string {
	t.Helper()
	token(t, new(user).source(t, dir))
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

// unusable is a way in which the files can be wrong.
type unusable struct {
	name    string
	prepare func(t *testing.T, home string) (dir string, err error)
	healed  bool // the next source finds a good token
}

// Whatever is wrong with the files: one warning, and on without them.
func TestUnusableFiles(t *testing.T) {
	goOnWithout(t, []unusable{
		{"corrupt", func(t *testing.T, dir string) (string, error) {
			return dir, os.WriteFile(fill(t, dir), []byte("{\x00"), 0o600)
		}, true},
		{"cut", func(t *testing.T, dir string) (string, error) { return dir, os.Truncate(fill(t, dir), 60) }, true},
		{"huge", func(t *testing.T, dir string) (string, error) {
			return dir, os.WriteFile(fill(t, dir), bytes.Repeat([]byte("x"), 5<<20), 0o600)
		}, true},
		{"a folder in its place", func(t *testing.T, dir string) (string, error) {
			path := fill(t, dir)
			return dir, errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700))
		}, false},
		{"a file where the folder should be", func(t *testing.T, dir string) (string, error) {
			return dir, os.WriteFile(dir, nil, 0o600)
		}, false},
		{"a folder that cannot be made", func(t *testing.T, dir string) (string, error) {
			return filepath.Join(dir, "tokens"), os.WriteFile(dir, nil, 0o600)
		}, false},
	})
}

func goOnWithout(t *testing.T, ways []unusable) {
	for _, tt := range ways {
		t.Run(tt.name, func(t *testing.T) {
			dir, err := tt.prepare(t, filepath.Join(t.TempDir(), "tokens"))
			if err != nil {
				t.Fatal(err)
			}
			var u user
			s := u.source(t, dir)
			for range 3 {
				s.Invalidate(token(t, s))
			}
			last := token(t, s)
			if len(u.warnings) != 1 || !strings.Contains(u.warnings[0], "without the token store") {
				t.Errorf("warnings: %v", u.warnings)
			}
			if u.requests != 4 {
				t.Errorf("%d token requests", u.requests)
			}
			again := token(t, new(user).source(t, dir))
			if healed := again == last; healed != tt.healed {
				t.Errorf("healed: %t, want %t", healed, tt.healed)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".token-*")); err != nil || len(left) > 0 {
				t.Error("left behind:", left, err)
			}
		})
	}
}

// A process that hangs with the lock holds the others up for a while, not for
// ever: then they go on without it.
func TestLockThatIsNeverLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tokens")
	path := fill(t, dir)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(200 * 365 * 24 * time.Hour) // synctest's time begins in 2000
		unlock, err := filestore.New(dir).Lock(t.Context(), strings.TrimSuffix(filepath.Base(path), ".json"))
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		var u user
		start := time.Now()
		token(t, u.source(t, dir))
		if waited := time.Since(start); waited < 15*time.Second || waited > 20*time.Second || len(u.warnings) != 1 {
			t.Error(waited, u.warnings)
		}
	})
}

func TestDir(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	if dir, err := filestore.Dir(); dir != filepath.Join(cache, "meti", "tokens") || err != nil {
		t.Error(dir, err)
	}
	t.Setenv("XDG_CACHE_HOME", "not absolute")
	t.Setenv("HOME", "")
	if dir, err := filestore.Dir(); err == nil && strings.Contains(dir, "not absolute") {
		t.Error(dir)
	}
}
