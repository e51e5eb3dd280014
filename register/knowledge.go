package register

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/meti-go/meti/ledger"
)

// knowledge is what the journal knows: which SSID belongs to which feature, and
// what is under way.
type knowledge struct {
	ours     bool // records that are appended now belong to this account
	any      bool // it holds something of this account
	intents  int  // the highest number
	mapped   []mapping
	byEntry  map[uint64]int32 // the entry that an SSID belongs to
	others   map[uint64][]other
	strange  int            // features that are registered and not in the input
	began    map[string]int // mapped entries, by the attributes they were sent with
	replaced map[string]int // the entry that a source was to make room for
}

// mapping is the source that the journal has of an entry.
type mapping struct {
	id uint32 // in account.texts
	at int64  // when it was registered, in Unix nanoseconds
}

// other is a feature of an alt_id of the input that is not in the input any
// more, and the source that it became.
type other struct {
	mark   mark
	id     string
	at     time.Time
	entry  int // the one of its group, for messages
	period ledger.Period
}

// limbo is something whose outcome is not known yet: a request, or a source
// that was registered lately and is not to be found.
type limbo struct {
	intent   int // 0 for none
	entries  []int
	marks    []mark // of an intent: all of its features, in the order of its result
	at       []int  // the entry of each mark, -1 for what is not in the input
	found    []string
	deadline time.Time // a reading that begins later proves an absence
	read     time.Time // when the last reading that looked for it began
	taken    bool      // METI answered with success: it is not sent again by itself
	cause    string
	next     time.Time // when it is looked for again
	pause    time.Duration
}

