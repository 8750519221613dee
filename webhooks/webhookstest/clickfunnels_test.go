package webhookstest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks"
)

const funnelToken = "cf_CANARY"

func serveClickFunnels(t *testing.T, c *ClickFunnels) webhooks.ClickFunnelsOrders {
	t.Helper()
	c.Token, c.Workspace = funnelToken, 42
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return webhooks.ClickFunnelsOrders{Base: server.URL, Workspace: 42, Token: funnelToken,
		Wait: func(context.Context, time.Duration) error {
			return nil
		}}
}

func objects(found []webhooks.Found) []string {
	out := []string{}
	for _, f := range found {
		out = append(out, f.Event.Object)
	}
	return out
}

func TestOrdersThatClickFunnelsNeverSentAreFoundByTheirUpdate(t *testing.T) {
	t.Parallel()
	api := &ClickFunnels{}
	orders := serveClickFunnels(t, api)
	var want []string
	for i := 1; i <= 137; i++ { // many share a second
		api.Put(ClickFunnelsOrder{ID: i, Created: begin.Add(time.Duration(i) *
			time.Millisecond), Updated: begin.Add(time.Duration(i/30) * time.Second)})
		if i >= 30 && i != 50 {
			want = append(want, strconv.Itoa(i))
		}
	}
	api.Put(ClickFunnelsOrder{ID: 200, Created: begin, Updated: begin.Add(time.Hour),
		Type: "subscription-order"})
	api.Limit(5) // more than one request asks again for
	found, err := orders.Missing(t.Context(), begin.Add(time.Second),
		func(e webhooks.Event) bool {
			return e.Object == "50"
		})
	if got := objects(found); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v: got %v, want 30 to 137 but 50", err, got)
	}
	body, err := orders.Body(t.Context(), found[0])
	if err != nil {
		t.Fatal(err)
	}
	e, err := webhooks.ClickFunnels().Identify(nil, body)
	var sent struct {
		Workspace int `json:"workspace_id"`
		Data      struct {
			ID    int
			Total string `json:"total_amount"`
		}
	}
	if err != nil || e.Object != "30" || e.Type != "one-time-order.completed" ||
		!e.Created.Equal(found[0].Event.Created) || json.Unmarshal(body, &sent) != nil ||
		sent.Data.ID != 30 || sent.Data.Total != "49.90" || sent.Workspace != 42 {
		t.Errorf("%+v, %v: %s", e, err, body)
	}
	if again, err := orders.Body(t.Context(), found[0]); err != nil ||
		string(again) != string(body) {
		t.Errorf("another body the second time: %v %s", err, again)
	}
}

// An order that is updated while the list is read goes from behind the place that is
// read to the front.
func TestAnOrderOfClickFunnelsThatMovesWhileTheListIsReadIsNotMissed(t *testing.T) {
	t.Parallel()
	api := &ClickFunnels{}
	orders := serveClickFunnels(t, api)
	for i := 1; i <= 60; i++ {
		api.Put(ClickFunnelsOrder{ID: i, Created: begin,
			Updated: begin.Add(time.Duration(i) * time.Second)})
	}
	reading := 0
	api.Before = func() {
		switch reading++; reading {
		case 2:
			api.Put(ClickFunnelsOrder{ID: 5, Created: begin, Updated: begin.Add(time.Hour)})
		case 3:
			// was read already, as paid
			api.Put(ClickFunnelsOrder{ID: 55, Created: begin, Updated: begin.Add(time.Hour),
				Billing: "refunded"})
		}
	}
	found, err := orders.Missing(t.Context(), begin, nothingKnown)
	got := objects(found)
	if err != nil || len(got) != 59 || !slices.Contains(got, "5") ||
		slices.Contains(got, "55") {
		t.Errorf("%d orders, %v: %v", len(got), err, got)
	}

	id := 1000
	// a shop that never rests: each reading of a page finds a page of new ones
	api.Before = func() {
		for range 25 {
			id++
			api.Put(ClickFunnelsOrder{ID: id, Created: begin,
				Updated: begin.Add(time.Duration(id) * time.Hour)})
		}
	}
	if found, err := orders.Missing(t.Context(), begin,
		nothingKnown); migration.KindOf(err) != migration.Unavailable || found != nil {
		t.Errorf("%d found, %v", len(found), err)
	}
}

