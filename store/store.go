// Package store keeps what Switchyard knows: migrations, evidence, runs, flag sets,
// accounts and the audit log; on SQLite, or on PostgreSQL where several replicas share
// the work. SQL files own the schema and its invariants; evidence, flag revisions and
// the audit log are append-only by trigger. It computes no verdict.
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
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	moderncsqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/switchyard-dev/switchyard/migration"
)

//go:embed migrations
var schema embed.FS

// Store is the database. Its methods are safe for concurrent use and return
// migration.Error where a caller can act on the kind. On PostgreSQL a database that
// does not answer is Unavailable.
type Store struct {
	db   *gorm.DB
	sql  *sql.DB
	lock *os.File  // SQLite: held while the file is open
	pg   *postgres // nil on SQLite
}

// Open opens a database and brings its schema up to date. postgres:// and postgresql://
// are a PostgreSQL server, shared by any number of replicas; one that does not answer
// within 3 s is Unavailable. Anything else is a SQLite file, with or without sqlite: or
// file: before it, that is created when it is missing and that one process at a time
// may hold: a second one gets Conflict, because runs are resumed by whoever opens it.
// Errors name a server's host and database, never the URL, which may carry a password.
func Open(ctx context.Context, databaseURL string) (*Store, error) {
	if strings.HasPrefix(databaseURL, "postgres://") ||
		strings.HasPrefix(databaseURL, "postgresql://") {
		return openPostgres(ctx, migration.Secret(databaseURL))
	}
	return openSQLite(ctx, sqliteFile(databaseURL))
}

// opened brings the schema up to date and puts gorm on the pool; on an error it closes
// everything.
func (s *Store) opened(
	ctx context.Context, d gorm.Dialector, dialect goose.Dialect, folder string,
	options ...goose.ProviderOption,
) (*Store, error) {
	if err := s.migrate(ctx, dialect, folder, options); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s.usedBy(d)
}

// usedBy puts gorm on the pool; on an error it closes everything.
func (s *Store) usedBy(d gorm.Dialector) (*Store, error) {
	var err error
	s.db, err = gorm.Open(d, &gorm.Config{
		Logger:                 logger.Discard,
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
		TranslateError:         s.Postgres(),
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) migrate(
	ctx context.Context, dialect goose.Dialect, folder string,
	options []goose.ProviderOption,
) error {
	files, err := fs.Sub(schema, folder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, s.sql, files,
		append(options, goose.WithSlog(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return s.failure(fmt.Errorf("schema: %w", err))
	}
	return nil
}

// SQL is the connection pool. On SQLite the workflow engine shares it, so that there is
// one file to back up.
func (s *Store) SQL() *sql.DB { return s.sql }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.failure(s.sql.PingContext(ctx)) }

// Close closes the database and gives up a SQLite file.
func (s *Store) Close() error {
	if s.lock == nil {
		return s.sql.Close()
	}
	return errors.Join(s.sql.Close(), s.lock.Close())
}

// failure makes what the database's connection gave an error of ours.
func (s *Store) failure(err error) error {
	if s.pg == nil {
		return err
	}
	return s.pg.failure(err)
}

// transact carries f out in one transaction; on PostgreSQL again, a few times, when the
// server gave it up in favour of another one.
func (s *Store) transact(ctx context.Context, f func(tx *gorm.DB) error) error {
	for tries := 1; ; tries++ {
		err := s.db.WithContext(ctx).Transaction(f)
		if tries == 5 || !isCollision(err) || ctx.Err() != nil {
			return err
		}
	}
}

// lockRow makes transactions that lock the same row go one after the other. On SQLite
// they do anyway: they begin as writers.
func lockRow(tx *gorm.DB, table, id string) error {
	var found string
	return tx.Table(table).Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate}).
		Select("id").Where("id = ?", id).Take(&found).Error
}

// isCollision says that PostgreSQL gave a transaction up because of another one: a
// serialization failure or a deadlock.
func isCollision(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

func isUnique(err error) bool {
	if e, ok := errors.AsType[*moderncsqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE ||
			e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505"
}

// text is what both databases can keep of free text, which may come from another
// program: PostgreSQL takes no zero byte and nothing that is not UTF-8.
func text(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
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
