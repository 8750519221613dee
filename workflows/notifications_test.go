package workflows

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/capacity"
	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/providers/ingestiontest"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/engine"
	"github.com/switchyard-dev/switchyard/workflows/evidence"
)

// receiver stands in for PagerDuty's Events API, for Slack and for any webhook: it notes what it takes, and can be down.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int // 0: the one that each of them gives when it takes a message
	got    []string
	wait   string // Retry-After
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var e struct {
			Action   string `json:"event_action"`
			DedupKey string `json:"dedup_key"`
			Text     string
			Payload  struct{ Summary, Severity string }
		}
		_ = json.Unmarshal(body, &e)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.status != 0 {
			w.Header().Set("Retry-After", r.wait)
			w.WriteHeader(r.status)
			_, _ = w.Write(body) // as careless as can be
			return
		}
		said := strings.TrimSpace(strings.Join([]string{e.Action, e.DedupKey, e.Payload.Severity}, " "))
		switch {
		case strings.HasPrefix(req.URL.Path, "/services/"):
			said, _, _ = strings.Cut(e.Text, "\n")
		case req.URL.Path == "/v2/change/enqueue":
			said = "change " + e.Payload.Summary
			fallthrough
		default:
			w.WriteHeader(http.StatusAccepted)
		}
		r.got = append(r.got, said)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int, wait string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.wait = status, wait
}

// took gives what was taken since the last call.
func (r *receiver) took() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.DeleteFunc(r.got, func(s string) bool { return strings.Contains(s, "ledger/unknown") }) // these benches read no queue's events
	r.got = nil
	return got
}

func wantTook(t *testing.T, r *receiver, lines ...string) {
	t.Helper()
	if got := r.took(); !slices.Equal(got, lines) {
		t.Fatalf("took\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func pagerAndSlack(pager, slack *receiver) []config.Notification {
	return []config.Notification{
		{Name: "pager", Type: "pagerduty", URL: migration.Secret(pager.URL), RoutingKey: "CANARY-routing-key"},
		{Name: "slack", Type: "slack", URL: migration.Secret(slack.URL + "/services/CANARY"), MinSeverity: "error", Events: []string{"alert"}},
	}
}

// flush sends what is due, once.
func (b *bench) flush(t *testing.T) {
	t.Helper()
	for _, o := range b.notifier.outlets {
		for more := true; more; {
			var err error
			more, err = b.notifier.sendDue(t.Context(), o)
			ok(t, err)
		}
	}
}

func (b *bench) observe(t *testing.T) {
	t.Helper()
	mig, err := b.store.Migration(t.Context(), mid)
	ok(t, err)
	ok(t, b.notifier.observe(t.Context(), mig))
}

func TestAnOutageIsOneIncidentThatEscalatesAndEndsAlsoOverARestart(t *testing.T) {
	t.Parallel()
	pager, slack, j := newReceiver(t), newReceiver(t), ingestiontest.NewJournal(t)
	cfg := settings(t.TempDir())
	cfg.Ingestion.URL, cfg.Providers, cfg.Notifications = j.URL, []config.Provider{{ID: "shopify"}}, pagerAndSlack(pager, slack)
	b := openBench(t, cfg, planOf(false))
	start := b.time.now()
	deliver := func(order string, status int, at time.Time) {
		j.Set(func() {
			j.Events = append(j.Events, map[string]any{"seq": len(j.Events) + 1, "at": at.UnixMilli(), "type": "delivery", "order": order, "provider": "shopify", "status": status})
		})
	}
	look := func() {
		t.Helper()
		for more := true; more; {
			var err error
			more, err = b.env.Journal.Poll(t.Context())
			ok(t, err)
		}
		b.observe(t)
		b.flush(t)
	}
	deliver("order-1", 503, start.Add(-2*time.Minute))
	look()
	wantTook(t, pager) // two minutes of four hours: the retries bring it
	b.time.advance(70 * time.Minute)
	look()
	look()
	wantTook(t, pager, "trigger orders/outage/shopify warning")
	wantTook(t, slack) // less than it is to be told
	b.time.advance(70 * time.Minute)
	look()
	look()
	wantTook(t, pager, "trigger orders/outage/shopify error")
	told := slack.took()
	if len(told) != 1 || !strings.HasPrefix(told[0], "*ERROR: Shopify: 1 order was refused and has not come back; the first is lost at ") {
		t.Fatalf("%q", told)
	}
	shown, err := b.Notifications(t.Context(), mid)
	ok(t, err)
	i := slices.IndexFunc(shown.Alerts, func(a NotifiedAlert) bool { return a.Key == "orders/outage/shopify" })
	if i < 0 || shown.Alerts[i].Severity != "error" || len(shown.Alerts[i].Told) != 2 || !strings.Contains(shown.Alerts[i].Text, "order-1") {
		t.Fatalf("%+v", shown.Alerts)
	}

	j.Set(func() { j.Down = true }) // what cannot be observed is not over
	b.time.advance(20 * time.Minute)
	b.observe(t)
	b.flush(t)
	for _, line := range append(pager.took(), slack.took()...) {
		if strings.Contains(line, "resolve") && strings.Contains(line, "outage") {
			t.Fatalf("an outage that cannot be seen was ended: %s", line)
		}
	}
	j.Set(func() { j.Down = false })

	ahead := b.time.ahead
	ok(t, b.close())
	b = openBench(t, cfg, planOf(false))
	b.time.advance(ahead)
	look()
	for _, line := range append(pager.took(), slack.took()...) {
		if strings.Contains(line, "trigger orders/outage") {
			t.Fatalf("told again after a restart: %s", line)
		}
	}
	deliver("order-1", 200, b.time.now())
	look()
	if got := pager.took(); !slices.Contains(got, "resolve orders/outage/shopify") {
		t.Fatalf("%q", got)
	}
	if got := slack.took(); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "*OVER: Shopify: ") }) {
		t.Fatalf("%q", got)
	}
	deliver("order-2", 503, b.time.now().Add(-3*time.Hour)) // another time of the same: the same key
	look()
	if got := pager.took(); !slices.Contains(got, "trigger orders/outage/shopify error") {
		t.Fatalf("%q", got)
	}
}

