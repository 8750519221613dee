package workflows

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// validateWithin is how long a validation waits for enough orders.
const validateWithin = 6 * time.Hour

type window struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"` // zero while it is open: orders that arrive later are not waited for
}

// dualWriteValidation compares every order of a window on both sides: the same orders enqueued, the same results, nothing lost, nothing
// applied twice.
func dualWriteValidation() Step {
	return Step{
		ID:       migration.StepDualWrite,
		Approval: migration.ApprovalNone,
		Look: func(_ context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			return Outlook{Summary: fmt.Sprintf("Compare every order on both sides until %d have been compared.", e.cfg.Migration.MinValidationOrders),
				Impact: "Nothing changes; it watches the orders that arrive."}, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{{
				ActionPlan: migration.ActionPlan{ID: "compare", Title: "Compare the orders of a window on both sides"},
				Timeout:    validateWithin,
				Do:         compareWindow,
			}}
		},
	}
}

func compareWindow(ctx context.Context, c *Call) (any, error) {
	w := window{From: c.now()}
	if known, err := c.Output(ctx, c.Action, &w); err != nil {
		return nil, err
	} else if !known {
		if err := c.Remember(ctx, w); err != nil {
			return nil, err
		}
	}
	var facts evidence.DualWriteFacts
	err := await(ctx, 250*time.Millisecond, func(context.Context) error {
		r, err := c.Routing(ctx, c.Run.MigrationID)
		if err != nil {
			return err
		}
		if r.Stage != migration.StageShadow {
			return migration.Errorf(migration.Conflict, "the queue is at %s: results are compared in the shadow stage", r)
		}
		ledger, err := c.ledger.read()
		if err != nil {
			return notYet("%v", err)
		}
		now := c.now()
		until := w.Until
		if until.IsZero() {
			until = now
		}
		s := ledger.Window(w.From.UnixMilli(), until.UnixMilli(), now, c.cfg.Migration.OrderDeadline)
		facts = evidence.DualWriteFacts{Orders: s.ShadowExpected, MinOrders: c.cfg.Migration.MinValidationOrders, Copied: s.ShadowEnqueued, Compared: s.ShadowCompared,
			Mismatches: s.Mismatches, Duplicated: s.Duplicated, Lost: s.Lost, WindowSeconds: int64(until.Sub(w.From).Seconds())}
		c.Progress("%d of %d orders compared, %d differ", facts.Compared, facts.MinOrders, facts.Mismatches)
		if facts.Mismatches > 0 || facts.Lost > 0 || facts.Duplicated > 0 {
			return nil // that is the result
		}
		if facts.Orders >= facts.MinOrders && w.Until.IsZero() {
			w.Until = now
		}
		if w.Until.IsZero() || facts.Copied < facts.Orders || facts.Compared < facts.Orders {
			return notYet("%d orders, %d copied, %d compared; %d are needed", facts.Orders, facts.Copied, facts.Compared, facts.MinOrders)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return facts, c.Prove(ctx, evidence.DualWrite, migration.Observed, "the app's journal of both sides", facts)
}
