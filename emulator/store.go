package emulator

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed schema.sql
var schema string

// schemaVersion is what schema.sql sets user_version to.
const schemaVersion = 1

// flavour is which of the two ledgers a store is.
type flavour string

const (
	production flavour = "src_"
	sandbox    flavour = "sandbox_"
)

// forever is the context of the store's statements, see there.
var forever = context.Background()

// store keeps sources. Reads run side by side; writes take turns, so that two
// identical fields never both come back clear.
//
// Its statements run on contexts that do not end: a write goes on when its
// client has gone, and each read is short.
type store struct {
	flavour   flavour
	conflicts bool
	countries func() *ledger.Countries // unpacked when it is first asked for
	options   Options
	key       []byte // SSIDs are made from it

	db   *sql.DB
	lock *flock.Flock // of a file, so that one process at a time has it
	// turn holds a token for the one that may write.
	turn chan struct{}
	// changes counts the writes: a plan made outside the turn holds while it
	// stays the same.
	changes atomic.Uint64
	births  births
	shapes  *shapeCache
	sql     statements
}

// births knows up to which id the store was filled at a moment, since it was
// opened: reads may be made to lag.
type births struct {
	mutex sync.Mutex
	list  []birth // oldest first
}

type birth struct {
	at time.Time
	id int64
}

// add notes that all up to id are stored.
func (b *births) add(at time.Time, id int64) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.list = append(b.list, birth{at, id})
}

// before gives the last id that was stored at a moment or earlier.
func (b *births) before(at time.Time) (id int64) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, one := range slices.Backward(b.list) {
		if !one.at.After(at) {
			id = max(id, one.id)
		}
	}
	return id
}

// statements are prepared once.
type statements struct {
	insert, insertBox, insertConflict, one, box, known, others *sql.Stmt
}

// view is a state of the store to read from: that of the moment, or that of a
// transaction.
type view struct {
	st *store
	tx *sql.Tx // nil outside a transaction
	// one keeps to one query at a time in a transaction: its connection cannot
	// run a prepared statement twice at once.
	one *sync.Mutex
}

// alone waits for the connection, and gives what lets go of it.
func (v view) alone() (done func()) {
	if v.tx == nil {
		return func() {}
	}
	v.one.Lock()
	return v.one.Unlock
}

func (v view) stmt(s *sql.Stmt) *sql.Stmt {
	if v.tx == nil {
		return s
	}
	return v.tx.StmtContext(forever, s)
}

// openStore opens the file, or a temporary one if path is empty.
func openStore(path string, f flavour, o Options) (st *store, err error) {
	st = &store{
		flavour:   f,
		conflicts: f == production || o.SandboxConflicts,
		countries: countries.World,
		options:   o,
		turn:      make(chan struct{}, 1),
		shapes:    newShapeCache(),
	}
	if o.Countries != nil {
		st.countries = func() *ledger.Countries { return o.Countries }
	}
	var source string
	if path != "" {
		if source, err = dataSource(path); err != nil {
			return nil, fmt.Errorf("emulator: %w", err)
		}
		st.lock = flock.New(path + ".lock")
		if locked, err := st.lock.TryLock(); err != nil {
			return nil, fmt.Errorf("emulator: locking %s: %w", path, err)
		} else if !locked {
			return nil, fmt.Errorf("emulator: %s is in use by another emulator", path)
		}
	} else {
		source = temporary()
	}
	if st.db, err = sql.Open("sqlite", source); err != nil {
		return nil, errors.Join(fmt.Errorf("emulator: %w", err), st.unlock())
	}
	// A temporary file is one connection's, and lives as long as that does.
	// Others have readers beside the writer, thanks to the write-ahead log.
	connections := 1
	if path != "" {
		connections = 2 + runtime.GOMAXPROCS(0)
	}
	st.db.SetMaxOpenConns(connections)
	st.db.SetMaxIdleConns(connections)
	if err := st.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("emulator: opening the store: %w", err), st.close())
	}
	return st, nil
}

// temporary is the driver's name for a private file without a name, which the
// system deletes with the process. It holds what the cache does not: so the
// store takes little memory, and slows down less as it grows than one that is
// all in memory, as BenchmarkHTTP showed. Where no file can be
// made, as in a container without a place for them, it is all in memory.
func temporary() string {
	name := ""
	if probe, err := os.CreateTemp("", "meti-emulator-"); err != nil {
		name = ":memory:"
	} else {
		_ = probe.Close()
		_ = os.Remove(probe.Name())
	}
	return "file:" + name + "?" + url.Values{"_pragma": {
		"page_size(8192)", "cache_size(-16000)", "journal_mode(MEMORY)", "synchronous(OFF)", // bytes; KB
	}}.Encode()
}

