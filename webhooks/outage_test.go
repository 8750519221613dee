package webhooks

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anySetup draws a known provider, or one with a schedule and a removal of its own.
func anySetup() *rapid.Generator[Sender] {
	return rapid.Custom(func(t *rapid.T) Sender {
		p := rapid.SampledFrom(append(Senders(), Variants()...)).Draw(t, "provider")
		if rapid.Bool().Draw(t, "own schedule") {
			p.Schedule.Waits = nil
			for _, s := range rapid.SliceOfN(rapid.IntRange(1, 20_000), 0,
				12).Draw(t, "waits") {
				p.Schedule.Waits = append(p.Schedule.Waits, time.Duration(s)*time.Second)
			}
			p.Schedule.NoLoss = 0
			p.Removal = Removal{What: "gone", AfterLastTry: rapid.Bool().Draw(t, "removal"),
				StopsPending: rapid.Bool().Draw(t, "stops")}
		}
		return p
	})
}

// anyOutage draws how long it lasts and a flow that sends at most some hundred orders
// in it.
func anyOutage(t *rapid.T, p Sender) (time.Duration, Flow) {
	d := time.Duration(rapid.IntRange(1, 80*3600).Draw(t, "seconds")) * time.Second
	if last := p.Schedule.Last(); rapid.Bool().Draw(t, "about the last try") {
		d = max(time.Second,
			last+time.Duration(rapid.IntRange(-2, 2).Draw(t, "off"))*time.Second)
	}
	n := rapid.IntRange(1, 150).Draw(t, "orders")
	return d, Flow{Sender: p, PerMinute: max(1e-4, float64(n)/d.Minutes()), MeanValue: 100}
}

// triggered gives the orders of the flow in [start, start+d).
func (f Flow) triggered(d time.Duration) []Order {
	var out []Order
	for at := time.Duration(0); at < d; at += f.interval() {
		out = append(out, Order{ID: at.String(), At: start.Add(at), Value: f.MeanValue})
	}
	return out
}

func TestWhatIfEqualsTheSimulator(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anySetup().Draw(t, "p")
		d, f := anyOutage(t, p)
		end := start.Add(d)
		s := simulate(t, p, f.triggered(d), end.Add(p.Schedule.Last()+time.Hour),
			func(now time.Time, _ *http.Request) *http.Response {
				if now.Before(end) {
					return answer(503, "")
				}
				return answer(200, p.Reply)
			})
		got, err := WhatIf([]Flow{f}, d)
		if err != nil {
			t.Fatal(err)
		}
		fc := got.Forecasts[0]
		if dropped := len(s.Dropped()); dropped != fc.Lost || fc.Refused != len(s.Traces()) ||
			len(s.Pending()) > 0 || fc.ValueLost != 100*int64(dropped) {
			t.Fatalf("%s %s, %s, %.3f/min, waits %v, removal %+v: the simulator drops %d of "+
				"%d, the clock %d of %d", p.ID, p.Variant, d, f.PerMinute,
				p.Schedule.Waits, p.Removal,
				dropped, len(s.Traces()), fc.Lost, fc.Refused)
		}
		if (fc.Verdict == LoseOrders) != (fc.Lost > 0) {
			t.Fatalf("%s: verdict %s, %d lost", p.ID, fc.Verdict, fc.Lost)
		}
		for _, tr := range s.Traces() {
			if tr.Outcome == Delivered && tr.At.Sub(end) > fc.LatestBy {
				t.Fatalf("%s came %s after the outage, at most %s was said", tr.Order.ID,
					tr.At.Sub(end), fc.LatestBy)
			}
		}
		if (fc.LosesUntil != "") != !s.Removed().IsZero() {
			t.Fatalf("%q, removed %s", fc.LosesUntil, s.Removed())
		}
	})
}

