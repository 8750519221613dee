// Package sentineltest is the step that tests the automatic failover.
package sentineltest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/sentinel"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers *environment.Servers
	Debts   *environment.Debts
	App     environment.App
	Journal *environment.Journal
}

// Step fails over twice: once planned, to see that everything is set up, and once by making
// the master unresponsive, so that Sentinel has to notice by itself. Only the second counts
// for the criterion.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepSentinelTest,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := engine.PlanResult{
				Summary: "Fail over twice: planned, then by freezing the primary so that " +
					"Sentinel has to detect it.",
				Impact: "Webhooks get 503 for about 1 s, then for the detection time plus a few " +
					"seconds (limit 30 s); the provider's retries deliver them again.",
			}
			if s.Servers.Cluster == nil {
				return out, environment.ErrNoSentinel()
			}
			out.Gates = append(out.Gates,
				v.SourceIs(migration.SourceSentinel, "The queues are on Sentinel",
					"run the step Move to Sentinel"),
				s.Servers.Clients.Gate(ctx, v.Migration.ID, s.Servers.Clients.Sentinels))
			facts, err := s.Servers.Readiness(ctx)
			if err != nil {
				return out, migration.Errorf(
					migration.Unavailable,
					"the Sentinel deployment cannot be read: %w",
					err,
				)
			}
			out.Gates = append(out.Gates, facts.Checks...)
			out.Observed = append(
				out.Observed,
				migration.Fact{Label: "Master", Value: facts.Master},
			)
			return out, nil
		},
		Result: result,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{
				{
					ActionPlan: migration.ActionPlan{
						ID:      "planned",
						Title:   "Planned failover",
						Changes: "another node becomes the primary",
						Undo:    "not needed: any node may be the primary",
					},
					Timeout: 3 * time.Minute,
					Do:      s.plannedFailover,
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:      "automatic",
						Title:   "Automatic failover: freeze the primary",
						Changes: "the primary stops responding until Sentinel has elected another",
						Undo:    "not needed: it recovers automatically, as a replica",
					},
					Timeout: 4 * time.Minute,
					Do:      s.automaticFailover,
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:    "ready-again",
						Title: "Wait until the deployment is ready again",
					},
					Do: func(ctx context.Context, c *engine.Call) (any, error) {
						return nil, s.Servers.RecordReadiness(ctx, c)
					},
				},
			}
		},
	}
}

// attempt is what a failover leaves behind: before it begins, who the master is, and when it
// was measured, the facts. A process that takes over finds out from it what has happened.
type attempt struct {
	evidence.FailoverFacts
	MasterRun string `json:"master_run,omitempty"` // run_id of OldMaster
}

func (a attempt) measured() bool { return a.NewMaster != "" }

// begin lifts what an earlier attempt left on the servers, and writes down who the master is.
// An attempt that was cut off is told by that: over says that its failover took place, so that
// it must not be carried out again.
func (s Parts) begin(
	ctx context.Context, c *engine.Call, kind string,
) (a attempt, over bool, err error) {
	known, err := c.Output(ctx, c.Action, &a)
	if err != nil || a.measured() {
		return a, a.measured(), err
	}
	if err := s.Debts.LiftEarlier(ctx, c,
		migration.DebtFence, migration.DebtClientPause); err != nil {
		return a, false, err
	}
	master, err := s.Servers.MasterNode(ctx)
	if err != nil {
		return a, false, err
	}
	defer environment.CloseNodes([]environment.Node{master})
	id, err := redisconn.RunID(ctx, master.Client)
	if err != nil {
		return a, false, redisconn.Explain(err)
	}
	if known {
		return a, id != a.MasterRun, nil
	}
	a.Kind, a.OldMaster, a.MasterRun = kind, master.Address, id
	return a, false, c.Remember(ctx, a)
}

