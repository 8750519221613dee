package webhookstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/event"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/httpapi"
	"github.com/switchyard-dev/switchyard/webhooks"
)

const stripeKey = "sk_test_of_the_stand_in"

func serveStripe(t *testing.T, s *Stripe) webhooks.StripeEvents {
	t.Helper()
	s.Key = stripeKey
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return webhooks.StripeEvents{Base: server.URL, Key: stripeKey, Now: s.Now}
}

func nothingKnown(webhooks.Event) bool { return false }

func TestWhatStripeDroppedInAnOutageIsFoundAndTakenInOnce(t *testing.T) {
	t.Parallel()
	// Four days without the queue: Stripe gives the first day's orders up. Every order
	// is an event of its list.
	p := webhooks.Stripe()
	timeline := webhooks.NewTimeline(begin)
	known := map[string]bool{}
	app := &App{Now: timeline.Now,
		Secrets: map[string][]migration.Secret{p.ID: secretsOf(p.ID)}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if now := timeline.Now(); now.After(begin.Add(6*time.Hour)) &&
			now.Before(begin.Add(102*time.Hour)) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		app.ServeHTTP(w, r)
	}))
	defer server.Close()
	intake, err := OpenIntake(t.Context(), t.TempDir()+"/intake.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = intake.Close() }()
	app.Intake = intake
	sim := &webhooks.Simulator{Sender: p, Timeline: timeline,
		Secrets: func(time.Time) []migration.Secret {
			return secretsOf(p.ID)
		},
		Address: func(time.Time) string { return server.URL + "/webhooks/stripe" }}
	var sent []webhooks.Order
	for i := range 150 {
		sent = append(sent, webhooks.Order{ID: fmt.Sprintf("cs_%03d", i),
			At: begin.Add(time.Duration(i) * time.Hour)})
	}
	sim.Send(sent)
	end := begin.Add(200 * time.Hour)
	if err := timeline.Run(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	api := &Stripe{Now: func() time.Time { return end }}
	recovery := serveStripe(t, api)
	for _, tr := range sim.Traces() {
		_, body := p.Request(tr.Order, 0, nil, tr.Order.At)
		if err := api.Add(body, tr.Outcome == webhooks.Delivered); err != nil {
			t.Fatal(err)
		}
	}
	take := func() {
		if _, err := intake.Drain(t.Context(), func(_ context.Context, j Job) error {
			known[j.ID] = true
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	take()
	dropped := sim.Dropped()
	if len(dropped) < 20 || len(known) != 150-len(dropped) {
		t.Fatalf("%d dropped, %d known", len(dropped), len(known))
	}
	api.Limit(1) // a rate limit is waited for
	isKnown := func(e webhooks.Event) bool { return known[e.JobID()] }
	found, err := recovery.Missing(t.Context(), begin, isKnown)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range found {
		ids = append(ids, f.Event.Object)
		if f.Undelivered != 1 || !json.Valid(f.Body) ||
			f.Event.Type != "checkout.session.completed" {
			t.Errorf("%+v", f)
		}
		if err := intake.Take(t.Context(), Job{f.Event.JobID(), f.Body}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(ids, dropped) {
		t.Errorf("found %v, dropped %v", ids, dropped)
	}
	take()
	if again, err := recovery.Missing(t.Context(), begin, isKnown); err != nil ||
		len(again) > 0 || len(known) != 150 {
		t.Errorf("%d are still missing, %d known, %v", len(again), len(known), err)
	}
}

func TestMissingReadsEveryPageAndKeepsToItsFilters(t *testing.T) {
	t.Parallel()
	api := &Stripe{Now: func() time.Time { return begin.Add(time.Hour) }}
	events := serveStripe(t, api)
	for i := range 173 {
		// Many share a second: the cursor is an id, not a time.
		body := fmt.Sprintf(`{"id":"evt_%03d","type":"%s","created":%d}`, i,
			[]string{"a.b", "c.d"}[i%2], begin.Unix()+int64(i/40))
		if err := api.Add([]byte(body), i%3 == 0); err != nil {
			t.Fatal(err)
		}
	}
	count := func(e webhooks.StripeEvents, since time.Time) int {
		found, err := e.Missing(t.Context(), since, nothingKnown)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for i, f := range found {
			if seen[f.Event.ID] || i > 0 && found[i-1].Event.Created.After(f.Event.Created) {
				t.Errorf("%s twice or out of order", f.Event.ID)
			}
			seen[f.Event.ID] = true
		}
		return len(found)
	}
	if n := count(events, begin); n != 173-58 {
		t.Errorf("%d undelivered", n)
	}
	all := events
	all.Acknowledged = true
	if n := count(all, begin); n != 173 {
		t.Errorf("%d in all", n)
	}
	if n := count(all, begin.Add(4*time.Second)); n != 13 {
		t.Errorf("%d since the fourth second", n)
	}
	all.Types = []string{"a.b"}
	if n := count(all, begin); n != 87 {
		t.Errorf("%d of a type", n)
	}
}

func TestAnIncompleteListIsAnErrorThatSaysWhatToDoAndHidesTheKey(t *testing.T) {
	t.Parallel()
	api := &Stripe{Now: func() time.Time { return begin }}
	events := serveStripe(t, api)
	wrong := events
	wrong.Key = "sk_test_wrong_key"
	lying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		send(w, 200, map[string]any{"object": "list", "has_more": true,
			"data": []any{map[string]any{"id": "evt_1"}}})
	}))
	defer lying.Close()
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		send(w, 200, map[string]any{"has_more": true})
	}))
	defer empty.Close()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, 400, "x", "", "", "you sent "+r.Header.Get("Authorization"))
	}))
	defer echo.Close()
	at := func(url string) webhooks.StripeEvents { e := events; e.Base = url; return e }
	many := events
	many.Types = make([]string, 21)
	for name, c := range map[string]struct {
		events webhooks.StripeEvents
		since  time.Time
		says   string
		status int
	}{
		"wrong key":               {wrong, begin, "check the credentials", 401},
		"too long ago":            {events, begin.AddDate(0, 0, -31), "last 30 days", 0},
		"too many types":          {many, begin, "at most 20", 0},
		"the same page for ever":  {at(lying.URL), begin, "there is more", 0},
		"more, but nothing given": {at(empty.URL), begin, "there is more", 0},
		"the key comes back":      {at(echo.URL), begin, "redacted", 400},
	} {
		found, err := c.events.Missing(t.Context(), c.since, nothingKnown)
		if err == nil || !strings.Contains(err.Error(), c.says) || len(found) > 0 ||
			httpapi.Status(err) != c.status {
			t.Errorf("%s: %d found, status %d, %v", name, len(found), httpapi.Status(err), err)
		}
		if err != nil && (strings.Contains(err.Error(), stripeKey) ||
			strings.Contains(err.Error(), "wrong_key")) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestStripesOwnClientReadsTheStandIn(t *testing.T) {
	t.Parallel()
	api := &Stripe{Now: func() time.Time { return begin.Add(time.Hour) }}
	events := serveStripe(t, api)
	for i := range 33 {
		_, body := webhooks.Stripe().Request(webhooks.Order{ID: strconv.Itoa(i),
			At: begin.Add(time.Duration(i) * time.Second)}, 0, nil, begin)
		if err := api.Add(body, i%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
	backend := stripe.GetBackendWithConfig(stripe.APIBackend,
		&stripe.BackendConfig{URL: &events.Base,
			LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull}})
	sc := event.Client{B: backend, Key: stripeKey}
	for _, backwards := range []bool{false, true} {
		params := &stripe.EventListParams{DeliverySuccess: stripe.Bool(false),
			CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: begin.Unix()}}
		params.Limit = stripe.Int64(5)
		if backwards {
			params.EndingBefore = stripe.String("evt_0")
		}
		n := 0
		it := sc.List(params)
		for it.Next() {
			if e := it.Event(); e.PendingWebhooks != 1 {
				t.Errorf("%+v", e)
			}
			n++
		}
		if err := it.Err(); err != nil || n != 16 {
			t.Errorf("backwards %v: %d events, %v", backwards, n, err)
		}
	}
	it := event.Client{B: backend, Key: "sk_test_wrong"}.List(&stripe.EventListParams{})
	more := it.Next()
	if e, ok := errors.AsType[*stripe.Error](it.Err()); more || !ok || e.HTTPStatusCode != 401 {
		t.Errorf("%v", it.Err())
	}
}