func TestTheClockEqualsTheSimulatorAtEveryMoment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anySetup().Draw(t, "p")
		d, f := anyOutage(t, p)
		now := start.Add(d)
		orders := f.triggered(d + 1) // including one right now
		s := simulate(t, p, orders, now, func(time.Time, *http.Request) *http.Response {
			return answer(503, "")
		})
		readings, err := Read([]Flow{f}, start, now, DefaultThresholds)
		if err != nil {
			t.Fatal(err)
		}
		r := readings[0]
		if r.Lost != len(s.Dropped()) || r.AtRisk != len(s.Pending()) ||
			r.ValueAtRisk != 100*int64(r.AtRisk) {
			t.Fatalf(
				"%s after %s, removal %+v: simulator %d dropped, %d pending; clock %d and %d",
				p.ID, d, p.Removal, len(s.Dropped()), len(s.Pending()), r.Lost, r.AtRisk)
		}
		first := s.Traces()[0]
		if first.Outcome == Dropped && !first.At.Equal(r.FirstLoss) ||
			(first.Outcome == Dropped) != !now.Before(r.FirstLoss) ||
			(r.Severity == Losing) != (r.Lost > 0) {
			t.Fatalf("%s: the first order is %s at %s, first loss %s, %s", p.ID, first.Outcome,
				first.At, r.FirstLoss, r.Severity)
		}
		if (first.Outcome == Dropped) != r.NextRetry.IsZero() {
			t.Fatalf("next retry %s of an order that is %s", r.NextRetry, first.Outcome)
		}
		if p.Removal.AfterLastTry && first.Outcome == Dropped &&
			!s.Removed().Equal(r.RemovedAt) {
			t.Fatalf("removed at %s, not %s", s.Removed(), r.RemovedAt)
		}
		if !r.NextRetry.IsZero() {
			s := simulate(t, p, orders[:1], r.NextRetry,
				func(time.Time, *http.Request) *http.Response {
					return answer(503, "")
				})
			if a := s.Traces()[0].Attempts; !a[len(a)-1].At.Equal(r.NextRetry) ||
				len(a) != len(first.Attempts)+1 {
				t.Fatalf("the next try is at %s, not %s", a[len(a)-1].At, r.NextRetry)
			}
		}
	})
}

func TestTheClockOfKnownOrdersEqualsTheSimulatorAndSumsTheirValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := anySetup().Draw(t, "p")
		now := start.Add(time.Duration(rapid.IntRange(0, 80*3600).Draw(t, "now")) * time.Second)
		var orders []Order
		for i, at := range rapid.SliceOfN(rapid.IntRange(0, 80*3600), 0, 60).Draw(t, "orders") {
			if o := (Order{ID: strconv.Itoa(i), At: start.Add(time.Duration(at) * time.Second),
				Value: rapid.Int64Range(0, 1e6).Draw(t, "value")}); !o.At.After(now) {
				orders = append(orders, o)
			}
		}
		s := simulate(t, p, orders, now, func(time.Time, *http.Request) *http.Response {
			return answer(503, "")
		})
		refused := []Order{} // known: none
		var risk, lost int64
		atRisk, gone := 0, 0
		for _, tr := range s.Traces() {
			switch {
			case len(tr.Attempts) == 0: // never sent: unknown here
				continue
			case tr.Outcome == Pending:
				atRisk++
				risk += tr.Order.Value
			default:
				gone++
				lost += tr.Order.Value
			}
			refused = append(refused, tr.Order)
		}
		readings, err := Read([]Flow{{Sender: p, Refused: refused}}, start.Add(-time.Hour), now,
			DefaultThresholds)
		if err != nil {
			t.Fatal(err)
		}
		if r := readings[0]; r.AtRisk != atRisk || r.Lost != gone || r.ValueAtRisk != risk ||
			r.ValueLost != lost || (r.Severity == Losing) != (gone > 0) {
			t.Fatalf("%s: %+v, the simulator has %d at risk (%d) and %d dropped (%d)", p.ID, r,
				atRisk, risk, gone, lost)
		}
	})
}

func TestOrdersThatARemovedEndpointIsNotSentAreEstimated(t *testing.T) {
	t.Parallel()
	f := Flow{Sender: Shopify(), PerMinute: 2, MeanValue: 100, Refused: []Order{
		{ID: "a", At: start, Value: 7},
		{ID: "b", At: start.Add(time.Hour), Value: 5},
	}}
	r, err := Read([]Flow{f}, start, start.Add(5*time.Hour), DefaultThresholds)
	if err != nil || r[0].Lost != 2+120 || r[0].ValueLost != 12+12_000 || r[0].AtRisk != 0 ||
		!r[0].RemovedAt.Equal(start.Add(4*time.Hour)) {
		t.Errorf("%+v, %v", r, err)
	}
}

// shop is ten orders a minute from each, 49 euros each.
func shop() []Flow {
	var out []Flow
	for _, p := range Senders() {
		out = append(out, Flow{Sender: p, PerMinute: 10, MeanValue: 4900})
	}
	return out
}