func (s Parts) plannedFailover(ctx context.Context, c *engine.Call) (any, error) {
	a, over, err := s.begin(ctx, c, "planned")
	if err != nil {
		return nil, err
	}
	if over && !a.measured() {
		c.Warn("the failover away from %s took place before Switchyard was restarted: it was "+
			"not measured and is not repeated", a.OldMaster)
		return a, s.Servers.RecordReadiness(ctx, c)
	}
	if !over {
		if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Sentinels); err != nil {
			return nil, err
		}
		probe := startProbe(ctx, s)
		report, err := s.Servers.Cluster.PlannedFailover(
			ctx,
			c,
			func(s string) { c.Log("%s", s) },
		)
		firstAdd := probe.stop(ctx, report.StartedAt, err == nil)
		if err != nil {
			return nil, err
		}
		a.FailoverFacts = failoverFacts(report, firstAdd)
		if err := probe.followed(ctx, c, &a.FailoverFacts); err != nil {
			return nil, err
		}
		if err := c.Remember(ctx, a); err != nil {
			return nil, err
		}
	}
	c.Log(
		"planned failover %s -> %s: writes blocked for %s, BullMQ adds again after %s, %d "+
			"of %d acknowledged canary writes lost",
		a.OldMaster,
		a.NewMaster,
		a.BlockedMS.Text(ms),
		a.FirstAddMS.Text(ms),
		a.LostAcknowledged,
		a.Acknowledged,
	)
	if a.LostAcknowledged+a.LostAdds > 0 {
		return nil, fmt.Errorf(
			"%d acknowledged writes and %d acknowledged jobs were lost in a planned failover",
			a.LostAcknowledged,
			a.LostAdds,
		)
	}
	if late, err := a.Late(); err != nil || late != "" {
		return nil, errors.Join(err, named(late))
	}
	return a, s.Servers.RecordReadiness(ctx, c)
}

func (s Parts) automaticFailover(ctx context.Context, c *engine.Call) (any, error) {
	a, over, err := s.begin(ctx, c, "automatic")
	if err != nil {
		return nil, err
	}
	if over && !a.measured() {
		return nil, migration.Errorf(migration.Conflict, "the failover away from %s was cut off "+
			"when Switchyard was restarted: it took place, was not measured, and is not repeated "+
			"without being asked for. Run the step again", a.OldMaster)
	}
	if !over {
		if err := s.measureAutomatic(ctx, c, &a); err != nil {
			return nil, err
		}
	}
	c.Log(
		"automatic failover %s -> %s: detected after %d ms, elected after %d ms, writes after %s, "+
			"BullMQ adds after %s, %d of %d acknowledged writes lost",
		a.OldMaster,
		a.NewMaster,
		a.DetectMS,
		a.ElectionMS,
		a.FirstWriteMS.Text(ms),
		a.FirstAddMS.Text(ms),
		a.LostAcknowledged,
		a.Acknowledged,
	)
	return a, c.Prove(
		ctx,
		evidence.Failover,
		migration.Observed,
		"canary writer through Sentinel, and canary jobs through the app's BullMQ",
		a.FailoverFacts,
	)
}

// measureAutomatic fails over and keeps what was measured.
func (s Parts) measureAutomatic(ctx context.Context, c *engine.Call, a *attempt) error {
	if err := s.Servers.RecordReadiness(ctx, c); err != nil {
		return err
	}
	if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Sentinels); err != nil {
		return err
	}
	probe := startProbe(ctx, s)
	report, err := s.Servers.Cluster.AutomaticFailover(
		ctx,
		c,
		func(s string) { c.Log("%s", s) },
	)
	firstAdd := probe.stop(ctx, report.StartedAt, err == nil)
	a.FailoverFacts = failoverFacts(report, firstAdd)
	if err != nil {
		// A master that went away and was not replaced is a result, and it ends a row of
		// good ones. A test that never began is none.
		if report.NewMaster == "" && len(report.Timeline) > 0 && ctx.Err() == nil {
			err = errors.Join(
				err,
				c.Prove(
					ctx,
					evidence.Failover,
					migration.Observed,
					"canary writer through Sentinel",
					a.FailoverFacts,
				),
			)
		}
		return err
	}
	if err := probe.followed(ctx, c, &a.FailoverFacts); err != nil {
		return err
	}
	return c.Remember(ctx, *a)
}

func ms(n int64) string { return fmt.Sprintf("%d ms", n) }

// named makes an error of what is wrong; nil where nothing is.
func named(wrong string) error {
	if wrong == "" {
		return nil
	}
	return errors.New(wrong)
}

// seen is what a report measured; a report leaves 0 what it did not come to.
func seen(n int64) migration.Figure {
	if n <= 0 {
		return migration.Figure{}
	}
	return migration.Measured(n)
}

func failoverFacts(
	r sentinel.FailoverReport, firstAddMS migration.Figure,
) evidence.FailoverFacts {
	return evidence.FailoverFacts{
		Kind:             r.Kind,
		OldMaster:        r.OldMaster,
		NewMaster:        r.NewMaster,
		DetectMS:         r.DetectMS,
		ElectionMS:       r.ElectionMS,
		FirstWriteMS:     seen(r.FirstWriteMS),
		FirstAddMS:       firstAddMS,
		BlockedMS:        seen(r.BlockedMS),
		RecoveredMS:      seen(r.RecoveredMS),
		Acknowledged:     r.Acknowledged,
		LostAcknowledged: r.LostAcknowledged,
	}
}
