package outage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/workflows/environment"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

const (
	// ReplayMost is how many events one replay hands to the app, and takes from a caller;
	// more are for another one.
	ReplayMost = 500
	// replayBack is how far back a provider is asked: Stripe lists no older events.
	replayBack = 30 * 24 * time.Hour
	// replayNamed is how many ids are told.
	replayNamed = 20
)

// Replay asks a provider for what was lost, or takes it from an export, and hands each to the app.
type Replay struct {
	Provider string `json:"provider" enum:"stripe,shopify,clickfunnels,copecart,cope"`
	// Since is from when on the provider is asked. It does not count beside Events.
	Since time.Time `json:"since,omitzero"`
	// Look only tells what is missing.
	Look bool `json:"look"`
	// Events are bodies of webhooks, from an export of the provider's: it is not asked
	// then. At most 500, within the size of a request.
	Events []json.RawMessage `json:"events,omitempty" type:"object" maxItems:"500"`
}

// ReplayResult is what became of it.
type ReplayResult struct {
	// what the provider has or the caller gave, and the order ledger does not know as
	// acknowledged
	Missing int `json:"missing"`
	// what it does know as acknowledged: nothing is done about it
	Known int `json:"known"`
	// the first missing ones: ids of events for Stripe, of orders for the others
	Events   []string `json:"events"`
	Enqueued int      `json:"enqueued"`
	// the first that were not taken, with the reason: the app's, or why people should look
	// at it before
	Refused []string `json:"refused"`
	Left    int      `json:"left"` // missing and neither enqueued nor refused: ask again
}

// Live asks Stripe what it could not deliver since a time; nil without a key.
func (c *Clock) Live(ctx context.Context, since time.Time) (*evidence.LiveDeliveries, error) {
	if c.Config.Stripe.Key.IsZero() {
		return nil, nil //nolint:nilnil // nobody is asked, and that is no error
	}
	found, err := c.stripeEvents(false).
		Missing(ctx, since, func(webhooks.Event) bool { return false })
	if err != nil {
		return nil, err
	}
	out := &evidence.LiveDeliveries{Provider: "Stripe", Undelivered: len(found)}
	for _, f := range found[:min(len(found), replayNamed)] {
		out.Events = append(out.Events, f.Event.ID)
	}
	return out, nil
}

func (c *Clock) stripeEvents(acknowledged bool) webhooks.StripeEvents {
	return webhooks.StripeEvents{
		Base:         c.Config.Stripe.API,
		Key:          c.Config.Stripe.Key,
		Types:        c.Config.Stripe.Types,
		Acknowledged: acknowledged,
		Now:          c.Now,
	}
}

// recoverer is who asks a provider, and what it lists, for people. An error has the kind
// Blocked and says what to do: a key is missing, or there is no API.
func (c *Clock) recoverer(p webhooks.Sender) (r webhooks.Recoverer, lists string, err error) {
	const file = "or hand over an export of it as a file"
	switch shopify, funnels := c.Config.Shopify, c.Config.ClickFunnels; p.ID {
	case "stripe":
		if c.Config.Stripe.Key.IsZero() {
			return nil, "", migration.Errorf(
				migration.Blocked,
				"no key of Stripe is configured: set stripe.key to a restricted key that may read events, %s",
				file,
			)
		}
		return c.stripeEvents(true), "Stripe lists the events of the last 30 days.", nil
	case "shopify":
		if shopify.Token.IsZero() {
			return nil, "", migration.Errorf(
				migration.Blocked,
				"no token of Shopify is configured: set shopify.shop, and shopify.token with "+
					"read_orders and read_customers, %s",
				file,
			)
		}
		return webhooks.ShopifyOrders{
			Base:  shopify.API,
			Shop:  shopify.Shop,
			Token: shopify.Token,
		}, "Shopify lists paid orders by their last change.", nil
	case "clickfunnels":
		if funnels.Token.IsZero() {
			return nil, "", migration.Errorf(
				migration.Blocked,
				"no token of ClickFunnels is configured: set clickfunnels.api, "+
					"clickfunnels.workspace and clickfunnels.token, %s",
				file,
			)
		}
		return webhooks.ClickFunnelsOrders{
			Base:      funnels.API,
			Workspace: funnels.Workspace,
			Token:     funnels.Token,
		}, "ClickFunnels lists paid one-time orders by their last change.", nil
	}
	return nil, "", migration.Errorf(
		migration.Blocked,
		"no API of %s is known that lists orders or sends them again. %s What comes of it can be handed over as a file",
		p.Name,
		p.Recovery.Action,
	)
}

