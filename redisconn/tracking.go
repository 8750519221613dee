package redisconn

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/push"

	"github.com/switchyard-dev/switchyard/migration"
)

// trackingEvery is how often what the server pushed is read, so that it does not
// pile up in the server's memory.
const trackingEvery = 50 * time.Millisecond

// Tracking reports which keys of a server changed, using the server's own
// invalidation messages (CLIENT TRACKING ON BCAST, Redis 6): every write, expiry
// and eviction of a key with one of the prefixes, including those made by scripts.
// It needs no setting on the server and only costs it memory for messages not read
// yet.
type Tracking struct {
	client *redis.Client
	conn   *redis.Conn
	id     int64
	stop   context.CancelFunc
	ended  chan struct{}

	reading sync.Mutex // one reader of conn at a time
	mu      sync.Mutex
	changed map[string]struct{}
	err     error // messages are missing: from then on nothing reported is complete
}

// Track starts following the keys with any of the prefixes. Changed reports every
// change the server makes after Track has returned. It fails on a server that does
// not know CLIENT TRACKING, or denies it.
func Track(
	ctx context.Context, c redis.UniversalClient, prefixes ...string,
) (*Tracking, error) {
	has, ok := c.(interface{ Options() *redis.Options })
	if !ok {
		return nil, fmt.Errorf("track keys: a %T has no single server", c)
	}
	o := *has.Options()
	o.Protocol, o.PoolSize, o.MinIdleConns, o.PushNotificationProcessor = 3, 1, 0,
		redis.NewPushNotificationProcessor()
	client := redis.NewClient(&o)
	t := &Tracking{
		client:  client,
		conn:    client.Conn(),
		ended:   make(chan struct{}),
		changed: map[string]struct{}{},
	}
	if err := t.begin(ctx, prefixes); err != nil {
		_ = t.conn.Close()
		_ = client.Close()
		return nil, fmt.Errorf("track keys: %w", Explain(err))
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stop = stop
	go t.follow(background)
	return t, nil
}

func (t *Tracking) begin(ctx context.Context, prefixes []string) error {
	if err := t.conn.RegisterPushNotificationHandler("invalidate", t, false); err != nil {
		return err
	}
	args := []any{"CLIENT", "TRACKING", "ON", "BCAST"}
	for _, p := range prefixes {
		args = append(args, "PREFIX", p)
	}
	if err := t.conn.Do(ctx, args...).Err(); err != nil {
		return err
	}
	var err error
	t.id, err = t.conn.ClientID(ctx).Result()
	return err
}

// HandlePushNotification implements push.NotificationHandler: ["invalidate",
// [key...]], or nil for keys when everything was flushed.
func (t *Tracking) HandlePushNotification(
	_ context.Context, _ push.NotificationHandlerContext, message []any,
) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys, ok := []any(nil), false
	if len(message) == 2 {
		keys, ok = message[1].([]any)
	}
	if !ok {
		t.err = migration.Errorf(migration.Conflict,
			"the server was emptied while its keys were followed")
		return nil
	}
	for _, k := range keys {
		if key, ok := k.(string); ok {
			t.changed[key] = struct{}{}
		}
	}
	return nil
}

func (t *Tracking) follow(ctx context.Context) {
	defer close(t.ended)
	tick := time.NewTicker(trackingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.read(ctx)
		}
	}
}

// read receives what the server has pushed before it answers: messages about a
// write leave the server before any later reply does.
func (t *Tracking) read(ctx context.Context) {
	t.reading.Lock()
	defer t.reading.Unlock()
	id, err := t.conn.ClientID(ctx).Result()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil || ctx.Err() != nil:
	case err != nil:
		t.err = migration.Errorf(migration.Unavailable,
			"the connection that follows the keys was lost: %w", Explain(err))
	case id != t.id:
		t.err = migration.Errorf(migration.Unavailable,
			"the connection that follows the keys was replaced")
	}
}

// Changed returns the keys that changed since the last call, including every write
// acknowledged to anybody before this call. An error means that changes may have
// been missed, permanently: start a new Tracking and look at every key.
func (t *Tracking) Changed(ctx context.Context) ([]string, error) {
	t.read(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if t.err != nil {
		return nil, t.err
	}
	keys := make([]string, 0, len(t.changed))
	for k := range t.changed {
		keys = append(keys, k)
	}
	clear(t.changed)
	return keys, nil
}

// Close closes the connection.
func (t *Tracking) Close() {
	t.stop()
	<-t.ended
	_ = t.conn.Close()
	_ = t.client.Close()
}
