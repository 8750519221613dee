package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
)

// Notifications is where things are told, how that goes, and what is wrong now.
type Notifications struct {
	At       time.Time             `json:"at"`
	Channels []NotificationChannel `json:"channels"`
	Alerts   []NotifiedAlert       `json:"alerts"` // open ones, oldest first
	Recent   []NotificationSent    `json:"recent"` // at most 50 messages, newest first
	Digest   DigestPlan            `json:"digest"`
}

// NotificationChannel is a configured channel, without its address and key.
type NotificationChannel struct {
	Name        string   `json:"name"`
	Type        string   `json:"type" enum:"slack,pagerduty,webhook,email"`
	Events      []string `json:"events" enum:"approval,change,alert"`
	MinSeverity string   `json:"min_severity" enum:"info,warning,error,critical"`
	Digest      bool     `json:"digest"` // it gets the weekly digest
	Sent        int64    `json:"sent"`
	Failed      int64    `json:"failed"` // attempts
	// Waiting are the messages that are tried again.
	Waiting int64 `json:"waiting"`
	// GivenUp are approvals and changes that were not taken within a day.
	GivenUp  int64      `json:"given_up"`
	SentAt   *time.Time `json:"sent_at"`
	FailedAt *time.Time `json:"failed_at"`
	Error    string     `json:"error,omitempty"` // why the last attempt that failed did
}

