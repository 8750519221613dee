package outage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestion"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/webhooks"
	"github.com/switchyard-dev/switchyard/webhooks/webhookstest"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

func TestWhatStripeHasAndTheLedgerDoesNotKnowIsHandedToTheApp(t *testing.T) {
	t.Parallel()
	j := ingestiontest.NewJournal(t)
	var taken []string
	broken := map[string]int{}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/switchyard/replay" {
			j.ServeHTTP(w, r)
			return
		}
		if r.URL.Query().Get("provider") != "stripe" {
			t.Errorf("asked for %s", r.URL)
		}
		body, _ := io.ReadAll(r.Body)
		var e struct{ ID string }
		if json.Unmarshal(body, &e) != nil ||
			r.Header.Get("Authorization") != "Bearer ingestion-token" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if status := broken[e.ID]; status != 0 {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"error":"for a reason"}`))
			return
		}
		taken = append(taken, e.ID)
		_, _ = w.Write([]byte(`{"received":true}`))
	}))
	t.Cleanup(app.Close)
	stripe := &webhookstest.Stripe{Key: "rk_CANARY", Now: time.Now}
	api := httptest.NewServer(stripe)
	t.Cleanup(api.Close)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Ingestion.URL = app.URL
	b := openBench(t, cfg)
	ctx, now := t.Context(), time.Now()
	for i, order := range []string{"known", "lost-1", "lost-2", "lost-3"} {
		created := now.Add(time.Duration(i-10) * time.Minute).Unix()
		body := fmt.Sprintf(`{"id":"evt_%s","object":"event","type":"checkout.session.completed",`+
			`"created":%d,"data":{"object":{"id":%q}}}`, order, created, order)
		ok(t, stripe.Add([]byte(body), order != "lost-2"))
	}
	j.Order("known", now.Add(-9*time.Minute), true)
	in := Replay{Provider: "stripe", Since: now.Add(-time.Hour), Look: true}

	_, err := b.outage.Replay(ctx, in)
	wantKind(t, err, migration.Blocked, "stripe.key")
	b.outage.Config.Stripe.API, b.outage.Config.Stripe.Key = api.URL, "rk_CANARY"
	_, err = b.outage.Replay(ctx, in)
	wantKind(t, err, migration.Unavailable) // the ledger is not read yet: what is missing is not known
	b.catchUp(t)
	for rule, bad := range map[string]Replay{
		"a provider that is none": {Provider: "paypal", Since: in.Since},
		"no time":                 {Provider: "stripe"},
		"too long ago":            {Provider: "stripe", Since: now.AddDate(0, -2, 0)},
	} {
		if _, err := b.outage.Replay(ctx, bad); migration.KindOf(err) != migration.Invalid {
			t.Errorf("%s: %v", rule, err)
		}
	}

	out, err := b.outage.Replay(ctx, in)
	ok(t, err)
	want := []string{"evt_lost-1", "evt_lost-2", "evt_lost-3"}
	if !slices.Equal(out.Events, want) || out.Missing != 3 || out.Known != 1 || out.Enqueued != 0 ||
		len(taken) != 0 {
		t.Fatalf("looking: %+v, taken %v", out, taken)
	}
	in.Look = false
	broken["evt_lost-1"], broken["evt_lost-2"] = 400, 503
	out, err = b.outage.Replay(ctx, in)
	ok(t, err)
	if out.Enqueued != 0 || len(out.Refused) != 2 ||
		!strings.Contains(out.Refused[0], "evt_lost-1: 400 for a reason") ||
		out.Left != 1 ||
		len(taken) != 0 {
		t.Fatalf("a queue that is down ends it: %+v, taken %v", out, taken)
	}
	clear(broken)
	out, err = b.outage.Replay(ctx, in)
	ok(t, err)
	if out.Enqueued != 3 || out.Left != 0 ||
		!slices.Equal(taken, []string{"evt_lost-1", "evt_lost-2", "evt_lost-3"}) {
		t.Fatalf("%+v, taken %v", out, taken)
	}
	live, err := b.outage.Live(ctx, in.Since)
	ok(t, err)
	if live.Undelivered != 1 || !slices.Equal(live.Events, []string{"evt_lost-2"}) {
		t.Errorf("what Stripe says of its deliveries: %+v", live)
	}
}

// intake is an app that takes bodies in by the order that they name, once each, and journals it.
type intake struct {
	*ingestiontest.Journal
	t      *testing.T
	mu     sync.Mutex
	taken  map[string]int // by provider and order
	bodies map[string][]byte
	status map[string]int // what is answered for an order instead
}

func (a *intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/switchyard/replay" {
		a.Journal.ServeHTTP(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	p, known := webhooks.ByID(r.URL.Query().Get("provider"))
	e, err := p.Identify(nil, body)
	if !known || err != nil || r.Header.Get("Authorization") != "Bearer ingestion-token" {
		a.t.Errorf("%s: %v: %s", r.URL, err, body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if status := a.status[e.Object]; status != 0 {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"error":"for a reason"}`))
		return
	}
	if a.taken[p.ID+" "+e.Object]++; a.taken[p.ID+" "+e.Object] == 1 {
		a.Order(orderID(e), time.Now(), true)
	}
	a.bodies[e.Object] = body
	_, _ = w.Write([]byte(`{"received":true}`))
}

