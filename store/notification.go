package store

import (
	"context"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

// OpenAlert is something that is wrong now. Event is the JSON of the message about it.
type OpenAlert struct {
	Key      string
	Severity string // the worst since it began
	Event    json.RawMessage
	OpenedAt time.Time
	Ack      Ack
}

// Ack is who has seen an open alert; At is nil where nobody has.
type Ack struct {
	By      string
	At      *time.Time
	Comment string
}

// PastAlert is one that is over.
type PastAlert struct {
	OpenAlert
	ClosedAt time.Time
}

// Notification is a message to one channel.
type Notification struct {
	ID        int64
	Channel   string
	EventID   string
	Key       string
	Kind      string // approval, change, alert, resolve, digest
	Event     json.RawMessage
	CreatedAt time.Time
	Tries     int
	NextAt    time.Time
	SentAt    *time.Time
	GivenUpAt *time.Time
	Error     string // why the last attempt failed
}

// ChannelHealth is how a channel fares. Failed counts attempts.
type ChannelHealth struct {
	Name     string
	Sent     int64
	Failed   int64
	SentAt   *time.Time
	FailedAt *time.Time
	Error    string
	Waiting  int64 // messages that are not sent yet
	GivenUp  int64 // messages of the last weeks that were not sent and will not be
}

type openAlertRow struct {
	Key         string
	MigrationID string
	Severity    string
	Event       string
	OpenedAt    int64
	AckedBy     string
	AckedAt     int64
	AckComment  string
}

func (r openAlertRow) value() OpenAlert {
	a := OpenAlert{r.Key, r.Severity, json.RawMessage(r.Event), fromMillis(r.OpenedAt),
		Ack{By: r.AckedBy, Comment: r.AckComment}}
	if r.AckedAt != 0 {
		at := fromMillis(r.AckedAt)
		a.Ack.At = &at
	}
	return a
}

func (openAlertRow) TableName() string { return "notification_alerts" }

type notificationRow struct {
	ID        int64
	Channel   string
	EventID   string
	Key       string
	Kind      string
	Event     string
	CreatedAt int64
	Tries     int
	NextAt    int64
	SentAt    *int64
	GivenUpAt *int64
	Error     string
}

func (notificationRow) TableName() string { return "notification_outbox" }

func (r notificationRow) value() Notification {
	return Notification{r.ID, r.Channel, r.EventID, r.Key, r.Kind, json.RawMessage(r.Event),
		fromMillis(r.CreatedAt), r.Tries, fromMillis(r.NextAt), optional(r.SentAt),
		optional(r.GivenUpAt), r.Error}
}

// OpenAlerts gives a migration's open alerts, oldest first.
func (s *Store) OpenAlerts(ctx context.Context, mid string) ([]OpenAlert, error) {
	var rows []openAlertRow
	if err := s.db.WithContext(ctx).Where("migration_id = ?",
		mid).Order("opened_at, key").Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]OpenAlert, len(rows))
	for i, r := range rows {
		out[i] = r.value()
	}
	return out, nil
}

// AckAlert notes who has seen an open alert. NotFound: none of that key is open; Conflict:
// somebody has already.
func (s *Store) AckAlert(ctx context.Context, mid, key string, a Ack) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		var rows []openAlertRow
		if err := tx.Where("migration_id = ? AND key = ?", mid, text(key)).
			Find(&rows).Error; err != nil {
			return err
		}
		if len(rows) == 0 {
			return migration.Errorf(migration.NotFound,
				"no alert %.120q is open: it may be over", key)
		}
		if rows[0].AckedAt != 0 {
			return migration.Errorf(migration.Conflict, "%s has acknowledged it at %s",
				rows[0].AckedBy, fromMillis(rows[0].AckedAt).UTC().Format(time.RFC3339))
		}
		return tx.Exec("UPDATE notification_alerts SET acked_by = ?, acked_at = ?, "+
			"ack_comment = ? WHERE migration_id = ? AND key = ?", text(a.By), millis(*a.At),
			text(a.Comment), mid, text(key)).Error
	})
}

// UnseenAlerts counts the open alerts of a migration that nobody has acknowledged.
func (s *Store) UnseenAlerts(ctx context.Context, mid string) (n int64, err error) {
	err = s.db.WithContext(ctx).Model(&openAlertRow{}).
		Where("migration_id = ? AND acked_at = 0", mid).Count(&n).Error
	return n, err
}

// PastAlerts gives the last alerts of a migration that are over, the newest first, and how many
// there are.
func (s *Store) PastAlerts(
	ctx context.Context, mid string, limit int,
) (out []PastAlert, total int64, err error) {
	q := s.db.WithContext(ctx).Table("alert_history").Where("migration_id = ?", mid)
	if err := q.Count(&total).Error; err != nil {
		return nil, 0, err
	}
	var rows []struct {
		Row      openAlertRow `gorm:"embedded"`
		ClosedAt int64
	}
	if err := s.db.WithContext(ctx).Raw("SELECT key, migration_id, severity, event, "+
		"opened_at, acked_by, ack_comment, closed_at FROM alert_history WHERE migration_id = ? "+
		"ORDER BY id DESC LIMIT ?", mid, limit).Scan(&rows).Error; err != nil {
		return nil, 0, err
	}
	for _, r := range rows {
		out = append(out, PastAlert{r.Row.value(), fromMillis(r.ClosedAt)})
	}
	return out, total, nil
}

