package move_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/move"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// BenchmarkMove moves a queue of 100,000 jobs of 1 KB under a producer. freeze-ms is the time in which no job could run.
func BenchmarkMove(b *testing.B) {
	src, dst := redistest.Start(b), redistest.Start(b)
	from, to := src.Client(), dst.Client()
	q := bullmq.Queue{Name: "orders"}
	const jobs = 100_000
	var freeze, copied, keys, predicted float64
	for i := range b.N {
		b.StopTimer()
		for _, c := range []redis.UniversalClient{from, to} {
			if err := c.FlushAll(b.Context()).Err(); err != nil {
				b.Fatal(err)
			}
		}
		fillQueue(b, from, q, jobs)
		s := &shop{c: from, q: q, added: make(chan string, 1_000_000)}
		producing, end := context.WithCancel(b.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.produce(producing, "late") }()
		b.StartTimer()
		r, err := move.Move(b.Context(), from, to, move.Options{Run: fmt.Sprint("r", i), Queues: []bullmq.Queue{q}})
		if err != nil {
			b.Fatal(err)
		}
		end()
		<-ended
		freeze += float64(r.FreezeMS)
		copied += float64(r.CopyMS)
		keys += float64(r.Keys)
		predicted += float64(r.PredictedMS)
	}
	n := float64(b.N)
	b.ReportMetric(freeze/n, "freeze-ms")
	b.ReportMetric(predicted/n, "predicted-ms")
	b.ReportMetric(keys/copied*1000, "keys/s")
	b.ReportMetric(float64(rss(b))/(1<<20), "RSS-MB")
}

// fillQueue makes waiting jobs of 1 KB with ids like BullMQ's own.
func fillQueue(b testing.TB, c redis.UniversalClient, q bullmq.Queue, jobs int) {
	b.Helper()
	pad := strings.Repeat("0123456789abcdef", 60)
	for at := 0; at < jobs; at += 1000 {
		_, err := c.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for i := at + 1; i <= at+1000; i++ {
				p.HSet(b.Context(), q.Key(fmt.Sprint(i)), "name", "order", "data", fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i, pad), "opts", `{"attempts":3}`,
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

// rss is this process' resident memory at its peak, in bytes.
func rss(b *testing.B) int64 {
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
