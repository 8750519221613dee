package alarm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

func TestWhoStillUsesTheOldServerIsToldWithTheWayBack(t *testing.T) {
	t.Parallel()
	found := environment.Stranded{
		Address: "10.0.0.1:6379",
		Clients: []migration.Member{{Key: "client:10.0.0.1:6379/10.0.0.9/mailer",
			Name: "mailer on 10.0.0.1:6379", Why: "from 10.0.0.9, last command evalsha: 2 connections"}},
		Refused: 15000,
	}
	s := judgeStranded(found, true, "orders", "r1")
	if len(s.alerts) != 1 || s.alerts[0].Severity != notify.Critical ||
		s.alerts[0].Key != "orders/stranded/10.0.0.1:6379/10.0.0.9/mailer" {
		t.Fatalf("%+v", s.alerts)
	}
	for _, want := range []string{"10.0.0.9", "15000 commands", "switchyard run rollback r1"} {
		if !strings.Contains(s.alerts[0].Text, want) {
			t.Errorf("%q does not say %q", s.alerts[0].Text, want)
		}
	}
	// Once it is gone, or the move was taken back, the alert is over; others are not judged.
	for _, s := range []seen{judgeStranded(environment.Stranded{}, true, "orders", ""),
		judgeStranded(found, false, "orders", "")} {
		if len(s.alerts) != 0 || !s.judges("orders/stranded/10.0.0.1:6379/10.0.0.9/mailer") ||
			s.judges("orders/left/10.0.0.1:6379/fence") {
			t.Errorf("%+v", s)
		}
	}
}

func TestAQueueThatNobodyRunsIsToldOnceEveryLookHasSeenItForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	sighted := sightings{}
	var open []store.OpenAlert
	look := func(after time.Duration, queues ...string) seen {
		now = now.Add(after)
		var found []environment.StillQueue
		for _, q := range queues {
			found = append(found, environment.StillQueue{Queue: q, Jobs: 3})
		}
		return sighted.judge(judgeStill(found, "orders", "r1"), stillFor, open, now)
	}
	told := func(s seen, keys ...string) {
		t.Helper()
		var got []string
		for _, a := range s.alerts {
			got = append(got, a.Key)
		}
		if !slices.Equal(got, keys) || !s.judges("orders/still/newsletter") {
			t.Errorf("%v of %v, want %v", got, s.judged, keys)
		}
	}
	told(look(0, "newsletter"))
	told(look(stillFor-time.Second, "newsletter", "reports"))
	s := look(time.Second, "newsletter", "reports")
	told(s, "orders/still/newsletter")
	for _, want := range []string{"3 jobs wait", "switchyard run rollback r1"} {
		if a := s.alerts[0]; !strings.Contains(a.Text, want) || a.Severity != notify.Critical {
			t.Errorf("%+v does not say %q", a, want)
		}
	}
	told(look(time.Second, "reports")) // somebody runs it again
	told(look(time.Second, "newsletter", "reports"))
	told(look(stillFor-2*time.Second, "newsletter", "reports"), "orders/still/reports")
	told(look(time.Second, "newsletter"))
	told(look(time.Second, "newsletter"), "orders/still/newsletter")
	told(look(-time.Hour, "newsletter")) // a clock that was set back says nothing of how long
	told(look(stillFor, "newsletter"), "orders/still/newsletter")
	told(look(0))
	open = []store.OpenAlert{{Key: "orders/still/reports"}}
	told(look(0, "newsletter", "reports"), "orders/still/reports") // a restart does not end it
}
