package keycopy_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// Whatever keys of whatever types are changed in whatever way: these are found, each as what it
// is, from either side, and no others.
func TestTwoDatabasesDifferInExactlyTheKeysThatWereChanged(t *testing.T) {
	t.Parallel()
	rounds := uint64(60)
	if testing.Short() {
		rounds = 4
	}
	from, to := server(t).Client(), server(t).Client()
	seen := map[string]bool{}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(seed, 3))
		if err := from.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		kinds := fill(t, from, r, seed%5 == 0)
		restoreAll(t, from, to, kinds)
		mustBeSame(t, from, to)
		want := map[string]string{}
		keys := slices.Sorted(maps.Keys(kinds))
		for range r.IntN(20) {
			k := keys[r.IntN(len(keys))]
			fits := slices.DeleteFunc(slices.Clone(changes), func(c change) bool {
				return c.kind != "" && c.kind != kinds[k]
			})
			c := fits[r.IntN(len(fits))]
			if _, changed := want[k]; changed {
				continue
			}
			if err := c.do(t.Context(), to, k); err != nil {
				t.Fatalf("%s %s: %v", c.kind, c.name, err)
			}
			want[k], seen[c.kind+c.name] = c.what, true
		}
		for i := range r.IntN(3) {
			k := fmt.Sprint("more:", i)
			to.Set(t.Context(), k, "v", 0)
			want[k] = "extra"
		}
		expect(t, fmt.Sprint("round ", seed), from, to, len(keys), want)
		back := map[string]string{}
		n := len(keys)
		for k, what := range want {
			switch what {
			case "extra":
				what, n = "missing", n+1
			case "missing":
				what, n = "extra", n-1
			}
			back[k] = what
		}
		expect(t, fmt.Sprint("round ", seed, ", the other way round"), to, from, n, back)
		if t.Failed() {
			return
		}
	}
	if len(seen) < len(changes) && !testing.Short() {
		t.Errorf("%d of %d changes were tried", len(seen), len(changes))
	}
}

// expect compares, and expects n keys of the source and these differences.
func expect(
	t *testing.T, what string, from, to redis.UniversalClient, n int, want map[string]string,
) {
	t.Helper()
	report, err := keycopy.Compare(t.Context(), from, to, keycopy.CompareOptions{})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	got, counts := map[string]string{}, map[string]int64{}
	for _, d := range report.Differences {
		got[d.Key] = d.What
	}
	for _, w := range want {
		counts[w]++
	}
	if !maps.Equal(got, want) || report.Keys != int64(n) || report.Same != (len(want) == 0) ||
		report.Missing != counts["missing"] || report.Extra != counts["extra"] ||
		report.Value != counts["value"] || report.Expiry != counts["expiry"] || report.Expired != 0 {
		t.Errorf("%s:\n got %v\nwant %v\n%+v", what, got, want, report)
	}
}

// A server that only tells the time that is left tells the same expiry within a second, and not
// beyond.
func TestTimesLeftAreComparedWithinASecond(t *testing.T) {
	t.Parallel()
	const old = `rename-command PEXPIRETIME ""`
	left, absolute, other := server(t, old).Client(), server(t).Client(), server(t, old).Client()
	for _, pair := range [][2]redis.UniversalClient{{left, absolute}, {absolute, left}, {left, other}} {
		at := time.Now().Add(time.Hour)
		for key, by := range map[string]time.Duration{"same": 0, "earlier": -2 * time.Second,
			"later": 2 * time.Second, "nearly": 300 * time.Millisecond} {
			for i, c := range pair {
				value := "v"
				for _, big := range []string{"", strings.Repeat("x", big)} {
					c.Set(t.Context(), key+fmt.Sprint(len(big)), value+big, 0)
					c.PExpireAt(t.Context(), key+fmt.Sprint(len(big)), at.Add(by*time.Duration(i)))
				}
			}
		}
		pair[0].Set(t.Context(), "forever", "v", 0)
		pair[1].Set(t.Context(), "forever", "v", time.Hour)
		n := len(pair[0].Keys(t.Context(), "*").Val())
		expect(t, "times left", pair[0], pair[1], n, map[string]string{"forever": "expiry",
			"earlier0": "expiry", fmt.Sprint("earlier", big): "expiry", "later0": "expiry",
			fmt.Sprint("later", big): "expiry"})
	}
}

