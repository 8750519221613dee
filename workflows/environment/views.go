package environment

import (
	"context"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Views reads what decides what may be done next.
type Views struct {
	store   *store.Store
	routing *Routing
	world   *World
	ramp    []int
	now     func() time.Time
}

// Read reads everything anew.
func (r *Views) Read(ctx context.Context, mid string) (progress.View, error) {
	v := progress.View{Ramp: r.ramp, At: r.now()}
	var err error
	if v.Migration, err = r.store.Migration(ctx, mid); err != nil {
		return v, err
	}
	if v.Routing, v.StageSince, err = r.routing.Since(ctx, mid); err != nil {
		return v, err
	}
	if v.Queues, err = r.routing.Queues(ctx, mid); err != nil {
		return v, err
	}
	if v.Latest, err = r.store.LatestEvidence(ctx, mid); err != nil {
		return v, err
	}
	if v.Runs, err = r.store.Runs(ctx, mid, "", 1000); err != nil {
		return v, err
	}
	if v.Open, err = r.store.OpenRun(ctx, mid); err != nil {
		return v, err
	}
	if v.World, err = r.world.Known(ctx, mid); err != nil {
		return v, err
	}
	if v.Waivers, err = r.store.Waivers(ctx, mid, nil); err != nil {
		return v, err
	}
	basis := v.Basis()
	if basis.History, err = r.History(ctx, v.Migration); err != nil {
		return v, err
	}
	v.Checklist = evidence.Evaluate(v.Migration.Plan, basis)
	return v, nil
}

// Fresh looks at the world before it reads, so that what is decided by it is about what is
// there now.
func (r *Views) Fresh(ctx context.Context, mid string) (progress.View, error) {
	if err := r.world.Look(ctx, mid); err != nil {
		return progress.View{}, err
	}
	return r.Read(ctx, mid)
}

// History gives the observations of the checks that a plan wants several of in a row.
func (r *Views) History(
	ctx context.Context,
	m migration.Migration,
) (map[string][]migration.Evidence, error) {
	history := map[string][]migration.Evidence{}
	for _, check := range m.Plan.Repeated() {
		// Twice the count: some may be inconclusive, or of one run. Longer rows are not
		// counted further than that.
		rows, err := r.store.Evidence(ctx, m.ID, check, 2*migration.MaxMinCount)
		if err != nil {
			return nil, err
		}
		history[check] = rows
	}
	return history, nil
}