// AlertsBetween gives the alerts that were open at any time between since and until, by their
// beginning; at most limit, the newest of them. ClosedAt of one that is open is zero.
func (s *Store) AlertsBetween(
	ctx context.Context, mid string, since, until time.Time, limit int,
) ([]PastAlert, error) {
	var rows []struct {
		Row      openAlertRow `gorm:"embedded"`
		ClosedAt int64
	}
	const columns = "SELECT key, migration_id, severity, event, opened_at, "
	if err := s.db.WithContext(ctx).Raw(columns+"0 AS closed_at FROM notification_alerts "+
		"WHERE migration_id = ? AND opened_at < ? UNION ALL "+columns+"closed_at FROM "+
		"alert_history WHERE migration_id = ? AND opened_at < ? AND closed_at >= ? "+
		"ORDER BY opened_at DESC, key LIMIT ?", mid, millis(until), mid, millis(until),
		millis(since), limit).Scan(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]PastAlert, len(rows))
	for i, r := range rows {
		a := PastAlert{OpenAlert: r.Row.value()}
		if r.ClosedAt != 0 {
			a.ClosedAt = fromMillis(r.ClosedAt)
		}
		out[len(rows)-1-i] = a
	}
	return out, nil
}

// AlertChange is what has become of alerts, with the messages that tell it: either all
// of it is written or nothing.
type AlertChange struct {
	Save  []OpenAlert // new ones, and those that have changed
	Close []string    // keys of those that are over
	Tell  []Notification
	At    time.Time // when those were over
}

// SaveAlerts writes a change. A message about an alert takes the place of those about
// it that its channel still waits for: a channel that is down owes at most the last
// alert and its end. A message whose event the channel has had is left out.
func (s *Store) SaveAlerts(ctx context.Context, mid string, c AlertChange) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		for _, a := range c.Save {
			if err := tx.Exec("INSERT INTO notification_alerts (key, migration_id, severity, "+
				"event, opened_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "+
				"severity = excluded.severity, event = excluded.event, acked_by = '', "+
				"acked_at = 0, ack_comment = ''",
				text(a.Key), mid, a.Severity, text(string(a.Event)),
				millis(a.OpenedAt)).Error; err != nil {
				return err
			}
		}
		if len(c.Close) > 0 {
			if err := tx.Exec("INSERT INTO alert_history (migration_id, key, severity, event, "+
				"opened_at, closed_at, acked_by, ack_comment) SELECT migration_id, key, "+
				"severity, event, opened_at, ?, acked_by, ack_comment FROM notification_alerts "+
				"WHERE migration_id = ? AND key IN ? ORDER BY key", millis(c.At), mid,
				c.Close).Error; err != nil {
				return err
			}
			if err := tx.Exec(
				"DELETE FROM notification_alerts WHERE migration_id = ? AND key IN ?", mid,
				c.Close).Error; err != nil {
				return err
			}
		}
		for _, n := range c.Tell {
			if n.Kind == "alert" {
				if err := tx.Exec("DELETE FROM notification_outbox WHERE channel = ? AND key "+
					"= ? AND sent_at IS NULL AND given_up_at IS NULL", n.Channel,
					text(n.Key)).Error; err != nil {
					return err
				}
			}
			if err := queue(tx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func queue(tx *gorm.DB, n Notification) error {
	return tx.Exec("INSERT INTO notification_outbox (channel, event_id, key, kind, event, "+
		"created_at, next_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (channel, event_id) "+
		"DO NOTHING",
		n.Channel, text(n.EventID), text(n.Key), n.Kind, text(string(n.Event)),
		millis(n.CreatedAt), millis(n.CreatedAt)).Error
}

// ToldChannels gives which channels an alert's present time was told to, or is about to
// be.
func (s *Store) ToldChannels(
	ctx context.Context, key string, since time.Time,
) (channels []string, err error) {
	err = s.db.WithContext(ctx).Model(&notificationRow{}).Where(
		"key = ? AND kind = 'alert' AND created_at >= ?", text(key),
		millis(since)).Distinct().Order("channel").Pluck("channel", &channels).Error
	return channels, err
}

// DueNotifications gives what a channel is to be sent now, oldest first. What is about
// the same thing as an earlier message that has to wait is not among it, so that an
// alert's end does not come before its beginning.
func (s *Store) DueNotifications(
	ctx context.Context, channel string, now time.Time, limit int,
) ([]Notification, error) {
	var rows []notificationRow
	err := s.db.WithContext(ctx).
		Raw(`SELECT * FROM notification_outbox AS n
			WHERE channel = ? AND sent_at IS NULL AND given_up_at IS NULL AND next_at <= ?
		AND NOT EXISTS (SELECT 1 FROM notification_outbox AS o
				WHERE o.channel = n.channel AND o.key = n.key AND o.id < n.id
					AND o.sent_at IS NULL AND o.given_up_at IS NULL AND o.next_at > ?)
		ORDER BY id LIMIT ?`, channel, millis(now), millis(now), limit).
		Scan(&rows).
		Error
	out := make([]Notification, len(rows))
	for i, r := range rows {
		out[i] = r.value()
	}
	return out, err
}

// NotificationSent notes that a channel took a message. id 0: one that was not in the
// outbox.
func (s *Store) NotificationSent(
	ctx context.Context, channel string, id int64, at time.Time,
) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("UPDATE notification_outbox SET sent_at = ?, tries = tries + 1, "+
			"given_up_at = NULL, error = '' WHERE id = ?", millis(at), id).Error; err != nil {
			return err
		}
		return tx.Exec("INSERT INTO notification_channels (name, sent, sent_at) VALUES (?, "+
			"1, ?) ON CONFLICT (name) DO UPDATE SET sent = notification_channels.sent + 1, "+
			"sent_at = excluded.sent_at", channel, millis(at)).Error
	})
}