// NotifiedAlert is something that is wrong now.
type NotifiedAlert struct {
	// Key stays the same from begin to end, also when it gets worse: PagerDuty's dedup_key.
	Key      string      `json:"key"`
	Severity string      `json:"severity" enum:"info,warning,error,critical"` // the worst since it began
	Title    string      `json:"title"`
	Text     string      `json:"text,omitempty"`
	Since    time.Time   `json:"since"`
	Told     []AlertTold `json:"told"`
	// Acknowledged says who looks after it; absent: nobody has said so.
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`
	// Run is the run of ours during which it began.
	Run string `json:"run,omitempty"`
}

// AlertTold is a channel that an open alert is told to.
type AlertTold struct {
	Channel string     `json:"channel"`
	SentAt  *time.Time `json:"sent_at"` // nil: not yet
}

// NotificationSent is one message to one channel.
type NotificationSent struct {
	Channel  string     `json:"channel"`
	Kind     string     `json:"kind" enum:"approval,change,alert,resolve,digest"`
	Severity string     `json:"severity" enum:"info,warning,error,critical"`
	Title    string     `json:"title"`
	Created  time.Time  `json:"created_at"`
	Tries    int        `json:"tries"`
	SentAt   *time.Time `json:"sent_at"`
	GivenUp  bool       `json:"given_up"`
	Error    string     `json:"error,omitempty"`
}

// Failing reports whether the last attempt failed.
func (c NotificationChannel) Failing() bool {
	return c.FailedAt != nil && (c.SentAt == nil || c.SentAt.Before(*c.FailedAt))
}

// Notifications gives the channels, the open alerts and what was sent last.
func (n *Notifier) Notifications(ctx context.Context, mid string) (Notifications, error) {
	out := Notifications{
		At:       n.Now(),
		Channels: []NotificationChannel{},
		Alerts:   []NotifiedAlert{},
		Recent:   []NotificationSent{},
	}
	var err error
	if out.Channels, err = n.Channels(ctx); err != nil {
		return out, err
	}
	if out.Digest, err = n.digestPlan(ctx, mid); err != nil {
		return out, err
	}
	open, err := n.Store.OpenAlerts(ctx, mid)
	if err != nil {
		return out, err
	}
	for _, a := range open {
		var e notify.Event
		if err := json.Unmarshal(a.Event, &e); err != nil {
			return out, fmt.Errorf("alert %s: %w", a.Key, err)
		}
		shown := NotifiedAlert{
			Key:      a.Key,
			Severity: a.Severity,
			Title:    e.Title,
			Text:     e.Text,
			Since:    a.OpenedAt,
			Told:     []AlertTold{},

			Acknowledged: acknowledged(a.Ack),
			Run:          e.Run,
		}
		messages, err := n.Store.Notifications(ctx, mid, a.Key, 50)
		if err != nil {
			return out, err
		}
		for _, m := range messages { // newest first: the last one to each channel counts
			if m.Kind == string(notify.Alert) && !m.CreatedAt.Before(a.OpenedAt) &&
				!slices.ContainsFunc(
					shown.Told,
					func(t AlertTold) bool { return t.Channel == m.Channel },
				) {
				shown.Told = append(shown.Told, AlertTold{m.Channel, m.SentAt})
			}
		}
		out.Alerts = append(out.Alerts, shown)
	}
	recent, err := n.Store.Notifications(ctx, mid, "", 50)
	if err != nil {
		return out, err
	}
	for _, m := range recent {
		var e notify.Event
		if err := json.Unmarshal(m.Event, &e); err != nil {
			return out, fmt.Errorf("notification %d: %w", m.ID, err)
		}
		out.Recent = append(
			out.Recent,
			NotificationSent{
				Channel:  m.Channel,
				Kind:     m.Kind,
				Severity: string(e.Severity),
				Title:    e.Title,
				Created:  m.CreatedAt,
				Tries:    m.Tries,
				SentAt:   m.SentAt,
				GivenUp:  m.GivenUpAt != nil,
				Error:    m.Error,
			},
		)
	}
	return out, nil
}

// Channels gives how the configured channels fare, without their addresses.
func (n *Notifier) Channels(ctx context.Context) ([]NotificationChannel, error) {
	health, err := n.Store.ChannelHealth(ctx)
	if err != nil {
		return nil, err
	}
	out := []NotificationChannel{}
	for _, o := range n.outlets {
		h, events := health[o.Name], o.Events
		if len(events) == 0 {
			events = []string{"approval", "change", "alert"}
		}
		out = append(
			out,
			NotificationChannel{
				Name:        o.Name,
				Type:        o.Type,
				Events:      events,
				MinSeverity: string(o.minSeverity()),
				Digest:      o.takesDigest(),
				Sent:        h.Sent,
				Failed:      h.Failed,
				Waiting:     h.Waiting,
				GivenUp:     h.GivenUp,
				SentAt:      h.SentAt,
				FailedAt:    h.FailedAt,
				Error:       h.Error,
			},
		)
	}
	return out, nil
}

// AlertCounts counts the open alerts by severity.
func (n *Notifier) AlertCounts(ctx context.Context, mid string) (map[notify.Severity]int, error) {
	open, err := n.Store.OpenAlerts(ctx, mid)
	if err != nil {
		return nil, err
	}
	out := map[notify.Severity]int{}
	for _, s := range notify.Severities {
		out[s] = 0
	}
	for _, a := range open {
		out[notify.Severity(a.Severity)]++
	}
	return out, nil
}

// Test sends one channel a message that wakes nobody, now and once. Conflict says why it
// was not taken.
func (n *Notifier) Test(ctx context.Context, by, mid, name string) (NotificationChannel, error) {
	mig, err := n.Store.Migration(ctx, mid)
	if err != nil {
		return NotificationChannel{}, err
	}
	var names []string
	for _, o := range n.outlets {
		names = append(names, o.Name)
		if o.Name != name {
			continue
		}
		now := n.Now()
		e := notify.Event{
			ID:       notify.Key(mid, "test", name) + "@" + strconv.FormatInt(now.UnixMilli(), 10),
			Key:      notify.Key(mid, "test", name),
			Kind:     notify.Test,
			Severity: notify.Info,
			Source:   mig.Name,
			Title:    "Test of the channel " + name,
			Text:     by + " asked for it. Nothing is wrong.",
			URL:      n.link(mid, "notifications"),
			At:       now,
		}
		if _, err := n.send(ctx, o, e, store.Notification{Key: e.Key, CreatedAt: now}); err != nil {
			return NotificationChannel{}, err
		}
		all, err := n.Channels(ctx)
		if err != nil {
			return NotificationChannel{}, err
		}
		channel := all[len(names)-1]
		if channel.Failing() {
			return channel, migration.Errorf(
				migration.Conflict,
				"the test was not taken: %s",
				channel.Error,
			)
		}
		return channel, nil
	}
	if len(names) == 0 {
		return NotificationChannel{}, migration.Errorf(
			migration.NotFound,
			"no notification channel is configured: see docs/notifications.md",
		)
	}
	return NotificationChannel{}, migration.Errorf(
		migration.NotFound,
		"there is no notification channel %.40q; there is %s",
		name,
		strings.Join(names, ", "),
	)
}
