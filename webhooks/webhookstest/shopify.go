package webhookstest

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Shopify stands in for the queries orders, order and currentAppInstallation of Shopify's
// Admin API (GraphQL): authentication, scopes, the updated_at filter, cursors, also those of an order's lines,
// throttling and errors in a 200. It reads the variables, not the query: it answers
// order where that has an id, else orders, with the fields that are asked here.
type Shopify struct {
	Token string
	// Scopes are what the token may do; nil: read_orders and read_customers.
	Scopes []string

	mu       sync.Mutex
	orders   []ShopifyOrder
	throttle int
}

// ShopifyOrder is an order in the shop.
type ShopifyOrder struct {
	ID                 int64
	CreatedAt, Updated time.Time
	Status             string    // OrderDisplayFinancialStatus; empty: PAID
	CancelledAt        time.Time // zero: it is not
	Total, Currency    string
	Customer           int64 // 0: none
	Lines              []ShopifyLine
}

// ShopifyLine is a line of an order.
type ShopifyLine struct {
	SKU      string // empty: none
	Quantity int
	Price    string // of one, before discounts
}

func (o ShopifyOrder) gid() string { return fmt.Sprintf("gid://shopify/Order/%d", o.ID) }

// Add adds an order.
func (s *Shopify) Add(o ShopifyOrder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = append(s.orders, o)
	slices.SortStableFunc(s.orders, func(a, b ShopifyOrder) int {
		return a.Updated.Compare(b.Updated)
	})
}

// Throttle makes the next n questions find the budget used up.
func (s *Shopify) Throttle(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttle = n
}

var (
	graphqlPath = regexp.MustCompile(`^/admin/api/\d{4}-\d{2}/graphql\.json$`)
	updatedFrom = regexp.MustCompile(`^updated_at:>='([^']+)'$`)
)

// ServeHTTP implements http.Handler.
func (s *Shopify) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Shopify-Access-Token")),
		[]byte(s.Token)) != 1 {
		send(w, http.StatusUnauthorized, map[string]any{"errors": "[API] Invalid API key or " +
			"access token (unrecognized login or wrong password)"})
		return
	}
	if r.Method != http.MethodPost || !graphqlPath.MatchString(r.URL.Path) {
		send(w, http.StatusNotFound, map[string]any{"errors": "Not Found"})
		return
	}
	fail := func(code, message string) {
		send(w, http.StatusOK, map[string]any{"errors": []any{map[string]any{"message": message,
			"extensions": map[string]any{"code": code}}}})
	}
	var q struct {
		Query     string
		Variables struct {
			First            int
			After, Query, ID string
		}
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&q); err != nil ||
		!slices.ContainsFunc([]string{"orders(", "order(id:", "accessScopes"},
			func(field string) bool { return strings.Contains(q.Query, field) }) {
		send(
			w,
			http.StatusBadRequest,
			map[string]any{"errors": map[string]any{"query": "Required parameter missing or invalid"}},
		)
		return
	}
	if s.throttle > 0 {
		s.throttle--
		fail("THROTTLED", "Throttled")
		return
	}
	scopes := s.Scopes
	if scopes == nil {
		scopes = []string{"read_orders", "read_customers"}
	}
	if strings.Contains(q.Query, "accessScopes") {
		handles := []any{}
		for _, scope := range scopes {
			handles = append(handles, map[string]any{"handle": scope})
		}
		send(w, http.StatusOK, map[string]any{"data": map[string]any{
			"currentAppInstallation": map[string]any{"accessScopes": handles}}})
		return
	}
	if !slices.Contains(scopes, "read_orders") {
		fail("ACCESS_DENIED", "Access denied for orders field. Required access: `read_orders` "+
			"access scope.")
		return
	}
	if q.Variables.First < 1 || q.Variables.First > 250 {
		fail("BAD_REQUEST", "first must be between 1 and 250")
		return
	}
	if q.Variables.ID != "" {
		s.one(w, fail, q.Variables.ID, q.Variables.First, q.Variables.After)
		return
	}
	var since time.Time
	if m := updatedFrom.FindStringSubmatch(q.Variables.Query); m != nil {
		var err error
		if since, err = time.Parse(time.RFC3339, m[1]); err != nil {
			fail("BAD_REQUEST", "updated_at: "+err.Error())
			return
		}
	}
	// A cursor holds the place in the order of the list, as Shopify's do.
	nodes := make([]any, 0, q.Variables.First)
	end, more := "", false
	from := q.Variables.After
	if from != "" && strings.Count(from, "/") != 1 {
		fail("BAD_REQUEST", "Invalid cursor for current pagination sort.")
		return
	}
	for _, o := range s.orders {
		cursor := place(o)
		if o.Updated.Before(since) || from != "" && cursor <= from {
			continue
		}
		if len(nodes) == q.Variables.First {
			more = true
			break
		}
		node := map[string]any{"id": o.gid(), "legacyResourceId": strconv.FormatInt(o.ID, 10),
			"name":      fmt.Sprintf("#%d", o.ID),
			"createdAt": o.CreatedAt.UTC().Format(time.RFC3339),
			"updatedAt": o.Updated.UTC().Format(time.RFC3339), "cancelledAt": nil,
			"displayFinancialStatus": cmp.Or(o.Status, "PAID")}
		if !o.CancelledAt.IsZero() {
			node["cancelledAt"] = o.CancelledAt.UTC().Format(time.RFC3339)
		}
		nodes = append(nodes, node)
		end = cursor
	}
	send(w, http.StatusOK,
		map[string]any{"data": map[string]any{"orders": map[string]any{"nodes": nodes,
			"pageInfo": map[string]any{"hasNextPage": more, "endCursor": end}}}})
}

