package keycopy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

var paths = []keycopy.Path{keycopy.Stream, keycopy.Scan, keycopy.Typed}

// server starts one that sends its snapshot at once and tells a digest of what it
// holds, which is our second opinion.
func server(t testing.TB, config ...string) *redistest.Server {
	t.Helper()
	return redistest.Start(t, redistest.Config(append([]string{"repl-diskless-sync-delay 0",
		"enable-debug-command yes"}, config...)...))
}

func digest(t testing.TB, c redis.UniversalClient) string {
	t.Helper()
	d, err := c.Do(t.Context(), "DEBUG", "DIGEST").Text()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mustBeSame checks by our comparison, in both directions, and by the servers' own
// digest.
func mustBeSame(t testing.TB, src, dst redis.UniversalClient) {
	t.Helper()
	for _, c := range [][2]redis.UniversalClient{{src, dst}, {dst, src}} {
		r, err := keycopy.Compare(t.Context(), c[0], c[1], keycopy.CompareOptions{})
		if err != nil || !r.Same || r.Keys != src.DBSize(t.Context()).Val() {
			t.Fatalf("%d keys: %+v %v", src.DBSize(t.Context()).Val(), r, err)
		}
	}
	if a, b := digest(t, src), digest(t, dst); a != b {
		t.Fatalf("DEBUG DIGEST says %s and %s", a, b)
	}
}

func TestEveryPathMakesAnEqualCopyOfEveryType(t *testing.T) {
	t.Parallel()
	for _, config := range [][]string{nil,
		{"hash-max-listpack-entries 0", "zset-max-listpack-entries 0",
			"set-max-intset-entries 0", "list-max-listpack-size 3", "rdbcompression no",
			"repl-diskless-sync no"}} {
		src := server(t, config...)
		from := src.Client()
		for _, path := range paths {
			t.Run(fmt.Sprint(path, " ", len(config)), func(t *testing.T) {
				for seed := range uint64(3) {
					to := server(t).Client()
					from.FlushAll(t.Context())
					redistest.FillRandom(t, from, 100+seed, 700)
					if path == keycopy.Typed {
						dropDeletedPending(t, from)
					}
					r, err := keycopy.Copy(t.Context(), from, to, keycopy.Options{Path: path})
					if err != nil || r.Path != path || r.Keys != 700 ||
						(path == keycopy.Typed) != (r.Typed > 0) {
						t.Fatalf("%+v %v", r, err)
					}
					mustBeSame(t, from, to)
				}
			})
		}
	}
}

// dropDeletedPending acknowledges pending entries that the stream does not have any
// more: no command makes such.
func dropDeletedPending(t *testing.T, c redis.UniversalClient) {
	t.Helper()
	ctx := t.Context()
	for _, k := range c.Keys(ctx, "*").Val() {
		if c.Type(ctx, k).Val() != "stream" {
			continue
		}
		for _, g := range c.XInfoGroups(ctx, k).Val() {
			for _, p := range c.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: k,
				Group: g.Name, Start: "-", End: "+", Count: 10_000}).Val() {
				if len(c.XRange(ctx, k, p.ID, p.ID).Val()) == 0 {
					c.XAck(ctx, k, g.Name, p.ID)
				}
			}
		}
	}
}

