package store

import (
	"context"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"github.com/switchyard-dev/switchyard/migration"
)

// KeptDigest is a weekly digest that was made. Body is its JSON.
type KeptDigest struct {
	Week   string // of ISO 8601, such as 2026-W49
	DueAt  time.Time
	MadeAt time.Time
	Body   json.RawMessage
}

// LastDigest gives the digest of a migration that was made last; false: there is none.
func (s *Store) LastDigest(ctx context.Context, mid string) (KeptDigest, bool, error) {
	var rows []struct {
		Week          string
		DueAt, MadeAt int64
		Body          string
	}
	err := s.db.WithContext(ctx).Raw("SELECT week, due_at, made_at, body FROM digests "+
		"WHERE migration_id = ? ORDER BY made_at DESC, week DESC LIMIT 1", mid).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return KeptDigest{}, false, err
	}
	r := rows[0]
	return KeptDigest{r.Week, fromMillis(r.DueAt), fromMillis(r.MadeAt),
		json.RawMessage(r.Body)}, true, nil
}

// HasDigest reports whether a week has had its digest.
func (s *Store) HasDigest(ctx context.Context, mid, week string) (bool, error) {
	var n int64
	err := s.db.WithContext(ctx).Table("digests").
		Where("migration_id = ? AND week = ?", mid, week).Count(&n).Error
	return n > 0, err
}

// SaveDigest keeps a week's digest and queues its messages, all or nothing. Conflict: the week
// has one already, and nothing is queued.
func (s *Store) SaveDigest(
	ctx context.Context, mid string, d KeptDigest, tell []Notification,
) error {
	return s.transact(ctx, func(tx *gorm.DB) error {
		made := tx.Exec("INSERT INTO digests (migration_id, week, due_at, made_at, body) "+
			"VALUES (?, ?, ?, ?, ?) ON CONFLICT (migration_id, week) DO NOTHING",
			mid, d.Week, millis(d.DueAt), millis(d.MadeAt), text(string(d.Body)))
		if made.Error != nil {
			return made.Error
		}
		if made.RowsAffected == 0 {
			return migration.Errorf(migration.Conflict, "%s has had its digest", d.Week)
		}
		return queueDigest(tx, tell)
	})
}

// TellDigest queues a digest that somebody asked for. One whose event a channel has had is left
// out.
func (s *Store) TellDigest(ctx context.Context, tell []Notification) error {
	return s.transact(ctx, func(tx *gorm.DB) error { return queueDigest(tx, tell) })
}

// queueDigest queues messages in the place of older digests that their channels still wait for:
// one that was down gets the newest alone.
func queueDigest(tx *gorm.DB, tell []Notification) error {
	for _, n := range tell {
		if err := tx.Exec("DELETE FROM notification_outbox WHERE channel = ? AND key = ? "+
			"AND kind = 'digest' AND event_id <> ? AND sent_at IS NULL AND given_up_at IS NULL",
			n.Channel, text(n.Key), text(n.EventID)).Error; err != nil {
			return err
		}
		if err := queue(tx, n); err != nil {
			return err
		}
	}
	return nil
}

// ClaimNotification takes a waiting message, before it is sent, for one that is never sent again;
// NotificationSent and NotificationFailed undo that. false: somebody else has taken it. A process
// that ends in between leaves it so, with the reason: nobody knows whether it was taken.
func (s *Store) ClaimNotification(
	ctx context.Context, id int64, reason string, at time.Time,
) (bool, error) {
	var n int64
	err := s.transact(ctx, func(tx *gorm.DB) error {
		set := tx.Exec("UPDATE notification_outbox SET given_up_at = ?, error = ? "+
			"WHERE id = ? AND sent_at IS NULL AND given_up_at IS NULL", millis(at), text(reason), id)
		n = set.RowsAffected
		return set.Error
	})
	return n == 1, err
}
