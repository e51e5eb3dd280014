package register

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/wire"
)

// source is what is kept of a source that METI answered: fifty bytes.
type source struct {
	id       uint32  // in account.texts
	hectares float64 // NaN where METI does not say
	country  uint32  // in account.texts
	altID    uint32  // in account.texts
	with     int32   // in account.partners; -1 for none
	differs  int32   // in account.differences; -1 for nothing
	conflict int8    // 1, 0, or -1 where METI does not say
	paired   bool    // it is a feature's
	reading  uint16  // the last one that it was in
}

// account is what METI answered of the account.
type account struct {
	texts       texts
	sources     []source
	byID        map[uint64]int32 // sources of the input's alt_ids
	altIDs      map[uint64]uint32
	partners    [][]string
	differences []string
	count       int         // sources of the input's alt_ids, in the first reading
	whole       bool        // it was listed
	unfiltered  atomic.Bool // the server ignores the filter by alt_id
	shapeless   bool        // it has hidden a boundary
	shaped      bool        // it has told one
	readings    uint16
}

// texts keeps short texts, each once where they come in a row.
type texts struct {
	all  []byte
	seen map[string]uint32
}

func (t *texts) add(s string) uint32 {
	at := uint32(len(t.all))
	s = clip(s, 255)
	if len(s) > 255 {
		s = s[:255]
	}
	t.all = append(append(t.all, byte(len(s))), s...)
	return at
}

// once adds what comes often.
func (t *texts) once(s string) uint32 {
	if at, ok := t.seen[s]; ok {
		return at
	}
	if t.seen == nil {
		t.seen = map[string]uint32{}
	}
	at := t.add(s)
	t.seen[strings.Clone(s)] = at
	return at
}

func (t *texts) at(i uint32) string { return string(t.all[i+1 : i+1+uint32(t.all[i])]) }

// aim finds out where the job registers.
func (j *Job) aim(ctx context.Context) error {
	server := j.Client.Server()
	j.target = Target{Server: server, Sandbox: strings.HasSuffix(strings.TrimRight(server, "/"), "/sandbox")}
	if j.target.Sandbox {
		if j.Changed == Renew || j.Gone == Renew {
			return fmt.Errorf("%w: nothing can be registered anew", ErrSandbox)
		}
		j.NoJournal = true
	}
	if j.Attributes.AccountID != nil && *j.Attributes.AccountID != "" {
		j.target.Account = *j.Attributes.AccountID
		return nil
	}
	var err error
	j.target.Account, err = j.Client.Account(ctx)
	return err
}

