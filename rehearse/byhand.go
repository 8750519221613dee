package rehearse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

// does is what a person does with a machine before they confirm an action.
func (r *rehearsal) does(action string) (what string, do func(context.Context, string) error) {
	switch action {
	case migration.ActionConfirmedOff:
		return "switch off", r.Twin.SwitchOff
	case migration.ActionConfirmedDeleted:
		return "delete", r.Twin.Discard
	}
	return "", nil
}

// handMachines does what an action's approval says that a person has done. Before that the
// approval must be refused as long as anything answers: somebody could be mistaken.
func (r *rehearsal) handMachines(
	ctx context.Context, action migration.ActionPlan, confirm func() error,
) error {
	what, do := r.does(action.ID)
	if do == nil || !r.Twin.ByHand() {
		return nil
	}
	if action.ID == migration.ActionConfirmedOff {
		switch err := confirm(); {
		case err == nil:
			return errors.New("that every machine is off was taken for true while all of them run")
		case migration.KindOf(err) != migration.Blocked:
			return fmt.Errorf("confirmed too early: %w", err)
		}
		r.say("  confirmed too early, and refused")
	}
	for _, label := range r.Twin.Machines() {
		r.say("  by hand: %s %s", what, label)
		if err := do(ctx, label); err != nil {
			return fmt.Errorf("%s %s: %w", what, label, err)
		}
	}
	return nil
}

// handVariable sets the app's variable once a run waits for a person who does.
func (r *rehearsal) handVariable(ctx context.Context, c *api.Client, id string) error {
	if !r.Twin.ByHand() {
		return nil
	}
	for {
		run, err := c.Run(ctx, id)
		if err != nil || run.Step != migration.StepProvision || !run.State.Open() {
			return err
		}
		if slices.ContainsFunc(run.Actions, func(a migration.RunAction) bool {
			return a.ID == migration.ActionConfigVar && a.State == migration.ActionRunning
		}) {
			r.say("  by hand: give the managed Redis' URL to the app (%s)", run.Progress)
			return r.Twin.SetTarget(ctx)
		}
		if pause(ctx, 200*time.Millisecond); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
