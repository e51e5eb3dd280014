package emulator

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed schema.sql
var schema string

//go:embed answer.sql
var answer string

// schemaVersion is what schema.sql sets user_version to.
const schemaVersion = 2

// What SSIDs begin with, in the ledger and in the sandbox [D].
const (
	production = "src_"
	sandbox    = "sandbox_"
)

// forever is the context of the store's statements, see there.
var forever = context.Background()

// store keeps the sources of one ledger. Changes take turns from judging to
// writing, so that two identical fields never both come back clear; nothing of
// the database is held meanwhile, nor while a client reads.
//
// Its statements run on contexts that do not end: a change goes on when its
// client has gone, and each read is short.
type store struct {
	prefix string     // of SSIDs: production or sandbox
	key    []byte     // SSIDs are made from it
	writer sync.Mutex // held by the one request that changes the store
	db     *sql.DB    // one connection
}

// openStore opens the file, or a temporary one if path is empty.
func openStore(path, prefix string, seed uint64) (st *store, err error) {
	name, pragmas := temporary(), []string{"journal_mode(MEMORY)", "synchronous(OFF)", "cache_size(-16000)"} // KB
	if path != "" {
		pragmas = []string{"locking_mode(EXCLUSIVE)", "journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(4000)", "cache_size(-32000)"}
		if name, err = private(path); err != nil {
			return nil, fmt.Errorf("emulator: %w", err)
		}
	}
	query := url.Values{"_pragma": append(pragmas, "page_size(8192)")}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: name, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	db.SetMaxOpenConns(1)
	var version int
	err = db.QueryRowContext(forever, "PRAGMA user_version").Scan(&version)
	if busy := new(sqlite.Error); errors.As(err, &busy) && busy.Code()&0xFF == sqlite3.SQLITE_BUSY {
		err = errors.New("it is in use by another emulator")
	} else if err == nil && version == 0 {
		_, err = db.ExecContext(forever, schema)
	} else if err == nil && version != schemaVersion {
		err = fmt.Errorf("it was written by another version (schema %d, this one knows %d)", version, schemaVersion)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("emulator: opening %s: %w", cmp.Or(path, "a store"), err), db.Close())
	}
	return &store{prefix: prefix, key: derive(seed, prefix), db: db}, nil
}

// close closes a store that was opened.
func (st *store) close() error {
	if st == nil {
		return nil
	}
	return st.db.Close()
}

// temporary is the driver's name for a private file without a name, which the
// system deletes with the process. It takes less memory than a store all in
// memory, and slows down less as it grows, as BenchmarkHTTP showed. Where no
// file can be made, as in a container without a place for it, all is in memory.
func temporary() string {
	probe, err := os.CreateTemp("", "meti-emulator-")
	if err != nil {
		return ":memory:"
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	return ""
}

// private makes a file that its user alone may read, because the key that signs
// tokens is in it, and gives the driver's name for it.
func private(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	if path = filepath.ToSlash(path); !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	return (&url.URL{Path: path}).EscapedPath(), errors.Join(file.Chmod(0o600), file.Close())
}

// tokenKey gives the key that signs tokens, PKCS #1, which it makes and stores at
// first.
func (st *store) tokenKey(make func() []byte) (jose.JSONWebKey, error) {
	var der []byte
	err := st.db.QueryRowContext(forever, "SELECT secret FROM key WHERE name = 'token'").Scan(&der)
	if errors.Is(err, sql.ErrNoRows) {
		der = make()
		_, err = st.db.ExecContext(forever, "INSERT INTO key (name, secret) VALUES ('token', ?)", der)
	}
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	return keyOf(der)
}

// ssid is the Secure Source ID of a row.
func (st *store) ssid(id int64) string {
	mac := hmac.New(sha256.New, st.key)
	mac.Write(binary.LittleEndian.AppendUint64(nil, uint64(id)))
	sum := mac.Sum(nil)
	if st.prefix == sandbox {
		return sandbox + hex.EncodeToString(sum[:16])
	}
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := []byte(st.prefix)
	for _, b := range sum[:13] {
		text = append(text, letters[int(b)%len(letters)])
	}
	return string(text)
}

// transact runs statements, all or none. The caller holds writer.
func (st *store) transact(do func(exec func(query string, args ...any))) error {
	tx, err := st.db.BeginTx(forever, nil)
	if err != nil {
		return err
	}
	prepared := make(map[string]*sql.Stmt)
	do(func(query string, args ...any) {
		if prepared[query] == nil && err == nil {
			prepared[query], err = tx.PrepareContext(forever, query) //nolint:sqlclosecheck // the transaction closes it
		}
		if err == nil {
			_, err = prepared[query].ExecContext(forever, args...)
		}
	})
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// each runs a query and visits its rows.
func (st *store) each(visit func(*sql.Rows) error, query string, args ...any) error {
	rows, err := st.db.QueryContext(forever, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// values runs a query that gives one value a row.
func values[T any](st *store, query string, args ...any) (list []T, err error) {
	err = st.each(func(rows *sql.Rows) error {
		var value T
		err := rows.Scan(&value)
		list = append(list, value)
		return err
	}, query, args...)
	return list, err
}

// tables hold sources. The last id that was given is in one of them.
var tables = []string{"source", "box", "sqlite_sequence"}

// remember keeps a copy of all sources, for reset, in a temporary file.
func (st *store) remember() error {
	_, err := st.db.ExecContext(forever, "ATTACH ? AS start", temporary())
	for _, table := range tables {
		if err == nil {
			_, err = st.db.ExecContext(forever, "CREATE TABLE start.then_"+table+" AS SELECT * FROM main."+table)
		}
	}
	return err
}

// reset goes back to what remember has kept.
func (st *store) reset() error {
	st.writer.Lock()
	defer st.writer.Unlock()
	return st.transact(func(exec func(string, ...any)) {
		for _, table := range tables {
			exec("DELETE FROM main." + table)
			exec("INSERT INTO main." + table + " SELECT * FROM start.then_" + table)
		}
	})
}

// filter is a condition on the sources s, with its arguments.
type filter struct {
	sql  string
	args []any
}

func (f *filter) add(condition string, args ...any) {
	f.sql += " AND " + condition
	f.args = append(f.args, args...)
}

// matching gives the ids of the sources that match, in order.
func (st *store) matching(f filter, limit, offset *int) ([]int64, error) {
	return values[int64](st, "SELECT s.id FROM source s WHERE true"+f.sql+" ORDER BY s.id LIMIT coalesce(?, -1) OFFSET coalesce(?, 0)", append(slices.Clip(f.args), limit, offset)...)
}

// answers gives the sources that match as METI answers them, in order.
func (st *store) answers(f filter) ([]string, error) {
	return values[string](st, answer+" WHERE true"+f.sql+" ORDER BY s.id", f.args...)
}

// listChunk is how many sources of a list are read at a time.
const listChunk = 100

// list gives the answers for a list a chunk at a time: each call of emit gets some
// of them, with a comma between.
func (st *store) list(ctx context.Context, f filter, limit, offset *int, emit func(string) error) error {
	ids, err := st.matching(f, limit, offset)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(ids, listChunk) {
		of := filter{f.sql, slices.Clip(f.args)}
		of.add("s.id BETWEEN ? AND ?", part[0], part[len(part)-1])
		sources, err := st.answers(of)
		if err = cmp.Or(ctx.Err(), err); err != nil {
			return err
		}
		if len(sources) == 0 {
			continue
		}
		if err := emit(strings.Join(sources, ",")); err != nil {
			return err
		}
	}
	return nil
}
