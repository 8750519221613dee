package audit

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// BenchmarkAuditOfAMillionKeys audits a server that holds a million jobs: its
// settings only, with an unthrottled scan of the keys, at the pace of the step, and
// with keys that expire, whose expiry has to be read one by one. rss-MB is the peak
// memory of this process.
func BenchmarkAuditOfAMillionKeys(b *testing.B) {
	s := redistest.Start(b)
	c := s.Client()
	const fill = `for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
		redis.call('hset', 'bull:q:evt_' .. i, 'name', 'order', 'data', string.rep('x', 200), 'opts', '{}', 'timestamp', '1795500000000', 'delay', '0', 'priority', '0', 'atm', '1')
		redis.call('zadd', 'bull:q:completed', i, 'evt_' .. i)
	end return 1`
	if err := c.HSet(b.Context(), "bull:q:meta", "version", "bullmq:6.7.0").Err(); err != nil {
		b.Fatal(err)
	}
	for from := 1; from <= 1_000_000; from += 50_000 {
		if err := c.Eval(b.Context(), fill, nil, from, from+49_999).Err(); err != nil {
			b.Fatal(err)
		}
	}
	audit := func(name string, o Options) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Run(b.Context(), c, o); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(peak()), "rss-MB")
		})
	}
	audit("settings", Options{NoScan: true})
	audit("keys", Options{Share: 1})
	audit("keys at the step's pace", Options{})
	if err := c.Set(b.Context(), "bull:q:stalled-check", "1", 1<<40).Err(); err != nil {
		b.Fatal(err)
	}
	audit("keys and their expiry", Options{Share: 1})
	b.Run("census", func(b *testing.B) {
		for b.Loop() {
			if _, err := bullmq.TakeSurvey(b.Context(), c,
				bullmq.SurveyOptions{Share: 1}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(peak()), "rss-MB")
	})
}

// peak returns the process's peak resident memory in MB, or 0 where the system does
// not report it.
func peak() int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kb, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return kb / 1024
}
