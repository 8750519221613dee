package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/workflows"
)

// Notifications is the page of what is told to whom.
type Notifications struct {
	MigrationID   string
	Notifications workflows.Notifications
	Now           time.Time
	Who           Who
}

func channelStatus(c workflows.NotificationChannel) status {
	switch {
	case c.Failing():
		return status{"bad", "octagon-x", "Last try failed"}
	case c.SentAt != nil:
		return status{"ok", "circle-check", "Works"}
	}
	return status{"idle", "circle-dashed", "Nothing sent yet"}
}

var channelTypes = map[string]string{"slack": "Slack", "pagerduty": "PagerDuty", "webhook": "Webhook", "email": "E-mail"}

// channelGets says what a channel is told.
func channelGets(c workflows.NotificationChannel) string {
	var words []string
	for _, e := range c.Events {
		switch e {
		case "alert":
			words = append(words, "alerts from "+c.MinSeverity+" on")
		default:
			words = append(words, e+"s")
		}
	}
	return title(strings.Join(words, ", "))
}

func alertStatus(severity string) status {
	switch severity {
	case "critical", "error":
		return status{"bad", "octagon-x", title(severity)}
	case "warning":
		return status{"warn", "triangle-alert", "Warning"}
	}
	return status{"idle", "circle-dot", title(severity)}
}

func messageStatus(m workflows.NotificationSent) status {
	switch {
	case m.SentAt != nil:
		return status{"ok", "check", "Sent"}
	case m.GivenUp:
		return status{"bad", "ban", "Given up"}
	case m.Error != "":
		return status{"warn", "triangle-alert", fmt.Sprintf("Tried %s", times(m.Tries))}
	}
	return status{"busy", "clock", "Waiting"}
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

var messageKinds = map[string]string{"approval": "Approval", "change": "Change", "alert": "Alert", "resolve": "Alert ended"}
