package cli

import (
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type alertsCmd struct {
	List alertsListCmd `cmd:"" default:"withargs" help:"List the open alerts."`
	Ack  alertsAckCmd  `cmd:"" help:"Say that you look after an open alert."`
}

type alertsListCmd struct{ remote }

// Help tells when the command fails.
func (alertsListCmd) Help() string { return "Fails while an open alert is not acknowledged." }

// Run lists the open alerts.
func (c alertsListCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	a, err := client.Alerts(s.ctx, mid)
	if err != nil {
		return err
	}
	if err := c.print(s, a, func(t table) { writeAlerts(t, a) }); err != nil {
		return err
	}
	if a.Unacknowledged > 0 {
		return migration.Errorf(migration.Blocked, "%d of %s not acknowledged: "+
			"switchyard alerts ack KEY --comment TEXT", a.Unacknowledged,
			count(a.Open, "open alert"))
	}
	return nil
}

func writeAlerts(t table, a api.Alerts) {
	for _, x := range a.Alerts {
		state := "not acknowledged"
		if k := x.Acknowledged; k != nil {
			state = "acknowledged by " + k.By + ": " + k.Comment
		}
		if x.Run != "" {
			state += "; began during run " + x.Run
		}
		t.row("%s\t%s\tsince %s\t%s\t%s", strings.ToUpper(x.Severity), x.Key,
			x.Since.UTC().Format(time.RFC3339), x.Title, state)
	}
	if len(a.Alerts) == 0 {
		t.row("No open alerts.")
	}
}

type alertsAckCmd struct {
	remote
	Key     string `arg:"" help:"Key of the alert, such as orders/ledger/late."`
	Comment string `help:"What is being done about it." required:""`
}

// Help tells what becomes of the alert.
func (alertsAckCmd) Help() string {
	return "The alert stays open until it is resolved. It is not sent again unless it gets worse."
}

// Run acknowledges an alert.
func (c alertsAckCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	if err := client.AcknowledgeAlert(s.ctx, mid, c.Key, c.Comment); err != nil {
		return err
	}
	a, err := client.Alerts(s.ctx, mid)
	if err != nil {
		return err
	}
	return c.print(s, a, func(t table) { writeAlerts(t, a) })
}