// limited is a client of an account that may do all but one command.
func limited(t *testing.T, s *redistest.Server, denied string) redis.UniversalClient {
	t.Helper()
	if err := s.Client().Do(t.Context(), "ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*",
		"&*", "+@all", "-"+denied).Err(); err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), Username: "limited", Password: "pw",
		DisableIdentity: true, MaxRetries: -1, Protocol: 2})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// What cannot be read is an error that says on which side, and never a difference.
func TestAComparisonThatCannotReadAKeyIsAnError(t *testing.T) {
	t.Parallel()
	a, b := server(t), server(t)
	kinds := fill(t, a.Client(), rand.New(rand.NewPCG(1, 1)), true)
	restoreAll(t, a.Client(), b.Client(), kinds)
	equal := map[string]bool{"dbsize": true}
	for side, commands := range [][]string{
		{"dbsize", "hgetall", "scan", "exists", "type", "strlen", "getrange", "llen", "lrange", "hlen",
			"hscan", "scard", "sscan", "zcard", "zscan", "xinfo", "xrange", "xpending", "get",
			"smembers", "zrange"},
		{"ping", "dbsize", "hgetall", "scan", "type", "strlen", "getrange", "llen", "lrange", "hlen", "hmget",
			"scard", "smismember", "zcard", "zmscore", "xinfo", "xrange", "xpending"},
	} {
		for _, denied := range commands {
			from, to := a.Client(), b.Client()
			if !equal[denied] { // so that the target may hold more
				from.Set(t.Context(), "number", "5", 0)
			} else {
				from.Del(t.Context(), "number")
			}
			if side == 0 {
				from = limited(t, a, denied)
			} else {
				to = limited(t, b, denied)
			}
			if r, err := keycopy.Compare(t.Context(), from, to, keycopy.CompareOptions{}); err == nil ||
				!strings.HasPrefix(err.Error(), "compare: ") ||
				!strings.Contains(err.Error(), []string{"source: ", "target: "}[side]) ||
				!strings.Contains(err.Error(), denied) {
				t.Errorf("side %d without %s: %+v, %v", side, denied, r, err)
			}
		}
	}
}

// A right that is taken away in the middle is an error too, also when everything was looked at
// once: a second look that was not made shows nothing.
func TestARightThatIsLostMeanwhileIsAnError(t *testing.T) {
	t.Parallel()
	a, b := server(t), server(t)
	a.Client().HSet(t.Context(), "k", "f", "v")
	b.Client().HSet(t.Context(), "k", "f", "w")
	_, asks, err := gated(t, a.Client(), b.Client(), func(int) error { return nil })
	if err != nil || asks < 3 {
		t.Fatalf("asked %d times: %v", asks, err)
	}
	for side := range 2 {
		for at := 1; at <= asks; at++ {
			from, to, s := a.Client(), b.Client(), a
			if side == 0 {
				from = limited(t, a, "debug")
			} else {
				to, s = limited(t, b, "debug"), b
			}
			r, _, err := gated(t, from, to, func(n int) error {
				if n != at {
					return nil
				}
				return s.Client().Do(t.Context(), "ACL", "SETUSER", "limited", "-hgetall").Err()
			})
			if err == nil || r.Same || !strings.Contains(err.Error(), "hgetall") {
				t.Errorf("side %d, at %d of %d: %+v, %v", side, at, asks, r, err)
			}
		}
	}
}

