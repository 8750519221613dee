package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/pressly/goose/v3"
	"gorm.io/driver/sqlite"

	"github.com/switchyard-dev/switchyard/migration"
)

// sqliteFile is the path in a SQLite URL.
func sqliteFile(databaseURL string) string {
	for _, scheme := range []string{"sqlite://", "file://", "sqlite:", "file:"} {
		if file, ok := strings.CutPrefix(databaseURL, scheme); ok {
			return file
		}
	}
	return databaseURL
}

// openSQLite opens (and creates) a file. The file and its folder are private to the user.
func openSQLite(ctx context.Context, file string) (*Store, error) {
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
	// immediate: a read-then-write transaction otherwise fails with BUSY whatever the
	// timeout. FULL: a lost commit could be an approval whose effect already happened.
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() +
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), lock.Close())
	}
	pool.SetMaxOpenConns(8)
	s := &Store{sql: pool, lock: lock}
	return s.opened(
		ctx,
		sqlite.New(sqlite.Config{DriverName: "sqlite", Conn: pool}),
		goose.DialectSQLite3,
		"migrations/sqlite",
	)
}

// flock waits a moment for the lock: a process that was just killed may not be gone yet.
func flock(ctx context.Context, f *os.File) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}, backoff.WithBackOff(backoff.NewConstantBackOff(50*time.Millisecond)),
		backoff.WithMaxElapsedTime(3*time.Second))
	if err != nil {
		return migration.Errorf(migration.Conflict,
			"another switchyard uses %s: stop it, or give this one a data_dir of its own", f.Name())
	}
	return nil
}