func TestValuesTooLargeForOneRequestTravelInChunks(t *testing.T) {
	t.Parallel()
	src := server(t)
	from := src.Client()
	ctx := t.Context()
	r := rand.New(rand.NewPCG(1, 1))
	block := make([]byte, 3<<20)
	for i := range block {
		block[i] = byte(r.Uint32())
	}
	for i := range 4 {
		from.Append(ctx, "string", string(block))
		from.RPush(ctx, "list", string(block), i, "small")
		from.HSet(ctx, "hash", i, string(block))
		from.SAdd(ctx, "set", fmt.Sprint(i)+string(block))
		from.ZAdd(ctx, "zset",
			redis.Z{Score: float64(i), Member: fmt.Sprint(i) + string(block)})
		from.XAdd(ctx, &redis.XAddArgs{Stream: "stream", Values: []any{"f", string(block)}})
		from.Set(ctx, fmt.Sprint("middle", i), string(block), 0)
	}
	for i := range 30_000 {
		from.ZAdd(ctx, "zset", redis.Z{Score: r.NormFloat64(), Member: i})
	}
	from.PExpireAt(ctx, "hash", time.Now().Add(time.Hour))
	redistest.FillRandom(t, from, 5, 200)
	for _, path := range paths {
		to := server(t).Client()
		rep, err := keycopy.Copy(ctx, from, to, keycopy.Options{Path: path})
		if err != nil || rep.Large < 6 {
			t.Fatalf("%s: %+v %v", path, rep, err)
		}
		if path == keycopy.Typed { // it has no way for what FillRandom leaves pending
			noStream := func(x differing) bool {
				return from.Type(ctx, x.Key).Val() != "stream"
			}
			if d, err := keycopy.Compare(ctx, from, to, keycopy.CompareOptions{}); err != nil ||
				d.Missing+d.Extra+d.Expiry != 0 ||
				slices.ContainsFunc(d.Differences, noStream) {
				t.Fatalf("%s: %+v %v", path, d, err)
			}
		} else {
			mustBeSame(t, from, to)
		}
		// A difference in the last chunk of each is found.
		to.SetRange(ctx, "string", 4*int64(len(block))-1, "\x00")
		to.LSet(ctx, "list", -1, "other")
		to.HSet(ctx, "hash", 3, strings.Repeat("x", len(block)))
		to.SRem(ctx, "set", "3"+string(block))
		to.SAdd(ctx, "set", "another")
		to.ZIncrBy(ctx, "zset", 1e-9, "29999")
		to.XDel(ctx, "stream", to.XRevRangeN(ctx, "stream", "+", "-", 1).Val()[0].ID)
		d, err := keycopy.Compare(ctx, from, to, keycopy.CompareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"string", "list", "hash", "set", "zset", "stream"} {
			if !slices.Contains(d.Differences, differing{Key: k, What: "value"}) {
				t.Errorf("%s: %s is changed and was not found: %+v", path, k, d)
			}
		}
		to.ConfigSet(ctx, "maxmemory", "1") // let it go
		_ = to.Close()
	}
}

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
		if err := to.Do(ctx, m.args...).Err(); err != nil && err != redis.Nil {
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

// A missing and an added key leave the number of keys as it was.
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

// Each call on either server is cut off, before the server saw it, after it has done
// it, or in the middle of a pipeline; run again, the target is the same.
func TestACopyThatWasCutOffIsRunAgain(t *testing.T) {
	t.Parallel()
	for _, path := range []keycopy.Path{keycopy.Scan, keycopy.Typed, keycopy.Stream} {
		t.Run(string(path), func(t *testing.T) {
			t.Parallel()
			src := server(t)
			from := src.Client()
			redistest.FillRandom(t, from, 9, 120)
			dropDeletedPending(t, from)
			dst := server(t)
			to := dst.Client()
			kills := 0
			for side, s := range map[string]*redistest.Server{"source": src, "target": dst} {
				mine := map[string]redis.UniversalClient{"source": from, "target": to}
				mine[side] = s.Client()
				fault := &redistest.Fault{}
				mine[side].AddHook(fault)
				for _, when := range []redistest.When{redistest.Before, redistest.After,
					redistest.Half} {
					for at := 1; ; at += 2 {
						to.FlushAll(t.Context())
						o := keycopy.Options{Path: path, Pace: keycopy.Pace{Workers: 1}}
						fault.Arm(at, when)
						_, err := keycopy.Copy(t.Context(), mine["source"], mine["target"], o)
						hit := fault.Hit()
						if err != nil && !errors.Is(err, redistest.ErrCut) {
							t.Fatalf("%s, call %d, %v: %v", side, at, when, err)
						}
						if err != nil {
							o.Overwrite = true
							if _, err := keycopy.Copy(t.Context(), mine["source"],
								mine["target"], o); err != nil {
								t.Fatalf("%s, call %d, %v: again: %v", side, at, when, err)
							}
						}
						if !hit {
							break
						}
						kills++
						if a, b := digest(t, from), digest(t, to); a != b {
							mustBeSame(t, from, to)
						}
					}
				}
			}
			mustBeSame(t, from, to)
			t.Logf("%d kills", kills)
		})
	}
}

func TestAStreamThatIsCutOffGoesOnByScan(t *testing.T) {
	t.Parallel()
	src := server(t)
	from := src.Client()
	redistest.FillRandom(t, from, 11, 500)
	dst := server(t)
	to := dst.Client()
	p := newProxy(t, src.Addr())
	cuts := 0
	for at := int64(1); ; at = at*2 + 7 {
		to.FlushAll(t.Context())
		c := redis.NewClient(&redis.Options{Addr: p.addr, Protocol: 2, MaxRetries: -1,
			DisableIdentity: true, ContextTimeoutEnabled: true})
		cut := p.arm("PSYNC", at)
		r, err := keycopy.Copy(t.Context(), c, to, keycopy.Options{})
		_ = c.Close()
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", at, err)
		}
		mustBeSame(t, from, to)
		if !cut() {
			if r.Path != keycopy.Stream {
				t.Errorf("not cut, and yet %+v", r)
			}
			break
		}
		if cuts++; r.Path != keycopy.Scan || !strings.Contains(r.Why, "stream") {
			t.Errorf("cut after %d bytes: %+v", at, r)
		}
	}
	if cuts < 5 {
		t.Errorf("%d cuts only", cuts)
	}
}

