package webhookstest

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Stripe stands in for the part of Stripe's API that lists events: authentication,
// filters, pagination and errors as documented at
// https://docs.stripe.com/api/events/list, /pagination and /errors. It leaves out type
// with wildcards, expand and connected accounts.
type Stripe struct {
	Key string
	Now func() time.Time

	mu     sync.Mutex
	events []stripeEvent // newest first
	limits int
}

type stripeEvent struct {
	id, kind  string
	created   time.Time
	body      map[string]any
	delivered bool
}

// Add adds an event as it was sent in a webhook. Delivered says whether every endpoint
// took it.
func (s *Stripe) Add(body []byte, delivered bool) error {
	var e map[string]any
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	e["pending_webhooks"] = 1
	if delivered {
		e["pending_webhooks"] = 0
	}
	created, _ := e["created"].(float64)
	id, _ := e["id"].(string)
	kind, _ := e["type"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Unix(int64(created), 0)
	i, _ := slices.BinarySearchFunc(s.events, at, func(e stripeEvent, at time.Time) int {
		return at.Compare(e.created)
	})
	s.events = slices.Insert(s.events, i, stripeEvent{id, kind, at, e, delivered})
	return nil
}

// Delivered says that every endpoint has taken an event now. One that is not known is
// ignored.
func (s *Stripe) Delivered(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.events, func(e stripeEvent) bool { return e.id == id }); i >= 0 {
		s.events[i].delivered, s.events[i].body["pending_webhooks"] = true, 0
	}
}

// Limit makes the next n requests fail with a 429.
func (s *Stripe) Limit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = n
}

// ServeHTTP implements http.Handler.
func (s *Stripe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, _, basic := r.BasicAuth()
	if !basic {
		key = r.Header.Get("Authorization")
		if len(key) > 7 && key[:7] == "Bearer " {
			key = key[7:]
		}
	}
	switch {
	case key == "":
		refuse(w, http.StatusUnauthorized, "invalid_request_error", "", "",
			"You did not provide an API key.")
	case subtle.ConstantTimeCompare([]byte(key), []byte(s.Key)) != 1:
		refuse(w, http.StatusUnauthorized, "invalid_request_error", "", "",
			"Invalid API Key provided: sk_test_****")
	case s.limits > 0:
		s.limits--
		refuse(w, http.StatusTooManyRequests, "invalid_request_error", "rate_limit", "",
			"Request rate limit exceeded.")
	case r.Method != http.MethodGet || r.URL.Path != "/v1/events":
		refuse(w, http.StatusNotFound, "invalid_request_error", "", "",
			fmt.Sprintf("Unrecognized request URL (%s: %s).", r.Method, r.URL.Path))
	default:
		s.list(w, r.URL.Query())
	}
}

func (s *Stripe) list(w http.ResponseWriter, q url.Values) {
	bad := func(param, message string) {
		refuse(w, http.StatusBadRequest, "invalid_request_error", "", param, message)
	}
	known := []string{"limit", "starting_after", "ending_before", "delivery_success", "type",
		"types[]", "created", "created[gt]", "created[gte]", "created[lt]", "created[lte]"}
	for name := range q {
		if !slices.Contains(known, name) {
			refuse(w, http.StatusBadRequest, "invalid_request_error", "parameter_unknown", name,
				"Received unknown parameter: "+name)
			return
		}
	}
	limit := 10
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 {
			bad("limit", "This value must be between 1 and 100.")
			return
		}
		limit = n
	}
	if q.Get("starting_after") != "" && q.Get("ending_before") != "" {
		bad("", "You cannot parameterize both starting_after and ending_before at once.")
		return
	}
	if len(q["types[]"]) > 20 || len(q["types[]"]) > 0 && q.Get("type") != "" {
		bad("types", "You may pass up to 20 types, and either type or types.")
		return
	}
	if v := q.Get("delivery_success"); v != "" && v != "true" && v != "false" {
		bad("delivery_success", "Invalid boolean: "+v)
		return
	}
	var all []stripeEvent
	for _, e := range s.events {
		ok, err := match(e, q)
		if err != nil {
			bad("created", err.Error())
			return
		}
		if ok && s.Now().Sub(e.created) <= 30*24*time.Hour {
			all = append(all, e)
		}
	}
	page, cursor := all, q.Get("starting_after")+q.Get("ending_before")
	if cursor != "" {
		// The cursor need not match the filters: what counts is its place in the whole
		// list.
		place := func(id string) int {
			return slices.IndexFunc(s.events, func(e stripeEvent) bool { return e.id == id })
		}
		at := place(cursor)
		if at < 0 {
			refuse(w, http.StatusBadRequest, "invalid_request_error", "resource_missing",
				"starting_after", "No such event: '"+cursor+"'")
			return
		}
		page = nil
		for _, e := range all {
			if q.Get("starting_after") != "" && place(e.id) > at ||
				q.Get("ending_before") != "" && place(e.id) < at {
				page = append(page, e)
			}
		}
	}
	more := len(page) > limit
	if more {
		if q.Get("ending_before") != "" {
			page = page[len(page)-limit:] // the ones next to the cursor
		} else {
			page = page[:limit]
		}
	}
	data := make([]map[string]any, 0, len(page))
	for _, e := range page {
		data = append(data, e.body)
	}
	send(w, http.StatusOK,
		map[string]any{"object": "list", "url": "/v1/events", "has_more": more, "data": data})
}

func match(e stripeEvent, q url.Values) (bool, error) {
	if v := q.Get("delivery_success"); v != "" && (v == "true") != e.delivered {
		return false, nil
	}
	if t := q.Get("type"); t != "" && t != e.kind {
		return false, nil
	}
	if types := q["types[]"]; len(types) > 0 && !slices.Contains(types, e.kind) {
		return false, nil
	}
	created := e.created.Unix()
	for name, holds := range map[string]func(int64) bool{
		"created": func(n int64) bool {
			return created == n
		}, "created[gt]": func(n int64) bool {
			return created > n
		}, "created[gte]": func(n int64) bool { return created >= n },
		"created[lt]": func(n int64) bool {
			return created < n
		}, "created[lte]": func(n int64) bool { return created <= n },
	} {
		if text := q.Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return false, fmt.Errorf("Invalid integer: %s", text)
			}
			if !holds(n) {
				return false, nil
			}
		}
	}
	return true, nil
}

func refuse(w http.ResponseWriter, status int, kind, code, param, message string) {
	e := map[string]any{"type": kind, "message": message}
	if code != "" {
		e["code"] = code
	}
	if param != "" {
		e["param"] = param
	}
	send(w, status, map[string]any{"error": e})
}

func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client left
}
