package keycopy_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-dev/switchyard/redisconn/keycopy"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// The benchmarks read these, so that `make bench` needs nothing but this module:
//
//	SWITCHYARD_BENCH_KEYS       how many keys, default 1,000,000
//	SWITCHYARD_BENCH_REDISSHAKE a redis-shake binary: its scan mode is measured in
//	                            the same run
//	SWITCHYARD_BENCH_FULLCHECK  a redis-full-check binary: its full mode is measured
//	                            in the same run
const (
	envKeys      = "SWITCHYARD_BENCH_KEYS"
	envShake     = "SWITCHYARD_BENCH_REDISSHAKE"
	envFullCheck = "SWITCHYARD_BENCH_FULLCHECK"
)

// estate is two servers; the source holds hashes like BullMQ's jobs: 7 fields,
// about 200 B, one in twenty with an expiry.
type estate struct {
	src, dst *redistest.Server
	from, to redis.UniversalClient
	keys     int64
}

func newEstate(b *testing.B) *estate {
	b.Helper()
	e := &estate{src: server(b), dst: server(b), keys: 1_000_000}
	if v := os.Getenv(envKeys); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 1000 {
			b.Fatalf("%s is %q, expected a number from 1000 on", envKeys, v)
		}
		e.keys = n
	}
	e.from, e.to = e.src.Client(), e.dst.Client()
	const fill = `for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local k = 'bull:orders:' .. i
  redis.call('HSET', k, 'name', 'order', 'data', '{"n":' .. i .. ',"provider":"stripe","event":"payment_intent.succeeded","amount":4900,"currency":"eur","id":"' .. i .. '"}',
    'opts', '{"attempts":3}', 'timestamp', '1795500000000', 'delay', '0', 'priority', '0', 'atm', '1')
  if i % 20 == 0 then redis.call('PEXPIRE', k, 86400000) end
end return 1`
	for at := int64(1); at <= e.keys; at += 1000 {
		if err := e.from.Eval(b.Context(), fill, nil, at,
			min(at+999, e.keys)).Err(); err != nil {
			b.Fatal(err)
		}
	}
	return e
}

// row measures one way: keys/s, the ratio to the reference, CPU seconds of the
// source and its snapshot process, our own peak memory.
func (e *estate) row(b *testing.B, reference float64, do func()) (keysPerSecond float64) {
	b.Helper()
	debug.FreeOSMemory()
	// resets the peak; Linux only
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	main0, child0 := cpu(b, e.from)
	began := time.Now()
	do()
	took := time.Since(began).Seconds()
	main1, child1 := cpu(b, e.from)
	keysPerSecond = float64(e.keys) / took
	b.ReportMetric(keysPerSecond, "keys/s")
	if reference > 0 {
		b.ReportMetric(keysPerSecond/reference, "of-reference")
	}
	b.ReportMetric(main1-main0, "source-cpu-s")
	b.ReportMetric(child1-child0, "snapshot-cpu-s")
	b.ReportMetric(float64(peak())/(1<<20), "RSS-MB")
	return keysPerSecond
}

// cpu returns the CPU seconds that a server and its children used.
func cpu(b *testing.B, c redis.UniversalClient) (own, children float64) {
	b.Helper()
	for line := range strings.Lines(c.Info(b.Context(), "cpu").Val()) {
		name, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		f, _ := strconv.ParseFloat(v, 64)
		switch name {
		case "used_cpu_sys", "used_cpu_user":
			own += f
		case "used_cpu_sys_children", "used_cpu_user_children":
			children += f
		}
	}
	return own, children
}

// peak returns this process's peak resident memory in bytes; 0 where the system
// does not report it.
func peak() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10
}