func TestWithoutPSYNCOnTheSourceTheCopyScans(t *testing.T) {
	t.Parallel()
	from, to := server(t, `rename-command PSYNC ""`).Client(), server(t).Client()
	redistest.FillRandom(t, from, 12, 100)
	r, err := keycopy.Copy(t.Context(), from, to, keycopy.Options{})
	if err != nil || r.Path != keycopy.Scan || !strings.Contains(r.Why, "PSYNC") {
		t.Fatalf("got %+v %v", r, err)
	}
	mustBeSame(t, from, to)
	to.FlushAll(t.Context())
	if r, err := keycopy.Copy(t.Context(), from, to,
		keycopy.Options{Path: keycopy.Stream}); err == nil {
		t.Errorf("a stream was asked for: got %+v", r)
	}
}

// otherVersion makes payloads of a version that no server takes.
type otherVersion struct{}

func (otherVersion) DialHook(next redis.DialHook) redis.DialHook { return next }

func (otherVersion) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		spoil(cmd)
		return next(ctx, cmd)
	}
}

func (otherVersion) ProcessPipelineHook(
	next redis.ProcessPipelineHook,
) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, c := range cmds {
			spoil(c)
		}
		return next(ctx, cmds)
	}
}

func spoil(cmd redis.Cmder) {
	if a := cmd.Args(); strings.EqualFold(fmt.Sprint(a[0]), "restore") {
		p := slices.Clone(a[3].([]byte))
		p[len(p)-9] = 0xff
		a[3] = p
	}
}

func TestATargetThatRefusesPayloadsGetsValuesByType(t *testing.T) {
	t.Parallel()
	from := server(t).Client()
	redistest.FillRandom(t, from, 13, 300)
	dropDeletedPending(t, from)
	denied := server(t)
	denied.Client().Do(t.Context(), "ACL", "SETUSER", "default", "-restore")
	spoiled := server(t).Client()
	spoiled.AddHook(otherVersion{})
	for rule, to := range map[string]redis.UniversalClient{"no such command": server(t,
		`rename-command RESTORE ""`).Client(), "not allowed": denied.Client(),
		"another version": spoiled} {
		for _, path := range []keycopy.Path{keycopy.Auto, keycopy.Scan} {
			to.FlushAll(t.Context())
			r, err := keycopy.Copy(t.Context(), from, to, keycopy.Options{Path: path})
			if err != nil || r.Path != keycopy.Typed || r.Typed != r.Keys {
				t.Fatalf("%s, %s: %+v %v", rule, path, r, err)
			}
			mustBeSame(t, from, to)
		}
	}
}

func TestServersWithoutAbsoluteExpiryAreCopiedAndCompared(t *testing.T) {
	t.Parallel()
	const old = `rename-command PEXPIRETIME ""`
	src, dst := server(t, old), server(t)
	from, to := src.Client(), dst.Client()
	redistest.FillRandom(t, from, 14, 300)
	dropDeletedPending(t, from)
	for _, path := range paths {
		to.FlushAll(t.Context())
		if _, err := keycopy.Copy(t.Context(), from, to,
			keycopy.Options{Path: path}); err != nil {
			t.Fatal(err)
		}
		mustBeSame(t, from, to)
	}
	var k string
	for _, k = range to.Keys(t.Context(), "*").Val() {
		if to.PTTL(t.Context(), k).Val() > 0 {
			break
		}
	}
	to.PExpireAt(t.Context(), k, time.Now().Add(time.Minute))
	if r, err := keycopy.Compare(t.Context(), from, to, keycopy.CompareOptions{}); err != nil ||
		r.Expiry != 1 {
		t.Errorf("got %+v %v", r, err)
	}
}

func TestOnlyTheURLsDatabaseIsCopied(t *testing.T) {
	t.Parallel()
	src := server(t)
	src.Client().Set(t.Context(), "k0", "v", 0)
	three := redis.NewClient(&redis.Options{Addr: src.Addr(), DB: 3, Protocol: 2,
		MaxRetries: -1, DisableIdentity: true})
	defer func() { _ = three.Close() }()
	three.Set(t.Context(), "k3", "v", 0)
	for _, path := range paths {
		to := server(t).Client()
		r, err := keycopy.Copy(t.Context(), three, to, keycopy.Options{Path: path})
		if err != nil || !slices.Equal(r.OtherDatabases, []int{0}) ||
			!slices.Equal(to.Keys(t.Context(), "*").Val(), []string{"k3"}) {
			t.Errorf("%s: %+v %v", path, r, err)
		}
	}
}

