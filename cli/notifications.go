package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/api"
	"github.com/switchyard-dev/switchyard/migration"
)

type notificationsCmd struct {
	List notificationsListCmd `cmd:"" default:"withargs" help:"List the channels and the open alerts. Fails while a channel does."`
	Test notificationsTestCmd `cmd:"" help:"Send one channel a test, which wakes nobody."`
}

type notificationsListCmd struct{ remote }

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
	if err := c.print(s.stdout, n, func(w io.Writer) { writeNotifications(w, n) }); err != nil {
		return err
	}
	var failing []string
	for _, ch := range n.Channels {
		if ch.Failing() {
			failing = append(failing, ch.Name+": "+ch.Error)
		}
	}
	if len(failing) > 0 {
		return migration.Errorf(migration.Blocked, "notifications do not get through: %s", strings.Join(failing, "; "))
	}
	return nil
}

func writeNotifications(w io.Writer, n api.Notifications) {
	when := func(t *time.Time) string {
		if t == nil {
			return "never"
		}
		return t.UTC().Format(time.RFC3339)
	}
	for _, a := range n.Alerts {
		_, _ = fmt.Fprintf(w, "%s\tsince %s\t%s\n", strings.ToUpper(a.Severity), a.Since.UTC().Format(time.RFC3339), a.Title)
	}
	for _, c := range n.Channels {
		state := "works"
		switch {
		case c.Failing():
			state = "FAILS: " + c.Error
		case c.SentAt == nil:
			state = "nothing sent yet"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\tlast sent %s\t%d waiting\t%s\n", c.Name, c.Type, when(c.SentAt), c.Waiting, state)
	}
	if len(n.Channels) == 0 {
		_, _ = fmt.Fprintln(w, "no channel is configured, so nobody is told")
	}
}

type notificationsTestCmd struct {
	Channel string `arg:"" help:"Name of the channel."`
	remote
}

// Run sends a test. It fails when the channel does not take it.
func (c notificationsTestCmd) Run(s *shell) error {
	client, mid, err := c.open(s)
	if err != nil {
		return err
	}
	ch, err := client.TestNotification(s.ctx, mid, c.Channel)
	if err != nil {
		return err
	}
	return c.print(s.stdout, ch, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s has taken a test\n", ch.Name) })
}
