package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// Call is what an action is given.
type Call struct {
	Run    migration.Run
	Action string
	began  time.Time // the action, at first
	engine *Engine
	budget *budget // of the attempt
}

// Now is the engine's clock.
func (c *Call) Now() time.Time { return c.engine.now() }

// Log adds a line to the run's log.
func (c *Call) Log(format string, args ...any) {
	c.engine.log(c.Run.ID, c.Action, "info", fmt.Sprintf(format, args...))
}

// Warn adds a line that somebody should read.
func (c *Call) Warn(format string, args ...any) {
	c.engine.log(c.Run.ID, c.Action, "warn", fmt.Sprintf(format, args...))
}

// Progress shows how far the action is.
func (c *Call) Progress(format string, args ...any) {
	c.engine.progress(c.Run.ID, fmt.Sprintf(format, args...), nil)
}

// Measured shows how far the action is in figures, too.
func (c *Call) Measured(m migration.Measure, format string, args ...any) {
	c.engine.progress(c.Run.ID, fmt.Sprintf(format, args...), &m)
}

// Evidence records facts that the run observed since its action began. Facts of which it is
// not known what they are about are kept, and are an error: they count for nothing.
func (c *Call) Evidence(
	ctx context.Context,
	check string,
	proof migration.Proof,
	source string,
	facts any,
) error {
	known, _ := evidence.Of(check)
	subject, blind, err := c.subject(ctx, known.About)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return cmp.Or(blind, err) // who was waited for says more than that the time is over
	}
	if err := c.engine.record(ctx, c.Run.MigrationID, c.Run.ID, check, proof, source, facts,
		subject); err != nil {
		return err
	}
	return blind
}

// ByProduct records facts that came about while the run did something else, such as a move
// back that leaves a server which is gone: they wait for nothing, and hold nothing up.
func (c *Call) ByProduct(
	ctx context.Context,
	check string,
	proof migration.Proof,
	source string,
	facts any,
) error {
	known, _ := evidence.Of(check)
	subject, err := c.engine.witness.Subject(ctx, c.Run.MigrationID, known.About, c.began)
	if err != nil {
		return err
	}
	return c.engine.record(ctx, c.Run.MigrationID, c.Run.ID, check, proof, source, facts, subject)
}

// lookWithin is for how long evidence waits for a look at what it is about: at workers that
// get a few seconds to report after a start, at a server that is slow.
const lookWithin = 30 * time.Second

// subject looks at some aspects until each could be looked at. blind says which could not.
func (c *Call) subject(
	ctx context.Context, aspects []migration.Aspect,
) (found migration.Subject, blind, err error) {
	within, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	blind = Await(within, 250*time.Millisecond, func(context.Context) error {
		// Not bounded by within: what was seen is kept.
		if found, err = c.engine.witness.Subject(ctx, c.Run.MigrationID, aspects,
			c.began); err != nil {
			return err
		}
		for _, a := range aspects {
			if _, seen := found[a]; !seen {
				return NotYet("nobody could look at %s, which this is about", a.Title())
			}
		}
		return nil
	})
	return found, blind, err
}

// Prove records facts and gives an error when they do not satisfy their check, with the waivers
// of people that count now, so that a run whose result is bad does not succeed.
func (c *Call) Prove(
	ctx context.Context,
	check string,
	proof migration.Proof,
	source string,
	facts any,
) error {
	if err := c.Evidence(ctx, check, proof, source, facts); err != nil {
		return err
	}
	raw, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	now := c.Now()
	waivers, err := c.engine.store.Waivers(ctx, c.Run.MigrationID, &now)
	if err != nil {
		return err
	}
	rule, _ := evidence.Of(check)
	met, measured, err := rule.JudgeWaived(raw, waivers, now)
	if err == nil && !met {
		err = fmt.Errorf("%s (want: %s)", measured, rule.Limit)
	}
	return err
}

// Output reads what an earlier action of this run, or of the run that this one takes back, gave.
func (c *Call) Output(ctx context.Context, action string, v any) (bool, error) {
	for _, id := range []string{c.Run.ID, c.Run.Rollback} {
		if id == "" {
			continue
		}
		run, err := c.engine.store.Run(ctx, id)
		if err != nil {
			return false, err
		}
		for _, a := range run.Actions {
			if a.ID == action && a.Output != nil {
				return true, json.Unmarshal(a.Output, v)
			}
		}
	}
	return false, nil
}

// Remember keeps an output of the present action before it is done, for Undo after a kill
// in the middle.
func (c *Call) Remember(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.engine.store.SaveAction(
		ctx,
		c.Run.ID,
		c.Action,
		migration.ActionRunning,
		"",
		b,
		c.engine.now(),
	)
}

// Show keeps what the present action has seen so far as its output, for whoever looks at the
// run. What cannot be written holds nothing up: it is only shown.
func (c *Call) Show(ctx context.Context, v any) {
	if err := c.Remember(ctx, v); err != nil && ctx.Err() == nil {
		c.engine.log_.Warn("what an action sees", "run", c.Run.ID, "action", c.Action, "err", err)
	}
	c.engine.notify("run:" + c.Run.ID)
}

// Owe writes down what the action is about to put on a server. What cannot be written down
// is not put there.
func (c *Call) Owe(ctx context.Context, d migration.Debt) error {
	d.MigrationID, d.Run, d.Since = c.Run.MigrationID, c.Run.ID, c.Now()
	return c.engine.persist(ctx, func() error { return c.engine.store.Owe(ctx, d) })
}

// Paid strikes out what was taken off a server, also when the action was cancelled meanwhile.
func (c *Call) Paid(
	ctx context.Context, kind migration.DebtKind, server, what string,
) error {
	ctx = context.WithoutCancel(ctx)
	return c.engine.store.Paid(ctx, c.Run.MigrationID, kind, server, what)
}

// OrMissing gives err, or, where an earlier action did not leave what is needed, a conflict
// that says so.
func OrMissing(err error, text string) error {
	if err != nil {
		return err
	}
	return migration.Errorf(migration.Conflict, "%s", text)
}

// Ready gives what must hold for an action's own approval now; nothing where the person
// alone decides.
func (e *Engine) Ready(ctx context.Context, run migration.Run, action string) []migration.Gate {
	for _, known := range e.steps[run.Step].Actions(run.Params) {
		if known.ID == action && known.Ready != nil {
			return known.Ready(ctx, &Call{Run: run, Action: known.ID, engine: e})
		}
	}
	return nil
}
