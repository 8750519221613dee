// Package residue is the step that moves the jobs which are left on the source.
package residue

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn/pace"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Servers *environment.Servers
	Debts   *environment.Debts
	Workers *environment.Workers
	Journal *environment.Journal
	Streams *environment.Streams
	Move    config.Move
}

// stampField is where the app stamps a job's authority in its data, and movedTo what the
// move adds, so that the target's workers run it.
const (
	stampField = "_switchyard"
	movedTo    = "movedTo"
)

// importLedger is the hash on the target that remembers which jobs were moved there. It
// stays until decommission: jobs that are removed when they complete leave no other trace.
const importLedger = "switchyard:import"

// Step moves the jobs that are left on the source, delayed, retrying and failed ones
// mostly, to the live target, each exactly once.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepMoveResidue,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := engine.PlanResult{
				Summary: "Pause the source's queues, let jobs in progress finish, and move " +
					"every remaining job to the target one by one.",
				Impact: "Delayed and retrying orders from the source then run on the target at " +
					"their original due time. New orders are not affected.",
			}
			out.Gates = append(
				out.Gates,
				v.StageGate("Cutover is complete", "complete", "finish the cutover first",
					migration.StageComplete),
				v.SourceThere(),
				s.Workers.Gate(ctx, v.Migration.ID, v.Routing.Revision, true),
				s.Journal.Gate(true),
				s.Streams.Gate(ctx, v.Migration.ID),
			)
			if v.Routing.Source != migration.SourceNone {
				out.Gates = append(out.Gates,
					s.Servers.Clients.Gate(ctx, v.Migration.ID, s.Servers.Clients.Source))
			}
			source, endpoint, err := s.Servers.Source(ctx, v.Migration.ID)
			if err != nil {
				return out, err
			}
			for _, q := range s.Servers.Queues {
				counts, err := bullmq.Census(ctx, source, q)
				if err != nil {
					return out, migration.Errorf(
						migration.Unavailable,
						"%s on %s cannot be counted: %w",
						q.Name,
						endpoint.Address(),
						err,
					)
				}
				out.Observed = append(
					out.Observed,
					migration.Fact{
						Label: q.Name,
						Value: fmt.Sprintf(
							"%d waiting, %d active, %d delayed, %d prioritized, %d failed",
							counts.Waiting,
							counts.Active,
							counts.Delayed,
							counts.Prioritized,
							counts.Failed,
						),
					},
				)
			}
			stalled, err := s.Servers.StalledFacts(ctx, source)
			out.Observed = append(out.Observed, stalled...)
			return out, err
		},
		Result: result,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{
				{
					ActionPlan: migration.ActionPlan{
						ID:      "pause-source",
						Title:   "Pause the source's queues and let jobs in progress finish",
						Changes: "the source's workers take no new jobs",
						Undo:    "resumes the source's queues",
					},
					Do: func(ctx context.Context, c *engine.Call) (any, error) {
						source, _, err := s.Servers.Source(ctx, c.Run.MigrationID)
						if err != nil {
							return nil, err
						}
						if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Source); err != nil {
							return nil, err
						}
						return nil, s.Servers.PauseAndDrain(ctx, c, source)
					},
					Undo: func(ctx context.Context, c *engine.Call) error {
						source, _, err := s.Servers.Source(ctx, c.Run.MigrationID)
						if err != nil {
							return err
						}
						return s.Servers.ResumeQueues(ctx, c, source)
					},
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:      "move",
						Title:   "Move the remaining jobs one by one",
						Changes: "jobs move from the source to the target",
						Undo: "moved jobs stay on the target and run there once; the " +
							"source's queues resume",
						Pausable: true,
					},
					Timeout: 2 * time.Hour,
					Do:      s.moveLeft,
					Undo:    func(context.Context, *engine.Call) error { return nil },
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:    "verify",
						Title: "Count remaining jobs on the source",
					},
					Do: func(ctx context.Context, c *engine.Call) (any, error) {
						facts, err := s.Servers.Residue(ctx, c.Run.MigrationID)
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
						if err := c.Prove(
							ctx,
							evidence.Residue,
							migration.Observed,
							"counts of every state of every queue on the source",
							facts,
						); err != nil {
							return facts, err
						}
						return facts, s.Debts.Forgive(ctx, c, "what is added there late is moved, "+
							"not run")
					},
				},
			}
		},
	}
}

func (s Parts) moveLeft(ctx context.Context, c *engine.Call) (any, error) {
	source, _, err := s.Servers.Source(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	target, _, err := s.Servers.Target(ctx)
	if err != nil {
		return nil, err
	}
	moved := map[string]int{}
	if _, err := c.Output(ctx, c.Action, &moved); err != nil {
		return nil, err
	}
	limits := pace.Pace{
		SourceRate: s.Move.SourceRate,
		TargetRate: s.Move.TargetRate,
		MaxLatency: s.Move.MaxLatency,
		Gate:       c.Gate(),
	}
	for _, q := range s.Servers.Queues {
		report, err := bullmq.Merge(ctx, source, target, q, bullmq.MergeOptions{
			Ledger: importLedger + ":" + q.String(),
			Rewrite: func(_ string, data []byte) ([]byte, error) {
				return bullmq.RewriteStamp(data, stampField, map[string]any{movedTo: "target"})
			},
			Pace: limits,
			Progress: func(p pace.Progress) {
				c.Measured(
					migration.Measure{
						What:         q.Name,
						Phase:        "jobs",
						Unit:         "jobs",
						Done:         p.Keys,
						Total:        p.Total,
						PerSecond:    p.KeysPerSecond,
						ETASeconds:   p.ETASeconds,
						LatencyMS:    p.LatencyMS,
						BackingOffMS: p.BackingOffMS,
					},
					"%s: %d of %d jobs moved",
					q.Name,
					p.Keys,
					p.Total,
				)
			},
		})
		moved[q.String()] += report.Moved
		if rememberErr := c.Remember(context.WithoutCancel(ctx), moved); rememberErr != nil {
			return nil, rememberErr
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.Name, err)
		}
		c.Log(
			"%s: %s moved, %d already there, %s %v",
			q.Name,
			migration.Count(report.Moved, "job"),
			report.AlreadyThere,
			migration.Count(report.Conflicts, "conflict"),
			report.ByState,
		)
		if report.Conflicts > 0 {
			return nil, fmt.Errorf(
				"%s: %s not moved because the target has a different job with the same ID: %v; "+
					"compare them manually",
				q.Name,
				migration.Count(report.Conflicts, "job was", "jobs were"),
				report.ConflictIDs,
			)
		}
	}
	return moved, nil
}
