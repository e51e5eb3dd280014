package register

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

var (
	// ErrLocked says that another process is registering with this journal.
	ErrLocked = errors.New("the journal is in use by another process")
	// ErrJournal says that the journal is damaged, or no journal at all.
	ErrJournal = errors.New("the journal cannot be used")
)

// journalHead is the first line of every journal.
const journalHead = "meti journal 1\n"

// The kinds of [record].
const (
	kindAccount    = "account"    // what follows belongs to this host and account
	kindIntent     = "intent"     // these features are about to be sent, in one request
	kindLost       = "lost"       // the answer to their request was lost
	kindNothing    = "nothing"    // their request had no effect
	kindRegistered = "registered" // they are sources now
	kindExisted    = "existed"    // they were sources already, and are left out
	kindRefused    = "refused"    // METI refuses this one
	kindBefore     = "before"     // sources of their alt_ids that were there before
)

// record is one line of a journal.
type record struct {
	Kind    string    `json:"kind"`
	At      time.Time `json:"at"`
	Host    string    `json:"host,omitempty"`
	Account string    `json:"account,omitempty"`
	Content string    `json:"content,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Claimed bool      `json:"claimed,omitempty"` // a lost answer said that it was done
	Marks   []mark    `json:"features,omitempty"`
}

// mark is one feature in a record.
type mark struct {
	Identity string `json:"identity"`
	AltID    string `json:"alt_id"`
	// Of a result only: what identity is made of beside the geometry, and the
	// source.
	StartAt      string   `json:"start_at,omitempty"`
	EndAt        string   `json:"end_at,omitempty"`
	ID           string   `json:"id,omitempty"`
	Hectares     *float64 `json:"hectares,omitempty"`
	Conflict     *bool    `json:"conflict,omitempty"`
	ConflictWith []string `json:"conflict_with,omitempty"`
	Reason       string   `json:"reason,omitempty"`
}

func (h hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

func parseHash(text string) (h hash, ok bool) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) != len(h) {
		return h, false
	}
	return hash(data), true
}

// journal is an append-only file. Each record is on disk when append returns.
type journal struct {
	path    string
	file    *os.File
	lock    *flock.Flock
	created bool // there was none before
	appends chan appending
	closed  chan struct{}
}

type appending struct {
	line []byte
	done chan appended
}

type appended struct {
	offset int64
	err    error
}

// openJournal opens or makes a journal and locks it. The lock is the
// operating system's and ends with the process.
func openJournal(path string) (*journal, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	// A file of its own is locked: on Windows a lock also keeps its owner's
	// other handles out.
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the journal %s: %w", path, err)
	}
	if !locked {
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	}
	j := &journal{path: path, lock: lock, appends: make(chan appending), closed: make(chan struct{})}
	end, err := j.open()
	if err != nil {
		if j.file != nil {
			j.file.Close()
		}
		_ = lock.Unlock()
		return nil, err
	}
	go j.write(end)
	return j, nil
}

// open opens the file and gives where its last whole line ends.
func (j *journal) open() (end int64, err error) {
	j.file, err = os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	head := make([]byte, len(journalHead))
	n, err := io.ReadFull(j.file, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	head = head[:n]
	switch {
	case string(head) == journalHead:
	case n < len(journalHead) && (bytes.HasPrefix([]byte(journalHead), head) || len(bytes.Trim(head, "\x00")) == 0):
		// New, or its very first write was cut off.
		j.created = true
		if _, err := j.file.WriteAt([]byte(journalHead), 0); err != nil {
			return 0, err
		}
		if err := j.file.Sync(); err != nil {
			return 0, err
		}
		syncFolder(filepath.Dir(j.path))
		return int64(len(journalHead)), nil
	default:
		return 0, fmt.Errorf("%w: %s is no journal; nothing was written to it", ErrJournal, j.path)
	}
	return j.wholeLines()
}

// wholeLines checks all lines. A last one that is torn was never acknowledged,
// for its write or its flush did not end: it is cut off.
func (j *journal) wholeLines() (end int64, err error) {
	end, torn := int64(len(journalHead)), false
	err = j.lines(func(offset int64, line []byte) error {
		if torn {
			return fmt.Errorf("%w: %s is damaged at byte %d, with records after it; restore it from a copy, or move it away and run with --skip-existing", ErrJournal, j.path, end)
		}
		if _, ok := checkLine(line); !ok {
			torn = true
			return nil
		}
		end = offset + int64(len(line))
		return nil
	})
	if err == nil && torn {
		err = j.file.Truncate(end)
	}
	if err == nil && torn {
		err = j.file.Sync()
	}
	return end, err
}

// lines calls do with each line after the head, its line break included where
// there is one.
func (j *journal) lines(do func(offset int64, line []byte) error) error {
	offset := int64(len(journalHead))
	reader := bufio.NewReaderSize(io.NewSectionReader(j.file, offset, 1<<62), 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			if err := do(offset, line); err != nil {
				return err
			}
		}
		offset += int64(len(line))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the journal %s: %w", j.path, err)
		}
	}
}

// A line is the CRC-32 of its text in hexadecimal, a space, the text in JSON,
// and a line break.
const crcLength = 9

func encodeLine(r record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(make([]byte, 0, len(text)+crcLength+1), "%08x ", crc32.ChecksumIEEE(text))
	return append(append(line, text...), '\n'), nil
}

func checkLine(line []byte) (text []byte, ok bool) {
	if len(line) < crcLength+1 || line[len(line)-1] != '\n' || line[crcLength-1] != ' ' {
		return nil, false
	}
	text = line[crcLength : len(line)-1]
	return text, fmt.Sprintf("%08x", crc32.ChecksumIEEE(text)) == string(line[:crcLength-1])
}

func decodeLine(line []byte) (r record, err error) {
	text, ok := checkLine(line)
	if !ok {
		return r, errors.New("a line of the journal is damaged")
	}
	return r, json.Unmarshal(text, &r)
}

// records calls do with each record of a host and account.
// ours says whether records that are appended now belong to them.
func (j *journal) records(host, account string, do func(offset int64, r record) error) (ours bool, err error) {
	err = j.lines(func(offset int64, line []byte) error {
		r, err := decodeLine(line)
		if err != nil {
			return fmt.Errorf("%w: %s at byte %d: %w", ErrJournal, j.path, offset, err)
		}
		if r.Kind == kindAccount {
			ours = r.Host == host && r.Account == account
			return nil
		}
		if !ours {
			return nil
		}
		return do(offset, r)
	})
	return ours, err
}

// at reads one record again.
func (j *journal) at(offset int64) (record, error) {
	line, err := bufio.NewReader(io.NewSectionReader(j.file, offset, 1<<62)).ReadBytes('\n')
	if err != nil {
		return record{}, fmt.Errorf("reading the journal %s: %w", j.path, err)
	}
	return decodeLine(line)
}

// append writes one record to the disk and gives its place. After a failure
// it fails for good: what is on the disk is not known then.
func (j *journal) append(r record) (offset int64, err error) {
	line, err := encodeLine(r)
	if err != nil {
		return 0, err
	}
	a := appending{line: line, done: make(chan appended, 1)}
	j.appends <- a
	result := <-a.done
	return result.offset, result.err
}

// write is the one goroutine that writes: no lock is held over I/O.
func (j *journal) write(end int64) {
	defer close(j.closed)
	var broken error
	for a := range j.appends {
		offset := end
		if broken == nil {
			_, err := j.file.WriteAt(a.line, end)
			if err == nil {
				err = j.file.Sync()
			}
			if err != nil {
				broken = fmt.Errorf("writing the journal %s: %w; make room and run again", j.path, err)
				// What was written in part would be cut off by the next run anyway.
				_ = j.file.Truncate(end)
			} else {
				end += int64(len(a.line))
			}
		}
		a.done <- appended{offset, broken}
	}
}

// close ends the writing and gives the lock back. Nothing may be appended any more.
func (j *journal) close() error {
	close(j.appends)
	<-j.closed
	return errors.Join(j.file.Close(), j.lock.Unlock())
}

// syncFolder makes a new file's name last. Some systems cannot; there the
// file system has to.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		_ = folder.Sync()
		folder.Close()
	}
}

// remove removes a journal that ends with its run.
func (j *journal) remove() {
	os.RemoveAll(filepath.Dir(j.path))
}

// temporaryFolder makes a private folder for one.
func temporaryFolder() (string, error) { return os.MkdirTemp("", "meti-journal-*") }
