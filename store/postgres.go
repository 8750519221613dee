package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

const (
	// connectTimeout is how long a server may take to let us in.
	connectTimeout = 3 * time.Second
	// patience is how long one answer of the server may take; longer than the statement
	// timeout, which the server keeps by itself. It is for a server that is frozen or
	// out of reach, which keeps nothing.
	patience = 20 * time.Second
)

// Session settings of every connection, in milliseconds or seconds as PostgreSQL wants
// them; the URL may give others. The keepalives let the server notice a machine that is
// gone, and with it free its locks.
var sessionSettings = map[string]string{
	"application_name":                    "switchyard",
	"statement_timeout":                   "15000",
	"lock_timeout":                        "10000",
	"idle_in_transaction_session_timeout": "30000",
	"tcp_keepalives_idle":                 "5",
	"tcp_keepalives_interval":             "2",
	"tcp_keepalives_count":                "3",
}

// Advisory locks. They belong to the database, so one database belongs to one Switchyard.
const (
	lockSchema = 0x5377_0001 + iota
	lockAudit
	lockLeader
)

// postgres is how to reach a PostgreSQL server.
type postgres struct {
	url    migration.Secret
	config *pgx.ConnConfig
}

func openPostgres(ctx context.Context, url migration.Secret) (*Store, error) {
	s, dialector, err := dialPostgres(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	// Replicas that start at once bring the schema up to date one after the other.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockSchema),
		lock.WithLockTimeout(1, 60))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s.opened(ctx, dialector, goose.DialectPostgres, "migrations/postgres",
		goose.WithSessionLocker(locker))
}

// dialPostgres connects with session settings besides ours.
func dialPostgres(
	ctx context.Context, url migration.Secret, settings map[string]string,
) (*Store, gorm.Dialector, error) {
	config, err := pgx.ParseConfig(url.Reveal())
	if err != nil { // the parser's error quotes the URL
		return nil, nil, migration.Errorf(migration.Invalid,
			"the database URL cannot be read: want postgres://user:password@host:5432/database")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	for key, value := range sessionSettings {
		if _, given := config.RuntimeParams[key]; !given {
			config.RuntimeParams[key] = value
		}
	}
	maps.Copy(config.RuntimeParams, settings)
	config.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true,
		Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}).DialContext
	p := &postgres{url, config}
	pooled := config.Copy()
	pooled.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := config.DialFunc(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: c, patience: patience}, nil
	}
	pool := stdlib.OpenDB(*pooled)
	pool.SetMaxOpenConns(10)
	pool.SetMaxIdleConns(5)
	pool.SetConnMaxLifetime(30 * time.Minute)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	s := &Store{sql: pool, pg: p}
	first, cancel := context.WithTimeoutCause(ctx, config.ConnectTimeout,
		errors.New("no answer"))
	defer cancel()
	if err := pool.PingContext(first); err != nil {
		return nil, nil, errors.Join(p.unavailable(err), s.Close())
	}
	dialector :=
		translating{gormpostgres.New(gormpostgres.Config{Conn: pool}).(*gormpostgres.Dialector),
			p}
	return s, dialector, nil
}

// Postgres reports whether the database is a PostgreSQL server, which other replicas
// may share.
func (s *Store) Postgres() bool { return s.pg != nil }

// URL is the PostgreSQL server's, as it was given; empty on SQLite.
func (s *Store) URL() migration.Secret {
	if s.pg == nil {
		return ""
	}
	return s.pg.url
}

// onlyOne makes transactions of all replicas that ask for the same lock go one after
// the other, until each ends. On SQLite they do anyway.
func (s *Store) onlyOne(tx *gorm.DB, lock int64) error {
	if !s.Postgres() {
		return nil
	}
	return tx.Exec("SELECT pg_advisory_xact_lock(?)", lock).Error
}

// translating is gorm's dialect with our errors.
type translating struct {
	*gormpostgres.Dialector
	pg *postgres
}

// Translate implements gorm.ErrorTranslator.
func (t translating) Translate(err error) error { return t.pg.failure(err) }

// failure makes an error of the connection, rather than of the statement, Unavailable.
// Other errors stay as they are, also those of a context that the caller ended.
func (p *postgres) failure(err error) error {
	if err == nil || !lost(err) {
		return err
	}
	return p.unavailable(err)
}

func (p *postgres) unavailable(err error) error {
	address := net.JoinHostPort(p.config.Host, strconv.Itoa(int(p.config.Port)))
	// Whoever starts Switchyard needs the database's own words; pages put them into plain ones.
	return migration.Because(migration.Unavailable, nil, fmt.Sprintf(
		"database %q at %s does not answer: %s", p.config.Database, address, cause(err)))
}

// cause is the innermost reason; what is around it quotes parts of the URL.
func cause(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Sprintf("%s (SQLSTATE %s)", e.Message, e.Code)
	}
	if isTimeout(err) {
		return "no answer in time"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return errors.Unwrap(e).Error() // without the user
	}
	return "the connection was lost"
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func lost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "57014", "55P03", "25P03": // statement, lock and idle transaction timeouts
			return true
		case "57P01", "57P02", "57P03", "53300":
			// shutting down, crashed, starting up, too many connections
			return true
		}
		return e.Code[:2] == "08"
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return !errors.Is(err, context.Canceled)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	_, ofNetwork := errors.AsType[net.Error](err)
	return ofNetwork || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn)
}

// patientConn lets no read take longer than patience. A deadline that is set on it and
// ends earlier, such as that of a context, counts.
type patientConn struct {
	net.Conn
	patience time.Duration
	mu       sync.Mutex
	asked    time.Time // what was set from outside; zero: none
}

// Read implements net.Conn.
func (c *patientConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	deadline := time.Now().Add(c.patience)
	if !c.asked.IsZero() && c.asked.Before(deadline) {
		deadline = c.asked
	}
	err := c.Conn.SetReadDeadline(deadline)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// SetDeadline implements net.Conn.
func (c *patientConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *patientConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = t
	return c.Conn.SetReadDeadline(t)
}
