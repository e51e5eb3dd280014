package authn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// How long a source waits for each Load and Save, and for another one's fetch
// before it makes its own.
const storeWait, lockWait = 2 * time.Second, 15 * time.Second

// share gets a token from the store, or from Auth0 for all who share it.
func (s *Source) share() (*Grant, *FetchError) {
	if s.config.Store == nil {
		return s.fetch()
	}
	g, known, err := s.load()
	if g == nil && err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), lockWait)
		defer cancel()
		var unlock func()
		if unlock, err = s.config.Store.Lock(ctx, s.key); err == nil {
			defer unlock()
			g, known, err = s.load() // another one may have got a token meanwhile
		}
	}
	if g != nil {
		return g, nil
	}
	s.storeFailed(err)
	g, failure := s.fetch()
	if failure == nil && g.entry.ExpiresIn > 0 {
		s.storeFailed(s.save(*g.entry, known))
	}
	return g, failure
}

// load returns the token in the store if it is worth taking: not the one that
// is to be replaced or was refused, and not yet due for renewal. known is what
// the store holds, whatever that is.
func (s *Source) load() (g *Grant, known []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), storeWait)
	defer cancel()
	known, err = s.config.Store.Load(ctx, s.key)
	if err != nil || len(known) == 0 {
		return nil, nil, err
	}
	var e entry
	if len(known) > maxAnswer || json.Unmarshal(known, &e) != nil || !headerSafe(e.AccessToken) || e.ExpiresIn <= 0 {
		s.storeFailed(errors.New("what it holds is not a token"))
		return nil, known, nil
	}
	g = newGrant(e, s.now())
	// One from the future means that a clock was set back: who knows what is left?
	ahead := time.Until(e.Expiry) > e.life()+time.Minute
	if ahead || !s.fresh(g) || e.AccessToken == s.current.Load().AccessToken() || e.AccessToken == s.refused.Load().AccessToken() {
		g = nil
	}
	return g, known, nil
}

// save puts a token where the store still holds what is known, or what cannot be
// read: if the lock ended meanwhile, somebody may have put a newer token there.
func (s *Source) save(e entry, known []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeWait)
	defer cancel()
	if now, err := s.config.Store.Load(ctx, s.key); err == nil && !bytes.Equal(now, known) {
		return nil
	}
	value, _ := json.Marshal(e) // it can always be written
	return s.config.Store.Save(ctx, s.key, value, e.Expiry)
}

// storeFailed tells of the first failure of the store.
func (s *Source) storeFailed(err error) {
	if err != nil {
		err = fmt.Errorf("authn: going on without the token store: %w", s.secrets().Clean(err))
		s.storeWarning.Do(func() { s.config.Warn(err) })
	}
}