// openIntake is a bench whose app takes replays.
func openIntake(t *testing.T) (*bench, *intake) {
	t.Helper()
	a := &intake{
		Journal: ingestiontest.NewJournal(t),
		t:       t,
		taken:   map[string]int{},
		bodies:  map[string][]byte{},
		status:  map[string]int{},
	}
	app := httptest.NewServer(a)
	t.Cleanup(app.Close)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Ingestion.URL = app.URL
	return openBench(t, cfg), a
}

func TestEveryProviderThatCanBeAskedGivesWhatWasLostAndNothingTwice(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(i int) time.Time { return now.Add(time.Duration(i-100) * time.Second) }
	const orders = 61 // more than a page
	for id, c := range map[string]struct {
		unset string // what is said while no key is configured
		serve func(t *testing.T, cfg *config.Config) (limit func(int))
	}{
		"stripe": {"stripe.key", func(t *testing.T, cfg *config.Config) func(int) {
			api := &webhookstest.Stripe{Key: "rk_CANARY", Now: time.Now}
			for i := 1; i <= orders; i++ {
				order := webhooks.Order{ID: strconv.Itoa(i), At: at(i)}
				_, body := webhooks.Stripe().Request(order, 0, nil, at(i))
				ok(t, api.Add(body, i%2 == 0))
			}
			cfg.Stripe.API, cfg.Stripe.Key = serve(t, api), "rk_CANARY"
			return api.Limit
		}},
		"shopify": {"shopify.token", func(t *testing.T, cfg *config.Config) func(int) {
			api := &webhookstest.Shopify{Token: "shpat_CANARY"}
			for i := 1; i <= orders; i++ {
				api.Add(webhookstest.ShopifyOrder{ID: int64(i), CreatedAt: at(i), Updated: at(i),
					Total: "49.90", Currency: "EUR",
					Lines: []webhookstest.ShopifyLine{{SKU: "course", Quantity: 1, Price: "49.90"}}})
			}
			cfg.Shopify = config.Shopify{API: serve(t, api), Token: "shpat_CANARY"}
			return func(int) {} // its wait is tried where it can be shortened
		}},
		"clickfunnels": {"clickfunnels.token", func(t *testing.T, cfg *config.Config) func(int) {
			api := &webhookstest.ClickFunnels{Token: "cf_CANARY", Workspace: 42}
			for i := 1; i <= orders; i++ {
				api.Put(webhookstest.ClickFunnelsOrder{ID: i, Created: at(i), Updated: at(i)})
			}
			cfg.ClickFunnels = config.ClickFunnels{API: serve(t, api), Workspace: 42, Token: "cf_CANARY"}
			return api.Limit
		}},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			b, app := openIntake(t)
			app.Order(orderID(webhooks.Event{Sender: id, Object: "7"}), now, true)
			b.catchUp(t)
			in := Replay{Provider: id, Since: now.Add(-time.Hour)}
			_, err := b.outage.Replay(t.Context(), in)
			wantKind(t, err, migration.Blocked, c.unset, "as a file")
			limit := c.serve(t, &b.outage.Config)
			limit(2)

			app.status["3"] = http.StatusBadRequest
			out, err := b.outage.Replay(t.Context(), in)
			ok(t, err)
			if out.Missing != orders-1 || out.Known != 1 || out.Enqueued != orders-2 ||
				len(out.Refused) != 1 ||
				!strings.HasSuffix(out.Refused[0], "3: 400 for a reason") ||
				out.Left != 0 ||
				len(out.Events) != replayNamed {
				t.Fatalf("%+v", out)
			}
			if app.taken[id+" 7"] != 0 || app.taken[id+" 8"] != 1 || len(app.taken) != orders-2 {
				t.Fatalf("taken: %v", app.taken)
			}
			clear(app.status)
			b.catchUp(t)
			out, err = b.outage.Replay(t.Context(), in)
			ok(t, err)
			if out.Missing != 1 || out.Enqueued != 1 || out.Known != orders-1 {
				t.Fatalf("what was refused: %+v", out)
			}
			b.catchUp(t)
			out, err = b.outage.Replay(t.Context(), in)
			ok(t, err)
			if out.Missing != 0 || out.Known != orders {
				t.Fatalf("again: %+v", out)
			}
			for order, n := range app.taken {
				if n != 1 {
					t.Errorf("%s was taken %d times", order, n)
				}
			}

			const wrong = "CANARY_wrong"
			set := &b.outage.Config
			set.Stripe.Key, set.Shopify.Token, set.ClickFunnels.Token = wrong, wrong, wrong
			_, err = b.outage.Replay(t.Context(), in)
			wantKind(t, err, migration.Unavailable, "401")
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("a key is shown: %v", err)
			}
		})
	}
}

