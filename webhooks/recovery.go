package webhooks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
)

// Found is an event or order that the provider has and that was not known here.
type Found struct {
	Event Event
	Body  []byte // as the provider lists it; Recoverer.Body makes of it what an app takes in
	// Undelivered is how many endpoints have not taken it; 0 when the provider does not
	// tell.
	Undelivered int
	// Hold is why people should look at it before it is taken in, such as "it was
	// refunded in part since"; empty: nothing speaks against it.
	Hold string
}

// Recoverer asks a provider for what was lost. It only reads.
type Recoverer interface {
	// Missing gives what the provider has since a time and known does not know, oldest
	// first. An error means that the list is not complete: nothing is given then.
	Missing(ctx context.Context, since time.Time, known func(Event) bool) ([]Found, error)
	// Body gives the body of something found in the shape of the provider's webhook.
	Body(ctx context.Context, f Found) ([]byte, error)
}

// mostFound bounds what one Missing reads.
const mostFound = 200_000

// StripeEvents recovers events through Stripe's API:
// https://docs.stripe.com/webhooks/process-undelivered-events
type StripeEvents struct {
	Base string       // empty: Stripe's
	HTTP *http.Client // nil: one of its own
	Key  migration.Secret
	// Types keeps to these types of events, at most 20; empty: all.
	Types []string
	// Acknowledged also looks at events that an endpoint answered with success: they
	// too are missing when they were lost behind the answer, as in a Redis that evicts
	// jobs.
	Acknowledged bool
	Now          func() time.Time // nil: time.Now
}

const (
	stripeBase = "https://api.stripe.com"
	// stripeKeeps is how far back events are listed:
	// https://docs.stripe.com/api/events/list
	stripeKeeps = 30 * 24 * time.Hour
	// stripePage keeps a page of large events within what httpapi reads. The API allows
	// 100.
	stripePage  = 50
	stripeTypes = 20
)

// Missing implements Recoverer. Events are known by their id (Event.Key, Event.JobID).
func (s StripeEvents) Missing(
	ctx context.Context, since time.Time, known func(Event) bool,
) ([]Found, error) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	if age := now().Sub(since); age > stripeKeeps {
		return nil, migration.Errorf(migration.Invalid, "Stripe lists events of the last 30 "+
			"days; %s is %.0f days ago: ask from a later time, and take what is older from "+
			"an export of payments",
			since.UTC().Format(time.DateTime), age.Hours()/24)
	}
	if len(s.Types) > stripeTypes {
		return nil, migration.Errorf(migration.Invalid, "Stripe takes at most %d types of "+
			"events in one question; these are %d: ask for fewer, or for all", stripeTypes,
			len(s.Types))
	}
	query := url.Values{"limit": {strconv.Itoa(stripePage)},
		"created[gte]": {strconv.FormatInt(since.Unix(), 10)}}
	if !s.Acknowledged {
		query.Set("delivery_success", "false")
	}
	for _, t := range s.Types {
		query.Add("types[]", t)
	}
	api := httpapi.Client{API: "stripe", Base: stripeBase, HTTP: s.HTTP, Key: s.Key}
	if s.Base != "" {
		api.Base = s.Base
	}
	var out []Found
	for seen := 0; ; {
		var page struct {
			Data    []json.RawMessage `json:"data"`
			HasMore bool              `json:"has_more"`
		}
		if err := s.get(ctx, api, "/v1/events?"+query.Encode(), &page); err != nil {
			return nil, fmt.Errorf("list Stripe's events since %s: %w",
				since.UTC().Format(time.RFC3339), err)
		}
		last := ""
		for _, raw := range page.Data {
			o, err := decode(raw)
			if err != nil || o.text("id") == "" {
				return nil, errors.New("list Stripe's events: one has no id")
			}
			e := stripeEvent(nil, o)
			e.Sender, e.Key = "stripe", e.ID
			last = e.ID
			if !known(e) {
				n, _ := strconv.Atoi(o.text("pending_webhooks")) // none: 0, not told
				out = append(out, Found{Event: e, Body: raw, Undelivered: n})
			}
		}
		seen += len(page.Data)
		switch {
		case !page.HasMore:
			slices.Reverse(out)
			return out, nil
		case last == "" || last == query.Get("starting_after"):
			return nil, fmt.Errorf(
				"list Stripe's events: the API says that there is more after %q but gives none",
				last)
		case seen >= mostFound:
			return nil, tooMany("Stripe", seen)
		}
		query.Set("starting_after", last)
	}
}

