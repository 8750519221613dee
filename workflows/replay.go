package workflows

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

const (
	// replayMost is how many events one replay hands to the app; more are for another one.
	replayMost = 500
	// replayBack is how far back Stripe lists events.
	replayBack = 30 * 24 * time.Hour
	// replayNamed is how many ids are told.
	replayNamed = 20
)

// Replay asks a provider for the events that were lost, and hands each to the app.
type Replay struct {
	Provider string    `json:"provider"` // stripe
	Since    time.Time `json:"since"`
	// Look only tells what is missing.
	Look bool `json:"look"`
}

// ReplayResult is what became of it.
type ReplayResult struct {
	Missing  int      `json:"missing"` // events that the provider has and the order ledger does not know as acknowledged
	Events   []string `json:"events"`  // the first of them
	Enqueued int      `json:"enqueued"`
	Refused  []string `json:"refused"` // the first that the app did not take, with its reason
	Left     int      `json:"left"`    // missing and neither enqueued nor tried: ask again
}

// liveDeliveries asks Stripe what it could not deliver since a time; nil without a key.
func (e *Estate) liveDeliveries(ctx context.Context, since time.Time) (*migration.LiveDeliveries, error) {
	if e.cfg.Stripe.Key.IsZero() {
		return nil, nil //nolint:nilnil // nobody is asked, and that is no error
	}
	found, err := e.stripeEvents(false).Missing(ctx, since, func(webhooks.Event) bool { return false })
	if err != nil {
		return nil, err
	}
	out := &migration.LiveDeliveries{Provider: "Stripe", Undelivered: len(found)}
	for _, f := range found[:min(len(found), replayNamed)] {
		out.Events = append(out.Events, f.Event.ID)
	}
	return out, nil
}

func (e *Estate) stripeEvents(acknowledged bool) webhooks.StripeEvents {
	return webhooks.StripeEvents{Base: e.cfg.Stripe.API, Key: e.cfg.Stripe.Key, Types: e.cfg.Stripe.Types, Acknowledged: acknowledged, Now: e.now}
}

// ReplayLost fetches what was lost through the provider's API and hands it to the app, which takes it in as a webhook: an order that is there
// already is not doubled. Engineers only. Unavailable while the order ledger is not current: what is missing is not known then.
func (c *Control) ReplayLost(ctx context.Context, a migration.Actor, mid string, in Replay) (ReplayResult, error) {
	out, err := c.replayLost(ctx, a, mid, in)
	if !in.Look || err != nil {
		c.audit(ctx, a, "replay", fmt.Sprintf("%.40s since %s", in.Provider, in.Since.UTC().Format(time.RFC3339)), fmt.Sprintf("%d missing, %d enqueued, %d refused", out.Missing, out.Enqueued, len(out.Refused)), err)
	}
	return out, err
}

func (c *Control) replayLost(ctx context.Context, a migration.Actor, mid string, in Replay) (ReplayResult, error) {
	out := ReplayResult{Events: []string{}, Refused: []string{}}
	if err := engineer(a); err != nil {
		return out, err
	}
	if _, err := c.store.Migration(ctx, mid); err != nil {
		return out, err
	}
	e := c.estate
	switch {
	case in.Provider != "stripe":
		return out, migration.Errorf(migration.Invalid, "provider %.40q cannot be asked for lost events; stripe can. What to do for the others is on the page Outage clock", in.Provider)
	case e.cfg.Stripe.Key.IsZero():
		return out, migration.Errorf(migration.Blocked, "no key of Stripe is configured: set stripe.key to a restricted key that may read events")
	case in.Since.IsZero() || in.Since.After(e.now()) || e.now().Sub(in.Since) > replayBack:
		return out, migration.Errorf(migration.Invalid, "since must lie within the last 30 days: Stripe lists no older events")
	}
	orders, err := e.ledger.read()
	if err != nil {
		return out, err
	}
	lost, err := e.stripeEvents(true).Missing(ctx, in.Since, func(ev webhooks.Event) bool {
		s, known := orders.Find(ev.OrderID())
		return known && s.Acknowledged
	})
	if err != nil {
		return out, migration.Errorf(migration.Unavailable, "Stripe's events cannot be read: %w", err)
	}
	out.Missing = len(lost)
	for _, l := range lost[:min(len(lost), replayNamed)] {
		out.Events = append(out.Events, l.Event.ID)
	}
	if in.Look {
		out.Left = len(lost)
		return out, nil
	}
	refused := 0
	for i, l := range lost {
		if i == replayMost || ctx.Err() != nil {
			break
		}
		status, reason, err := e.ingestion.Replay(ctx, l.Body)
		switch {
		case err == nil && status == http.StatusOK:
			out.Enqueued++
			continue
		case err == nil && status == http.StatusNotFound:
			return out, migration.Errorf(migration.Blocked, "the app takes no replays (404): serve POST /switchyard/replay, see examples/ingestion")
		case err != nil:
			reason = inWords(err)
		}
		if refused++; len(out.Refused) < replayNamed {
			out.Refused = append(out.Refused, fmt.Sprintf("%s: %d %s", l.Event.ID, status, reason))
		}
		if status == http.StatusServiceUnavailable || err != nil {
			break // the queue is down: what is left is fetched again later
		}
	}
	out.Left = out.Missing - out.Enqueued - refused
	return out, nil
}
