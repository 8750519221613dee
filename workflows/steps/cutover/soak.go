package cutover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

// soaking is the watch over one move forward.
type soaking struct {
	Parts
	call   *engine.Call
	former migration.Routing // where the queue goes back to
	limits environment.Limits
	began  time.Time
	watch  environment.Watch
	seen   watched
	told   time.Time // when the guardrails were written down last
	looked time.Time // when atOnce looked last
}

// lookEvery is how often ledger and guardrails are looked at.
const lookEvery = 500 * time.Millisecond

// watchOver begins to watch a move forward.
func (s Parts) watchOver(c *engine.Call, former migration.Routing) (*soaking, error) {
	limits, err := s.Vitals.Within(c.Run.Params.Limits)
	return &soaking{Parts: s, call: c, former: former, limits: limits, began: c.Now()}, err
}

// atOnce gives what takes the stage back at once, for whoever waits for something else
// meanwhile: the first orders go to the new stage before the last worker knows of it. What may
// pass is no error here.
func (w *soaking) atOnce(ctx context.Context) error {
	now := w.call.Now()
	if now.Sub(w.looked) < lookEvery {
		return nil
	}
	w.looked = now
	if _, err := w.look(ctx); err != nil && !errors.Is(err, engine.ErrNotYet) && ctx.Err() == nil {
		return err
	}
	return nil
}

// soak watches the ledger and the guardrails: nothing may be lost, applied twice or different
// while the new stage settles, and both sides must stay alive. Only what was seen counts: the
// time begins anew after each moment that nobody could look at, or at which something was wrong.
// needed asks for an order that was processed with the target as primary: that it works there is
// shown by orders, and not by their absence.
func (s Parts) soak(
	ctx context.Context, c *engine.Call, former migration.Routing, needed bool,
) (any, error) {
	w, err := s.watchOver(c, former)
	if err != nil {
		return nil, err
	}
	calm := w.began
	err = engine.Await(ctx, lookEvery, func(ctx context.Context) error {
		orders, err := w.look(ctx)
		if err != nil {
			calm = c.Now()
			if why, ok := engine.Awaited(err); ok {
				c.Progress("watching begins again after this: %s", why)
			}
			return err
		}
		left := s.Soak - c.Now().Sub(calm)
		switch {
		case left <= 0 && needed && w.unshown() != "":
			c.Progress("waiting for an order that shows that the stage works: %s", w.unshown())
			return engine.NotYet("%s since the stage was set, so nothing shows that it works",
				w.unshown())
		case left <= 0:
			return nil
		}
		c.Progress(
			"watching for another %s: %s, none lost, none processed twice, no result mismatches",
			migration.Words(left),
			migration.Count(orders, "order"),
		)
		return engine.NotYet("soaking")
	})
	if err != nil {
		return nil, err
	}
	w.seen.WatchedMS = c.Now().Sub(w.began).Milliseconds()
	if w.seen.Orders == 0 {
		c.Warn("watched for %s: no order came, so nothing was seen of the new stage",
			migration.Words(s.Soak))
		return w.seen, nil
	}
	c.Log("watched for %s: %s, none lost, none processed twice, no result mismatches, "+
		"guardrails kept", migration.Words(s.Soak), migration.Count(w.seen.Orders, "order"))
	return w.seen, nil
}

// unshown says why nothing shows yet that the target works as the primary; empty: an order does.
func (w *soaking) unshown() string {
	switch {
	case w.seen.Done > 0:
		return ""
	case w.seen.OnTarget > 0:
		return migration.Count(w.seen.OnTarget, "order") + " came with the target as primary, " +
			"none was processed there"
	case w.seen.Orders > 0:
		return migration.Count(w.seen.Orders, "order") + " came, none with the target as primary"
	}
	return "no order came"
}

