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

// SetConfig sets one setting in the running server and writes it to its configuration file, then
// reads it back. The value is given as CONFIG GET gives it, or reading back finds a difference. It
// returns the value that was in force before. persisted is false, without an error, when the server
// has no configuration file or may not write it: the value then lasts until the server restarts.
// Setting the value that it already has is harmless. Where CONFIG is denied (managed services) the
// error is of kind Blocked: the provider's console or API sets it there.
func SetConfig(
	ctx context.Context,
	c redis.UniversalClient,
	name, value string,
) (previous string, persisted bool, err error) {
	before, err := Config(ctx, c, name)
	if err != nil {
		return "", false, fmt.Errorf("set %s: %w", name, err)
	}
	previous = before[name]
	if err := c.ConfigSet(ctx, name, value).Err(); err != nil {
		if isDenied(err) {
			err = migration.Errorf(migration.Blocked, "the server does not let this user change "+
				"its settings (CONFIG SET): %w", err)
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
		return previous, persisted, fmt.Errorf("set %s to %q: the server still says %q", name, value, after[name])
	}
	return previous, persisted, nil
}

const minReplicas = "min-replicas-to-write"

// fenceBase is added to min-replicas-to-write by Fence. No deployment has that many
// replicas, so every write is refused, and the setting of before can be read from the
// fenced value: Fence can run again after a crash without losing it.
const fenceBase = 1000

// Fence refuses every write to this node from the next command on: it asks for more
// replicas than any deployment has (min-replicas-to-write), so writes get NOREPLICAS,
// from scripts too, on open connections as well as new ones, while reads work and no data
// is touched. The setting is written to the configuration file when there is one; without
// one a restart lifts the fence. It gives the setting of before, for Unfence; on a node
// that is already fenced, the setting from before that. It stops clients, not a replica's
// own replication stream.
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

// Unfence undoes Fence. previous is what Fence gave; when it is empty it is read from the
// fenced value. A node that is not fenced and has no previous setting given is left
// alone.
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

// Fenced reports whether Fence holds on this node.
func Fenced(ctx context.Context, c redis.UniversalClient) (bool, error) {
	n, err := minReplicasOf(ctx, c)
	return n >= fenceBase, err
}

// WriteNeeds is what a server needs to accept a write.
type WriteNeeds struct {
	Role      string // master or slave
	Required  int    // min-replicas-to-write
	Connected int    // replicas
}

// Fenced reports whether it is Fence's.
func (n WriteNeeds) Fenced() bool { return n.Required >= fenceBase }

// WritesNeed reads them. Blocked: this user may not read the server's settings.
func WritesNeed(ctx context.Context, c redis.UniversalClient) (WriteNeeds, error) {
	required, err := minReplicasOf(ctx, c)
	if err != nil {
		return WriteNeeds{}, Explain(err)
	}
	text, err := c.Info(ctx, "replication").Result()
	if err != nil {
		return WriteNeeds{}, Explain(err)
	}
	info := ParseInfo(text)
	connected, err := strconv.Atoi(info["connected_slaves"])
	if err != nil {
		return WriteNeeds{}, errors.New("INFO does not tell how many replicas are connected")
	}
	return WriteNeeds{info["role"], required, connected}, nil
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
