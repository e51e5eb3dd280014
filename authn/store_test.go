package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/oauth2"
)

// memory is a store in memory, which can be made to fail.
type memory struct {
	mu      sync.Mutex
	values  map[string][]byte
	locks   map[string]chan struct{}
	loads   int
	fail    func(operation string) error
	expires time.Time // of what was saved last
}

func (m *memory) failing(operation string) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(operation)
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads++
	return m.values[key], m.failing("Load")
}

func (m *memory) Save(_ context.Context, key string, value []byte, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failing("Save"); err != nil {
		return err
	}
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	m.values[key], m.expires = value, expires
	return nil
}

func (m *memory) Lock(ctx context.Context, key string) (func(), error) {
	m.mu.Lock()
	err := m.failing("Lock")
	if m.locks == nil {
		m.locks = map[string]chan struct{}{}
	}
	lock := m.locks[key]
	if lock == nil {
		lock = make(chan struct{}, 1)
		m.locks[key] = lock
	}
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sharing returns a source with a store, and its warnings.
func (a *auth0) sharing(t *testing.T, store Store, change ...func(*Config)) (*Source, func() []error) {
	t.Helper()
	var mu sync.Mutex
	var warnings []error
	s := a.source(t, append(change, func(c *Config) {
		c.Store = store
		c.Warn = func(err error) { mu.Lock(); warnings = append(warnings, err); mu.Unlock() }
	})...)
	return s, func() []error { mu.Lock(); defer mu.Unlock(); return warnings }
}

// inBubble runs f with virtual time.
func inBubble(t *testing.T, f func(t *testing.T, a *auth0)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := startAuth0(grants(3600))
		defer a.close()
		f(t, a)
	})
}

// A fleet that starts at the same moment spends one token, and one more for
// each renewal.
func TestFleetSharesOneToken(t *testing.T) {
	inBubble(t, func(t *testing.T, a *auth0) {
		a.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			grants(3600)(n, w, r)
		}
		store := &memory{}
		var pods sync.WaitGroup
		for range 200 {
			s, warnings := a.sharing(t, store)
			pods.Go(func() {
				for range 2 * 360 {
					if g := mustGrant(t, s); !time.Now().Before(g.Expiry()) {
						t.Error("used after its end")
					}
					time.Sleep(10 * time.Second)
				}
				if len(warnings()) > 0 {
					t.Error(warnings())
				}
			})
		}
		pods.Wait()
		synctest.Wait()
		a.expect(t, 3)
	})
}

func TestStoreKeepsWhatIsKnown(t *testing.T) {
	inBubble(t, func(t *testing.T, a *auth0) {
		a.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Auth0-Client-Quota-Limit", "b=per_hour;q=10;r=7;t=3540")
			grants(3600)(n, w, r)
		}
		store := &memory{}
		s1, _ := a.sharing(t, store)
		first := mustGrant(t, s1)
		if !store.expires.Equal(first.Expiry()) {
			t.Error(store.expires)
		}
		time.Sleep(10 * time.Minute)
		s2, _ := a.sharing(t, store)
		second := mustGrant(t, s2)
		if first.AccessToken() != second.AccessToken() || !first.Expiry().Equal(second.Expiry()) {
			t.Errorf("%v %v", first, second)
		}
		if scopes, named := second.Scopes(); len(scopes) != 3 || !named || len(s2.Quota()) != 1 || s2.Quota()[0].Remaining != 7 {
			t.Errorf("%v %t %+v", scopes, named, s2.Quota())
		}
		a.expect(t, 1)
		for key, value := range store.values {
			if len(key) != 64 || strings.Contains(key+string(value), testSecret) {
				t.Errorf("%s: %s", key, value)
			}
		}
	})
}

// What differs in domain, client, secret, audience or scopes never finds
// another's token.
func TestStoreKey(t *testing.T) {
	inBubble(t, func(t *testing.T, a *auth0) {
		store := &memory{}
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
				s, _ := a.sharing(t, store, change)
				if g := mustGrant(t, s); g.AccessToken() != numbered(i+1) {
					t.Errorf("configuration %d found another's token", i)
				}
			}
		}
		a.expect(t, len(changes))
	})
}

