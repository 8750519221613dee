package adminpages

import (
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/docs/runbooks"
	"github.com/switchyard-dev/switchyard/web/ui"
	"github.com/switchyard-dev/switchyard/workflows"
)

// Notifications is the page of what is told to whom.
type Notifications struct {
	MigrationID   string
	Notifications workflows.Notifications
	Now           time.Time
	Who           ui.Who
}

func channelStatus(c workflows.NotificationChannel) ui.Status {
	switch {
	case c.Failing():
		return ui.Bad("Last attempt failed")
	case c.SentAt != nil:
		return ui.OK("Works")
	}
	return ui.Idle("Nothing sent yet")
}

var channelTypes = map[string]string{
	"slack":     "Slack",
	"pagerduty": "PagerDuty",
	"webhook":   "Webhook",
	"email":     "E-mail",
}

// channelGets says what a channel is told.
func channelGets(c workflows.NotificationChannel) string {
	var words []string
	for _, e := range c.Events {
		switch e {
		case "alert":
			words = append(words, "alerts of severity "+c.MinSeverity+" or higher")
		default:
			words = append(words, e+"s")
		}
	}
	if c.Digest {
		words = append(words, "the weekly digest")
	}
	return ui.Title(strings.Join(words, ", "))
}

func alertStatus(severity string) ui.Status {
	switch severity {
	case "critical", "error":
		return ui.Bad(ui.Title(severity))
	case "warning":
		return ui.Warn("Warning")
	}
	return ui.Idle(ui.Title(severity)).As("circle-dot")
}

func messageStatus(m workflows.NotificationSent) ui.Status {
	switch {
	case m.SentAt != nil:
		return ui.OK("Sent").As("check")
	case m.GivenUp:
		return ui.Bad("Not delivered").As("ban")
	case m.Error != "":
		return ui.Warn("Failed " + times(m.Tries))
	}
	return ui.Waiting("Waiting")
}

// newestMessages is how many messages a phone shows at once; what was not sent it always shows.
const newestMessages = 3

func messageArrives(m workflows.NotificationSent) bool { return m.SentAt != nil || m.Error == "" }

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

var messageKinds = map[string]string{
	"approval": "Approval",
	"change":   "Change",
	"alert":    "Alert",
	"resolve":  "Alert resolved",
	"digest":   "Digest",
}

// toldTo says who has heard of an alert.
func toldTo(a workflows.NotifiedAlert) string {
	var told, waiting []string
	for _, t := range a.Told {
		if t.SentAt == nil {
			waiting = append(waiting, t.Channel)
		} else {
			told = append(told, t.Channel)
		}
	}
	var words []string
	if len(told) > 0 {
		words = append(words, "sent to "+strings.Join(told, ", "))
	}
	if len(waiting) > 0 {
		words = append(words, "not yet delivered to "+strings.Join(waiting, ", "))
	}
	if len(words) == 0 {
		return "not sent (no channel configured)"
	}
	return strings.Join(words, "; ")
}

func kindOfRunbook(p runbooks.Page) string {
	if strings.HasPrefix(p.ID, "alert-") {
		return "Alert"
	}
	return "Step"
}

const channelExample = `public_url: https://switchyard.example.com
notifications:
  - {name: pager, type: pagerduty, routing_key: env:PAGERDUTY_KEY, min_severity: error}
  - {name: payments, type: slack, url: env:SLACK_WEBHOOK_URL}`
