package webhookstest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

const shopToken = "shpat_of_the_stand_in"

func serveShopify(t *testing.T, s *Shopify) webhooks.ShopifyOrders {
	t.Helper()
	s.Token = shopToken
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return webhooks.ShopifyOrders{Base: server.URL, Token: shopToken,
		Wait: func(context.Context, time.Duration) error {
			return nil
		}}
}

var _ = []webhooks.Recoverer{webhooks.StripeEvents{}, webhooks.ShopifyOrders{},
	webhooks.ClickFunnelsOrders{}}

func TestOrdersThatShopifyNeverSentAreFoundByTheirUpdate(t *testing.T) {
	t.Parallel()
	api := &Shopify{}
	orders := serveShopify(t, api)
	for i := range 137 {
		// Many share a second.
		api.Add(ShopifyOrder{ID: int64(1000 + i), CreatedAt: begin,
			Updated: begin.Add(time.Duration(i/30) * time.Second)})
	}
	api.Throttle(2)
	found, err := orders.Missing(t.Context(), begin.Add(time.Second),
		func(e webhooks.Event) bool {
			return e.Object == "1050"
		})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range found {
		if seen[f.Event.Object] || f.Event.Object < "1030" || f.Event.Created != begin {
			t.Errorf("%+v", f.Event)
		}
		seen[f.Event.Object] = true
	}
	if len(seen) != 106 || seen["1050"] {
		t.Errorf("%d orders", len(seen))
	}
}

func TestShopifysRefusalsAreErrorsThatHideTheToken(t *testing.T) {
	t.Parallel()
	api := &Shopify{}
	orders := serveShopify(t, api)
	wrong := orders
	wrong.Token = "shpat_wrong"
	elsewhere := webhooks.ShopifyOrders{Shop: "evil.example/.myshopify.com", Token: shopToken}
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		send(w, 200,
			map[string]any{"errors": []any{map[string]any{"message": "Access denied for " +
				r.Header.Get("X-Shopify-Access-Token"),
				"extensions": map[string]any{"code": "ACCESS_DENIED"}}}})
	}))
	defer denied.Close()
	looping := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			send(w, 200,
				map[string]any{"data": map[string]any{"orders": map[string]any{"nodes": []any{},
					"pageInfo": map[string]any{"hasNextPage": true, "endCursor": "x"}}}})
		}))
	defer looping.Close()
	nothing := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			send(w, 200, map[string]any{})
		}))
	defer nothing.Close()
	at := func(url string) webhooks.ShopifyOrders { o := orders; o.Base = url; return o }
	for name, c := range map[string]struct {
		orders webhooks.ShopifyOrders
		says   string
	}{"wrong token": {wrong, "401"}, "not a shop": {elsewhere, "not a shop's address"},
		"no right to read":       {at(denied.URL), "ACCESS_DENIED"},
		"the same page for ever": {at(looping.URL), "there is more"},
		"another answer":         {at(nothing.URL), "documented JSON"}} {
		found, err := c.orders.Missing(t.Context(), begin, nothingKnown)
		if err == nil || !strings.Contains(err.Error(), c.says) || len(found) > 0 ||
			strings.Contains(err.Error(), "shpat_") {
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
	api.Throttle(1000)
	if _, err := orders.Missing(t.Context(), begin,
		nothingKnown); migration.KindOf(err) != migration.Unavailable ||
		!strings.Contains(err.Error(), "THROTTLED") {
		t.Errorf("always throttled: %v", err)
	}
	api.Throttle(1)
	ctx, cancel := context.WithCancel(t.Context())
	orders.Wait = nil
	cancel()
	if _, err := orders.Missing(ctx, begin, nothingKnown); err == nil {
		t.Error("a cancelled wait is no error")
	}
}

func TestAnOrderOfShopifyIsGivenInTheShapeOfItsWebhook(t *testing.T) {
	t.Parallel()
	api := &Shopify{}
	orders := serveShopify(t, api)
	want := map[string]any{"id": 1001.0, "admin_graphql_api_id": "gid://shopify/Order/1001",
		"name": "#1001", "created_at": begin.Format(time.RFC3339), "total_price": "515.0",
		"currency": "EUR",
		"customer": map[string]any{"id": 7.0}, "test": false, "financial_status": "paid"}
	var lines []ShopifyLine
	var wantLines []any
	for i := range 257 { // more than one question gives
		l := ShopifyLine{SKU: fmt.Sprintf("sku-%d", i), Quantity: i + 1, Price: "2.0"}
		var sku any = l.SKU
		if i == 3 {
			l.SKU, sku = "", nil
		}
		lines = append(lines, l)
		wantLines = append(wantLines,
			map[string]any{"sku": sku, "quantity": float64(i + 1), "price": "2.0"})
	}
	want["line_items"] = wantLines
	api.Add(ShopifyOrder{ID: 1001, CreatedAt: begin, Updated: begin, Total: "515.0",
		Currency: "EUR", Customer: 7, Lines: lines})
	api.Add(ShopifyOrder{ID: 1002, CreatedAt: begin, Updated: begin.Add(time.Second),
		Total: "1.0", Currency: "EUR"})
	found, err := orders.Missing(t.Context(), begin, nothingKnown)
	if err != nil || len(found) != 2 {
		t.Fatalf("%d found, %v", len(found), err)
	}
	api.Throttle(1)
	body, err := orders.Body(t.Context(), found[0])
	var got map[string]any
	if err != nil || json.Unmarshal(body, &got) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v: %s", err, body)
	}
	e, err := webhooks.Shopify().Identify(nil, body)
	if err != nil || e.Object != "1001" || !e.Created.Equal(begin) {
		t.Errorf("its own body is not known as the order: %+v, %v", e, err)
	}
	if body, err = orders.Body(t.Context(), found[1]); err != nil ||
		!strings.Contains(string(body), `"customer":null,`) ||
		!strings.Contains(string(body), `"line_items":[]`) {
		t.Errorf("without customer and lines: %v: %s", err, body)
	}
	if _, err := orders.Body(t.Context(),
		webhooks.Found{Event: webhooks.Event{ID: "gid://shopify/Order/9",
			Object: "9"}}); migration.KindOf(err) != migration.NotFound {
		t.Errorf("an order that is gone: %v", err)
	}
}

func TestOfShopifyOnlyPaidOrdersAreMissingAndDoubtfulOnesAreHeld(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		order ShopifyOrder
		found bool
		hold  string
	}{
		"paid": {ShopifyOrder{}, true, ""}, "not paid yet": {ShopifyOrder{Status: "PENDING"},
			false, ""}, "authorized": {ShopifyOrder{Status: "AUTHORIZED"}, false, ""},
		"given back": {ShopifyOrder{Status: "REFUNDED"}, false, ""},
		"given back in part": {ShopifyOrder{Status: "PARTIALLY_REFUNDED"}, true,
			"refunded in part"},
		"paid and cancelled": {ShopifyOrder{CancelledAt: begin}, true, "cancelled"},
	} {
		api := &Shopify{}
		orders := serveShopify(t, api)
		c.order.ID, c.order.Updated = 1, begin
		api.Add(c.order)
		found, err := orders.Missing(t.Context(), begin, nothingKnown)
		if err != nil || (len(found) == 1) != c.found ||
			c.found && (found[0].Hold == "") != (c.hold == "") ||
			c.found && !strings.Contains(found[0].Hold, c.hold) {
			t.Errorf("%s: %+v, %v", rule, found, err)
		}
	}
}
