package workflows

import (
	"context"
	"encoding/json"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Ready reports whether requests can be served, and what is wrong where something is.
func (c *Control) Ready(ctx context.Context) (bool, map[string]string) {
	detail := map[string]string{"database": "ok", "flags": "ok", "ledger": "ok"}
	ok := true
	if err := c.store.Ping(ctx); err != nil {
		detail["database"], ok = "does not answer", false
	}
	if stale, since := c.readers.Flags.Stale(); stale {
		detail["flags"] = "last known good, since " + since.UTC().Format(time.RFC3339)
	}
	if _, err := c.env.Journal.Read(); err != nil {
		detail["ledger"] = migration.PlainError(err)
	}
	return ok, detail
}

// Migrations lists the migrations.
func (c *Control) Migrations(ctx context.Context) ([]migration.Migration, error) {
	return c.store.Migrations(ctx)
}

// Evidence lists the observations of a check (empty: of all), newest first.
func (c *Control) Evidence(
	ctx context.Context,
	mid, check string,
	limit int,
) ([]migration.Evidence, error) {
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return nil, err
	}
	return c.store.Evidence(ctx, mid, check, limit)
}

// Workers lists who reads a migration's flag sets and was heard of in the last hour.
func (c *Control) Workers(context.Context, string) ([]migration.Worker, error) {
	return c.readers.Fleet.Workers(), nil
}

// fresh is the view after a look at what is there now: for what is decided by it.
func (c *Control) fresh(ctx context.Context, mid string) (progress.View, error) {
	v, err := c.env.Views.Fresh(ctx, mid)
	if err == nil {
		h := c.notifier.Headline(ctx, mid)
		v.Headline = &h
	}
	return v, err
}

func (c *Control) view(ctx context.Context, mid string) (progress.View, error) {
	v, err := c.env.Views.Read(ctx, mid)
	if err == nil {
		h := c.Headline(mid)
		v.Headline = &h
	}
	return v, err
}

// known gives NotFound for a migration that there is not.
func (c *Control) known(ctx context.Context, mid string) error {
	_, err := c.store.Migration(ctx, mid)
	return err
}

// Overview gives everything that the first page shows.
func (c *Control) Overview(ctx context.Context, mid string) (migration.Overview, error) {
	v, err := c.view(ctx, mid)
	if err != nil {
		return migration.Overview{}, err
	}
	o := migration.Overview{
		Migration: v.Migration,
		Plan:      v.Migration.Plan,
		Routing:   v.Routing,
		Checklist: v.Checklist,
		Steps:     v.Steps(),
		NextSteps: v.NextSteps(),
		OpenRun:   v.Open,
		WayBack:   wayBack(v),
		Workers:   c.env.Workers.Workers(),
		Phase:     v.Phase(),
		Headline:  *v.Headline,
		At:        v.At,
	}
	if facts, ok := environment.AuditFactsOf(v.Latest); ok && v.Routing.HasSource() {
		o.Alerts, o.AuditProblems = facts.Alerts(), facts.Problems()
		o.AuditAt = v.Latest[evidence.Audit].ObservedAt
	}
	if err := c.lacks(ctx, v, o.Steps); err != nil {
		return migration.Overview{}, err
	}
	// A ledger that is not current shows no figures rather than old ones.
	ledger, err := c.env.Journal.Read()
	if err != nil {
		o.OrdersError = migration.PlainError(err)
		return o, nil // the page shows it
	}
	if o.Orders, err = c.env.Journal.Facts(); err != nil {
		o.OrdersError = migration.PlainError(err)
	}
	s := ledger.Window(v.StageSince.UnixMilli(), 0, v.At, c.cfg.Migration.OrderDeadline)
	o.Observed = migration.Share{Target: s.OnTarget, Orders: s.Orders}
	return o, nil
}

// wayBack is the next move back and what its rehearsal has shown; nil where there is none.
func wayBack(v progress.View) *migration.WayBack {
	move, ok := v.WayBack()
	if !ok {
		return nil
	}
	f := v.Finding(evidence.Rollback)
	back := &migration.WayBack{Move: move, Rehearsal: f.Verdict}
	if e := f.Evidence; e != nil {
		var facts evidence.RollbackFacts
		if json.Unmarshal(e.Facts, &facts) == nil {
			back.RehearsedAt, back.TookMS = &e.ObservedAt, facts.RollbackMS
			back.RehearsedFrom, back.RehearsedTo = facts.From, facts.To
		}
	}
	return back
}
