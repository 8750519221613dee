package store

import (
	"context"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

func (s *Store) Postgres() bool                                              { return false }
func (s *Store) URL() migration.Secret                                       { return "" }
func (s *Store) Listen(ctx context.Context, f func(topic string)) error      { <-ctx.Done(); return nil }
func (s *Store) Lead(ctx context.Context, f func(ctx context.Context)) error { f(ctx); return nil }
func (s *Store) SaveReplica(ctx context.Context, id string, w []migration.Worker, at time.Time) error {
	return nil
}
func (s *Store) Replicas(ctx context.Context, since time.Time) (map[string][]migration.Worker, error) {
	return nil, nil
}
func (s *Store) DropReplica(ctx context.Context, id string) error { return nil }