// dataSource is the driver's name for a file.
func dataSource(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"_pragma": {
			"busy_timeout(10000)", "page_size(8192)", "journal_mode(WAL)", "synchronous(NORMAL)", // ms; bytes
			"wal_autocheckpoint(4000)", "cache_size(-32000)", // pages; KB
		},
		"_txlock": {"immediate"},
	}.Encode()}
	return u.String(), nil
}

func (st *store) prepare() error {
	var version int
	if err := st.db.QueryRowContext(forever, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case schemaVersion:
		if err := st.db.QueryRowContext(forever, "SELECT secret FROM key").Scan(&st.key); err != nil {
			return err
		}
	case 0:
		st.key = newKey(st.flavour, st.options.Seed)
		err := st.write(func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(forever, schema); err != nil {
				return err
			}
			_, err := tx.ExecContext(forever, "INSERT INTO key (secret) VALUES (?)", st.key)
			return err
		})
		if err != nil {
			return err
		}
	default:
		return fmt.Errorf("it was written by another version (schema %d, this one knows %d)", version, schemaVersion)
	}
	oldest, err := st.newest()
	if err != nil {
		return err
	}
	st.births.add(time.Time{}, oldest)
	for stmt, query := range map[**sql.Stmt]string{
		&st.sql.insert: `INSERT INTO source (ssid, account, alt_id, methodology, steward, project, year,
			country, starts, ends, stored, document, geometry, shape, id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		&st.sql.insertBox:      `INSERT INTO box (id, west, east, south, north) VALUES (?,?,?,?,?)`,
		&st.sql.insertConflict: `INSERT OR REPLACE INTO conflict (id, others, share, changed) VALUES (?,?,?,?)`,
		&st.sql.one:            `SELECT id, account FROM source WHERE ssid = ?`,
		&st.sql.box:            `SELECT id FROM box WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?`,
		&st.sql.known:          `SELECT country, starts, ends, shape FROM source WHERE id = ?`,
		&st.sql.others:         `SELECT others, share FROM conflict WHERE id = ?`,
	} {
		var err error
		if *stmt, err = st.db.PrepareContext(forever, query); err != nil { //nolint:sqlclosecheck // closed with the database
			return err
		}
	}
	return nil
}

// newKey draws the key of a new store from the seed.
func newKey(f flavour, seed uint64) []byte {
	if seed == 0 {
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
		return key
	}
	mac := hmac.New(sha256.New, binary.LittleEndian.AppendUint64(nil, seed))
	mac.Write([]byte(f))
	return mac.Sum(nil)
}

// ssid is the Secure Source ID of a row.
func (st *store) ssid(id int64) string {
	mac := hmac.New(sha256.New, st.key)
	mac.Write(binary.LittleEndian.AppendUint64(nil, uint64(id)))
	sum := mac.Sum(nil)
	if st.flavour == sandbox {
		return string(sandbox) + hex.EncodeToString(sum[:16])
	}
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := []byte(production)
	for _, b := range sum[:13] {
		text = append(text, letters[int(b)%len(letters)])
	}
	return string(text)
}

func (st *store) close() error { return errors.Join(st.db.Close(), st.unlock()) }

func (st *store) unlock() error {
	if st.lock == nil {
		return nil
	}
	return st.lock.Unlock()
}

// write runs a transaction in a turn of its own.
func (st *store) write(do func(tx *sql.Tx) error) error {
	st.turn <- struct{}{}
	defer func() { <-st.turn }()
	return st.transact(do)
}

// transact runs a transaction. The caller has the turn.
func (st *store) transact(do func(tx *sql.Tx) error) error {
	tx, err := st.db.BeginTx(forever, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	st.changes.Add(1)
	return nil
}

// reset deletes everything but the key.
func (st *store) reset(context.Context) error {
	return st.write(func(tx *sql.Tx) error {
		for _, table := range []string{"source", "box", "conflict"} {
			if _, err := tx.ExecContext(forever, "DELETE FROM "+table); err != nil {
				return err
			}
		}
		return nil
	})
}

// scope is whose sources a request may touch: one account's, or all if empty.
type scope string

// filter is what a list or a deletion is about. Nil and empty fields match
// everything.
type filter struct {
	within                                              scope
	ssid, altID, account, methodology, steward, project *string
	year                                                *int
}

// where gives the condition and its arguments.
func (f filter) where() (string, []any) {
	var conditions []string
	var args []any
	add := func(column string, value any) {
		conditions = append(conditions, "s."+column+" = ?")
		args = append(args, value)
	}
	for _, c := range []struct {
		column string
		value  *string
	}{
		{"ssid", f.ssid}, {"alt_id", f.altID}, {"account", f.account},
		{"methodology", f.methodology}, {"steward", f.steward}, {"project", f.project},
	} {
		if c.value != nil {
			add(c.column, *c.value)
		}
	}
	if f.within != "" {
		add("account", string(f.within))
	}
	if f.year != nil {
		add("year", *f.year)
	}
	conditions = append(conditions, "s.id > ?")
	return strings.Join(conditions, " AND "), args
}

// listChunk is how much of a list is read at a time, in bytes and in sources:
// nothing of the database is held while a client reads.
const (
	listChunk   = 1 << 20
	listSources = 1000
)

// newest is the highest id that is stored.
func (st *store) newest() (id int64, err error) {
	err = st.db.QueryRowContext(forever, "SELECT coalesce(max(id), 0) FROM source").Scan(&id)
	return id, err
}

// list gives the sources that match, as JSON objects, a chunk at a time: each
// call of emit gets some of them, with a comma between. limit < 0 is none; what
// was stored within the last lag is left out.
func (st *store) list(ctx context.Context, f filter, lag time.Duration, limit, offset int, emit func([]byte) error) error {
	where, args := f.where()
	newest, err := st.newest()
	if err != nil {
		return err
	}
	if lag > 0 {
		newest = min(newest, st.births.before(st.options.Now().Add(-lag)))
	}
	last := int64(0)
	if offset > 0 {
		err := st.db.QueryRowContext(forever, "SELECT s.id FROM source s WHERE "+where+" ORDER BY s.id LIMIT 1 OFFSET ?",
			append(args[:len(args):len(args)], last, offset-1)...).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	query := `SELECT s.id, s.ssid, s.stored, s.document, s.geometry, c.others, c.share, c.changed
		FROM source s LEFT JOIN conflict c ON c.id = s.id
		WHERE ` + where + ` AND s.id <= ? ORDER BY s.id LIMIT ?`
	var buffer []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		want := listSources
		if limit >= 0 {
			want = min(want, limit)
		}
		if want == 0 {
			return nil
		}
		var n int
		var err error
		buffer, n, last, err = st.chunk(buffer[:0], query, append(args[:len(args):len(args)], last, newest, want), last)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if err := emit(buffer); err != nil {
			return err
		}
		if limit >= 0 {
			limit -= n
		}
	}
}

func (st *store) chunk(buffer []byte, query string, args []any, last int64) ([]byte, int, int64, error) {
	rows, err := st.db.QueryContext(forever, query, args...)
	if err != nil {
		return nil, 0, 0, err
	}
	defer rows.Close()
	n := 0
	for len(buffer) < listChunk && rows.Next() {
		var (
			ssid, stored, document, geometry, others, changed sql.RawBytes
			share                                             sql.NullFloat64
		)
		if err := rows.Scan(&last, &ssid, &stored, &document, &geometry, &others, &share, &changed); err != nil {
			return nil, 0, 0, err
		}
		if n > 0 {
			buffer = append(buffer, ',')
		}
		state := conflictState{changed: string(changed), share: share}
		if state.changed == "" {
			state.changed = string(stored)
		}
		if len(others) > 0 {
			if err := json.Unmarshal(others, &state.others); err != nil {
				return nil, 0, 0, err
			}
		}
		buffer = st.appendSource(buffer, string(ssid), document, geometry, state)
		n++
	}
	return buffer, n, last, rows.Err()
}

// conflictState is what changes of a source.
type conflictState struct {
	others  []int64 // ids of those it conflicts with, in the order in which they came up
	share   sql.NullFloat64
	changed string
}

// appendSource writes a source as METI answers it.
func (st *store) appendSource(b []byte, ssid string, document, geometry []byte, state conflictState) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, ssid...)
	b = append(b, `",`...)
	b = append(b, document...)
	b = append(b, `,"updated_at":"`...)
	b = append(b, state.changed...)
	b = append(b, `","conflict":`...)
	b = strconv.AppendBool(b, len(state.others) > 0)
	b = append(b, `,"conflict_with":`...)
	if len(state.others) == 0 {
		b = append(b, "null"...)
	} else {
		for i, id := range state.others {
			b = append(b, "[,"[min(i, 1)])
			b = append(b, '"')
			b = append(b, st.ssid(id)...)
			b = append(b, '"')
		}
		b = append(b, ']')
	}
	b = append(b, `,"percent_overlap":`...)
	if state.share.Valid && !math.IsNaN(state.share.Float64) {
		b = strconv.AppendFloat(b, state.share.Float64, 'g', -1, 64)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"geometry":`...)
	b = append(b, geometry...)
	return append(b, '}')
}