// look gives how many orders there are, and an error while something is wrong: ErrNotYet
// where it may pass, any other takes the stage back. What it judged by is written down.
func (w *soaking) look(ctx context.Context) (int, error) {
	orders, rail, err := w.orders(ctx)
	if err != nil && !errors.Is(err, engine.ErrNotYet) { // that takes the stage back at once
		w.write(ctx, rail, nil)
		return 0, err
	}
	c := w.call
	readings, unread := w.Vitals.Look(ctx, c.Run.MigrationID, c.Run.Params.To, w.limits,
		w.former.String())
	faults := environment.FaultsOf(readings)
	breach, over := w.watch.Breach(c.Now(), faults, w.limits.MaxSilence)
	w.write(ctx, rail, readings)
	switch {
	case err != nil:
		return 0, err
	case unread != nil:
		return 0, engine.NotYet("the guardrails cannot be read: %v", unread)
	// going back to a source that does not work helps nobody, so it is waited for
	case over && breach.OnTarget():
		return 0, errors.New(breach.Text)
	case len(faults) > 0:
		return 0, engine.NotYet("%s", faults[0].Text)
	case rail.State != migration.GuardrailHolds:
		return 0, engine.NotYet("%s", rail.Why)
	}
	return orders, nil
}

// ordersRule is the guardrail of both ledgers.
func ordersRule(former migration.Routing) migration.GuardrailRule {
	return migration.GuardrailRule{ID: "orders", Title: "Orders lost, processed twice or different",
		Limit:  "none, by either ledger",
		OnFail: "The queue goes back to " + former.String() + " by itself at once."}
}

// orders judges both ledgers; seen is set to what was acknowledged since the watch began.
func (w *soaking) orders(ctx context.Context) (int, environment.Reading, error) {
	now := w.call.Now()
	out := environment.Reading{Guardrail: migration.Guardrail{
		GuardrailRule: ordersRule(w.former), State: migration.GuardrailUnknown, Since: now}}
	unknown := func(format string, args ...any) (int, environment.Reading, error) {
		out.Why = fmt.Sprintf(format, args...)
		return 0, out, engine.NotYet("%s", out.Why)
	}
	orders, err := w.Journal.Read()
	if err != nil {
		return unknown("the ledger is not up to date: %v", err)
	}
	sum := orders.Summary(now, w.Journal.Deadline())
	out.At, out.Value = &now, ordersValue(sum)
	fails := func(text string) (int, environment.Reading, error) {
		out.State, out.Why = migration.GuardrailFails, text
		return 0, out, errors.New(text)
	}
	if sum.Red() > 0 {
		return fails(fmt.Sprintf(
			"the ledger shows %d lost, %d processed twice, %d different results, %d contradictory",
			sum.Lost, sum.Duplicated, sum.Mismatches, sum.Contradicted))
	}
	if sum.Future > 0 {
		return unknown("%d orders are dated in the future", sum.Future)
	}
	came := orders.Window(w.began.UnixMilli(), 0, now, w.Journal.Deadline())
	w.seen.Orders, w.seen.Routed, w.seen.OnTarget = came.Acknowledged, came.Orders, came.OnTarget
	w.seen.Done, w.seen.WatchedMS = came.TargetDone, now.Sub(w.began).Milliseconds()
	red, doubts, _, err := w.Streams.Now(ctx, w.call.Run.MigrationID)
	switch {
	case err != nil:
		return unknown("the streams' ledger cannot be read: %v", err)
	case len(red) > 0:
		return fails(red[0])
	case len(doubts) > 0: // a gap, events that nobody reads, a late order: it proves nothing
		out.Why = doubts[0]
		return 0, out, nil
	}
	out.State = migration.GuardrailHolds
	return sum.Orders, out, nil
}

func ordersValue(sum ledger.Summary) string {
	return fmt.Sprintf("%d lost, %d twice, %d different of %s", sum.Lost, sum.Duplicated,
		sum.Mismatches, migration.Count(sum.Orders, "order"))
}

// railsEvery is how often the guardrails are written down while none changes.
const railsEvery = time.Second

// write keeps what was judged with the run, from where page, API and command line have it.
// Without readings the others stay as they were looked at before.
func (w *soaking) write(
	ctx context.Context, orders environment.Reading, others []environment.Reading,
) {
	before := w.seen.Guardrails
	all := append([]environment.Reading{orders}, others...)
	if others == nil {
		for _, g := range before[min(1, len(before)):] {
			all = append(all, environment.Reading{Guardrail: g})
		}
	}
	w.seen.Guardrails = w.watch.Rails(all)
	now := w.call.Now()
	if same(before, w.seen.Guardrails) && now.Sub(w.told) < railsEvery {
		return
	}
	w.told = now
	w.call.Show(ctx, w.seen)
}

// same reports whether no guardrail changed its state.
func same(a, b []migration.Guardrail) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].State != b[i].State {
			return false
		}
	}
	return true
}
