package workflows

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/webhooks/webhookstest"
)

// A replay changes what the app has: who may ask for one, and what is kept of it, is decided here.
func TestOnlyAnEngineerReplaysAndTheAuditLogSaysWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	j := ingestiontest.NewJournal(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/switchyard/replay" {
			j.ServeHTTP(w, r)
			return
		}
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "evt_3") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"for a reason"}`))
			return
		}
		_, _ = w.Write([]byte(`{"received":true}`))
	}))
	t.Cleanup(app.Close)
	stripe := &webhookstest.Stripe{Key: "rk_CANARY", Now: time.Now}
	api := httptest.NewServer(stripe)
	t.Cleanup(api.Close)
	events := make([]json.RawMessage, 4)
	for i := range events {
		created := time.Now().Add(-time.Minute).Unix()
		events[i] = fmt.Appendf(nil, `{"id":"evt_%d","object":"event","created":%d,`+
			`"type":"checkout.session.completed","data":{"object":{"id":"order-%d"}}}`, i, created, i)
		ok(t, stripe.Add(events[i], false))
	}
	cfg := settings(t.TempDir())
	cfg.Ingestion.URL, cfg.Stripe.API, cfg.Stripe.Key = app.URL, api.URL, "rk_CANARY"
	b := openBench(t, cfg, planOf(false))
	for more := true; more; {
		var err error
		more, err = b.env.Journal.Poll(t.Context())
		ok(t, err)
	}
	asked := Replay{Provider: "stripe", Since: time.Now().Add(-time.Hour)}
	looked := asked
	looked.Look = true
	export := Replay{Provider: "stripe", Events: events}
	for what, in := range map[string]Replay{"looking": looked, "asking": asked, "an export": export} {
		_, err := b.ReplayLost(t.Context(), carol, mid, in)
		if migration.KindOf(err) != migration.Forbidden {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := b.ReplayLost(t.Context(), ada, "nothing", looked)
	wantKind(t, err, migration.NotFound)
	log := func() []migration.AuditEntry {
		t.Helper()
		entries, err := b.Audit(t.Context(), AuditFilter{Limit: 50})
		ok(t, err)
		return entries
	}
	before := len(log())
	_, err = b.ReplayLost(t.Context(), ada, mid, looked)
	ok(t, err)
	if n := len(log()); n != before {
		t.Errorf("looking left %d entries in the audit log", n-before)
	}

	out, err := b.ReplayLost(t.Context(), ada, mid, asked)
	ok(t, err)
	if out.Enqueued != 3 || len(out.Refused) != 1 {
		t.Errorf("%+v", out)
	}
	if e := log()[0]; e.Actor != "ada" || e.Action != "replay" || e.Result != "ok" ||
		!strings.HasPrefix(e.Subject, "stripe since ") ||
		e.Detail != "4 missing, 3 enqueued, 1 refused" {
		t.Errorf("%+v", e)
	}
	_, err = b.ReplayLost(t.Context(), ada, mid, export)
	ok(t, err)
	if e := log()[0]; e.Subject != "stripe, 4 events of an export" {
		t.Errorf("%+v", e)
	}
	b.outage.Config.Stripe.Key = "CANARY_wrong"
	_, err = b.ReplayLost(t.Context(), ada, mid, asked)
	wantKind(t, err, migration.Unavailable, "401")
	entries := log()
	if e := entries[0]; e.Result != "refused" {
		t.Errorf("%+v", e)
	}
	if text := fmt.Sprint(entries, err); strings.Contains(text, "CANARY") {
		t.Errorf("a key is in the audit log: %s", text)
	}
}

func TestAMigrationThatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	b := openBench(t, settings(t.TempDir()), planOf(false))
	_, err := b.Outage(t.Context(), "nothing", 0)
	wantKind(t, err, migration.NotFound)
	_, err = b.Capacity(t.Context(), "nothing")
	wantKind(t, err, migration.NotFound)
}