// In BenchmarkCopy, reference is what plain go-redis achieves with SCAN, DUMP with
// PEXPIRETIME, and RESTORE, overlapped, with the same number of connections and
// keys per pipeline.
func BenchmarkCopy(b *testing.B) {
	e := newEstate(b)
	flush := func(b *testing.B) {
		b.StopTimer()
		redistest.Empty(b, e.to)
		b.StartTimer()
	}
	// paired runs the reference right before a row, so that both see the same
	// conditions.
	paired := func(b *testing.B) float64 {
		flush(b)
		b.StopTimer()
		began := time.Now()
		e.bare(b)
		reference := float64(e.keys) / time.Since(began).Seconds()
		flush(b)
		return reference
	}
	b.Run("reference", func(b *testing.B) {
		for b.Loop() {
			flush(b)
			e.row(b, 0, func() { e.bare(b) })
		}
	})
	for _, path := range []keycopy.Path{keycopy.Scan, keycopy.Stream, keycopy.Typed} {
		b.Run(string(path), func(b *testing.B) {
			for b.Loop() {
				reference := paired(b)
				e.row(b, reference, func() {
					r, err := keycopy.Copy(b.Context(), e.from, e.to,
						keycopy.Options{Path: path})
					if err != nil || r.Path != path ||
						e.to.DBSize(b.Context()).Val() != e.keys {
						b.Fatalf("%+v %v", r, err)
					}
				})
			}
		})
	}
	if shake := os.Getenv(envShake); shake != "" {
		b.Run("redis-shake", func(b *testing.B) {
			for b.Loop() {
				reference := paired(b)
				e.row(b, reference, func() { e.shake(b, shake) })
			}
		})
	}
}

// BenchmarkCompare compares two servers that hold the same.
func BenchmarkCompare(b *testing.B) {
	e := newEstate(b)
	if _, err := keycopy.Copy(b.Context(), e.from, e.to, keycopy.Options{}); err != nil {
		b.Fatal(err)
	}
	reference := 0.0
	if check := os.Getenv(envFullCheck); check != "" {
		b.Run("redis-full-check", func(b *testing.B) {
			for b.Loop() {
				reference = e.row(b, 0, func() { e.fullCheck(b, check) })
			}
		})
	}
	b.Run("switchyard", func(b *testing.B) {
		for b.Loop() {
			e.row(b, reference, func() {
				if r, err := keycopy.Compare(b.Context(), e.from, e.to,
					keycopy.CompareOptions{}); err != nil || !r.Same || r.Keys != e.keys {
					b.Fatalf("%+v %v", r, err)
				}
			})
		}
	})
}

