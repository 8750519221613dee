// Package webhookretry is the step that refuses real webhooks and follows them.
package webhookretry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/bullmq/ledger"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
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
	// Live asks a payment provider what it could not deliver since a time; nil where nobody
	// can be asked.
	Live func(ctx context.Context, since time.Time) (*evidence.LiveDeliveries, error)
	// Senders are who sends orders by the configuration, by id, beside whoever the journal knows.
	Senders []string
}

const (
	// refuseOrders is how many real orders the test refuses, and refuseAtMost how long it
	// waits for them to come.
	refuseOrders = 5
	refuseAtMost = 60 * time.Second
	// refuseEach is how long it goes on for providers that send orders here and of which
	// none was refused yet.
	refuseEach = 10 * time.Second
	// retryWithin is how long the provider gets to deliver them again. Stripe's first retry
	// comes within minutes to an hour in live mode; the run may be cancelled and started
	// again, nothing is lost by waiting.
	retryWithin = 2 * time.Hour
)

type refusal struct {
	From time.Time `json:"from"`
	// Kept is from when on orders count that the app's durable intake kept. Zero: From.
	Kept  time.Time `json:"kept,omitzero"`
	Until time.Time `json:"until"` // just before writes were allowed again
}

// facts tells what became of the orders that were refused or kept since.
func (s Parts) facts(r refusal, orders *ledger.Journal, now time.Time) evidence.RetryFacts {
	kept, until := cmp.Or(r.Kept, r.From), cmp.Or(r.Until, now)
	return retryFacts(
		orders.Retries(r.From.UnixMilli()),
		orders.Kept(kept.UnixMilli(), until.UnixMilli()),
		s.senders(orders, now),
	)
}

// Step refuses real deliveries for a moment and follows each refused order until the
// provider's retry was applied exactly once.
func (s Parts) Step() engine.Step {
	return engine.Step{
		ID:       migration.StepWebhookRetry,
		Approval: migration.ApprovalOne,
		Plan: func(ctx context.Context, v progress.View, _ migration.Params) (engine.PlanResult, error) {
			out := engine.PlanResult{
				Summary: fmt.Sprintf(
					"Reject about %d real webhooks with 503, including one from each provider "+
						"if it arrives in time, then follow each until the provider's retry is "+
						"applied exactly once.",
					refuseOrders,
				),
				Impact: fmt.Sprintf(
					"The source rejects writes until %d orders were rejected, for at most %s, "+
						"and up to %s for one from each provider. These orders arrive late, with "+
						"the provider's first retry.",
					refuseOrders,
					migration.Words(refuseAtMost),
					migration.Words(refuseEach),
				),
			}
			c, endpoint, err := s.Servers.Source(ctx, v.Migration.ID)
			if err != nil {
				return out, err
			}
			out.Gates = append(
				out.Gates,
				v.StageGate("Source is primary", "off, dual write or shadow",
					"the test rejects orders on the source, which no longer receives them",
					migration.StageOff, migration.StageDualWrite, migration.StageShadow),
				s.Workers.Gate(ctx, v.Migration.ID, v.Routing.Revision, true),
				s.Servers.Clients.Gate(ctx, v.Migration.ID, s.Servers.Clients.Source),
				s.Journal.Gate(false), // it waits for orders itself
				environment.Reachable(ctx, c, endpoint),
			)
			return out, nil
		},
		Result: result,
		Actions: func(migration.Params) []engine.Action {
			return []engine.Action{
				{
					ActionPlan: migration.ActionPlan{
						ID:      "refuse",
						Title:   fmt.Sprintf("Reject about %d webhooks with 503", refuseOrders),
						Changes: "the source rejects writes for a few seconds",
						Undo:    "allows writes again",
					},
					Do: s.refuse,
					Undo: func(ctx context.Context, c *engine.Call) error {
						return s.Debts.LiftEarlier(ctx, c, migration.DebtFence)
					},
				},
				{
					ActionPlan: migration.ActionPlan{
						ID:    "follow",
						Title: "Follow every rejected order until it is applied once",
					},
					Timeout: retryWithin,
					Do:      s.followRetries,
				},
			}
		},
	}
}

