package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// cutover moves the queue by one stage, forward or back. A forward move is gated and watched for a while; a move back is always allowed.
func cutover(cfg config.Config) Step {
	return Step{
		ID:       migration.StepCutover,
		Approval: migration.ApprovalOne,
		Look: func(ctx context.Context, e *Estate, p migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			if p == (migration.Params{}) {
				move, _, ok := v.nextMove()
				if !ok {
					return Outlook{}, migration.Errorf(migration.Invalid, "say where to: give the stage to move to (the queue is at %s)", v.routing)
				}
				return Outlook{}, migration.Errorf(migration.Invalid, "say where to: give the stage to move to (the queue is at %s, next is %s)", v.routing, move)
			}
			if err := v.routing.Check(p.Move()); err != nil {
				return Outlook{}, err
			}
			out := Outlook{Summary: fmt.Sprintf("Move the queue from %s to %s.", v.routing, p.Move()), Impact: impact[p.To]}
			if v.routing.Forward(p.Move()) {
				out.Gates = forwardGates(ctx, e, v, p.Move())
			} else {
				out.Impact = "A move back: needs no approval and takes about a second. " + impact[p.To]
				out.Approval = migration.ApprovalNone
				out.Gates = []migration.Gate{sourceThere(v)}
			}
			return out, nil
		},
		Actions: func(p migration.Params) []Action { return cutoverActions(cfg, p) },
		Reverse: func(run migration.Run) (migration.Params, error) {
			var former migration.Routing
			for _, a := range run.Actions {
				if a.ID == "set-flags" && a.Output != nil {
					if err := json.Unmarshal(a.Output, &former); err != nil {
						return migration.Params{}, err
					}
				}
			}
			if !former.Stage.Valid() {
				return migration.Params{}, migration.Errorf(migration.Conflict, "run %s did not record the stage before it", run.ID)
			}
			return migration.Params{To: former.Stage, Ramp: former.Ramp}, nil
		},
	}
}

var impact = map[migration.Stage]string{
	migration.StageOff:       "Orders use the source alone.",
	migration.StageDualWrite: "Orders run on the source as before; each also leaves a waiting copy on the target.",
	migration.StageShadow:    "Orders run on the source as before; the target runs the copies without side effects.",
	migration.StageLive:      "For the given share of orders the target is the authority; the other side runs a copy without side effects.",
	migration.StageRampDown:  "Every order runs on the target; a copy waits on the source.",
	migration.StageComplete:  "Every new order uses the target alone. Jobs left on the source still run there.",
}

func cutoverActions(cfg config.Config, p migration.Params) []Action {
	title := "Set the stage flag to " + p.Move().String()
	return []Action{
		{
			ActionPlan: migration.ActionPlan{ID: "set-flags", Title: title, Changes: "the routing flags; orders that are stamped already keep their stamp",
				Undo: "sets the former stage again"},
			Do: func(ctx context.Context, c *Call) (any, error) {
				v, err := readView(ctx, c.Estate, c.Run.MigrationID)
				if err != nil {
					return nil, err
				}
				former := v.routing
				if known, err := c.Output(ctx, c.Action, &former); err != nil {
					return nil, err
				} else if !known {
					// The gates were checked when the run was approved; this is the last look before production changes.
					if v.routing.Forward(p.Move()) {
						if err := blocked(migration.StepCutover, forwardGates(ctx, c.Estate, v, p.Move())); err != nil {
							return nil, err
						}
					}
					if err := c.Remember(ctx, former); err != nil {
						return nil, err
					}
				}
				next := migration.Routing{Stage: p.To, Ramp: p.Ramp, Source: v.routing.Source}
				revision, err := c.setRouting(ctx, c.Run.MigrationID, next, c.Run.RequestedBy, "cutover to "+p.Move().String(), c.Run.ID)
				if err != nil {
					return nil, err
				}
				c.Log("flag revision %d says %s (was %s)", revision, next, former)
				return former, nil
			},
			Undo: func(ctx context.Context, c *Call) error {
				var former migration.Routing
				if ok, err := c.Output(ctx, "set-flags", &former); err != nil || !ok {
					return err
				}
				now, err := c.Routing(ctx, c.Run.MigrationID)
				if err != nil {
					return err
				}
				former.Source = now.Source
				revision, err := c.setRouting(ctx, c.Run.MigrationID, former, "switchyard", "cutover taken back to "+former.String(), c.Run.ID)
				if err != nil {
					return err
				}
				_, err = c.awaitWorkers(ctx, revision)
				return err
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "await-workers", Title: "Wait until every live worker uses the new flags for everything in flight"},
			Do: func(ctx context.Context, c *Call) (any, error) {
				var former migration.Routing
				if _, err := c.Output(ctx, "set-flags", &former); err != nil {
					return nil, err
				}
				now, err := c.Routing(ctx, c.Run.MigrationID)
				if err != nil {
					return nil, err
				}
				set, err := c.flagTime(ctx, c.Run.MigrationID, now.Revision)
				if err != nil {
					return nil, err
				}
				workers, err := c.awaitWorkers(ctx, now.Revision)
				if err != nil {
					return nil, err
				}
				took := c.now().Sub(set)
				if !former.Forward(p.Move()) {
					return nil, c.Evidence(ctx, evidence.Rollback, migration.Observed, "flag change to acknowledgement by every live worker",
						evidence.RollbackFacts{From: former.String(), To: p.Move().String(), RollbackMS: took.Milliseconds(), Workers: workers})
				}
				return map[string]any{"workers": workers, "ms": took.Milliseconds()}, nil
			},
		},
		{
			ActionPlan: migration.ActionPlan{ID: "soak", Title: "Watch the order ledger for a while"},
			Timeout:    cfg.Migration.Soak + 2*time.Minute,
			Do: func(ctx context.Context, c *Call) (any, error) {
				var former migration.Routing
				if _, err := c.Output(ctx, "set-flags", &former); err != nil {
					return nil, err
				}
				if !former.Forward(p.Move()) {
					return nil, nil
				}
				return soak(ctx, c)
			},
		},
	}
}

