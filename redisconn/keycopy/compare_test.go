package keycopy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
)

func TestEachKindOfDifferenceIsFound(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	src := server(t)
	from := src.Client()
	_, err := from.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 2000 {
			p.HSet(ctx, fmt.Sprint("bull:q:", i), "name", "order", "data",
				strings.Repeat("x", 70), "opts", "{}")
		}
		p.Set(ctx, "s", "v", 0)
		p.Set(ctx, "empty", "", 0)
		p.Set(ctx, "ttl", "v", time.Hour)
		p.RPush(ctx, "l", "a", "b", "c")
		p.SAdd(ctx, "set", "a", "b")
		p.SAdd(ctx, "ints", 1, 2, 3)
		p.ZAdd(ctx, "z", redis.Z{Score: 1, Member: "a"}, redis.Z{Score: 2, Member: "b"})
		for i := range 40 {
			p.HSet(ctx, "manyfields", i, i)
			p.SAdd(ctx, "manymembers", i, fmt.Sprint("m", i))
		}
		p.XAdd(ctx, &redis.XAddArgs{Stream: "x", ID: "1-1", Values: []any{"f", "v"}})
		p.XAdd(ctx, &redis.XAddArgs{Stream: "x", ID: "2-1", Values: []any{"f", "v"}})
		p.XGroupCreate(ctx, "x", "g", "0")
		p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c",
			Streams: []string{"x", ">"}, Count: 1})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	dst := server(t)
	to := dst.Client()
	if _, err := keycopy.Copy(ctx, from, to, keycopy.Options{}); err != nil {
		t.Fatal(err)
	}
	mustBeSame(t, from, to)
	keep := map[string]string{}
	for _, k := range to.Keys(ctx, "*").Val() {
		keep[k] = to.Dump(ctx, k).Val()
	}
	at := from.Do(ctx, "PEXPIRETIME", "ttl").Val().(int64)
	for rule, m := range map[string]struct {
		key, what string
		args      []any
	}{
		"a key missing": {"bull:q:77", "missing", []any{"DEL", "bull:q:77"}},
		"a key more":    {"more", "extra", []any{"SET", "more", "v"}},
		"a field changed": {"bull:q:78", "value",
			[]any{"HSET", "bull:q:78", "opts", "[]"}},
		"a field renamed": {"bull:q:78", "value", []any{"EVAL",
			"redis.call('HDEL', KEYS[1], 'opts') redis.call('HSET', KEYS[1], 'optz', '{}')", 1,
			"bull:q:78"}},
		"a field more": {"bull:q:79", "value",
			[]any{"HSET", "bull:q:79", "more", ""}},
		"two values exchanged": {"bull:q:80", "value",
			[]any{"HSET", "bull:q:80", "name", "{}", "opts", "order"}},
		"one of many fields changed": {"manyfields", "value",
			[]any{"HSET", "manyfields", 39, 38}},
		"one of many members changed": {"manymembers", "value", []any{"EVAL",
			"redis.call('SREM', KEYS[1], 'm7') redis.call('SADD', KEYS[1], 'm40')", 1,
			"manymembers"}},
		"an expiry more": {"bull:q:81", "expiry",
			[]any{"PEXPIREAT", "bull:q:81", at}},
		"an expiry less": {"ttl", "expiry", []any{"PERSIST", "ttl"}},
		"an expiry one millisecond later": {"ttl", "expiry",
			[]any{"PEXPIREAT", "ttl", at + 1}},
		"a string changed": {"s", "value", []any{"SET", "s", "w"}},
		"an empty string that is a list": {"empty", "value", []any{"EVAL",
			"redis.call('DEL', KEYS[1]) redis.call('RPUSH', KEYS[1], '')", 1, "empty"}},
		"a string that is a hash": {"s", "value", []any{"EVAL",
			"redis.call('DEL', KEYS[1]) redis.call('HSET', KEYS[1], 'v', '')", 1, "s"}},
		"a hash that is a string": {"bull:q:82", "value",
			[]any{"SET", "bull:q:82", "v"}},
		"a set that is a list": {"set", "value", []any{"EVAL",
			"redis.call('DEL', KEYS[1]) redis.call('RPUSH', KEYS[1], 'a', 'b')", 1, "set"}},
		"a list in another order":      {"l", "value", []any{"RPOPLPUSH", "l", "l"}},
		"a member more":                {"ints", "value", []any{"SADD", "ints", 4}},
		"a score changed":              {"z", "value", []any{"ZINCRBY", "z", "1e-10", "b"}},
		"an entry of a stream deleted": {"x", "value", []any{"XDEL", "x", "1-1"}},
		"a stream's last id":           {"x", "value", []any{"XSETID", "x", "9-9"}},
		"a group more": {"x", "value",
			[]any{"XGROUP", "CREATE", "x", "g2", "0"}},
		"a group at another entry": {"x", "value",
			[]any{"XGROUP", "SETID", "x", "g", "2-1"}},
		"a pending entry acknowledged": {"x", "value", []any{"XACK", "x", "g", "1-1"}},
		"a pending entry of somebody else": {"x", "value",
			[]any{"XCLAIM", "x", "g", "c2", 0, "1-1"}},
		"a consumer more": {"x", "value",
			[]any{"XGROUP", "CREATECONSUMER", "x", "g", "c3"}},
	} {
		if err := to.Do(ctx, m.args...).Err(); err != nil && !errors.Is(err, redis.Nil) {
			t.Fatalf("%s: %v", rule, err)
		}
		r, err := keycopy.Compare(ctx, from, to, keycopy.CompareOptions{})
		if err != nil || r.Same || len(r.Differences) != 1 ||
			r.Differences[0] != (differing{Key: m.key, What: m.what}) {
			t.Errorf("%s: got %+v %v", rule, r, err)
		}
		back := map[string]string{"missing": "extra", "extra": "missing"}[m.what]
		if back == "" {
			back = m.what
		}
		if r, err := keycopy.Compare(ctx, to, from, keycopy.CompareOptions{}); err != nil ||
			len(r.Differences) != 1 || r.Differences[0] != (differing{Key: m.key, What: back}) {
			t.Errorf("%s, the other way round: got %+v %v", rule, r, err)
		}
		if m.what == "extra" {
			to.Del(ctx, m.key)
			continue
		}
		ttl := int64(0)
		if m.key == "ttl" {
			ttl = at
		}
		if err := to.Do(ctx, "RESTORE", m.key, ttl, keep[m.key], "REPLACE",
			"ABSTTL").Err(); err != nil {
			t.Fatal(err)
		}
	}
	mustBeSame(t, from, to)
}

