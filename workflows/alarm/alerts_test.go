package alarm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/redisconn/redistest"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

func TestAnOutageIsOneIncidentThatEscalatesAndEndsAlsoOverARestart(t *testing.T) {
	t.Parallel()
	pager, slack, j := newReceiver(t), newReceiver(t), ingestiontest.NewJournal(t)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Ingestion.URL, cfg.Providers = j.URL, []config.Provider{{ID: "shopify"}}
	cfg.Notifications = pagerAndSlack(pager, slack)
	b := openBench(t, cfg)
	start := b.Clock.Now()
	deliver := func(order string, status int, at time.Time) {
		j.Set(func() {
			j.Events = append(
				j.Events,
				map[string]any{
					"seq":      len(j.Events) + 1,
					"at":       at.UnixMilli(),
					"type":     "delivery",
					"order":    order,
					"provider": "shopify",
					"status":   status,
				},
			)
		})
	}
	look := func() {
		t.Helper()
		b.readJournal(t)
		b.observe(t)
		b.flush(t)
	}
	deliver("order-1", 503, start.Add(-2*time.Minute))
	look()
	wantTook(t, pager) // two minutes of four hours: the retries bring it
	b.Clock.Advance(70 * time.Minute)
	look()
	look()
	wantTook(t, pager, "trigger orders/outage/shopify warning")
	wantTook(t, slack) // less than it is to be told
	b.Clock.Advance(70 * time.Minute)
	look()
	look()
	wantTook(t, pager, "trigger orders/outage/shopify error")
	told := slack.took()
	const says = "*ERROR: Shopify: 1 order was rejected and has not been redelivered; the first is lost at "
	if len(told) != 1 || !strings.HasPrefix(told[0], says) {
		t.Fatalf("%q", told)
	}
	shown, err := b.notifier.Notifications(t.Context(), mid)
	ok(t, err)
	i := slices.IndexFunc(
		shown.Alerts,
		func(a NotifiedAlert) bool { return a.Key == "orders/outage/shopify" },
	)
	if i < 0 || shown.Alerts[i].Severity != "error" || len(shown.Alerts[i].Told) != 2 ||
		!strings.Contains(shown.Alerts[i].Text, "order-1") {
		t.Fatalf("%+v", shown.Alerts)
	}

	j.Set(func() { j.Down = true }) // what cannot be observed is not over
	b.Clock.Advance(20 * time.Minute)
	b.observe(t)
	b.flush(t)
	for _, line := range append(pager.took(), slack.took()...) {
		if strings.Contains(line, "resolve") && strings.Contains(line, "outage") {
			t.Fatalf("an outage that cannot be seen was ended: %s", line)
		}
	}
	j.Set(func() { j.Down = false })

	moved := time.Until(b.Clock.Now())
	b.Stop()
	b = openBench(t, cfg)
	b.Clock.Advance(moved)
	look()
	for _, line := range append(pager.took(), slack.took()...) {
		if strings.Contains(line, "trigger orders/outage") {
			t.Fatalf("told again after a restart: %s", line)
		}
	}
	deliver("order-1", 200, b.Clock.Now())
	look()
	if got := pager.took(); !slices.Contains(got, "resolve orders/outage/shopify") {
		t.Fatalf("%q", got)
	}
	over := func(s string) bool { return strings.HasPrefix(s, "*OVER: Shopify: ") }
	if got := slack.took(); !slices.ContainsFunc(got, over) {
		t.Fatalf("%q", got)
	}
	// Another time of the same: the same key.
	deliver("order-2", 503, b.Clock.Now().Add(-3*time.Hour))
	look()
	if got := pager.took(); !slices.Contains(got, "trigger orders/outage/shopify error") {
		t.Fatalf("%q", got)
	}
}

func TestAnIntakeThatHoldsOrdersIsToldToPeople(t *testing.T) {
	t.Parallel()
	type intake = evidence.IntakeInstance
	for _, tc := range []struct {
		rule string
		is   intake
		want []string
	}{
		{"a moment's backlog is how it works",
			intake{Durable: true, Backlog: 9, OldestMS: 119_000, Bytes: 1, MaxBytes: 100}, nil},
		{"orders that wait",
			intake{Durable: true, Backlog: 9, OldestMS: 120_000, Bytes: 1, MaxBytes: 100},
			[]string{"warning m/intake/held/web.1"}},
		{"half of the room is used",
			intake{Durable: true, Backlog: 9, OldestMS: 1, Bytes: 50, MaxBytes: 100},
			[]string{"error m/intake/held/web.1"}},
		{"it is nearly full",
			intake{Durable: true, Backlog: 9, OldestMS: 1, Bytes: 90, MaxBytes: 100},
			[]string{"critical m/intake/held/web.1"}},
		{"files that are full of what is enqueued go by themselves",
			intake{Durable: true, Bytes: 90, MaxBytes: 100}, nil},
		{"kept orders are damaged",
			intake{Durable: true, MaxBytes: 100, Damaged: 1},
			[]string{"critical m/intake/damaged/web.1"}},
		{"no intake", intake{}, nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			tc.is.Instance = "web.1"
			facts := evidence.IntakeFacts{Instances: []evidence.IntakeInstance{tc.is}}
			s := judgeIntakes(facts, "m", "")
			var got []string
			for _, a := range s.alerts {
				got = append(got, string(a.Severity)+" "+a.Key)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if !slices.Equal(s.judged, []string{"m/intake"}) {
				t.Errorf("judged %q", s.judged)
			}
		})
	}
}