func TestEveryReasonAgainstACopyIsGivenAtOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	from := server(t).Client()
	from.Set(ctx, "big", strings.Repeat("x", 8<<20), 0)
	dst := server(t, "maxmemory 4mb", "maxmemory-policy allkeys-lru")
	to := dst.Client()
	to.Set(ctx, "k", "v", 0)
	p, err := keycopy.Check(ctx, from, to, keycopy.Options{Path: "teleport"})
	if err != nil || len(p.Refusals) != 4 {
		t.Fatalf("got %q %v", p.Refusals, err)
	}
	all := strings.Join(p.Refusals, "\n")
	for _, want := range []string{"holds 1 keys", "allkeys-lru", "4.0 MB", `"teleport"`} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in %s", want, all)
		}
	}
	if _, err := keycopy.Copy(ctx, from, to,
		keycopy.Options{}); migration.KindOf(err) != migration.Blocked ||
		to.Get(ctx, "k").Val() != "v" || to.DBSize(ctx).Val() != 1 {
		t.Errorf("got %v", err)
	}
	if p, err := keycopy.Check(ctx, from, from, keycopy.Options{Overwrite: true}); err != nil ||
		len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0], "same server") {
		t.Errorf("same server: got %q %v", p.Refusals, err)
	}
	to.ConfigSet(ctx, "maxmemory", "0")
	to.ConfigSet(ctx, "maxmemory-policy", "noeviction")
	if p, err := keycopy.Check(ctx, from, to, keycopy.Options{Overwrite: true}); err != nil ||
		len(p.Refusals) != 0 {
		t.Errorf("nothing is wrong any more: got %q %v", p.Refusals, err)
	}
	if p, err := keycopy.Check(ctx, from, to, keycopy.Options{Overwrite: true,
		TargetMemory: 1 << 20}); err != nil || len(p.Refusals) != 1 {
		t.Errorf("a plan of 1 MB: got %q %v", p.Refusals, err)
	}
}

func TestAReplicaIsNoTarget(t *testing.T) {
	t.Parallel()
	from, master, replica := server(t), server(t), server(t)
	to := replica.Client()
	if err := to.Do(t.Context(), "REPLICAOF", master.Host, master.Port).Err(); err != nil {
		t.Fatal(err)
	}
	if p, err := keycopy.Check(t.Context(), from.Client(), to, keycopy.Options{}); err != nil ||
		len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0], "replica of "+master.Host) {
		t.Errorf("got %q %v", p.Refusals, err)
	}
}