// one answers the order of an id with a page of its lines; one that is not there is null.
func (s *Shopify) one(
	w http.ResponseWriter, fail func(code, message string), id string, first int,
	after string,
) {
	i := slices.IndexFunc(s.orders, func(o ShopifyOrder) bool { return o.gid() == id })
	if i < 0 {
		send(w, http.StatusOK, map[string]any{"data": map[string]any{"order": nil}})
		return
	}
	o, from := s.orders[i], 0
	if after != "" {
		n, err := strconv.Atoi(after)
		if err != nil || n < 0 || n > len(o.Lines) {
			fail("BAD_REQUEST", "Invalid cursor for current pagination sort.")
			return
		}
		from = n
	}
	money := func(amount string) any {
		return map[string]any{"shopMoney": map[string]any{"amount": amount}}
	}
	end := min(from+first, len(o.Lines))
	lines := make([]any, 0, end-from)
	for _, l := range o.Lines[from:end] {
		var sku any
		if l.SKU != "" {
			sku = l.SKU
		}
		lines = append(lines, map[string]any{"sku": sku, "quantity": l.Quantity,
			"originalUnitPriceSet": money(l.Price)})
	}
	var customer any
	if o.Customer != 0 {
		customer = map[string]any{"legacyResourceId": strconv.FormatInt(o.Customer, 10)}
	}
	send(w, http.StatusOK,
		map[string]any{"data": map[string]any{"order": map[string]any{"name": fmt.Sprintf("#%d",
			o.ID), "createdAt": o.CreatedAt.UTC().Format(time.RFC3339), "test": false,
			"currencyCode": o.Currency, "totalPriceSet": money(o.Total), "customer": customer,
			"lineItems": map[string]any{"nodes": lines,
				"pageInfo": map[string]any{"hasNextPage": end < len(o.Lines),
					"endCursor": strconv.Itoa(end)}}}}})
}

func place(o ShopifyOrder) string {
	return fmt.Sprintf("%020d/%020d", o.Updated.UnixNano(), o.ID)
}
