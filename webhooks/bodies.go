package webhooks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func decode(body []byte) (object, error) {
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errors.New("it is null")
	}
	return o, nil
}

// text reads text or a number, which providers use for ids alike; empty when it is
// neither.
func (o object) text(name string) string {
	var s string
	if json.Unmarshal(o[name], &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(o[name], &n) == nil {
		return n.String()
	}
	return ""
}

func (o object) object(name string) object {
	inner, _ := decode(o[name]) // none: no fields
	return inner
}

// time reads RFC 3339 or Unix seconds; zero when it is neither.
func (o object) time(name string) time.Time {
	value := o.text(name)
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t.UTC()
	}
	if unix, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Unix(unix, 0).UTC()
	}
	return time.Time{}
}

func stripeEvent(_ http.Header, e object) Event {
	return Event{
		ID:      e.text("id"),
		Type:    e.text("type"),
		Object:  e.object("data").object("object").text("id"),
		Created: e.time("created"),
	}
}

func stripeOrder(_ http.Header, o Order, _ int) []byte {
	session := o.with(map[string]any{
		"id":             o.ID,
		"object":         "checkout.session",
		"amount_total":   o.Value,
		"currency":       "eur",
		"payment_status": "paid",
	}, "customer", "items", func(i Item) map[string]any {
		return map[string]any{"sku": i.SKU, "qty": i.Qty, "price": i.Price}
	})
	return encode(map[string]any{
		"id": cmp.Or(o.Event, "evt_"+o.ID), "object": "event",
		"api_version": "2026-03-25.dahlia", "created": o.At.Unix(),
		"type": "checkout.session.completed", "livemode": true,
		"pending_webhooks": 1, "data": map[string]any{"object": session},
	})
}

func shopifyEvent(h http.Header, order object) Event {
	out := Event{
		ID:      h.Get("X-Shopify-Event-Id"),
		Type:    h.Get("X-Shopify-Topic"),
		Object:  order.text("id"),
		Created: order.time("created_at"),
	}
	out.Key = cmp.Or(out.ID, orderKey(out.Object))
	return out
}

func shopifyOrder(h http.Header, o Order, try int) []byte {
	h.Set("X-Shopify-Topic", "orders/paid")
	h.Set("X-Shopify-Event-Id", cmp.Or(o.Event, "event-"+o.ID))
	h.Set("X-Shopify-Webhook-Id", "delivery-"+o.ID+"-"+strconv.Itoa(try))
	h.Set("X-Shopify-Triggered-At", o.At.UTC().Format(time.RFC3339Nano))
	body := map[string]any{
		"id":               o.ID,
		"created_at":       o.At.UTC().Format(time.RFC3339),
		"financial_status": "paid",
		"currency":         "EUR",
		"total_price":      euros(o.Value),
	}
	if o.Customer != "" {
		body["customer"] = map[string]any{"id": o.Customer}
	}
	return encode(o.with(body, "", "line_items", decimal))
}

func clickFunnelsEvent(_ http.Header, e object) Event {
	out := Event{
		ID:      e.text("event_id"),
		Type:    e.text("event_type"),
		Object:  cmp.Or(e.text("subject_id"), e.object("data").text("id")),
		Created: e.time("created_at"),
	}
	out.Key = cmp.Or(out.ID, orderKey(out.Object))
	return out
}

func clickFunnelsOrder(_ http.Header, o Order, _ int) []byte {
	data := o.with(map[string]any{
		"id":           o.ID,
		"currency":     "EUR",
		"total_amount": euros(o.Value),
	}, "contact_id", "line_items", func(i Item) map[string]any {
		return map[string]any{
			"quantity":         i.Qty,
			"products_variant": map[string]any{"sku": i.SKU},
			"products_price":   map[string]any{"amount": euros(i.Price), "currency": "EUR"},
		}
	})
	return encode(map[string]any{"event_id": cmp.Or(o.Event, "cf-"+o.ID),
		"event_type": "one-time-order.completed", "subject_type": "Order", "subject_id": o.ID,
		"api_version": 2,
		"created_at":  o.At.UTC().Format(time.RFC3339), "data": data})
}

func copeCartEvent(_ http.Header, e object) Event {
	out := Event{Type: e.text("event_type"), Object: e.text("order_id")}
	// Types hold no dash, so that the last two dashes part the key in one way only.
	if transaction := e.text("transaction_id"); transaction != "" && out.Type != "" &&
		!strings.Contains(out.Type, "-") {
		out.Key = transaction + "--" + out.Type
	}
	return out
}

func copeCartOrder(_ http.Header, o Order, _ int) []byte {
	return encode(o.with(map[string]any{"event_type": "payment.made",
		"transaction_id": cmp.Or(o.Event, "tx-"+o.ID), "order_id": o.ID,
		"payment_status": "paid", "transaction_currency": "EUR",
		"transaction_amount": euros(o.Value), "transaction_date": o.At.UTC().
					Format(time.DateOnly)}, "buyer_id", "line_items", decimal))
}

func copeEvent(h http.Header, e object) Event {
	out := Event{
		ID:      e.text("id"),
		Type:    cmp.Or(e.text("type"), e.text("event_type")),
		Object:  e.text("subject"),
		Created: e.time("time"),
	}
	switch source := e.text("source"); {
	case out.ID == "":
		out.ID = h.Get("X-Cope-Event-Id")
	case source != "":
		out.Key = source + " " + out.ID // a source is a URI reference: it holds no space
	}
	return out
}

func copeOrder(h http.Header, o Order, _ int) []byte {
	id := cmp.Or(o.Event, "evt_"+o.ID)
	h.Set("X-Cope-Event-Id", id)
	data := o.with(map[string]any{
		"order":    map[string]any{"uuid": o.ID},
		"amount":   o.Value,
		"currency": "EUR",
	}, "customer_id", "items", minor)
	return encode(map[string]any{"specversion": "1.0", "source": "/cope/payments", "id": id,
		"type": "cope.payment.sale.succeeded", "subject": o.ID,
		"time": o.At.UTC().Format(time.RFC3339), "datacontenttype": "application/json",
		"data": data})
}

// orderKey is the dedupe key of an order that comes without an event, as from a
// provider's API.
func orderKey(id string) string {
	if id == "" {
		return ""
	}
	return "order-" + id
}

// with adds to the object that has the amount what else is known of the order, by name;
// an empty customer is no field. The line_items of Shopify and ClickFunnels are as
// these document them, for the others' customers and items the names are what
// examples/ingestion reads.
func (o Order) with(
	body map[string]any, customer, items string, line func(Item) map[string]any,
) map[string]any {
	if o.Customer != "" && customer != "" {
		body[customer] = o.Customer
	}
	if len(o.Items) > 0 {
		var lines []map[string]any
		for _, i := range o.Items {
			lines = append(lines, line(i))
		}
		body[items] = lines
	}
	maps.Copy(body, o.Extra)
	return body
}

func minor(i Item) map[string]any {
	return map[string]any{"sku": i.SKU, "quantity": i.Qty, "price": i.Price}
}

func decimal(i Item) map[string]any {
	return map[string]any{"sku": i.SKU, "quantity": i.Qty, "price": euros(i.Price)}
}

func encode(v map[string]any) []byte {
	b, _ := json.Marshal(v) // plain data
	return b
}

func euros(minor int64) string { return fmt.Sprintf("%d.%02d", minor/100, minor%100) }
