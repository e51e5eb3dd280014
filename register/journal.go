package register

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

var (
	// ErrLocked says that another process uses the journal.
	ErrLocked = errors.New("the journal is in use by another process")
	// ErrJournal says that the journal is damaged, or no journal at all.
	ErrJournal = errors.New("the journal cannot be used")
)

// journalHead is the first line of every journal.
const journalHead = "meti journal 3\n"

// record is one line of a journal: an intent, a result, a void, or what was deleted.
type record struct {
	At time.Time `json:"at"`

	// Intent numbers a request. It has features where it is about to be sent; a
	// result or a void of the same number closes it.
	Intent     int             `json:"intent,omitempty"`
	To         string          `json:"to,omitempty"` // the ledger and the account
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Features   []featureRecord `json:"features,omitempty"`

	// Result holds the SSIDs of the features, "" for one that METI does not
	// have. Without a number its features stand beside it: they were found in
	// the account, registered by somebody else.
	Result []string `json:"result,omitempty"`

	// Deleted are sources that were replaced, and deleted then.
	Deleted []string `json:"deleted,omitempty"`

	// Void says that the request had no effect, and why. Refused: METI refuses
	// its one feature.
	Void    string `json:"void,omitempty"`
	Refused bool   `json:"refused,omitempty"`
}

// featureRecord is what a journal keeps of a feature: enough to know it again, and
// what became of it, also when the input was edited.
type featureRecord struct {
	AltID string `json:"alt_id"`
	ledger.Period
	Form     []byte `json:"form"`
	Box      box    `json:"box"`
	Replaces string `json:"replaces,omitempty"`
}

// journal is an append-only file. Each record is on disk when append returns.
// It is for one goroutine. The nil journal keeps nothing.
type journal struct {
	path    string
	file    *os.File
	lock    *flock.Flock
	end     int64 // 0 where nothing stands in it
	created bool  // by this run
	busy    bool  // another process writes to it, and this one only looks
	broken  error
}

// openJournal opens and locks a journal, makes it if it is missing, and calls do
// with its records. To look only changes nothing, and gives nil for one that is
// missing.
func openJournal(path string, look bool, do func(record) error) (_ *journal, err error) {
	_, missing := os.Stat(path)
	if look && errors.Is(missing, fs.ErrNotExist) {
		return nil, nil
	}
	j := &journal{path: path, created: missing != nil}
	j.lock, err = hold(lockPath(path))
	flags := os.O_RDWR | os.O_CREATE
	if look {
		j.busy, flags = errors.Is(err, ErrLocked), os.O_RDONLY
	} else if err != nil {
		return nil, err
	}
	if j.file, err = os.OpenFile(path, flags, 0o600); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			j.path = real
		}
		err = j.read(look, do)
	}
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// lockPath is the file whose lock keeps a journal to one process: the journal
// itself, so that no second name of it escapes; only on Windows, where a lock keeps
// its owner's other handles out, one beside.
func lockPath(path string) string {
	if runtime.GOOS == "windows" {
		return path + ".lock"
	}
	return path
}

// hold locks a file, and makes it if it is missing. The lock is the operating
// system's and ends with the process.
func hold(path string) (*flock.Flock, error) {
	for {
		lock := flock.New(path, flock.SetPermissions(0o600), flock.SetFlag(os.O_CREATE|os.O_RDWR))
		locked, err := lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if !locked {
			return nil, fmt.Errorf("%w: %s", ErrLocked, path)
		}
		held, err1 := lock.Stat()
		now, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(held, now) {
			return lock, nil
		}
		_ = lock.Unlock() // whoever had it before removed it
	}
}