// flagTime is when a revision of the flag set was made.
func (e *Estate) flagTime(ctx context.Context, mid string, revision int64) (time.Time, error) {
	if revision == 0 {
		return time.Time{}, nil
	}
	r, err := e.store.FlagSetRevision(ctx, mid, revision)
	return r.At, err
}

// soak watches the ledger: nothing may be lost, applied twice or different while the new stage settles.
func soak(ctx context.Context, c *Call) (any, error) {
	started := c.now()
	err := await(ctx, 500*time.Millisecond, func(ctx context.Context) error {
		ledger, err := c.ledger.read()
		if err != nil {
			return notYet("the ledger is not current: %v", err)
		}
		s := ledger.Summary(c.now(), c.cfg.Migration.OrderDeadline)
		if s.Lost > 0 || s.Duplicated > 0 || s.Mismatches > 0 {
			return fmt.Errorf("the ledger shows %d lost, %d applied twice, %d different results", s.Lost, s.Duplicated, s.Mismatches)
		}
		red, _, _, err := c.streamsNow(ctx, c.Run.MigrationID)
		if err != nil {
			return notYet("the streams' ledger cannot be read: %v", err)
		}
		if len(red) > 0 {
			return errors.New(red[0])
		}
		left := c.cfg.Migration.Soak - c.now().Sub(started)
		if left <= 0 {
			return nil
		}
		c.Progress("watching for another %s: %d orders, 0 lost, 0 twice, 0 different", left.Round(time.Second), s.Orders)
		return notYet("soaking")
	})
	if err == nil {
		c.Log("watched for %s: nothing lost, nothing twice, nothing different", c.cfg.Migration.Soak)
	}
	return nil, err
}

// forwardGates are the preconditions of a move towards the target.
func forwardGates(ctx context.Context, e *Estate, v view, m migration.StageMove) []migration.Gate {
	gates := []migration.Gate{sourceThere(v), fleetGate(e, v), ledgerGate(e), streamsGate(ctx, e, v.migration.ID)}
	criteria := []string{"noeviction", "sentinel-failover", "target-provisioned", "circuit-breaker", "webhook-retry"}
	if m.To.Index() >= migration.StageLive.Index() {
		criteria = append(criteria, "parallel-validated")
		gates = append(gates, checkGate(v, evidence.Rollback))
	}
	for _, id := range criteria {
		for _, item := range v.checklist {
			if item.Criterion.ID != id {
				continue
			}
			gates = append(gates, migration.Gate{ID: "criterion:" + id, Title: item.Criterion.Title, OK: item.Verdict == migration.Met, Measured: item.Why, Limit: "met", Next: item.Next})
		}
	}
	if m.To == migration.StageShadow {
		gates = append(gates, parityGate(e, v))
	}
	return gates
}

