package cutoverreport

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq/bullmqtest"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// Each line of the report is set up on real servers with real BullMQ, found, cleared the way the
// line says, and gone.
func TestCutoverReportFindsEachBlockerAndLosesItWhenCleared(t *testing.T) {
	t.Parallel()
	v6, v5, v4 := bullmqtest.Major(6), bullmqtest.Major(5), bullmqtest.Major(4)
	type change = func(t *testing.T, src, dst *redistest.Server)
	nothing := func(*testing.T, *redistest.Server, *redistest.Server) {}
	add := func(major bullmqtest.Major, opts map[string]any) change {
		return func(t *testing.T, src, _ *redistest.Server) {
			task := bullmqtest.Task{Name: "n", Data: map[string]any{"k": "k"}, Opts: opts}
			major.Add(t, src, "orders", task)
		}
	}
	drop := func(t *testing.T, src, _ *redistest.Server) {
		if err := src.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		v6.Run(t, src, "orders", "resume", "")
	}
	for _, c := range []struct {
		line string
		want Severity
		says string
		set  change
		// clear nil: an empty queue
		clear change
	}{
		{line: "waiting", want: SeverityBlocks, says: "1 waiting", set: add(v6, nil)},
		{
			line: "delayed", want: SeverityBlocks, says: "1, due from ",
			set: add(v6, map[string]any{"delay": 60_000}),
		},
		{
			line: "repeatable", want: SeverityBlocks, says: "1",
			set: add(v4, map[string]any{"repeat": map[string]any{"every": 60_000}}),
		},
		{
			line: "schedulers", want: SeverityBlocks, says: "1",
			set: func(t *testing.T, src, _ *redistest.Server) { v6.Run(t, src, "orders", "every", "") },
			clear: func(t *testing.T, src, _ *redistest.Server) {
				v6.Run(t, src, "orders", "call", `{"method":"removeJobScheduler","args":["hourly"]}`)
			}},
		{
			line: "flows", want: SeverityBlocks, says: "1 parent,",
			set:   func(t *testing.T, src, _ *redistest.Server) { v6.Run(t, src, "orders", "flow", "") },
			clear: func(t *testing.T, src, _ *redistest.Server) { v6.Work(t, src, "orders").Expect(t, 2) }},
		{
			line: "flows-across", want: SeverityBlocks, says: "orders-children",
			set: func(t *testing.T, src, _ *redistest.Server) { v6.Populate(t, src, "orders") },
		},
		{
			line: "stalled", want: SeverityBlocks, says: "1",
			set: func(t *testing.T, src, dst *redistest.Server) {
				add(v6, nil)(t, src, dst)
				src.Client().LMove(t.Context(), "bull:orders:wait", "bull:orders:active", "right", "left")
			}},
		{
			line: "orphans", want: SeverityBlocks, says: "1 that BullMQ will never run",
			set: func(t *testing.T, src, dst *redistest.Server) {
				add(v6, nil)(t, src, dst)
				src.Client().Del(t.Context(), "bull:orders:wait")
			}},
		{
			line: "empty", want: SeverityBlocks, says: "1 that BullMQ would run with empty data",
			set: func(t *testing.T, src, dst *redistest.Server) {
				add(v6, nil)(t, src, dst)
				src.Client().Del(t.Context(), "bull:orders:1")
			}},
		{
			line: "dedup", want: SeverityCareful, says: "1 active deduplication ID, 1 of",
			set: add(v6, map[string]any{"deduplication": map[string]any{"id": "d"}}),
		},
		{
			line: "limits", want: SeverityCareful, says: "3 jobs per 1 s",
			set: func(t *testing.T, src, _ *redistest.Server) {
				v6.Run(t, src, "orders", "call", `{"method":"setGlobalRateLimit","args":[3,1000]}`)
			}},
		{
			line: "limiter", want: SeverityBlocks, says: "never resets",
			set: func(t *testing.T, src, _ *redistest.Server) {
				src.Client().Set(t.Context(), "bull:orders:limiter", 1, 0)
			}},
		{
			line: "versions", want: SeverityCareful, says: "5 on the source, 6 on the target",
			set: func(t *testing.T, src, dst *redistest.Server) {
				v5.Run(t, src, "orders", "resume", "")
				v6.Run(t, dst, "orders", "resume", "")
			}},
		{
			line: "versions", want: SeverityUnknown, says: "6 on the source, unknown on the target",
			set: nothing,
			clear: func(t *testing.T, _, dst *redistest.Server) {
				v6.Run(t, dst, "orders", "resume", "")
			}},
		{
			line: "duplicates", want: SeverityBlocks, says: "1 of the first",
			set: func(t *testing.T, src, dst *redistest.Server) {
				for _, s := range []*redistest.Server{src, dst} {
					v6.Add(t, s, "orders", bullmqtest.Task{Name: "n", Opts: map[string]any{"jobId": "twin"}})
				}
			}},
		{line: "target-workers", want: SeverityBlocks, says: "none", set: nothing,
			clear: func(t *testing.T, _, dst *redistest.Server) { v6.Work(t, dst, "orders") }},
		{
			line: "memory", want: SeverityBlocks, says: "the queues need about",
			set: func(t *testing.T, src, dst *redistest.Server) {
				c := src.Client()
				_, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
					for i := range 200 {
						key := fmt.Sprint("bull:orders:", i)
						p.HSet(t.Context(), key, "name", "n", "data", strings.Repeat("x", 50_000),
							"opts", "{}", "timestamp", 1)
						p.LPush(t.Context(), "bull:orders:wait", i)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				dst.Client().ConfigSet(t.Context(), "maxmemory", "12mb")
			}},
		{
			line: "source", want: SeverityUnknown, says: "",
			set:   func(_ *testing.T, src, _ *redistest.Server) { src.Kill() },
			clear: func(_ *testing.T, src, _ *redistest.Server) { src.Restart() },
		},
		{
			line: "streams", want: SeverityBlocks, says: "no queue's events have been read yet",
			set:   nothing,
			clear: nothing,
		},
		{line: "ledger", want: SeverityUnknown, says: "order ledger", set: nothing, clear: nothing},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			src, dst := redistest.Start(t), redistest.Start(t)
			v6.Run(t, src, "orders", "resume", "")
			cfg := stepstest.Settings(t.TempDir())
			cfg.Source.Standalone.URL = migration.Secret(src.URL())
			cfg.Queues = []string{"orders"}
			use := stepstest.Target(t, &cfg, dst)
			b := stepstest.Open(t, cfg, func(*stepstest.Bench) []engine.Step { return nil })
			use(b.Env)
			report := func() ReportLine {
				t.Helper()
				if c.line != "streams" {
					b.Clock.Advance(time.Minute) // so that the servers are read again
				}
				v, err := b.Env.Views.Read(t.Context(), stepstest.Migration)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
				defer cancel()
				r := Take(ctx, b.Env, v)
				if r.Ready {
					t.Error("ready although the ledger is unknown")
				}
				i := slices.IndexFunc(r.Lines, func(l ReportLine) bool {
					return l.ID == c.line && (l.Queue == "" || l.Queue == "orders")
				})
				if i < 0 {
					return ReportLine{Measured: "no such line"}
				}
				if l := r.Lines[i]; l.Severity != SeverityClear && l.Clear == "" {
					t.Errorf("%+v does not say how to clear it", l)
				}
				return r.Lines[i]
			}
			c.set(t, src, dst)
			if c.line != "source" { // which is not there to be read
				redistest.Eventually(t, stepstest.Patience, func() error {
					for _, s := range b.Env.Surveys.Both(t.Context(), b.Env.Servers, stepstest.Migration) {
						if !s.Usable() {
							return fmt.Errorf("the %s %s", s.Side, s.Error)
						}
					}
					return nil
				})
			}
			if l := report(); l.Severity != c.want || !strings.Contains(l.Measured, c.says) {
				t.Fatalf("%+v, want %q saying %q", l, c.want, c.says)
			}
			if c.line == "ledger" {
				return // no app is there
			}
			if c.clear == nil {
				c.clear = drop
			}
			c.clear(t, src, dst)
			if c.line == "streams" { // cleared by following them
				following, stop := context.WithCancel(t.Context())
				var done sync.WaitGroup
				done.Go(func() { b.Env.Streams.Follow(following, stepstest.Migration) })
				t.Cleanup(func() { stop(); done.Wait() })
			}
			redistest.Eventually(t, 15*time.Second, func() error {
				if l := report(); l.Severity != SeverityClear {
					return fmt.Errorf("after clearing: %+v", l)
				}
				return nil
			})
		})
	}
}

func TestASourceThatIsNoLongerInUseBlocksNothing(t *testing.T) {
	t.Parallel()
	dst := redistest.Start(t)
	cfg := stepstest.Settings(t.TempDir())
	use := stepstest.Target(t, &cfg, dst)
	b := stepstest.Open(t, cfg, func(*stepstest.Bench) []engine.Step { return nil })
	use(b.Env)
	v, err := b.Env.Views.Read(t.Context(), stepstest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[migration.SourceEndpoint]Severity{
		migration.SourceStandalone: SeverityUnknown, migration.SourceNone: SeverityClear,
	} {
		v.Routing.Source = source
		r := Take(t.Context(), b.Env, v)
		i := slices.IndexFunc(r.Lines, func(l ReportLine) bool { return l.ID == "source" })
		if i < 0 || r.Lines[i].Severity != want || r.Over != (source == migration.SourceNone) {
			t.Errorf("source %s: %+v", source, r)
		}
		if source == migration.SourceNone && r.Ready {
			t.Error("ready although nobody knows the ledger")
		}
	}
}
