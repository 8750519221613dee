package keycopy_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// a change of one key of the target, by the type that the key has; what it is found as.
type change struct {
	name, kind, what string // kind "": of any type
	do               func(ctx context.Context, c redis.UniversalClient, key string) error
}

// big is larger than what is read in one pipeline.
const big = 1<<20 + 100_000

func lua(script string) func(context.Context, redis.UniversalClient, string) error {
	return func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.Eval(ctx, script+" return 1", []string{key}).Err()
	}
}

var changes = []change{
	{"deleted", "", "missing", lua(`redis.call('DEL', KEYS[1])`)},
	{"expires a millisecond later", "", "expiry", lua(`
		local at = redis.call('PEXPIRETIME', KEYS[1])
		if at < 0 then at = 4102444800000 end
		redis.call('PEXPIREAT', KEYS[1], at + 1)`)},
	{"another type", "", "value", lua(`
		local kind = redis.call('TYPE', KEYS[1]).ok
		redis.call('DEL', KEYS[1])
		if kind == 'hash' then redis.call('SET', KEYS[1], 'v')
		else redis.call('HSET', KEYS[1], 'f', 'v') end`)},
	{"appended to", "string", "value", lua(`redis.call('APPEND', KEYS[1], 'x')`)},
	{"the last byte", "string", "value", lua(`redis.call('SETRANGE', KEYS[1],
		redis.call('STRLEN', KEYS[1]) - 1, '#')`)},
	{"rotated", "list", "value", lua(`
		if redis.call('LLEN', KEYS[1]) == 1 then redis.call('LSET', KEYS[1], 0, 'o') end
		redis.call('LMOVE', KEYS[1], KEYS[1], 'LEFT', 'RIGHT')`)},
	{"one more", "list", "value", lua(`redis.call('RPUSH', KEYS[1], 'more')`)},
	{"the last one", "list", "value", lua(`redis.call('LSET', KEYS[1], -1, 'other')`)},
	{"one more", "set", "value", lua(`redis.call('SADD', KEYS[1], 'more')`)},
	{"another", "set", "value", lua(`redis.call('SPOP', KEYS[1]) redis.call('SADD', KEYS[1],
		'other')`)},
	{"a field more", "hash", "value", lua(`redis.call('HSET', KEYS[1], 'more', '')`)},
	{"a value", "hash", "value", lua(`redis.call('HSET', KEYS[1],
		redis.call('HRANDFIELD', KEYS[1]), 'other')`)},
	{"a field's name", "hash", "value", lua(`
		local f = redis.call('HRANDFIELD', KEYS[1])
		local v = redis.call('HGET', KEYS[1], f)
		redis.call('HDEL', KEYS[1], f) redis.call('HSET', KEYS[1], 'other', v)`)},
	{"one more", "zset", "value", lua(`redis.call('ZADD', KEYS[1], 1, 'more')`)},
	{"a score", "zset", "value", lua(`redis.call('ZINCRBY', KEYS[1], '1e-9',
		redis.call('ZRANDMEMBER', KEYS[1]))`)},
	{"another", "zset", "value", lua(`
		local m = redis.call('ZRANDMEMBER', KEYS[1])
		local s = redis.call('ZSCORE', KEYS[1], m)
		redis.call('ZREM', KEYS[1], m) redis.call('ZADD', KEYS[1], s, 'other')`)},
	{"an entry less", "stream", "value", lua(`redis.call('XDEL', KEYS[1], '2-1')`)},
	{"an entry more", "stream", "value", lua(`redis.call('XADD', KEYS[1], '9-9', 'f', 'v')`)},
	{"another entry, of the same counters", "stream", "value", lua(`
		local g = redis.call('DUMP', KEYS[1])
		redis.call('DEL', KEYS[1])
		redis.call('XADD', KEYS[1], '1-1', 'f', '1') redis.call('XADD', KEYS[1], '2-1', 'f', 'other')
		redis.call('XADD', KEYS[1], '3-1', 'f', '3')
		redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0') redis.call('XGROUP', 'CREATE', KEYS[1], 'h', '0')
		redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', '2', 'STREAMS', KEYS[1], '>')
		redis.call('XREADGROUP', 'GROUP', 'h', 'd', 'COUNT', '1', 'STREAMS', KEYS[1], '>')`)},
	{"the last id", "stream", "value", lua(`redis.call('XSETID', KEYS[1], '9-9')`)},
	{"a group's name", "stream", "value", lua(`redis.call('XGROUP', 'DESTROY', KEYS[1], 'h')
		redis.call('XGROUP', 'CREATE', KEYS[1], 'i', '0')`)},
	{"a group's place", "stream", "value", lua(`redis.call('XGROUP', 'SETID', KEYS[1], 'g', '3-1')`)},
	{"how much a group has read", "stream", "value", lua(`redis.call('XGROUP', 'SETID', KEYS[1], 'h',
		'1-1', 'ENTRIESREAD', '2')`)},
	{"a consumer more", "stream", "value", lua(`redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'g',
		'e')`)},
	{"a pending entry less", "stream", "value", lua(`redis.call('XACK', KEYS[1], 'h', '1-1')`)},
	{"how often a pending entry was delivered, in the first group", "stream", "value",
		lua(`redis.call('XCLAIM', KEYS[1], 'g', 'c', '0', '2-1', 'RETRYCOUNT', '7')`)},
	{"how often a pending entry was delivered, in the last group", "stream", "value",
		lua(`redis.call('XCLAIM', KEYS[1], 'h', 'd', '0', '1-1', 'RETRYCOUNT', '7')`)},
	{"a pending entry's owner", "stream", "value", lua(`
		redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'g', 'd')
		redis.call('XCLAIM', KEYS[1], 'g', 'd', '0', '1-1', 'JUSTID')
		redis.call('XCLAIM', KEYS[1], 'g', 'c', '0', '1-1', 'RETRYCOUNT', '7')`)},
}

