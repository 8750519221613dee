// Package costs tells what the servers cost, and how much of the managed plan's limits the
// queues need.
package costs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// Settings keeps prices that can no longer be asked for once a machine is deleted.
type Settings interface {
	Setting(ctx context.Context, key string, v any) (bool, error)
	SetSetting(ctx context.Context, key string, v any) error
}

// Book knows the prices.
type Book struct {
	Servers  *environment.Servers
	Routing  *environment.Routing
	Load     *environment.Load
	Managed  *environment.Managed
	Host     *environment.Host
	Settings Settings
	Source   config.Source
	Now      func() time.Time
}

// Capacity gives what is paid in each phase, what paying by use would come to, and how much
// of the plan's limits each side needs.
func (b *Book) Capacity(ctx context.Context, mid string) (Capacity, error) {
	routing, err := b.Routing.Read(ctx, mid)
	if err != nil {
		return Capacity{}, err
	}
	out := Capacity{At: b.Now(), Phase: costPhase(routing)}
	limits := b.PlanLimits(ctx, &out)
	for _, side := range environment.Sides {
		hours, err := b.Load.Hours(ctx, mid, side, out.At.Add(-LoadShown))
		if err != nil {
			return Capacity{}, err
		}
		l := SideLoad{
			Side:  side,
			Rates: capacity.RatesOf(hours),
			Uses:  capacity.Uses(hours, limits),
			Hours: hours,
		}
		if _, endpoint, err := b.Servers.Side(ctx, mid, side); err != nil {
			l.Error = environment.InWords(err)
		} else {
			l.Endpoint, l.Error = endpoint.Name, b.Load.ErrorOf(mid, side)
		}
		if len(hours) > 0 {
			l.Since = &hours[0].Start
		}
		out.Sides = append(out.Sides, l)
	}
	carries := out.Sides[0]
	if routing.Stage == migration.StageComplete {
		carries = out.Sides[1]
	}
	if _, offered := b.Managed.Service.MeteredUSD(providers.Usage{}); offered {
		out.PayAsYouGo = b.metered(carries, out.Plan, out.At)
	} else {
		out.NotMetered = "nobody says what " + b.Managed.Service.Offer().Service +
			" would bill by use"
	}
	out.Phases, err = b.costs(ctx, out.Plan)
	return out, err
}

const (
	// LoadShown is how many days of hours rates and shares rest on.
	LoadShown = 28 * 24 * time.Hour
	// rateShown is the time that a bill is projected from: whole weeks, for shops have a
	// weekly rhythm.
	rateShown = 7 * 24 * time.Hour
	// priceFresh is how old a machine's price may be before its host is asked again.
	priceFresh = 24 * time.Hour
	// enoughSeen is how much must have been measured before a rate is more than a moment's.
	enoughSeen = time.Hour
)

// Capacity is what the servers cost and how much of the plan's limits the queues need.
type Capacity struct {
	At time.Time `json:"at"`
	// Phase is the one that the migration is in.
	Phase      string       `json:"phase" enum:"now,interim,after"`
	Phases     []CostPhase  `json:"phases"`
	PayAsYouGo *MeteredCost `json:"pay_as_you_go,omitempty"` // nil: nothing measured
	// NotMetered says why there is nothing to compare the fixed price with: nobody says what
	// the service bills by use.
	NotMetered string `json:"not_metered,omitempty"`
	// the plan whose limits are held against
	Plan     providers.Plan `json:"plan"`
	PlanNote string         `json:"plan_note"` // where its limits come from
	Sides    []SideLoad     `json:"sides"`
}

// Phases of the cost, in their order.
const (
	CostNow     = "now"
	CostInterim = "interim"
	CostAfter   = "after"
)

// CostPhase is what is paid in one phase of the migration.
type CostPhase struct {
	ID    string     `json:"id"`
	Title string     `json:"title"`
	Lines []CostLine `json:"lines"`
	USD   float64    `json:"usd"` // a month: the sum of what is known
	// Complete is false when the price of a line is not known: the sum is then the least.
	Complete bool `json:"complete"`
}

// CostLine is one thing that is paid by the month.
type CostLine struct {
	What   string   `json:"what"`
	USD    *float64 `json:"usd"` // nil: not known
	Source string   `json:"source"`
	// Proof says how well the price is known: observed at the service's API, attested by the
	// configuration, or documented by the vendor.
	Proof migration.Proof `json:"proof,omitempty"`
}