// A connection that is lost at any moment is an error, and no difference.
func TestAComparisonWithoutItsServerIsAnError(t *testing.T) {
	t.Parallel()
	a, b := server(t), server(t)
	kinds := fill(t, a.Client(), rand.New(rand.NewPCG(2, 2)), true)
	restoreAll(t, a.Client(), b.Client(), kinds)
	ended := 0
	for side, s := range []*redistest.Server{a, b} {
		both := [2]redis.UniversalClient{a.Client(), b.Client()}
		both[side] = s.Client()
		fault := &redistest.Fault{}
		both[side].AddHook(fault)
		for at := 1; ; at++ {
			fault.Arm(at, redistest.Before)
			r, err := keycopy.Compare(t.Context(), both[0], both[1],
				keycopy.CompareOptions{Pace: keycopy.Pace{Workers: 1}})
			if err != nil && !errors.Is(err, redistest.ErrCut) || err == nil && !r.Same ||
				err != nil && r.Same || len(r.Differences) > 0 {
				t.Errorf("side %d, call %d: %+v, %v", side, at, r, err)
			}
			if err != nil {
				ended++
			}
			if !fault.Hit() {
				break
			}
		}
	}
	if ended < 40 {
		t.Errorf("%d comparisons were ended", ended)
	}
}

// Without its time nobody knows when the key of a server expires that tells the time left alone.
func TestTimesLeftWithoutATimeAreAnError(t *testing.T) {
	t.Parallel()
	old, other := server(t, `rename-command PEXPIRETIME ""`), server(t)
	for _, value := range []string{"v", strings.Repeat("x", big)} {
		old.Client().Set(t.Context(), "k", value, time.Hour)
		other.Client().Set(t.Context(), "k", value, time.Hour)
		for _, pair := range [][2]redis.UniversalClient{
			{limited(t, old, "time"), other.Client()}, {other.Client(), limited(t, old, "time")},
		} {
			if r, err := keycopy.Compare(t.Context(), pair[0], pair[1],
				keycopy.CompareOptions{}); err == nil || !strings.Contains(err.Error(), "time") {
				t.Errorf("%d bytes: %+v, %v", len(value), r, err)
			}
		}
	}
}

// A field that is missing is none without a value.
func TestAMissingFieldIsNotAnEmptyOne(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	ctx := t.Context()
	for _, n := range []int{1, 2000} {
		from.FlushAll(ctx)
		to.FlushAll(ctx)
		for i := range n {
			for _, c := range []redis.UniversalClient{from, to} {
				c.HSet(ctx, "k", fmt.Sprint("field", i), strings.Repeat("v", 1000))
			}
		}
		from.HSet(ctx, "k", "a", "")
		to.HSet(ctx, "k", "b", "")
		expect(t, fmt.Sprint(n, " fields"), from, to, 1, map[string]string{"k": "value"})
		to.HDel(ctx, "k", "b")
		to.HSet(ctx, "k", "a", "")
		mustBeSame(t, from, to)
	}
}

// A value may just fit into what is read at once, and its expiry not any more.
func TestAValueThatFillsAReadIsCompared(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	const most = 1 << 20
	for left := range 40 {
		value := strings.Repeat("x", most-left)
		for _, other := range []string{value, "x", value[1:] + "y"} {
			from.Set(t.Context(), "k", value, 0)
			to.Set(t.Context(), "k", other, 0)
			want := map[string]string{"k": "value"}
			if other == value {
				want = nil
			}
			expect(t, fmt.Sprint("without ", left), from, to, 1, want)
			expect(t, fmt.Sprint("the other way round, without ", left), to, from, 1, want)
		}
	}
}