// read calls do with each record, and finds the end of the last one. A last line
// that is torn was never acknowledged, for its write or its flush did not end, and
// is cut off; a damaged line with others after it means that nothing can be trusted.
func (j *journal) read(look bool, do func(record) error) error {
	in := bufio.NewReader(j.file)
	head := make([]byte, len(journalHead))
	n, err := io.ReadFull(in, head)
	torn := n < len(head) && (strings.HasPrefix(journalHead, string(head[:n])) || len(bytes.Trim(head, "\x00")) == 0)
	switch {
	case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
		return err
	case string(head) == journalHead:
		j.end = int64(len(head))
	case !torn: // neither new nor cut off in its very first write
		return fmt.Errorf("%w: %s is no journal of this version; nothing was written to it", ErrJournal, j.path)
	}
	for err == nil {
		var line []byte
		line, err = in.ReadBytes('\n')
		switch r, whole := decodeLine(line); {
		case len(line) == 0:
		case torn:
			return fmt.Errorf("%w: %s is damaged at byte %d, with records after it; restore it from a copy, or move it away: what it registered is found in the account", ErrJournal, j.path, j.end)
		case whole:
			if err := do(r); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrJournal, j.path, err)
			}
			j.end += int64(len(line))
		default:
			torn = true
		}
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return fmt.Errorf("reading the journal %s: %w", j.path, err)
	}
	if torn && !look {
		return errors.Join(j.file.Truncate(j.end), j.file.Sync())
	}
	return nil
}

// A line is the CRC-32 of its text in hexadecimal, a space, the text in JSON,
// and a line break.
const crcLength = 9

func encodeLine(r record) ([]byte, error) {
	text, err := json.Marshal(r)
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(text), text), err
}

func decodeLine(line []byte) (r record, whole bool) {
	if len(line) < crcLength+1 || line[len(line)-1] != '\n' {
		return r, false
	}
	text := line[crcLength : len(line)-1]
	if fmt.Sprintf("%08x ", crc32.ChecksumIEEE(text)) != string(line[:crcLength]) {
		return r, false
	}
	return r, json.Unmarshal(text, &r) == nil
}

// append writes one record to the disk. After a failure it fails for good:
// what is on the disk is not known then.
func (j *journal) append(r record) error {
	if j == nil {
		return nil
	}
	if j.broken != nil {
		return j.broken
	}
	r.At = time.Now()
	line, err := encodeLine(r)
	if err != nil {
		return err
	}
	if j.end == 0 {
		line = append([]byte(journalHead), line...)
	}
	if _, err = j.file.WriteAt(line, j.end); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("writing the journal %s: %w; make room and run again", j.path, err)
		_ = j.file.Truncate(j.end) // what was written in part would be cut off by the next run anyway
		return j.broken
	}
	if j.end == 0 {
		syncFolder(filepath.Dir(j.path))
	}
	j.end += int64(len(line))
	return nil
}

// close gives the lock back, and removes a journal in which nothing stands.
func (j *journal) close() (err error) {
	if j == nil {
		return nil
	}
	if j.file != nil {
		err = j.file.Close() // first, for Windows removes no file that is open
	}
	if j.lock == nil {
		return err
	}
	if j.created && j.end == 0 {
		err = errors.Join(err, os.Remove(j.path))
	}
	err = errors.Join(err, j.lock.Unlock())
	if runtime.GOOS == "windows" {
		_ = os.Remove(j.lock.Path())
	}
	return err
}

// syncFolder makes a new file's name last, where the system can.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		_ = folder.Sync()
		folder.Close()
	}
}

// openJournal opens the journal that was asked for, or the one beside the
// input, and takes in what it knows.
func (j *Job) openJournal(context.Context) error {
	path := j.Journal
	if path == "" && j.input.Regular && !j.NoJournal {
		path = j.Input + ".meti-journal"
	}
	if path == "" {
		j.NoJournal = true
		return nil
	}
	r := &replay{Job: j, open: map[int]record{}, with: make([]string, j.features)}
	journal, err := openJournal(path, j.LookOnly, r.take)
	_, missing := os.Stat(path)
	switch {
	case err == nil && j.LookOnly:
		if journal != nil && journal.busy {
			j.notice("another process is registering with %s; this is how it stands at the moment", path)
		}
		err = journal.close()
	case err == nil:
		j.journal = journal
	case j.Journal == "" && missing != nil && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)):
		j.notice("no journal can be kept beside the input: %v", err)
		j.NoJournal = true
		return nil
	default:
		return err
	}
	r.end(time.Now())
	return err
}

// replay is the reading of a journal.
type replay struct {
	*Job
	open    map[int]record // requests that are not closed yet
	with    []string       // the attributes that each entry was sent with, as JSON
	strange int            // features that are registered, and of no group of the input's
}

