package register

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"
	"unique"

	"github.com/meti-go/meti/internal/fields"
)

// replay is the reading of a journal.
type replay struct {
	*Job
	ours    bool           // the records at this place belong to the account
	open    map[int]record // requests that are not closed yet
	with    []string       // the attributes that each entry was sent with, as JSON
	strange int            // features that are registered, and of no group of the input's
}

// openJournal opens the journal that was asked for, or the one beside the
// input, and takes in what it knows.
func (j *Job) openJournal(context.Context) error {
	j.opened = time.Now()
	path := j.Journal
	if path == "" && j.input.Regular && !j.NoJournal {
		path = j.Input + ".meti-journal"
	}
	if path == "" {
		j.NoJournal = true
		return nil
	}
	r := &replay{Job: j, open: map[int]record{}, with: make([]string, j.features)}
	if j.LookOnly {
		busy, err := readJournal(path, r.take)
		if busy {
			j.notice("another process is registering with %s; this is how it stands at the moment", path)
		}
		r.end()
		return err
	}
	journal, err := openJournal(path, r.take)
	if err == nil {
		j.journal, j.headed = journal, r.ours
		r.end()
		return nil
	}
	_, missing := os.Stat(path)
	readOnly := errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
	if j.Journal != "" || !readOnly || missing == nil {
		return err
	}
	j.notice("no journal can be kept beside the input: %v", err)
	j.NoJournal = true
	return nil
}

// take takes in one record.
func (r *replay) take(one record) error {
	r.intents = max(r.intents, one.Intent) // numbers are the journal's
	if one.Store != "" {
		r.ours = one.Store == storeOf(r.target.Server) && one.Account == r.target.Account
	}
	if !r.ours {
		return nil
	}
	request := one
	if closes := one.Result != nil || one.Void != ""; closes && one.Intent != 0 {
		request = r.open[one.Intent]
		delete(r.open, one.Intent)
	}
	switch {
	case one.Result != nil:
		if len(request.Features) != len(one.Result) {
			return fmt.Errorf("a result of %d for a request of %d", len(one.Result), len(request.Features))
		}
		for k, m := range request.Features {
			if one.Result[k] != "" {
				r.learn(m, one.Result[k], one.At, string(request.Attributes))
			}
		}
	case one.Void != "":
		for _, m := range request.Features {
			if i := r.entryOf(m); i >= 0 {
				if r.entries[i].last = one.Refused; one.Refused {
					r.reasons[i] = "METI refused it before: " + one.Void
				}
			}
		}
	case one.Intent != 0:
		r.open[one.Intent] = one
	}
	return nil
}

// learn notes which source a feature became.
func (r *replay) learn(m featureRecord, id string, at time.Time, attributes string) {
	i := r.entryOf(m)
	if i < 0 {
		r.strange++
		return
	}
	r.maps(i, r.source(id), at)
	r.entries[i].last = false
	delete(r.reasons, i)
	r.willReplace(m, i)
	if !r.former(i) {
		r.with[i] = unique.Make(attributes).Value() // one copy of each
	}
}

// end takes in the requests that earlier runs left open, and says what a person
// should know of the journal. Nobody knows when the connections of such requests
// ended: when that run was over at the latest, or when they had taken the longest
// that one may.
func (r *replay) end() {
	for _, n := range slices.Sorted(maps.Keys(r.open)) {
		one := r.open[n]
		ended := one.At.Add(longestRequest)
		if ended.After(r.opened) {
			ended = r.opened
		}
		q := &request{intent: n, features: one.Features, until: ended.Add(r.Settle), cause: "an earlier run was stopped"}
		some := false
		for _, m := range q.features {
			i := r.entryOf(m)
			if q.entries = append(q.entries, i); i >= 0 {
				some = true
				r.entries[i].await = true
				r.willReplace(m, i)
			}
		}
		if some {
			r.requests = append(r.requests, q)
		}
	}
	if r.strange > 0 {
		r.notice("the journal has %s that the input does not have, or not with the same period", features(r.strange))
	}
	counts := map[string]int{}
	for _, attributes := range r.with {
		counts[attributes]++
	}
	var lines []string
	for attributes, n := range counts {
		if attributes != "" && attributes != string(r.attributes) {
			lines = append(lines, fmt.Sprintf("%d registered with %s", n, r.otherAttributes(attributes)))
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		r.notice("%s", line)
	}
}

// entryOf gives the entry of a feature of the journal: one of the input's, or a former one, where
// the input has others of its group; or -1.
func (j *Job) entryOf(m featureRecord) int {
	var form fields.Form
	copy(form[:], m.Form)
	inGroup := false
	for i := range j.group(m.AltID, m.Period) {
		if e := &j.entries[i]; e.period == m.Period && e.form == form {
			return i
		}
		inGroup = true
	}
	if !inGroup {
		return -1
	}
	return j.add(entry{altID: m.AltID, period: m.Period, form: form, box: m.Box, state: New, source: -1, known: -1, next: -1})
}

// recordOf is what the journal keeps of an entry.
func (j *Job) recordOf(i int) featureRecord {
	e := &j.entries[i]
	return featureRecord{AltID: e.altID, Period: e.period, Form: e.form[:], Box: e.box}
}

// maps notes that the journal has a source of an entry.
func (j *Job) maps(i int, k int32, at time.Time) {
	e := &j.entries[i]
	if e.known >= 0 {
		j.sources[e.known].at = 0 // it is of the past
	}
	e.known = k
	j.sources[k].entry, j.sources[k].at = int32(i), at.UnixNano()
}

// willReplace notes which source a request replaces, if any.
func (j *Job) willReplace(m featureRecord, i int) {
	if m.Replaces != "" {
		j.sources[j.source(m.Replaces)].successor = int32(i)
	}
}

func features(n int) string {
	if n == 1 {
		return "1 feature"
	}
	return fmt.Sprintf("%d features", n)
}
