package workflows

import (
	"context"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// guardEvery is how often the guardrails are looked at while orders go to the target.
const guardEvery = 2 * time.Second

// bySelf is who asks for what nobody asked for.
var bySelf = migration.Actor{Name: "switchyard", Role: migration.RoleEngineer}

// guard looks after what a move forward has done until ctx ends. While the move is watched as a
// part of its run, the run takes itself back; afterwards it is done here.
func (c *Control) guard(ctx context.Context) {
	watches := map[string]*environment.Watch{}
	ticker := time.NewTicker(guardEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		all, err := c.store.Migrations(ctx)
		for _, m := range all {
			if watches[m.ID] == nil {
				watches[m.ID] = &environment.Watch{}
			}
			err = c.guardOne(ctx, m.ID, watches[m.ID])
			if err != nil && ctx.Err() == nil {
				c.log.Warn("the guardrails are not looked at", "migration", m.ID, "err", err)
			}
		}
		if len(all) == 0 && err != nil && ctx.Err() == nil {
			c.log.Warn("the guardrails are not looked at", "err", err)
		}
	}
}

// guardOne looks once. What is wrong with the target is told; shortly after a move forward the
// queue also goes back, by a run of its own that says why. What is wrong with the source is
// told elsewhere, and no reason to send more orders there.
func (c *Control) guardOne(ctx context.Context, mid string, watch *environment.Watch) error {
	v, err := c.view(ctx, mid)
	if err != nil {
		return err
	}
	if v.Routing.Stage == migration.StageOff {
		*watch = environment.Watch{}
		c.env.Vitals.Report(mid, environment.Fault{}, nil)
		return nil
	}
	former := func(r migration.Run) (migration.Params, error) {
		run, err := c.store.Run(ctx, r.ID) // with its actions
		if err != nil {
			return migration.Params{}, err
		}
		return c.steps[migration.StepCutover].Reverse(run)
	}
	limits := c.env.Vitals.Limits
	run, settling := v.Settling(limits.Watch, former)
	goesTo, asked := "", migration.Limits{}
	if v.Open != nil {
		asked = v.Open.Params.Limits
	} else if settling {
		asked = run.Params.Limits
	}
	// limits that were approved hold, unless the configuration has become stricter since
	if set, err := c.env.Vitals.Within(asked); err == nil {
		limits = set
	}
	if settling {
		if to, err := former(run); err == nil {
			goesTo = to.Move().String()
		}
	}
	readings, err := c.env.Vitals.Look(ctx, mid, v.Routing.Stage, limits, goesTo)
	rails := watch.Rails(readings)
	defer c.notify("guardrails")
	if err != nil {
		c.env.Vitals.Show(mid, rails)
		return nil // that the journal cannot be read is an alert of its own
	}
	breach, over := watch.Breach(c.now(), environment.FaultsOf(readings), limits.MaxSilence)
	over = over && breach.OnTarget()
	if !over {
		breach = environment.Fault{}
	}
	c.env.Vitals.Report(mid, breach, rails)
	if !over || v.Open != nil || !settling {
		return nil
	}
	back, err := former(run)
	if err != nil {
		return err
	}
	reason := breach.Text + ", within " + migration.Words(limits.Watch) +
		" of the move by run " + run.ID
	sp, err := c.plan(ctx, v, migration.StepCutover, back)
	if err != nil {
		return err
	}
	if len(migration.Failing(sp.Gates)) > 0 { // nothing to go back to
		return nil
	}
	sp.Observed = append(sp.Observed, migration.Fact{Label: "Reason", Value: reason})
	now, err := c.create(ctx, migration.Run{MigrationID: mid, Step: migration.StepCutover,
		Params: back, Plan: sp, RequestedBy: bySelf.Name})
	c.audit(ctx, bySelf, "start", migration.StepCutover+back.Suffix(), reason, err)
	c.log.Error("a guardrail is not kept, the queue goes back", "migration", mid, "run", now.ID,
		"to", back.Move().String(), "reason", reason)
	return err
}
