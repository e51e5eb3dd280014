package authn

import (
	"context"
	"time"
)

// Store keeps tokens where other processes, or other machines, find them: a
// fleet then spends one token where it would spend one each. Package
// authn/filestore is one for the processes of a machine; the example shows one
// in memory, and what Redis or a Kubernetes secret would have to do.
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