func sourceThere(v view) migration.Gate {
	g := migration.Gate{ID: "source", Title: "The source still serves", OK: v.routing.Source != migration.SourceNone, Measured: string(v.routing.Source), Limit: "standalone or sentinel"}
	if !g.OK {
		g.Next = "the source was released for decommission; there is nothing to move back to"
	}
	return g
}

func checkGate(v view, check string) migration.Gate {
	c, _ := evidence.Of(check)
	g := migration.Gate{ID: "check:" + check, Title: c.Title, OK: v.met(check), Measured: "shown", Limit: c.Limit}
	if !g.OK {
		g.Measured, g.Next = "not shown yet", c.Next
	}
	return g
}

// fleetGate: workers must be there and follow the flags, or a change of stage would reach nobody.
func fleetGate(e *Estate, v view) migration.Gate {
	return e.readersGate(v.migration.ID, v.routing.Revision, true)
}

// readersGate holds when every live reader of a flag set holds its revision. needed asks for at least one.
func (e *Estate) readersGate(set string, revision int64, needed bool) migration.Gate {
	g := migration.Gate{ID: "workers", Title: "Live workers follow the flags", Limit: fmt.Sprintf("all at flag revision %d", revision)}
	if needed {
		g.Limit = "at least one, " + g.Limit
	}
	live := e.workers.Live(set)
	var behind []string
	for _, w := range live {
		if w.Revision < revision {
			behind = append(behind, fmt.Sprintf("%s at %d", workerName(w), w.Revision))
		}
	}
	g.OK = (len(live) > 0 || !needed) && len(behind) == 0 && e.workers.Warm()
	g.Measured = fmt.Sprintf("%d live, %d behind", len(live), len(behind))
	if len(behind) > 0 {
		g.Measured += ": " + strings.Join(behind, ", ")
	}
	if !e.workers.Warm() {
		g.Measured += "; Switchyard has just started, and workers get a few seconds to report"
	}
	if !g.OK {
		g.Next = "see the flags page for who does not follow; start the ingestion app if nobody is live"
	}
	return g
}

// ledgerGate: no move while orders are missing or doubled, or while nobody knows.
func ledgerGate(e *Estate) migration.Gate {
	g := migration.Gate{ID: "ledger", Title: "Order ledger", Limit: "current, 0 lost, 0 applied twice, 0 different"}
	ledger, err := e.ledger.read()
	if err != nil {
		g.Measured, g.Next = err.Error(), "make sure the ingestion app is up, then look again"
		return g
	}
	s := ledger.Summary(e.now(), e.cfg.Migration.OrderDeadline)
	g.OK = s.Lost == 0 && s.Duplicated == 0 && s.Mismatches == 0
	g.Measured = fmt.Sprintf("%d orders, %d lost, %d applied twice, %d different", s.Orders, s.Lost, s.Duplicated, s.Mismatches)
	if s.Held > 0 { // they go where the flags say when they are enqueued: no reason to keep the flags, and maybe one to change them
		g.Measured += fmt.Sprintf("; %d wait in the app's durable intake", s.Held)
	}
	if !g.OK {
		g.Next = "look at the orders that the ledger names"
	}
	return g
}

// copyWithin is how long after an order its copy may take; the app gives it a second.
const copyWithin = 3 * time.Second

// parityGate: since dualwrite began every order must have left its copy on the target. Orders of this very moment are not counted yet.
func parityGate(e *Estate, v view) migration.Gate {
	g := migration.Gate{ID: "parity", Title: "Every order left a copy", Limit: "some orders, none without a copy"}
	ledger, err := e.ledger.read()
	if err != nil {
		g.Measured, g.Next = err.Error(), "make sure the ingestion app is up, then look again"
		return g
	}
	s := ledger.Window(v.stageSince.UnixMilli(), e.now().Add(-copyWithin).UnixMilli(), e.now(), e.cfg.Migration.OrderDeadline)
	g.OK = s.ShadowExpected > 0 && s.ShadowEnqueued == s.ShadowExpected
	g.Measured = fmt.Sprintf("%d of %d orders left a copy", s.ShadowEnqueued, s.ShadowExpected)
	if !g.OK {
		g.Next = "wait for orders; if copies are missing, look at the target's errors in the journal"
	}
	return g
}

// workerName is how a reader is named to people.
func workerName(w migration.Worker) string {
	if w.Identified {
		return w.Instance
	}
	return fmt.Sprintf("an unnamed reader with key %s from %s", w.Key, w.Address)
}
