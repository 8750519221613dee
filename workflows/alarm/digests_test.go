package alarm

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/workflows/digest"
	"github.com/switchyard-dev/switchyard/workflows/forecast"
	"github.com/switchyard-dev/switchyard/workflows/steps/stepstest"
)

const (
	weekly  = "*Weekly digest: 4 of 7 criteria met, at risk*"
	oneWeek = 7 * 24 * time.Hour
)

// digesting is a configuration of a pager, and of a channel that gets a digest two hours from now.
func digesting(t *testing.T, pager, slack *receiver) config.Config {
	t.Helper()
	cfg := stepstest.Settings(t.TempDir())
	cfg.Notifications = pagerAndSlack(pager, slack)
	cfg.Notifications[0].Digest = true // the configuration refuses that; so does the channel
	cfg.Notifications[1].Digest = true
	due := time.Now().UTC().Add(2 * time.Hour)
	cfg.Digest = config.Digest{Day: due.Weekday().String(), At: due.Format("15:04")}
	return cfg
}

// openDigests is a bench whose digests tell of nothing but their time.
func openDigests(t *testing.T, cfg config.Config, ahead time.Duration) *bench {
	t.Helper()
	b := openBench(t, cfg)
	b.Clock.Advance(ahead)
	b.notifier.Digest = func(
		_ context.Context, id string, last *digest.Digest,
	) (digest.Digest, error) {
		return digest.Digest{Migration: id, Name: "Orders", At: b.Clock.Now(), Met: 4, Total: 7,
			First:    last == nil,
			Since:    digest.Since(last, b.Clock.Now().Add(-time.Hour), b.Clock.Now()),
			Forecast: forecast.Forecast{State: forecast.AtRisk}}, nil
	}
	return b
}

func (b *bench) tellDigests(t *testing.T) {
	t.Helper()
	ok(t, b.notifier.tellDigests(t.Context()))
	b.flush(t)
}

