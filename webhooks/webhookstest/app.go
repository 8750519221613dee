// Package webhookstest has what webhooks are tried against: an ingestion app with and
// without durable intake, and stand-ins of the APIs that providers offer to get lost
// events back.
package webhookstest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite" // the driver

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

// maxBody bounds a delivery, in bytes.
const maxBody = 1 << 20

// Job is a verified order on its way into the queue.
type Job struct {
	ID   string
	Data []byte // the raw body
}

// App takes webhooks at /webhooks/{provider id}.
type App struct {
	Secrets map[string][]migration.Secret // by provider id
	Now     func() time.Time
	// Enqueue adds a job; adding the same id again does nothing.
	Enqueue func(context.Context, Job) error
	// Intake, when there is one, takes every order first; Drain enqueues later.
	// Without, a failed add is answered with a 503.
	Intake *Intake

	Accepted atomic.Int64 // deliveries answered with success, doubles included
}

// ServeHTTP implements http.Handler.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, ok := webhooks.ByID(strings.TrimPrefix(r.URL.Path, "/webhooks/"))
	if !ok || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body is cut or too long", http.StatusRequestEntityTooLarge)
		return
	}
	event, err := p.Verify(r.Header, body, a.Secrets[p.ID], a.Now())
	if err != nil {
		status := http.StatusBadRequest
		if migration.KindOf(err) == migration.Unauthenticated {
			status = http.StatusUnauthorized
		}
		http.Error(w, err.Error(), status)
		return
	}
	job := Job{ID: event.JobID(), Data: body}
	if a.Intake != nil {
		err = a.Intake.Take(r.Context(), job)
	} else {
		err = a.Enqueue(r.Context(), job)
	}
	if err != nil {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "orders cannot be taken in at the moment", http.StatusServiceUnavailable)
		return
	}
	a.Accepted.Add(1)
	_, _ = io.WriteString(w, p.Reply) // an error means that the provider left
}

// Queue adds jobs to a list of Redis, each id once, as BullMQ's add does with a job id
// of one's own.
type Queue struct{ Redis redis.UniversalClient }

var add = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'data', ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1`)

// Add adds a job. After an error it may have been added all the same.
func (q Queue) Add(ctx context.Context, j Job) error {
	return add.Run(ctx, q.Redis, []string{"orders:" + j.ID, "orders:wait"}, j.ID, j.Data).Err()
}

// Waiting gives the ids in the list, doubles included.
func (q Queue) Waiting(ctx context.Context) ([]string, error) {
	return q.Redis.LRange(ctx, "orders:wait", 0, -1).Result()
}

// Intake is a write-ahead log of orders in a SQLite file. What Take returned from is on
// disk and survives a killed process.
type Intake struct{ db *sql.DB }

// OpenIntake opens or creates the file.
func OpenIntake(ctx context.Context, file string) (*Intake, error) {
	db, err := sql.Open(
		"sqlite",
		"file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"+
			"&_pragma=busy_timeout(5000)&_txlock=immediate",
	)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(
		ctx,
		`CREATE TABLE IF NOT EXISTS intake (n INTEGER PRIMARY KEY, job TEXT NOT NULL UNIQUE,
			data BLOB NOT NULL, enqueued INTEGER NOT NULL DEFAULT 0)`,
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("intake %s: %w", file, err), db.Close())
	}
	return &Intake{db}, nil
}

// Take keeps an order; one that is already kept is left as it is.
func (i *Intake) Take(ctx context.Context, j Job) error {
	_, err := i.db.ExecContext(ctx,
		`INSERT INTO intake (job, data) VALUES (?, ?) ON CONFLICT DO NOTHING`, j.ID, j.Data)
	return err
}

// Drain enqueues what waits, oldest first, until one cannot be added; that is no loss,
// it stays. It gives how many were enqueued. Killed between the add and the note of it,
// it adds again: enqueue must take an id once.
func (i *Intake) Drain(
	ctx context.Context, enqueue func(context.Context, Job) error,
) (int, error) {
	for n := 0; ; n++ {
		var j Job
		err := i.db.QueryRowContext(ctx,
			`SELECT job, data FROM intake WHERE enqueued = 0 ORDER BY n LIMIT 1`).Scan(&j.ID,
			&j.Data)
		if errors.Is(err, sql.ErrNoRows) {
			return n, nil
		}
		if err == nil {
			err = enqueue(ctx, j)
		}
		if err == nil {
			_, err = i.db.ExecContext(ctx, `UPDATE intake SET enqueued = 1 WHERE job = ?`, j.ID)
		}
		if err != nil {
			return n, err
		}
	}
}

// Close closes the file.
func (i *Intake) Close() error { return i.db.Close() }
