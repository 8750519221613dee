package api

import (
	"context"
	"net/http"

	"github.com/switchyard-dev/switchyard/workflows"
)

func notificationOperations() []Operation {
	const path = ofMigration + "/notifications"
	return []Operation{{
		ID: "getNotifications", Route: "GET " + path, Access: AccessSession,
		Summary: "Channels, open alerts and the last messages", Answer: Notifications{},
	}, {
		ID: "testNotification", Route: "POST " + path + "/test", Access: AccessEngineer,
		Summary: "Send a test to one channel; it wakes nobody",
		Body:    NotificationTest{},
		Result:  "The channel has taken it. 409 says why it has not.", Answer: NotificationChannel{},
	}, {
		ID: "getAlerts", Route: "GET " + ofMigration + "/alerts", Access: AccessSession,
		Summary: "Open alerts, and how many nobody has acknowledged", Answer: Alerts{},
	}, {
		ID: "acknowledgeAlert", Route: "POST " + ofMigration + "/alerts/ack",
		Access:  AccessEngineer,
		Summary: "Say who looks after an open alert",
		Description: "It stays open until what is wrong is well again, and is not told again " +
			"unless it gets worse. 404: it is not open. 409: somebody has already.",
		Body: AlertAck{},
	}, {
		ID: "getDigest", Route: "GET " + ofMigration + "/digest", Access: AccessSession,
		Summary: "The weekly digest as it would be sent now, and when it will be",
		Answer:  Digest{},
	}, {
		ID: "sendDigest", Route: "POST " + ofMigration + "/digest", Access: AccessEngineer,
		Summary: "Send the digest now to the channels that take it",
		Description: "It does not stand for the weekly one, and goes once a minute at most. 409: no " +
			"channel takes digests.",
		Result: "It is queued.", Answer: DigestPlan{},
	}}
}

// Digest is the weekly digest as it would be sent now: see workflows.DigestPreview.
type Digest = workflows.DigestPreview

// DigestPlan is when the weekly digest is sent, and to whom: see workflows.DigestPlan.
type DigestPlan = workflows.DigestPlan

// Digest gives the weekly digest as it would be sent now.
func (c *Client) Digest(ctx context.Context, mid string) (Digest, error) {
	var d Digest
	err := c.get(ctx, at(mid, "digest"), &d)
	return d, err
}

// SendDigest sends the digest now; Conflict: no channel takes digests.
func (c *Client) SendDigest(ctx context.Context, mid string) (DigestPlan, error) {
	var p DigestPlan
	err := c.call(ctx, http.MethodPost, at(mid, "digest"), nil, &p)
	return p, err
}

// Notifications is who is told what, and what is wrong now: see workflows.Notifications.
type Notifications = workflows.Notifications

// NotificationChannel is one place that things are told to: see workflows.NotificationChannel.
type NotificationChannel = workflows.NotificationChannel

// Alerts is what is wrong now: see workflows.Alerts.
type Alerts = workflows.Alerts

// AlertAck says which open alert is looked after.
type AlertAck struct {
	// Key is that of the alert.
	Key string `json:"key"`
	// Comment says what is being done about it.
	Comment string `json:"comment"`
}

// NotificationTest names the channel that a test goes to.
type NotificationTest struct {
	Channel string `json:"channel"`
}
