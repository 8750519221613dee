package bullmq_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// BenchmarkSurvey surveys a server with 1,000,000 jobs while an application adds and takes jobs 500 times a second, and compares what that application
// feels with what it felt before: p99 of one add or take, in us.
func BenchmarkSurvey(b *testing.B) {
	srv := redistest.Start(b)
	c := srv.Client()
	const jobs = 1_000_000
	for at := 0; at < jobs; at += 2000 {
		if _, err := c.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			ids := make([]any, 0, 2000)
			for i := at + 1; i <= at+2000; i++ {
				p.HSet(b.Context(), fmt.Sprint("bull:orders:", i), "name", "order", "data", `{"n":1}`, "opts", "{}", "timestamp", "1795500000000")
				ids = append(ids, i)
			}
			p.LPush(b.Context(), "bull:orders:wait", ids...)
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	c.Set(b.Context(), "bull:orders:id", jobs, 0)
	app := srv.Foreign("app")
	feel := func(ctx context.Context) []float64 {
		var took []float64
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			started := time.Now()
			if _, err := app.TxPipelined(context.WithoutCancel(ctx), func(p redis.Pipeliner) error {
				p.LPush(ctx, "bull:other:wait", 1)
				p.HSet(ctx, "bull:other:1", "name", "n", "data", "{}")
				p.RPop(ctx, "bull:other:wait")
				return nil
			}); err != nil {
				b.Error(err)
				return nil
			}
			took = append(took, float64(time.Since(started).Microseconds()))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		slices.Sort(took)
		return took
	}
	p99 := func(took []float64) float64 { return took[len(took)*99/100] }
	var keys int64
	var before, during, seconds float64
	for range b.N {
		quiet, stop := context.WithTimeout(b.Context(), 20*time.Second)
		before += p99(feel(quiet))
		stop()
		surveying, done := context.WithCancel(b.Context())
		felt := make(chan []float64)
		go func() { felt <- feel(surveying) }()
		s, err := bullmq.TakeSurvey(b.Context(), c, bullmq.SurveyOptions{})
		if err != nil {
			b.Fatal(err)
		}
		done()
		during += p99(<-felt)
		keys, seconds = s.Keys, seconds+s.Took.Seconds()
	}
	n := float64(b.N)
	b.ReportMetric(before/n, "p99-before-us")
	b.ReportMetric(during/n, "p99-during-us")
	b.ReportMetric(seconds/n, "s/survey")
	b.ReportMetric(float64(keys), "keys")
	b.ReportMetric(rssMB(), "RSS-MB")
}

// rssMB is the peak of this process' resident memory; 0 where /proc does not tell.
func rssMB() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kb float64
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(v, &kb)
		}
	}
	return kb / 1024
}
