package register

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/authn"
)

// custodian is the role whose tokens register for their own account, whatever is sent
// [L]. What other roles there are is not known.
const custodian = "custodian"

// aim finds out where the job registers.
func (j *Job) aim(ctx context.Context) (err error) {
	server := j.Client.Server()
	j.target = Target{Server: server, Sandbox: strings.HasSuffix(strings.TrimRight(server, "/"), "/sandbox")}
	if j.target.Sandbox {
		if j.Changed == Renew || j.Gone == Renew {
			return fmt.Errorf("%w: nothing can be registered anew", ErrSandbox)
		}
		j.NoJournal = true
	}
	claims, err := j.Client.Claims(ctx)
	own, named := cmp.Or(claims.AccountID, claims.Subject), ""
	if id := j.Attributes.AccountID; id != nil {
		named = *id
	}
	switch {
	case err != nil && (named == "" || !errors.Is(err, authn.ErrOpaqueToken)):
		return err
	case named != "" && strings.EqualFold(claims.Role, custodian) && claims.AccountID != "" && !strings.EqualFold(named, own):
		j.notice("a custodian's token decides the account: account_id %s is passed over", named)
		j.Attributes.AccountID, named = nil, ""
	}
	j.target.Account = cmp.Or(named, own)
	j.store = ledgerOf(server) + " " + j.target.Account
	return nil
}

// ledgerOf names the ledger behind a base URL: both known hosts are one, and so
// are all names of this machine.
func ledgerOf(server string) string {
	u, err := url.Parse(strings.ToLower(strings.TrimRight(server, "/")))
	if err != nil {
		return server
	}
	host, port := u.Hostname(), cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	for _, known := range []string{api.Production, api.Alternative} {
		if known == "https://"+host && port == "443" {
			return "live" + u.Path
		}
	}
	if host == "127.0.0.1" || host == "::1" {
		host = "localhost"
	}
	return u.Scheme + "://" + host + ":" + port + u.Path
}

// lockAccount keeps other runs of this user's from registering for the same
// account meanwhile. Where no file can be kept for it, nothing is locked.
func (j *Job) lockAccount(ctx context.Context) error {
	folder, err := os.UserCacheDir()
	if folder = filepath.Join(folder, "meti"); err != nil || j.LookOnly || j.target.Sandbox || os.MkdirAll(folder, 0o700) != nil {
		return nil //nolint:nilerr // it is a help, not a promise
	}
	lock := flock.New(filepath.Join(folder, fmt.Sprintf("account-%.8x.lock", sha256.Sum256([]byte(j.store)))), flock.SetPermissions(0o600), flock.SetFlag(os.O_CREATE|os.O_RDWR))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		who, _ := os.ReadFile(lock.Path())
		j.notice("waiting for %s for the same account", clip(cmp.Or(string(who), "another run"), 300))
		j.progress(Progress{Stage: StageAccount, Wait: "another run for this account"})
		if locked, _ = lock.TryLockContext(ctx, 200*time.Millisecond); !locked {
			return context.Cause(ctx)
		}
	}
	if locked {
		_ = os.WriteFile(lock.Path(), fmt.Appendf(nil, "process %d, which registers %s", os.Getpid(), j.input.Name), 0o600)
		j.account = lock
	}
	return nil
}

// sleep waits, and reports whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Up to byName alt_ids are looked up one by one, for the filter takes one at a
// time. More than byListing are found in a listing of the account; between,
// the account's size decides.
const (
	byName    = 10
	byListing = 2000
	pageSize  = 250 // of a listing: several pages of boundaries are in memory at once
	atOnce    = 8   // requests
)

// filter is the one that narrows everything that is asked to the target.
func (j *Job) filter() (filter api.Filter) {
	if j.Attributes.AccountID != nil {
		filter.AccountID = *j.Attributes.AccountID
	}
	return filter
}

// fetch calls see with the sources of some alt_ids, or of all of the account
// where none are given, one at a time. What it sees holds whatever was visible
// when fetch was called; there may be more, and twice. whole says that all of the
// account was listed.
func (j *Job) fetch(ctx context.Context, names []string, see func(*api.Source)) (whole bool, err error) {
	list := names == nil || j.unfiltered
	if !list && len(names) > byName {
		beyond, err := j.Client.Sources.List(ctx, api.ListParams{Filter: j.filter(), Limit: 1, Offset: 20 * len(names)})
		if err != nil {
			return false, err
		}
		list = len(beyond) == 0
	}
	if !list {
		if err := j.fetchNamed(ctx, names, see); err != nil || !j.unfiltered {
			return false, err
		}
	}
	for s, err := range j.Client.Sources.All(ctx, api.AllParams{Filter: j.filter(), PageSize: pageSize}) {
		if err != nil {
			return false, err
		}
		see(s)
	}
	return true, nil
}

// fetchNamed looks alt_ids up one by one. A filter that is matched by prefix
// or without case finds more than was asked for; one that is ignored finds all:
// then nothing is seen, and unfiltered is set.
func (j *Job) fetchNamed(ctx context.Context, names []string, see func(*api.Source)) error {
	errUnfiltered := errors.New("the server ignores the filter by alt_id")
	lists := make([][]*api.Source, len(names))
	err := j.each(ctx, len(names), func(ctx context.Context, i int) error {
		filter := j.filter()
		filter.AltID = names[i]
		for s, err := range j.Client.Sources.All(ctx, api.AllParams{Filter: filter, PageSize: 100, InFlight: 1}) {
			switch {
			case err != nil:
				return err
			case s.AltID == names[i]:
				lists[i] = append(lists[i], s)
			case !strings.HasPrefix(strings.ToLower(s.AltID), strings.ToLower(names[i])):
				return errUnfiltered
			}
		}
		return nil
	})
	if j.unfiltered = errors.Is(err, errUnfiltered); j.unfiltered {
		return nil
	}
	if err != nil {
		return err
	}
	for _, list := range lists {
		for _, s := range list {
			see(s)
		}
	}
	return nil
}

// get looks SSIDs up, with nil for what METI does not have.
func (j *Job) get(ctx context.Context, ids []string) ([]*api.Source, error) {
	found := make([]*api.Source, len(ids))
	return found, j.each(ctx, len(ids), func(ctx context.Context, i int) (err error) {
		if found[i], err = j.Client.Sources.Get(ctx, ids[i]); errors.Is(err, api.ErrNotFound) {
			return nil
		}
		return err
	})
}

// each makes n requests, several at once, until one fails.
func (j *Job) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range n {
		if i%100 == 99 {
			j.progress(Progress{Stage: j.stage, Done: i, Total: n})
		}
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// foreign reports whether a source belongs to another account than the
// target: an admin's token sees all.
func (j *Job) foreign(s *api.Source) bool {
	const uuid = 36 // characters; where the token names no account, the target is its client, which is no UUID
	return s.AccountID != "" && len(j.target.Account) == uuid && !strings.EqualFold(s.AccountID, j.target.Account)
}