// storeOf names the ledger behind a base URL: both known hosts are one, and so
// are all names of this machine.
func storeOf(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	path := strings.TrimRight(u.Path, "/")
	host, port := strings.ToLower(u.Hostname()), u.Port()
	known := func(base string) bool {
		k, err := url.Parse(base)
		return err == nil && host == k.Hostname() && (port == "" || port == "443")
	}
	if known(api.Production) || known(api.Alternative) {
		switch path {
		case "":
			return "live"
		case "/sandbox":
			return "sandbox"
		}
	}
	switch host {
	case "127.0.0.1", "::1":
		host = "localhost"
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.ToLower(u.Scheme) + "://" + host + ":" + port + path
}

// lockAccount keeps other runs of this user's from registering for the same
// account meanwhile. Where no file can be kept for it, nothing is locked.
func (j *Job) lockAccount(ctx context.Context) error {
	if j.LookOnly || j.target.Sandbox {
		return nil
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		return nil //nolint:nilerr // it is a help, not a promise
	}
	folder = filepath.Join(folder, "meti")
	if os.MkdirAll(folder, 0o700) != nil {
		return nil
	}
	name := sha256.Sum256([]byte(storeOf(j.target.Server) + "\n" + j.target.Account))
	path := filepath.Join(folder, fmt.Sprintf("account-%x.lock", name[:8]))
	told := false
	for {
		lock := flock.New(path, flock.SetPermissions(0o600))
		locked, err := lock.TryLock()
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		if locked {
			mine, err1 := lock.Stat()
			now, err2 := os.Stat(path)
			if err1 == nil && err2 == nil && os.SameFile(mine, now) {
				_ = os.WriteFile(path, fmt.Appendf(nil, "process %d, which registers %s", os.Getpid(), j.input.Name), 0o600)
				j.unlock = func() {
					_ = os.Remove(path)
					_ = lock.Unlock()
				}
				return nil
			}
		}
		_ = lock.Unlock() // what another run just removed
		if !told && !locked {
			told = true
			who, _ := os.ReadFile(path)
			if len(who) == 0 {
				who = []byte("another run")
			}
			j.notice("waiting for %s for the same account", clip(string(who), 300))
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
	lookups   = 8   // at once
)

var errUnfiltered = errors.New("the server ignores the filter by alt_id")

// question is what METI is asked for, and who gets what it answers.
type question struct {
	names  []string
	list   bool // all of the account
	each   func(*api.Source)
	known  func() []string // the SSIDs that should have been answered, and were not
	absent func() []string // alt_ids to ask for one by one, where all was listed

	progress func(done, of int)
}

// ask asks for some alt_ids, and then for what it should have got and did not:
// each SSID that is known, for METI has it or has not, and alt_ids by the filter,
// which is another question than a listing, with another answer. It may be
// called from a goroutine that does not own the job.
func (j *Job) ask(ctx context.Context, q question) (whole bool, gone, lacks []string, err error) {
	if whole, err = j.fetch(ctx, q.names, q.list, q.each); err != nil {
		return whole, nil, nil, err
	}
	ids := q.known()
	found, err := j.get(ctx, ids, q.progress)
	if err != nil {
		return whole, nil, nil, err
	}
	for i, s := range found {
		if s == nil {
			gone = append(gone, ids[i])
			continue
		}
		lacks = append(lacks, s.ID)
		q.each(s)
	}
	if names := q.absent(); whole && len(names) > 0 && !j.account.unfiltered.Load() {
		slices.Sort(names)
		named, err := j.fetchNamed(ctx, slices.Compact(names))
		if err != nil && !errors.Is(err, errUnfiltered) {
			return whole, gone, lacks, err
		}
		for _, s := range named {
			q.each(s)
		}
	}
	return whole, gone, lacks, nil
}

// filter is the one that narrows everything that is asked to the target.
func (j *Job) filter() (filter api.Filter) {
	if j.Attributes.AccountID != nil {
		filter.AccountID = *j.Attributes.AccountID
	}
	return filter
}

// fetch calls each with the sources of some alt_ids, one at a time. What each
// gets holds whatever was visible when fetch was called; there may be more, and
// twice. whole says that all of the account was listed.
func (j *Job) fetch(ctx context.Context, names []string, list bool, each func(*api.Source)) (whole bool, err error) {
	if !list && !j.account.unfiltered.Load() && len(names) > byName {
		if list = len(names) > byListing; list {
			return j.fetch(ctx, names, true, each)
		}
		beyond, err := j.Client.Sources.List(ctx, api.ListParams{Filter: j.filter(), Limit: 1, Offset: 20 * len(names)})
		if err != nil {
			return false, err
		}
		list = len(beyond) == 0
	}
	if !list && !j.account.unfiltered.Load() {
		found, err := j.fetchNamed(ctx, names)
		if err == nil {
			for _, s := range found {
				each(s)
			}
			return false, nil
		}
		if !errors.Is(err, errUnfiltered) {
			return false, err
		}
		j.account.unfiltered.Store(true)
	}
	for s, err := range j.Client.Sources.All(ctx, api.AllParams{Filter: j.filter(), PageSize: pageSize}) {
		if err != nil {
			return false, err
		}
		each(s)
	}
	return true, nil
}

// fetchNamed looks alt_ids up one by one. A filter that is matched by prefix
// or without case finds more than was asked for; one that is ignored finds all.
func (j *Job) fetchNamed(ctx context.Context, names []string) ([]*api.Source, error) {
	lists := make([][]*api.Source, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
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
		return nil, err
	}
	var all []*api.Source
	for _, list := range lists {
		all = append(all, list...)
	}
	return all, nil
}

// get looks SSIDs up, with nil for what METI does not have.
func (j *Job) get(ctx context.Context, ids []string, progress func(done, of int)) ([]*api.Source, error) {
	found := make([]*api.Source, len(ids))
	done := make(chan struct{}, len(ids))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(2 * lookups)
	go func() {
		defer close(done)
		for i, id := range ids {
			group.Go(func() (err error) {
				if found[i], err = j.Client.Sources.Get(inner, id); errors.Is(err, api.ErrNotFound) {
					err = nil
				}
				done <- struct{}{}
				return err
			})
		}
		_ = group.Wait()
	}()
	for n := 1; ; n++ {
		if _, more := <-done; !more {
			return found, group.Wait()
		}
		progress(n, len(ids))
	}
}

// foreign reports whether a source belongs to another account than the
// target: an admin's token sees all.
func (j *Job) foreign(s *api.Source) bool {
	const uuid = len("6f1f6d7e-4c3b-4a55-9d5a-0d9f3b0c2a11")
	return s.AccountID != "" && len(j.target.Account) == uuid && !strings.EqualFold(s.AccountID, j.target.Account)
}

// geometryOf gives the boundary of an answer; METI may write it as a Feature's.
func geometryOf(s *api.Source) []byte {
	for _, raw := range [][]byte{s.Geometry, s.GeoJSON} {
		if inner, _ := scan.Cut(raw, "geometry"); len(inner) > 0 {
			raw = inner
		}
		if len(raw) > 0 && string(raw) != "null" {
			return raw
		}
	}
	return nil
}

// inGroup reports whether the period of a source is within a day of another.
// What METI does not say does not tell them apart.
func inGroup(p ledger.Period, s *api.Source) bool {
	same := func(a ledger.Time, b wire.Time) bool {
		switch {
		case b.Text() != "":
			return b.Text() == a.String()
		case b.IsZero():
			return true
		}
		return near(a, ledger.TimeOf(b.Time))
	}
	return same(p.Start, s.StartAt) && same(p.End, s.EndAt)
}

// put keeps what METI answered of a source, in place of what it said before.
func (j *Job) put(s *api.Source) int32 {
	a := &j.account
	key := j.key(s.ID)
	i, again := a.byID[key]
	if !again {
		i = int32(len(a.sources))
		a.byID[key] = i
		a.sources = append(a.sources, source{id: a.texts.add(s.ID), altID: a.texts.add(s.AltID), with: -1, differs: -1})
	}
	k := &a.sources[i]
	k.hectares, k.conflict = math.NaN(), -1
	if s.Hectares != nil {
		k.hectares = float64(*s.Hectares)
	}
	k.country = a.texts.once(s.Country)
	if s.Conflict != nil {
		k.conflict = 0
		if *s.Conflict {
			k.conflict = 1
		}
	}
	if len(s.ConflictWith) > 0 || k.with >= 0 {
		if k.with < 0 {
			k.with = int32(len(a.partners))
			a.partners = append(a.partners, nil)
		}
		a.partners[k.with] = slices.Clone(s.ConflictWith)
	}
	k.differs = -1
	if text := j.difference(s); text != "" {
		k.differs = int32(len(a.differences))
		a.differences = append(a.differences, text)
	}
	return i
}

// id gives the SSID of a kept source.
func (a *account) id(i int32) string { return a.texts.at(a.sources[i].id) }

func (a *account) altIDOf(i int32) string { return a.texts.at(a.sources[i].altID) }
