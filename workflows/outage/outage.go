// Package outage reads the outage clock: what payment providers' retries mean for orders
// that are refused now, or would be, and brings back what they gave up on.
package outage

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// Clock reads it from the app's journal, the workers and the configuration.
type Clock struct {
	Journal *environment.Journal
	Workers *environment.Workers
	App     environment.App
	Config  config.Config
	Now     func() time.Time
}

const (
	// rateWindow is the time that measured order rates rest on.
	rateWindow = 24 * time.Hour
	// atRiskShown is how many orders at risk are named.
	atRiskShown = 50
	// cents is how many minor units a unit of a currency has here; currencies without any
	// are a hundred times too fine, not wrong.
	cents = 100
)

// Outage is what the providers' retries mean for orders that are refused now, or would be.
type Outage struct {
	At time.Time `json:"at"`
	// Since is when the first order was refused that has not come back; nil: none is
	// missing, or it is not known.
	Since *time.Time `json:"since"`
	// Unknown says why it is not known whether orders are refused. The clock then runs from
	// when it was known last.
	Unknown   string           `json:"unknown,omitempty"`
	Providers []ProviderOutage `json:"providers"`
	// Intake is what the app's instances keep on disk instead of refusing it; nil: none of
	// them does.
	Intake   *IntakeOutlook `json:"intake"`
	WhatIf   time.Duration  `json:"what_if"` // the length asked about, ns
	Prospect OutageProspect `json:"prospect"`
}

// ProviderOutage is one provider: what it does when it is refused, and its clock.
type ProviderOutage struct {
	Provider  ProviderFacts `json:"provider"`
	PerMinute float64       `json:"per_minute"`
	RateFrom  string        `json:"rate_from"`          // configured, measured, or not known
	MeanValue float64       `json:"mean_value"`         // 0: not known
	Currency  string        `json:"currency,omitempty"` //
	Clock     *OutageClock  `json:"clock,omitempty"`    // nil: no order of it is missing
	// refused orders that have not come back, by the app's journal
	Missing  int      `json:"missing"`
	Orders   []string `json:"orders,omitempty"` // the first of these
	Forecast Forecast `json:"forecast"`         // of the what-if
	Sends    bool     `json:"sends"`            // it is configured, or was seen to send
	CanAsk   bool     `json:"can_ask"`          // for what was lost: a replay needs no file
	// what it then lists, or what is missing and to do instead
	Ask string `json:"ask"`
}

// ProviderFacts is what is known of a provider's retries, each figure with how sure it is.
type ProviderFacts struct {
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	Variant  string      `json:"variant"`
	Success  string      `json:"success"`
	Deadline SourcedText `json:"deadline"`
	Schedule SourcedText `json:"schedule"`
	NoLoss   SourcedText `json:"no_loss"`   // an outage up to this long loses nothing
	LastTry  SourcedText `json:"last_try"`  // when the first order is lost, as modelled
	After    SourcedText `json:"after"`     // what happens after the last try
	Recovery SourcedText `json:"recovery"`  // how to get back what was lost
	DedupeBy SourcedText `json:"dedupe_by"` //
	Trap     string      `json:"trap"`      //
}

// SourcedText is a figure with its source.
type SourcedText struct {
	Text string `json:"text"`
	// Level is how sure it is; empty: nothing is known.
	Level string `json:"level" enum:",documented,observed,community,assumed"`
	URL   string `json:"url,omitempty"`
	Note  string `json:"note,omitempty"`
}

// OutageClock is how the orders of one provider stand that were refused since FirstFailed.
type OutageClock struct {
	FirstFailed time.Time     `json:"first_failed"`
	NextRetry   *time.Time    `json:"next_retry"` // nil: none is left
	FirstLoss   time.Time     `json:"first_loss"`
	Left        time.Duration `json:"left"` // until FirstLoss, ns; negative: since
	LossBefore  time.Time     `json:"safe_until"`
	AtRisk      int           `json:"at_risk"`
	ValueAtRisk float64       `json:"value_at_risk"`
	Lost        int           `json:"lost"`
	ValueLost   float64       `json:"value_lost"`
	RemovedAt   *time.Time    `json:"removed_at"`
	Removal     string        `json:"removal,omitempty"`
	Severity    string        `json:"severity" enum:"late,warning,critical,losing"`
	Confidence  string        `json:"confidence"`
}