func (s Parts) refuse(ctx context.Context, c *engine.Call) (out any, err error) {
	// A second attempt counts from the first one's fence, so no refused order is forgotten.
	r := refusal{From: c.Now()}
	if known, err := c.Output(ctx, c.Action, &r); err != nil {
		return nil, err
	} else if !known {
		if err := c.Remember(ctx, r); err != nil {
			return nil, err
		}
	}
	if err := s.Debts.LiftEarlier(ctx, c, migration.DebtFence); err != nil {
		return nil, err
	}
	master, err := s.Servers.SourceMaster(ctx, c.Run.MigrationID)
	if err != nil {
		return nil, err
	}
	defer environment.CloseNodes([]environment.Node{master})
	if err := s.Debts.Fence(ctx, c, master); err != nil {
		return nil, err
	}
	fenced, stood := time.Now(), c.Now()
	c.Log("%s rejects writes", master.Address)
	defer func() {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		r.Until = c.Now()
		out = r
		err = errors.Join(err, s.Debts.Unfence(detached, c, master))
		c.Log("%s accepts writes again", master.Address)
	}()
	waiting, cancel := context.WithTimeout(ctx, refuseAtMost)
	defer cancel()
	err = engine.Await(waiting, 100*time.Millisecond, func(context.Context) error {
		orders, err := s.Journal.Read()
		if err != nil {
			return engine.NotYet("%v", err)
		}
		// Before the fence stood, an order that is kept was only on its way.
		facts := s.facts(refusal{From: r.From, Kept: stood}, orders, c.Now())
		c.Progress(
			"%d of %d orders rejected or stored by the app's durable intake",
			facts.Refused+facts.Kept,
			refuseOrders,
		)
		if facts.Refused+facts.Kept < refuseOrders {
			return engine.NotYet(
				"only %d of %d orders were rejected in time",
				facts.Refused+facts.Kept,
				refuseOrders,
			)
		}
		untouched := func(p evidence.ProviderRetries) bool { return p.Refused+p.Kept == 0 }
		if i := slices.IndexFunc(facts.Providers, untouched); i >= 0 &&
			time.Since(fenced) < refuseEach {
			return engine.NotYet("no order from %s was rejected in time", facts.Providers[i].Provider)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		if orders, readErr := s.Journal.Read(); readErr == nil {
			if facts := s.facts(r, orders, c.Now()); facts.Refused+facts.Kept > 0 {
				err = nil // fewer, but some: follow those
			}
		}
	}
	return r, err
}

func (s Parts) followRetries(ctx context.Context, c *engine.Call) (any, error) {
	var r refusal
	if ok, err := c.Output(ctx, "refuse", &r); err != nil || !ok {
		return nil, engine.OrMissing(err, "the run did not record when it rejected orders")
	}
	var facts evidence.RetryFacts
	err := engine.Await(ctx, time.Second, func(context.Context) error {
		orders, err := s.Journal.Read()
		if err != nil {
			return engine.NotYet("%v", err)
		}
		facts = s.facts(r, orders, c.Now())
		c.Progress(
			"%d of %d rejected or stored orders applied",
			facts.AppliedOnce+facts.KeptApplied,
			facts.Refused+facts.Kept,
		)
		if facts.Live, err = s.Live(ctx, r.From); err != nil {
			return engine.NotYet("%v", err)
		}
		if l := facts.Live; l != nil && l.Undelivered > 0 && facts.AppliedTwice == 0 {
			c.Progress("%s reports %s not delivered yet", l.Provider, migration.Count(l.Undelivered, "event"))
			return engine.NotYet(
				"%s reports %s since then not delivered: %s",
				l.Provider,
				migration.Count(l.Undelivered, "event"),
				strings.Join(l.Events, ", "),
			)
		}
		if facts.AppliedTwice == 0 &&
			(facts.Recovered < facts.Refused || facts.AppliedOnce < facts.Refused) {
			return engine.NotYet(
				"%d of %d rejected orders were redelivered, %d applied",
				facts.Recovered,
				facts.Refused,
				facts.AppliedOnce,
			)
		}
		if facts.AppliedTwice == 0 && facts.KeptApplied < facts.Kept {
			return engine.NotYet(
				"%d of %d orders stored by the durable intake were applied",
				facts.KeptApplied,
				facts.Kept,
			)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return facts, c.Prove(
		ctx,
		evidence.Retries,
		migration.Attested,
		"the app's journal of deliveries and executions",
		facts,
	)
}

// senders gives the providers that sent orders within the last week, and those that do by the
// configuration: who is silent for a week may send again tomorrow.
func (s Parts) senders(orders *ledger.Journal, now time.Time) []string {
	all := slices.Collect(
		maps.Keys(orders.Rates(now.AddDate(0, 0, -7).UnixMilli(), now.UnixMilli())),
	)
	for _, id := range s.Senders {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// retryFacts sums up what became of refused orders and of those that the app's intake kept,
// by provider, and names those of the senders of which there was none. An event that was
// acknowledged before is not one of them: no retry is due.
func retryFacts(stories, kept []ledger.RetryStory, senders []string) evidence.RetryFacts {
	var facts evidence.RetryFacts
	by := map[string]*evidence.ProviderRetries{}
	provider := func(id string) *evidence.ProviderRetries {
		if by[id] == nil {
			by[id] = &evidence.ProviderRetries{Provider: cmp.Or(id, "an unnamed provider")}
			if p, ok := webhooks.ByID(id); ok {
				by[id].Provider, by[id].Proof, by[id].WindowSeconds = p.Name, string(
					p.Schedule.Level,
				), int64(
					p.Schedule.Window.Seconds(),
				)
			}
		}
		return by[id]
	}
	for _, o := range stories {
		if o.Repeated() {
			continue
		}
		p := provider(o.Provider)
		facts.Refused++
		facts.Orders = append(facts.Orders, retried(o, p.Provider, false))
		p.Refused++
		// an event that has no id cannot be told from another one of its order
		if o.Recovered && o.Event != "" {
			facts.Recovered++
			p.Recovered++
			p.LongestMS = max(p.LongestMS, o.RecoveredAfterMS)
			facts.LongestMS = max(facts.LongestMS, o.RecoveredAfterMS)
		} else if len(facts.Missing) < 20 {
			facts.Missing = append(facts.Missing, strings.TrimSuffix(o.Order+" "+o.Event, " "))
		}
		switch {
		case o.Applied == 1:
			facts.AppliedOnce++
			p.AppliedOnce++
		case o.Applied > 1:
			facts.AppliedTwice++
		}
	}
	for _, o := range kept {
		facts.Kept++
		provider(o.Provider).Kept++
		facts.Orders = append(facts.Orders, retried(o, provider(o.Provider).Provider, true))
		facts.KeptMS = max(facts.KeptMS, o.RecoveredAfterMS)
		switch {
		case o.Applied == 1:
			facts.KeptApplied++
		case o.Applied > 1:
			facts.AppliedTwice++
		}
	}
	facts.Orders = facts.Orders[:min(len(facts.Orders), evidence.RetriesListed)]
	for _, id := range senders {
		provider(id)
	}
	for _, p := range by {
		facts.Providers = append(facts.Providers, *p)
	}
	slices.SortFunc(facts.Providers, func(a, b evidence.ProviderRetries) int {
		return cmp.Or(cmp.Compare(b.Refused, a.Refused), cmp.Compare(a.Provider, b.Provider))
	})
	return facts
}
