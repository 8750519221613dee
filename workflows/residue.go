package workflows

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// stampField is where the app stamps a job's authority in its data, and movedTo what the move adds, so that the target's workers run it.
const (
	stampField = "_switchyard"
	movedTo    = "movedTo"
)

// gateResidue names the gate that nothing may be left on the source before it is decommissioned.
const gateResidue = "residue"

// importLedger is the hash on the target that remembers which jobs were moved there. It stays until decommission: jobs that are removed
// when they complete leave no other trace.
const importLedger = "switchyard:import"

// moveResidue moves the jobs that are left on the source, delayed, retrying and failed ones mostly, to the live target, each exactly once.
func moveResidue() Step {
	return Step{
		ID:       migration.StepMoveResidue,
		Approval: migration.ApprovalOne,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			out := Outlook{Summary: "Pause the source's queues, let jobs in progress finish, and move every job that is left to the target, one by one.",
				Impact: "Delayed and retrying orders of the source run on the target from then on, at the time they were due. New orders are not touched."}
			stage := migration.Gate{ID: "stage", Title: "Cutover is complete", OK: v.routing.Stage == migration.StageComplete, Measured: v.routing.String(), Limit: "complete"}
			if !stage.OK {
				stage.Next = "finish the cutover first"
			}
			out.Gates = append(out.Gates, stage, sourceThere(v), fleetGate(e, v), ledgerGate(e), streamsGate(ctx, e, v.migration.ID))
			source, endpoint, err := e.Source(ctx, v.migration.ID)
			if err != nil {
				return out, err
			}
			for _, q := range e.queues {
				counts, err := bullmq.Census(ctx, source, q)
				if err != nil {
					return out, migration.Errorf(migration.Unavailable, "%s on %s cannot be counted: %w", q.Name, endpoint.Address(), err)
				}
				out.Observed = append(out.Observed, migration.Fact{Label: q.Name, Value: fmt.Sprintf("%d waiting, %d active, %d delayed, %d prioritized, %d failed", counts.Waiting, counts.Active, counts.Delayed, counts.Prioritized, counts.Failed)})
			}
			return out, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{
				{
					ActionPlan: migration.ActionPlan{ID: "pause-source", Title: "Pause the source's queues and let jobs in progress finish", Changes: "the source's workers take no new job", Undo: "resumes the source's queues"},
					Do: func(ctx context.Context, c *Call) (any, error) {
						source, _, err := c.Source(ctx, c.Run.MigrationID)
						if err != nil {
							return nil, err
						}
						return nil, c.pauseAndDrain(ctx, source)
					},
					Undo: func(ctx context.Context, c *Call) error {
						source, _, err := c.Source(ctx, c.Run.MigrationID)
						if err != nil {
							return err
						}
						return c.resumeQueues(ctx, source)
					},
				},
				{
					ActionPlan: migration.ActionPlan{ID: "move", Title: "Move what is left, job by job", Changes: "jobs leave the source and run on the target", Undo: "moved jobs stay on the target, where they run once; the source's queues are resumed", Pausable: true},
					Timeout:    2 * time.Hour,
					Do:         moveLeft,
					Undo:       func(context.Context, *Call) error { return nil },
				},
				{
					ActionPlan: migration.ActionPlan{ID: "verify", Title: "Count what is left on the source"},
					Do: func(ctx context.Context, c *Call) (any, error) {
						facts, err := c.residue(ctx, c.Run.MigrationID)
						if err != nil {
							return nil, err
						}
						moved := map[string]int{}
						if _, err := c.Output(ctx, "move", &moved); err != nil {
							return nil, err
						}
						for i, q := range facts.Queues {
							facts.Queues[i].Moved = moved[q.Queue]
						}
						return facts, c.Prove(ctx, evidence.Residue, migration.Observed, "counts of every state of every queue on the source", facts)
					},
				},
			}
		},
	}
}

func moveLeft(ctx context.Context, c *Call) (any, error) {
	source, _, err := c.Source(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	target, _, err := c.Target(ctx)
	if err != nil {
		return nil, err
	}
	moved := map[string]int{}
	if _, err := c.Output(ctx, c.Action, &moved); err != nil {
		return nil, err
	}
	limits := c.pace()
	for _, q := range c.queues {
		report, err := bullmq.Merge(ctx, source, target, q, bullmq.MergeOptions{
			Ledger: importLedger + ":" + q.Name,
			Rewrite: func(_ string, data []byte) ([]byte, error) {
				return bullmq.RewriteStamp(data, stampField, map[string]any{movedTo: "target"})
			},
			Pace: limits,
			Progress: func(p pace.Progress) {
				c.Measured(migration.Measure{What: q.Name, Phase: "jobs", Unit: "jobs", Done: p.Keys, Total: p.Total, PerSecond: p.KeysPerSecond, ETASeconds: p.ETASeconds, LatencyMS: p.LatencyMS,
					BackingOffMS: p.BackingOffMS}, "%s: %d of %d jobs moved", q.Name, p.Keys, p.Total)
			},
		})
		moved[q.Name] += report.Moved
		if rememberErr := c.Remember(context.WithoutCancel(ctx), moved); rememberErr != nil {
			return nil, rememberErr
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.Name, err)
		}
		c.Log("%s: %d jobs moved, %d were there already, %d conflicts %v", q.Name, report.Moved, report.AlreadyThere, report.Conflicts, report.ByState)
		if report.Conflicts > 0 {
			return nil, fmt.Errorf("%s: %d jobs were not moved because the target holds another job of the same id: %v; compare them by hand", q.Name, report.Conflicts, report.ConflictIDs)
		}
	}
	return moved, nil
}

// residue counts what is not finished on the source, in every queue that is found there, not the pipeline's alone: all of them go with the
// server. Shadow copies are left out: they carry no side effects, and their originals are in the order ledger.
func (e *Estate) residue(ctx context.Context, mid string) (evidence.ResidueFacts, error) {
	source, _, err := e.Source(ctx, mid)
	if err != nil {
		return evidence.ResidueFacts{}, err
	}
	return e.residueOn(ctx, source)
}

func (e *Estate) residueOn(ctx context.Context, source redis.UniversalClient) (evidence.ResidueFacts, error) {
	var facts evidence.ResidueFacts
	others, err := e.otherQueues(ctx, source)
	if err != nil {
		return facts, err
	}
	for _, q := range slices.Concat(e.queues, others) {
		counts, err := bullmq.Census(ctx, source, q)
		if err != nil {
			return facts, fmt.Errorf("%s: %w", q.Name, err)
		}
		facts.Queues = append(facts.Queues, evidence.QueueResidue{Queue: q.String(), Pending: counts.Pending()})
	}
	return facts, nil
}
