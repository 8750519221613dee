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
	}}
}

// Notifications is who is told what, and what is wrong now: see workflows.Notifications.
type Notifications = workflows.Notifications

// NotificationChannel is one place that things are told to: see workflows.NotificationChannel.
type NotificationChannel = workflows.NotificationChannel

// NotificationTest names the channel that a test goes to.
type NotificationTest struct {
	Channel string `json:"channel"`
}
