package webhookstest

import (
	"context"
	"net/http"
	"net/http/httptest"
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
	return webhooks.ShopifyOrders{Base: server.URL, Token: shopToken, Wait: func(context.Context, time.Duration) error { return nil }}
}

var _ = []webhooks.Recoverer{webhooks.StripeEvents{}, webhooks.ShopifyOrders{}}

func TestOrdersThatShopifyNeverSentAreFoundByTheirUpdate(t *testing.T) {
	t.Parallel()
	api := &Shopify{}
	orders := serveShopify(t, api)
	for i := range 137 {
		// Many share a second.
		api.Add(ShopifyOrder{ID: int64(1000 + i), CreatedAt: begin, Updated: begin.Add(time.Duration(i/30) * time.Second)})
	}
	api.Throttle(2)
	found, err := orders.Missing(t.Context(), begin.Add(time.Second), func(e webhooks.Event) bool { return e.Object == "1050" })
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
		send(w, 200, map[string]any{"errors": []any{map[string]any{"message": "Access denied for " + r.Header.Get("X-Shopify-Access-Token"), "extensions": map[string]any{"code": "ACCESS_DENIED"}}}})
	}))
	defer denied.Close()
	looping := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		send(w, 200, map[string]any{"data": map[string]any{"orders": map[string]any{"nodes": []any{}, "pageInfo": map[string]any{"hasNextPage": true, "endCursor": "x"}}}})
	}))
	defer looping.Close()
	nothing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { send(w, 200, map[string]any{}) }))
	defer nothing.Close()
	at := func(url string) webhooks.ShopifyOrders { o := orders; o.Base = url; return o }
	for name, c := range map[string]struct {
		orders webhooks.ShopifyOrders
		says   string
	}{"wrong token": {wrong, "401"}, "not a shop": {elsewhere, "not a shop's address"}, "no right to read": {at(denied.URL), "ACCESS_DENIED"}, "the same page for ever": {at(looping.URL), "there is more"},
		"another answer": {at(nothing.URL), "documented JSON"}} {
		found, err := c.orders.Missing(t.Context(), begin, nothingKnown)
		if err == nil || !strings.Contains(err.Error(), c.says) || len(found) > 0 || strings.Contains(err.Error(), "shpat_") {
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
	api.Throttle(1000)
	if _, err := orders.Missing(t.Context(), begin, nothingKnown); migration.KindOf(err) != migration.Unavailable || !strings.Contains(err.Error(), "THROTTLED") {
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