func TestOfClickFunnelsOnlyPaidOrdersAreMissingAndDoubtfulOnesAreHeld(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		order ClickFunnelsOrder
		found bool
		hold  string
	}{
		"paid":         {ClickFunnelsOrder{}, true, ""},
		"not paid yet": {ClickFunnelsOrder{Billing: "pending"}, false, ""},
		"past due":     {ClickFunnelsOrder{Billing: "past-due"}, false, ""},
		"given back":   {ClickFunnelsOrder{Billing: "refunded"}, false, ""},
		"given back in part": {ClickFunnelsOrder{Billing: "partially-refunded"}, true,
			"refunded in part"},
		"disputed":           {ClickFunnelsOrder{Billing: "disputed"}, true, "disputed"},
		"paid and cancelled": {ClickFunnelsOrder{Canceled: true}, true, "cancelled"},
	} {
		api := &ClickFunnels{}
		orders := serveClickFunnels(t, api)
		c.order.ID, c.order.Created, c.order.Updated = 1, begin, begin
		api.Put(c.order)
		found, err := orders.Missing(t.Context(), begin, nothingKnown)
		if err != nil || (len(found) == 1) != c.found ||
			c.found && (found[0].Hold == "") != (c.hold == "") ||
			c.found && !strings.Contains(found[0].Hold, c.hold) {
			t.Errorf("%s: %+v, %v", rule, found, err)
		}
	}
}

func TestClickFunnelsRefusalsAreErrorsThatHideTheToken(t *testing.T) {
	t.Parallel()
	api := &ClickFunnels{}
	orders := serveClickFunnels(t, api)
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	at := func(url string) webhooks.ClickFunnelsOrders { o := orders; o.Base = url; return o }
	wrong, elsewhere := orders, orders
	wrong.Token, elsewhere.Workspace = "cf_CANARY_wrong", 43
	order := `[{"id":1,"order_type":"one-time-order","billing_status":"paid","updated_at":"2100-01-01T00:00:00Z"}]`
	for name, c := range map[string]struct {
		orders webhooks.ClickFunnelsOrders
		says   string
	}{
		"wrong token": {wrong, "401"}, "another workspace": {elsewhere, "404"},
		"the same page for ever": {at(serve(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(order))
		})), "that order again"},
		"another answer": {at(serve(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"orders":[]}`))
		})), "documented JSON"},
		"no id": {at(serve(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`[{"updated_at":"2100-01-01T00:00:00Z"}]`))
		})), "no id"},
		"a refusal that repeats the token": {at(
			serve(func(w http.ResponseWriter, r *http.Request) {
				send(w, http.StatusForbidden,
					map[string]any{"error": "no right for " + r.Header.Get("Authorization")})
			})), "403"},
		"in the clear": {at("http://example.myclickfunnels.com"), "not https"},
	} {
		found, err := c.orders.Missing(t.Context(), begin, nothingKnown)
		if err == nil || !strings.Contains(err.Error(), c.says) || len(found) > 0 ||
			strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
	api.Limit(1000)
	if _, err := orders.Missing(t.Context(), begin, nothingKnown); err == nil ||
		!strings.Contains(err.Error(), "429") {
		t.Errorf("always at the limit: %v", err)
	}
	api.Limit(1000)
	ctx, cancel := context.WithCancel(t.Context())
	orders.Wait = func(context.Context, time.Duration) error {
		cancel()
		return context.Canceled
	}
	if _, err := orders.Missing(ctx, begin, nothingKnown); err == nil {
		t.Error("a cancelled wait is no error")
	}
}
