package webhooks

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
)

// Flow is the orders that one provider sends.
type Flow struct {
	Sender    Sender
	PerMinute float64 // evenly
	MeanValue int64   // of an order, in minor units of the currency
	// FirstFailed is when the first delivery of this provider was refused; zero: when
	// the outage began. Not used with Refused.
	FirstFailed time.Time
	// Refused is what is known to have been refused and not to have come since, with
	// the time of the first try. With it Read counts and sums up these; the rate is
	// then only for what a removed endpoint is not sent any more. Nil: Read estimates
	// by rate and mean value. Empty: none was refused, and a Reading has no times.
	Refused []Order
}

// Severity says how urgent an outage is for one provider.
type Severity string

// From nothing to see to too late.
const (
	// Late: orders come late; by what is documented none is lost yet.
	Late Severity = "late"
	// Warning: a part of the time is used up, or nothing is documented that one could
	// rely on.
	Warning Severity = "warning"
	// Critical: a loss cannot be excluded any more, or is near.
	Critical Severity = "critical"
	// Losing: orders are lost for good.
	Losing Severity = "losing"
)

// Thresholds are shares of the time to the first loss that may pass before an alert.
type Thresholds struct {
	Warning  float64
	Critical float64
}

// DefaultThresholds warn at a quarter and alarm at half: retries thin out, so little is
// tried in the second half.
var DefaultThresholds = Thresholds{Warning: 0.25, Critical: 0.5}

// Validate refuses thresholds that are not in order.
func (t Thresholds) Validate() error {
	if t.Warning > 0 && t.Warning <= t.Critical && t.Critical <= 1 {
		return nil
	}
	return migration.Errorf(migration.Invalid, "alert thresholds are shares of the time to "+
		"the first loss, 0 < warning <= critical <= 1; these are %v and %v",
		t.Warning, t.Critical)
}

// Reading is what an outage means for one provider at a moment, on the assumption that
// every delivery since the first failed one is refused with a 503. Times are as
// modelled.
type Reading struct {
	Sender      string
	FirstFailed time.Time
	NextRetry   time.Time     // of the first order that failed; zero: none is left
	FirstLoss   time.Time     // when that order's last try fails
	Left        time.Duration // until FirstLoss; negative: since
	// a loss is excluded until then by what is documented; FirstFailed when nothing is
	LossBefore time.Time

	AtRisk      int // refused and still to be tried again
	ValueAtRisk int64
	Lost        int // dropped, or never sent
	ValueLost   int64

	// when the provider removes its endpoint if the outage lasts; zero: not known to
	RemovedAt time.Time
	Removal   string
	Recovery  string
	Severity  Severity
	Proof     Level // of how long the provider tries
	Spacing   Level // of when
}

// Read reads the outage clock. The outage is taken to last; each flow's Severity is by t.
func Read(flows []Flow, began, now time.Time, t Thresholds) ([]Reading, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	out := make([]Reading, 0, len(flows))
	for _, f := range flows {
		if err := f.validate(); err != nil {
			return nil, err
		}
		p, s := f.Sender, f.Sender.Schedule
		r := Reading{
			Sender:   p.ID,
			Recovery: p.Recovery.Action,
			Removal:  p.Removal.What,
			Severity: Late,
			Proof:    s.Level,
			Spacing:  s.Spacing.Level,
		}
		first := cmp.Or(f.FirstFailed, began)
		if f.Refused != nil {
			if len(f.Refused) == 0 { // none was refused yet: there is nothing to count down
				out = append(out, r)
				continue
			}
			first = slices.MinFunc(f.Refused, func(a, b Order) int {
				return a.At.Compare(b.At)
			}).At
		}
		r.FirstFailed, r.FirstLoss, r.LossBefore = first, first.Add(s.Last()),
			first.Add(s.NoLoss)
		if f.Refused == nil {
			// Tries at this very moment fail too, hence the nanosecond.
			c := f.count(now.Sub(first) + 1)
			r.AtRisk, r.Lost = c.failed-c.lost, c.lost
			r.ValueAtRisk, r.ValueLost = int64(r.AtRisk)*f.MeanValue, int64(r.Lost)*f.MeanValue
		} else {
			r.sum(f, now)
		}
		r.Left = r.FirstLoss.Sub(now)
		if p.Removal.AfterLastTry {
			r.RemovedAt = r.FirstLoss
		}
		for _, o := range s.Offsets() {
			if at := first.Add(o); at.After(now) {
				r.NextRetry = at
				break
			}
		}
		r.Severity = t.severity(s, now.Sub(first))
		out = append(out, r)
	}
	return out, nil
}