// Body implements Recoverer: an event of Stripe's list is the same object as in the
// webhook, though not the same bytes.
func (s StripeEvents) Body(_ context.Context, f Found) ([]byte, error) { return f.Body, nil }

// get is httpapi's Do for Stripe's form of errors: https://docs.stripe.com/api/errors
func (s StripeEvents) get(ctx context.Context, api httpapi.Client, path string, out any) error {
	status, body, err := api.Send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var refusal struct {
			Error struct{ Message string }
		}
		_ = json.Unmarshal(body, &refusal) // another form has no message
		message := refusal.Error.Message
		if key := s.Key.Reveal(); key != "" {
			message = strings.ReplaceAll(message, key, "redacted")
		}
		where, _, _ := strings.Cut(path, "?")
		return &httpapi.Error{
			API:     "stripe",
			Call:    "GET " + where,
			Status:  status,
			Message: message,
		}
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("stripe: the answer is not the documented JSON (%d bytes)", len(body))
	}
	return nil
}

// ShopifyOrders recovers orders through Shopify's Admin API, since events themselves
// are not kept: https://shopify.dev/docs/apps/build/webhooks/best-practices
// (reconciliation). The API gives the last 60 days unless the app may read all orders.
// The token needs the scopes read_orders and read_customers.
type ShopifyOrders struct {
	Shop    string       // as example.myshopify.com
	Version string       // of the API; empty: ShopifyVersion
	Base    string       // instead of the shop's address, for tests
	HTTP    *http.Client // nil: one of its own
	Token   migration.Secret
	Wait    func(context.Context, time.Duration) error // when throttled; nil: waits
}

// ShopifyVersion is the version of the Admin API that is asked.
const ShopifyVersion = "2026-10"

const (
	shopifyPage = 50
	// shopifyLines keeps the cost of one order below the 1,000 points that a question
	// may cost: an object is a point, a line has three.
	// https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits
	shopifyLines = 250
	// shopifyTries bounds how often a throttled question is asked; the budget refills
	// within seconds: https://shopify.dev/docs/api/usage/limits
	shopifyTries = 10
	shopifyWait  = 2 * time.Second
	shopifyQuery = `query($first: Int!, $after: String, $query: String!) {
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {
    pageInfo { hasNextPage endCursor }
    nodes { id legacyResourceId name createdAt updatedAt cancelledAt displayFinancialStatus }
  }
}`
	shopifyOneQuery = `query($id: ID!, $first: Int!, $after: String) {
  order(id: $id) {
    name createdAt test currencyCode
    totalPriceSet { shopMoney { amount } }
    customer { legacyResourceId }
    lineItems(first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { sku quantity originalUnitPriceSet { shopMoney { amount } } }
    }
  }
}`
)