// take takes in one record.
func (r *replay) take(one record) error {
	r.intents = max(r.intents, one.Intent) // numbers are the journal's
	for _, id := range one.Deleted {
		if k, ok := r.bySSID[id]; ok {
			r.sources[k].deleted = true
		}
	}
	closes, request := one.Result != nil || one.Void != "", one
	switch {
	case !closes && one.Intent != 0:
		r.open[one.Intent] = one
		return nil
	case closes && one.Intent != 0:
		request = r.open[one.Intent]
		delete(r.open, one.Intent)
	}
	if one.Result != nil && len(request.Features) != len(one.Result) {
		return fmt.Errorf("a result of %d for a request of %d", len(one.Result), len(request.Features))
	}
	if request.To != r.store {
		return nil // another account's
	}
	attributes := string(request.Attributes)
	for n, m := range request.Features {
		i := r.entryOf(m)
		switch registered := one.Result != nil && one.Result[n] != ""; {
		case i < 0 && registered:
			r.strange++
		case i < 0:
		case registered:
			r.maps(i, r.source(one.Result[n]), one.At, m.Period)
			r.succeeds(i, m.Replaces)
			r.entries[i].last = false
			delete(r.reasons, i)
			if !r.former(i) {
				r.with[i] = attributes
			}
		case one.Refused:
			r.entries[i].last = true
			r.reasons[i] = "METI refused it before: " + one.Void
		case one.Void != "":
			r.entries[i].last = false
		}
	}
	return nil
}

// end takes in the requests that earlier runs left open, and says what a person
// should know of the journal. Nobody knows when the connections of such requests
// ended: when that run was over at the latest, or when they had taken the longest
// that one may.
func (r *replay) end(opened time.Time) {
	for _, n := range slices.Sorted(maps.Keys(r.open)) {
		one := r.open[n]
		if one.To != r.store || len(one.Features) == 0 {
			continue
		}
		ended := one.At.Add(longestRequest)
		if ended.After(opened) {
			ended = opened
		}
		q := &request{intent: n, features: one.Features, until: ended.Add(r.Settle), cause: "an earlier run was stopped"}
		for _, m := range q.features {
			i := r.entryOf(m)
			if q.entries = append(q.entries, i); i >= 0 {
				r.entries[i].await = true
				r.succeeds(i, m.Replaces)
			}
		}
		if slices.Max(q.entries) >= 0 {
			r.requests = append(r.requests, q)
		}
	}
	if r.strange > 0 {
		r.notice("the journal has %s that the input does not have, or not with the same period", count(r.strange, "feature"))
	}
	counts := map[string]int{}
	for _, attributes := range r.with {
		counts[attributes]++
	}
	delete(counts, "") // what the journal does not have
	for _, attributes := range sortedKeys(counts) {
		if text := r.otherBefore(attributes); text != "" {
			r.notice("%d registered with %s", counts[attributes], text)
		}
	}
}

// entryOf gives the entry of a feature of the journal: one of the input's, by its
// boundary, whose period may have been edited since; or a former one, where the
// input has others of its group; or -1.
func (j *Job) entryOf(m featureRecord) int {
	var form fields.Form
	copy(form[:], m.Form)
	found, inGroup := -1, false
	for i := range j.group(m.AltID, m.Period) {
		inGroup = true
		if e := &j.entries[i]; e.form == form && (found < 0 || e.period == m.Period) {
			found = i
		}
	}
	if found >= 0 || !inGroup {
		return found
	}
	return j.add(entry{altID: m.AltID, period: m.Period, form: form, box: m.Box, state: New, source: -1, known: -1, next: -1})
}

// recordOf is what the journal keeps of an entry.
func (j *Job) recordOf(i int) featureRecord {
	e := &j.entries[i]
	return featureRecord{AltID: e.altID, Period: e.period, Form: e.form[:], Box: e.box}
}

// maps notes that the journal has a source of an entry, which was sent with a period.
func (j *Job) maps(i int, k int32, at time.Time, with ledger.Period) {
	e := &j.entries[i]
	if e.edited = with != e.period; e.known >= 0 {
		j.sources[e.known].at = 0 // it is of the past
	}
	e.known = k
	j.sources[k].entry, j.sources[k].at = int32(i), at.UnixNano()
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
