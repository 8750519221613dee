package alarm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

// happens is what a look has found: one alert, or that it is over.
func (b *bench) happens(t *testing.T, key string, severity notify.Severity) {
	t.Helper()
	mig, err := b.Store.Migration(t.Context(), mid)
	ok(t, err)
	found := seen{judged: []string{key}}
	if severity != "" {
		found.alerts = []notify.Event{{Key: key, Severity: severity, Title: "Something is wrong"}}
	}
	ok(t, b.notifier.compare(t.Context(), mig, found, true))
	b.flush(t)
}

func TestAnAcknowledgedAlertStaysOpenAndQuietUntilItGetsWorse(t *testing.T) {
	t.Parallel()
	pager := newReceiver(t)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Notifications = []config.Notification{{Name: "pager", Type: "pagerduty",
		URL: migration.Secret(pager.URL), RoutingKey: "CANARY-routing-key"}}
	b := openBench(t, cfg)
	key := notify.Key(mid, "ledger", "late")
	counts := func(open, unseen int) NotifiedAlert {
		t.Helper()
		a, err := b.notifier.Alerts(t.Context(), mid)
		ok(t, err)
		n, err := b.notifier.Unseen(t.Context(), mid)
		ok(t, err)
		if a.Open != open || a.Unacknowledged != unseen || n != unseen || len(a.Alerts) != open {
			t.Fatalf("%+v, %d unseen", a, n)
		}
		if open == 0 {
			return NotifiedAlert{}
		}
		return a.Alerts[0]
	}
	b.happens(t, key, notify.Warning)
	wantTook(t, pager, "trigger "+key+" warning")
	counts(1, 1)

	for rule, c := range map[string]struct {
		key, comment string
		want         migration.Kind
	}{
		"one that is not open":       {key + "r", "I look", migration.NotFound},
		"without a key":              {"", "I look", migration.Invalid},
		"without a word":             {key, " \n", migration.Invalid},
		"with more than people read": {key, strings.Repeat("x", maxComment+1), migration.Invalid},
	} {
		err := b.notifier.Acknowledge(t.Context(), "ada", mid, c.key, c.comment)
		if migration.KindOf(err) != c.want {
			t.Errorf("%s: %v", rule, err)
		}
	}
	ok(t, b.notifier.Acknowledge(t.Context(), "ada", mid, key, " I look "))
	err := b.notifier.Acknowledge(t.Context(), "linus", mid, key, "me too")
	if migration.KindOf(err) != migration.Conflict || !strings.Contains(err.Error(), "ada") {
		t.Fatalf("a second one: %v", err)
	}
	a := counts(1, 0)
	if a.Acknowledged == nil || a.Acknowledged.By != "ada" || a.Acknowledged.Comment != "I look" {
		t.Fatalf("%+v", a)
	}

	clear(b.notifier.caughtUp) // as after a restart: who is new would hear of what is open
	b.Clock.Advance(time.Hour)
	b.happens(t, key, notify.Warning)
	wantTook(t, pager)
	counts(1, 0)
	b.happens(t, key, notify.Error) // that is something nobody has seen yet
	wantTook(t, pager, "trigger "+key+" error")
	if a := counts(1, 1); a.Acknowledged != nil {
		t.Fatalf("%+v", a)
	}
	ok(t, b.notifier.Acknowledge(t.Context(), "ada", mid, key, "again"))
	b.happens(t, key, "")
	if took := pager.took(); len(took) != 1 || !strings.HasPrefix(took[0], "resolve "+key) {
		t.Fatalf("%q", took)
	}
	counts(0, 0)
	past, total, err := b.Store.PastAlerts(t.Context(), mid, 10)
	ok(t, err)
	if total != 1 || len(past) != 1 || past[0].Key != key || past[0].Severity != "error" ||
		past[0].Ack.By != "ada" ||
		past[0].ClosedAt.Sub(past[0].OpenedAt) < time.Hour {
		t.Fatalf("%d: %+v", total, past)
	}
}

func TestAnAlertThatBeginsDuringARunOfOursNamesIt(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	mig := migration.Migration{Plan: migration.Plan{Steps: []migration.PlanStep{
		{ID: migration.StepSentinelTest, Title: "Sentinel failover test"}}}}
	run := func(step string) *migration.Run {
		return &migration.Run{ID: "r1", Step: step, StartedAt: &begun}
	}
	for rule, c := range map[string]struct {
		open  *migration.Run
		of    string // what the look knows of the run
		title string
	}{
		"no run":                        {nil, "", "Late"},
		"a run that disturbs nothing":   {run(migration.StepAudit), "", "Late"},
		"a run that waits for approval": {&migration.Run{ID: "r1", Step: migration.StepSentinelTest}, "", "Late"},
		"a failover test": {run(migration.StepSentinelTest), "",
			"Late, during Sentinel failover test"},
		"a run that has ended": {nil, "r1", "Late, during run r1"},
	} {
		e := ofRun(notify.Event{Title: "Late", Text: "3 orders.", Run: c.of}, mig, c.open)
		named := []bool{e.Run == "r1", strings.Contains(e.Text, "run r1")}
		if e.Title != c.title || slices.Contains(named, c.title == "Late") ||
			!strings.HasPrefix(e.Text, "3 orders.") {
			t.Errorf("%s: %+v", rule, e)
		}
	}
}
