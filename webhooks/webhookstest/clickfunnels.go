package webhookstest

import (
	"cmp"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// ClickFunnels stands in for the list of orders of ClickFunnels' API 2.0: bearer token,
// sorting by id or updated_at, the filters id, contact_id and order_type, pages of 20
// after an id with Pagination-Next and Link, and the statuses 400, 401, 404 and 429.
// What of it is documented and what was observed is said at
// webhooks.ClickFunnelsOrders; assumed are the words of errors, what an unknown
// parameter answers, and that a cursor is the place that its order has now.
type ClickFunnels struct {
	Token     string
	Workspace int
	// Before, if set, runs before each list is read, as the shop that goes on selling.
	Before func()

	mu     sync.Mutex
	orders []ClickFunnelsOrder
	limits int
	asked  int
}

// ClickFunnelsOrder is an order in the workspace.
type ClickFunnelsOrder struct {
	ID               int
	Created, Updated time.Time
	Type, Billing    string // empty: one-time-order, paid
	Canceled         bool
}

// Put adds an order, or replaces the one of its id.
func (c *ClickFunnels) Put(o ClickFunnelsOrder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orders = append(slices.DeleteFunc(c.orders, func(other ClickFunnelsOrder) bool {
		return other.ID == o.ID
	}), o)
}

// Limit makes the next n requests fail with a 429.
func (c *ClickFunnels) Limit(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = n
}

// Asked tells how many lists were read.
func (c *ClickFunnels) Asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

const clickFunnelsPage = 20

// ServeHTTP implements http.Handler.
func (c *ClickFunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.Before != nil {
		c.Before()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fail := func(status int, message string) {
		send(w, status, map[string]any{"error": message})
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")),
		[]byte("Bearer "+c.Token)) != 1:
		fail(http.StatusUnauthorized, "Invalid authorization token")
	case c.limits > 0:
		c.limits--
		w.Header().Set("Retry-After", "0")
		fail(http.StatusTooManyRequests, "Rate limit reached")
	case r.Method != http.MethodGet ||
		r.URL.Path != fmt.Sprintf("/api/v2/workspaces/%d/orders", c.Workspace):
		fail(http.StatusNotFound, "Not found")
	default:
		c.asked++
		c.list(w, r, r.URL.Query(), fail)
	}
}

func (c *ClickFunnels) list(
	w http.ResponseWriter, r *http.Request, q url.Values, fail func(int, string),
) {
	for name := range q {
		if !slices.Contains([]string{"after", "sort_order", "sort_property", "filter[id]",
			"filter[contact_id]", "filter[order_type]"}, name) {
			fail(http.StatusBadRequest, "unknown parameter "+name)
			return
		}
	}
	byUpdate := q.Get("sort_property") == "updated_at"
	compare := func(a, b ClickFunnelsOrder) int {
		n := cmp.Compare(a.ID, b.ID)
		if byUpdate {
			n = cmp.Or(a.Updated.Compare(b.Updated), n)
		}
		if q.Get("sort_order") == "desc" {
			n = -n
		}
		return n
	}
	slices.SortFunc(c.orders, compare)
	from := 0
	if text := q.Get("after"); text != "" {
		id, err := strconv.Atoi(text)
		i := slices.IndexFunc(c.orders, func(o ClickFunnelsOrder) bool { return o.ID == id })
		if err != nil || i < 0 {
			fail(http.StatusNotFound, "after is no order of this workspace")
			return
		}
		from = i + 1
	}
	page, more := []any{}, false
	last := 0
	for _, o := range c.orders[from:] {
		kind := cmp.Or(o.Type, "one-time-order")
		if want := q.Get("filter[order_type]"); want != "" && want != kind {
			continue
		}
		if more = len(page) == clickFunnelsPage; more {
			break
		}
		var canceled any
		if o.Canceled {
			canceled = o.Updated.UTC().Format(time.RFC3339Nano)
		}
		page = append(page, map[string]any{"id": o.ID, "public_id": fmt.Sprintf("p%d", o.ID),
			"order_number": fmt.Sprintf("#%d", 1000+o.ID), "workspace_id": c.Workspace,
			"contact_id": 7, "live_mode": true, "order_type": kind,
			"billing_status": cmp.Or(o.Billing, "paid"), "service_status": "completed",
			"total_amount": "49.90", "currency": "EUR", "canceled_at": canceled,
			"created_at": o.Created.UTC().Format(time.RFC3339Nano),
			"updated_at": o.Updated.UTC().Format(time.RFC3339Nano),
			"line_items": []any{map[string]any{"id": o.ID, "quantity": 1,
				"products_variant": map[string]any{"id": 1, "sku": "course"},
				"products_price": map[string]any{"id": 2, "amount": "49.90",
					"currency": "EUR"}}}})
		last = o.ID
	}
	if more {
		w.Header().Set("Pagination-Next", strconv.Itoa(last))
		next := *r.URL
		q.Set("after", strconv.Itoa(last))
		next.RawQuery = q.Encode()
		w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	}
	send(w, http.StatusOK, page)
}