// sum counts the refused orders that are known, and estimates those that were not sent
// since the endpoint is gone.
func (r *Reading) sum(f Flow, now time.Time) {
	p, last := f.Sender, f.Sender.Schedule.Last()
	removed := p.Removal.AfterLastTry && !now.Before(r.FirstLoss)
	for _, o := range f.Refused {
		if !now.Before(o.At.Add(last)) || removed && p.Removal.StopsPending {
			r.Lost++
			r.ValueLost += o.Value
		} else {
			r.AtRisk++
			r.ValueAtRisk += o.Value
		}
	}
	if removed {
		unsent := f.orders(now.Sub(r.FirstLoss))
		r.Lost += unsent
		r.ValueLost += int64(unsent) * f.MeanValue
	}
}

func (t Thresholds) severity(s Schedule, age time.Duration) Severity {
	share := 1.0
	if last := s.Last(); last > 0 {
		share = float64(age) / float64(last)
	}
	switch {
	case age < 0:
		return Late
	case share >= 1:
		return Losing
	case share >= t.Critical || s.NoLoss > 0 && age >= s.NoLoss:
		return Critical
	case share >= t.Warning || s.NoLoss == 0:
		return Warning
	}
	return Late
}

// Verdict is what an outage of a certain length does to a provider's orders.
type Verdict string

const (
	// ArriveLate: every order comes, by what is documented.
	ArriveLate Verdict = "late"
	// Uncertain: every order comes by the model, but nothing that is documented
	// excludes a loss.
	Uncertain Verdict = "uncertain"
	// LoseOrders: orders are lost.
	LoseOrders Verdict = "lost"
)

// Forecast is what an outage of a certain length does to one provider's orders without
// durable intake.
type Forecast struct {
	Sender    string
	Verdict   Verdict
	Refused   int // orders that are triggered in the outage
	Lost      int // of those
	ValueLost int64
	// an order that is not lost, if any, comes at most this long after the outage
	LatestBy time.Duration
	// when not empty: orders go on being lost after the outage, until then
	LosesUntil string
	Recovery   string // when orders are lost or may be
	Proof      Level  // of how long the provider tries
}

// Prospect is the answer to "what if it is down for that long?".
type Prospect struct {
	Outage    time.Duration
	Forecasts []Forecast
	Lost      int
	ValueLost int64
	NeedsIt   []string // names of providers whose orders only durable intake makes safe
	Advice    string
}

// WhatIf says what an outage of a length does, from the first refused order to the last.
func WhatIf(flows []Flow, outage time.Duration) (Prospect, error) {
	if outage < 0 {
		return Prospect{}, migration.Errorf(migration.Invalid,
			"an outage cannot last %s", outage)
	}
	out := Prospect{Outage: outage}
	for _, f := range flows {
		if err := f.validate(); err != nil {
			return Prospect{}, err
		}
		p, s := f.Sender, f.Sender.Schedule
		c := f.count(outage)
		fc := Forecast{
			Sender:    p.ID,
			Verdict:   ArriveLate,
			Refused:   c.failed,
			Lost:      c.lost,
			ValueLost: int64(c.lost) * f.MeanValue,
			LatestBy:  s.longestWait(outage),
			Proof:     s.Level,
		}
		switch {
		case outage > s.Last():
			fc.Verdict = LoseOrders
			if p.Removal.AfterLastTry {
				fc.LosesUntil = "the endpoint is made again"
			}
		case outage > s.NoLoss:
			fc.Verdict = Uncertain
		}
		if fc.Verdict != ArriveLate {
			fc.Recovery = p.Recovery.Action
			out.NeedsIt = append(out.NeedsIt, p.Name)
		}
		out.Lost += fc.Lost
		out.ValueLost += fc.ValueLost
		out.Forecasts = append(out.Forecasts, fc)
	}
	out.Advice = out.advice(flows)
	return out, nil
}

