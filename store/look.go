package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"gorm.io/driver/sqlite"

	"github.com/switchyard-dev/switchyard/migration"
)

// Look opens a database that another process may have open, to read what is stored: it makes
// nothing and changes nothing, its schema neither. NotFound: there is no such file. What a
// method reads that the schema does not have yet is an error.
func Look(ctx context.Context, databaseURL string) (*Store, error) {
	if strings.HasPrefix(databaseURL, "postgres://") ||
		strings.HasPrefix(databaseURL, "postgresql://") {
		s, dialector, err := dialPostgres(ctx, migration.Secret(databaseURL),
			map[string]string{"default_transaction_read_only": "on"})
		if err != nil {
			return nil, err
		}
		return s.usedBy(dialector)
	}
	file := sqliteFile(databaseURL)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil, migration.Errorf(migration.NotFound, "there is no database %s", file)
	}
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+
		"?mode=ro&_pragma=busy_timeout(2000)&_pragma=query_only(1)")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	s := &Store{sql: pool}
	return s.usedBy(sqlite.New(sqlite.Config{DriverName: "sqlite", Conn: pool}))
}
