package outage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

func TestTheOutageClockRunsFromTheFirstRefusedOrderThatHasNotComeBack(t *testing.T) {
	t.Parallel()
	j := ingestiontest.NewJournal(t)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Ingestion.URL = j.URL
	cfg.Providers = []config.Provider{{ID: "shopify", MeanValue: 50, Currency: "EUR"}}
	b := openBench(t, cfg)
	now := b.Clock.Now()
	deliver := func(order, provider string, status int, ago time.Duration) {
		j.Set(func() {
			j.Events = append(
				j.Events,
				map[string]any{
					"seq":      len(j.Events) + 1,
					"at":       now.Add(-ago).UnixMilli(),
					"type":     "delivery",
					"order":    order,
					"provider": provider,
					"status":   status,
				},
			)
		})
	}
	read := func(whatIf time.Duration) (Outage, map[string]ProviderOutage) {
		t.Helper()
		b.catchUp(t)
		o, err := b.outage.Read(whatIf)
		ok(t, err)
		by := map[string]ProviderOutage{}
		for _, p := range o.Providers {
			by[p.Provider.ID] = p
		}
		return o, by
	}

	for i := range 180 { // one a minute for three hours, of which Stripe sends a third
		provider := "shopify"
		if i%3 == 0 {
			provider = "stripe"
		}
		deliver(fmt.Sprintf("ok-%d", i), provider, 200, time.Duration(180-i)*time.Minute)
	}
	o, by := read(25 * time.Second)
	if o.Since != nil || o.Unknown != "" || by["shopify"].Clock != nil || len(o.Providers) != 5 ||
		o.Providers[0].Provider.ID != "shopify" && o.Providers[0].Provider.ID != "stripe" {
		t.Fatalf("%+v", o)
	}
	if p := by["stripe"]; !p.Sends || p.RateFrom != "measured" || p.PerMinute < 0.3 ||
		p.PerMinute > 0.37 ||
		p.Forecast.Verdict != "late" {
		t.Errorf("%+v", p)
	}
	if p := by["copecart"]; p.Sends || p.RateFrom != "not known" {
		t.Errorf("%+v", p)
	}

	deliver("back", "shopify", 503, 170*time.Minute)
	deliver("back", "shopify", 200, 160*time.Minute)
	deliver("gone-1", "shopify", 503, 150*time.Minute)
	deliver("gone-1", "shopify", 503, 140*time.Minute)
	deliver("gone-2", "shopify", 503, 20*time.Minute)
	deliver("late", "stripe", 503, 5*time.Minute)
	o, by = read(5 * time.Hour)
	s := by["shopify"]
	if s.Clock == nil || s.Missing != 2 || !slices.Equal(s.Orders, []string{"gone-1", "gone-2"}) ||
		o.Since == nil ||
		now.Sub(*o.Since).Round(time.Minute) != 150*time.Minute {
		t.Fatalf("%+v since %v", s, o.Since)
	}
	if c := s.Clock; c.Severity != "critical" || c.Left.Round(time.Minute) != 90*time.Minute ||
		c.RemovedAt == nil ||
		c.ValueAtRisk != float64(c.AtRisk)*50 ||
		c.AtRisk != 2 {
		t.Errorf("two and a half of four hours: %+v", c)
	}
	if c := by["stripe"].Clock; c == nil || c.Severity != "late" || c.NextRetry == nil {
		t.Errorf("%+v", c)
	}
	if s.Forecast.Verdict != "lost" || s.Forecast.Lost == 0 ||
		s.Forecast.ValueLost != float64(s.Forecast.Lost)*50 ||
		!slices.Contains(o.Prospect.NeedsIt, "Shopify") ||
		slices.Contains(o.Prospect.NeedsIt, "Stripe") {
		t.Errorf("%+v %+v", s.Forecast, o.Prospect)
	}

	// Nobody knows what an app that does not answer refuses or takes in: the clock runs from when it
	// was known last.
	j.Set(func() { j.Down = true })
	b.Clock.Advance(time.Hour)
	o, err := b.outage.Read(0)
	ok(t, err)
	if o.Unknown == "" || o.Since == nil || o.Providers[0].Clock == nil {
		t.Errorf("%+v", o)
	}
	_, err = b.outage.Read(-time.Second)
	wantKind(t, err, migration.Invalid)
}

func TestAProviderThatIsNotKnownIsSaidWithThoseThatAre(t *testing.T) {
	t.Parallel()
	_, err := providerOf("paypal", "")
	wantKind(t, err, migration.Invalid, "paypal", "stripe", "copecart")
	_, err = providerOf("stripe", "test")
	wantKind(t, err, migration.Invalid, "sandbox")
	p, err := providerOf("stripe", "sandbox")
	ok(t, err)
	if p.Variant != "sandbox" {
		t.Errorf("%+v", p)
	}
}

func TestTheAdviceCountsOnAnIntakeOnlyAsFarAsItReaches(t *testing.T) {
	t.Parallel()
	const without = "Shopify: orders are lost. Take orders in durably."
	const tenHours = 600 * orderBytes // at one a minute
	full := evidence.IntakeInstance{Instance: "web.1", Durable: true, MaxBytes: tenHours}
	none := evidence.IntakeInstance{Instance: "web.1"}
	another := evidence.IntakeInstance{Instance: "web.2"}
	type instances = []evidence.IntakeInstance
	for _, tc := range []struct {
		rule      string
		instances instances
		whatIf    time.Duration
		perMinute float64
		want      string
	}{
		{"no instance has one", instances{none}, 5 * time.Hour, 1, without},
		{"nobody attests", nil, 5 * time.Hour, 1, without},
		{"one of two has one", instances{full, another}, 5 * time.Hour, 1,
			"Only 1 of 2 instances have durable intake: orders to the others depend on the " +
				"providers' retries. " + without},
		{"the rate is not known", instances{full}, 5 * time.Hour, 0, without},
		{"the room is enough", instances{full}, 5 * time.Hour, 1,
			"No orders are rejected: about 300 would be stored in the durable intake, which has room " +
				"for about 10 h, and enqueued afterwards."},
		{"the room is not enough", instances{full}, 11 * time.Hour, 1,
			"The durable intake has room for about 10 h of orders. After that they are rejected, and " +
				"those from Shopify may be lost. Give it more space (maxBytes)."},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			outlook := intakeOutlook(evidence.IntakeFacts{Instances: tc.instances}, tc.perMinute)
			got := outlook.advice(tc.whatIf, tc.perMinute, without, []string{"Shopify"})
			if got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}