func (p Prospect) advice(flows []Flow) string {
	var late, uncertain, lost []string
	for i, f := range p.Forecasts {
		name := flows[i].Sender.Name
		switch {
		case p.Outage == 0:
		case f.Verdict == ArriveLate:
			late = append(late, name)
		case f.Verdict == Uncertain:
			uncertain = append(uncertain, name)
		default:
			lost = append(lost, name)
		}
	}
	var parts []string
	add := func(names []string, text string) {
		if len(names) > 0 {
			parts = append(parts, strings.Join(names, ", ")+text)
		}
	}
	add(late, ": orders come late, none is lost.")
	add(uncertain, ": nothing that is documented excludes a loss.")
	add(lost, ": orders are lost.")
	if len(p.NeedsIt) > 0 && p.Outage > 0 {
		parts = append(parts, fmt.Sprintf("Take orders in durably: write each down before "+
			"the queue, answer success, enqueue later. %s need it; a longer 503 does not help.",
			strings.Join(p.NeedsIt, ", ")))
	}
	return cmp.Or(strings.Join(parts, " "), "Nothing is refused.")
}

// counts is how orders fare that are triggered from the first failed one on, for a while.
type counts struct{ failed, lost int }

// count counts for an outage that lasts for d: tries before its end fail, at its end
// they do not.
func (f Flow) count(d time.Duration) counts {
	s := f.Sender.Schedule
	c := counts{failed: f.orders(d)}
	if d > s.Last() {
		c.lost = f.orders(d - s.Last())
		// With the endpoint goes what waits, and nothing further is sent.
		if r := f.Sender.Removal; r.AfterLastTry {
			c.lost = c.failed
			if !r.StopsPending {
				removed := f.orders(s.Last() + 1) // those that were sent at all
				c.lost = min(f.orders(d-s.Last()), removed) + c.failed - removed
			}
		}
	}
	return c
}

// orders counts the orders that are triggered in [0, d), the first at 0.
func (f Flow) orders(d time.Duration) int {
	if d <= 0 || f.PerMinute == 0 {
		return 0
	}
	i := f.interval()
	return int((d + i - 1) / i)
}

// interval is the time between two orders.
func (f Flow) interval() time.Duration {
	return max(1, time.Duration(math.Round(float64(time.Minute)/f.PerMinute)))
}

// longestWait gives how long after an outage the last of the orders may come that are
// not lost: the longest gap between tries that the outage reaches into.
func (s Schedule) longestWait(outage time.Duration) time.Duration {
	if outage <= 0 {
		return 0
	}
	var longest, before time.Duration
	for _, o := range s.Offsets() {
		if before < outage {
			longest = max(longest, o-before)
		}
		before = o
	}
	return longest
}

func (f Flow) validate() error {
	if f.PerMinute < 0 || math.IsNaN(f.PerMinute) || f.PerMinute > 1e6 {
		return migration.Errorf(migration.Invalid,
			"%s: %v orders a minute; the rate is between 0 and a million", f.Sender.Name,
			f.PerMinute)
	}
	if f.PerMinute > 0 && f.PerMinute < 1e-4 {
		return migration.Errorf(migration.Invalid,
			"%s: %v orders a minute is less than one in a week; use 0 for none", f.Sender.Name,
			f.PerMinute)
	}
	if f.MeanValue < 0 {
		return migration.Errorf(migration.Invalid,
			"%s: the mean value of an order is %d; it cannot be negative", f.Sender.Name,
			f.MeanValue)
	}
	return nil
}