func TestAChannelThatIsDownIsTriedAgainAndKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	dir := t.TempDir()
	cfg := settings(dir)
	cfg.Notifications = pagerAndSlack(pager, slack)
	b := openBench(t, cfg, planOf(false))
	var logs strings.Builder
	b.notifier.log = slog.New(slog.NewTextHandler(&logs, nil))
	mig, err := b.store.Migration(t.Context(), mid)
	ok(t, err)
	const key = mid + "/ledger/lost"
	begin := func(s notify.Severity) {
		t.Helper()
		ok(t, b.notifier.compare(t.Context(), mig, seen{[]notify.Event{{Key: key, Severity: s, Title: "2 orders lost"}}, []string{key}}))
		b.flush(t)
	}
	over := func() {
		t.Helper()
		ok(t, b.notifier.compare(t.Context(), mig, seen{judged: []string{key}}))
		b.flush(t)
	}
	pager.answer(http.StatusInternalServerError, "")
	begin(notify.Error)
	wantTook(t, slack, "*ERROR: 2 orders lost*")
	b.flush(t)
	b.time.advance(6 * time.Second)
	b.flush(t)
	over()
	wantTook(t, slack, "*OVER: 2 orders lost*")
	shown, err := b.Notifications(t.Context(), mid)
	ok(t, err)
	p := shown.Channels[0]
	if p.Name != "pager" || !p.Failing() || p.Failed != 2 || p.Waiting != 2 || !strings.Contains(p.Error, "500") || shown.Channels[1].Failing() || len(shown.Alerts) != 0 {
		t.Fatalf("%+v", shown.Channels)
	}
	b.time.advance(time.Minute)
	pager.answer(0, "")
	b.flush(t)
	wantTook(t, pager, "trigger "+key+" error", "resolve "+key) // late, and in order

	pager.answer(http.StatusTooManyRequests, "30")
	begin(notify.Critical)
	pager.answer(0, "")
	b.time.advance(20 * time.Second)
	b.flush(t)
	wantTook(t, pager) // it asked to be left alone for 30 s
	b.time.advance(11 * time.Second)
	b.flush(t)
	wantTook(t, pager, "trigger "+key+" critical")

	pager.answer(http.StatusBadRequest, "")
	over()
	for range 40 {
		b.time.advance(longestWait)
		b.flush(t)
	}
	pager.answer(0, "")
	b.time.advance(longestWait)
	b.flush(t)
	wantTook(t, pager, "resolve "+key) // an end is never given up

	rows, err := os.ReadFile(filepath.Join(dir, "switchyard.db"))
	ok(t, err)
	wal, _ := os.ReadFile(filepath.Join(dir, "switchyard.db-wal"))
	page, err := json.Marshal(shown)
	ok(t, err)
	for what, text := range map[string]string{"log": logs.String(), "database": string(rows) + string(wal), "answer": string(page)} {
		if strings.Contains(text, "CANARY") {
			t.Errorf("a secret is in the %s", what)
		}
	}
	if !strings.Contains(logs.String(), "500 Internal Server Error") || !strings.Contains(logs.String(), "works again") {
		t.Errorf("the log does not say what happened:\n%s", logs.String())
	}
}

