package webhooks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// ClickFunnelsOrders recovers one-time orders through ClickFunnels' API 2.0, which
// lists orders but no events.
//
// Documented (read 2026-11-26): the list and its sorting at
// https://developers.myclickfunnels.com/reference/order, the cursor after (an id, also
// in the header Pagination-Next; 20 to a page) at /docs/pagination, bearer token and
// statuses, 429 among them, at /docs/requests-and-responses, and the shape of an event
// at /docs/webhooks and /docs/webhook-event-types. Observed in ClickFunnels' own
// command line tool (https://github.com/clickfunnels/cli, made from its OpenAPI
// document): that the list can be sorted by updated_at and filtered by order_type, that
// no filter takes a time, the values of billing_status, and that a User-Agent is sent.
// Not found: how many requests are allowed, and whether a 429 says how long to wait.
// Nothing here was tried against ClickFunnels itself.
type ClickFunnelsOrders struct {
	Base      string // the team's address, as https://example.myclickfunnels.com
	Workspace int
	HTTP      *http.Client // nil: one of its own
	Token     migration.Secret
	// when the rate limit is reached; nil: waits
	Wait func(context.Context, time.Duration) error
}

const (
	clickFunnelsWait  = 10 * time.Second
	clickFunnelsTries = 10
	// clickFunnelsPasses bounds how often the newest orders are read again.
	clickFunnelsPasses = 10
	// clickFunnelsType is the event that is made of a paid order:
	// https://developers.myclickfunnels.com/docs/webhook-event-types
	clickFunnelsType = "one-time-order.completed"
)

// Missing implements Recoverer. It gives one-time orders that are paid; what renews a
// subscription is an invoice, which it does not look at. Orders are known by
// Event.Object, the number that webhooks carry as subject_id; Event.Key is that too,
// because the id of an event that never came is not known.
func (c ClickFunnelsOrders) Missing(
	ctx context.Context, since time.Time, known func(Event) bool,
) ([]Found, error) {
	found := map[string]Found{}
	// The list begins with what was updated last. An order that is updated while it is
	// read moves from behind the place that is read to before it, so the front is read
	// again, until it fits on one page: a page is read at one moment.
	for pass, until := 1, since; ; pass++ {
		newest, pages, err := c.walk(ctx, until, func(o object, raw []byte) {
			e := Event{
				Sender:  "clickfunnels",
				Type:    clickFunnelsType,
				Object:  o.text("id"),
				Created: o.time("created_at"),
				Key:     o.text("id"),
			}
			paid, hold := clickFunnelsPaid(o)
			delete(found, e.Object) // what it was in the pass before
			if paid && !known(e) {
				found[e.Object] = Found{Event: e, Body: raw, Hold: hold}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list ClickFunnels' orders since %s: %w",
				since.UTC().Format(time.RFC3339), err)
		}
		if pages < 2 {
			break
		}
		if pass == clickFunnelsPasses {
			return nil, migration.Errorf(migration.Unavailable, "list ClickFunnels' orders: "+
				"more than a page of them changed during each of %d readings: ask again", pass)
		}
		until = newest
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Found) int {
		return cmp.Or(a.Event.Created.Compare(b.Event.Created),
			cmp.Compare(a.Event.Object, b.Event.Object))
	}), nil
}

// walk gives orders from the one updated last back to a time, and tells the time of the
// first and how many pages it took.
func (c ClickFunnelsOrders) walk(
	ctx context.Context, until time.Time, give func(o object, raw []byte),
) (newest time.Time, pages int, err error) {
	query := url.Values{
		"sort_property":      {"updated_at"},
		"sort_order":         {"desc"},
		"filter[order_type]": {"one-time-order"},
	}
	for seen := 0; ; {
		var page []json.RawMessage
		if err := c.get(ctx, "/api/v2/workspaces/"+strconv.Itoa(c.Workspace)+"/orders?"+
			query.Encode(), &page); err != nil {
			return newest, pages, err
		}
		if len(page) == 0 { // how many make a page may change, so only an empty one is the end
			return newest, pages, nil
		}
		pages++
		last := ""
		for _, raw := range page {
			o, err := decode(raw)
			if err != nil || o.text("id") == "" || o.time("updated_at").IsZero() {
				return newest, pages, errors.New("one has no id or no time of its update")
			}
			last = o.text("id")
			at := o.time("updated_at")
			if newest.IsZero() {
				newest = at
			}
			if at.Before(until) {
				return newest, pages, nil
			}
			give(o, raw)
		}
		if seen += len(page); seen >= mostFound {
			return newest, pages, tooMany("ClickFunnels", seen)
		}
		if last == query.Get("after") {
			return newest, pages,
				fmt.Errorf("the page after order %s is that order again", last)
		}
		query.Set("after", last)
	}
}

// get asks once more when the rate limit is reached, for longer than httpapi does.
func (c ClickFunnelsOrders) get(ctx context.Context, path string, out any) error {
	api := httpapi.Client{
		API:    "clickfunnels",
		Base:   c.Base,
		HTTP:   c.HTTP,
		Key:    c.Token,
		Header: http.Header{"User-Agent": {"Switchyard"}},
	}
	wait := c.Wait
	if wait == nil {
		wait = pause
	}
	for try := 1; ; try++ {
		err := api.Do(ctx, http.MethodGet, path, nil, out)
		refusal, refused := errors.AsType[*httpapi.Error](err)
		if !refused || refusal.Status != http.StatusTooManyRequests ||
			try == clickFunnelsTries {
			return err
		}
		if err := wait(ctx, max(refusal.RetryAfter, clickFunnelsWait)); err != nil {
			return err
		}
	}
}

// clickFunnelsPaid says whether a one-time order was paid and is not given back as a
// whole, and what of it people should look at first.
func clickFunnelsPaid(o object) (paid bool, hold string) {
	if o.text("order_type") != "one-time-order" {
		return false, ""
	}
	switch o.text("billing_status") {
	case "paid":
		if o.text("canceled_at") != "" {
			hold = "it was cancelled since"
		}
		return true, hold
	case "partially-refunded":
		return true, "it was refunded in part since"
	case "disputed":
		return true, "its payment is disputed"
	case "":
		return true, "ClickFunnels does not say whether it is paid"
	}
	return false, ""
}

// Body implements Recoverer: the event of a completed order. It has no event_id, since
// the one of the event that was lost is not known.
func (c ClickFunnelsOrders) Body(_ context.Context, f Found) ([]byte, error) {
	return json.Marshal(map[string]any{"event_type": clickFunnelsType, "subject_type": "Order",
		"subject_id":  json.Number(f.Event.Object),
		"api_version": 2, "workspace_id": c.Workspace, "created_at": f.Event.Created.UTC().
				Format(time.RFC3339Nano), "data": json.RawMessage(f.Body)})
}
