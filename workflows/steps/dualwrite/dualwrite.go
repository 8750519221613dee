// Package dualwrite is the step that validates dual writes.
package dualwrite

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
	"github.com/switchyard-dev/switchyard/workflows/progress"
)

// Parts is what the step is handed, and all that it can touch.
type Parts struct {
	Routing *environment.Routing
	Journal *environment.Journal
	// MinOrders is how many orders have to be compared.
	MinOrders int
}

// validateWithin is how long a validation waits for enough orders.
const validateWithin = 6 * time.Hour

type window struct {
	From time.Time `json:"from"`
	// zero while it is open: orders that arrive later are not waited for
	Until time.Time `json:"until"`
}

// Step compares every order of a window on both sides: the same orders enqueued, the same
// results, nothing lost, nothing applied twice.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepDualWrite,
		Approval: migration.ApprovalNone,
		Plan: func(context.Context, progress.View, migration.Params) (engine.PlanResult, error) {
			return engine.PlanResult{
				Summary: fmt.Sprintf(
					"Compare every order on both sides until %d have been compared.",
					s.MinOrders,
				),
				Impact: "Read-only; watches incoming orders.",
			}, nil
		},
		Result: result,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{{
				ActionPlan: migration.ActionPlan{
					ID:    "compare",
					Title: "Compare incoming orders on both sides",
				},
				Timeout: validateWithin,
				Do:      s.compareWindow,
			}}
		},
	}
}

// held reports whether orders may only be on their way: what waits in the durable intake
// has no job yet, and so no copy.
func held(s ledger.Summary) bool { return s.Alone <= s.Held }

func (s Parts) compareWindow(ctx context.Context, c *engine.Call) (any, error) {
	w := window{From: c.Now()}
	if known, err := c.Output(ctx, c.Action, &w); err != nil {
		return nil, err
	} else if !known {
		if err := c.Remember(ctx, w); err != nil {
			return nil, err
		}
	}
	var facts evidence.DualWriteFacts
	err := engine.Await(ctx, 250*time.Millisecond, func(context.Context) error {
		r, err := s.Routing.Read(ctx, c.Run.MigrationID)
		if err != nil {
			return err
		}
		if r.Stage != migration.StageShadow {
			return migration.Errorf(
				migration.Conflict,
				"the queue is at %s: results are compared in the shadow stage",
				r,
			)
		}
		orders, err := s.Journal.Read()
		if err != nil {
			return engine.NotYet("%v", err)
		}
		now := c.Now()
		until := w.Until
		if until.IsZero() {
			until = now
		}
		sum := orders.Window(w.From.UnixMilli(), until.UnixMilli(), now, s.Journal.Deadline())
		facts = evidence.DualWriteFacts{
			Orders:        sum.ShadowExpected + sum.Alone,
			MinOrders:     s.MinOrders,
			Copied:        sum.ShadowEnqueued,
			Compared:      sum.ShadowCompared,
			OfData:        sum.OfData,
			Mismatches:    sum.Mismatches,
			Duplicated:    sum.Duplicated,
			Contradicted:  sum.Contradicted,
			Lost:          sum.Lost,
			WindowSeconds: int64(until.Sub(w.From).Seconds()),
			AloneIDs:      sum.AloneIDs,
			Alone:         sum.Alone,
			Cut:           sum.Cut,
		}
		c.Progress(
			"%d of %d orders compared, %d differ",
			facts.Compared,
			facts.MinOrders,
			facts.Mismatches,
		)
		if sum.Red() > 0 || facts.Alone > 0 && !held(sum) {
			return nil // that is the result
		}
		if facts.Orders >= facts.MinOrders && w.Until.IsZero() {
			w.Until = now
		}
		if w.Until.IsZero() || facts.Alone > 0 || facts.Copied < facts.Orders || facts.Compared < facts.Orders {
			return engine.NotYet(
				"%d orders, %d copied, %d compared; %d are needed",
				facts.Orders,
				facts.Copied,
				facts.Compared,
				facts.MinOrders,
			)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return facts, c.Prove(
		ctx,
		evidence.DualWrite,
		migration.Attested,
		"the app's journal of both sides",
		facts,
	)
}