// A missing and an added key leave the number of keys unchanged.
func TestAKeyThatWasExchangedIsFoundOnBothSides(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	from.MSet(t.Context(), "a", 1, "b", 2)
	to.MSet(t.Context(), "a", 1, "c", 2)
	r, err := keycopy.Compare(t.Context(), from, to, keycopy.CompareOptions{})
	if err != nil || r.Missing != 1 || r.Extra != 1 || r.Value+r.Expiry != 0 {
		t.Errorf("got %+v %v", r, err)
	}
}

// Thousands of differences are more than are looked at twice; all are counted, the
// first hundred are listed.
func TestManyDifferencesAreAllCounted(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	const fill = "for i = 1, tonumber(ARGV[1]) do redis.call('SET', ARGV[2] .. i, i) end"
	from.Eval(t.Context(), fill, nil, 12_000, "a")
	to.Eval(t.Context(), fill, nil, 11_000, "b")
	r, err := keycopy.Compare(t.Context(), from, to, keycopy.CompareOptions{})
	if err != nil || r.Missing != 12_000 || r.Extra != 11_000 || len(r.Differences) != 100 {
		t.Errorf("got %d missing, %d extra, %d listed, %v", r.Missing, r.Extra,
			len(r.Differences), err)
	}
}

// A writer's last change reaches one side before the other.
func TestADifferenceThatIsGoneAtTheSecondLookIsNone(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	from.MSet(t.Context(), "a", 1, "b", 2)
	to.MSet(t.Context(), "a", 1, "b", 1, "c", 1)
	asked := 0
	gate := func(ctx context.Context) error {
		if asked++; asked == 3 { // after the source's keys were found and read
			return errors.Join(to.Set(ctx, "b", 2, 0).Err(), from.Set(ctx, "c", 1, 0).Err())
		}
		return nil
	}
	r, err := keycopy.Compare(t.Context(), from, to,
		keycopy.CompareOptions{Pace: keycopy.Pace{Gate: gate, Workers: 1}})
	if err != nil || !r.Same || asked < 4 {
		t.Errorf("asked %d times: %+v %v", asked, r, err)
	}
}