// Forecast is what an outage of the length asked about does to one provider's orders,
// without durable intake.
type Forecast struct {
	Verdict    string        `json:"verdict" enum:"late,uncertain,lost"`
	Refused    int           `json:"refused"`
	Lost       int           `json:"lost"`
	ValueLost  float64       `json:"value_lost"`
	LatestBy   time.Duration `json:"latest_by"` // ns after the outage
	LosesUntil string        `json:"loses_until,omitempty"`
	Recovery   string        `json:"recovery,omitempty"`
	Confidence string        `json:"confidence"`
}

// OutageProspect is the what-if as a whole.
type OutageProspect struct {
	Lost    int      `json:"lost"`
	NeedsIt []string `json:"needs_durable_intake" nullable:"true"`
	Advice  string   `json:"advice"`
}

// IntakeOutlook is the durable intake of all live instances that take orders, and how far
// it reaches.
type IntakeOutlook struct {
	// Instances are the live ones that take orders.
	Instances int `json:"instances"`
	// of these, the ones that have one; the others refuse orders in an outage
	Durable  int   `json:"durable"`
	Backlog  int   `json:"backlog"`
	OldestMS int64 `json:"oldest_ms"`
	Bytes    int64 `json:"bytes"`
	MaxBytes int64 `json:"max_bytes"`
	Refused  int64 `json:"refused"` // since the instances began
	// PerOrder is the bytes of an order on disk: measured, or else a generous guess.
	PerOrder int64 `json:"per_order"`
	// Guessed says that per_order was not measured.
	Guessed bool `json:"guessed"`
	// Lasts is how long an outage the room is enough for, at the rate that orders come now, in
	// nanoseconds; 0: the rate is not known.
	Lasts time.Duration `json:"lasts"`
}

// orderBytes is what an order takes on disk where nothing was measured: a large webhook, base64.
const orderBytes = 8 << 10

// measuredBacklog is how many orders must wait for their size to be measured by.
const measuredBacklog = 100

type sender struct {
	flow     webhooks.Flow
	rateFrom string
	value    float64
	currency string
	missing  []ledger.RetryStory
	sends    bool
}