// MeteredCost is what the managed service would bill by use, against the fixed price.
type MeteredCost struct {
	Side  string         `json:"side"` // where it was measured
	Rates capacity.Rates `json:"rates"`
	// Low counts a script as one command, since the service does not document which it bills;
	// nil where the server does not tell them apart.
	Low *float64 `json:"low_usd"`
	// High counts what scripts run too.
	High float64 `json:"high_usd"`
	// Fixed is the plan's price.
	Fixed float64 `json:"fixed_usd"`
	// Enough is false as long as the rates rest on less than an hour.
	Enough bool `json:"enough"`
}

// Cheaper is which of the two costs less at the measured rates: fixed, pay-as-you-go, or open.
func (m MeteredCost) Cheaper() string {
	switch {
	case !m.Enough:
		return "open"
	case m.High < m.Fixed:
		return "pay-as-you-go"
	case m.Low != nil && *m.Low >= m.Fixed:
		return "fixed"
	}
	return "open"
}

// SideLoad is what one side was seen to do, against the plan.
type SideLoad struct {
	Side     string          `json:"side" enum:"source,target"`
	Endpoint string          `json:"endpoint"`
	Error    string          `json:"error,omitempty"` // why nothing is measured there now
	Since    *time.Time      `json:"since"`           // the oldest hour; nil: none
	Rates    capacity.Rates  `json:"rates"`
	Uses     []capacity.Use  `json:"uses"`
	Hours    []capacity.Hour `json:"hours" nullable:"true"` // oldest first, 28 days
}

func costPhase(r migration.Routing) string {
	switch {
	case r.Source == migration.SourceNone:
		return CostAfter
	case r.Source == migration.SourceStandalone && r.Stage == migration.StageOff:
		return CostNow
	}
	return CostInterim
}

// PlanLimits gives the limits of the plan that the target has to be on; where the database
// exists, as the database itself has them.
func (b *Book) PlanLimits(ctx context.Context, out *Capacity) capacity.Limits {
	offer := b.Managed.Service.Offer()
	out.Plan, out.PlanNote = offer.Plan, offer.Limits.Source
	connections := offer.Connections.Source
	if id, err := b.Servers.TargetID(ctx); err == nil && id != "" {
		switch db, err := b.Managed.Service.Describe(ctx, id); {
		case err != nil:
			out.PlanNote += "; the managed service did not answer"
		case db.State == providers.StateDeleted:
			out.PlanNote += "; the database is gone"
		default:
			if db.Plan.Name != "" {
				out.Plan, out.PlanNote = db.Plan, db.Said.Limits.Source
			}
			if db.ConnectionsTold {
				out.Plan.MaxConnections, connections = db.Plan.MaxConnections,
					"reported by the database"
			}
		}
	}
	out.PlanNote += "; connections: " + connections
	return capacity.Limits{
		Memory:            out.Plan.MaxBytes,
		Connections:       out.Plan.MaxConnections,
		CommandsPerSecond: out.Plan.MaxCommandsPerSecond,
		BytesPerMonth:     out.Plan.BandwidthBytes,
	}
}

// metered projects a bill by use from the last week of one side. Nil when nothing was seen.
func (b *Book) metered(l SideLoad, plan providers.Plan, now time.Time) *MeteredCost {
	recent := slices.DeleteFunc(
		slices.Clone(l.Hours),
		func(h capacity.Hour) bool { return h.Start.Before(now.Add(-rateShown)) },
	)
	rates := capacity.RatesOf(recent)
	if rates.Seen == 0 {
		return nil
	}
	var memory int64
	for _, h := range recent {
		memory = max(memory, h.Memory)
	}
	bill := func(commands float64) float64 {
		usd, _ := b.Managed.Service.MeteredUSD(providers.Usage{
			CommandsPerSecond: commands, StoredBytes: memory,
			MonthlyTransferBytes: int64(rates.NetBytes * capacity.Month.Seconds()),
		})
		return usd
	}
	m := &MeteredCost{
		Side:   l.Side,
		Rates:  rates,
		High:   bill(rates.Commands),
		Fixed:  plan.MonthlyUSD,
		Enough: rates.Seen >= enoughSeen,
	}
	if rates.Calls >= 0 {
		low := bill(rates.Calls)
		m.Low = &low
	}
	return m
}

// pricesSetting keeps the prices of machines, which can no longer be asked for once a
// machine is deleted.
const pricesSetting = "machine-prices"

