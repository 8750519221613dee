package api

import "github.com/switchyard-dev/switchyard/workflows"

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
	}}
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
