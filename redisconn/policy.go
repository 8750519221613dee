package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
)

// SetPolicy sets maxmemory-policy on the running server and writes it to its
// configuration file, then reads it back. It returns the previous policy. persisted
// is false, without an error, if the server has no configuration file or may not
// write it: the policy then lasts until the server restarts. Setting the current
// policy again is harmless. If CONFIG is denied (managed services) the error is of
// kind Blocked: it has to be set in the service's console or API.
func SetPolicy(
	ctx context.Context, c redis.UniversalClient, policy string,
) (previous string, persisted bool, err error) {
	return SetConfig(ctx, c, "maxmemory-policy", policy)
}

// SetConfig sets one setting as SetPolicy does. The value has to be written as
// CONFIG GET returns it, or reading back finds a difference.
func SetConfig(
	ctx context.Context, c redis.UniversalClient, name, value string,
) (previous string, persisted bool, err error) {
	before, err := Config(ctx, c, name)
	if err != nil {
		return "", false, fmt.Errorf("set %s: %w", name, err)
	}
	previous = before[name]
	if err := c.ConfigSet(ctx, name, value).Err(); err != nil {
		if isDenied(err) {
			err = migration.Errorf(migration.Blocked,
				"this user may not change the server's settings (CONFIG SET): %w", err)
		}
		return previous, false, fmt.Errorf("set %s to %q: %w", name, value, err)
	}
	err = c.ConfigRewrite(ctx).Err()
	if err != nil && !isReply(err) {
		return previous, false, fmt.Errorf("set %s to %q: CONFIG REWRITE: %w", name, value, err)
	}
	persisted = err == nil
	after, err := Config(ctx, c, name)
	if err != nil {
		return previous, persisted, fmt.Errorf("set %s to %q: read back: %w", name, value, err)
	}
	if after[name] != value {
		return previous, persisted,
			fmt.Errorf("set %s to %q: the server still says %q", name, value, after[name])
	}
	return previous, persisted, nil
}

const minReplicas = "min-replicas-to-write"

// fenceBase is added to min-replicas-to-write by Fence. No deployment has that many
// replicas, so every write is refused, and the previous setting can be computed
// from the fenced value: Fence can run again after a crash without losing it.
const fenceBase = 1000

// Fence refuses every write to this node from the next command on: it requires more
// replicas than any deployment has (min-replicas-to-write), so writes fail with
// NOREPLICAS, including those from scripts, on open as well as new connections,
// while reads work and no data is touched. The setting is written to the
// configuration file if there is one; otherwise a restart lifts the fence. It
// returns the previous setting, for Unfence; on a node that is fenced already, the
// one from before that. It stops clients, not a replica's own replication stream.
func Fence(ctx context.Context, c redis.UniversalClient) (previous string, err error) {
	n, err := minReplicasOf(ctx, c)
	if err != nil {
		return "", fmt.Errorf("fence: %w", err)
	}
	if n >= fenceBase {
		return strconv.Itoa(n - fenceBase), nil
	}
	if _, _, err := SetConfig(ctx, c, minReplicas, strconv.Itoa(n+fenceBase)); err != nil {
		return "", fmt.Errorf("fence: %w", err)
	}
	return strconv.Itoa(n), nil
}

// Unfence undoes Fence. previous is what Fence returned; if empty it is computed
// from the fenced value. A node that is not fenced is left alone unless previous is
// given.
func Unfence(ctx context.Context, c redis.UniversalClient, previous string) error {
	if previous == "" {
		n, err := minReplicasOf(ctx, c)
		if err != nil {
			return fmt.Errorf("unfence: %w", err)
		}
		if n < fenceBase {
			return nil
		}
		previous = strconv.Itoa(n - fenceBase)
	}
	if _, _, err := SetConfig(ctx, c, minReplicas, previous); err != nil {
		return fmt.Errorf("unfence: %w", err)
	}
	return nil
}

// Fenced reports whether this node is fenced.
func Fenced(ctx context.Context, c redis.UniversalClient) (bool, error) {
	n, err := minReplicasOf(ctx, c)
	return n >= fenceBase, err
}

func minReplicasOf(ctx context.Context, c redis.UniversalClient) (int, error) {
	got, err := Config(ctx, c, minReplicas)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(got[minReplicas]))
	if err != nil {
		return 0, errors.New("the server does not report " + minReplicas)
	}
	return n, nil
}