// Read reads the clock, and what an outage of a length would do.
func (c *Clock) Read(whatIf time.Duration) (Outage, error) {
	now := c.Now()
	out := Outage{At: now, WhatIf: whatIf}
	orders, known := c.Journal.SoFar()
	began := now
	if _, err := c.Journal.Read(); err != nil {
		out.Unknown = environment.InWords(err)
		if known > 0 {
			began = time.UnixMilli(known).UTC()
			out.Since = &began
		}
	}
	senders, err := c.senders(orders, now)
	if err != nil {
		return Outage{}, err
	}
	flows := make([]webhooks.Flow, len(senders))
	for i, s := range senders {
		flows[i] = s.flow
		if out.Unknown == "" { // what is known is counted; otherwise it is estimated by rate
			flows[i].Refused = []webhooks.Order{}
			for _, story := range s.missing {
				flows[i].Refused = append(
					flows[i].Refused,
					webhooks.Order{
						ID:    story.Order,
						At:    time.UnixMilli(firstRefusal([]ledger.RetryStory{story})).UTC(),
						Value: s.flow.MeanValue,
					},
				)
			}
		}
		if first := s.flow.FirstFailed; !first.IsZero() &&
			(out.Since == nil || first.Before(*out.Since)) {
			out.Since = &first
		}
	}
	readings, err := webhooks.Read(flows, began, now, webhooks.Thresholds(c.Config.OutageAlerts))
	if err != nil {
		return Outage{}, err
	}
	prospect, err := webhooks.WhatIf(flows, whatIf)
	if err != nil {
		return Outage{}, err
	}
	// The advice is about the providers that send orders here; where none is known, about all.
	advised := prospect
	if sending := sendingFlows(senders, flows); len(sending) > 0 {
		if advised, err = webhooks.WhatIf(sending, whatIf); err != nil {
			return Outage{}, err
		}
	}
	for i, s := range senders {
		p := ProviderOutage{
			Provider:  providerFacts(s.flow.Sender),
			PerMinute: s.flow.PerMinute,
			RateFrom:  s.rateFrom,
			MeanValue: s.value,
			Currency:  s.currency,
			Missing:   len(s.missing),
			Forecast:  forecastOf(prospect.Forecasts[i]),
			Sends:     s.sends,
		}
		for _, story := range s.missing[:min(len(s.missing), atRiskShown)] {
			p.Orders = append(p.Orders, story.Order)
		}
		if _, lists, err := c.recoverer(s.flow.Sender); err == nil {
			p.CanAsk, p.Ask = true, lists
		} else {
			p.Ask = strings.ToUpper(err.Error()[:1]) + err.Error()[1:] + "."
		}
		if len(s.missing) > 0 || out.Unknown != "" && out.Since != nil && s.sends {
			p.Clock = clockOf(readings[i])
		}
		out.Providers = append(out.Providers, p)
	}
	perMinute := 0.0
	for _, s := range senders {
		if s.sends {
			perMinute += s.flow.PerMinute
		}
	}
	out.Intake = intakeOutlook(c.Workers.Intakes(""), perMinute)
	out.Prospect = OutageProspect{
		Lost:    advised.Lost,
		NeedsIt: advised.NeedsIt,
		Advice:  out.Intake.advice(whatIf, perMinute, advised.Advice, advised.NeedsIt),
	}
	if i := out.Intake; i != nil && i.Durable == i.Instances && whatIf <= i.Lasts {
		out.Prospect.Lost, out.Prospect.NeedsIt = 0, nil // no order is refused
	}
	return out, nil
}