// NotificationFailed notes that a channel did not take a message, and when it is tried
// again; nil: never. reason holds no credential.
func (s *Store) NotificationFailed(
	ctx context.Context, channel string, id int64, reason string, next *time.Time,
	at time.Time,
) error {
	set := map[string]any{"tries": gorm.Expr("tries + 1"), "error": text(reason)}
	if next != nil {
		set["next_at"], set["given_up_at"] = millis(*next), nil
	} else {
		set["given_up_at"] = millis(at)
	}
	return s.transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Model(&notificationRow{}).Where("id = ?",
			id).Updates(set).Error; err != nil {
			return err
		}
		return tx.Exec("INSERT INTO notification_channels (name, failed, failed_at, error) "+
			"VALUES (?, 1, ?, ?) ON CONFLICT (name) DO UPDATE SET failed = "+
			"notification_channels.failed + 1, failed_at = excluded.failed_at, error = "+
			"excluded.error",
			channel, millis(at), text(reason)).Error
	})
}

// ChannelHealth gives how the channels fare that anything was sent to, or is to be.
func (s *Store) ChannelHealth(ctx context.Context) (map[string]ChannelHealth, error) {
	var rows []struct {
		Name             string
		Sent, Failed     int64
		SentAt, FailedAt *int64
		Error            string
	}
	db := s.db.WithContext(ctx)
	if err := db.Raw(
		"SELECT name, sent, failed, sent_at, failed_at, error FROM notification_channels").
		Scan(&rows).Error; err != nil {
		return nil, err
	}
	out := make(map[string]ChannelHealth, len(rows))
	for _, r := range rows {
		out[r.Name] = ChannelHealth{
			Name:     r.Name,
			Sent:     r.Sent,
			Failed:   r.Failed,
			SentAt:   optional(r.SentAt),
			FailedAt: optional(r.FailedAt),
			Error:    r.Error,
		}
	}
	var counts []struct {
		Channel          string
		Waiting, GivenUp int64
	}
	if err := db.Raw("SELECT channel, SUM(CASE WHEN given_up_at IS NULL THEN 1 ELSE 0 END) " +
		"AS waiting, SUM(CASE WHEN given_up_at IS NULL THEN 0 ELSE 1 END) AS given_up FROM " +
		"notification_outbox WHERE sent_at IS NULL GROUP BY channel").Scan(&counts).
		Error; err != nil {
		return nil, err
	}
	for _, c := range counts {
		h := out[c.Channel]
		h.Name, h.Waiting, h.GivenUp = c.Channel, c.Waiting, c.GivenUp
		out[c.Channel] = h
	}
	return out, nil
}

// Notifications lists the messages about a key (empty: about anything) of a
// migration's, newest first. Keys begin with the migration's id.
func (s *Store) Notifications(
	ctx context.Context, mid, key string, limit int,
) ([]Notification, error) {
	// '0' comes after '/'
	q := s.db.WithContext(ctx).Where("key >= ? AND key < ?", mid+"/",
		mid+"0").Order("id DESC").Limit(limit)
	if key != "" {
		q = q.Where("key = ?", text(key))
	}
	var rows []notificationRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]Notification, len(rows))
	for i, r := range rows {
		out[i] = r.value()
	}
	return out, nil
}

// TidyNotifications forgets messages that were sent or given up before a time, and
// everything of channels that are no more.
func (s *Store) TidyNotifications(
	ctx context.Context, channels []string, before time.Time,
) error {
	if len(channels) == 0 {
		channels = []string{""}
	}
	return s.transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("DELETE FROM notification_outbox WHERE channel NOT IN ? OR sent_at "+
			"< ? OR given_up_at < ?", channels, millis(before),
			millis(before)).Error; err != nil {
			return err
		}
		return tx.Exec("DELETE FROM notification_channels WHERE name NOT IN ?", channels).Error
	})
}