// A token that is over, or nearly, is not taken.
func TestStoredTokenThatIsOver(t *testing.T) {
	inBubble(t, func(t *testing.T, a *auth0) {
		store := &memory{}
		for i := range 3 {
			s, warnings := a.sharing(t, store)
			if g := mustGrant(t, s); g.AccessToken() != numbered(i+1) || len(warnings()) > 0 {
				t.Error(g, warnings())
			}
			time.Sleep(3600*time.Second - 5*time.Second + time.Duration(i)*time.Hour)
		}
	})
}

// A token from the future means that a clock was set back: nobody knows how
// long it lives.
func TestStoredTokenFromTheFuture(t *testing.T) {
	store := &memory{}
	inBubble(t, func(t *testing.T, a *auth0) {
		time.Sleep(time.Hour)
		s, _ := a.sharing(t, store)
		mustGrant(t, s)
	})
	store.locks = nil                          // channels belong to the bubble
	inBubble(t, func(t *testing.T, a *auth0) { // an hour earlier
		s, warnings := a.sharing(t, store)
		mustGrant(t, s)
		a.expect(t, 1)
		if len(warnings()) != 0 {
			t.Error(warnings())
		}
	})
}

// A refused token is not taken from the store again by anybody who was
// refused; its successor is, and is not overwritten by a late refusal.
func TestStoreAndRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, a *auth0) {
		store := &memory{}
		var pods []*Source
		for range 50 {
			s, _ := a.sharing(t, store)
			mustGrant(t, s)
			pods = append(pods, s)
		}
		var wg sync.WaitGroup
		for i, s := range pods {
			wg.Go(func() {
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				s.Invalidate(numbered(1))
				if g := mustGrant(t, s); g.AccessToken() != numbered(2) {
					t.Error("not the new token")
				}
			})
		}
		wg.Wait()
		a.expect(t, 2)
	})
}

// A holder whose lock ended while it fetched does not write over what another
// one wrote meanwhile.
func TestLockThatEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, a *auth0) {
		store := &memory{}
		s, _ := a.sharing(t, store)
		other := []byte(`{"access_token":"newer"}`)
		a.answer = func(n int, w http.ResponseWriter, r *http.Request) {
			if err := store.Save(context.Background(), s.key, other, time.Time{}); err != nil {
				t.Error(err)
			}
			grants(3600)(n, w, r)
		}
		mustGrant(t, s)
		if got := store.values[s.key]; string(got) != string(other) {
			t.Errorf("overwritten with %s", got)
		}
	})
}

// Whatever a store does wrong: one warning, without secrets, and a token all
// the same.
func TestStoreThatFails(t *testing.T) {
	broken := fmt.Errorf("connection refused, with %s and %s", testSecret, numbered(1))
	hold := func(operation string) func(*memory) {
		return func(m *memory) {
			m.fail = func(o string) error {
				if o == operation {
					return broken
				}
				return nil
			}
		}
	}
	holds := func(value string) func(*memory) {
		return func(m *memory) {
			m.fail = func(o string) error {
				if o == "Lock" {
					for key := range m.values {
						m.values[key] = []byte(value)
					}
				}
				return nil
			}
		}
	}
	entryText := func(token string, life int64) string {
		raw, _ := json.Marshal(entry{Token: oauth2.Token{AccessToken: token, ExpiresIn: life, Expiry: time.Now()}})
		return string(raw)
	}
	for name, prepare := range map[string]func(*memory){
		"load": hold("Load"), "save": hold("Save"), "lock": hold("Lock"),
		"down":     func(m *memory) { m.fail = func(string) error { return broken } },
		"corrupt":  holds("{\x00"),
		"a header": holds(entryText("a\r\nX: y", 3600)),
		"no life":  holds(entryText("a", -1)),
		"huge":     holds(strings.Repeat("x", 5<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *auth0) {
				store := &memory{}
				first, _ := a.sharing(t, store)
				mustGrant(t, first)
				first.Invalidate(numbered(1))
				prepare(store)
				s, warnings := a.sharing(t, store)
				for range 4 {
					s.Invalidate(mustGrant(t, s).AccessToken())
				}
				mustGrant(t, s)
				if list := warnings(); len(list) != 1 || !strings.Contains(list[0].Error(), "without the token store") {
					t.Errorf("warnings: %v", list)
				} else {
					noSecrets(t, list[0], testSecret)
				}
			})
		})
	}
}