type machinePrice struct {
	Label   string    `json:"label"`
	Plan    string    `json:"plan"`
	Machine float64   `json:"machine"`
	Backups float64   `json:"backups"`
	At      time.Time `json:"at"`
	// Attested is where a price comes from that nobody but the configuration says.
	Attested string `json:"attested,omitempty"`
}

// source says for people where a price comes from.
func (p machinePrice) source(service string) string {
	if p.Attested != "" {
		return fmt.Sprintf("attested: %s, read on %s", p.Attested, p.At.Format(time.DateOnly))
	}
	source := fmt.Sprintf("%s at %s, price of %s", p.Plan, service, p.At.Format(time.DateOnly))
	if p.Backups > 0 {
		source += fmt.Sprintf(", of which $%.2f for backups", p.Backups)
	}
	return source
}

// costs gives what each phase costs by the month.
func (b *Book) costs(ctx context.Context, plan providers.Plan) ([]CostPhase, error) {
	prices, failed, err := b.machinePrices(ctx)
	if err != nil {
		return nil, err
	}
	service := b.Host.Service.About().Service
	line := func(what string, m providers.Machine, hint string) CostLine {
		if m.ID == "" || m.ID == "0" {
			return CostLine{What: what, Source: hint + " is not configured"}
		}
		p, ok := prices[m.ID]
		if !ok {
			return CostLine{What: what, Source: failed[m.ID]}
		}
		usd := p.Machine + p.Backups
		proof := migration.Observed
		if p.Attested != "" {
			proof = migration.Attested
		}
		return CostLine{What: what, USD: &usd, Source: p.source(service), Proof: proof}
	}
	s := b.Source
	machine, _ := s.SingleMachine()
	single := line("The single Redis", machine, "source.standalone.linode_id")
	var nodes []CostLine
	for i, m := range s.NodeMachines() {
		nodes = append(nodes, line(cmp.Or(m.Label, fmt.Sprintf("Sentinel node %d", i+1)), m,
			fmt.Sprintf("source.sentinel.nodes[%d].linode_id", i)))
	}
	if len(s.Sentinel.Addrs) > 0 && len(nodes) == 0 {
		nodes = append(
			nodes,
			CostLine{What: "Sentinel nodes", Source: "source.sentinel.nodes is not configured"},
		)
	}
	fixed := plan.MonthlyUSD
	offer := b.Managed.Service.Offer()
	managed := CostLine{What: offer.Service + " " + plan.Title, USD: &fixed,
		Source: offer.Price.Source, Proof: offer.Price.Proof}
	if offer.Price.Proof == migration.Attested {
		managed.Source = "attested: " + managed.Source
	}
	phases := []CostPhase{
		{ID: CostNow, Title: "Before migration: the single Redis", Lines: []CostLine{single}},
		{
			ID:    CostInterim,
			Title: "During migration: Sentinel + old Redis + managed Redis",
			Lines: slices.Concat([]CostLine{single}, nodes, []CostLine{managed}),
		},
		{ID: CostAfter, Title: "After migration: the managed Redis alone", Lines: []CostLine{managed}},
	}
	for i := range phases {
		phases[i].Complete = true
		for _, l := range phases[i].Lines {
			if l.USD == nil {
				phases[i].Complete = false
				continue
			}
			phases[i].USD += *l.USD
		}
	}
	return phases, nil
}

// machinePrices gives what each configured machine costs, and why where it is not known. A
// price is asked for once a day; the last one known counts where the host does not answer
// or the machine is gone.
func (b *Book) machinePrices(ctx context.Context) (
	map[string]machinePrice, map[string]string, error,
) {
	known := map[string]machinePrice{}
	if _, err := b.Settings.Setting(ctx, pricesSetting, &known); err != nil {
		return nil, nil, err
	}
	before, failed := maps.Clone(known), map[string]string{}
	for _, m := range b.Host.Machines {
		if p, ok := known[m.ID]; ok && b.Now().Sub(p.At) < priceFresh {
			continue
		}
		p, err := b.Host.Service.Price(ctx, m)
		if err != nil {
			failed[m.ID] = environment.InWords(err)
			continue
		}
		price := machinePrice{Label: m.Label, Plan: p.Plan, Machine: p.Machine,
			Backups: p.Backups, At: b.Now()}
		if p.Basis.Proof == migration.Attested {
			price.Attested = p.Basis.Source
		}
		known[m.ID] = price
	}
	if maps.Equal(before, known) {
		return known, failed, nil
	}
	return known, failed, b.Settings.SetSetting(ctx, pricesSetting, known)
}