func TestAMessageIsSentAgainWhenTheProcessEndedBeforeItWasNoted(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := settings(t.TempDir())
	cfg.Notifications = pagerAndSlack(pager, slack)
	b := openBench(t, cfg, planOf(false))
	mig, err := b.store.Migration(t.Context(), mid)
	ok(t, err)
	const key = mid + "/ledger/lost"
	ok(t, b.notifier.compare(t.Context(), mig, seen{[]notify.Event{{Key: key, Severity: notify.Error, Title: "2 orders lost"}}, []string{key}}))
	due, err := b.store.DueNotifications(t.Context(), "pager", b.time.now(), 1)
	ok(t, err)
	var e notify.Event
	ok(t, json.Unmarshal(due[0].Event, &e))
	ok(t, b.notifier.outlets[0].channel.Send(t.Context(), e)) // sent, and not noted
	ok(t, b.close())
	b = openBench(t, cfg, planOf(false))
	b.flush(t)
	wantTook(t, pager, "trigger "+key+" error", "trigger "+key+" error") // the same key: one incident
}

func TestAChannelThatIsNewHearsOfWhatIsWrongAlready(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := settings(t.TempDir())
	both := pagerAndSlack(pager, slack)
	cfg.Notifications = both[1:]
	const key = mid + "/ledger/lost"
	for i := range 3 {
		b := openBench(t, cfg, planOf(false))
		mig, err := b.store.Migration(t.Context(), mid)
		ok(t, err)
		for range 2 {
			ok(t, b.notifier.compare(t.Context(), mig, seen{[]notify.Event{{Key: key, Severity: notify.Error, Title: "2 orders lost"}}, []string{key}}))
			b.flush(t)
		}
		ok(t, b.close())
		switch i {
		case 0:
			wantTook(t, slack, "*ERROR: 2 orders lost*")
		case 1:
			wantTook(t, pager, "trigger "+key+" error")
		}
		cfg.Notifications = both
	}
	wantTook(t, slack)
	wantTook(t, pager)
}

func TestRunsThatChangeSomethingAreToldAndSoIsWhoIsWaitedFor(t *testing.T) {
	t.Parallel()
	pager := newReceiver(t)
	n := newNotes()
	changes, reads, bad := step("change", migration.ApprovalOne, n.act("a", nil)), step("read", migration.ApprovalNone, n.act("b", nil)), step("bad", migration.ApprovalNone, n.act("c", fails))
	readsNothing := n.act("b", nil)
	readsNothing.Changes = ""
	reads.Actions = func(migration.Params) []engine.Action { return []engine.Action{readsNothing} }
	cfg := settings(t.TempDir())
	cfg.PublicURL = "https://switchyard.example.com/"
	cfg.Notifications = []config.Notification{{Name: "pager", Type: "pagerduty", URL: migration.Secret(pager.URL), RoutingKey: "CANARY"}}
	b := openBench(t, cfg, planOf(false, changes, reads, bad), changes, reads, bad)
	tell := func() { t.Helper(); ok(t, b.notifier.tellRuns(t.Context())); b.flush(t) }
	tell()
	r, err := b.Start(t.Context(), ada, mid, "change", migration.Params{}, "")
	ok(t, err)
	tell()
	tell()
	wantTook(t, pager, "change Step change waits for approval")
	_, err = b.Decide(t.Context(), bob, r.ID, Decision{Approve: true})
	ok(t, err)
	b.awaitState(t, r.ID, migration.RunSucceeded)
	tell()
	wantTook(t, pager, "change Step change has begun", "change Step change is done")
	read, err := b.Start(t.Context(), ada, mid, "read", migration.Params{}, "")
	ok(t, err)
	b.awaitState(t, read.ID, migration.RunSucceeded)
	tell()
	wantTook(t, pager)
	back, err := b.Rollback(t.Context(), ada, r.ID)
	ok(t, err)
	b.awaitState(t, back.ID, migration.RunSucceeded)
	failing, err := b.Start(t.Context(), ada, mid, "bad", migration.Params{}, "")
	ok(t, err)
	failing = b.awaitState(t, failing.ID, migration.RunFailed)
	tell()
	wantTook(t, pager, "change Rollback of Step change has begun", "change Rollback of Step change is done", "change Step bad has begun", "change Step bad has failed")
	sent, err := b.store.Notifications(t.Context(), mid, mid+"/run/"+failing.ID, 1)
	ok(t, err)
	if text := string(sent[0].Event); !strings.Contains(text, "https://switchyard.example.com/m/orders/runs/"+failing.ID) || strings.Contains(text, "it did not work") {
		t.Errorf("%s", text)
	}
	// The next process tells nothing again, and nothing of before it was configured.
	ok(t, b.close())
	b = openBench(t, cfg, planOf(false, changes, reads, bad), changes, reads, bad)
	tell()
	wantTook(t, pager)
	// An approval that nobody could be told of is no news after a day.
	pager.answer(http.StatusForbidden, "")
	waiting, err := b.Start(t.Context(), ada, mid, "change", migration.Params{}, "")
	ok(t, err)
	tell()
	b.time.advance(newsFor)
	b.flush(t)
	shown, err := b.Notifications(t.Context(), mid)
	ok(t, err)
	if c := shown.Channels[0]; c.GivenUp != 1 || c.Waiting != 0 || !shown.Recent[0].GivenUp {
		t.Errorf("%+v %+v", c, shown.Recent[0])
	}
	_, err = b.Cancel(t.Context(), ada, waiting.ID)
	ok(t, err)
}

