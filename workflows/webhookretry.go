package workflows

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/redisconn"
	"github.com/switchyard-dev/switchyard/webhooks"
)

const (
	// refuseOrders is how many real orders the test refuses, and refuseAtMost how long it waits for them to come.
	refuseOrders = 5
	refuseAtMost = 60 * time.Second
	// retryWithin is how long the provider gets to deliver them again. Stripe's first retry comes within minutes to an hour in live mode;
	// the run may be cancelled and started again, nothing is lost by waiting.
	retryWithin = 2 * time.Hour
)

// retryWindow is how long a provider keeps trying, in hours, by its own documentation; 0 where there is none.
func retryWindow(provider string) int {
	p, ok := webhooks.ByID(provider)
	if !ok || p.Schedule.Level != webhooks.Documented {
		return 0
	}
	return int(p.Schedule.Window.Hours())
}

type refusal struct {
	From time.Time `json:"from"`
}

// webhookRetry refuses real deliveries for a moment and follows each refused order until the provider's retry was applied exactly once.
func webhookRetry() Step {
	return Step{
		ID:       stepRetry,
		Approval: migration.ApprovalOne,
		Look: func(ctx context.Context, e *Estate, _ migration.Params) (Outlook, error) {
			v := viewFrom(ctx)
			out := Outlook{Summary: fmt.Sprintf("Refuse about %d real webhooks with a 503, then follow each until the provider's retry is applied exactly once.", refuseOrders),
				Impact: fmt.Sprintf("The source refuses writes until %d orders were refused, at most %s. They arrive late by the provider's first retry.", refuseOrders, refuseAtMost)}
			stage := migration.Gate{ID: "stage", Title: "The source is the authority", OK: v.routing.Stage.Index() <= migration.StageShadow.Index(), Measured: v.routing.String(), Limit: "off, dualwrite or shadow"}
			c, endpoint, err := e.Source(ctx, v.migration.ID)
			if err != nil {
				return out, err
			}
			out.Gates = append(out.Gates, stage, fleetGate(e, v), ledgerGate(e), reachable(ctx, c, endpoint))
			return out, nil
		},
		Actions: func(migration.Params) []Action {
			return []Action{
				{
					ActionPlan: migration.ActionPlan{ID: "refuse", Title: "Refuse some webhooks", Changes: "the source refuses writes for seconds", Undo: "lifts the write fence"},
					Do:         refuse,
					Undo:       func(ctx context.Context, c *Call) error { return c.liftFaults(ctx) },
				},
				{
					ActionPlan: migration.ActionPlan{ID: "follow", Title: "Follow every refused order until it was applied once"},
					Timeout:    retryWithin,
					Do:         followRetries,
				},
			}
		},
	}
}

func refuse(ctx context.Context, c *Call) (_ any, err error) {
	// A second attempt counts from the first one's fence, so no refused order is forgotten.
	r := refusal{From: c.now()}
	if known, err := c.Output(ctx, c.Action, &r); err != nil {
		return nil, err
	} else if !known {
		if err := c.Remember(ctx, r); err != nil {
			return nil, err
		}
	}
	master, err := c.master(ctx)
	if err != nil {
		return nil, err
	}
	defer closeNodes([]node{master})
	former, err := redisconn.Fence(ctx, master.client)
	if err != nil {
		return nil, err
	}
	c.Log("%s refuses writes", master.address)
	defer func() {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err = errors.Join(err, redisconn.Unfence(detached, master.client, former))
		c.Log("%s takes writes again", master.address)
	}()
	waiting, cancel := context.WithTimeout(ctx, refuseAtMost)
	defer cancel()
	err = await(waiting, 100*time.Millisecond, func(context.Context) error {
		ledger, err := c.ledger.read()
		if err != nil {
			return notYet("%v", err)
		}
		n := len(ledger.Retries(r.From.UnixMilli()))
		c.Progress("%d of %d orders refused", n, refuseOrders)
		if n < refuseOrders {
			return notYet("%d of %d orders came to be refused", n, refuseOrders)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		if ledger, readErr := c.ledger.read(); readErr == nil && len(ledger.Retries(r.From.UnixMilli())) > 0 {
			err = nil // fewer, but some: follow those
		}
	}
	return r, err
}

func followRetries(ctx context.Context, c *Call) (any, error) {
	var r refusal
	if ok, err := c.Output(ctx, "refuse", &r); err != nil || !ok {
		return nil, errorOr(err, "the run did not record when it refused orders")
	}
	var facts migration.RetryFacts
	err := await(ctx, time.Second, func(context.Context) error {
		ledger, err := c.ledger.read()
		if err != nil {
			return notYet("%v", err)
		}
		facts = migration.RetryFacts{}
		var seen []string
		for _, s := range ledger.Retries(r.From.UnixMilli()) {
			facts.Refused++
			seen = append(seen, cmp.Or(s.Provider, "an unnamed provider"))
			if s.Acknowledged {
				facts.Recovered++
				facts.LongestMS = max(facts.LongestMS, s.RecoveredAfterMS)
			} else if len(facts.Missing) < 20 {
				facts.Missing = append(facts.Missing, s.Order)
			}
			switch {
			case s.Applied == 1:
				facts.AppliedOnce++
			case s.Applied > 1:
				facts.AppliedTwice++
			}
		}
		facts.Provider, facts.DocumentedHours = providers(seen)
		c.Progress("%d of %d refused orders came back and were applied", facts.AppliedOnce, facts.Refused)
		if facts.Live, err = c.liveDeliveries(ctx, r.From); err != nil {
			return notYet("%v", err)
		}
		if l := facts.Live; l != nil && l.Undelivered > 0 && facts.AppliedTwice == 0 {
			c.Progress("%s says that %d events are not delivered yet", l.Provider, l.Undelivered)
			return notYet("%s says that %d events since then are not delivered: %s", l.Provider, l.Undelivered, strings.Join(l.Events, ", "))
		}
		if facts.AppliedTwice == 0 && (facts.Recovered < facts.Refused || facts.AppliedOnce < facts.Refused) {
			return notYet("%d of %d refused orders came back, %d were applied", facts.Recovered, facts.Refused, facts.AppliedOnce)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return facts, c.Prove(ctx, migration.CheckRetries, migration.Observed, "the app's journal of deliveries and executions", facts)
}

// providers names who delivered, and gives the shortest of their documented retry windows; 0 when one of them documents none.
func providers(seen []string) (names string, hours int) {
	slices.Sort(seen)
	seen = slices.Compact(seen)
	for i, name := range seen {
		if h := retryWindow(name); i == 0 || h < hours {
			hours = h
		}
	}
	return strings.Join(seen, ", "), hours
}