func TestAlertsComeFromWhatIsKnownAndEndWhenItIsWellAgain(t *testing.T) {
	t.Parallel()
	cfg := stepstest.Settings(t.TempDir())
	j := ingestiontest.NewJournal(t)
	cfg.Ingestion.URL = j.URL
	cfg.Source.Standalone.URL = migration.Secret(redistest.Start(t).URL())
	b := openBench(t, cfg)
	want := func(rule string, keys ...string) {
		t.Helper()
		b.observe(t)
		open, err := b.Store.OpenAlerts(t.Context(), mid)
		ok(t, err)
		var got []string
		for _, a := range open {
			got = append(got, strings.TrimPrefix(a.Key, mid+"/")+" "+a.Severity)
		}
		slices.Sort(got)
		slices.Sort(keys)
		if !slices.Equal(got, keys) {
			t.Fatalf("%s: %q, want %q", rule, got, keys)
		}
	}
	measure := func(check string, facts any) {
		t.Helper()
		ok(t, b.Engine.Record(t.Context(), mid, "", check, migration.Observed, "test", facts))
		b.Clock.Advance(time.Second)
	}
	policy := func(p string) {
		measure(
			evidence.Policy,
			evidence.PolicyFacts{Nodes: []evidence.NodePolicy{{Node: "source", Policy: p}}},
		)
	}
	want("nothing is known, nothing is wrong")
	policy("allkeys-lru")
	want("a criterion that never was met is no news")
	policy("noeviction")
	want("it is met")
	policy("allkeys-lru")
	want("a criterion that was met and is not", "criterion/noeviction error")
	policy("noeviction")
	want("it is met again")
	b.Clock.Advance(2 * time.Hour)
	want("its evidence is old", "criterion/noeviction warning", "ledger/unknown warning")
	policy("noeviction")
	want("it was looked at", "ledger/unknown warning")

	finding := func(state string, was bool) evidence.AuditFacts {
		return evidence.AuditFacts{
			Nodes: []evidence.NodeAudit{
				{
					Node: "10.0.0.4:6379",
					Findings: []evidence.AuditFinding{
						{
							ID:       "persistence",
							Title:    "Persistence",
							Severity: "high",
							State:    state,
							WasOK:    was,
							Measured: "CANARY-key",
						},
					},
				},
			},
		}
	}
	measure(evidence.Audit, finding("problem", false))
	want("a problem that was always there is a finding", "ledger/unknown warning")
	measure(evidence.Audit, finding("problem", true))
	want("a check that was well", "audit/10.0.0.4:6379/persistence error", "ledger/unknown warning")
	measure(evidence.Audit, finding("ok", true))
	want("well again", "ledger/unknown warning")

	now := b.Clock.Now()
	for i := range 12 {
		j.Order(fmt.Sprintf("lost-%d", i), now.Add(-time.Hour), false)
	}
	b.readJournal(t)
	want("orders are lost, by the application's record: that is known", "ledger/lost critical")
	open, err := b.Store.OpenAlerts(t.Context(), mid)
	ok(t, err)
	i := slices.IndexFunc(
		open,
		func(a store.OpenAlert) bool { return strings.HasSuffix(a.Key, "/lost") },
	)
	if text := string(open[i].Event); strings.Count(text, "lost-") != namedOrders ||
		!strings.Contains(text, "and 2 more") {
		t.Errorf("%s", text)
	}
	j.Set(func() { j.Down = true })
	b.Clock.Advance(time.Minute)
	want("what cannot be observed is not over", "ledger/lost critical")

	b.notifier.capacity[mid] = capacityLook{}
	limits := capacity.Hour{Start: b.Clock.Now().Truncate(time.Hour), Memory: 2 << 30}
	raw, err := json.Marshal(limits)
	ok(t, err)
	hour := store.LoadHour{Start: limits.Start, Body: raw}
	ok(t, b.Store.SaveLoadHour(t.Context(), mid, "source", hour, time.Time{}))
	want("more than the plan allows", "capacity/source/memory error", "ledger/lost critical")
}
