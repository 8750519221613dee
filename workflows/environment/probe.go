package environment

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

const (
	// tryAgain is how long the commands that were tried count; until then a look measures
	// the latency only. The database is billed or bounded by command, and it does not
	// forget commands by the minute.
	tryAgain   = 10 * time.Minute
	tryPings   = 20
	watchPings = 3
	// tryRequest and watchRequest are the sizes of the large request, in bytes, that is
	// tried when the step runs and when it is tried again later.
	tryRequest   = 1 << 20
	watchRequest = 64 << 10
	// maxTryRequest bounds it where the census has seen larger payloads.
	maxTryRequest = 8 << 20
	// waitFor is how long the blocking pop is made to wait for nothing.
	waitFor = 100 * time.Millisecond
)

// Probe tries on the target what BullMQ needs there.
type Probe struct {
	servers *Servers
	now     func() time.Time

	mu    sync.Mutex
	tried map[string]evidence.TargetConnFacts // the last whole try, by address
}

// Again is for the monitor: it tries the commands every tryAgain, and measures the latency
// in between.
func (p *Probe) Again(ctx context.Context) (evidence.TargetConnFacts, error) {
	client, endpoint, err := p.servers.Target(ctx)
	if err != nil {
		return evidence.TargetConnFacts{}, err
	}
	p.mu.Lock()
	facts, known := p.tried[endpoint.Address()]
	p.mu.Unlock()
	if !known || len(facts.Refused)+len(facts.SameAs) > 0 || p.now().Sub(*facts.TriedAt) > tryAgain {
		return p.Try(ctx, 0)
	}
	err = pings(ctx, client, watchPings, &facts)
	return facts, err
}

// Try tries on the target what BullMQ 6.7 does there: its scripts are sent once and called
// by their hash, use cjson and cmsgpack and build keys dynamically; workers wait in
// BZPOPMIN for what other connections add; events are a stream. DUMP and RESTORE are not
// needed by the job-wise move. It also sends a request of twice the largest payload (0: a
// small one), and measures the latency from here. Its keys are its own, and expire.
func (p *Probe) Try(ctx context.Context, largest int64) (evidence.TargetConnFacts, error) {
	client, endpoint, err := p.servers.Target(ctx)
	if err != nil {
		return evidence.TargetConnFacts{}, err
	}
	// go-redis verifies the certificate unless told otherwise, and it is never told otherwise here.
	facts := evidence.TargetConnFacts{Address: endpoint.Address(), TLSVerified: endpoint.TLS()}
	count := watchPings
	if largest > 0 {
		count = tryPings
	}
	if err := pings(ctx, client, count, &facts); err != nil {
		return facts, err
	}
	t := trial{client: client, key: "switchyard:probe:" + rand.Text(), facts: &facts}
	defer client.Del(context.WithoutCancel(ctx), t.keys()...)
	size := int64(watchRequest)
	if largest > 0 {
		size = min(max(tryRequest, 2*largest), maxTryRequest)
	}
	for _, try := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"HSET", t.command("hset", t.key, "data", "{}")},
		{"HGETALL", t.command("hgetall", t.key)},
		{"LPUSH", t.command("lpush", t.sub("list"), "1")},
		{"LPOS", t.command("lpos", t.sub("list"), "1")},
		{"ZADD", t.command("zadd", t.sub("zset"), "0", "0")},
		{"XADD", t.command("xadd", t.sub("stream"), "maxlen", "~", "10", "*", "event", "probe")},
		{"XREAD", t.command("xread", "count", "1", "streams", t.sub("stream"), "0")},
		{"XREAD BLOCK", t.command("xread", "block", "20", "streams", t.sub("stream"), "$")},
		{"XTRIM", t.command("xtrim", t.sub("stream"), "maxlen", "~", "10")},
		{"SADD", t.command("sadd", t.sub("set"), "1")},
		{"expiry", t.expire},
		{"MULTI", t.transaction},
		{"EVAL with cjson, cmsgpack and built keys", t.command("eval", probeScript, "0", t.key)},
		{"SCRIPT LOAD and EVALSHA", t.script},
		{"NOSCRIPT of an unknown script", t.noScript},
		{"BZPOPMIN that waits in vain", t.waitInVain},
		{"BZPOPMIN that another connection wakes", t.wake},
		{"a request of " + migration.Bytes(size),
			func(ctx context.Context) error { return t.large(ctx, size) }},
		{"INFO", t.command("info", "server")},
		{"CLIENT LIST", t.command("client", "list")},
		{"CLIENT SETNAME", t.command("client", "setname", redisconn.Self())},
		{"SCAN", t.command("scan", "0", "count", "10")},
	} {
		if err := try.do(ctx); err != nil {
			if ctx.Err() != nil {
				return facts, ctx.Err()
			}
			// the connection, not the command: nothing is known
			if _, isReply := errors.AsType[redis.Error](err); !isReply &&
				!errors.Is(err, errNotAsNeeded) {
				return facts, fmt.Errorf("%s on %s: %w", try.name, endpoint.Address(), err)
			}
			facts.Refused = append(facts.Refused, try.name)
			continue
		}
		facts.Answered = append(facts.Answered, try.name)
	}
	// who is not asked here was asked when the database became the target; see Managed.Apart
	if same, _, err := p.servers.SameAs(ctx, client); err == nil {
		facts.SameAs = same
	}
	now := p.now().UTC()
	facts.TriedAt = &now
	p.mu.Lock()
	if p.tried == nil {
		p.tried = map[string]evidence.TargetConnFacts{}
	}
	p.tried[endpoint.Address()] = facts
	p.mu.Unlock()
	return facts, nil
}

