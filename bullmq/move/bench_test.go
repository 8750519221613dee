package move_test

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// BenchmarkMove moves a queue under a producer: 100,000 jobs of 1 KB, 1,000,000 of
// 100 B, or BENCH_JOBS jobs of BENCH_PAYLOAD bytes (64). freeze-ms is how long no
// job could run, RSS-MB the process's peak memory during a move.
func BenchmarkMove(b *testing.B) {
	sizes := []struct{ jobs, payload int }{{100_000, 960}, {1_000_000, 64}}
	if n, err := strconv.Atoi(os.Getenv("BENCH_JOBS")); err == nil {
		sizes = sizes[:1]
		sizes[0].jobs, sizes[0].payload = n, 64
		if n, err := strconv.Atoi(os.Getenv("BENCH_PAYLOAD")); err == nil {
			sizes[0].payload = n
		}
	}
	for _, size := range sizes {
		for _, path := range []string{move.PathRestore, move.PathTyped} {
			b.Run(fmt.Sprintf("jobs=%d/%s", size.jobs, path), func(b *testing.B) {
				benchmarkMove(b, size.jobs, size.payload, path)
			})
		}
	}
}

func benchmarkMove(b *testing.B, jobs, payload int, path string) {
	var opts []redistest.Option
	if path == move.PathTyped {
		opts = append(opts, redistest.Config(`rename-command RESTORE ""`))
	}
	src, dst := redistest.Start(b), redistest.Start(b, opts...)
	from, to := src.Client(), dst.Client()
	q := bullmq.Queue{Name: "orders"}
	var freeze, copied, keys, predicted, memory float64
	for i := range b.N {
		b.StopTimer()
		for _, c := range []redis.UniversalClient{from, to} {
			redistest.Empty(b, c)
		}
		fillQueueWith(b, from, q, jobs, payload)
		s := &shop{c: from, q: q, added: make(chan string)}
		producing, end := context.WithCancel(b.Context())
		go func() { defer close(s.added); s.produce(producing, "late") }()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for range s.added {
			}
		}()
		forgetRSS()
		b.StartTimer()
		r, err := move.Move(b.Context(), from, to,
			move.Options{Run: fmt.Sprint("r", i), Queues: []bullmq.Queue{q}})
		if err != nil {
			b.Fatal(err)
		}
		end()
		<-ended
		freeze += float64(r.FreezeMS)
		copied += float64(r.CopyMS)
		keys += float64(r.Keys)
		predicted += float64(r.PredictedMS)
		memory = max(memory, float64(rss()))
	}
	n := float64(b.N)
	b.ReportMetric(freeze/n, "freeze-ms")
	b.ReportMetric(predicted/n, "predicted-ms")
	b.ReportMetric(keys/copied*1000, "keys/s")
	b.ReportMetric(memory/(1<<20), "RSS-MB")
}

// fillQueue makes waiting jobs of 1 KB with ids like BullMQ's own.
func fillQueue(b testing.TB, c redis.UniversalClient, q bullmq.Queue, jobs int) {
	b.Helper()
	fillQueueWith(b, c, q, jobs, 960)
}

func fillQueueWith(b testing.TB, c redis.UniversalClient, q bullmq.Queue, jobs, payload int) {
	b.Helper()
	pad := strings.Repeat("0123456789abcdef", payload/16)
	for at := 0; at < jobs; at += 1000 {
		_, err := c.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for i := at + 1; i <= at+1000; i++ {
				p.HSet(b.Context(), q.Key(fmt.Sprint(i)), "name", "order", "data",
					fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i, pad), "opts", `{"attempts":3}`,
					"timestamp", "1795500000000", "delay", "0", "priority", "0")
				p.LPush(b.Context(), q.Key("wait"), i)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	c.Set(b.Context(), q.Key("id"), jobs, 0)
	c.HSet(b.Context(), q.Key("meta"), "version", "bullmq:6.7.0")
}

// forgetRSS returns unused memory and resets the peak.
func forgetRSS() {
	debug.FreeOSMemory()
	// no such file: not Linux, and rss returns 0
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// rss returns this process's peak resident memory since forgetRSS, in bytes.
func rss() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // no such file: not Linux
	}
	var kb int64
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(v, &kb)
		}
	}
	return kb << 10
}