// fill puts keys of every type on a server: small ones, and with large some that take more
// than one read. It returns their types.
func fill(t *testing.T, c redis.UniversalClient, r *rand.Rand, large bool) map[string]string {
	t.Helper()
	ctx, kinds := t.Context(), map[string]string{}
	p := c.Pipeline()
	key := func(kind string) string {
		k := fmt.Sprintf("%s:%d", []string{"bull:q", "x", kind}[r.IntN(3)], len(kinds))
		if r.IntN(3) == 0 {
			k += ":" + kind
		}
		kinds[k] = kind
		return k
	}
	text := func() string { return strings.Repeat(fmt.Sprint(r.IntN(10)), 1+r.IntN(30)) }
	sizes := []int{1, 2, 5, 16, 17, 40}
	for range 50 {
		n := sizes[r.IntN(len(sizes))]
		switch kind := []string{"string", "list", "set", "zset", "hash", "stream"}[r.IntN(6)]; kind {
		case "string":
			p.Set(ctx, key(kind), text(), 0)
		case "stream":
			k := key(kind)
			for i := range 3 {
				p.XAdd(ctx, &redis.XAddArgs{Stream: k, ID: fmt.Sprint(i+1, "-1"),
					Values: []string{"f", fmt.Sprint(i + 1)}})
			}
			p.XGroupCreate(ctx, k, "g", "0")
			p.XGroupCreate(ctx, k, "h", "0")
			p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c", Count: 2,
				Streams: []string{k, ">"}})
			p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "h", Consumer: "d", Count: 1,
				Streams: []string{k, ">"}})
		default:
			k := key(kind)
			for i := range n {
				put(ctx, p, kind, k, fmt.Sprint("m", i), text(), float64(i)/3)
			}
		}
	}
	if large {
		var long strings.Builder // at no two places the same
		for i := 0; long.Len() < 2*big; i++ {
			fmt.Fprint(&long, i, " ")
		}
		p.Set(ctx, key("string"), long.String(), 0)
		for _, kind := range []string{"list", "set", "zset", "hash"} {
			k := key(kind)
			for i := range 1100 {
				name := fmt.Sprint(i, strings.Repeat("y", 1000))
				put(ctx, p, kind, k, name, "v", float64(i))
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		if r.IntN(3) == 0 {
			p.PExpireAt(ctx, k, time.UnixMilli(4_102_444_800_000))
		}
	}
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	return kinds
}

func put(ctx context.Context, p redis.Pipeliner, kind, key, name, value string, score float64) {
	switch kind {
	case "list":
		p.RPush(ctx, key, name)
	case "set":
		p.SAdd(ctx, key, name)
	case "zset":
		p.ZAdd(ctx, key, redis.Z{Score: score, Member: name})
	case "hash":
		p.HSet(ctx, key, name, value)
	}
}

// restoreAll makes dst's keys what src's are, by the servers' own payloads.
func restoreAll(t *testing.T, src, dst redis.UniversalClient, keys map[string]string) {
	t.Helper()
	ctx := t.Context()
	if err := dst.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	p := dst.Pipeline()
	for k := range keys {
		at := src.Do(ctx, "PEXPIRETIME", k).Val().(int64)
		p.Do(ctx, "RESTORE", k, max(at, 0), src.Dump(ctx, k).Val(), "ABSTTL")
	}
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
}