func TestAnIntakeThatHoldsOrdersIsToldToPeople(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule string
		is   evidence.IntakeInstance
		want []string
	}{
		{"a moment's backlog is how it works", evidence.IntakeInstance{Durable: true, Backlog: 9, OldestMS: 119_000, Bytes: 1, MaxBytes: 100}, nil},
		{"orders that wait", evidence.IntakeInstance{Durable: true, Backlog: 9, OldestMS: 120_000, Bytes: 1, MaxBytes: 100}, []string{"warning m/intake/held/web.1"}},
		{"half of the room is used", evidence.IntakeInstance{Durable: true, Backlog: 9, OldestMS: 1, Bytes: 50, MaxBytes: 100}, []string{"error m/intake/held/web.1"}},
		{"it is nearly full", evidence.IntakeInstance{Durable: true, Backlog: 9, OldestMS: 1, Bytes: 90, MaxBytes: 100}, []string{"critical m/intake/held/web.1"}},
		{"files that are full of what is enqueued go by themselves", evidence.IntakeInstance{Durable: true, Bytes: 90, MaxBytes: 100}, nil},
		{"kept orders are damaged", evidence.IntakeInstance{Durable: true, MaxBytes: 100, Damaged: 1}, []string{"critical m/intake/damaged/web.1"}},
		{"no intake", evidence.IntakeInstance{}, nil},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			tc.is.Instance = "web.1"
			s := judgeIntakes(evidence.IntakeFacts{Instances: []evidence.IntakeInstance{tc.is}}, "m", "")
			var got []string
			for _, a := range s.alerts {
				got = append(got, string(a.Severity)+" "+a.Key)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if !slices.Equal(s.judged, []string{"m/intake"}) {
				t.Errorf("judged %q", s.judged)
			}
		})
	}
}

