package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Replica is what one Switchyard process last said of itself.
type Replica struct {
	ID     string
	At     time.Time       // by its own clock
	Client string          // how its connections to Redis are named
	Heard  json.RawMessage // what it has heard from workers, as JSON
}

type replicaRow struct {
	ID      string
	At      int64
	Client  string
	Workers string
}

func (replicaRow) TableName() string { return "replicas" }

// SaveReplica replaces what a replica has said. It stays until DropReplica, also when the replica
// ends: that it says nothing more does not mean that its workers are gone.
func (s *Store) SaveReplica(ctx context.Context, r Replica) error {
	return s.db.WithContext(ctx).Exec("INSERT INTO replicas (id, at, client, workers) VALUES "+
		"(?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at, client = excluded.client, "+
		"workers = excluded.workers", r.ID, millis(r.At), r.Client, string(r.Heard)).Error
}

// Replicas gives what each replica has said, also this one and those that have ended, by id.
func (s *Store) Replicas(ctx context.Context) ([]Replica, error) {
	var rows []replicaRow
	if err := s.db.WithContext(ctx).Order("id").Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]Replica, len(rows))
	for i, r := range rows {
		out[i] = Replica{r.ID, fromMillis(r.At), r.Client, json.RawMessage(r.Workers)}
	}
	return out, nil
}

// DropReplica forgets a replica of whose workers nothing is open; one that is not there is no error.
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