// pings measures the round trip.
func pings(
	ctx context.Context,
	c redis.UniversalClient,
	n int,
	facts *evidence.TargetConnFacts,
) error {
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		if err := c.Ping(ctx).Err(); err != nil {
			return fmt.Errorf("%s: %w", facts.Address, err)
		}
		took[i] = time.Since(start)
	}
	if n > watchPings { // the first one may have opened the connection
		took = took[1:]
	}
	slices.Sort(took)
	facts.Pings = n
	facts.LatencyUS, facts.LatencyP99 = took[len(took)/2].Microseconds(), took[(len(took)*99-1)/100].Microseconds()
	return nil
}

// errNotAsNeeded is an answer that came, and is not what BullMQ needs.
var errNotAsNeeded = errors.New("not as BullMQ needs it")

const probeScript = `local v = cmsgpack.unpack(cmsgpack.pack(cjson.decode('{"a":1}')))
redis.call('SET', ARGV[1] .. ':lua', v.a, 'PX', 60000); return redis.call('GET', ARGV[1] .. ':lua')`

// trial tries commands on keys of its own.
type trial struct {
	client redis.UniversalClient
	key    string
	facts  *evidence.TargetConnFacts
}

func (t trial) sub(part string) string { return t.key + ":" + part }

func (t trial) keys() []string {
	keys := []string{t.key}
	for _, part := range []string{"list", "zset", "stream", "set", "lua", "tx", "wait", "large"} {
		keys = append(keys, t.sub(part))
	}
	return keys
}

func (t trial) command(args ...any) func(context.Context) error {
	return func(ctx context.Context) error { return orNil(t.client.Do(ctx, args...).Err()) }
}

// orNil takes an empty answer for an answer.
func orNil(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

func (t trial) expire(ctx context.Context) error {
	p := t.client.Pipeline()
	for _, k := range t.keys() {
		p.PExpire(ctx, k, time.Minute)
	}
	_, err := p.Exec(ctx)
	return err
}

func (t trial) transaction(ctx context.Context) error {
	var n *redis.IntCmd
	_, err := t.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, t.sub("tx"), 1, time.Minute)
		n = p.Incr(ctx, t.sub("tx"))
		return nil
	})
	if err == nil && n.Val() != 2 {
		return errNotAsNeeded
	}
	return err
}

func (t trial) script(ctx context.Context) error {
	sha, err := t.client.ScriptLoad(ctx, probeScript).Result()
	if err != nil {
		return err
	}
	got, err := t.client.EvalSha(ctx, sha, nil, t.key).Text()
	if err == nil && got != "1" {
		return errNotAsNeeded
	}
	return err
}

// noScript: ioredis sends a script whole when the server answers NOSCRIPT, and fails on
// anything else.
func (t trial) noScript(ctx context.Context) error {
	err := t.client.EvalSha(ctx, strings.Repeat("0", 40), nil).Err()
	if _, isReply := errors.AsType[redis.Error](err); err == nil ||
		isReply && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		return errNotAsNeeded
	}
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		return nil
	}
	return err
}

// waitInVain: a worker without jobs must wait on the server, not ask again and again.
func (t trial) waitInVain(ctx context.Context) error {
	start := time.Now()
	err := t.client.Do(ctx, "bzpopmin", t.sub("wait"), waitFor.Seconds()).Err()
	if errors.Is(err, redis.Nil) && time.Since(start) < waitFor/2 {
		return errNotAsNeeded
	}
	return orNil(err)
}

// wake has one connection wait and another one add.
func (t trial) wake(ctx context.Context) error {
	got := make(chan error, 1)
	go func() { got <- t.client.BZPopMin(ctx, 5*time.Second, t.sub("wait")).Err() }()
	if err := t.awaitWaiting(ctx); err != nil {
		return err
	}
	start := time.Now()
	if err := t.client.ZAdd(ctx, t.sub("wait"), redis.Z{Member: "0"}).Err(); err != nil {
		return err
	}
	err := <-got
	t.facts.WakeUS = time.Since(start).Microseconds()
	if errors.Is(err, redis.Nil) {
		return errNotAsNeeded
	}
	return err
}

// awaitWaiting looks for the waiting connection for a while. A server that does not show it
// is taken at its word: that BZPOPMIN waits was tried before.
func (t trial) awaitWaiting(ctx context.Context) error {
	const looks, between = 20, 10 * time.Millisecond
	for range looks {
		list, err := t.client.ClientList(ctx).Result()
		if err != nil {
			return nil // CLIENT LIST is tried by itself
		}
		for line := range strings.Lines(list) {
			if strings.Contains(line, " cmd=bzpopmin") && strings.Contains(line, " flags=b") {
				return nil
			}
		}
		select {
		case <-time.After(between):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// large sends a request of about that many bytes.
func (t trial) large(ctx context.Context, size int64) error {
	if err := t.client.Set(ctx, t.sub("large"), strings.Repeat("x", int(size)), time.Minute).Err(); err != nil {
		return err
	}
	n, err := t.client.StrLen(ctx, t.sub("large")).Result()
	if err != nil {
		return err
	}
	if n != size {
		return errNotAsNeeded
	}
	t.facts.RequestBytes = size
	return nil
}