func TestAlertsComeFromWhatIsKnownAndEndWhenItIsWellAgain(t *testing.T) {
	t.Parallel()
	cfg := settings(t.TempDir())
	j := ingestiontest.NewJournal(t)
	cfg.Ingestion.URL = j.URL
	b := openBench(t, cfg, planOf(false))
	want := func(rule string, keys ...string) {
		t.Helper()
		b.observe(t)
		open, err := b.store.OpenAlerts(t.Context(), mid)
		ok(t, err)
		var got []string
		for _, a := range open {
			got = append(got, strings.TrimPrefix(a.Key, mid+"/")+" "+a.Severity)
		}
		slices.Sort(got)
		slices.Sort(keys)
		if !slices.Equal(got, keys) {
			t.Fatalf("%s: %q, want %q", rule, got, keys)
		}
	}
	measure := func(check string, facts any) {
		t.Helper()
		ok(t, b.engine.Record(t.Context(), mid, "", check, migration.Observed, "test", facts))
		b.time.advance(time.Second)
	}
	policy := func(p string) {
		measure(evidence.Policy, evidence.PolicyFacts{Nodes: []evidence.NodePolicy{{Node: "source", Policy: p}}})
	}
	want("nothing is known, nothing is wrong")
	policy("allkeys-lru")
	want("a criterion that never was met is no news")
	policy("noeviction")
	want("it is met")
	policy("allkeys-lru")
	want("a criterion that was met and is not", "criterion/noeviction error")
	policy("noeviction")
	want("it is met again")
	b.time.advance(2 * time.Hour)
	want("its evidence is old", "criterion/noeviction warning", "ledger/unknown warning")
	policy("noeviction")
	want("it was looked at", "ledger/unknown warning")

	finding := func(state string, was bool) evidence.AuditFacts {
		return evidence.AuditFacts{Nodes: []evidence.NodeAudit{{Node: "10.0.0.4:6379", Findings: []evidence.AuditFinding{{ID: "persistence", Title: "Persistence", Severity: "high", State: state, WasOK: was, Measured: "CANARY-key"}}}}}
	}
	measure(evidence.Audit, finding("problem", false))
	want("a problem that was always there is a finding", "ledger/unknown warning")
	measure(evidence.Audit, finding("problem", true))
	want("a check that was well", "audit/10.0.0.4:6379/persistence error", "ledger/unknown warning")
	measure(evidence.Audit, finding("ok", true))
	want("well again", "ledger/unknown warning")

	now := b.time.now()
	for i := range 12 {
		j.Order(fmt.Sprintf("lost-%d", i), now.Add(-time.Hour), false)
	}
	for more := true; more; {
		var err error
		more, err = b.env.Journal.Poll(t.Context())
		ok(t, err)
	}
	want("orders are lost, by the application's record: that is known", "ledger/lost critical")
	open, err := b.store.OpenAlerts(t.Context(), mid)
	ok(t, err)
	i := slices.IndexFunc(open, func(a store.OpenAlert) bool { return strings.HasSuffix(a.Key, "/lost") })
	if text := string(open[i].Event); strings.Count(text, "lost-") != namedOrders || !strings.Contains(text, "and 2 more") {
		t.Errorf("%s", text)
	}
	j.Set(func() { j.Down = true })
	b.time.advance(time.Minute)
	want("what cannot be observed is not over", "ledger/lost critical")

	b.notifier.capacity[mid] = capacityLook{}
	limits := capacity.Hour{Start: b.time.now().Truncate(time.Hour), Memory: 2 << 30}
	raw, err := json.Marshal(limits)
	ok(t, err)
	ok(t, b.store.SaveLoadHour(t.Context(), mid, "source", store.LoadHour{Start: limits.Start, Body: raw}, time.Time{}))
	want("more than the plan allows", "capacity/source/memory error", "ledger/lost critical")
}

func TestOnlyAnEngineerTestsAChannelAndHearsWhyItFailed(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := settings(t.TempDir())
	cfg.Notifications = pagerAndSlack(pager, slack)
	b := openBench(t, cfg, planOf(false))
	_, err := b.TestNotification(t.Context(), carol, mid, "slack")
	wantKind(t, err, migration.Forbidden)
	_, err = b.TestNotification(t.Context(), ada, mid, "mail")
	wantKind(t, err, migration.NotFound, "pager, slack")
	c, err := b.TestNotification(t.Context(), ada, mid, "slack")
	ok(t, err)
	if c.Sent != 1 || c.SentAt == nil || c.Failing() {
		t.Errorf("%+v", c)
	}
	wantTook(t, slack, "*Test of the channel slack*")
	slack.answer(http.StatusNotFound, "")
	_, err = b.TestNotification(t.Context(), ada, mid, "slack")
	wantKind(t, err, migration.Conflict, "404", "address and key")
	log, err := b.Audit(t.Context(), 0, 10)
	ok(t, err)
	if len(log) != 4 || log[0].Result != "refused" || log[1].Result != "ok" || log[1].Subject != "notification channel slack" {
		t.Errorf("%+v", log)
	}
}

func TestAChannelThatCouldNotWorkKeepsTheServerFromStartingAndNamesItself(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]config.Notification{
		"no https":              {Name: "chat", Type: "slack", URL: "http://hooks.example.com/CANARY"},
		"a key that is no key":  {Name: "chat", Type: "webhook", URL: "https://hooks.example.com/CANARY", Secret: "CANARY"},
		"a mail server by name": {Name: "chat", Type: "email", SMTP: config.SMTP{Addr: "mail.example.com", Password: "CANARY", From: "a@example.com", To: []string{"b@example.com"}}},
	} {
		cfg := settings(t.TempDir())
		cfg.Notifications = []config.Notification{c}
		readers, err := NewReaders(cfg, slog.New(slog.DiscardHandler))
		ok(t, err)
		_, err = Open(t.Context(), cfg, readers, slog.New(slog.DiscardHandler))
		if migration.KindOf(err) != migration.Invalid || err == nil || !strings.Contains(err.Error(), "notifications: chat: ") || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