// orderID is under which id the app's journal, and so the order ledger, knows the order of
// an event.
func orderID(ev webhooks.Event) string { return ev.OrderID() }

// eventName is how people find something again: Stripe's events by their own id, the
// others' by the order's.
func eventName(ev webhooks.Event) string {
	if ev.Sender == "stripe" && ev.ID != "" {
		return ev.ID
	}
	return ev.Object
}

func (c *Clock) Replay(ctx context.Context, in Replay) (ReplayResult, error) {
	out := ReplayResult{Events: []string{}, Refused: []string{}}
	p, err := provider(in.Provider)
	if err != nil {
		return out, err
	}
	var from webhooks.Recoverer = export{p, in.Events}
	if len(in.Events) == 0 {
		if from, _, err = c.recoverer(p); err != nil {
			return out, err
		}
		if in.Since.IsZero() || in.Since.After(c.Now()) || c.Now().Sub(in.Since) > replayBack {
			return out, migration.Errorf(
				migration.Invalid,
				"since must lie within the last 30 days",
			)
		}
	}
	orders, err := c.Journal.Read()
	if err != nil {
		return out, err
	}
	acknowledged := map[string]bool{} // one may be asked about more than once
	lost, err := from.Missing(ctx, in.Since, func(ev webhooks.Event) bool {
		s, known := orders.Find(orderID(ev))
		if known = known && s.Acknowledged; known {
			acknowledged[ev.Key] = true
		}
		return known
	})
	out.Known = len(acknowledged)
	switch {
	case err != nil && len(in.Events) > 0:
		return out, err
	case errors.Is(err, context.DeadlineExceeded):
		return out, migration.Errorf(
			migration.Unavailable,
			"%s has more since then than can be read within one request: ask for less time back, "+
				"or hand over an export of it as a file",
			p.Name,
		)
	case err != nil:
		return out, migration.Errorf(migration.Unavailable, "%s cannot be asked: %w", p.Name, err)
	}
	return c.handOver(ctx, from, lost, in.Look, out)
}

// handOver gives the app what was lost, unless it is only looked at. It ends early when the
// queue is down, or nobody answers: what is left is for another replay.
func (c *Clock) handOver(
	ctx context.Context,
	from webhooks.Recoverer,
	lost []webhooks.Found,
	look bool,
	out ReplayResult,
) (ReplayResult, error) {
	out.Missing = len(lost)
	refused := 0
	refuse := func(f webhooks.Found, why string) {
		if refused++; len(out.Refused) < replayNamed {
			out.Refused = append(out.Refused, eventName(f.Event)+": "+why)
		}
	}
	var ready []webhooks.Found
	for i, f := range lost {
		if i < replayNamed {
			out.Events = append(out.Events, eventName(f.Event))
		}
		if f.Hold != "" {
			refuse(f, f.Hold+": look at it, and take it in by hand if it is right")
			continue
		}
		ready = append(ready, f)
	}
	if look {
		ready = nil
	}
	for i, f := range ready {
		if i == ReplayMost || ctx.Err() != nil {
			break
		}
		body, err := from.Body(ctx, f)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			refuse(f, migration.PlainError(err))
			if migration.KindOf(err) == migration.NotFound {
				continue // this one is gone
			}
			break
		}
		status, reason, err := c.App.Replay(ctx, f.Event.Sender, body)
		if err != nil && ctx.Err() != nil {
			break // whether the app took it shows in its journal
		}
		if err == nil && status == http.StatusOK {
			out.Enqueued++
			continue
		}
		if err == nil && status == http.StatusNotFound {
			return out, migration.Errorf(
				migration.Blocked,
				"the app takes no replays of %s (404): serve POST /switchyard/replay, see examples/ingestion",
				f.Event.Sender,
			)
		}
		if err != nil {
			refuse(f, environment.InWords(err))
			break
		}
		refuse(f, fmt.Sprintf("%d %s", status, reason))
		if status == http.StatusServiceUnavailable {
			break // the queue is down
		}
	}
	out.Left = out.Missing - out.Enqueued - refused
	return out, nil //nolint:nilerr // each refusal is in out, with its reason
}
