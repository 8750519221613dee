package redisconn

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
)

// singleServer is a client of one server at a time.
type singleServer interface{ Options() *redis.Options }

// InDatabase makes a client for another database of the server that c is connected to. It
// does not dial; its first command fails where the server has no such database, or no
// SELECT. Close it when done.
func InDatabase(c redis.UniversalClient, db int) (redis.UniversalClient, error) {
	one, ok := c.(singleServer)
	if !ok {
		return nil, migration.Errorf(migration.Invalid, "a %T has no single server", c)
	}
	o := *one.Options()
	o.DB, o.PoolSize, o.MinIdleConns = db, 1, 0
	other := redis.NewClient(&o)
	if own, ok := c.(*conn); ok { // one count of our commands for each server
		return counted(other, own.used), nil
	}
	return other, nil
}

// EachDatabase passes on a connection to every database of a server that holds keys, and to
// that of c; a service without SELECT has that one alone. It fails if one of them cannot be
// selected, or if the server does not say which it has.
func EachDatabase(
	ctx context.Context, c redis.UniversalClient,
	do func(db int, own bool, c redis.UniversalClient) error,
) error {
	all, err := Databases(ctx, c)
	if err != nil {
		return err
	}
	mine := 0
	if one, ok := c.(singleServer); ok {
		mine = one.Options().DB
	}
	if !slices.Contains(all, mine) {
		all = append(all, mine)
	}
	for _, db := range all {
		client := c
		if db != mine {
			if client, err = InDatabase(c, db); err != nil {
				return err
			}
		}
		err := do(db, db == mine, client)
		if db != mine {
			_ = client.Close() // nobody needs it any more
		}
		if err != nil {
			return fmt.Errorf("database %d: %w", db, err)
		}
	}
	return nil
}