func TestATargetThatBecomesFullIsSaidToBeFull(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	for i := range 100 {
		from.Set(t.Context(), fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), 30_000), 0)
	}
	limit := func(context.Context) error {
		return to.ConfigSet(t.Context(), "maxmemory", "3mb").Err()
	}
	for _, path := range paths {
		to.ConfigSet(t.Context(), "maxmemory", "0")
		to.FlushAll(t.Context())
		_, err := keycopy.Copy(t.Context(), from, to,
			keycopy.Options{Path: path, Pace: keycopy.Pace{Gate: limit}})
		if path == keycopy.Stream && err == nil {
			continue // all was sent before the gate was asked again
		}
		if migration.KindOf(err) != migration.Blocked ||
			!strings.Contains(err.Error(), "full") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTheGatePausesAndEndsACopy(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	redistest.FillRandom(t, from, 15, 2000)
	enough := errors.New("enough")
	for _, path := range paths {
		to.FlushAll(t.Context())
		var asked atomic.Int64
		waiting, goOn := make(chan struct{}, 100), make(chan struct{})
		gate := func(ctx context.Context) error {
			switch n := asked.Add(1); {
			case n == 2:
				waiting <- struct{}{}
				select {
				case <-goOn:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			case n > 3:
				return enough
			}
			return nil
		}
		ended := make(chan error)
		go func() {
			_, err := keycopy.Copy(t.Context(), from, to,
				keycopy.Options{Path: path, Pace: keycopy.Pace{Gate: gate, Workers: 1}})
			ended <- err
		}()
		<-waiting
		select {
		case err := <-ended:
			t.Fatalf("%s: ended while it was held: %v", path, err)
		default:
		}
		close(goOn)
		if err := <-ended; !errors.Is(err, enough) {
			t.Errorf("%s: %v", path, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := keycopy.Copy(ctx, from, to, keycopy.Options{Path: path, Overwrite: true,
			Pace: keycopy.Pace{Gate: func(context.Context) error {
				cancel(enough)
				return nil
			}}})
		if !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", path, err)
		}
	}
	r, err := keycopy.Compare(t.Context(), from, to,
		keycopy.CompareOptions{Pace: keycopy.Pace{Gate: func(context.Context) error {
			return enough
		}}})
	if !errors.Is(err, enough) || r.Same {
		t.Errorf("compare: %+v %v", r, err)
	}
}

func TestARateIsKeptAndForetold(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	const keys, rate = 600, 1000
	from.Eval(t.Context(), "for i = 1, 600 do redis.call('SET', i, i) end", nil)
	for _, path := range paths {
		to.FlushAll(t.Context())
		before := commands(t, to)
		began := time.Now()
		r, err := keycopy.Copy(t.Context(), from, to, keycopy.Options{Path: path,
			Pace: keycopy.Pace{TargetRate: rate, SourceRate: 4 * rate}})
		if err != nil {
			t.Fatal(err)
		}
		took, sent := time.Since(began).Seconds(), commands(t, to)-before
		if least := float64(r.TargetCommands-rate/20) / rate; took < least {
			t.Errorf("%s: %d commands in %.3f s, expected at least %.3f s", path,
				r.TargetCommands, took, least)
		}
		if n := r.TargetCommands; sent < n || sent > n+20 { // and those of the check before
			t.Errorf("%s: counted %d commands, the target got %d", path, n, sent)
		}
		want := float64(keys) / rate
		if path == keycopy.Typed { // DEL and SET
			want *= 2
		}
		if r.ETASeconds != want {
			t.Errorf("%s: foretold %.3f s, want %.3f s", path, r.ETASeconds, want)
		}
	}
}

// commands is how many a server was sent.
func commands(t *testing.T, c redis.UniversalClient) int64 {
	t.Helper()
	var n int64
	for line := range strings.Lines(c.Info(t.Context(), "stats").Val()) {
		if v, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
			_, _ = fmt.Sscan(v, &n)
		}
	}
	return n
}

func TestProgressEndsWithEverything(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	redistest.FillRandom(t, from, 16, 300)
	for _, path := range paths {
		to.FlushAll(t.Context())
		var last keycopy.Progress
		r, err := keycopy.Copy(t.Context(), from, to,
			keycopy.Options{Path: path, Progress: func(p keycopy.Progress) {
				last = p
			}})
		if err != nil || last.Keys != 300 || last.Total != 300 || last.Bytes != r.Bytes ||
			r.Bytes == 0 || last.ETASeconds != 0 {
			t.Errorf("%s: %+v %+v %v", path, last, r, err)
		}
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

func TestWhatRealBullMQLeavesIsCopied(t *testing.T) {
	t.Parallel()
	src := server(t)
	from := src.Client()
	for _, major := range []bullmqtest.Major{5, 6} {
		major.Populate(t, src, fmt.Sprint("orders", int(major)))
	}
	for _, path := range paths {
		to := server(t).Client()
		if r, err := keycopy.Copy(t.Context(), from, to,
			keycopy.Options{Path: path}); err != nil || r.Keys < 100 {
			t.Fatalf("%s: %+v %v", path, r, err)
		}
		mustBeSame(t, from, to)
	}
}

// slowPings answers PING late, as a source does that has other things to do.
type slowPings struct{ redistest.Fault }

// ProcessHook implements redis.Hook.
func (*slowPings) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.EqualFold(cmd.Name(), "ping") {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return next(ctx, cmd)
	}
}

func TestASlowSourceIsLeftTimeToAnswerOthers(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	redistest.FillRandom(t, from, 17, 100)
	from.AddHook(&slowPings{})
	heldBack := make(chan struct{})
	told := sync.OnceFunc(func() { close(heldBack) })
	o := keycopy.Options{Path: keycopy.Scan, Pace: keycopy.Pace{MaxLatency: 5 *
		time.Millisecond, Gate: func(ctx context.Context) error {
		select {
		case <-heldBack:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}}
	o.Progress = func(p keycopy.Progress) {
		if p.BackingOffMS > 0 && p.LatencyMS > 5 {
			told()
		}
	}
	if _, err := keycopy.Copy(t.Context(), from, to, o); err != nil {
		t.Fatal(err)
	}
	mustBeSame(t, from, to)
}
