package alarm

import (
	"strings"
	"testing"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/workflows/environment"
)

func TestWhoStillUsesTheOldServerIsToldWithTheWayBack(t *testing.T) {
	t.Parallel()
	found := environment.Stranded{
		Address: "10.0.0.1:6379",
		Clients: []migration.Member{{Key: "client:10.0.0.1:6379/10.0.0.9/mailer",
			Name: "mailer on 10.0.0.1:6379", Why: "from 10.0.0.9, last command evalsha: 2 connections"}},
		Refused: 15000,
		Idle:    []string{"newsletter: 3 jobs"},
	}
	s := judgeStranded(found, true, "orders", "switchyard run rollback r1")
	if len(s.alerts) != 1 || s.alerts[0].Severity != notify.Critical ||
		s.alerts[0].Key != "orders/stranded/10.0.0.1:6379/10.0.0.9/mailer" {
		t.Fatalf("%+v", s.alerts)
	}
	for _, want := range []string{"10.0.0.9", "15000 commands", "newsletter: 3 jobs",
		"switchyard run rollback r1"} {
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