// What is not done when the request's time is over is left, not refused, and a list that is not
// complete is none.
func TestAReplayThatRunsOutOfTimeSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	b, app := openIntake(t)
	b.catchUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.outage.App.Client = ingestion.New(
		serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			// Until then the server does not see that the client left.
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
		})),
		"ingestion-token",
		nil,
	)
	out, err := b.outage.Replay(
		ctx,
		Replay{
			Provider: "shopify",
			Events:   []json.RawMessage{[]byte(`{"id":1}`), []byte(`{"id":2}`)},
		},
	)
	ok(t, err)
	if out.Missing != 2 || out.Left != 2 || len(out.Refused) != 0 || len(app.taken) != 0 {
		t.Errorf("%+v", out)
	}
	ctx, done := context.WithTimeout(t.Context(), time.Second)
	defer done()
	b.outage.Config.ClickFunnels = config.ClickFunnels{
		Workspace: 1,
		Token:     "cf_CANARY",
		API: serve(
			t,
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		),
	}
	_, err = b.outage.Replay(
		ctx,
		Replay{Provider: "clickfunnels", Since: time.Now().Add(-time.Hour)},
	)
	wantKind(t, err, migration.Unavailable, "ask for less time back")
}

func TestWhatPeopleShouldLookAtIsToldAndNotHandedOver(t *testing.T) {
	t.Parallel()
	b, app := openIntake(t)
	b.catchUp(t)
	now := time.Now()
	api := &webhookstest.Shopify{Token: "shpat_CANARY"}
	api.Add(
		webhookstest.ShopifyOrder{
			ID:        1,
			CreatedAt: now,
			Updated:   now.Add(-time.Minute),
			Status:    "PARTIALLY_REFUNDED",
		},
	)
	api.Add(webhookstest.ShopifyOrder{ID: 2, CreatedAt: now, Updated: now.Add(-time.Minute)})
	api.Add(
		webhookstest.ShopifyOrder{
			ID:        3,
			CreatedAt: now,
			Updated:   now.Add(-time.Minute),
			Status:    "PENDING",
		},
	)
	b.outage.Config.Shopify = config.Shopify{API: serve(t, api), Token: "shpat_CANARY"}
	for _, look := range []bool{true, false} {
		out, err := b.outage.Replay(
			t.Context(),
			Replay{Provider: "shopify", Since: now.Add(-time.Hour), Look: look},
		)
		ok(t, err)
		if out.Missing != 2 || out.Enqueued != one(!look) || out.Left != one(look) ||
			len(out.Refused) != 1 ||
			!strings.Contains(out.Refused[0], "1: it was refunded in part since: look at it") {
			t.Errorf("look %v: %+v", look, out)
		}
	}
	if len(app.taken) != 1 || app.taken["shopify 2"] != 1 {
		t.Errorf("taken: %v", app.taken)
	}
}

