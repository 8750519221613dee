package workflows

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/forecast"
	"github.com/switchyard-dev/switchyard/workflows/progress"
	"github.com/switchyard-dev/switchyard/workflows/report"
)

// closingSetting is the prefix of where a migration's closing report is kept, so that the one that
// somebody printed is the one that is downloaded later.
const closingSetting = "closing-report:"

// Report gives the closing report of a migration whose criteria are all met, as it was made when
// they first were, or after a later run; before that, the status report of now.
func (c *Control) Report(ctx context.Context, mid string) (Report, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return Report{}, err
	}
	complete := report.Complete(v)
	if complete {
		var kept Report
		found, err := c.store.Setting(ctx, closingSetting+mid, &kept)
		if err != nil {
			return Report{}, err
		}
		if found && !ranSince(v, kept.At) {
			return kept, nil
		}
	}
	made, err := c.makeReport(ctx, v)
	if err != nil || made.Orders.Unknown != "" || !complete {
		return made, err
	}
	return made, c.store.SetSetting(ctx, closingSetting+mid, made)
}

// Roadmap is where a migration stands against the dates of its plan: what its report says of
// them, without what else a report reads.
type Roadmap struct {
	Migration migration.Migration
	Steps     []migration.StepStatus
	Forecast  forecast.Forecast
	Waivers   []ReportWaiver
}

// Roadmap works it out.
func (c *Control) Roadmap(ctx context.Context, mid string) (Roadmap, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return Roadmap{}, err
	}
	lapsed, err := c.notifier.Lapsed(ctx, v)
	if err != nil {
		return Roadmap{}, err
	}
	out := Roadmap{Migration: v.Migration, Steps: v.Steps(), Forecast: report.Forecast(v, lapsed),
		Waivers: report.Waivers(v.Waivers)}
	return out, c.lacks(ctx, v, out.Steps)
}

// ranSince reports whether a run has ended after a time.
func ranSince(v progress.View, at time.Time) bool {
	return slices.ContainsFunc(v.Runs, func(r migration.Run) bool {
		return r.FinishedAt != nil && r.FinishedAt.After(at)
	})
}

func (c *Control) makeReport(ctx context.Context, v progress.View) (Report, error) {
	mid := v.Migration.ID
	v.Runs = slices.Clone(v.Runs)
	if err := c.outcomes(ctx, v.Runs); err != nil {
		return Report{}, err
	}
	in := report.Input{View: v, Actions: map[string][]migration.RunAction{}}
	in.Orders = c.ordersOf()
	in.Versions = versions(c.env.Workers.Workers())
	bounded, cancel := context.WithTimeout(ctx, 4*time.Second)
	capacity, err := c.costs.Capacity(bounded, mid)
	cancel()
	if err == nil {
		in.Costs = capacity.Phases
	} else if ctx.Err() != nil {
		return Report{}, err
	}
	for _, r := range v.Runs {
		if r.StartedAt == nil || r.Step != migration.StepSentinelMove &&
			r.Step != migration.StepMoveQueues {
			continue
		}
		run, err := c.store.Run(ctx, r.ID)
		if err != nil {
			return Report{}, err
		}
		in.Actions[r.ID] = run.Actions
	}
	if in.Failovers, err = c.store.Evidence(ctx, mid, evidence.Failover, 20); err != nil {
		return Report{}, err
	}
	if in.Rehearsals, err = c.store.Evidence(ctx, mid, evidence.Rollback, 20); err != nil {
		return Report{}, err
	}
	if in.Incidents, err = c.notifier.Incidents(ctx, mid); err != nil {
		return Report{}, err
	}
	if in.Lapsed, err = c.notifier.Lapsed(ctx, v); err != nil {
		return Report{}, err
	}
	return report.Build(in)
}

// ordersOf gives what the ledger says of orders. One that is not current has no figures.
func (c *Control) ordersOf() report.Orders {
	out := report.Orders{Source: "order ledger: the app's whole journal (attested by the app), " +
		"checked against both servers' events (observed)"}
	f, err := c.env.Journal.Facts()
	if err != nil {
		out.Unknown = "the order ledger is not current"
		return out
	}
	out.Acknowledged, out.Processed, out.Pending = f.Acknowledged, f.Fulfilled, f.Pending
	out.Lost, out.Twice = f.Lost, f.Duplicated
	return out
}

func versions(workers []migration.Worker) []report.Version {
	var out []report.Version
	for _, w := range workers {
		if !w.Live || w.Version == "" {
			continue
		}
		x := report.Version{What: w.Service, Version: w.Version}
		if w.BullMQ != "" {
			x.Version += fmt.Sprintf(", BullMQ %s", w.BullMQ)
		}
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b report.Version) int {
		return slices.Compare([]string{a.What, a.Version}, []string{b.What, b.Version})
	})
	return out
}