// senders are the providers whose orders count: the configured ones and those seen in the
// journal; where there is neither, all that are known.
func (c *Clock) senders(orders *ledger.Journal, now time.Time) ([]sender, error) {
	seen := orders.Rates(now.Add(-rateWindow).UnixMilli(), now.UnixMilli())
	missing := map[string][]ledger.RetryStory{}
	for _, s := range orders.Retries(0) {
		if !s.Acknowledged {
			missing[s.Provider] = append(missing[s.Provider], s)
		}
	}
	var out []sender
	add := func(p webhooks.Sender, set config.Provider, sends bool) {
		s := sender{
			flow: webhooks.Flow{
				Sender:    p,
				PerMinute: set.OrdersPerMinute,
				MeanValue: int64(math.Round(set.MeanValue * cents)),
			},
			value:    set.MeanValue,
			currency: set.Currency,
			missing:  missing[p.ID],
			sends:    sends,
		}
		switch rate := seen[p.ID]; {
		case set.OrdersPerMinute > 0:
			s.rateFrom = "configured"
		case rate > 0:
			s.rateFrom, s.flow.PerMinute = "measured", max(rate, 1e-4)
		default:
			s.rateFrom = "not known"
		}
		if len(s.missing) > 0 {
			s.flow.FirstFailed = time.UnixMilli(firstRefusal(s.missing)).UTC()
		}
		out = append(out, s)
	}
	for _, own := range c.Config.Providers {
		p, err := providerOf(own.ID, own.Variant)
		if err != nil {
			return nil, err
		}
		add(p, own, true)
	}
	for _, p := range webhooks.Senders() {
		if slices.ContainsFunc(out, func(s sender) bool { return s.flow.Sender.ID == p.ID }) {
			continue
		}
		_, sends := seen[p.ID]
		add(p, config.Provider{}, sends || len(missing[p.ID]) > 0)
	}
	slices.SortStableFunc(out, func(a, b sender) int {
		return cmp.Or(
			-cmp.Compare(one(a.sends), one(b.sends)),
			cmp.Compare(a.flow.Sender.Schedule.NoLoss, b.flow.Sender.Schedule.NoLoss),
		)
	})
	return out, nil
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func sendingFlows(senders []sender, flows []webhooks.Flow) (out []webhooks.Flow) {
	for i, s := range senders {
		if s.sends {
			out = append(out, flows[i])
		}
	}
	return out
}

func firstRefusal(stories []ledger.RetryStory) int64 {
	first := int64(math.MaxInt64)
	for _, s := range stories {
		for _, d := range s.Deliveries {
			if d.Status != 200 {
				first = min(first, d.At)
			}
		}
	}
	return first
}

// providerOf gives a provider by its id and variant.
func providerOf(id, variant string) (webhooks.Sender, error) {
	var names, variants []string
	for _, p := range slices.Concat(webhooks.Senders(), webhooks.Variants()) {
		if !slices.Contains(names, p.ID) {
			names = append(names, p.ID)
		}
		if p.ID != id {
			continue
		}
		if variant == "" || p.Variant == variant {
			return p, nil
		}
		variants = append(variants, fmt.Sprintf("%q", p.Variant))
	}
	if len(variants) > 0 {
		return webhooks.Sender{}, migration.Errorf(
			migration.Invalid,
			"providers: %s has no variant %q; there is %s",
			id,
			variant,
			strings.Join(variants, ", "),
		)
	}
	return webhooks.Sender{}, migration.Errorf(
		migration.Invalid,
		"providers: %q is not known; there is %s",
		id,
		strings.Join(names, ", "),
	)
}

func clockOf(r webhooks.Reading) *OutageClock {
	c := &OutageClock{
		FirstFailed: r.FirstFailed,
		FirstLoss:   r.FirstLoss,
		Left:        r.Left,
		LossBefore:  r.LossBefore,
		AtRisk:      r.AtRisk,
		ValueAtRisk: float64(r.ValueAtRisk) / cents,
		Lost:        r.Lost,
		ValueLost: float64(
			r.ValueLost,
		) / cents,
		Removal:    r.Removal,
		Severity:   string(r.Severity),
		Confidence: string(r.Spacing),
	}
	if !r.NextRetry.IsZero() {
		c.NextRetry = &r.NextRetry
	}
	if !r.RemovedAt.IsZero() {
		c.RemovedAt = &r.RemovedAt
	}
	return c
}

func forecastOf(f webhooks.Forecast) Forecast {
	return Forecast{
		Verdict:    string(f.Verdict),
		Refused:    f.Refused,
		Lost:       f.Lost,
		ValueLost:  float64(f.ValueLost) / cents,
		LatestBy:   f.LatestBy,
		LosesUntil: f.LosesUntil,
		Recovery:   f.Recovery,
		Confidence: string(f.Proof),
	}
}

func providerFacts(p webhooks.Sender) ProviderFacts {
	text := func(t string, s webhooks.Source) SourcedText {
		return SourcedText{Text: t, Level: string(s.Level), URL: s.URL, Note: s.Note}
	}
	tries := "no retries"
	if n := len(p.Schedule.Waits); n > 0 {
		tries = fmt.Sprintf("%d retries within %s", n, migration.Words(p.Schedule.Last()))
	}
	noLoss := "unknown"
	if p.Schedule.NoLoss > 0 {
		noLoss = migration.Words(p.Schedule.NoLoss)
	}
	return ProviderFacts{
		ID:       p.ID,
		Name:     p.Name,
		Variant:  p.Variant,
		Success:  p.SuccessRule,
		Deadline: text(migration.Words(p.Deadline.Total), p.Deadline.Source),
		Schedule: text(
			tries,
			p.Schedule.Source,
		),
		NoLoss:  text(noLoss, p.Schedule.Source),
		LastTry: text(migration.Words(p.Schedule.Last()), p.Schedule.Spacing),
		After: text(
			cmp.Or(p.Removal.What, "it stops retrying"),
			p.Removal.Source,
		),
		Recovery: text(p.Recovery.Action, p.Recovery.Source),
		DedupeBy: text(p.DedupeBy, p.Dedupe),
		Trap:     p.Trap,
	}
}