func TestAnExportOfEveryProviderIsHandedOverOnce(t *testing.T) {
	t.Parallel()
	for _, p := range webhooks.Senders() {
		t.Run(p.ID, func(t *testing.T) {
			t.Parallel()
			b, app := openIntake(t)
			app.Order(orderID(webhooks.Event{Sender: p.ID, Object: "2"}), time.Now(), true)
			var file []byte
			for _, id := range []string{"1", "2", "3", "3"} { // one is known, and one is in it twice
				_, body := p.Request(
					webhooks.Order{ID: id, At: time.Unix(1_790_000_000, 0)},
					0,
					nil,
					time.Unix(1_790_000_000, 0),
				)
				file = append(append(file, body...), '\n')
			}
			events, err := ReadEvents(p.ID, file)
			ok(t, err)
			in := Replay{Provider: p.ID, Events: events, Look: true}
			_, err = b.outage.Replay(t.Context(), in)
			wantKind(t, err, migration.Unavailable) // the ledger is not read yet
			b.catchUp(t)
			out, err := b.outage.Replay(t.Context(), in)
			ok(t, err)
			if out.Missing != 2 || out.Known != 1 || out.Left != 2 || len(app.taken) != 0 {
				t.Fatalf("looking: %+v, taken %v", out, app.taken)
			}
			in.Look = false
			bad := in
			bad.Events = append(slices.Clone(events), json.RawMessage(`{"of":"another form"}`))
			_, err = b.outage.Replay(t.Context(), bad)
			wantKind(
				t,
				err,
				migration.Invalid,
				"event 5 of 5 names no order",
				"nothing was handed over",
			)
			if len(app.taken) != 0 {
				t.Fatalf("taken %v", app.taken)
			}
			app.status["3"] = http.StatusServiceUnavailable
			out, err = b.outage.Replay(t.Context(), in)
			ok(t, err)
			if out.Enqueued != 1 || len(out.Refused) != 1 || out.Left != 0 {
				t.Fatalf("%+v", out)
			}
			clear(app.status)
			b.catchUp(t)
			for range 2 {
				out, err = b.outage.Replay(t.Context(), in)
				ok(t, err)
				b.catchUp(t)
			}
			if out.Missing != 0 || app.taken[p.ID+" 1"] != 1 || app.taken[p.ID+" 2"] != 0 ||
				app.taken[p.ID+" 3"] != 1 {
				t.Errorf("again: %+v, taken %v", out, app.taken)
			}
		})
	}
	b, _ := openIntake(t)
	b.catchUp(t)
	_, err := b.outage.Replay(
		t.Context(),
		Replay{Provider: "cope", Events: make([]json.RawMessage, ReplayMost+1)},
	)
	wantKind(t, err, migration.Invalid, "501", "500")
	for _, id := range []string{"copecart", "cope"} {
		_, err = b.outage.Replay(
			t.Context(),
			Replay{Provider: id, Since: time.Now().Add(-time.Hour)},
		)
		wantKind(t, err, migration.Blocked, "no API of", "as a file")
	}
}

func TestTheAPITakesEveryProvider(t *testing.T) {
	t.Parallel()
	field, _ := reflect.TypeFor[Replay]().FieldByName("Provider")
	if got, want := field.Tag.Get("enum"), strings.Join(Providers(), ","); got != want {
		t.Errorf("the API's document takes %s, there are %s", got, want)
	}
}
