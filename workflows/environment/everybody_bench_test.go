package environment

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
)

// BenchmarkEverybody is what it costs to ask who and what is on a server: its clients, of
// which a gate names each that nobody knows, and its queues. ours-% and server-% are of one
// core, at the monitor's pace; the limit is 1 % of ours.
func BenchmarkEverybody(b *testing.B) {
	cfg := config.Default()
	s := redistest.Start(b)
	cfg.Source.Standalone.URL = migration.Secret(s.URL())
	r := openRig(b, cfg)
	every := cfg.Migration.MonitorInterval
	measure := func(b *testing.B, look func()) {
		b.Helper()
		ours, servers := cpu(b), serverCPU(b, s)
		for b.Loop() {
			look()
		}
		n := float64(b.N) * every.Seconds() / 100
		b.ReportMetric((cpu(b)-ours).Seconds()/n, "ours-%")
		b.ReportMetric((serverCPU(b, s)-servers).Seconds()/n, "server-%")
	}
	b.Run("1000 clients", func(b *testing.B) {
		for i := range 1000 {
			c := s.Foreign(fmt.Sprintf("shop-%d", i%40))
			ok(b, c.Ping(b.Context()).Err())
			b.Cleanup(func() { _ = c.Close() })
		}
		measure(b, func() {
			g := r.Clients.Gate(b.Context(), mid, r.Clients.Source)
			if len(g.Asked.Unknown()) != 40 {
				b.Fatalf("%d are unknown: %s", len(g.Asked.Unknown()), g.Measured)
			}
		})
	})
	b.Run("500 queues", func(b *testing.B) {
		w := bullmqtest.NewWriter(s.Client())
		for i := range 500 {
			base := fmt.Sprintf("bull:queue-%d:", i)
			w.Queue(b, base)
			for j := range 20 {
				w.Job(b, base, "wait", fmt.Sprint(j+1))
			}
		}
		measure(b, func() {
			facts, err := r.Servers.ResidueOn(b.Context(), s.Client())
			ok(b, err)
			if len(facts.Queues) < 500 {
				b.Fatalf("%d queues", len(facts.Queues))
			}
		})
	})
}

func serverCPU(b *testing.B, s *redistest.Server) (total time.Duration) {
	b.Helper()
	text, err := s.Client().Info(b.Context(), "cpu").Result()
	ok(b, err)
	info := redisconn.ParseInfo(text)
	for _, name := range []string{"used_cpu_sys", "used_cpu_user"} {
		spent, err := time.ParseDuration(info[name] + "s")
		ok(b, err)
		total += spent
	}
	return total
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	ok(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
