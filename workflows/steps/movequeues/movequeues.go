// Package movequeues is the step that moves the queues which no flag routes.
package movequeues

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard-dev/switchyard/bullmq"
	"github.com/switchyard-dev/switchyard/bullmq/move"
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
	Servers  *environment.Servers
	Managed  *environment.Managed
	Settings Settings
	Move     config.Move
}

// Settings keeps what the step remembers of its moves.
type Settings interface {
	Setting(ctx context.Context, key string, v any) (bool, error)
	SetSetting(ctx context.Context, key string, v any) error
}

// pace is what a move may ask of both servers, by the configuration, and holds it up while
// its run is paused.
func (s Parts) pace(c *engine.Call) pace.Pace {
	return pace.Pace{
		SourceRate: s.Move.SourceRate,
		TargetRate: s.Move.TargetRate,
		MaxLatency: s.Move.MaxLatency,
		Gate:       c.Gate(),
	}
}

// drainLimit is how long jobs in progress may take once a queue was paused; then it is
// resumed and the move given up.
const drainLimit = 2 * time.Minute

// queueMove is what is remembered of one move of whole queues, so that a later run goes on
// with it, sweeps again, or takes it back.
type queueMove struct {
	// of package move; "" before the first one, and after the queues came back
	Run    string         `json:"run"`
	Back   string         `json:"back,omitempty"` // the move that brought them back before
	Queues []bullmq.Queue `json:"queues"`
	Done   bool           `json:"done"`
	Report move.Report    `json:"report"`
	Swept  int            `json:"swept"`
}

func (m queueMove) names() string {
	var names []string
	for _, q := range m.Queues {
		names = append(names, q.String())
	}
	return strings.Join(names, ", ")
}

// Step moves the queues that no flag routes. The pipeline's own queues change sides by
// flag, order by order; the shop's other queues share the old server with them, and would
// go down with it.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepMoveQueues,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := engine.PlanResult{
				Summary: "Move every queue of the source that no flag routes to the target, " +
					"whole: copied while it lives, then at a stand for what changed meanwhile.",
				Impact: "No job of these queues runs for some hundred milliseconds each. Their " +
					"apps have to use the target from then on: what they still add on the source " +
					"is carried over when the step runs again.",
			}
			// which says that the target evicts nothing
			out.Gates = append(out.Gates, v.SourceThere(), v.CheckGate(evidence.TargetPlan))
			if v.Routing.Source != migration.SourceNone {
				out.Gates = append(out.Gates,
					s.Servers.Clients.Gate(ctx, v.Migration.ID, s.Servers.Clients.Source))
			}
			source, endpoint, err := s.Servers.Source(ctx, v.Migration.ID)
			if err != nil {
				return out, err
			}
			target, _, err := s.Servers.Target(ctx)
			if err != nil {
				return out, err
			}
			found, err := bullmq.Look(ctx, source)
			if err != nil {
				return out, migration.Errorf(
					migration.Unavailable,
					"the queues on %s cannot be listed: %w",
					endpoint.Address(),
					err,
				)
			}
			out.Observed = append(out.Observed, notMoved(found)...)
			others := s.Servers.NotOwn(found.BullMQ())
			if len(others) == 0 {
				out.Observed = append(
					out.Observed,
					migration.Fact{Label: "Other queues", Value: "none"},
				)
				return out, nil
			}
			planned, listed, err := s.planQueueMoves(ctx, v.Migration.ID, source, found, others)
			if err != nil {
				return out, err
			}
			out.Observed = append(out.Observed, leftAlone(listed)...)
			there, err := bullmq.Look(ctx, target)
			if err != nil {
				return out, migration.Errorf(migration.Unavailable,
					"the queues on the target cannot be listed: %w", err)
			}
			for _, p := range planned {
				gate, err := queueMoveGate(ctx, source, target, p, &found, &there)
				if err != nil {
					return out, err
				}
				out.Gates = append(out.Gates, gate)
				for _, q := range p.Queues {
					fact, err := queueFact(ctx, source, target, q, listed)
					if err != nil {
						return out, err
					}
					out.Observed = append(out.Observed, fact)
				}
			}
			return out, nil
		},
		Result: result,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{
				{
					ActionPlan: migration.ActionPlan{
						ID:       "move-queues",
						Title:    "Move each group of queues",
						Changes:  "jobs, schedulers and settings leave the source and run on the target",
						Undo:     "moves them back to the source",
						Pausable: true,
					},
					Timeout: 6 * time.Hour,
					Do:      s.doMoveQueues,
					Undo:    s.undoMoveQueues,
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:      "sweep",
						Title:   "Carry over what was added on the source meanwhile",
						Changes: "late jobs leave the source and run on the target",
						Undo:    "they go back with their queue",
					},
					Timeout: 2 * time.Hour,
					Do:      s.sweepQueues,
					Undo:    func(context.Context, *engine.Call) error { return nil },
				},
			}
		},
	}
}