// openJournal opens the journal that was asked for, or the one beside the
// input.
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
	if j.LookOnly {
		journal, busy, err := readJournal(path)
		if busy {
			j.notice("another process is registering with %s; this is how it stands at the moment", path)
		}
		j.journal = journal
		return err
	}
	journal, err := openJournal(path)
	if err == nil {
		j.journal = journal
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

// attributesOf gives attributes as JSON whose members are in order, without
// what is no attribute of a source.
func attributesOf(shared any) (json.RawMessage, map[string]string, error) {
	text, err := json.Marshal(shared)
	if err != nil {
		return nil, nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, nil, err
	}
	asked := map[string]string{}
	for name, value := range members {
		switch name {
		case "feature_collection", "account_id", "created_by", "updated_by":
			delete(members, name)
			continue
		}
		asked[name] = string(value)
	}
	text, err = json.Marshal(members)
	return text, asked, err
}

// replay reads the journal.
func (j *Job) replay(context.Context) error {
	k := &j.known
	k.byEntry, k.others, k.began, k.replaced = map[uint64]int32{}, map[uint64][]other{}, map[string]int{}, map[string]int{}
	j.account.byID, j.account.altIDs = map[uint64]int32{}, map[uint64]uint32{}
	j.account.texts.add("")
	store := storeOf(j.target.Server)
	open := map[int]record{}
	contents, sent := []string{""}, make([]uint16, len(j.entries)) // the attributes that each entry was sent with
	content := func(r record) uint16 {
		text := string(r.Attributes)
		i := slices.Index(contents, text)
		if i < 0 && len(contents) < 1<<16 {
			i = len(contents)
			contents = append(contents, text)
		}
		return uint16(max(i, 0))
	}
	_, err := j.journal.records(func(r record) error {
		if r.Store != "" {
			k.ours = r.Store == store && r.Account == j.target.Account
			return nil
		}
		if !k.ours {
			if r.Intent > k.intents {
				k.intents = r.Intent // numbers are the journal's
			}
			return nil
		}
		k.any = true
		switch {
		case r.Result != nil:
			begun := r
			if r.Intent != 0 {
				begun = open[r.Intent]
				delete(open, r.Intent)
			}
			if len(begun.Features) != len(r.Result) {
				return fmt.Errorf("%w: %s has a result of %d for a request of %d", ErrJournal, j.journal.path, len(r.Result), len(begun.Features))
			}
			with := content(begun)
			for i, m := range begun.Features {
				if r.Result[i] == "" {
					continue
				}
				entry, err := j.learn(m, r.Result[i], r.At)
				if err != nil {
					return err
				}
				if entry >= 0 {
					sent[entry] = with
				}
			}
		case r.Void != "":
			begun := open[r.Intent]
			delete(open, r.Intent)
			for _, m := range begun.Features {
				if i := j.entryOf(m); i >= 0 {
					j.entries[i].last = r.Refused
					if r.Refused {
						j.reasons[i] = "METI refused it before: " + r.Void
					}
				}
			}
		case r.Intent != 0:
			open[r.Intent] = r
			k.intents = max(k.intents, r.Intent)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, with := range sent {
		if with > 0 {
			k.began[contents[with]]++
		}
	}
	for _, r := range open {
		j.suspend(r)
	}
	slices.SortFunc(j.limbo, func(a, b *limbo) int { return a.intent - b.intent })
	return nil
}

// entryOf gives the entry that a mark names, or -1.
func (j *Job) entryOf(m mark) int {
	identity, ok := parseHash(m.Identity)
	if !ok {
		return -1
	}
	for i := range j.named(m.AltID) {
		if j.entries[i].state != Invalid && j.identity(i) == identity {
			return i
		}
	}
	return -1
}

func (m mark) period() (p ledger.Period, err error) {
	start, err1 := ledger.ParseTime(m.StartAt)
	end, err2 := ledger.ParseTime(m.EndAt)
	return ledger.Period{Start: start, End: end}, errors.Join(err1, err2)
}

// learn notes which source a feature became, and gives its entry, or -1.
func (j *Job) learn(m mark, id string, at time.Time) (int, error) {
	k := &j.known
	if i := j.entryOf(m); i >= 0 {
		j.maps(i, id, at)
		j.entries[i].last = false
		if m.Replaces != "" {
			k.replaced[m.Replaces] = i
		}
		return i, nil
	}
	period, err := m.period()
	if err != nil {
		return -1, fmt.Errorf("%w: %s: %w", ErrJournal, j.journal.path, err)
	}
	entry := -1
	for i := range j.live(m.AltID, period) {
		entry = i
	}
	if entry < 0 {
		k.strange++
		return -1, nil
	}
	key := j.key(m.AltID)
	list := slices.DeleteFunc(k.others[key], func(o other) bool { return o.mark.Identity == m.Identity })
	k.others[key] = append(list, other{m, id, at, entry, period})
	return -1, nil
}

// maps notes which source an entry became.
func (j *Job) maps(i int, id string, at time.Time) {
	e, k := &j.entries[i], &j.known
	if e.known < 0 {
		e.known = int32(len(k.mapped))
		k.mapped = append(k.mapped, mapping{})
	} else {
		delete(k.byEntry, j.key(j.account.texts.at(k.mapped[e.known].id)))
	}
	k.mapped[e.known] = mapping{j.account.texts.add(id), at.UnixNano()}
	k.byEntry[j.key(id)] = int32(i)
}

// ssidOf gives the SSID that the journal has of an entry.
func (j *Job) ssidOf(i int) (string, time.Time) {
	m := j.known.mapped[j.entries[i].known]
	return j.account.texts.at(m.id), time.Unix(0, m.at)
}

// suspend makes a limbo of an intent that an earlier run left open. Nobody
// knows when its connection ended: when that run was over at the latest, or
// when the request had taken the longest that one may.
func (j *Job) suspend(r record) {
	ended := r.At.Add(longestRequest)
	if ended.After(j.opened) {
		ended = j.opened
	}
	l := &limbo{intent: r.Intent, marks: r.Features, deadline: ended.Add(j.Settle), next: ended.Add(j.Settle), pause: j.Settle / 20, cause: "an earlier run was stopped", found: make([]string, len(r.Features))}
	for _, m := range r.Features {
		i := j.entryOf(m)
		l.at = append(l.at, i)
		if i >= 0 {
			l.entries = append(l.entries, i)
		}
		if period, err := m.period(); err == nil && i < 0 {
			for k := range j.live(m.AltID, period) {
				l.entries = append(l.entries, k) // an edited one waits for what it was
			}
		}
	}
	j.limbo = append(j.limbo, l)
}

// describeJournal says what a person should know of it before anything is sent.
func (j *Job) describeJournal() {
	if n := j.known.strange; n > 0 {
		j.notice("the journal has %s that the input does not have, or not with the same period", features(n))
	}
	var others []string
	for content, n := range j.known.began {
		if content != string(j.attributes) && content != "" {
			others = append(others, fmt.Sprintf("%d registered with %s", n, j.compared(content)))
		}
	}
	slices.Sort(others)
	for _, text := range others {
		j.notice("%s", text)
	}
}

// compared says in which attributes an earlier run differs from this one.
func (j *Job) compared(content string) string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal([]byte(content), &members)
	var list []string
	for name, value := range members {
		ours, asked := j.asked[name]
		switch {
		case !asked:
			list = append(list, fmt.Sprintf("%s %s, and this run has none", name, plain(value)))
		case !sameValue(ours, string(value)):
			list = append(list, fmt.Sprintf("%s %s, and this run has %s", name, plain(value), plain([]byte(ours))))
		}
	}
	for name, value := range j.asked {
		if members[name] == nil {
			list = append(list, fmt.Sprintf("no %s, and this run has %s", name, plain([]byte(value))))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// plain writes a JSON value for people.
func plain(value []byte) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	var list []string
	if json.Unmarshal(value, &list) == nil {
		return strings.Join(list, ", ")
	}
	return clip(string(value), 100)
}

// sameValue compares two JSON values, lists as sets.
func sameValue(a, b string) bool {
	var x, y []string
	if json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil {
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(slices.Compact(x), slices.Compact(y))
	}
	return bytes.Equal([]byte(a), []byte(b))
}

func features(n int) string {
	if n == 1 {
		return "1 feature"
	}
	return fmt.Sprintf("%d features", n)
}
