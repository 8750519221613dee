package webhookstest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/webhooks"
)

// example is the real example app with its Redis, and the providers that send to it, on
// one timeline.
type example struct {
	t        *testing.T
	timeline *webhooks.Timeline
	redis    *redistest.Server
	app      *ingestion.Client
	senders  []*webhooks.Simulator
}

// startExample runs the app with a clock in a file; env is added to its variables.
func startExample(
	t *testing.T, redisURL, clock string, env ...string,
) (string, *ingestion.Client) {
	t.Helper()
	env = append(env, "SOURCE_REDIS_URL="+redisURL, "CLOCK="+clock)
	for _, p := range webhooks.Senders() {
		name := strings.ToUpper(p.ID) + "_WEBHOOK_SECRET"
		if p.ID == "stripe" {
			name = "WEBHOOK_SECRET"
		}
		env = append(env, fmt.Sprintf("%s=%s,%s", name, secretsOf(p.ID)[0].Reveal(),
			secretsOf(p.ID)[1].Reveal()))
	}
	return ingestiontest.Start(t, "test/clock.mjs", env...)
}

// runExample is run with the example app in the place of the one of this package.
func runExample(t *testing.T, env ...string) *example {
	t.Helper()
	e := &example{t: t, timeline: webhooks.NewTimeline(begin), redis: redistest.Start(t,
		redistest.Config("appendonly yes", "appendfsync no", "save ''"))}
	clock := filepath.Join(t.TempDir(), "clock")
	tick := func(now time.Time) {
		if err := os.WriteFile(clock, []byte(strconv.FormatInt(now.UnixMilli(), 10)),
			0o600); err != nil {
			t.Error(err)
		}
	}
	tick(begin)
	var url string
	url, e.app = startExample(t, e.redis.URL(), clock, env...)
	e.ready()
	e.timeline.At(down, func(ctx context.Context) error {
		// A job that runs while its server is killed comes again only when its lock is
		// over, which is real time.
		redistest.Eventually(t, 20*time.Second, func() error {
			for _, list := range []string{"wait", "active"} {
				if n, err := e.redis.Client().LLen(ctx,
					"bull:order-ingestion:"+list).Result(); err != nil || n > 0 {
					return fmt.Errorf("%d jobs in %s: %w", n, list, err)
				}
			}
			return nil
		})
		e.redis.Kill()
		return nil
	})
	e.timeline.At(up, func(context.Context) error {
		e.redis.Restart()
		e.ready()
		return nil
	})
	e.senders = sendAll(e.timeline, webhooks.Senders(), url, tick)
	if err := e.timeline.Run(t.Context(), begin.Add(simulated)); err != nil {
		t.Fatal(err)
	}
	return e
}

// ready waits until the app would take an order: its connection is back a second or so
// after its server, which in virtual time would be hours.
func (e *example) ready() {
	e.t.Helper()
	n := 0
	redistest.Eventually(e.t, 20*time.Second, func() error {
		n++
		r, err := e.app.Canary(e.t.Context(),
			fmt.Sprintf("canary_%d_%d", e.timeline.Now().Unix(), n), "order-ingestion")
		if err == nil && r.Status != 200 {
			err = fmt.Errorf("status %d: %s", r.Status, r.Error)
		}
		return err
	})
}

// check says that exactly the orders that were not dropped were applied, each once,
// although some came twice.
func (e *example) check() {
	e.t.Helper()
	kept, deliveries := map[string]bool{}, 0
	for _, s := range e.senders {
		for _, tr := range s.Traces() {
			if tr.Outcome == webhooks.Delivered {
				kept[eventOf(e.t, s.Sender, tr.Order).OrderID()] = true
			}
			for _, a := range tr.Attempts {
				if a.Success {
					deliveries++
				}
			}
		}
	}
	applied, after := map[string]int{}, int64(0)
	redistest.Eventually(e.t, 30*time.Second, func() error {
		for {
			page, err := e.app.Journal(e.t.Context(), after, 5000)
			if err != nil {
				return err
			}
			for _, raw := range page.Events {
				var event ledger.Event
				if err := json.Unmarshal(raw, &event); err != nil {
					return err
				}
				if event.Outcome == ledger.OutcomeApplied {
					applied[event.Order]++
				}
			}
			if after = page.Next; len(page.Events) == 0 {
				break
			}
		}
		if len(applied) < len(kept) {
			return fmt.Errorf("%d of %d orders are applied", len(applied), len(kept))
		}
		return nil
	})
	for id, n := range applied {
		if !kept[id] || n != 1 {
			e.t.Errorf("%s was applied %d times, its provider has it as delivered: %v", id,
				n, kept[id])
		}
	}
	if doubles := deliveries - len(kept); doubles < 50 {
		e.t.Errorf("only %d deliveries came twice: that nothing is doubled proves little",
			doubles)
	}
	e.t.Logf("%d deliveries answered with success, %d orders applied once", deliveries,
		len(applied))
}

// TestTheExampleAppWithoutDurableIntakeLosesWhatTheSchedulesSay sends 72 hours of all
// five providers to the real app, over a real Redis that is away for five of them.
func TestTheExampleAppWithoutDurableIntakeLosesWhatTheSchedulesSay(t *testing.T) {
	t.Parallel()
	e := runExample(t)
	dropped(t, e.senders)
	e.check()
}

// TestTheExampleAppWithDurableIntakeLosesNothing is the same with orders kept on disk:
// no provider meets a refusal in the outage, and nothing is doubled.
func TestTheExampleAppWithDurableIntakeLosesNothing(t *testing.T) {
	t.Parallel()
	e := runExample(t, "INTAKE=durable")
	for _, s := range e.senders {
		for _, tr := range s.Traces() {
			if first := tr.Attempts[0]; tr.Outcome != webhooks.Delivered || !first.Success {
				t.Errorf("%s %s: %s, first answered %d %s", s.Sender.Name, tr.Order.ID,
					tr.Outcome, first.Status, first.Error)
			}
		}
	}
	e.check()
}
