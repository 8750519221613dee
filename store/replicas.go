package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/switchyard-dev/switchyard/migration"
)

type replicaRow struct {
	ID      string
	At      int64
	Workers string
}

func (replicaRow) TableName() string { return "replicas" }

// SaveReplica replaces what a replica has heard from workers, and forgets replicas that have said nothing for a day.
func (s *Store) SaveReplica(ctx context.Context, id string, workers []migration.Worker, at time.Time) error {
	b, err := toJSON(workers)
	if err != nil {
		return err
	}
	db := s.db.WithContext(ctx)
	if err := db.Exec("DELETE FROM replicas WHERE at < ?", millis(at.Add(-24*time.Hour))).Error; err != nil {
		return err
	}
	return db.Exec("INSERT INTO replicas (id, at, workers) VALUES (?, ?, ?) ON CONFLICT (id) DO "+
		"UPDATE SET at = excluded.at, workers = excluded.workers", id, millis(at), b).Error
}

// Replicas gives what each replica, also this one, has heard from workers, of those that saved it after since.
func (s *Store) Replicas(ctx context.Context, since time.Time) (map[string][]migration.Worker, error) {
	var rows []replicaRow
	if err := s.db.WithContext(ctx).Where("at > ?", millis(since)).Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make(map[string][]migration.Worker, len(rows))
	for _, r := range rows {
		var workers []migration.Worker
		if err := json.Unmarshal([]byte(r.Workers), &workers); err != nil {
			return nil, fmt.Errorf("workers of replica %s: %w", r.ID, err)
		}
		out[r.ID] = workers
	}
	return out, nil
}

// DropReplica forgets a replica that ends; one that is not there is no error.
func (s *Store) DropReplica(ctx context.Context, id string) error {
	return s.db.WithContext(ctx).Exec("DELETE FROM replicas WHERE id = ?", id).Error
}

// Listen calls f, one call at a time, with what has changed, whoever changed it:
// "flags:<set>", "keys", "schedules", "runs:<run id>". An empty topic means that anything
// may have changed: it comes once the connection stands, and again after each time that
// it was lost. It runs until ctx ends and returns ctx's error. On SQLite it calls
// nothing: one process owns the file, so nobody else changes it.
func (s *Store) Listen(ctx context.Context, f func(topic string)) error {
	if !s.Postgres() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.pg.dedicated(ctx, func(conn *pgx.Conn) error {
		if err := ask(ctx, func(ctx context.Context) error {
			_, err := conn.Exec(ctx, "LISTEN switchyard")
			return err
		}); err != nil {
			return err
		}
		f("")
		for {
			n, err := hear(ctx, conn, 10*time.Second)
			if err != nil {
				return err
			}
			if n != nil {
				f(n.Payload)
			}
		}
	})
}

// Lead calls f while this process leads, of all that share the database, and ends f's
// context as soon as it may lead no more: when its connection is lost, or ctx ends. f
// must return then; it is called again when this process leads again, and not before,
// also when it returns early. Lead runs until ctx ends and returns ctx's error. On SQLite
// one process owns the file, so it always leads.
func (s *Store) Lead(ctx context.Context, f func(ctx context.Context)) error {
	if !s.Postgres() {
		f(ctx)
		<-ctx.Done()
		return ctx.Err()
	}
	return s.pg.dedicated(ctx, func(conn *pgx.Conn) error {
		for {
			var leads bool
			if err := ask(ctx, func(ctx context.Context) error {
				return conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockLeader).Scan(&leads)
			}); err != nil {
				return err
			}
			if leads {
				return whileConnected(ctx, conn, f)
			}
			if _, err := hear(ctx, conn, time.Second); err != nil {
				return err
			}
		}
	})
}

// whileConnected carries f out until the connection is lost or ctx ends, and waits for it to return.
func whileConnected(ctx context.Context, conn *pgx.Conn, f func(ctx context.Context)) error {
	leading, lost := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(leading)
	}()
	var err error
	for err == nil {
		_, err = hear(ctx, conn, time.Second)
	}
	lost()
	<-done
	return err
}

// dedicated carries f out on a connection of its own, on a new one whenever f returns, until ctx
// ends; it returns ctx's error. Closing the connection frees the locks that it holds. The waits grow,
// and differ between replicas, so that a database that comes back is not met by all of them at once.
func (p *postgres) dedicated(ctx context.Context, f func(conn *pgx.Conn) error) error {
	waits := backoff.ExponentialBackOff{
		InitialInterval: 50 * time.Millisecond, MaxInterval: 2 * time.Second,
		Multiplier: 2, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
	for ctx.Err() == nil {
		conn, err := pgx.ConnectConfig(ctx, p.config.Copy())
		if err == nil {
			waits.Reset()
			_ = f(conn) // whatever it was, a new connection is the answer
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = conn.Close(closing) // it may be lost already
			cancel()
		}
		select {
		case <-ctx.Done():
		case <-time.After(waits.NextBackOff()):
		}
	}
	return ctx.Err()
}

// hear waits for a notification, at most for the given time; then it asks the server
// whether it is still there. A connection that breaks is noticed at once, a server that
// hangs after connectTimeout more. No notification and no error: nothing came.
func hear(ctx context.Context, conn *pgx.Conn, atMost time.Duration) (*pgconn.Notification, error) {
	waiting, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	if err == nil || ctx.Err() != nil || waiting.Err() == nil {
		return n, err
	}
	return nil, ask(ctx, conn.Ping)
}

// ask gives the server connectTimeout for an answer.
func ask(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return f(ctx)
}