// What a store holds is no token, and again whenever it is looked at: a source
// tells once, and asks Auth0. What it puts there is a token for the next one.
func TestStoreThatHoldsNoToken(t *testing.T) {
	for _, value := range []string{"{\x00", "null", `{"access_token":""}`, `{"access_token":"a","expires_in":0}`} {
		inBubble(t, func(t *testing.T, a *auth0) {
			store := &memory{values: map[string][]byte{}}
			s, warnings := a.sharing(t, store)
			for n := 1; n <= 3; n++ {
				store.values[s.key] = []byte(value)
				g := mustGrant(t, s)
				if g.AccessToken() != numbered(n) {
					t.Errorf("%s: %v", value, g)
				}
				s.Invalidate(g.AccessToken())
			}
			if list := warnings(); len(list) != 1 || !strings.Contains(list[0].Error(), "going on without the token store: what it holds is not a token") {
				t.Errorf("%s: %v", value, list)
			}
			next, warnings := a.sharing(t, store)
			if g := mustGrant(t, next); g.AccessToken() != numbered(3) || len(warnings()) > 0 {
				t.Errorf("%s: %v, %v", value, g, warnings())
			}
			a.expect(t, 3)
		})
	}
}

// A store that hangs holds a token up for a while, not for ever, and a holder
// that hangs as well.
func TestStoreThatHangs(t *testing.T) {
	for name, hang := range map[string]Store{
		"in Load": hanging{load: true}, "in Lock": hanging{lock: true}, "in Save": hanging{},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *auth0) {
				s, warnings := a.sharing(t, hang)
				start := time.Now()
				mustGrant(t, s)
				if waited := time.Since(start); waited < storeWait || waited > lockWait+2*storeWait || len(warnings()) != 1 || !errors.Is(warnings()[0], context.DeadlineExceeded) {
					t.Error(waited, warnings())
				}
			})
		})
	}
}

type hanging struct{ load, lock bool }

func (h hanging) Load(ctx context.Context, _ string) ([]byte, error) {
	if h.load {
		<-ctx.Done()
	}
	return nil, ctx.Err()
}

func (h hanging) Save(ctx context.Context, _ string, _ []byte, _ time.Time) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h hanging) Lock(ctx context.Context, _ string) (func(), error) {
	if h.lock {
		<-ctx.Done()
	}
	return func() {}, ctx.Err()
}

// While a machine sleeps its monotonic clock stands still. A token that ended
// meanwhile is not sent, and a clock that was set back prolongs none.
func TestEitherClockEndsAToken(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	start := time.Now() // outside of the bubble, in which times have no monotonic clock
	for range 100 {
		inBubble(t, func(t *testing.T, a *auth0) {
			s := a.source(t)
			var monotonic, wall time.Duration
			s.now = func() time.Time { return onClocks(start, monotonic, wall) }
			mustGrant(t, s)
			monotonic = time.Duration(random.Int64N(int64(2 * time.Hour)))
			wall = time.Duration(random.Int64N(int64(4*time.Hour)) - int64(2*time.Hour))
			g := mustGrant(t, s)
			if over := max(monotonic, wall) >= time.Hour-time.Second; over != (g.AccessToken() == numbered(2)) {
				t.Errorf("%s on one clock, %s on the other, and the token is %v", monotonic, wall, g)
			}
			synctest.Wait()
		})
	}
}

// onClocks is start after a while that is not the same on both clocks, which
// only the standard library can make: it keeps the monotonic one in its second
// field.
func onClocks(start time.Time, monotonic, wall time.Duration) time.Time {
	after := start.Add(wall)
	(*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&after)).ext += int64(monotonic - wall)
	return after
}
