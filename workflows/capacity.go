package workflows

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/linode"
	"github.com/switchyard-dev/switchyard/providers/upstash"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/store"
)

const (
	// loadKept is how long hours of load are kept, loadShown how many days of them rates and shares rest on.
	loadKept  = 90 * 24 * time.Hour
	loadShown = 28 * 24 * time.Hour
	// rateShown is the time that a bill is projected from: whole weeks, for shops have a weekly rhythm.
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
	Plan       upstash.Plan `json:"plan"`                    // the plan whose limits are held against
	PlanNote   string       `json:"plan_note"`               // where its limits come from
	Sides      []SideLoad   `json:"sides"`
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

// meters measure both sides of each migration. Only the leader's monitor does.
type meters struct {
	mu  sync.Mutex
	all map[string]*meter // by migration and side
}

type meter struct {
	recorder capacity.Recorder
	err      string
}

// sideOf gives one side's server.
func (e *Estate) sideOf(ctx context.Context, mid, side string) (redis.UniversalClient, redisconn.Endpoint, error) {
	if side == "target" {
		return e.Target(ctx)
	}
	return e.Source(ctx, mid)
}

var bothSides = []string{"source", "target"}

// measure reads the counters of both sides and saves the hour. A side that does not answer, or is not there, is a gap.
func (e *Estate) measure(ctx context.Context, mid string) error {
	for _, side := range bothSides {
		bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := e.measureSide(bounded, mid, side)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Estate) measureSide(ctx context.Context, mid, side string) error {
	e.meters.mu.Lock()
	defer e.meters.mu.Unlock()
	now := e.now()
	m := e.meters.all[mid+" "+side]
	if m == nil {
		m = &meter{}
		begun, err := e.loadHours(ctx, mid, side, now.Truncate(time.Hour))
		if err != nil {
			return err
		}
		if len(begun) > 0 {
			m.recorder.Resume(begun[0])
		}
		e.meters.all[mid+" "+side] = m
	}
	client, _, err := e.sideOf(ctx, mid, side)
	var load redisconn.Load
	if err == nil {
		load, err = redisconn.ReadLoad(ctx, client)
	}
	if err != nil {
		m.err = inWords(err)
		return nil //nolint:nilerr // it is kept and shown: a side that cannot be read is a gap
	}
	m.err = ""
	hour := m.recorder.Add(capacity.Reading{At: now, RunID: load.RunID, Commands: load.Commands, Calls: load.Calls, NetBytes: max(load.NetBytes, 0), Memory: load.UsedMemory, Connections: load.Connections})
	body, err := json.Marshal(hour)
	if err != nil {
		return err
	}
	return e.store.SaveLoadHour(ctx, mid, side, store.LoadHour{Start: hour.Start, Body: body}, now.Add(-loadKept))
}

func (e *Estate) loadHours(ctx context.Context, mid, side string, since time.Time) ([]capacity.Hour, error) {
	rows, err := e.store.LoadHours(ctx, mid, side, since)
	if err != nil {
		return nil, err
	}
	out := make([]capacity.Hour, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal(r.Body, &out[i]); err != nil {
			return nil, fmt.Errorf("load of %s at %s: %w", side, r.Start.Format(time.RFC3339), err)
		}
	}
	return out, nil
}

// Capacity gives what is paid in each phase, what paying by use would come to, and how much of the plan's limits each side needs.
func (c *Control) Capacity(ctx context.Context, mid string) (Capacity, error) {
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return Capacity{}, err
	}
	e := c.estate
	routing, err := e.Routing(ctx, mid)
	if err != nil {
		return Capacity{}, err
	}
	out := Capacity{At: e.now(), Phase: costPhase(routing)}
	limits := e.planLimits(ctx, &out)
	for _, side := range bothSides {
		hours, err := e.loadHours(ctx, mid, side, out.At.Add(-loadShown))
		if err != nil {
			return Capacity{}, err
		}
		l := SideLoad{Side: side, Rates: capacity.RatesOf(hours), Uses: capacity.Uses(hours, limits), Hours: hours}
		if _, endpoint, err := e.sideOf(ctx, mid, side); err != nil {
			l.Error = inWords(err)
		} else {
			l.Endpoint, l.Error = endpoint.Name, e.meters.errorOf(mid, side)
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
	out.PayAsYouGo = metered(carries, out.Plan, out.At)
	out.Phases, err = e.costs(ctx, out.Plan)
	return out, err
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

// planLimits gives the limits of the plan that the target has to be on; where the database exists, as the database itself has them.
func (e *Estate) planLimits(ctx context.Context, out *Capacity) capacity.Limits {
	out.Plan, _ = upstash.PlanOf(upstash.Fixed1GB)
	out.PlanNote = "price list of " + upstash.PricedAt + "; connections are the example in the API's document until the database tells its own"
	var ref targetRef
	if ok, err := e.store.Setting(ctx, targetSetting, &ref); err == nil && ok {
		if db, err := e.upstash.Get(ctx, ref.DatabaseID, false); err != nil {
			out.PlanNote += "; the managed service's API did not answer"
		} else {
			if name, _ := db.PlanName(); name != "" {
				if p, ok := upstash.PlanOf(name); ok {
					out.Plan = p
				}
			}
			if db.MaxClients > 0 {
				out.Plan.MaxConnections, out.PlanNote = db.MaxClients, "price list of "+upstash.PricedAt+"; connections as the database tells"
			}
		}
	}
	return capacity.Limits{Memory: out.Plan.MaxBytes, Connections: out.Plan.MaxConnections, CommandsPerSecond: out.Plan.MaxCommandsPerSecond, BytesPerMonth: out.Plan.BandwidthBytes}
}

// metered projects a bill by use from the last week of one side. Nil when nothing was seen.
func metered(l SideLoad, plan upstash.Plan, now time.Time) *MeteredCost {
	recent := slices.DeleteFunc(slices.Clone(l.Hours), func(h capacity.Hour) bool { return h.Start.Before(now.Add(-rateShown)) })
	rates := capacity.RatesOf(recent)
	if rates.Seen == 0 {
		return nil
	}
	var memory int64
	for _, h := range recent {
		memory = max(memory, h.Memory)
	}
	traffic := int64(rates.NetBytes * capacity.Month.Seconds())
	m := &MeteredCost{Side: l.Side, Rates: rates, High: upstash.PayAsYouGoMonthly(rates.Commands, memory, traffic), Fixed: plan.MonthlyUSD, Enough: rates.Seen >= enoughSeen}
	if rates.Calls >= 0 {
		low := upstash.PayAsYouGoMonthly(rates.Calls, memory, traffic)
		m.Low = &low
	}
	return m
}

func (m *meters) errorOf(mid, side string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.all[mid+" "+side]; one != nil {
		return one.err
	}
	return ""
}

// pricesSetting keeps the prices of machines, which can no longer be asked for once a machine is deleted.
const pricesSetting = "machine-prices"

type machinePrice struct {
	Label   string    `json:"label"`
	Plan    string    `json:"plan"`
	Machine float64   `json:"machine"`
	Backups float64   `json:"backups"`
	At      time.Time `json:"at"`
}

// costs gives what each phase costs by the month.
func (e *Estate) costs(ctx context.Context, plan upstash.Plan) ([]CostPhase, error) {
	prices, failed, err := e.machinePrices(ctx)
	if err != nil {
		return nil, err
	}
	line := func(what string, id int, hint string) CostLine {
		if id == 0 {
			return CostLine{What: what, Source: hint + " is not configured"}
		}
		p, ok := prices[id]
		if !ok {
			return CostLine{What: what, Source: failed[id]}
		}
		usd, source := p.Machine+p.Backups, fmt.Sprintf("%s at Linode, price of %s", p.Plan, p.At.Format(time.DateOnly))
		if p.Backups > 0 {
			source += fmt.Sprintf(", of which $%.2f for backups", p.Backups)
		}
		return CostLine{What: what, USD: &usd, Source: source}
	}
	s := e.cfg.Source
	single := line("The single Redis", s.Standalone.LinodeID, "source.standalone.linode_id")
	var nodes []CostLine
	for i, n := range s.Sentinel.Nodes {
		nodes = append(nodes, line(orElse(n.LinodeLabel, fmt.Sprintf("Sentinel node %d", i+1)), n.LinodeID, fmt.Sprintf("source.sentinel.nodes[%d].linode_id", i)))
	}
	if len(s.Sentinel.Addrs) > 0 && len(nodes) == 0 {
		nodes = append(nodes, CostLine{What: "Sentinel nodes", Source: "source.sentinel.nodes is not configured"})
	}
	fixed := plan.MonthlyUSD
	managed := CostLine{What: "Upstash " + plan.Title, USD: &fixed, Source: "price list of " + upstash.PricedAt}
	phases := []CostPhase{
		{ID: CostNow, Title: "Now: the single Redis", Lines: []CostLine{single}},
		{ID: CostInterim, Title: "Interim: Sentinel, the way back, and the managed Redis from its provisioning on", Lines: slices.Concat([]CostLine{single}, nodes, []CostLine{managed})},
		{ID: CostAfter, Title: "After: the managed Redis alone", Lines: []CostLine{managed}},
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

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// machinePrices gives what each configured machine costs, and why where it is not known. A price is asked for once a day; the last one known
// counts where the host does not answer or the machine is gone.
func (e *Estate) machinePrices(ctx context.Context) (map[int]machinePrice, map[int]string, error) {
	known := map[int]machinePrice{}
	if _, err := e.store.Setting(ctx, pricesSetting, &known); err != nil {
		return nil, nil, err
	}
	before, failed := maps.Clone(known), map[int]string{}
	for _, m := range e.machines() {
		if p, ok := known[m.id]; ok && e.now().Sub(p.At) < priceFresh {
			continue
		}
		inst, err := e.linode.Instance(ctx, m.id)
		var p linode.Price
		if err == nil {
			p, err = e.linode.Price(ctx, inst)
		}
		if err != nil {
			failed[m.id] = inWords(err)
			continue
		}
		known[m.id] = machinePrice{Label: inst.Label, Plan: p.Plan, Machine: p.Machine, Backups: p.Backups, At: e.now()}
	}
	if maps.Equal(before, known) {
		return known, failed, nil
	}
	return known, failed, e.store.SetSetting(ctx, pricesSetting, known)
}
