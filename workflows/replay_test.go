package workflows

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/webhooks/webhookstest"
)

func TestWhatStripeHasAndTheLedgerDoesNotKnowIsHandedToTheApp(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	var taken []string
	broken := map[string]int{}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/switchyard/replay" {
			j.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		var e struct{ ID string }
		if json.Unmarshal(body, &e) != nil || r.Header.Get("Authorization") != "Bearer ingestion-token" {
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
	cfg := settings(t.TempDir())
	cfg.Ingestion.URL = app.URL
	b := openBench(t, cfg, planOf(false))
	ctx, now := t.Context(), time.Now()
	for i, order := range []string{"known", "lost-1", "lost-2", "lost-3"} {
		body := fmt.Sprintf(`{"id":"evt_%s","object":"event","type":"checkout.session.completed","created":%d,"data":{"object":{"id":%q}}}`, order, now.Add(time.Duration(i-10)*time.Minute).Unix(), order)
		ok(t, stripe.Add([]byte(body), order != "lost-2"))
	}
	j.order("known", now.Add(-9*time.Minute), true)
	in := Replay{Provider: "stripe", Since: now.Add(-time.Hour), Look: true}

	_, err := b.ReplayLost(ctx, ada, mid, in)
	wantKind(t, err, migration.Blocked, "stripe.key")
	b.estate.cfg.Stripe.API, b.estate.cfg.Stripe.Key = api.URL, "rk_CANARY"
	_, err = b.ReplayLost(ctx, ada, mid, in)
	wantKind(t, err, migration.Unavailable) // the ledger is not read yet: what is missing is not known
	for more := true; more; {
		more, err = b.estate.ledger.poll(ctx)
		ok(t, err)
	}
	_, err = b.ReplayLost(ctx, carol, mid, in)
	wantKind(t, err, migration.Forbidden)
	for rule, bad := range map[string]Replay{"another provider": {Provider: "shopify", Since: in.Since}, "no time": {Provider: "stripe"}, "too long ago": {Provider: "stripe", Since: now.AddDate(0, -2, 0)}} {
		if _, err := b.ReplayLost(ctx, ada, mid, bad); migration.KindOf(err) != migration.Invalid {
			t.Errorf("%s: %v", rule, err)
		}
	}

	out, err := b.ReplayLost(ctx, ada, mid, in)
	ok(t, err)
	if want := []string{"evt_lost-1", "evt_lost-2", "evt_lost-3"}; !slices.Equal(out.Events, want) || out.Missing != 3 || out.Enqueued != 0 || len(taken) != 0 {
		t.Fatalf("looking: %+v, taken %v", out, taken)
	}
	in.Look = false
	broken["evt_lost-1"], broken["evt_lost-2"] = 400, 503
	out, err = b.ReplayLost(ctx, ada, mid, in)
	ok(t, err)
	if out.Enqueued != 0 || len(out.Refused) != 2 || !strings.Contains(out.Refused[0], "evt_lost-1: 400 for a reason") || out.Left != 1 || len(taken) != 0 {
		t.Fatalf("a queue that is down ends it: %+v, taken %v", out, taken)
	}
	clear(broken)
	out, err = b.ReplayLost(ctx, ada, mid, in)
	ok(t, err)
	if out.Enqueued != 3 || out.Left != 0 || !slices.Equal(taken, []string{"evt_lost-1", "evt_lost-2", "evt_lost-3"}) {
		t.Fatalf("%+v, taken %v", out, taken)
	}
	live, err := b.estate.liveDeliveries(ctx, in.Since)
	ok(t, err)
	if live.Undelivered != 1 || !slices.Equal(live.Events, []string{"evt_lost-2"}) {
		t.Errorf("what Stripe says of its deliveries: %+v", live)
	}
	entries, err := b.Audit(ctx, 0, 50)
	ok(t, err)
	if text := fmt.Sprint(entries); !strings.Contains(text, "replay") || strings.Contains(text, "CANARY") {
		t.Errorf("audit log: %s", text)
	}
}