// The target is searched for keys of its own, unless there can be none.
func TestTheTargetIsSearchedWhereItMayHoldMore(t *testing.T) {
	t.Parallel()
	src, dst, master := server(t), server(t), server(t)
	from, to := src.Client(), dst.Client()
	for _, tc := range []struct {
		rule     string
		prepare  func()
		searched bool
	}{
		{"both hold the same", func() {}, false},
		{"the target holds one more", func() { to.Set(t.Context(), "c", "v", 0) }, true},
		{"the source holds one more", func() { from.Set(t.Context(), "c", "v", 0) }, true},
		{"one is exchanged", func() { to.Rename(t.Context(), "b", "c") }, true},
		{"one differs", func() { to.Set(t.Context(), "b", "w", 0) }, true},
		{"the source may be a replica", func() {
			from = limited(t, src, "info")
		}, true},
		{"the source is a replica", func() {
			master.Client().MSet(t.Context(), "a", "v", "b", "v")
			from = src.Client()
			from.Do(t.Context(), "REPLICAOF", master.Host, master.Port)
			redistest.Eventually(t, time.Minute, func() error {
				if n := from.DBSize(t.Context()).Val(); n != 2 || !strings.Contains(
					from.Info(t.Context(), "replication").Val(), "master_link_status:up") {
					return fmt.Errorf("%d keys", n)
				}
				return nil
			})
		}, true},
	} {
		from.FlushAll(t.Context())
		to.FlushAll(t.Context())
		from.MSet(t.Context(), "a", "v", "b", "v")
		to.MSet(t.Context(), "a", "v", "b", "v")
		tc.prepare()
		to.ConfigResetStat(t.Context())
		if _, err := keycopy.Compare(t.Context(), from, to, keycopy.CompareOptions{}); err != nil {
			t.Fatalf("%s: %v", tc.rule, err)
		}
		stats := to.Info(t.Context(), "commandstats").Val()
		if got := strings.Contains(stats, "cmdstat_scan:"); got != tc.searched {
			t.Errorf("%s: it was searched: %v", tc.rule, got)
		}
	}
}

// Every change of a large value, and of a stream, is found, from either side: these are compared
// in parts.
func TestEveryChangeOfALargeValueIsFound(t *testing.T) {
	t.Parallel()
	from, to := server(t).Client(), server(t).Client()
	ctx := t.Context()
	all := fill(t, from, rand.New(rand.NewPCG(5, 5)), true)
	keys := map[string]string{} // by type: the large one, or a stream
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if kind := all[k]; kind == "stream" || from.MemoryUsage(ctx, k).Val() > 1_000_000 {
			keys[kind] = k
		}
	}
	dumps := map[string]string{}
	for _, k := range keys {
		dumps[k] = from.Dump(ctx, k).Val()
	}
	if len(keys) != 6 {
		t.Fatalf("%v", keys)
	}
	for _, kind := range slices.Sorted(maps.Keys(keys)) {
		k := keys[kind]
		from.FlushAll(ctx)
		to.FlushAll(ctx)
		restore := func(c redis.UniversalClient) {
			if err := c.Do(ctx, "RESTORE", k, 0, dumps[k], "REPLACE").Err(); err != nil {
				t.Fatal(err)
			}
		}
		restore(from)
		restore(to)
		for _, c := range append(slices.Clone(changes), change{"the first byte", "string", "value",
			lua(`redis.call('SETRANGE', KEYS[1], 0, '#')`)},
			change{"the first one", "list", "value", lua(`redis.call('LSET', KEYS[1], 0, 'other')`)},
			change{"a long one", "hash", "value", lua(`redis.call('HSET', KEYS[1],
				redis.call('HRANDFIELD', KEYS[1]), string.rep('v', 3000))`)}) {
			if c.kind != "" && c.kind != kind {
				continue
			}
			if err := c.do(ctx, to, k); err != nil {
				t.Fatalf("%s %s: %v", c.kind, c.name, err)
			}
			n, back := 1, c.what
			if c.what == "missing" {
				n, back = 0, "extra"
			}
			what := fmt.Sprintf("%s: %s", kind, c.name)
			expect(t, what, from, to, 1, map[string]string{k: c.what})
			expect(t, what+", the other way round", to, from, n, map[string]string{k: back})
			restore(to)
		}
		mustBeSame(t, from, to)
	}
}