var shopHost = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*\.myshopify\.com$`)

// Missing implements Recoverer. It gives orders that are paid, as the topic orders/paid
// does. They are known by Event.Object, the number that webhooks carry as id; Event.Key
// is that too, not the key of a webhook, because one order has many events: take it in
// by that, since a webhook of the same order may still come.
func (s ShopifyOrders) Missing(
	ctx context.Context, since time.Time, known func(Event) bool,
) ([]Found, error) {
	var out []Found
	given := map[string]bool{} // an order that is updated meanwhile comes again at the end
	after := ""
	for seen := 0; ; {
		variables := map[string]any{"first": shopifyPage,
			"query": "updated_at:>='" + since.UTC().Format(time.RFC3339) + "'"}
		if after != "" {
			variables["after"] = after
		}
		var data struct {
			Orders *shopifyNodes `json:"orders"`
		}
		err := s.ask(ctx, shopifyQuery, variables, &data)
		if err == nil && data.Orders == nil {
			err = errors.New("shopify: the answer is not the documented JSON")
		}
		if err != nil {
			return nil, fmt.Errorf("list Shopify's orders since %s: %w",
				since.UTC().Format(time.RFC3339), err)
		}
		page := data.Orders
		for _, raw := range page.Nodes {
			o, err := decode(raw)
			id := ""
			if err == nil {
				id = o.text("legacyResourceId")
			}
			if id == "" {
				return nil, errors.New("list Shopify's orders: one has no id")
			}
			e := Event{
				Sender:  "shopify",
				ID:      o.text("id"),
				Type:    "order",
				Object:  id,
				Created: o.time("createdAt"),
				Key:     id,
			}
			paid, hold := shopifyPaid(o)
			if paid && !given[id] && !known(e) {
				given[id] = true
				out = append(out, Found{Event: e, Body: raw, Hold: hold})
			}
		}
		seen += len(page.Nodes)
		switch next := page.PageInfo.EndCursor; {
		case !page.PageInfo.HasNextPage:
			return out, nil
		case next == "" || next == after:
			return nil, errors.New(
				"list Shopify's orders: the API says that there is more but not from where")
		case seen >= mostFound:
			return nil, tooMany("Shopify", seen)
		default:
			after = next
		}
	}
}

const shopifyScopesQuery = `query { currentAppInstallation { accessScopes { handle } } }`

// Scopes are what the token may do, such as read_orders:
// https://shopify.dev/docs/api/admin-graphql/latest/objects/AppInstallation
func (s ShopifyOrders) Scopes(ctx context.Context) ([]string, error) {
	var data struct {
		Installation *struct {
			Scopes []struct{ Handle string } `json:"accessScopes"`
		} `json:"currentAppInstallation"`
	}
	err := s.ask(ctx, shopifyScopesQuery, map[string]any{}, &data)
	if err == nil && data.Installation == nil {
		err = errors.New("shopify: the answer is not the documented JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("ask Shopify what the token may do: %w", err)
	}
	var out []string
	for _, scope := range data.Installation.Scopes {
		out = append(out, scope.Handle)
	}
	return out, nil
}

// shopifyPaid says whether an order was paid and is not given back as a whole, and what
// of it people should look at first:
// https://shopify.dev/docs/api/admin-graphql/latest/enums/OrderDisplayFinancialStatus
func shopifyPaid(o object) (paid bool, hold string) {
	switch o.text("displayFinancialStatus") {
	case "PAID":
		if o.text("cancelledAt") != "" {
			hold = "it was cancelled since"
		}
		return true, hold
	case "PARTIALLY_REFUNDED":
		return true, "it was refunded in part since"
	case "":
		return true, "Shopify does not say whether it is paid"
	}
	return false, ""
}

// Body implements Recoverer: the order as the webhook orders/paid has it, as far as an
// app needs it, with prices before discounts in the shop's currency.
// https://shopify.dev/docs/api/admin-graphql/latest/objects/Order
func (s ShopifyOrders) Body(ctx context.Context, f Found) ([]byte, error) {
	type money struct {
		ShopMoney struct {
			Amount json.RawMessage `json:"amount"`
		} `json:"shopMoney"`
	}
	type line struct {
		SKU      *string         `json:"sku"`
		Quantity int             `json:"quantity"`
		Price    json.RawMessage `json:"price"`
	}
	lines := []line{}
	variables := map[string]any{"id": f.Event.ID, "first": shopifyLines}
	for after := ""; ; {
		var data struct {
			Order *struct {
				Name          string `json:"name"`
				CreatedAt     string `json:"createdAt"`
				Test          bool   `json:"test"`
				CurrencyCode  string `json:"currencyCode"`
				TotalPriceSet money  `json:"totalPriceSet"`
				Customer      *struct {
					LegacyResourceID json.Number `json:"legacyResourceId"`
				} `json:"customer"`
				LineItems shopifyNodes `json:"lineItems"`
			} `json:"order"`
		}
		if err := s.ask(ctx, shopifyOneQuery, variables, &data); err != nil {
			return nil, fmt.Errorf("read Shopify's order %s: %w", f.Event.Object, err)
		}
		o := data.Order
		if o == nil {
			return nil, migration.Errorf(migration.NotFound, "Shopify has no order %s any more",
				f.Event.Object)
		}
		for _, raw := range o.LineItems.Nodes {
			var item struct {
				SKU                  *string `json:"sku"`
				Quantity             int     `json:"quantity"`
				OriginalUnitPriceSet money   `json:"originalUnitPriceSet"`
			}
			if err := json.Unmarshal(raw, &item); err != nil {
				return nil, fmt.Errorf(
					"read Shopify's order %s: a line is not the documented JSON",
					f.Event.Object)
			}
			lines = append(lines,
				line{item.SKU, item.Quantity, item.OriginalUnitPriceSet.ShopMoney.Amount})
		}
		switch next := o.LineItems.PageInfo.EndCursor; {
		case !o.LineItems.PageInfo.HasNextPage:
			body := map[string]any{"id": json.Number(f.Event.Object),
				"admin_graphql_api_id": f.Event.ID, "name": o.Name, "created_at": o.CreatedAt,
				"test": o.Test, "financial_status": "paid",
				"total_price": o.TotalPriceSet.ShopMoney.Amount, "currency": o.CurrencyCode,
				"customer": nil, "line_items": lines}
			if o.Customer != nil {
				body["customer"] = map[string]any{"id": o.Customer.LegacyResourceID}
			}
			return json.Marshal(body)
		case next == "" || next == after:
			return nil, fmt.Errorf("read Shopify's order %s: the API says that there are "+
				"more lines but not from where", f.Event.Object)
		default:
			after = next
			variables["after"] = next
		}
	}
}

// shopifyNodes is a page of a connection.
type shopifyNodes struct {
	PageInfo struct {
		HasNextPage bool   `json:"hasNextPage"`
		EndCursor   string `json:"endCursor"`
	} `json:"pageInfo"`
	Nodes []json.RawMessage `json:"nodes"`
}

// ask asks one question and decodes its data into out. GraphQL answers errors with a
// 200; being throttled is one of them, and is waited for.
func (s ShopifyOrders) ask(
	ctx context.Context, query string, variables map[string]any, out any,
) error {
	base, version, wait := s.Base, cmp.Or(s.Version, ShopifyVersion), s.Wait
	if base == "" {
		if !shopHost.MatchString(s.Shop) {
			return migration.Errorf(migration.Invalid,
				"%q is not a shop's address: give it as example.myshopify.com", s.Shop)
		}
		base = "https://" + s.Shop
	}
	if wait == nil {
		wait = pause
	}
	api := httpapi.Client{
		API:    "shopify",
		Base:   base,
		HTTP:   s.HTTP,
		Header: http.Header{"X-Shopify-Access-Token": {s.Token.Reveal()}},
	}
	for try := 1; ; try++ {
		var answer struct {
			Data   json.RawMessage `json:"data"`
			Errors []struct {
				Message    string
				Extensions struct{ Code string }
			} `json:"errors"`
		}
		if err := api.Do(ctx, http.MethodPost,
			"/admin/api/"+url.PathEscape(version)+"/graphql.json",
			map[string]any{"query": query, "variables": variables}, &answer); err != nil {
			return err
		}
		if len(answer.Errors) == 0 {
			if err := json.Unmarshal(answer.Data, out); err != nil {
				// not %w: it may quote a customer's data
				return errors.New("shopify: the answer is not the documented JSON")
			}
			return nil
		}
		e := answer.Errors[0]
		if e.Extensions.Code != "THROTTLED" || try == shopifyTries {
			message := e.Message
			if token := s.Token.Reveal(); token != "" {
				message = strings.ReplaceAll(message, token, "redacted")
			}
			return migration.Errorf(migration.Unavailable, "shopify answered %s: %s",
				e.Extensions.Code, message)
		}
		if err := wait(ctx, shopifyWait); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func tooMany(name string, n int) error {
	return migration.Errorf(migration.Invalid,
		"%s has more than %d entries since then: ask from a later time, in parts", name, n)
}
