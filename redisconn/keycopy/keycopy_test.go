package keycopy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

var paths = []keycopy.Path{keycopy.Stream, keycopy.Scan, keycopy.Typed}

// server starts one that sends its snapshot at once and reports a digest of its
// data, which is our second opinion.
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

// mustBeSame checks with our comparison, in both directions, and with the servers'
// own digest.
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

// dropDeletedPending acknowledges pending entries that no longer exist in the
// stream: no command can create such.
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
		if path == keycopy.Typed { // it cannot transfer what FillRandom leaves pending
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

func spoil(cmd redis.Cmder) {
	if a := cmd.Args(); strings.EqualFold(fmt.Sprint(a[0]), "restore") {
		p := slices.Clone(a[3].([]byte))
		p[len(p)-9] = 0xff
		a[3] = p
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
