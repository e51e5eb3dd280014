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

	"golang.org/x/sync/errgroup"

	"github.com/meti-go/meti/api"
)

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
	if id := j.Attributes.AccountID; id != nil && *id != "" {
		j.target.Account = *id
		return nil
	}
	j.target.Account, err = j.Client.Account(ctx)
	return err
}

// storeOf names the ledger behind a base URL: both known hosts are one, and so
// are all names of this machine.
func storeOf(server string) string {
	u, err := url.Parse(strings.ToLower(server))
	if err != nil {
		return server
	}
	host, port, path := u.Hostname(), u.Port(), strings.TrimRight(u.Path, "/")
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for _, known := range []string{api.Production, api.Alternative} {
		if k, err := url.Parse(known); err == nil && host == k.Hostname() && port == "443" {
			switch path {
			case "":
				return "live"
			case "/sandbox":
				return "sandbox"
			}
		}
	}
	if host == "127.0.0.1" || host == "::1" {
		host = "localhost"
	}
	return u.Scheme + "://" + host + ":" + port + path
}

// lockAccount keeps other runs of this user's from registering for the same
// account meanwhile. Where no file can be kept for it, nothing is locked.
func (j *Job) lockAccount(ctx context.Context) error {
	folder, err := os.UserCacheDir()
	if err != nil || j.LookOnly || j.target.Sandbox {
		return nil //nolint:nilerr // it is a help, not a promise
	}
	folder = filepath.Join(folder, "meti")
	if os.MkdirAll(folder, 0o700) != nil {
		return nil
	}
	name := sha256.Sum256([]byte(storeOf(j.target.Server) + "\n" + j.target.Account))
	path := filepath.Join(folder, fmt.Sprintf("account-%x.lock", name[:8]))
	for told := false; ; told = true {
		lock, err := hold(path)
		if err == nil {
			_ = os.WriteFile(path, fmt.Appendf(nil, "process %d, which registers %s", os.Getpid(), j.input.Name), 0o600)
			j.unlock = func() {
				_ = os.Remove(path)
				_ = lock.Unlock()
			}
		}
		if !errors.Is(err, ErrLocked) {
			return nil
		}
		if !told {
			who, _ := os.ReadFile(path)
			j.notice("waiting for %s for the same account", clip(cmp.Or(string(who), "another run"), 300))
			j.progress(Progress{Stage: StageAccount, Wait: "another run for this account"})
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
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
		if j.unfiltered, err = j.fetchNamed(ctx, names, see); err != nil || !j.unfiltered {
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
// then unfiltered is true, and nothing was seen.
func (j *Job) fetchNamed(ctx context.Context, names []string, see func(*api.Source)) (unfiltered bool, err error) {
	errUnfiltered := errors.New("the server ignores the filter by alt_id")
	lists := make([][]*api.Source, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, name := range names {
		group.Go(func() error {
			filter := j.filter()
			filter.AltID = name
			for s, err := range j.Client.Sources.All(ctx, api.AllParams{Filter: filter, PageSize: 100, InFlight: 1}) {
				switch {
				case err != nil:
					return err
				case s.AltID == name:
					lists[i] = append(lists[i], s)
				case !strings.HasPrefix(strings.ToLower(s.AltID), strings.ToLower(name)):
					return errUnfiltered
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		if errors.Is(err, errUnfiltered) {
			return true, nil
		}
		return false, err
	}
	for _, list := range lists {
		for _, s := range list {
			see(s)
		}
	}
	return false, nil
}

// get looks SSIDs up, with nil for what METI does not have.
func (j *Job) get(ctx context.Context, ids []string) ([]*api.Source, error) {
	const many = 100
	found := make([]*api.Source, len(ids))
	for from := 0; from < len(ids); from += many {
		j.progress(Progress{Stage: j.stage, Done: from, Total: len(ids)})
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(2 * atOnce)
		for i := from; i < min(from+many, len(ids)); i++ {
			group.Go(func() (err error) {
				if found[i], err = j.Client.Sources.Get(ctx, ids[i]); errors.Is(err, api.ErrNotFound) {
					err = nil
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// foreign reports whether a source belongs to another account than the
// target: an admin's token sees all.
func (j *Job) foreign(s *api.Source) bool {
	const uuid = 36 // characters; where the token names no account, the target is its client, which is no UUID
	return s.AccountID != "" && len(j.target.Account) == uuid && !strings.EqualFold(s.AccountID, j.target.Account)
}
