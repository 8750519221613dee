package webhooks

import (
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
	Body  []byte // as the provider gives it now; for an event of Stripe the same object as in the webhook, not the same bytes
	// Undelivered is how many endpoints have not taken it; 0 when the provider does not tell.
	Undelivered int
}

// Recoverer asks a provider for what was lost. Missing gives what the provider has since a time and known does not know, oldest first. It
// only reads. An error means that the list is not complete: nothing is given then.
type Recoverer interface {
	Missing(ctx context.Context, since time.Time, known func(Event) bool) ([]Found, error)
}

// mostFound bounds what one Missing reads.
const mostFound = 200_000

// StripeEvents recovers events through Stripe's API: https://docs.stripe.com/webhooks/process-undelivered-events
type StripeEvents struct {
	Base string       // empty: Stripe's
	HTTP *http.Client // nil: one of its own
	Key  migration.Secret
	// Types keeps to these types of events, at most 20; empty: all.
	Types []string
	// Acknowledged also looks at events that an endpoint answered with success: they too are missing when they were lost behind the answer,
	// as in a Redis that evicts jobs.
	Acknowledged bool
	Now          func() time.Time // nil: time.Now
}

const (
	stripeBase = "https://api.stripe.com"
	// stripeKeeps is how far back events are listed: https://docs.stripe.com/api/events/list
	stripeKeeps = 30 * 24 * time.Hour
	// stripePage keeps a page of large events within what httpapi reads. The API allows 100.
	stripePage  = 50
	stripeTypes = 20
)

// Missing implements Recoverer. Events are known by their id (Event.Key, Event.JobID).
func (s StripeEvents) Missing(ctx context.Context, since time.Time, known func(Event) bool) ([]Found, error) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	if age := now().Sub(since); age > stripeKeeps {
		return nil, migration.Errorf(migration.Invalid, "Stripe lists events of the last 30 days; %s is %.0f days ago: ask from a later time, and take what is older from an export of payments",
			since.UTC().Format(time.DateTime), age.Hours()/24)
	}
	if len(s.Types) > stripeTypes {
		return nil, migration.Errorf(migration.Invalid, "Stripe takes at most %d types of events in one question; these are %d: ask for fewer, or for all", stripeTypes, len(s.Types))
	}
	query := url.Values{"limit": {strconv.Itoa(stripePage)}, "created[gte]": {strconv.FormatInt(since.Unix(), 10)}}
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
			return nil, fmt.Errorf("list Stripe's events since %s: %w", since.UTC().Format(time.RFC3339), err)
		}
		last := ""
		for _, raw := range page.Data {
			o, err := decode(raw)
			if err != nil || o.text("id") == "" {
				return nil, errors.New("list Stripe's events: one has no id")
			}
			e := stripeEvent(nil, o)
			e.Provider, e.Key = "stripe", e.ID
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
			return nil, fmt.Errorf("list Stripe's events: the API says that there is more after %q but gives none", last)
		case seen >= mostFound:
			return nil, tooMany("Stripe", seen)
		}
		query.Set("starting_after", last)
	}
}

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
		return &httpapi.Error{API: "stripe", Call: "GET " + where, Status: status, Message: message}
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("stripe: the answer is not the documented JSON (%d bytes)", len(body))
	}
	return nil
}

// ShopifyOrders recovers orders through Shopify's Admin API, since events themselves are not kept:
// https://shopify.dev/docs/apps/build/webhooks/best-practices (reconciliation). The API gives the last 60 days unless the app may read all orders.
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
	// shopifyTries bounds how often a throttled question is asked; the budget refills within seconds:
	// https://shopify.dev/docs/api/usage/limits
	shopifyTries = 10
	shopifyWait  = 2 * time.Second
	shopifyQuery = `query($first: Int!, $after: String, $query: String!) {
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {
    pageInfo { hasNextPage endCursor }
    nodes { id legacyResourceId name createdAt updatedAt displayFinancialStatus }
  }
}`
)