func TestAFailoverOf25SecondsLosesNothingThatIsDocumented(t *testing.T) {
	t.Parallel()
	got, err := WhatIf(shop(), 25*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Verdict{"stripe": ArriveLate, "shopify": ArriveLate,
		"clickfunnels": Uncertain, "copecart": ArriveLate, "cope": Uncertain}
	for _, f := range got.Forecasts {
		if f.Verdict != want[f.Sender] || f.Lost != 0 || f.Refused != 5 {
			t.Errorf("%+v", f)
		}
	}
	if got.Lost != 0 || !slices.Equal(got.NeedsIt, []string{"ClickFunnels 2.0", "COPE"}) ||
		!strings.Contains(got.Advice,
			"Stripe, Shopify, CopeCart: orders come late, none is lost.") {
		t.Errorf("%+v", got)
	}
}

func TestFiveHoursWithoutTheManagedServiceNeedDurableIntake(t *testing.T) {
	t.Parallel()
	got, err := WhatIf(shop(), 5*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	// Ten a minute: 5 h are 3000 orders; CopeCart loses the first 2 h of them,
	// ClickFunnels the first 3:38:45, Shopify all.
	want := map[string]int{"stripe": 0, "shopify": 3000, "clickfunnels": 2188, "copecart": 1200,
		"cope": 1200}
	for _, f := range got.Forecasts {
		if f.Lost != want[f.Sender] {
			t.Errorf("%+v", f)
		}
	}
	if got.ValueLost != 4900*int64(got.Lost) || got.Forecasts[1].LosesUntil == "" ||
		!strings.Contains(got.Advice, "Take orders in durably") ||
		slices.Contains(got.NeedsIt, "Stripe") {
		t.Errorf("%+v", got)
	}
	if p, err := WhatIf(shop(), 40*time.Hour); err != nil ||
		p.Forecasts[0].Verdict != Uncertain || p.Forecasts[0].Lost != 0 {
		t.Errorf("40 h at Stripe: %+v, %v", p.Forecasts[0], err)
	}
	if p, err := WhatIf(shop(), 0); err != nil || p.Lost != 0 ||
		p.Advice != "Nothing is refused." || p.Forecasts[0].Refused != 0 || len(p.NeedsIt) > 0 {
		t.Errorf("no outage: %+v, %v", p, err)
	}
}

func TestSeverityRisesWithTheShareOfTimeThatIsUsedUp(t *testing.T) {
	t.Parallel()
	at := func(p Sender, age time.Duration) Severity {
		r, err := Read([]Flow{{Sender: p, PerMinute: 1}}, start, start.Add(age),
			DefaultThresholds)
		if err != nil {
			t.Fatal(err)
		}
		return r[0].Severity
	}
	for name, c := range map[string]struct {
		p    Sender
		age  time.Duration
		want Severity
	}{
		"before it begins":                            {Stripe(), -time.Minute, Late},
		"below the first threshold":                   {CopeCart(), 44 * time.Minute, Late},
		"at the first threshold":                      {CopeCart(), 45 * time.Minute, Warning},
		"at the second threshold":                     {CopeCart(), 90 * time.Minute, Critical},
		"just before the last try":                    {CopeCart(), 3*time.Hour - 1, Critical},
		"at the last try":                             {CopeCart(), 3 * time.Hour, Losing},
		"at once where nothing is documented":         {ClickFunnels(), time.Second, Warning},
		"a day at Stripe":                             {Stripe(), 24 * time.Hour, Warning},
		"at once losing where nothing is tried again": {Sender{Name: "once"}, 0, Losing},
	} {
		if got := at(c.p, c.age); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestBadFiguresAreRefusedWithTheLimit(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Flow{"negative": {PerMinute: -1},
		"too many": {PerMinute: 2e6}, "next to none": {PerMinute: 1e-9},
		"negative value": {PerMinute: 1, MeanValue: -1}} {
		f.Sender = Stripe()
		if _, err := WhatIf([]Flow{f}, time.Hour); err == nil {
			t.Errorf("%s was accepted", name)
		}
		if _, err := Read([]Flow{f}, start, start, DefaultThresholds); err == nil {
			t.Errorf("%s was accepted by the clock", name)
		}
	}
	if _, err := WhatIf(nil, -time.Second); err == nil {
		t.Error("a negative outage was accepted")
	}
	for _, th := range []Thresholds{{}, {0.5, 0.25}, {0.5, 2}, {-1, 1}} {
		if _, err := Read(nil, start, start, th); err == nil {
			t.Errorf("%+v was accepted", th)
		}
	}
}
