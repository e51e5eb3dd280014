package authn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meti-go/meti/internal/safehttp"
)

const (
	// storeWait bounds each Load and Save.
	storeWait = 2 * time.Second
	// lockWait is how long a source waits for another one's fetch before it
	// makes its own.
	lockWait = 15 * time.Second
)

// Store keeps tokens where other processes, or other machines, find them: a
// fleet then spends one token where it would spend one each. Package
// authn/filestore is one for the processes of a machine.
//
// Keys are 64 hexadecimal digits: a hash of domain, client, audience, scopes
// and secret, so that no configuration finds another's token. Values hold an
// access token: keep them as safe as the secret itself.
//
// A store that fails is told of once, by [Config.Warn], and never stops a
// token: the source then gets its own. All methods must be safe for concurrent
// use and return when ctx ends.
type Store interface {
	// Load returns what was saved last under key; nil where nothing is.
	Load(ctx context.Context, key string) ([]byte, error)
	// Save keeps value under key; it is of no use after expires.
	Save(ctx context.Context, key string, value []byte, expires time.Time) error
	// Lock waits until nobody else holds the lock of key. It may end by itself,
	// after 45 seconds or more, so that a holder which died stops nobody: two
	// that hold it spend a token too many, and no more.
	Lock(ctx context.Context, key string) (unlock func(), err error)
}

// entry is what a store holds.
type entry struct {
	AccessToken string    `json:"access_token"`
	Scopes      []string  `json:"scopes"`
	Named       bool      `json:"named"`
	Obtained    time.Time `json:"obtained"` // when it was asked for
	Life        int64     `json:"life"`     // seconds
	Quota       []Quota   `json:"quota,omitempty"`
}

// storeKey is where a store keeps the tokens of c.
func storeKey(c Config) string {
	// JSON, so that no two configurations make the same bytes.
	text, _ := json.Marshal([]string{c.Domain, c.ClientID, string(c.ClientSecret), c.Audience, strings.Join(c.Scopes, " ")})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// share gets a token from the store, or from Auth0 for all who share it.
func (s *Source) share(f *fetch) (*held, *FetchError) {
	h, known, err := s.load(f.old)
	if h == nil && err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), lockWait)
		defer cancel()
		var unlock func()
		if unlock, err = s.config.Store.Lock(ctx, s.key); err == nil {
			defer unlock()
			h, known, err = s.load(f.old) // another one may have got a token meanwhile
		}
	}
	if h != nil {
		return h, nil
	}
	s.storeFailed(err)
	h, failure := s.fetch(f)
	if failure == nil && h.grant.life > 0 {
		s.storeFailed(s.save(h.grant, known))
	}
	return h, failure
}

// load returns the token in the store if it is worth taking: not the one that
// is to be replaced or was refused, and not yet due for renewal. known is what
// the store holds, whatever that is.
func (s *Source) load(old *held) (h *held, known []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeWait)
	defer cancel()
	known, err = s.config.Store.Load(ctx, s.key)
	if err != nil || len(known) == 0 {
		return nil, nil, err
	}
	var e entry
	if len(known) > maxAnswer || json.Unmarshal(known, &e) != nil || !headerSafe(e.AccessToken) || e.Life <= 0 {
		s.storeFailed(errors.New("what it holds is not a token"))
		return nil, known, nil
	}
	now, life := time.Now(), safehttp.Seconds(e.Life)
	left := min(e.Obtained.Add(life).Sub(now), life)
	h = s.hold(newGrant(e.AccessToken, e.Obtained.Add(life), life, e.Scopes, e.Named), s.now(), left)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Obtained.After(now.Add(time.Minute)): // a clock was set back: who knows what is left
	case old != nil && e.AccessToken == old.grant.AccessToken():
	case s.refused != nil && e.AccessToken == s.refused.AccessToken():
	case !before(s.now(), h.renew):
	default:
		s.quota.Store(&e.Quota)
		return h, known, nil
	}
	return nil, known, nil
}

// save puts g where the store still holds what is known, or what cannot be
// read: if the lock ended meanwhile, somebody may have put a newer token there.
func (s *Source) save(g *Grant, known []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeWait)
	defer cancel()
	if now, err := s.config.Store.Load(ctx, s.key); err == nil && !bytes.Equal(now, known) {
		return nil
	}
	value, _ := json.Marshal(entry{ // which can always be written
		AccessToken: g.AccessToken(), Scopes: g.scopes, Named: g.named,
		Obtained: g.Expiry().Add(-g.life), Life: int64(g.life / time.Second), Quota: s.Quota(),
	})
	return s.config.Store.Save(ctx, s.key, value, g.Expiry())
}

// storeFailed tells of the first failure of the store.
func (s *Source) storeFailed(err error) {
	if err != nil {
		s.storeWarning.Do(func() {
			s.config.Warn(fmt.Errorf("authn: going on without the token store: %w", s.failure(temporary, err, "").Err))
		})
	}
}
