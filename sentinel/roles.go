package sentinel

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
)

func both(ctx context.Context, a, b redis.UniversalClient) (ra, rb replication, err error) {
	if ra, err = replicationOf(ctx, a); err == nil {
		rb, err = replicationOf(ctx, b)
	}
	return ra, rb, err
}

// setMasterAuth changes the user with which c authenticates to its master; both
// settings, since the previous user may not exist there.
func setMasterAuth(
	ctx context.Context, c redis.UniversalClient, as redisconn.Credentials,
) error {
	if err := c.ConfigSet(ctx, "masteruser", as.User).Err(); err != nil {
		return fmt.Errorf("masteruser: %w", redisconn.Explain(err))
	}
	if err := c.ConfigSet(ctx, "masterauth", as.Password.Reveal()).Err(); err != nil {
		return fmt.Errorf("masterauth: %w", redisconn.Explain(err))
	}
	return rewrite(ctx, c)
}

func replicaOf(ctx context.Context, c redis.UniversalClient, host, port string) error {
	if err := c.Do(ctx, "REPLICAOF", host, port).Err(); err != nil {
		return fmt.Errorf("REPLICAOF: %w", redisconn.Explain(err))
	}
	return rewrite(ctx, c)
}

// rewrite makes settings survive a restart. A server without a configuration file
// cannot; its operator runs it that way.
func rewrite(ctx context.Context, c redis.UniversalClient) error {
	err := c.ConfigRewrite(ctx).Err()
	if err != nil && !strings.Contains(err.Error(), "without a config file") {
		return fmt.Errorf("CONFIG REWRITE: %w", redisconn.Explain(err))
	}
	return nil
}

// olderThan compares "major.minor" of two versions; the snapshot format changes
// with those.
func olderThan(a, b string) bool {
	var a1, a2, b1, b2 int
	_, errA := fmt.Sscanf(a, "%d.%d", &a1, &a2)
	_, errB := fmt.Sscanf(b, "%d.%d", &b1, &b2)
	if errA != nil || errB != nil {
		// an unparsable version is no reason to refuse; the servers themselves will
		return false
	}
	return a1 < b1 || a1 == b1 && a2 < b2
}

// detached returns a context for what must be done even after the caller gave up.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
}

// sameTransport refuses a swap between a server that replicates over TLS only and
// one without TLS: after the roles have changed the old server has to follow the
// new one, which it could not.
func sameTransport(ctx context.Context, newMaster, source redis.UniversalClient) error {
	n, err := redisconn.Config(ctx, newMaster, "tls-replication")
	if err != nil {
		return redisconn.Explain(err)
	}
	s, err := redisconn.Config(ctx, source, "tls-port")
	if err != nil {
		return redisconn.Explain(err)
	}
	if n["tls-replication"] == "yes" && (s["tls-port"] == "" || s["tls-port"] == "0") {
		return migration.Errorf(migration.Blocked, "the new master replicates over TLS "+
			"(tls-replication yes) and the source has no TLS (tls-port 0): expected the same "+
			"on both; give the source a TLS port, or build the deployment without TLS on a "+
			"private network (plain_text: true)")
	}
	return nil
}