func TestADigestIsSentOnceAWeekAlsoByTwoProcessesAndOverARestartAndToNoPager(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := digesting(t, pager, slack)
	b := openDigests(t, cfg, 0)
	b.tellDigests(t)
	wantTook(t, slack) // it is not due yet, and none is owed for the time before it was wanted
	b.Clock.Advance(2 * time.Hour)
	other, err := New(b.notifier.Options)
	ok(t, err)
	var all sync.WaitGroup
	for _, n := range []*Notifier{b.notifier, other, b.notifier, other} {
		all.Go(func() {
			if err := n.tellDigests(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	b.flush(t)
	b.tellDigests(t)
	wantTook(t, slack, weekly)
	if !strings.Contains(slack.text, "the first digest") || strings.Contains(slack.text, "late") {
		t.Errorf("%q", slack.text)
	}
	b.Stop()
	b = openDigests(t, cfg, 2*time.Hour+time.Minute)
	b.tellDigests(t)
	wantTook(t, slack)
	b.Clock.Advance(oneWeek)
	b.tellDigests(t)
	wantTook(t, slack, weekly)
	if !strings.Contains(slack.text, "since the last digest on ") {
		t.Errorf("%q", slack.text)
	}
	wantTook(t, pager)
	shown, err := b.notifier.Notifications(t.Context(), mid)
	ok(t, err)
	plan := shown.Digest
	if len(plan.Channels) != 1 || plan.Channels[0] != "slack" || plan.LastAt == nil ||
		plan.Next == nil || !plan.Next.After(b.Clock.Now()) || shown.Recent[0].Kind != "digest" {
		t.Errorf("%+v %+v", plan, shown.Recent)
	}
}

func TestDigestsThatWereMissedAreMadeUpForByOneThatSaysSo(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := digesting(t, pager, slack)
	b := openDigests(t, cfg, 0)
	b.tellDigests(t)
	b.Stop()
	b = openDigests(t, cfg, 3*oneWeek+26*time.Hour)
	b.tellDigests(t)
	b.tellDigests(t)
	wantTook(t, slack, weekly)
	for _, part := range []string{"It is late: it was due on ", "did not run"} {
		if !strings.Contains(slack.text, part) {
			t.Errorf("%q is missing in %q", part, slack.text)
		}
	}
	b.Clock.Advance(oneWeek)
	b.tellDigests(t)
	wantTook(t, slack, weekly)
}

func TestANewScheduleOwesNothingOfTheTimeBefore(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := digesting(t, pager, slack)
	b := openDigests(t, cfg, 0)
	b.tellDigests(t)
	b.Stop()
	cfg.Digest.Day = time.Now().UTC().Add(-24 * time.Hour).Weekday().String() // it would be late
	b = openDigests(t, cfg, 0)
	b.tellDigests(t)
	wantTook(t, slack)
	b.Stop()
	none := cfg
	none.Notifications = cfg.Notifications[:1]
	b = openDigests(t, none, 0)
	b.tellDigests(t)
	b.Stop()
	b = openDigests(t, cfg, 8*24*time.Hour) // nobody wanted it until now
	b.tellDigests(t)
	wantTook(t, slack)
}

func TestAChannelThatIsDownGetsTheNewestDigestAlone(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	b := openDigests(t, digesting(t, pager, slack), 0)
	b.tellDigests(t)
	slack.answer(http.StatusInternalServerError, "")
	b.Clock.Advance(2 * time.Hour)
	b.tellDigests(t)
	b.Clock.Advance(oneWeek)
	b.tellDigests(t)
	slack.answer(0, "")
	b.Clock.Advance(longestWait)
	b.flush(t)
	wantTook(t, slack, weekly)
	b.flush(t)
	wantTook(t, slack)
}

func TestADigestWhoseSenderEndedWhileSendingIsNotSentAgainAndSaysWhy(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	b := openDigests(t, digesting(t, pager, slack), 0)
	b.tellDigests(t)
	b.Clock.Advance(2 * time.Hour)
	ok(t, b.notifier.tellDigests(t.Context()))
	due, err := b.Store.DueNotifications(t.Context(), "slack", b.Clock.Now(), 5)
	ok(t, err)
	claimed, err := b.Store.ClaimNotification(t.Context(), due[0].ID, unsure, b.Clock.Now())
	ok(t, err)
	again, err := b.Store.ClaimNotification(t.Context(), due[0].ID, unsure, b.Clock.Now())
	ok(t, err)
	if !claimed || again {
		t.Fatalf("claimed %t, then %t", claimed, again)
	}
	b.tellDigests(t)
	wantTook(t, slack)
	shown, err := b.notifier.Notifications(t.Context(), mid)
	ok(t, err)
	if m := shown.Recent[0]; !m.GivenUp || m.Error != unsure {
		t.Errorf("%+v", m)
	}
}

func TestADigestOnRequestGoesOnceAMinuteAndDoesNotStandForTheWeeklyOne(t *testing.T) {
	t.Parallel()
	pager, slack := newReceiver(t), newReceiver(t)
	cfg := digesting(t, pager, slack)
	b := openDigests(t, cfg, 0)
	b.tellDigests(t)
	b.Clock.Advance(time.Until(b.Clock.Now().Truncate(time.Minute).Add(time.Minute)))
	for range 2 {
		_, err := b.notifier.SendDigest(t.Context(), "ada", mid)
		ok(t, err)
		b.flush(t)
	}
	wantTook(t, slack, "*Digest: 4 of 7 criteria met, at risk*")
	if !strings.Contains(slack.text, "ada asked for it.") {
		t.Errorf("%q", slack.text)
	}
	b.Clock.Advance(2 * time.Hour)
	b.tellDigests(t)
	wantTook(t, slack, weekly)
	wantTook(t, pager)

	cfg.Notifications = cfg.Notifications[:1]
	b.Stop()
	b = openDigests(t, cfg, 2*time.Hour)
	_, err := b.notifier.SendDigest(t.Context(), "ada", mid)
	if migration.KindOf(err) != migration.Conflict || !strings.Contains(err.Error(), "digest: true") {
		t.Errorf("%v", err)
	}
	plan, err := b.notifier.digestPlan(t.Context(), mid)
	ok(t, err)
	if plan.Next != nil || len(plan.Channels) != 0 {
		t.Errorf("%+v", plan)
	}
}

func TestAlertsThatNobodyLookedForAreNotKnown(t *testing.T) {
	t.Parallel()
	b := openBench(t, stepstest.Settings(t.TempDir()))
	want := func(says string) {
		t.Helper()
		_, unknown, err := b.notifier.AlertsSince(t.Context(), mid, b.Clock.Now().Add(-oneWeek))
		ok(t, err)
		if says == "" && unknown != "" || !strings.Contains(unknown, says) {
			t.Errorf("%q, want %q", unknown, says)
		}
	}
	want("nobody has looked")
	b.observe(t)
	want("")
	b.Clock.Advance(time.Hour)
	want("looked for last on ")
}
