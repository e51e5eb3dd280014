package register

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/meti-go/meti/ledger"
)

var (
	// ErrLocked says that another process uses the journal.
	ErrLocked = errors.New("the journal is in use by another process")
	// ErrJournal says that the journal is damaged, or no journal at all.
	ErrJournal = errors.New("the journal cannot be used")
)

// journalHead is the first line of every journal.
const journalHead = "meti journal 2\n"

// record is one line of a journal. It is of one of five kinds, by what it has.
type record struct {
	At time.Time `json:"at"`

	// Store begins the records of a store and an account.
	Store   string `json:"store,omitempty"`
	Account string `json:"account,omitempty"`

	// Intent numbers a request that is about to be sent. A result or a void of
	// the same number closes it.
	Intent     int             `json:"intent,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Features   []featureRecord `json:"features,omitempty"`

	// Result holds the SSIDs of the features, "" for one that METI does not
	// have. Without a number its features stand beside it: they were found in
	// the account, registered by somebody else.
	Result []string `json:"result,omitempty"`

	// Void says that the request had no effect, and why. Refused: METI refuses
	// its one feature.
	Void    string `json:"void,omitempty"`
	Refused bool   `json:"refused,omitempty"`

	// Deleting is the source that is about to be deleted: its successor's result
	// stands before.
	Deleting string `json:"deleting,omitempty"`
}

// featureRecord is what a journal keeps of a feature: enough to know it again, and what
// became of it, also when the input was edited.
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
	end     int64
	created bool // by this run
	written bool // by this run
	broken  error
}

// openJournal opens and locks a journal, and makes it if it is missing; it calls
// do with its records.
func openJournal(path string, do func(record) error) (*journal, error) {
	_, missing := os.Stat(path)
	lock, err := hold(lockPath(path))
	if err != nil {
		return nil, err
	}
	j := &journal{path: path, lock: lock, created: missing != nil}
	if j.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		j.path = real
	}
	if err := j.begin(do); err != nil {
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

// readJournal calls do with the records of a journal that is not to be changed,
// if there is one. busy says that another process writes to it.
func readJournal(path string, do func(record) error) (busy bool, err error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	lock, err := hold(lockPath(path))
	if err == nil {
		defer func() { _ = lock.Unlock() }()
	}
	busy = errors.Is(err, ErrLocked)
	j := &journal{path: path, file: file}
	whole, err := j.head()
	if err == nil && whole {
		_, err = j.records(do)
	}
	return busy, err
}

// head reads the first line, and reports whether there is one.
func (j *journal) head() (whole bool, err error) {
	head := make([]byte, len(journalHead))
	n, err := j.file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	switch head = head[:n]; {
	case string(head) == journalHead:
		return true, nil
	case n < len(journalHead) && (strings.HasPrefix(journalHead, string(head)) || len(bytes.Trim(head, "\x00")) == 0):
		return false, nil // new, or its very first write was cut off
	}
	return false, fmt.Errorf("%w: %s is no journal of this version; nothing was written to it", ErrJournal, j.path)
}

// begin reads a journal to its end, and cuts a torn last line off.
func (j *journal) begin(do func(record) error) error {
	whole, err := j.head()
	if err != nil {
		return err
	}
	torn := !whole
	if j.end = int64(len(journalHead)); whole {
		torn, err = j.records(do)
	} else {
		_, err = j.file.WriteAt([]byte(journalHead), 0)
	}
	if err == nil && torn {
		err = errors.Join(j.file.Truncate(j.end), j.file.Sync())
	}
	return err
}

// records calls do with each record and finds the end of the last one. A last
// line that is torn was never acknowledged, for its write or its flush did not
// end; a damaged line with others after it means that nothing can be trusted.
func (j *journal) records(do func(record) error) (torn bool, err error) {
	j.end = int64(len(journalHead))
	reader := bufio.NewReader(io.NewSectionReader(j.file, j.end, 1<<62))
	for {
		line, err := reader.ReadBytes('\n')
		switch r, ok := decodeLine(line); {
		case len(line) == 0:
		case torn:
			return torn, fmt.Errorf("%w: %s is damaged at byte %d, with records after it; restore it from a copy, or move it away: what it registered is found in the account", ErrJournal, j.path, j.end)
		case !ok:
			torn = true
		default:
			if err := do(r); err != nil {
				return false, fmt.Errorf("%w: %s: %w", ErrJournal, j.path, err)
			}
			j.end += int64(len(line))
		}
		if err == io.EOF {
			return torn, nil
		}
		if err != nil {
			return torn, fmt.Errorf("reading the journal %s: %w", j.path, err)
		}
	}
}

// A line is the CRC-32 of its text in hexadecimal, a space, the text in JSON,
// and a line break.
const crcLength = 9

func encodeLine(r record) ([]byte, error) {
	text, err := json.Marshal(r)
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(text), text), err
}

func decodeLine(line []byte) (r record, ok bool) {
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
	if _, err = j.file.WriteAt(line, j.end); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("writing the journal %s: %w; make room and run again", j.path, err)
		_ = j.file.Truncate(j.end) // what was written in part would be cut off by the next run anyway
		return j.broken
	}
	if !j.written {
		j.written = true
		syncFolder(filepath.Dir(j.path))
	}
	j.end += int64(len(line))
	return nil
}

// close gives the lock back, and removes a journal in which nothing stands.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	err := j.file.Close() // first, for Windows removes no file that is open
	if j.created && !j.written {
		err = errors.Join(err, os.Remove(j.path))
	}
	if j.lock != nil {
		err = errors.Join(err, j.lock.Unlock())
		if runtime.GOOS == "windows" {
			_ = os.Remove(j.lock.Path())
		}
	}
	return err
}

// syncFolder makes a new file's name last. Some systems cannot; there the file
// system has to.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		_ = folder.Sync()
		folder.Close()
	}
}
