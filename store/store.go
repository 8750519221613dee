// Package store keeps what Switchyard knows: migrations, evidence, runs, flag revisions, accounts and the audit log. SQL files own the
// schema and its invariants; evidence, flag revisions and the audit log are append-only by trigger. It computes no verdict.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	moderncsqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/switchyard-dev/switchyard/migration"
)

//go:embed migrations/sqlite/*.sql
var schema embed.FS

// Store is the database. Its methods are safe for concurrent use and return migration.Error where a caller can act on the kind.
type Store struct {
	db   *gorm.DB
	sql  *sql.DB
	lock *os.File
}

// Open opens (and creates) the SQLite file and brings its schema up to date. One process at a time may hold a file: a second one gets
// Conflict, because runs are resumed by whoever opens it. The file and its folder are private to the user.
func Open(ctx context.Context, file string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	if err := flock(ctx, lock); err != nil {
		_ = lock.Close()
		return nil, err
	}
	// SQLite would make the file readable by everybody; its companions (-wal, -shm) get the mode of the file.
	db, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database file: %w", err), lock.Close())
	}
	_ = db.Close() // nothing was written
	// immediate: a read-then-write transaction otherwise fails with BUSY whatever the timeout. FULL: a lost commit could be an
	// approval whose effect already happened.
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() +
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), lock.Close())
	}
	pool.SetMaxOpenConns(8)
	s := &Store{sql: pool, lock: lock}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.db, err = gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", Conn: pool}), &gorm.Config{
		Logger: logger.Discard, SkipDefaultTransaction: true, DisableAutomaticPing: true,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), s.Close())
	}
	return s, nil
}

// flock waits a moment for the lock: a process that was just killed may not be gone yet.
func flock(ctx context.Context, f *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return migration.Errorf(migration.Conflict, "another switchyard uses %s: stop it, or give this one a data_dir of its own", f.Name())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(schema, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.sql, files, goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	return nil
}

// SQL is the connection pool, shared with the workflow engine so that there is one file to back up.
func (s *Store) SQL() *sql.DB { return s.sql }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.sql.PingContext(ctx) }

// Close closes the database and gives up the file.
func (s *Store) Close() error { return errors.Join(s.sql.Close(), s.lock.Close()) }

func isUnique(err error) bool {
	if e, ok := errors.AsType[*moderncsqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

func missing(err error, format string, args ...any) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return migration.Errorf(migration.NotFound, format, args...)
	}
	return err
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func optional(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := fromMillis(*ms)
	return &t
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
