package authn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// storeWait bounds each Load and Save.
	storeWait = 2 * time.Second
	// lockWait is how long a source waits for another one's fetch before it
	// makes its own.
	lockWait = 15 * time.Second
)

// share gets a token from the store, or from Auth0 for all who share it.
func (s *Source) share(f *fetch) (*Grant, *FetchError) {
	g, known, err := s.load(f.old)
	if g == nil && err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), lockWait)
		defer cancel()
		var unlock func()
		if unlock, err = s.config.Store.Lock(ctx, s.key); err == nil {
			defer unlock()
			g, known, err = s.load(f.old) // another one may have got a token meanwhile
		}
	}
	if g != nil {
		return g, nil
	}
	s.storeFailed(err)
	g, failure := s.fetch(f)
	if failure == nil && g.entry.Life > 0 {
		s.storeFailed(s.save(*g.entry, known))
	}
	return g, failure
}

// load returns the token in the store if it is worth taking: not the one that
// is to be replaced or was refused, and not yet due for renewal. known is what
// the store holds, whatever that is.
func (s *Source) load(old *Grant) (g *Grant, known []byte, err error) {
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
	g = newGrant(e, s.now())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Obtained.After(time.Now().Add(time.Minute)): // a clock was set back: who knows what is left
	case old != nil && e.AccessToken == old.AccessToken():
	case s.refused != nil && e.AccessToken == s.refused.AccessToken():
	case !s.before(g.renew):
	default:
		s.quota.Store(&e.Quota)
		return g, known, nil
	}
	return nil, known, nil
}

// save puts a token where the store still holds what is known, or what cannot be
// read: if the lock ended meanwhile, somebody may have put a newer token there.
func (s *Source) save(e entry, known []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeWait)
	defer cancel()
	if now, err := s.config.Store.Load(ctx, s.key); err == nil && !bytes.Equal(now, known) {
		return nil
	}
	e.Obtained, e.Quota = e.Obtained.Round(0), s.Quota()
	value, _ := json.Marshal(e) // it can always be written
	return s.config.Store.Save(ctx, s.key, value, e.Obtained.Add(time.Duration(e.Life)*time.Second))
}

// storeFailed tells of the first failure of the store.
func (s *Source) storeFailed(err error) {
	if err != nil {
		s.storeWarning.Do(func() {
			s.config.Warn(fmt.Errorf("authn: going on without the token store: %w", s.failure(temporary, err, "").Err))
		})
	}
}
