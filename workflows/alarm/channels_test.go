package alarm

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

func TestAChannelThatIsDownIsTriedAgainAndKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	dir := t.TempDir()
	cfg := stepstest.Settings(dir)
	cfg.Notifications = pagerAndSlack(pager, slack)
	b := openBench(t, cfg)
	var logs strings.Builder
	b.notifier.Log = slog.New(slog.NewTextHandler(&logs, nil))
	mig, err := b.Store.Migration(t.Context(), mid)
	ok(t, err)
	const key = mid + "/ledger/lost"
	begin := func(s notify.Severity) {
		t.Helper()
		lost := notify.Event{Key: key, Severity: s, Title: "2 orders lost"}
		ok(t, b.notifier.compare(t.Context(), mig, seen{[]notify.Event{lost}, []string{key}}, true))
		b.flush(t)
	}
	over := func() {
		t.Helper()
		ok(t, b.notifier.compare(t.Context(), mig, seen{judged: []string{key}}, true))
		b.flush(t)
	}
	pager.answer(http.StatusInternalServerError, "")
	begin(notify.Error)
	wantTook(t, slack, "*ERROR: 2 orders lost*")
	b.flush(t)
	b.Clock.Advance(6 * time.Second)
	b.flush(t)
	over()
	wantTook(t, slack, "*OVER: 2 orders lost*")
	shown, err := b.notifier.Notifications(t.Context(), mid)
	ok(t, err)
	p := shown.Channels[0]
	if p.Name != "pager" || !p.Failing() || p.Failed != 2 || p.Waiting != 2 ||
		!strings.Contains(p.Error, "500") || shown.Channels[1].Failing() || len(shown.Alerts) != 0 {
		t.Fatalf("%+v", shown.Channels)
	}
	b.Clock.Advance(time.Minute)
	pager.answer(0, "")
	b.flush(t)
	wantTook(t, pager, "trigger "+key+" error", "resolve "+key) // late, and in order

	pager.answer(http.StatusTooManyRequests, "30")
	begin(notify.Critical)
	pager.answer(0, "")
	b.Clock.Advance(20 * time.Second)
	b.flush(t)
	wantTook(t, pager) // it asked to be left alone for 30 s
	b.Clock.Advance(11 * time.Second)
	b.flush(t)
	wantTook(t, pager, "trigger "+key+" critical")

	pager.answer(http.StatusBadRequest, "")
	over()
	for range 40 {
		b.Clock.Advance(longestWait)
		b.flush(t)
	}
	pager.answer(0, "")
	b.Clock.Advance(longestWait)
	b.flush(t)
	wantTook(t, pager, "resolve "+key) // an end is never given up

	rows, err := os.ReadFile(filepath.Join(dir, "switchyard.db"))
	ok(t, err)
	wal, _ := os.ReadFile(filepath.Join(dir, "switchyard.db-wal"))
	page, err := json.Marshal(shown)
	ok(t, err)
	for what, text := range map[string]string{
		"log": logs.String(), "database": string(rows) + string(wal), "answer": string(page),
	} {
		if strings.Contains(text, "CANARY") {
			t.Errorf("a secret is in the %s", what)
		}
	}
	if !strings.Contains(logs.String(), "500 Internal Server Error") ||
		!strings.Contains(logs.String(), "works again") {
		t.Errorf("the log does not say what happened:\n%s", logs.String())
	}
}

func TestAMessageIsSentAgainWhenTheProcessEndedBeforeItWasNoted(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := stepstest.Settings(t.TempDir())
	cfg.Notifications = pagerAndSlack(pager, slack)
	b := openBench(t, cfg)
	mig, err := b.Store.Migration(t.Context(), mid)
	ok(t, err)
	const key = mid + "/ledger/lost"
	lost := notify.Event{Key: key, Severity: notify.Error, Title: "2 orders lost"}
	found := seen{[]notify.Event{lost}, []string{key}}
	ok(t, b.notifier.compare(t.Context(), mig, found, true))
	due, err := b.Store.DueNotifications(t.Context(), "pager", b.Clock.Now(), 1)
	ok(t, err)
	var e notify.Event
	ok(t, json.Unmarshal(due[0].Event, &e))
	ok(t, b.notifier.outlets[0].channel.Send(t.Context(), e)) // sent, and not noted
	b.Stop()
	b = openBench(t, cfg)
	b.flush(t)
	// The same key: one incident.
	wantTook(t, pager, "trigger "+key+" error", "trigger "+key+" error")
}

func TestAChannelThatIsNewHearsOfWhatIsWrongAlready(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := stepstest.Settings(t.TempDir())
	both := pagerAndSlack(pager, slack)
	cfg.Notifications = both[1:]
	const key = mid + "/ledger/lost"
	for i := range 3 {
		b := openBench(t, cfg)
		mig, err := b.Store.Migration(t.Context(), mid)
		ok(t, err)
		for range 2 {
			lost := notify.Event{Key: key, Severity: notify.Error, Title: "2 orders lost"}
			found := seen{[]notify.Event{lost}, []string{key}}
			ok(t, b.notifier.compare(t.Context(), mig, found, true))
			b.flush(t)
		}
		b.Stop()
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