func queueMovesSetting(mid string) string { return "queue-moves:" + mid }

func (s Parts) queueMoves(ctx context.Context, mid string) ([]queueMove, error) {
	var moves []queueMove
	_, err := s.Settings.Setting(ctx, queueMovesSetting(mid), &moves)
	return moves, err
}

func (m queueMove) options() move.Options {
	// the gate asks for CheckTargetPlan, and the move itself asks again
	return move.Options{
		Run:         cmp.Or(m.Run, "planned"),
		Queues:      m.Queues,
		Replaces:    m.Back,
		Drain:       drainLimit,
		EvictionOff: true,
	}
}

func (s Parts) doMoveQueues(ctx context.Context, c *engine.Call) (any, error) {
	if err := s.Managed.EvictsNothing(ctx, c); err != nil {
		return nil, err
	}
	source, target, closed, err := s.Servers.OpenBulk(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	defer closed()
	found, err := bullmq.Look(ctx, source)
	if err != nil {
		return nil, err
	}
	moves, _, err := s.planQueueMoves(ctx, c.Run.MigrationID, source, found,
		s.Servers.NotOwn(found.BullMQ()))
	if err != nil {
		return nil, err
	}
	for i := range moves {
		if moves[i].Run == "" {
			moves[i].Run = fmt.Sprintf("%s-%d", c.Run.ID, i)
		}
	}
	if err := s.Servers.Clients.Check(ctx, c, s.Servers.Clients.Source); err != nil {
		return nil, err
	}
	if err := s.Settings.SetSetting(ctx, queueMovesSetting(c.Run.MigrationID), moves); err != nil {
		return nil, err
	}
	for i, m := range moves {
		if m.Done {
			if err := s.Servers.Moved(ctx, c, m.Queues); err != nil {
				return nil, err
			}
			continue
		}
		o := m.options()
		o.Pace, o.MaxFreeze = s.pace(c), s.Move.MaxFreeze
		o.Progress = func(p move.Progress) {
			c.Measured(
				migration.Measure{
					What:         m.names(),
					Phase:        p.Phase,
					Unit:         "keys",
					Done:         p.Keys,
					Total:        p.Total,
					PerSecond:    p.KeysPerSecond,
					ETASeconds:   p.ETASeconds,
					Changed:      p.Changed,
					FreezeMS:     p.FreezeMS,
					LatencyMS:    p.LatencyMS,
					BackingOffMS: p.BackingOffMS,
				},
				"%s: %s, %d keys copied of about %d, %d changed since; would stand still for %d ms",
				m.names(),
				p.Phase,
				p.Keys,
				p.Total,
				p.Changed,
				p.FreezeMS,
			)
		}
		if err := s.Servers.OweMove(ctx, c, m.Queues); err != nil {
			return nil, err
		}
		report, err := move.Move(ctx, source, target, o)
		if err != nil {
			return nil, err
		}
		moves[i].Done, moves[i].Report = true, report
		if err := s.Settings.SetSetting(context.WithoutCancel(ctx),
			queueMovesSetting(c.Run.MigrationID), moves); err != nil {
			return nil, err
		}
		if err := s.Servers.Moved(ctx, c, m.Queues); err != nil {
			return nil, err
		}
		c.Log(
			"%s: moved in %d ms, stood still for %d ms (predicted %d); %d keys copied and "+
				"compared, %d of them at the stand; jobs %v",
			m.names(),
			report.CopyMS,
			report.FreezeMS,
			report.PredictedMS,
			report.Keys,
			report.Changed,
			report.Jobs,
		)
		if len(report.Empty) > 0 {
			c.Log(
				"%s: %d ids were listed without a job and left out: %v",
				m.names(),
				len(report.Empty),
				report.Empty,
			)
		}
	}
	return moves, nil
}

func (s Parts) sweepQueues(ctx context.Context, c *engine.Call) (any, error) {
	source, target, closed, err := s.Servers.OpenBulk(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	defer closed()
	moves, err := s.queueMoves(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	for i, m := range moves {
		if !m.Done {
			continue
		}
		swept, err := move.Sweep(ctx, source, target, m.options())
		for q, r := range swept {
			if moves[i].Swept += r.Moved; r.Moved > 0 {
				c.Log("%s: %d late jobs carried over", q, r.Moved)
			}
			if r.Conflicts > 0 {
				c.Log(
					"%s: %d late jobs stay on the source, because the target holds others of the same id: %v",
					q,
					r.Conflicts,
					r.ConflictIDs,
				)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return moves, s.Settings.SetSetting(ctx, queueMovesSetting(c.Run.MigrationID), moves)
}

// undoMoveQueues brings every queue back: one that was not let at by the target's workers
// as if nothing had been, the others by a move in the other direction.
func (s Parts) undoMoveQueues(ctx context.Context, c *engine.Call) error {
	source, target, closed, err := s.Servers.OpenBulk(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	defer closed()
	moves, err := s.queueMoves(ctx, c.Run.MigrationID)
	if err != nil {
		return err
	}
	for i, m := range slices.Backward(moves) {
		if m.Run == "" {
			continue
		}
		if err := s.Servers.OweMove(ctx, c, m.Queues); err != nil {
			return err
		}
		after, err := takeBack(ctx, source, target, m)
		if err != nil {
			return err
		}
		c.Log("%s: back on the source", m.names())
		moves[i] = after
		if err := s.Settings.SetSetting(context.WithoutCancel(ctx),
			queueMovesSetting(c.Run.MigrationID), moves); err != nil {
			return err
		}
		if err := s.Servers.Moved(ctx, c, m.Queues); err != nil {
			return err
		}
	}
	return nil
}

// takeBack brings the queues of one move back, and gives what is remembered of it then. Once the
// move in the other direction was begun it is finished, and nothing else is done: what a late
// producer adds on the source from then on is where it belongs.
func takeBack(
	ctx context.Context, source, target redis.UniversalClient, m queueMove,
) (queueMove, error) {
	after := queueMove{Queues: m.Queues, Back: m.Back}
	back := move.Options{
		Run:      m.Run + "-back",
		Queues:   m.Queues,
		Replaces: m.Run,
		Drain:    drainLimit,
	}
	begun, err := move.Begun(ctx, source, back)
	if err != nil {
		return after, err
	}
	if !begun {
		err := move.Back(ctx, source, target, m.options())
		if migration.KindOf(err) != migration.Blocked || err == nil {
			return after, err
		}
		// the target's workers have been at it
		if _, err := move.Sweep(ctx, source, target, m.options()); err != nil {
			return after, err
		}
	}
	after.Back = back.Run
	_, err = move.Move(ctx, target, source, back)
	return after, err
}