var shopHost = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*\.myshopify\.com$`)

// Missing implements Recoverer. Orders are known by Event.Object, the number that webhooks carry as id; Event.Key is that too, not the key of
// a webhook, because one order has many events: take it in by that, since a webhook of the same order may still come.
func (s ShopifyOrders) Missing(ctx context.Context, since time.Time, known func(Event) bool) ([]Found, error) {
	base := s.Base
	if base == "" {
		if !shopHost.MatchString(s.Shop) {
			return nil, migration.Errorf(migration.Invalid, "%q is not a shop's address: give it as example.myshopify.com", s.Shop)
		}
		base = "https://" + s.Shop
	}
	version := s.Version
	if version == "" {
		version = ShopifyVersion
	}
	api := httpapi.Client{API: "shopify", Base: base, HTTP: s.HTTP, Header: http.Header{"X-Shopify-Access-Token": {s.Token.Reveal()}}}
	var out []Found
	given := map[string]bool{} // an order that is updated meanwhile comes again at the end
	after := ""
	for seen := 0; ; {
		variables := map[string]any{"first": shopifyPage, "query": "updated_at:>='" + since.UTC().Format(time.RFC3339) + "'"}
		if after != "" {
			variables["after"] = after
		}
		page, err := s.ask(ctx, api, "/admin/api/"+url.PathEscape(version)+"/graphql.json", variables)
		if err != nil {
			return nil, fmt.Errorf("list Shopify's orders since %s: %w", since.UTC().Format(time.RFC3339), err)
		}
		for _, raw := range page.Nodes {
			o, err := decode(raw)
			id := ""
			if err == nil {
				id = o.text("legacyResourceId")
			}
			if id == "" {
				return nil, errors.New("list Shopify's orders: one has no id")
			}
			e := Event{Provider: "shopify", ID: o.text("id"), Type: "order", Object: id, Created: o.time("createdAt"), Key: id}
			if !given[id] && !known(e) {
				given[id] = true
				out = append(out, Found{Event: e, Body: raw})
			}
		}
		seen += len(page.Nodes)
		switch next := page.PageInfo.EndCursor; {
		case !page.PageInfo.HasNextPage:
			return out, nil
		case next == "" || next == after:
			return nil, errors.New("list Shopify's orders: the API says that there is more but not from where")
		case seen >= mostFound:
			return nil, tooMany("Shopify", seen)
		default:
			after = next
		}
	}
}

// orderPage is a page of orders.
type orderPage struct {
	PageInfo struct {
		HasNextPage bool   `json:"hasNextPage"`
		EndCursor   string `json:"endCursor"`
	} `json:"pageInfo"`
	Nodes []json.RawMessage `json:"nodes"`
}

// ask asks one page. GraphQL answers errors with a 200; being throttled is one of them, and is waited for.
func (s ShopifyOrders) ask(ctx context.Context, api httpapi.Client, path string, variables map[string]any) (orderPage, error) {
	wait := s.Wait
	if wait == nil {
		wait = pause
	}
	for try := 1; ; try++ {
		var answer struct {
			Data struct {
				Orders *orderPage `json:"orders"`
			} `json:"data"`
			Errors []struct {
				Message    string
				Extensions struct{ Code string }
			} `json:"errors"`
		}
		if err := api.Do(ctx, http.MethodPost, path, map[string]any{"query": shopifyQuery, "variables": variables}, &answer); err != nil {
			return orderPage{}, err
		}
		switch {
		case len(answer.Errors) == 0 && answer.Data.Orders != nil:
			return *answer.Data.Orders, nil
		case len(answer.Errors) == 0:
			return orderPage{}, errors.New("shopify: the answer is not the documented JSON")
		}
		e := answer.Errors[0]
		if e.Extensions.Code != "THROTTLED" || try == shopifyTries {
			message := e.Message
			if token := s.Token.Reveal(); token != "" {
				message = strings.ReplaceAll(message, token, "redacted")
			}
			return orderPage{}, migration.Errorf(migration.Unavailable, "shopify answered %s: %s", e.Extensions.Code, message)
		}
		if err := wait(ctx, shopifyWait); err != nil {
			return orderPage{}, err
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
	return migration.Errorf(migration.Invalid, "%s has more than %d entries since then: ask from a later time, in parts", name, n)
}