// bare copies without asking, counting, or looking at what it copies.
func (e *estate) bare(b *testing.B) {
	const batch, workers = 500, 4
	open := func(addr string) *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2, MaxRetries: -1,
			DisableIdentity: true, PoolSize: 2 * workers})
		b.Cleanup(func() { _ = c.Close() })
		return c
	}
	src, dst := open(e.src.Addr()), open(e.dst.Addr())
	type dumped struct {
		keys []string
		dump []*redis.StringCmd
		at   []*redis.DurationCmd
	}
	g, ctx := errgroup.WithContext(b.Context())
	names, read := make(chan []string, 2*workers), make(chan dumped, workers)
	g.Go(func() error {
		defer close(names)
		for cursor := uint64(0); ; {
			keys, next, err := src.Scan(ctx, cursor, "", batch).Result()
			if err != nil {
				return err
			}
			names <- keys
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
	readers, rctx := errgroup.WithContext(ctx)
	for range workers {
		readers.Go(func() error {
			for keys := range names {
				d := dumped{keys, make([]*redis.StringCmd, len(keys)),
					make([]*redis.DurationCmd, len(keys))}
				_, err := src.Pipelined(rctx, func(p redis.Pipeliner) error {
					for i, k := range keys {
						d.dump[i], d.at[i] = p.Dump(rctx, k), p.PExpireTime(rctx, k)
					}
					return nil
				})
				if err != nil {
					return err
				}
				read <- d
			}
			return nil
		})
	}
	g.Go(func() error { defer close(read); return readers.Wait() })
	for range workers {
		g.Go(func() error {
			for d := range read {
				_, err := dst.Pipelined(ctx, func(p redis.Pipeliner) error {
					for i, k := range d.keys {
						p.Do(ctx, "restore", k, max(d.at[i].Val().Milliseconds(), 0),
							d.dump[i].Val(), "replace", "absttl")
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	if n := e.to.DBSize(b.Context()).Val(); n != e.keys {
		b.Fatalf("the reference copied %d of %d keys", n, e.keys)
	}
}

// shake runs RedisShake in scan mode with 1000 keys per SCAN, the fastest setting
// here.
func (e *estate) shake(b *testing.B, program string) {
	dir := b.TempDir()
	config := fmt.Sprintf("[scan_reader]\naddress = %q\ncount = 1000\nscan = true\nksn = "+
		"false\n[redis_writer]\naddress = %q\n[advanced]\nlog_level = \"warn\"\ndir = %q\n",
		e.src.Addr(), e.dst.Addr(), dir)
	file := filepath.Join(dir, "shake.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	e.other(b, program, file)
	if n := e.to.DBSize(b.Context()).Val(); n != e.keys {
		b.Fatalf("%s copied %d of %d keys", program, n, e.keys)
	}
}

// fullCheck runs redis-full-check once, in the mode that compares values.
func (e *estate) fullCheck(b *testing.B, program string) {
	e.other(b, program, "-s", e.src.Addr(), "-t", e.dst.Addr(), "-m", "1", "--comparetimes=1",
		"--qps=5000000")
}

func (e *estate) other(b *testing.B, program string, args ...string) {
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = b.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", program, err, out[max(0, len(out)-2000):])
	}
}

// BenchmarkLarge measures our memory: values of 1 and 6 MB among small ones, and
// some that travel in chunks, about 1 GB in all.
func BenchmarkLarge(b *testing.B) {
	e := &estate{src: server(b, "rdbcompression no"), dst: server(b)}
	e.from, e.to = e.src.Client(), e.dst.Client()
	ctx := b.Context()
	// Filled by the servers, so that the values never pass through this process.
	const fill = `local function value(n) return string.rep(tostring(math.random()), math.floor(n / 16)) end
local mb = 1048576
for i = 1, 100 do redis.call('SET', 'small' .. ARGV[1] .. i, i) end
for i = 1, 5 do redis.call('SET', '1mb' .. ARGV[1] .. i, value(mb)) end
redis.call('SET', '6mb' .. ARGV[1], value(6 * mb))
for i = 1, 60 do redis.call('RPUSH', 'list' .. ARGV[1] % 4, value(mb / 60)) redis.call('HSET', 'hash' .. ARGV[1] % 4, ARGV[1] .. ':' .. i, value(mb / 60)) end
redis.call('APPEND', 'string', value(mb))
return 1`
	for i := range 80 {
		if err := e.from.Eval(ctx, fill, nil, i).Err(); err != nil {
			b.Fatal(err)
		}
	}
	e.keys = e.from.DBSize(ctx).Val()
	for _, path := range []keycopy.Path{keycopy.Scan, keycopy.Stream, keycopy.Typed} {
		b.Run(string(path), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				redistest.Empty(b, e.to)
				b.StartTimer()
				e.row(b, 0, func() {
					r, err := keycopy.Copy(ctx, e.from, e.to, keycopy.Options{Path: path})
					if err != nil || r.Large < 9 {
						b.Fatalf("%+v %v", r, err)
					}
					b.ReportMetric(float64(r.Bytes)/(1<<20), "MB")
				})
			}
		})
	}
	b.Run("compare", func(b *testing.B) {
		for b.Loop() {
			e.row(b, 0, func() {
				if r, err := keycopy.Compare(ctx, e.from, e.to,
					keycopy.CompareOptions{}); err != nil || !r.Same {
					b.Fatalf("%+v %v", r, err)
				}
			})
		}
	})
}
