package alarm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-dev/switchyard/config"
	"github.com/switchyard-dev/switchyard/migration"
	"github.com/switchyard-dev/switchyard/notify"
	"github.com/switchyard-dev/switchyard/store"
)

// OpenChannel opens a channel as it is configured. It sends nothing. An error says what could not
// work of its address or credentials, without them.
func OpenChannel(c config.Notification) (notify.Channel, error) {
	switch c.Type {
	case "slack":
		return notify.NewSlack(c.URL)
	case "pagerduty":
		return notify.NewPagerDuty(c.URL.Reveal(), c.RoutingKey)
	case "webhook":
		return notify.NewWebhook(c.URL, c.Secret)
	case "email":
		s := c.SMTP
		return notify.NewEmail(
			notify.SMTP{
				Addr:     s.Addr,
				Security: cmp.Or(s.Security, notify.StartTLS),
				Username: s.Username,
				Password: s.Password,
				From:     s.From,
				To:       s.To,
			},
		)
	}
	return nil, migration.Errorf(migration.Invalid, "%q is no type of a channel", c.Type)
}

// takes reports whether the channel is configured to get an event.
func (o *outlet) takes(e notify.Event) bool {
	if e.Kind == notify.Digest {
		return o.takesDigest()
	}
	class := string(e.Kind)
	if e.Kind == notify.Resolve {
		class = string(notify.Alert)
	}
	if len(o.Events) > 0 && !slices.Contains(o.Events, class) {
		return false
	}
	return e.Kind != notify.Alert || !e.Severity.Less(o.minSeverity())
}

func (o *outlet) minSeverity() notify.Severity {
	return notify.Severity(cmp.Or(o.MinSeverity, string(notify.Warning)))
}

func (n *Notifier) tidy(ctx context.Context) error {
	var names []string
	for _, o := range n.outlets {
		names = append(names, o.Name)
	}
	return n.Store.TidyNotifications(ctx, names, n.Now().Add(-sentKept))
}

// serve sends one channel what is due until ctx ends.
func (n *Notifier) serve(ctx context.Context, o *outlet) {
	ticker := time.NewTicker(notifyEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		more, err := n.sendDue(ctx, o)
		if err != nil && ctx.Err() == nil {
			n.Log.Warn("notifications", "channel", o.Name, "err", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-o.wake:
		}
	}
}

// sendDue tries everything that is due at a channel once. more: it got on, so that there
// may be more.
func (n *Notifier) sendDue(ctx context.Context, o *outlet) (more bool, err error) {
	now := n.Now()
	o.mu.Lock()
	waits := now.Before(o.until)
	o.mu.Unlock()
	if waits {
		return false, nil
	}
	due, err := n.Store.DueNotifications(ctx, o.Name, now, 20)
	if err != nil {
		return false, err
	}
	for _, d := range due {
		var e notify.Event
		if err := json.Unmarshal(d.Event, &e); err != nil {
			return more, fmt.Errorf("notification %d: %w", d.ID, err)
		}
		sent, err := n.send(ctx, o, e, d)
		if err != nil {
			return more, err
		}
		if !sent { // the rest would most likely meet the same
			return false, nil
		}
		more = true
	}
	return more, nil
}

// send gives a channel one message and writes down how that went. A process that ends in
// between sends it again.
func (n *Notifier) send(
	ctx context.Context,
	o *outlet,
	e notify.Event,
	d store.Notification,
) (sent bool, err error) {
	if e.Kind == notify.Digest {
		claimed, err := n.Store.ClaimNotification(ctx, d.ID, unsure, n.Now())
		if err != nil || !claimed {
			return err == nil, err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, notify.Timeout)
	failed := o.channel.Send(bounded, e)
	cancel()
	if failed != nil && ctx.Err() != nil {
		return false, ctx.Err() // nobody knows whether it was taken
	}
	// what was taken is noted also by a process that is told to stop
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	now := n.Now()
	o.mu.Lock()
	changed := (failed != nil) != o.ill
	o.ill = failed != nil
	if wait := notify.WaitOf(failed); wait > 0 {
		o.until = now.Add(wait)
	}
	o.mu.Unlock()
	defer n.Notify("notifications")
	if failed == nil {
		if changed {
			n.Log.Info("notification channel works again", "channel", o.Name)
		}
		return true, n.Store.NotificationSent(ctx, o.Name, d.ID, now)
	}
	next := now.Add(max(backOff(d.Tries), notify.WaitOf(failed)))
	at := &next
	if (e.Kind == notify.Change || e.Kind == notify.Approval) && next.Sub(d.CreatedAt) > newsFor {
		at = nil
	}
	if changed || at == nil {
		n.Log.Warn(
			"notification not sent",
			"channel",
			o.Name,
			"key",
			d.Key,
			"reason",
			failed.Error(),
			"given_up",
			at == nil,
		)
	}
	return false, n.Store.NotificationFailed(ctx, o.Name, d.ID, migration.PlainError(failed), at, now)
}

func backOff(tries int) time.Duration {
	return min(firstWait<<min(tries, 16), longestWait)
}

func (n *Notifier) wakeOutlets() {
	for _, o := range n.outlets {
		poke(o.wake)
	}
}

// messages are an event's, one for each channel that takes it.
func (n *Notifier) messages(
	e notify.Event,
	at time.Time,
	channels ...string,
) ([]store.Notification, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var out []store.Notification
	for _, o := range n.outlets {
		if o.takes(e) && (e.Kind != notify.Resolve || slices.Contains(channels, o.Name)) {
			out = append(
				out,
				store.Notification{
					Channel:   o.Name,
					EventID:   e.ID,
					Key:       e.Key,
					Kind:      string(e.Kind),
					Event:     raw,
					CreatedAt: at,
				},
			)
		}
	}
	return out, nil
}
