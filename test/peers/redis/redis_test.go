//go:build peers

// Package redis_test shares tokens through a Redis server, as a fleet of pods
// would. It needs Debian's redis-server.
package redis_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meti-go/meti/authn"
)

// store is an authn.Store in Redis. It speaks the protocol itself, so that this
// module needs no client; a program of yours uses the one that it has.
type store struct {
	socket string
	lease  time.Duration // after which a lock ends by itself
}

// do sends one command on a connection of its own, and returns the answer; nil
// where Redis has nothing.
func (s store) do(ctx context.Context, words ...string) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", s.socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(conn, command.String()); err != nil {
		return nil, err
	}
	answer := bufio.NewReader(conn)
	line, err := answer.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	switch line[0] {
	case '-':
		return nil, errors.New(line[1:])
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 {
			return nil, err
		}
		value := make([]byte, n)
		_, err = io.ReadFull(answer, value)
		return value, err
	}
	return []byte(line[1:]), nil
}

func (s store) Load(ctx context.Context, key string) ([]byte, error) {
	return s.do(ctx, "GET", "meti:"+key)
}

func (s store) Save(ctx context.Context, key string, value []byte, expires time.Time) error {
	_, err := s.do(ctx, "SET", "meti:"+key, string(value), "PXAT", strconv.FormatInt(expires.UnixMilli(), 10))
	return err
}

// unlock deletes a lock if it is still the caller's.
const unlock = `if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`

func (s store) Lock(ctx context.Context, key string) (func(), error) {
	mine := rand.Text()
	for {
		set, err := s.do(ctx, "SET", "meti:lock:"+key, mine, "NX", "PX", strconv.FormatInt(s.lease.Milliseconds(), 10))
		if err != nil {
			return nil, err
		}
		if set != nil {
			return func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_, _ = s.do(ctx, "EVAL", unlock, "1", "meti:lock:"+key, mine)
			}, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// startRedis runs a server until the test ends.
func startRedis(t *testing.T) (socket string, stop func()) {
	t.Helper()
	dir := t.TempDir()
	socket = filepath.Join(dir, "redis.sock")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if answer, err := (store{socket: socket}).do(t.Context(), "PING"); err == nil && string(answer) == "PONG" {
			return socket, stop
		} else if time.Now().After(end) {
			t.Fatal("no redis-server: ", err)
		}
	}
}

// pods share a token endpoint and a store.
type pods struct {
	*httptest.Server
	tokens atomic.Int64
	life   int // seconds
}

func startAuth0(t *testing.T, life int) *pods {
	p := &pods{life: life}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := p.tokens.Add(1)
		time.Sleep(50 * time.Millisecond) // long enough for every pod to come
		fmt.Fprintf(w, `{"access_token":"e30.e30.%d","token_type":"Bearer","expires_in":%d}`, n, p.life)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *pods) source(t *testing.T, s authn.Store, warn func(error)) *authn.Source {
	t.Helper()
	source, err := authn.New(authn.Config{Domain: p.URL, ClientID: "pod", ClientSecret: "pod's secret", Store: s, Warn: warn})
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// 200 pods that start at once spend one token, and one more when it is refused
// to all of them.
func TestFleetSharesOneToken(t *testing.T) {
	socket, _ := startRedis(t)
	auth0 := startAuth0(t, 3600)
	quiet := func(err error) {
		if !errors.Is(err, authn.ErrOpaqueToken) {
			t.Error(err)
		}
	}
	var fleet []*authn.Source
	for range 200 {
		fleet = append(fleet, auth0.source(t, store{socket, time.Minute}, quiet))
	}
	round := func(want string) {
		var group sync.WaitGroup
		for _, s := range fleet {
			group.Go(func() {
				token, err := s.Token()
				if err != nil || token.AccessToken != want {
					t.Error(token, err)
					return
				}
				s.Invalidate(token.AccessToken)
			})
		}
		group.Wait()
	}
	round("e30.e30.1")
	round("e30.e30.2")
	if n := auth0.tokens.Load(); n != 2 {
		t.Errorf("%d tokens", n)
	}
}

// A pod that dies with the lock holds the others up until the lock ends; and
// when Redis is gone each gets a token of its own, and says so once.
func TestRedisThatFails(t *testing.T) {
	socket, stop := startRedis(t)
	auth0 := startAuth0(t, 3600)
	dying := store{socket, 300 * time.Millisecond}
	var locked atomic.Bool
	first := auth0.source(t, lockSpy{dying, &locked}, func(error) {})
	if _, err := first.Token(); err != nil || !locked.Load() {
		t.Fatal(err, locked.Load())
	}
	second := auth0.source(t, dying, func(err error) { t.Error(err) })
	for _, want := range []string{"e30.e30.1", "e30.e30.2"} { // the second one needs the lock
		token, err := second.Token()
		if err != nil || token.AccessToken != want {
			t.Fatal(token, err)
		}
		second.Invalidate(token.AccessToken)
	}
	stop()
	warnings := 0
	alone := auth0.source(t, dying, func(error) { warnings++ })
	for range 3 {
		token, err := alone.Token()
		if err != nil {
			t.Fatal(err)
		}
		alone.Invalidate(token.AccessToken)
	}
	if n := auth0.tokens.Load(); n != 5 || warnings != 1 {
		t.Errorf("%d tokens, %d warnings", n, warnings)
	}
}

// lockSpy never unlocks, as a pod that dies does not.
type lockSpy struct {
	store
	locked *atomic.Bool
}

func (l lockSpy) Lock(ctx context.Context, key string) (func(), error) {
	_, err := l.store.Lock(ctx, key)
	l.locked.Store(err == nil)
	return func() {}, err
}
