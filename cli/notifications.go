package cli

import (
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type notificationsCmd struct {
	List notificationsListCmd `cmd:"" default:"withargs" help:"List the channels and open alerts."`
	Test notificationsTestCmd `cmd:"" help:"Send one channel a test, which pages nobody."`
}

type notificationsListCmd struct{ remote }

// Help tells when the command fails.
func (notificationsListCmd) Help() string { return "Fails while a channel does." }

// Run lists channels and open alerts.
func (c notificationsListCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	n, err := client.Notifications(s.ctx, mid)
	if err != nil {
		return err
	}
	if err := c.print(s, n, func(t table) { writeNotifications(t, n) }); err != nil {
		return err
	}
	var failing []string
	for _, ch := range n.Channels {
		if ch.Failing() {
			failing = append(failing, ch.Name+": "+ch.Error)
		}
	}
	if len(failing) > 0 {
		return migration.Errorf(migration.Blocked,
			"notifications cannot be delivered: %s", strings.Join(failing, "; "))
	}
	return nil
}

func writeNotifications(t table, n api.Notifications) {
	for _, a := range n.Alerts {
		since := a.Since.UTC().Format(time.RFC3339)
		t.row("%s\tsince %s\t%s", strings.ToUpper(a.Severity), since, a.Title)
	}
	for _, c := range n.Channels {
		sent, state := "never", "works"
		if c.SentAt != nil {
			sent = c.SentAt.UTC().Format(time.RFC3339)
		}
		switch {
		case c.Failing():
			state = "FAILS: " + c.Error
		case c.SentAt == nil:
			state = "nothing sent yet"
		}
		t.row("%s\t%s\tlast sent %s\t%d waiting\t%s", c.Name, c.Type, sent, c.Waiting, state)
	}
	if len(n.Channels) == 0 {
		t.row("No channels configured. Alerts are not sent.")
	}
}

type notificationsTestCmd struct {
	Channel string `arg:"" help:"Name of the channel."`
	remote
}

// Run sends a test. It fails when the channel does not accept it.
func (c notificationsTestCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	ch, err := client.TestNotification(s.ctx, mid, c.Channel)
	if err != nil {
		return err
	}
	return c.print(s, ch, func(t table) { t.row("%s accepted a test", ch.Name) })
}
